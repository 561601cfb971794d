use super::*;

#[test]
fn provenance_has_every_field_that_slsa_asks_for_and_is_the_same_twice() {
    let dependencies = [
        LockedDependency {
            name: "itoa".into(),
            version: "1.0.0".into(),
            digest: DependencyDigest::Sha256(Digest::of(b"itoa")),
            source: "registry".into(),
            purl: "pkg:cargo/itoa@1.0.0".into(),
        },
        LockedDependency {
            name: "forked".into(),
            version: "0.1.0".into(),
            digest: DependencyDigest::GitCommit("2".repeat(40)),
            source: "git+https://git.example/forked".into(),
            purl: "pkg:cargo/forked@0.1.0".into(),
        },
    ];
    let tools = [Tool { name: "rustc".into(), version: "rustc 1.95.0".into(), digest: Digest::of(b"rustc") }];
    let commands = BTreeMap::from([("rust".to_owned(), vec![vec!["cargo".to_owned(), "build".to_owned()]])]);
    let images = [("web".parse().unwrap(), Digest::of(b"web"))];
    let facts = Facts {
        builder: "urn:countersign:robot:builder",
        builder_version: "0.1.0",
        system: &"paydesk".parse().unwrap(),
        serial: &"paydesk-000042".parse().unwrap(),
        remote: "https://git.example/paydesk",
        branch: "main",
        commit: "1111111111111111111111111111111111111111".parse().unwrap(),
        images: &images,
        commands: &commands,
        dependencies: &dependencies,
        tools: &tools,
        sbom: Digest::of(b"sbom"),
        started: Timestamp::from_unix(1_700_000_000),
        finished: Timestamp::from_unix(1_700_000_060),
    };
    let bytes = provenance(&facts);
    assert_eq!(bytes, provenance(&facts));
    let web = Digest::of(b"web").hex();
    let (itoa, rustc, sbom) = (Digest::of(b"itoa").hex(), Digest::of(b"rustc").hex(), Digest::of(b"sbom").hex());
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "web", "digest": { "sha256": web } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "repository": "https://git.example/paydesk", "ref": "refs/heads/main", "commit": "1".repeat(40),
                    "system": "paydesk", "serial": "paydesk-000042",
                },
                "internalParameters": { "commands": { "rust": [["cargo", "build"]] } },
                "resolvedDependencies": [
                    { "uri": "git+https://git.example/paydesk@refs/heads/main", "digest": { "gitCommit": "1".repeat(40) } },
                    { "name": "itoa", "uri": "pkg:cargo/itoa@1.0.0", "digest": { "sha256": itoa }, "annotations": { "version": "1.0.0", "source": "registry" } },
                    {
                        "name": "forked", "uri": "pkg:cargo/forked@0.1.0", "digest": { "gitCommit": "2".repeat(40) },
                        "annotations": { "version": "0.1.0", "source": "git+https://git.example/forked" },
                    },
                ],
            },
            "runDetails": {
                "builder": {
                    "id": "urn:countersign:robot:builder", "version": { "countersign": "0.1.0" },
                    "builderDependencies": [{ "name": "rustc", "digest": { "sha256": rustc }, "annotations": { "version": "rustc 1.95.0" } }],
                },
                "metadata": { "invocationId": "paydesk-000042", "startedOn": "2023-11-14T22:13:20Z", "finishedOn": "2023-11-14T22:14:20Z" },
                "byproducts": [{ "name": "sbom.cdx.json", "mediaType": "application/vnd.cyclonedx+json", "digest": { "sha256": sbom } }],
            },
        },
    });
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);
}
