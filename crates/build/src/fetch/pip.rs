//! pip: `requirements.txt` in which every requirement has hashes (pip documentation, "Secure installs"), and the
//! wheels that `pip download` puts into a folder. Source distributions are refused, because building one runs code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use model::Digest;
use sha2::Sha256;

use super::{
    DependencyDigest, Endpoint, FetchError, FetchStep, LockedDependency, OWN, check_count, hash_file, inside,
    own_folder, purl_part, read,
};

const LOCK: &str = "requirements.txt";
const WHEELS: &str = ".countersign/wheels";
const HINT: &str =
    "write it with `pip-compile --generate-hashes`, one `name==version` with `--hash=sha256:…` a requirement";

struct Requirement {
    name: String,
    version: String,
    hashes: BTreeSet<Digest>,
}

pub(super) fn steps(workspace: &Path, registries: &[Endpoint]) -> Result<Vec<FetchStep>, FetchError> {
    requirements(workspace)?;
    own_folder(workspace, "wheels")?;
    let registry = registries.first().ok_or(FetchError::NoRegistry)?;
    let scheme = if registry.loopback().is_some() { "http" } else { "https" };
    let index = format!("{scheme}://{registry}/simple/");
    let lock = inside(LOCK);
    let wheels = inside(WHEELS);
    let command = [
        "/usr/bin/python3",
        "-m",
        "pip",
        "download",
        "--isolated",
        "--no-input",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--index-url",
        &index,
        "--dest",
        &wheels,
        "--requirement",
        &lock,
    ];
    let command = command.map(str::to_owned).to_vec();
    Ok(vec![FetchStep { network: true, command, directory: "/tmp".into(), environment: BTreeMap::new() }])
}

pub(super) fn environment() -> Vec<(&'static str, String)> {
    vec![
        ("PIP_NO_INDEX", "1".to_owned()),
        ("PIP_FIND_LINKS", inside(WHEELS)),
        ("PIP_CONFIG_FILE", "/dev/null".to_owned()),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("PYTHONHASHSEED", "0".to_owned()),
    ]
}

/// Reads the lines `name==version ; marker --hash=sha256:… \`. Everything that names another place (`-e`, `-r`, a
/// URL, a path, an index) is refused rather than passed over.
fn requirements(workspace: &Path) -> Result<Vec<Requirement>, FetchError> {
    let text = read(&workspace.join(LOCK))?.ok_or(FetchError::NoLock { file: LOCK, hint: HINT })?;
    let mut found = Vec::new();
    for line in text.replace("\\\n", " ").replace("\\\r\n", " ").lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = |why: &str| FetchError::Lock {
            file: LOCK.to_owned(),
            why: format!("`{}` {why}; {HINT}", line.chars().take(80).collect::<String>()),
        };
        if line.starts_with('-') {
            return Err(refused("is an option, and only requirements are allowed"));
        }
        let (requirement, options) = line.find(" --").map_or((line, ""), |at| line.split_at(at));
        let requirement = requirement.split(';').next().unwrap_or_default();
        let (name, version) = requirement.split_once("==").ok_or_else(|| refused("does not name one version"))?;
        let name = name.split('[').next().unwrap_or_default().trim();
        let version = version.trim();
        let plain = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b));
        if !plain(name) || !plain(version) {
            return Err(refused("is not a name and a version"));
        }
        let mut hashes = BTreeSet::new();
        for option in options.split_whitespace() {
            let hash = option
                .strip_prefix("--hash=sha256:")
                .ok_or_else(|| refused("has an option that is not a SHA-256 hash"))?;
            hashes.insert(Digest::from_hex(hash).map_err(|_| refused("has a hash that is not one"))?);
        }
        if hashes.is_empty() {
            return Err(FetchError::NoDigest { file: LOCK, dependency: format!("{name} {version}"), hint: HINT });
        }
        found.push(Requirement { name: normal(name), version: version.to_owned(), hashes });
    }
    check_count(LOCK, found.len())?;
    Ok(found)
}

/// The normal form of a name (PyPA, "Names and normalization").
fn normal(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().map(|c| if matches!(c, '_' | '.') { '-' } else { c.to_ascii_lowercase() }) {
        if !(c == '-' && out.ends_with('-')) {
            out.push(c);
        }
    }
    out
}

pub(super) fn verify(workspace: &Path) -> Result<Vec<LockedDependency>, FetchError> {
    let folder = workspace.join(OWN).join("wheels");
    let mut fetched: BTreeMap<Digest, String> = BTreeMap::new();
    for file in fs::read_dir(&folder).map_err(super::io_error("list", &folder))?.flatten() {
        let hash = hash_file::<Sha256>(&file.path())?;
        let hash = <[u8; 32]>::try_from(hash.as_slice()).unwrap_or_default();
        fetched.insert(Digest::from_bytes(hash), file.file_name().to_string_lossy().into_owned());
    }
    let mut found = Vec::new();
    for requirement in requirements(workspace)? {
        // A requirement whose marker does not hold here is not fetched; one that is must have a hash of its own.
        for digest in &requirement.hashes {
            let Some(file) = fetched.remove(digest) else { continue };
            found.push(LockedDependency {
                name: requirement.name.clone(),
                version: requirement.version.clone(),
                digest: DependencyDigest::Sha256(*digest),
                source: file,
                purl: format!("pkg:pypi/{}@{}", purl_part(&requirement.name), purl_part(&requirement.version)),
            });
        }
    }
    match fetched.into_iter().next() {
        None => Ok(found),
        Some((digest, file)) => Err(FetchError::Mismatch {
            dependency: file,
            found: digest.hex(),
            wanted: format!("one of those in {LOCK}"),
        }),
    }
}
