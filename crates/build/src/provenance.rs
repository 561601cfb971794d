//! Provenance: where images come from, as SLSA provenance v1 in an in-toto Statement v1.
//!
//! It is unsigned here; whoever holds the builder's key puts it into an envelope. Equal arguments give equal bytes.
//! Sources: in-toto/attestation `spec/v1/statement.md`, slsa-framework/slsa `spec/build-provenance.md` (v1.2).

use std::collections::BTreeMap;

use model::{Commit, ComponentName, Digest, Serial, SystemName, Timestamp};
use serde_json::{Map, Value, json};

use crate::{
    fetch::{DependencyDigest, LockedDependency},
    toolchain::Tool,
};

#[cfg(test)]
mod tests;

/// The type of the statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The type of its predicate.
pub const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// What the parameters of our builds mean; described in the documentation of the project.
pub const BUILD_TYPE: &str = "https://github.com/countersign/countersign/build/v1";

/// What provenance is made of.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// A URI for the builder: its key in the charter.
    pub builder: &'a str,
    /// The version of Countersign.
    pub builder_version: &'a str,
    /// The system.
    pub system: &'a SystemName,
    /// The serial of the change.
    pub serial: &'a Serial,
    /// The remote.
    pub remote: &'a str,
    /// The branch.
    pub branch: &'a str,
    /// The commit.
    pub commit: Commit,
    /// The images.
    pub images: &'a [(ComponentName, Digest)],
    /// The commands that built them, in the sandbox, by the name of the build.
    pub commands: &'a BTreeMap<String, Vec<Vec<String>>>,
    /// Everything that was fetched.
    pub dependencies: &'a [LockedDependency],
    /// The tools.
    pub tools: &'a [Tool],
    /// The digest of the bill of materials.
    pub sbom: Digest,
    /// When the build started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// The statement, as JSON without spaces.
pub fn provenance(facts: &Facts<'_>) -> Vec<u8> {
    let subjects: Vec<Value> = facts
        .images
        .iter()
        .map(|(name, digest)| json!({ "name": name, "digest": { "sha256": digest.hex() } }))
        .collect();
    let repository = format!("git+{}@refs/heads/{}", facts.remote, facts.branch);
    let mut resolved = vec![json!({ "uri": repository, "digest": { "gitCommit": facts.commit } })];
    resolved.extend(facts.dependencies.iter().map(|d| {
        json!({
            "name": d.name,
            "uri": d.purl,
            "digest": Value::Object(digest_set(&d.digest)),
            "annotations": { "version": d.version, "source": d.source },
        })
    }));
    let tools: Vec<Value> =
        facts.tools.iter().map(|t| json!({ "name": t.name, "digest": { "sha256": t.digest.hex() }, "annotations": { "version": t.version } })).collect();
    let statement = json!({
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "repository": facts.remote,
                    "ref": format!("refs/heads/{}", facts.branch),
                    "commit": facts.commit,
                    "system": facts.system,
                    "serial": facts.serial,
                },
                "internalParameters": { "commands": facts.commands },
                "resolvedDependencies": resolved,
            },
            "runDetails": {
                "builder": { "id": facts.builder, "version": { "countersign": facts.builder_version }, "builderDependencies": tools },
                "metadata": {
                    "invocationId": facts.serial,
                    "startedOn": facts.started.to_string(),
                    "finishedOn": facts.finished.to_string(),
                },
                "byproducts": [{ "name": "sbom.cdx.json", "mediaType": "application/vnd.cyclonedx+json", "digest": { "sha256": facts.sbom.hex() } }],
            },
        },
    });
    statement.to_string().into_bytes()
}

/// An in-toto digest set (`spec/v1/digest_set.md`).
fn digest_set(digest: &DependencyDigest) -> Map<String, Value> {
    let (name, value) = match digest {
        DependencyDigest::Sha256(digest) => ("sha256", digest.hex()),
        DependencyDigest::Sha512(hex) => ("sha512", hex.clone()),
        DependencyDigest::GitCommit(commit) => ("gitCommit", commit.clone()),
    };
    Map::from_iter([(name.to_owned(), Value::String(value))])
}
