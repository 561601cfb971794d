//! Cargo: `Cargo.lock`, and the archives that `cargo fetch` puts into `CARGO_HOME`.
//!
//! Cargo takes its configuration from the folder that it starts in, so it is started outside of the repository and
//! given only the tables that say where packages come from. A `build.rustc`, a credential provider or a wrapper in
//! the repository would otherwise be run in the phase that has a network.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use model::Digest;
use toml_edit::{DocumentMut, Item, Table, Value};

use super::{
    DependencyDigest, FetchError, FetchStep, LockedDependency, OWN, check_count, check_sha256, inside, own_folder,
    purl_part, read, write,
};

const LOCK: &str = "Cargo.lock";
const HOME: &str = ".countersign/cargo";
/// The two names of the configuration, the older one last.
const CONFIGS: [&str; 2] = [".cargo/config.toml", ".cargo/config"];
/// Keys of a `[source]` that say where packages come from (Cargo book, "Source Replacement").
const SOURCE_KEYS: [&str; 8] =
    ["replace-with", "directory", "registry", "local-registry", "git", "branch", "tag", "rev"];
/// crates.io under the two names that lock files give it.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

pub(super) fn steps(workspace: &Path) -> Result<Vec<FetchStep>, FetchError> {
    packages(workspace)?;
    let home = own_folder(workspace, "cargo")?;
    write(&home.join("config.toml"), &sources(workspace)?.to_string())?;
    let mut environment: BTreeMap<String, String> = environment().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    environment.remove("CARGO_NET_OFFLINE");
    environment.insert("CARGO_HTTP_TIMEOUT".to_owned(), "30".to_owned());
    environment.insert("CARGO_HTTP_MULTIPLEXING".to_owned(), "false".to_owned());
    environment.insert("CARGO_NET_GIT_FETCH_WITH_CLI".to_owned(), "false".to_owned());
    let command = ["cargo", "fetch", "--locked", "--manifest-path", "/workspace/Cargo.toml"];
    Ok(vec![FetchStep {
        network: true,
        command: command.map(str::to_owned).to_vec(),
        directory: "/tmp".into(),
        environment,
    }])
}

pub(super) fn environment() -> Vec<(&'static str, String)> {
    vec![
        ("CARGO_HOME", inside(HOME)),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
        ("CARGO_TERM_COLOR", "never".to_owned()),
        ("CARGO_TERM_PROGRESS_WHEN", "never".to_owned()),
        // Incremental compilation leaves traces of its own state in the artifacts.
        ("CARGO_INCREMENTAL", "0".to_owned()),
    ]
}

/// The parts of the repository's configuration that say where packages come from.
fn sources(workspace: &Path) -> Result<DocumentMut, FetchError> {
    let mut kept = DocumentMut::new();
    let Some((name, text)) = config(workspace)? else { return Ok(kept) };
    let parsed: DocumentMut = text
        .parse()
        .map_err(|e: toml_edit::TomlError| FetchError::Lock { file: name.to_owned(), why: e.message().to_owned() })?;
    let strings = |table: &dyn toml_edit::TableLike, allowed: &[&str]| {
        let mut out = Table::new();
        for (key, item) in table.iter().filter(|(k, _)| allowed.contains(k)) {
            if let Some(text) = item.as_str() {
                let is_path = matches!(key, "directory" | "local-registry") && !text.starts_with('/');
                let text = if is_path { inside(text) } else { text.to_owned() };
                out.insert(key, Item::Value(Value::from(text)));
            }
        }
        out
    };
    for (section, allowed) in [("source", &SOURCE_KEYS[..]), ("registries", &["index"])] {
        let Some(table) = parsed.get(section).and_then(Item::as_table_like) else { continue };
        let mut out = Table::new();
        for (name, item) in table.iter() {
            if let Some(inner) = item.as_table_like() {
                out.insert(name, Item::Table(strings(inner, allowed)));
            }
        }
        kept.insert(section, Item::Table(out));
    }
    if let Some(registry) = parsed.get("registry").and_then(Item::as_table_like) {
        kept.insert("registry", Item::Table(strings(registry, &["default"])));
    }
    Ok(kept)
}

fn config(workspace: &Path) -> Result<Option<(&'static str, String)>, FetchError> {
    for name in CONFIGS {
        // A link could lead to what is not covered by the commit; `read` refuses one at the end, this one before.
        if let Some(text) = read(&workspace.join(name))? {
            return Ok(Some((name, text)));
        }
    }
    Ok(None)
}

struct Package {
    name: String,
    version: String,
    source: String,
    checksum: Option<String>,
}

/// The packages of the lock file that come from elsewhere.
fn packages(workspace: &Path) -> Result<Vec<Package>, FetchError> {
    let hint = "run `cargo generate-lockfile` and commit it";
    let text = read(&workspace.join(LOCK))?.ok_or(FetchError::NoLock { file: LOCK, hint })?;
    let wrong = |why: &str| FetchError::Lock { file: LOCK.to_owned(), why: why.to_owned() };
    let parsed: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| wrong(e.message()))?;
    let Some(item) = parsed.get("package") else { return Ok(Vec::new()) };
    let tables = item.as_array_of_tables().ok_or_else(|| wrong("`package` is not a list of tables"))?;
    let mut found = Vec::new();
    for table in tables {
        let text = |key: &str| table.get(key).and_then(Item::as_str).map(str::to_owned);
        let (Some(name), Some(version)) = (text("name"), text("version")) else {
            return Err(wrong("a package has no name or no version"));
        };
        let plain = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
        if !plain(&name) || !plain(&version) {
            return Err(wrong("the name or version of a package has characters that no package has"));
        }
        // Without a source it is part of the repository, and so of the commit.
        if let Some(source) = text("source") {
            found.push(Package { name, version, source, checksum: text("checksum") });
        }
    }
    check_count(LOCK, found.len())?;
    Ok(found)
}

pub(super) fn verify(workspace: &Path) -> Result<Vec<LockedDependency>, FetchError> {
    let archives = archives(workspace)?;
    // Packages in folders of the repository are part of the commit, and Cargo compares them with the lock file.
    let vendored = sources(workspace)?.get("source").and_then(Item::as_table_like).is_some_and(|sources| {
        sources.iter().any(|(_, s)| {
            s.as_table_like().is_some_and(|s| s.contains_key("directory") || s.contains_key("local-registry"))
        })
    });
    let mut found = Vec::new();
    for package in packages(workspace)? {
        let shown = format!("{} {}", package.name, package.version);
        let hint = "remove the lock file, run `cargo generate-lockfile` and commit it";
        let no_digest = || FetchError::NoDigest { file: LOCK, dependency: shown.clone(), hint };
        let digest = match (&package.checksum, package.source.strip_prefix("git+")) {
            (Some(checksum), _) => {
                let digest = Digest::from_hex(checksum).map_err(|_| no_digest())?;
                match archives.get(&format!("{}-{}.crate", package.name, package.version)) {
                    Some(paths) => paths.iter().try_for_each(|path| check_sha256(path, &digest, &shown))?,
                    None if vendored => {}
                    None => return Err(FetchError::Missing { file: LOCK, dependency: shown }),
                }
                DependencyDigest::Sha256(digest)
            }
            (None, Some(git)) => {
                let commit = git
                    .rsplit_once('#')
                    .map(|(_, c)| c)
                    .filter(|c| c.len() == 40 && c.bytes().all(|b| b.is_ascii_hexdigit()));
                DependencyDigest::GitCommit(commit.ok_or_else(no_digest)?.to_owned())
            }
            (None, None) => return Err(no_digest()),
        };
        let purl = purl(&package);
        found.push(LockedDependency {
            name: package.name,
            version: package.version,
            digest,
            source: package.source,
            purl,
        });
    }
    Ok(found)
}

fn purl(package: &Package) -> String {
    let plain = format!("pkg:cargo/{}@{}", purl_part(&package.name), purl_part(&package.version));
    if CRATES_IO.contains(&package.source.as_str()) {
        return plain;
    }
    let source = package.source.split('#').next().unwrap_or_default();
    match source.strip_prefix("git+") {
        Some(git) => format!("{plain}?vcs_url={}", purl_part(git)),
        None => format!("{plain}?repository_url={}", purl_part(source)),
    }
}

/// The archives that were fetched, by file name; the same name from two registries gives two.
fn archives(workspace: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, FetchError> {
    let cache = workspace.join(OWN).join("cargo/registry/cache");
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let Ok(registries) = fs::read_dir(&cache) else { return Ok(found) };
    for registry in registries.flatten() {
        let path = registry.path();
        let files = fs::read_dir(&path).map_err(super::io_error("list", &path))?;
        for file in files.flatten() {
            found.entry(file.file_name().to_string_lossy().into_owned()).or_default().push(file.path());
        }
    }
    Ok(found)
}
