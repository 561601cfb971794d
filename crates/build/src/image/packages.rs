//! Which package of the distribution a file of this machine is from, read from dpkg's database as it is on disk
//! (dpkg(1), "FILES": `info/*.list` has the files of each package, `status` the versions).
//!
//! It is read here and not by `dpkg-query`, so that a confined process needs nothing but leave to read one folder.
//! A machine without the database has no packages to name; that is said by leaving them out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Where the database is.
pub(super) const DATABASE: &str = "/var/lib/dpkg";
/// A file of the database; `status` of a machine with everything installed has some dozen MiB.
const FILE_LIMIT_BYTES: u64 = 256 << 20;

/// A package of the distribution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The distribution, as `ID` of os-release(5) says.
    pub distribution: String,
}

/// The packages of these files, as far as the database knows them.
pub(super) fn of(database: &Path, files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Package> {
    let mut owners: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
    // On merged systems a file is listed under one of two names, with `/usr` in front or without.
    let mut wanted: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for file in files {
        let name = file.to_string_lossy().into_owned();
        let other = name.strip_prefix("/usr").map_or_else(|| format!("/usr{name}"), str::to_owned);
        wanted.extend([(name, file), (other, file)]);
    }
    for entry in fs::read_dir(database.join("info")).into_iter().flatten().flatten() {
        let Some(package) = entry.file_name().to_str().and_then(|n| n.strip_suffix(".list")).map(str::to_owned) else {
            continue;
        };
        let listed = read(&entry.path());
        let found = listed.lines().filter_map(|line| wanted.get(line).copied());
        let found: BTreeSet<&PathBuf> = found.collect();
        if !found.is_empty() {
            owners.insert(package, found.into_iter().collect());
        }
    }
    let distribution = distribution();
    let mut packages = BTreeMap::new();
    for stanza in read(&database.join("status")).split("\n\n").filter(|_| !owners.is_empty()) {
        let field =
            |name: &str| stanza.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
        let (Some(name), Some(version), Some(architecture)) =
            (field("Package"), field("Version"), field("Architecture"))
        else {
            continue;
        };
        // The list of a package that can be installed for several architectures has the architecture in its name.
        let lists = [format!("{name}:{architecture}"), name.clone()];
        for file in lists.iter().find_map(|list| owners.get(list)).into_iter().flatten() {
            let distribution = distribution.clone();
            let (name, version, architecture) = (name.clone(), version.clone(), architecture.clone());
            packages.insert((*file).clone(), Package { name, version, architecture, distribution });
        }
    }
    packages
}

fn read(path: &Path) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LIMIT_BYTES).read_to_end(&mut text));
    if read.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The `ID` of os-release(5).
fn distribution() -> String {
    let text = read(Path::new("/etc/os-release"));
    let id = text.lines().find_map(|l| l.strip_prefix("ID=")).unwrap_or("linux");
    id.trim_matches('"').to_owned()
}
