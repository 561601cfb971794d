//! Shared libraries: those of this machine that the programs of an image need and do not bring, with the package
//! that each is from.
//!
//! A library that is opened only while running (plug-ins, name services of other systems) can not be seen here.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use model::Digest;
use serde::{Deserialize, Serialize};

use super::{
    ImageError, Package, elf,
    layer::{Entry, Source, Tree, io_error},
    packages,
};
use crate::hashing;

/// A program or library; larger ones are not read for what they need.
const PROGRAM_LIMIT_BYTES: u64 = 2 << 30;

/// A shared library of this machine that was added to an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Where it is in the image.
    pub path: String,
    /// Its digest.
    pub digest: Digest,
    /// The package that it is from, where the machine's package database knows it.
    pub package: Option<Package>,
}

/// Adds what the programs in the tree need, and what that needs in turn.
pub(super) fn add(tree: &mut Tree) -> Result<Vec<Library>, ImageError> {
    let mut ahead: Vec<String> = tree.entries.keys().cloned().collect();
    let mut added = BTreeSet::new();
    while let Some(path) = ahead.pop() {
        let Some(needs) = needs_of(tree, &path)? else { continue };
        let folders = folders(&path, &needs.search);
        if let Some(interpreter) = needs.interpreter.as_ref().filter(|i| !is_there(tree, i)) {
            let place = place(tree, interpreter);
            let missing = |_| ImageError::Library { program: path.clone(), library: interpreter.clone() };
            take(tree, &place, Path::new(interpreter)).map_err(missing)?;
            added.insert(place.clone());
            ahead.push(place);
        }
        for library in &needs.libraries {
            let missing = || ImageError::Library { program: path.clone(), library: library.clone() };
            if library.contains('/') {
                if is_there(tree, library) {
                    continue;
                }
                return Err(missing());
            }
            if folders.iter().any(|f| is_there(tree, &format!("{f}/{library}"))) {
                continue;
            }
            let host = on_host(library, needs.machine).ok_or_else(missing)?;
            let place = place(tree, &host.to_string_lossy());
            take(tree, &place, &host)?;
            added.insert(place.clone());
            ahead.push(place);
        }
    }
    describe(tree, &added)
}

/// What a file of the tree needs; nothing for what is not a program.
fn needs_of(tree: &Tree, path: &str) -> Result<Option<elf::Needs>, ImageError> {
    let Some(Entry::File { source, bytes, .. }) = tree.entries.get(path) else { return Ok(None) };
    if *bytes < 64 || *bytes > PROGRAM_LIMIT_BYTES {
        return Ok(None);
    }
    let failed = |e| io_error("read", Path::new(path))(e);
    let mut reader = tree.reader(source)?;
    let mut data = vec![0; 16];
    reader.read_exact(&mut data).map_err(failed)?;
    if !elf::is_program(&data) {
        return Ok(None);
    }
    reader.take(*bytes).read_to_end(&mut data).map_err(failed)?;
    elf::needs(&data).map(Some).map_err(|e| ImageError::Elf { program: path.to_owned(), why: e.to_string() })
}

/// Where the loader of the image will look: the program's own folders, then the system's (ld.so(8)).
fn folders(path: &str, search: &[String]) -> Vec<String> {
    let origin = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = search.iter().map(|s| s.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)).map(|s| normal(&s));
    own.chain(system_folders()).collect()
}

fn system_folders() -> Vec<String> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let mut all = Vec::new();
    for root in ["/lib", "/usr/lib"] {
        all.push(format!("{root}/{triplet}"));
    }
    all.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
    all
}

/// A path without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whether a path leads to something in the tree, through folders that are links.
fn is_there(tree: &Tree, path: &str) -> bool {
    tree.entries.contains_key(&place(tree, path))
}

/// The path with links among its folders replaced by what they lead to, as on systems where `/lib` is one.
fn place(tree: &Tree, path: &str) -> String {
    let mut at = String::new();
    let mut parts = path.split('/').filter(|p| !p.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let next = format!("{at}/{part}");
        at = match tree.entries.get(&next) {
            Some(Entry::Link { target }) if parts.peek().is_some() => {
                let target = target.to_string_lossy();
                if target.starts_with('/') { normal(&target) } else { normal(&format!("{at}/{target}")) }
            }
            _ => next,
        };
    }
    at
}

/// A library of this machine, of the same kind of machine as the program.
fn on_host(library: &str, machine: u16) -> Option<PathBuf> {
    system_folders().into_iter().map(|f| Path::new(&f).join(library)).find(|path| {
        let data = fs::read(path).unwrap_or_default();
        elf::is_program(&data) && elf::needs(&data).is_ok_and(|n| n.machine == machine)
    })
}

fn take(tree: &mut Tree, place: &str, host: &Path) -> Result<(), ImageError> {
    let real = host.canonicalize().map_err(io_error("read", host))?;
    let bytes = fs::metadata(&real).map_err(io_error("read", &real))?.len();
    tree.insert(place, Entry::File { source: Source::Host(real), executable: true, bytes })
}

fn describe(tree: &Tree, added: &BTreeSet<String>) -> Result<Vec<Library>, ImageError> {
    let host = |path: &String| match tree.entries.get(path) {
        Some(Entry::File { source: Source::Host(host), .. }) => Some((path.clone(), host.clone())),
        _ => None,
    };
    let files: Vec<(String, PathBuf)> = added.iter().filter_map(host).collect();
    let hosts: BTreeSet<PathBuf> = files.iter().map(|(_, host)| host.clone()).collect();
    let packages = packages::of(Path::new(packages::DATABASE), &hosts);
    let describe = |(path, host): (String, PathBuf)| {
        let digest = fs::File::open(&host).and_then(hashing::sha256).map_err(io_error("read", &host))?;
        Ok(Library { path, digest, package: packages.get(&host).cloned() })
    };
    files.into_iter().map(describe).collect()
}
