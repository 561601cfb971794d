//! Git's pre-push hook (`githooks(5)`, "pre-push"): which commits are pushed, and whether each would be refused.
//!
//! Signatures are looked at as far as that goes without a charter: that there is one, by an SSH key, that fits.

use std::{
    io::{BufRead, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use build::git::{COMMITS_LIMIT, CommitFacts, CommitSignature};
use model::Commit;
use serde::Serialize;

use crate::fault::{Because as _, Fault, Kind};

/// What the hook says of itself, so that ours is known again.
const MARK: &str = "# countersign pre-push hook";

/// Bytes of what git tells a hook: a line a ref, and nobody pushes a hundred thousand.
const PUSHED_BYTES: u64 = 16 << 20;

/// The id that git gives for no commit.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A commit that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Checked {
    pub(super) commit: Commit,
    pub(super) subject: String,
    pub(super) problems: Vec<String>,
}

/// Writes the hook. Ours is written again; anything else stays.
pub(super) fn install(folder: &Path) -> Result<PathBuf, Fault> {
    let hooks = git(folder, &["rev-parse", "--git-path", "hooks"])?;
    let hooks = folder.join(String::from_utf8_lossy(&hooks).trim());
    let path = hooks.join("pre-push");
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.contains(MARK) => {
            return Err(Fault::new(Kind::Refused, format!("`{}` is somebody else's hook", path.display())).hint(
                "add the line `countersign check --hook || exit 1` to it, before anything else reads its input",
            ));
        }
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => {
            return Err(
                Fault::from_error(Kind::Refused, e).context(format!("`{}` is somebody else's hook", path.display()))
            );
        }
    }
    let can_not = || format!("`{}` can not be written", path.display());
    std::fs::create_dir_all(&hooks).because(Kind::Unavailable, can_not())?;
    let program = std::env::current_exe().because(Kind::Internal, "the program does not know its own path")?;
    // In single quotes, with those of the path itself taken out of them (POSIX shell, 2.2.2).
    let quoted = program.display().to_string().replace('\'', r"'\''");
    let text = format!(
        "#!/bin/sh\n{MARK}: refuses a manifest or commits that would be refused later\nexec '{quoted}' check --hook\n"
    );
    ledger::durable::write(&path, text.as_bytes(), 0o755).because(Kind::Unavailable, can_not())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).because(Kind::Unavailable, can_not())?;
    Ok(path)
}

/// The commits of a push, by the lines that git writes to the hook: `<local ref> <local id> <remote ref> <remote id>`.
pub(super) fn pushed(folder: &Path, from: &mut dyn BufRead) -> Result<Vec<Checked>, Fault> {
    let mut text = String::new();
    from.take(PUSHED_BYTES).read_to_string(&mut text).because(Kind::Usage, "what is pushed can not be read")?;
    let mut commits = Vec::new();
    for row in text.lines().filter(|l| !l.trim().is_empty()) {
        let words: Vec<&str> = row.split(' ').collect();
        let [_, local, _, remote] = words.as_slice() else {
            return Err(Fault::new(Kind::Usage, format!("`{row}` is not what git tells a pre-push hook")));
        };
        if *local == NOTHING {
            continue;
        }
        let local: Commit = local.parse().because(Kind::Usage, format!("`{local}` is not a commit"))?;
        let known = git(folder, &["cat-file", "-e", &format!("{remote}^{{commit}}")]).is_ok();
        let local = local.to_string();
        let not = format!("^{remote}");
        let arguments = if *remote != NOTHING && known {
            vec!["rev-list", "--reverse", local.as_str(), not.as_str()]
        } else {
            // A new branch: what no remote is known to have.
            vec!["rev-list", "--reverse", local.as_str(), "--not", "--remotes"]
        };
        commits.extend(listed(folder, &arguments)?);
    }
    Ok(commits)
}

/// The commits of a range as git writes them.
pub(super) fn range(folder: &Path, range: &str) -> Result<Vec<Checked>, Fault> {
    if range.starts_with('-') {
        return Err(
            Fault::new(Kind::Usage, format!("`{range}` is not a range of commits")).hint("such as `origin/main..`")
        );
    }
    listed(folder, &["rev-list", "--reverse", range, "--"])
}

fn listed(folder: &Path, arguments: &[&str]) -> Result<Vec<Checked>, Fault> {
    let listed = git(folder, arguments)?;
    let listed = String::from_utf8_lossy(&listed);
    let ids: Vec<&str> = listed.lines().collect();
    if ids.len() > COMMITS_LIMIT {
        return Err(Fault::new(
            Kind::Input,
            format!("{} commits at once; at most {COMMITS_LIMIT} are checked", ids.len()),
        )
        .hint("push in parts"));
    }
    ids.into_iter()
        .map(|id| {
            let commit: Commit = id.parse().because(Kind::Unavailable, "git lists something that is not a commit")?;
            let object = git(folder, &["cat-file", "commit", id])?;
            let facts = CommitFacts::parse(commit, &object)
                .because(Kind::Input, format!("commit {} can not be read", commit.short()))?;
            Ok(Checked { commit, subject: facts.subject.clone(), problems: problems(&facts) })
        })
        .collect()
}

/// What the gate would say of a commit, as far as it shows without a charter.
fn problems(facts: &CommitFacts) -> Vec<String> {
    let mut problems = Vec::new();
    match &facts.signature {
        CommitSignature::Unsigned => problems.push("it is not signed".to_owned()),
        CommitSignature::NotSsh => problems.push("its signature is not by an SSH key".to_owned()),
        CommitSignature::BadSignature => problems.push("its signature does not fit it".to_owned()),
        CommitSignature::UnsupportedKey => {
            problems.push("its signature is by a kind of key that is not accepted; use Ed25519".to_owned())
        }
        CommitSignature::Signed { .. } => {}
    }
    if facts.requirements.is_empty() {
        problems.push("it links no requirement".to_owned());
    }
    problems.extend(facts.unreadable_trailers.iter().map(|t| format!("the trailer `{t}` can not be read")));
    problems
}

/// Asks git in the repository of a folder. Its configuration is the user's own: nothing is judged by it.
fn git(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, Fault> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Fault::from_error(Kind::Unavailable, e).context("`git` can not be started").hint("install git"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let what = arguments.first().copied().unwrap_or_default();
    Err(Fault::new(Kind::Usage, format!("git {what} failed: {}", complaint.lines().last().unwrap_or_default().trim()))
        .hint("run this in the repository"))
}
