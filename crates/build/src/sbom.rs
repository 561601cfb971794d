//! The bill of materials: every image of a release with what it is made of, as CycloneDX 1.6 JSON.
//!
//! Equal content gives equal bytes: the time is that of the commit, and the serial number of the document is derived
//! from its content. Source: CycloneDX/specification `schema/bom-1.6.schema.json`.

use std::collections::{BTreeMap, BTreeSet};

use model::{Commit, ComponentName, Digest, Serial, SystemName, Timestamp};
use serde_json::{Value, json};

use crate::{
    fetch::{DependencyDigest, LockedDependency},
    image::Library,
    toolchain::Tool,
};

#[cfg(test)]
mod tests;

/// What a bill of materials is made of.
#[derive(Clone, Debug)]
pub struct Bill<'a> {
    /// The system.
    pub system: &'a SystemName,
    /// The serial of the change.
    pub serial: &'a Serial,
    /// The commit.
    pub commit: Commit,
    /// When the commit was made.
    pub committed_at: Timestamp,
    /// The images.
    pub images: Vec<BilledImage<'a>>,
    /// The tools that built them.
    pub tools: &'a [Tool],
}

/// One image with what it is made of.
#[derive(Clone, Debug)]
pub struct BilledImage<'a> {
    /// The component.
    pub component: &'a ComponentName,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The dependencies of the build that it is from.
    pub dependencies: &'a [LockedDependency],
    /// The libraries of the machine that are in it.
    pub libraries: &'a [Library],
}

/// The document, as JSON without spaces.
pub fn sbom(bill: &Bill<'_>) -> Vec<u8> {
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    let mut depends: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let system = format!("system:{}@{}", bill.system, bill.serial);
    for image in &bill.images {
        let reference = format!("image:{}@{}", image.component, image.digest);
        depends.entry(system.clone()).or_default().insert(reference.clone());
        let parts = depends.entry(reference.clone()).or_default();
        for dependency in image.dependencies {
            parts.insert(dependency.purl.clone());
            components.insert(dependency.purl.clone(), locked(dependency));
        }
        for library in image.libraries {
            let (reference, component) = shared(library);
            parts.insert(reference.clone());
            components.insert(reference, component);
        }
        components.insert(reference.clone(), container(image, bill.serial, &reference));
    }
    let leaves: Vec<String> = components.keys().filter(|c| !depends.contains_key(*c)).cloned().collect();
    depends.extend(leaves.into_iter().map(|leaf| (leaf, BTreeSet::new())));
    let depends: Vec<Value> = depends.iter().map(|(name, on)| json!({ "ref": name, "dependsOn": on })).collect();
    let tools: Vec<Value> = bill
        .tools
        .iter()
        .map(|t| json!({ "type": "application", "name": t.name, "version": t.version, "hashes": sha256(&t.digest) }))
        .collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": bill.committed_at.to_string(),
            "component": {
                "type": "application", "bom-ref": system, "name": bill.system, "version": bill.serial,
                "properties": [{ "name": "countersign:commit", "value": bill.commit }],
            },
            "tools": { "components": tools },
        },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": depends,
    });
    let number = serial_number(&Digest::of(document.to_string().as_bytes()));
    if let Some(fields) = document.as_object_mut() {
        fields.insert("serialNumber".to_owned(), Value::String(number));
    }
    document.to_string().into_bytes()
}

fn container(image: &BilledImage<'_>, serial: &Serial, reference: &str) -> Value {
    json!({
        "type": "container", "bom-ref": reference, "name": image.component, "version": serial,
        "purl": format!("pkg:oci/{}@sha256%3A{}", image.component, image.digest.hex()),
        "hashes": sha256(&image.digest),
    })
}

fn locked(dependency: &LockedDependency) -> Value {
    let hashes = match &dependency.digest {
        DependencyDigest::Sha256(digest) => sha256(digest),
        DependencyDigest::Sha512(hex) => json!([{ "alg": "SHA-512", "content": hex }]),
        // A commit is no digest of the content in the sense of the schema.
        DependencyDigest::GitCommit(_) => json!([]),
    };
    let mut properties = vec![json!({ "name": "countersign:source", "value": dependency.source })];
    if let DependencyDigest::GitCommit(commit) = &dependency.digest {
        properties.push(json!({ "name": "countersign:git-commit", "value": commit }));
    }
    json!({
        "type": "library", "bom-ref": dependency.purl, "name": dependency.name, "version": dependency.version,
        "purl": dependency.purl, "hashes": hashes, "properties": properties,
    })
}

/// A library of the machine. Several files may be from one package; each file is a component of its own.
fn shared(library: &Library) -> (String, Value) {
    let reference = format!("file:{}@{}", library.path, library.digest);
    let mut component = json!({
        "type": "library", "bom-ref": reference, "name": library.path, "hashes": sha256(&library.digest),
        "properties": [{ "name": "countersign:source", "value": "the machine that built it" }],
    });
    if let (Some(fields), Some(package)) = (component.as_object_mut(), &library.package) {
        let purl = format!(
            "pkg:deb/{}/{}@{}?arch={}",
            package.distribution,
            package.name,
            package.version.replace(':', "%3A").replace('+', "%2B").replace('~', "%7E"),
            package.architecture
        );
        fields.insert("version".to_owned(), json!(package.version));
        fields.insert("purl".to_owned(), json!(purl));
    }
    (reference, component)
}

fn sha256(digest: &Digest) -> Value {
    json!([{ "alg": "SHA-256", "content": digest.hex() }])
}

/// A UUID of version 8 (RFC 9562 section 5.8): the first 128 bits of a digest with the bits of version and variant.
fn serial_number(digest: &Digest) -> String {
    let mut bits = u128::from_be_bytes(digest.as_bytes().first_chunk::<16>().copied().unwrap_or_default());
    bits = (bits & !(0xF << 76)) | (8 << 76);
    bits = (bits & !(0b11 << 62)) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
