//! One package's line in the index, made from the manifest inside its `.crate` file.
//!
//! Fields as in <https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema>; manifests are the
//! normalised ones that cargo packs. Reads bytes that it is given, and writes nothing.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Unpacked; keeps a small file from growing without end.
const UNPACKED_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// The largest manifest of the example's packages, that of `windows-sys`, is 30 KiB.
const MANIFEST_MAX_BYTES: u64 = 1024 * 1024;

/// Why a file is not a package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Not readable, or not a packed archive.
    #[error("it can not be read")]
    Io(#[source] io::Error),
    /// No `NAME-VERSION/Cargo.toml`.
    #[error("it holds no Cargo.toml")]
    NoManifest,
    /// The manifest is not one.
    #[error("its Cargo.toml can not be understood")]
    Manifest(#[source] toml_edit::de::Error),
    /// The manifest names something that the index can not carry.
    #[error("its Cargo.toml has a dependency `{0}` without a version, or from elsewhere")]
    Dependency(String),
    /// The name can not be a path in the index.
    #[error("`{0}` is not a name for a package")]
    Name(String),
    /// The line could not be written.
    #[error("its index entry could not be written")]
    Entry(#[source] serde_json::Error),
}

/// A package as the index knows it.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// JSON and a line feed.
    pub(super) line: Vec<u8>,
}

impl Package {
    /// Where the index has it: `3/s/syn`, `se/rd/serde`.
    pub(super) fn index_path(&self) -> String {
        let name = self.name.to_ascii_lowercase();
        let part = |range| name.get(range).unwrap_or_default();
        match name.len() {
            1 => format!("1/{name}"),
            2 => format!("2/{name}"),
            3 => format!("3/{}/{name}", part(0..1)),
            _ => format!("{}/{}/{name}", part(0..2), part(2..4)),
        }
    }
}

/// Reads a `.crate` file.
pub(super) fn read(bytes: &[u8]) -> Result<Package, PackageError> {
    let manifest: Manifest = toml_edit::de::from_str(&manifest_text(bytes)?).map_err(PackageError::Manifest)?;
    let Manifest { package: Meta { name, version, links, rust_version }, features, target, tables } = manifest;
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(valid) {
        return Err(PackageError::Name(name));
    }
    let mut deps = Vec::new();
    add(&mut deps, tables, None)?;
    for (condition, tables) in target {
        add(&mut deps, tables, Some(&condition))?;
    }
    // Old cargos can not read `dep:` and `?/`, so the format has them apart, and marks the entry.
    let (features2, features): (BTreeMap<_, _>, BTreeMap<_, _>) =
        features.into_iter().partition(|(_, means)| means.iter().any(|m| m.starts_with("dep:") || m.contains("?/")));
    let entry = Entry {
        name: &name,
        vers: &version,
        deps,
        features,
        v: if features2.is_empty() { 1 } else { 2 },
        features2,
        cksum: hex::encode(Sha256::digest(bytes)),
        yanked: false,
        links,
        rust_version,
    };
    let mut line = serde_json::to_vec(&entry).map_err(PackageError::Entry)?;
    line.push(b'\n');
    Ok(Package { name, version, line })
}

fn manifest_text(bytes: &[u8]) -> Result<String, PackageError> {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(UNPACKED_MAX_BYTES));
    for entry in archive.entries().map_err(PackageError::Io)? {
        let entry = entry.map_err(PackageError::Io)?;
        let path = entry.path().map_err(PackageError::Io)?;
        if path.components().count() == 2 && path.ends_with("Cargo.toml") {
            let mut text = String::new();
            entry.take(MANIFEST_MAX_BYTES).read_to_string(&mut text).map_err(PackageError::Io)?;
            return Ok(text);
        }
    }
    Err(PackageError::NoManifest)
}

fn add(to: &mut Vec<EntryDependency>, tables: Tables, target: Option<&str>) -> Result<(), PackageError> {
    let Tables { dependencies, build_dependencies, dev_dependencies } = tables;
    for (kind, table) in [("normal", dependencies), ("build", build_dependencies), ("dev", dev_dependencies)] {
        for (name, dependency) in table {
            let Detail { version, features, optional, default_features, package, registry_index } = match dependency {
                Dependency::Version(version) => Detail { version: Some(version), ..Detail::default() },
                Dependency::Detail(detail) => detail,
            };
            let Some(req) = version.filter(|_| registry_index.is_none()) else {
                return Err(PackageError::Dependency(name));
            };
            to.push(EntryDependency {
                name,
                req,
                features,
                optional,
                default_features: default_features.unwrap_or(true),
                target: target.map(str::to_owned),
                kind,
                package,
            });
        }
    }
    Ok(())
}

/// What is read of a manifest; everything else in it is no business of the index.
#[derive(Deserialize)]
struct Manifest {
    package: Meta,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    target: BTreeMap<String, Tables>,
    #[serde(flatten)]
    tables: Tables,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    name: String,
    version: String,
    links: Option<String>,
    rust_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Tables {
    #[serde(default)]
    dependencies: BTreeMap<String, Dependency>,
    #[serde(default)]
    build_dependencies: BTreeMap<String, Dependency>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Dependency>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Dependency {
    Version(String),
    Detail(Detail),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Detail {
    version: Option<String>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    optional: bool,
    default_features: Option<bool>,
    package: Option<String>,
    registry_index: Option<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    vers: &'a str,
    deps: Vec<EntryDependency>,
    features: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    features2: BTreeMap<String, Vec<String>>,
    cksum: String,
    yanked: bool,
    links: Option<String>,
    rust_version: Option<String>,
    v: u32,
}

#[derive(Serialize)]
struct EntryDependency {
    name: String,
    req: String,
    features: Vec<String>,
    optional: bool,
    default_features: bool,
    target: Option<String>,
    kind: &'static str,
    package: Option<String>,
}
