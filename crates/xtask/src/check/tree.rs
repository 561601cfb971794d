//! The files of the repository as a value, so that rules are functions and their tests need no disk.
//!
//! Files are those that git tracks or would track; what is ignored is nobody's business.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use super::source::Source;

/// A file of text.
#[derive(Debug)]
pub(crate) struct File {
    /// All of it.
    pub(crate) text: String,
    /// Its code and comments apart, for Rust.
    pub(crate) source: Option<Source>,
}

/// The files, by path from the root with `/`.
#[derive(Debug)]
pub(crate) struct Tree {
    files: BTreeMap<String, File>,
    /// Files that are not text, only known to be there.
    others: Vec<String>,
    /// The root's own absolute path.
    root: String,
}

/// The root of the repository that this program was compiled in.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = xtask.ancestors().nth(2).context("crates/xtask has no repository around it")?;
    ensure!(root.join("Cargo.lock").exists(), "`{}` is not there any more; build xtask again", root.display());
    Ok(root.to_owned())
}

impl Tree {
    /// Reads all files below `root`.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("can not start git")?;
        if !output.status.success() {
            bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let names = String::from_utf8(output.stdout).context("a file has a name that is not UTF-8")?;
        let mut files = Vec::new();
        let mut others = Vec::new();
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            let path = root.join(name);
            // Deleted and not yet committed, or a link (whose target is listed itself).
            if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("can not read `{name}`"))?;
            match String::from_utf8(bytes) {
                Ok(text) => files.push((name.to_owned(), text)),
                Err(_) => others.push(name.to_owned()),
            }
        }
        Ok(Self::of(&root.display().to_string(), files, others))
    }

    /// A tree of these files of text and the paths of others.
    pub(crate) fn of<S: Into<String>>(
        root: &str,
        files: impl IntoIterator<Item = (S, S)>,
        others: Vec<String>,
    ) -> Self {
        let files = files
            .into_iter()
            .map(|(path, text)| {
                let (path, text): (String, String) = (path.into(), text.into());
                let source = path.ends_with(".rs").then(|| Source::parse(&text));
                (path, File { text, source })
            })
            .collect();
        Self { files, others, root: root.to_owned() }
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len() + self.others.len()
    }

    /// The absolute path of the root.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Files of text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// A file of text.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Our Rust files: those below `crates/`. Examples are other people's code.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &str, &Source)> {
        self.files
            .iter()
            .filter(|(path, _)| path.starts_with("crates/"))
            .filter_map(|(path, file)| Some((path.as_str(), file.text.as_str(), file.source.as_ref()?)))
    }

    /// Whether there is such a file or a folder with files; the root has the empty path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.others.iter().any(|other| other == path || other.starts_with(&folder))
            || self.files.range(folder.clone()..).next().is_some_and(|(first, _)| first.starts_with(&folder))
    }
}

/// Whether a Rust file is test code by its name: `tests.rs`, or below a folder `tests`.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[cfg(test)]
mod tests;
