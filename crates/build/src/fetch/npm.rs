//! npm: `package-lock.json` (versions 2 and 3), and the content-addressed cache that `npm ci` leaves.
//!
//! No script of any package is run while fetching, and the settings of a repository's `.npmrc` are limited to those
//! that can not name a program.

use std::{collections::BTreeMap, path::Path};

use base64::Engine as _;
use serde::Deserialize;
use sha2::Sha512;

use super::{
    DependencyDigest, Endpoint, FetchError, FetchStep, LockedDependency, OWN, check_count, hash_file, inside,
    own_folder, purl_part, read, write,
};

const LOCK: &str = "package-lock.json";
const SETTINGS: &str = ".npmrc";
/// Settings of a repository that only say what is fetched and how it is laid out.
const ALLOWED: [&str; 14] = [
    "audit",
    "engine-strict",
    "fund",
    "install-strategy",
    "legacy-peer-deps",
    "lockfile-version",
    "omit",
    "package-lock",
    "progress",
    "registry",
    "save",
    "save-exact",
    "save-prefix",
    "strict-peer-deps",
];

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "lockfileVersion")]
    version: u32,
    #[serde(default)]
    packages: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    link: bool,
}

pub(super) fn steps(workspace: &Path, registries: &[Endpoint]) -> Result<Vec<FetchStep>, FetchError> {
    lock(workspace)?;
    check_settings(workspace)?;
    let own = own_folder(workspace, "npm")?;
    write(&own.join("userconfig"), "")?;
    let mut environment: BTreeMap<String, String> = environment().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    environment.remove("npm_config_offline");
    let mut command =
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=warn"].map(str::to_owned).to_vec();
    if let Some(loopback) = registries.iter().find(|r| r.loopback().is_some()) {
        // Lock files name the registry that they were written against; a declared mirror on this machine stands in.
        command.push(format!("--registry=http://{loopback}/"));
        command.push("--replace-registry-host=always".to_owned());
    }
    Ok(vec![FetchStep { network: true, command, directory: crate::sandbox::WORKSPACE.into(), environment }])
}

pub(super) fn environment() -> Vec<(&'static str, String)> {
    vec![
        ("npm_config_cache", inside(".countersign/npm/cache")),
        ("npm_config_userconfig", inside(".countersign/npm/userconfig")),
        ("npm_config_globalconfig", "/nonexistent".to_owned()),
        ("npm_config_ignore_scripts", "true".to_owned()),
        ("npm_config_git", "/bin/false".to_owned()),
        ("npm_config_update_notifier", "false".to_owned()),
        // One more try after a second; the usual waits add up to more than a minute for what will not get better.
        ("npm_config_fetch_retries", "1".to_owned()),
        ("npm_config_fetch_retry_mintimeout", "1000".to_owned()),
        ("npm_config_fetch_retry_maxtimeout", "1000".to_owned()),
        ("npm_config_offline", "true".to_owned()),
    ]
}

fn check_settings(workspace: &Path) -> Result<(), FetchError> {
    let text = read(&workspace.join(SETTINGS))?.unwrap_or_default();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', ';'])) {
        let key = line.split('=').next().unwrap_or_default().trim();
        let scope = key.starts_with('@') && key.ends_with(":registry");
        if !scope && !ALLOWED.contains(&key) {
            let hint = "leave it out of the repository; credentials and programs are a matter of the machine";
            return Err(FetchError::Setting { file: SETTINGS.to_owned(), setting: key.to_owned(), hint });
        }
    }
    Ok(())
}

fn lock(workspace: &Path) -> Result<Lock, FetchError> {
    let hint = "run `npm install --package-lock-only` and commit it";
    let text = read(&workspace.join(LOCK))?.ok_or(FetchError::NoLock { file: LOCK, hint })?;
    let wrong = |why: String| FetchError::Lock { file: LOCK.to_owned(), why };
    let lock: Lock = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    if !matches!(lock.version, 2 | 3) {
        return Err(wrong(format!(
            "its version is {} instead of 2 or 3: write it again with npm 7 or later",
            lock.version
        )));
    }
    check_count(LOCK, lock.packages.len())?;
    Ok(lock)
}

pub(super) fn verify(workspace: &Path) -> Result<Vec<LockedDependency>, FetchError> {
    let mut found = Vec::new();
    for (path, package) in lock(workspace)?.packages {
        // The empty path is the repository itself; links and paths outside of `node_modules` are parts of it.
        let Some((_, folder)) = path.rsplit_once("node_modules/").filter(|_| !package.link) else { continue };
        let name = package.name.unwrap_or_else(|| folder.to_owned());
        let version = package.version.unwrap_or_default();
        let shown = format!("{name} {version}");
        let hint = "write the lock file again with npm 7 or later, from a registry";
        let no_digest = || FetchError::NoDigest { file: LOCK, dependency: shown.clone(), hint };
        let integrity = package.integrity.ok_or_else(no_digest)?;
        let encoded = integrity.split_whitespace().find_map(|i| i.strip_prefix("sha512-")).ok_or_else(no_digest)?;
        let digest = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| no_digest())?;
        let digest = hex::encode(digest);
        check_cached(workspace, &digest, &shown)?;
        let encoded_name: Vec<String> = name.split('/').map(purl_part).collect();
        let purl = format!("pkg:npm/{}@{}", encoded_name.join("/"), purl_part(&version));
        let source = package.resolved.unwrap_or_default();
        found.push(LockedDependency { name, version, digest: DependencyDigest::Sha512(digest), source, purl });
    }
    Ok(found)
}

/// npm's cache has content under its own digest (npm/cacache, `lib/content/path.js`). Optional dependencies of other
/// platforms are in the lock file, but never fetched; what is there must be right.
fn check_cached(workspace: &Path, digest: &str, shown: &str) -> Result<(), FetchError> {
    let parts = (digest.get(..2), digest.get(2..4), digest.get(4..));
    let (Some(a), Some(b), Some(rest)) = parts else {
        return Err(FetchError::NoDigest { file: LOCK, dependency: shown.to_owned(), hint: "its digest is too short" });
    };
    let path = workspace.join(OWN).join("npm/cache/_cacache/content-v2/sha512").join(a).join(b).join(rest);
    if !path.exists() {
        return Ok(());
    }
    let found = hex::encode(hash_file::<Sha512>(&path)?);
    if found == digest {
        return Ok(());
    }
    Err(FetchError::Mismatch { dependency: shown.to_owned(), found, wanted: digest.to_owned() })
}
