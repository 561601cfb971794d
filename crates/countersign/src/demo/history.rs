//! The commits of the demo: `examples/paydesk` as it is, then the patches of `examples/paydesk-history` on top.
//!
//! It makes commits as people do, with `git` and their own SSH keys, and knows nothing of what becomes of them. It
//! writes the working copy and the remote; both are made anew for each demo.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use model::Commit;
use serde::Deserialize;

use crate::fault::{Because as _, Fault, Kind};

/// What `history.toml` holds.
#[derive(Clone, Debug)]
pub struct History {
    /// The folder of the example as it is.
    pub example: PathBuf,
    folder: PathBuf,
    steps: Vec<Entry>,
}

/// One commit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name in `history.toml`.
    pub name: String,
    /// The step that it stands on; none for the first.
    #[serde(default)]
    pub after: Option<String>,
    /// The patch, a file beside `history.toml`; none for the first.
    #[serde(default)]
    pub patch: Option<String>,
    /// Who the commit says wrote it.
    pub author: String,
    /// Whose key signs it.
    pub signer: String,
    /// The message.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    step: Vec<Entry>,
}

impl History {
    /// Reads it from the folder of the examples.
    pub fn read(examples: &Path) -> Result<Self, Fault> {
        let folder = examples.join("paydesk-history");
        let path = folder.join("history.toml");
        let text = fs::read_to_string(&path).map_err(|e| {
            Fault::from_error(Kind::Usage, e)
                .context(format!("the example is not at `{}`", examples.display()))
                .hint("run this in a clone of Countersign's repository, or name its folder with `--examples DIR`")
        })?;
        let file: File =
            toml_edit::de::from_str(&text).because(Kind::Input, format!("`{}` does not hold up", path.display()))?;
        let example = examples.join("paydesk");
        if !example.join("countersign.toml").is_file() {
            return Err(Fault::new(Kind::Usage, format!("there is no manifest in `{}`", example.display())));
        }
        Ok(Self { example, folder, steps: file.step })
    }

    /// The step of this name.
    pub fn entry(&self, name: &str) -> Result<&Entry, Fault> {
        self.steps
            .iter()
            .find(|s| s.name == name)
            .ok_or_else(|| Fault::new(Kind::Input, format!("the history has no step `{name}`")))
    }
}

/// A working copy.
#[derive(Clone, Debug)]
pub struct Repository {
    dir: PathBuf,
    remote: PathBuf,
    keys: PathBuf,
}

impl Repository {
    /// Makes an empty working copy and an empty remote. `keys` holds a private key a person.
    pub fn new(dir: &Path, remote: &Path, keys: &Path) -> Result<Self, Fault> {
        let repository = Self { dir: dir.to_owned(), remote: remote.to_owned(), keys: keys.to_owned() };
        fs::create_dir_all(dir).because(Kind::Unavailable, format!("`{}` can not be made", dir.display()))?;
        repository.git(&["init", "--quiet", "--initial-branch=main", "."], None)?;
        let remote = remote.to_string_lossy();
        repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", &remote], None)?;
        Ok(repository)
    }

    /// The first state: the files of the example, with these texts replaced in its two files that name ports.
    pub fn begin(&self, example: &Path, replace: &[(String, String)]) -> Result<(), Fault> {
        copy(example, &self.dir)?;
        for name in ["countersign.toml", ".cargo/config.toml"] {
            let path = self.dir.join(name);
            let mut text =
                fs::read_to_string(&path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
            for (from, to) in replace {
                text = text.replace(from, to);
            }
            #[expect(clippy::disallowed_methods, reason = "a working copy is made anew after a crash")]
            fs::write(&path, text).because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
        }
        Ok(())
    }

    /// Applies the patch of a step, if it has one, to the working copy.
    pub fn apply(&self, history: &History, entry: &Entry) -> Result<(), Fault> {
        let Some(patch) = &entry.patch else { return Ok(()) };
        let patch = history.folder.join(patch);
        let patch = fs::canonicalize(&patch).because(Kind::Usage, format!("`{}` is not there", patch.display()))?;
        self.git(&["apply", "--index", &patch.to_string_lossy()], None).map(drop)
    }

    /// Commits everything as the step says, and returns the commit.
    pub fn commit(&self, entry: &Entry) -> Result<Commit, Fault> {
        let key = format!("user.signingkey={}", self.keys.join(&entry.signer).display());
        self.git(&["add", "--all"], None)?;
        let sign =
            ["-c", "gpg.format=ssh", "-c", &key, "commit", "--quiet", "--gpg-sign", "--message", entry.message.trim()];
        self.git(&sign, Some(&entry.author))?;
        self.head()
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<Commit, Fault> {
        let head = self.git(&["rev-parse", "HEAD"], None)?;
        head.trim().parse().because(Kind::Internal, "git names no commit")
    }

    /// Pushes the branch; `force` where it does not continue what was there.
    pub fn push(&self, force: bool) -> Result<(), Fault> {
        let remote = self.remote.to_string_lossy();
        let mut words = vec!["push", "--quiet"];
        words.extend(force.then_some("--force"));
        words.extend([&*remote, "main"]);
        self.git(&words, None).map(drop)
    }

    /// Goes back to a commit and forgets what came after.
    pub fn reset(&self, commit: Commit) -> Result<(), Fault> {
        self.git(&["reset", "--quiet", "--hard", &commit.to_string()], None).map(drop)
    }

    /// Runs git with nothing of this machine's settings, as one person if one is named.
    fn git(&self, words: &[&str], person: Option<&str>) -> Result<String, Fault> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.dir).args(words);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        if let Some(person) = person {
            let email = format!("{person}@{MAIL}");
            command.env("GIT_AUTHOR_NAME", person).env("GIT_AUTHOR_EMAIL", &email);
            command.env("GIT_COMMITTER_NAME", person).env("GIT_COMMITTER_EMAIL", &email);
        }
        let done = command.output().because(Kind::Unavailable, "git can not be run")?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        Err(Fault::new(Kind::Unavailable, format!("`git {}` failed: {}", words.join(" "), said.trim())))
    }
}

/// Where the people of the demo have their addresses.
pub const MAIL: &str = "example.org";

/// What a build or an editor leaves in the example's folder is no part of it.
const NOT_COPIED: [&str; 2] = ["target", ".git"];

fn copy(from: &Path, to: &Path) -> Result<(), Fault> {
    let unread = |e: std::io::Error| {
        Fault::from_error(Kind::Unavailable, e).context(format!("`{}` can not be copied", from.display()))
    };
    fs::create_dir_all(to).map_err(unread)?;
    for entry in fs::read_dir(from).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|n| name == *n) {
            continue;
        }
        if entry.file_type().map_err(unread)?.is_dir() {
            copy(&entry.path(), &to.join(&name))?;
        } else {
            fs::copy(entry.path(), to.join(&name)).map_err(unread)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
