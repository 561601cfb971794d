//! Debian packages by a lock file of our own, so that server programs that others wrote can be built into an image.
//!
//! `debian.lock` has one line a package: `package version sha256 filename`, the last as the `Filename` field of a
//! `Packages` index has it (`pool/main/…`). Packages are unpacked, never installed: no maintainer script
//! runs. `apt-cache show PACKAGE` prints the four fields.

use std::{collections::BTreeMap, fs, path::Path};

use model::Digest;

use super::{
    DependencyDigest, Endpoint, FetchError, FetchStep, LockedDependency, OWN, check_count, check_sha256, inside,
    own_folder, purl_part, read,
};

const LOCK: &str = "debian.lock";
const HINT: &str = "write one line a package: `package version sha256 filename`, as `apt-cache show` prints the fields";
/// The program that apt itself downloads with; it compares digests as well.
const DOWNLOAD: &str = "/usr/lib/apt/apt-helper";
/// Where packages are unpacked to, in the workspace; `files = { "/" = ".countersign/debian" }` takes all of them.
const ROOT: &str = ".countersign/debian";
/// Unpacks every downloaded package, in the order of their names.
const UNPACK: &str =
    "for package in .countersign/debs/*.deb; do dpkg-deb --extract \"$package\" .countersign/debian || exit 1; done";

struct Package {
    name: String,
    version: String,
    digest: Digest,
    filename: String,
}

impl Package {
    /// The name of the file that it is downloaded to.
    fn file(&self) -> String {
        format!("{}_{}.deb", self.name, self.digest.short())
    }
}

pub(super) fn steps(workspace: &Path, registries: &[Endpoint]) -> Result<Vec<FetchStep>, FetchError> {
    let packages = packages(workspace)?;
    own_folder(workspace, "debs")?;
    own_folder(workspace, "debian")?;
    let registry = registries.first().ok_or(FetchError::NoRegistry)?;
    let mut command: Vec<String> =
        [DOWNLOAD, "-o", "Dir::Etc=/nonexistent", "-o", "APT::Sandbox::User=", "download-file"]
            .map(str::to_owned)
            .to_vec();
    for package in &packages {
        command.push(address(registry, &package.filename));
        command.push(inside(&format!(".countersign/debs/{}", package.file())));
        command.push(format!("SHA256:{}", package.digest.hex()));
    }
    let directory = Path::new(crate::sandbox::WORKSPACE).to_path_buf();
    let unpack = ["/bin/sh", "-c", UNPACK].map(str::to_owned).to_vec();
    Ok(vec![
        FetchStep { network: true, command, directory: "/tmp".into(), environment: BTreeMap::new() },
        FetchStep { network: false, command: unpack, directory, environment: BTreeMap::new() },
    ])
}

pub(super) fn environment() -> Vec<(&'static str, String)> {
    vec![("COUNTERSIGN_DEBIAN", inside(ROOT))]
}

/// Where a file is on the declared registry, whose port says whether it speaks HTTP or HTTPS. The distributions' own
/// servers have their archives below a folder, security updates below another; a mirror of one's own has the archive
/// at its root.
fn address(registry: &Endpoint, filename: &str) -> String {
    let folder = match registry.host() {
        "deb.debian.org" if filename.starts_with("pool/updates/") => "/debian-security",
        "deb.debian.org" | "ftp.debian.org" => "/debian",
        "security.debian.org" => "/debian-security",
        host if host.ends_with(".ubuntu.com") => "/ubuntu",
        _ => "",
    };
    let scheme = if registry.port() == 443 { "https" } else { "http" };
    format!("{scheme}://{registry}{folder}/{filename}")
}

fn packages(workspace: &Path) -> Result<Vec<Package>, FetchError> {
    let text = read(&workspace.join(LOCK))?.ok_or(FetchError::NoLock { file: LOCK, hint: HINT })?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong =
            |why: &str| FetchError::Lock { file: LOCK.to_owned(), why: format!("line {}: {why}; {HINT}", number + 1) };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, version, digest, filename] = words.as_slice() else {
            return Err(wrong("it does not have four words"));
        };
        let plain = |t: &str, more: &[u8]| t.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
        if !plain(name, b"+-.") || name.starts_with(['-', '.']) || !plain(version, b"+-.~:") {
            return Err(wrong("the name or the version has characters that no package has"));
        }
        let safe = filename.ends_with(".deb") && plain(filename, b"+-.~_/%:") && !filename.starts_with('/');
        if !safe || filename.split('/').any(|p| p.is_empty() || p == "..") {
            return Err(wrong("the file name is not a path to a package"));
        }
        let digest = Digest::from_hex(digest).map_err(|_| wrong("the third word is not a SHA-256"))?;
        found.push(Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            digest,
            filename: (*filename).to_owned(),
        });
    }
    check_count(LOCK, found.len())?;
    if found.is_empty() {
        return Err(FetchError::Lock { file: LOCK.to_owned(), why: format!("it names no package; {HINT}") });
    }
    Ok(found)
}

pub(super) fn verify(workspace: &Path) -> Result<Vec<LockedDependency>, FetchError> {
    let folder = workspace.join(OWN).join("debs");
    let mut wanted = 0;
    let mut found = Vec::new();
    for package in packages(workspace)? {
        let shown = format!("{} {}", package.name, package.version);
        let path = folder.join(package.file());
        if !path.is_file() {
            return Err(FetchError::Missing { file: LOCK, dependency: shown });
        }
        check_sha256(&path, &package.digest, &shown)?;
        wanted += 1;
        let purl = format!("pkg:deb/debian/{}@{}", purl_part(&package.name), purl_part(&package.version));
        found.push(LockedDependency {
            name: package.name,
            version: package.version,
            digest: DependencyDigest::Sha256(package.digest),
            source: package.filename,
            purl,
        });
    }
    let there = fs::read_dir(&folder).map_err(super::io_error("list", &folder))?.count();
    if there == wanted {
        Ok(found)
    } else {
        Err(FetchError::Lock { file: LOCK.to_owned(), why: "a package is named twice".to_owned() })
    }
}
