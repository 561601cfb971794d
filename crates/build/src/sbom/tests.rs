use std::collections::BTreeSet;

use super::*;
use crate::image::Package;

fn dependency(name: &str, digest: DependencyDigest) -> LockedDependency {
    LockedDependency {
        name: name.into(),
        version: "1.0.0".into(),
        digest,
        source: "registry".into(),
        purl: format!("pkg:cargo/{name}@1.0.0"),
    }
}

fn document() -> Vec<u8> {
    let dependencies = [
        dependency("itoa", DependencyDigest::Sha256(Digest::of(b"itoa"))),
        dependency("left-pad", DependencyDigest::Sha512("ab".repeat(64))),
        dependency("forked", DependencyDigest::GitCommit("1".repeat(40))),
    ];
    let package = Package {
        name: "libc6".into(),
        version: "1:2.36-9+deb12u1".into(),
        architecture: "amd64".into(),
        distribution: "debian".into(),
    };
    let libraries = [Library { path: "/lib/libc.so.6".into(), digest: Digest::of(b"libc"), package: Some(package) }];
    let tools = [Tool { name: "rustc".into(), version: "rustc 1.95.0".into(), digest: Digest::of(b"rustc") }];
    let (web, ledger) = ("web".parse().unwrap(), "ledger".parse().unwrap());
    sbom(&Bill {
        system: &"paydesk".parse().unwrap(),
        serial: &"paydesk-000042".parse().unwrap(),
        commit: "1111111111111111111111111111111111111111".parse().unwrap(),
        committed_at: Timestamp::from_unix(1_700_000_000),
        images: vec![
            BilledImage {
                component: &web,
                digest: Digest::of(b"web"),
                dependencies: &dependencies,
                libraries: &libraries,
            },
            BilledImage {
                component: &ledger,
                digest: Digest::of(b"ledger"),
                dependencies: &dependencies[..1],
                libraries: &[],
            },
        ],
        tools: &tools,
    })
}

#[test]
fn every_part_is_there_once_and_every_reference_leads_somewhere() {
    let bytes = document();
    assert_eq!(bytes, document());
    let bom: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((bom["bomFormat"].as_str(), bom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.6")));
    assert_eq!(bom["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    let components = bom["components"].as_array().unwrap();
    assert_eq!(components.len(), 6);
    let mut references: BTreeSet<&str> = components.iter().map(|c| c["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(references.len(), 6, "references are unique");
    references.insert(bom["metadata"]["component"]["bom-ref"].as_str().unwrap());
    let depends = bom["dependencies"].as_array().unwrap();
    let from: BTreeSet<&str> = depends.iter().map(|d| d["ref"].as_str().unwrap()).collect();
    assert_eq!(from, references, "every part says what it depends on");
    for on in depends.iter().flat_map(|d| d["dependsOn"].as_array().unwrap()) {
        assert!(references.contains(on.as_str().unwrap()), "{on}");
    }
    let purls: Vec<&str> = components.iter().filter_map(|c| c["purl"].as_str()).collect();
    assert!(purls.contains(&"pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u1?arch=amd64"), "{purls:?}");
    // The pattern of the schema for hashes.
    for hash in components.iter().flat_map(|c| c["hashes"].as_array().unwrap()) {
        let content = hash["content"].as_str().unwrap();
        assert!([64, 128].contains(&content.len()) && content.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    }
}

#[test]
fn the_serial_number_is_a_uuid_made_of_the_content() {
    let bom: Value = serde_json::from_slice(&document()).unwrap();
    let number = bom["serialNumber"].as_str().unwrap();
    let parts: Vec<&str> = number.strip_prefix("urn:uuid:").unwrap().split('-').collect();
    assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(parts[2].starts_with('8') && "89ab".contains(&parts[3][..1]), "{number}");
    assert_ne!(serial_number(&Digest::of(b"a")), serial_number(&Digest::of(b"b")));
}
