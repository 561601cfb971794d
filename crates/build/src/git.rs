//! Commits: a bare mirror of the protected branch of one remote, facts about its commits, and the tree of one commit.
//!
//! It refuses to know whose key a signature belongs to, what a change is worth and which commit is to be built.
//! Signatures, authors and trailers are read from the bytes of the commit objects by our own code; the `git`
//! program only moves and stores objects. A crash while fetching leaves at most unreferenced objects in the mirror,
//! which the next fetch completes; a crash while checking out leaves a partial directory, which is never built
//! because `checkout` refuses a directory that is not empty.

mod checkout;
mod command;
mod commit;
mod remote;
mod signature;
mod tree;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
};

use model::{Commit, Digest, Timestamp};

pub use checkout::CheckoutError;
use command::Git;
pub use command::GitError;
pub use commit::{CommitFacts, MalformedCommit};
pub use remote::{Branch, Remote, RemoteError};
pub use signature::CommitSignature;
pub use tree::TreeId;

/// Commits that one question may return. A change of more than this is not reviewable by people; a first release
/// of a system with a longer history names the commit that it starts from.
pub const COMMITS_LIMIT: usize = 10_000;

/// The ref in the mirror that follows the protected branch.
const INCOMING: &str = "refs/countersign/incoming";

/// What the protected branch points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: Commit,
    /// When its committer says that it was made.
    pub committed_at: Timestamp,
}

/// A bare mirror of one branch of one remote.
pub struct Mirror {
    git: Git,
    remote: Remote,
    branch: Branch,
}

impl Mirror {
    /// Opens the mirror in `dir`, making it if there is none. Reaches no network.
    pub fn open(dir: &Path, remote: Remote, branch: Branch) -> Result<Self, GitError> {
        let git = Git::prepare(dir, &remote)?;
        Ok(Self { git, remote, branch })
    }

    /// The folder of the mirror.
    pub fn dir(&self) -> &Path {
        self.git.dir()
    }

    /// Fetches the branch and returns what it points at now, whether or not that is a fast-forward of what it
    /// pointed at before: both stay in the mirror, and [`Mirror::is_fast_forward`] compares them.
    pub fn fetch(&self) -> Result<Head, GitError> {
        let refspec = format!("+refs/heads/{}:{INCOMING}", self.branch);
        self.git.fetch(&self.remote, &self.branch, &refspec)?;
        let listed = self.git.run(&["rev-parse", "--verify", "--end-of-options", INCOMING])?;
        let commit = parse_commit_line(&listed)?;
        // What was once seen stays reachable, so that a force-push can be compared with what it replaced.
        self.git.run(&["update-ref", &format!("refs/countersign/seen/{commit}"), &commit.to_string()])?;
        let committed_at = self.facts(commit)?.committed_at;
        Ok(Head { commit, committed_at })
    }

    /// Whether `old` is `new` or an ancestor of it.
    pub fn is_fast_forward(&self, old: Commit, new: Commit) -> Result<bool, GitError> {
        for commit in [old, new] {
            self.facts(commit)?;
        }
        self.git.is_ancestor(old, new)
    }

    /// Facts about one commit.
    pub fn facts(&self, commit: Commit) -> Result<CommitFacts, GitError> {
        let mut all = self.git.commits(&[commit])?;
        all.pop().ok_or(GitError::Missing(commit))
    }

    /// Facts about every commit that `head` has and `since` has not, parents before children; all of its history
    /// for no `since`.
    pub fn commits(&self, since: Option<Commit>, head: Commit) -> Result<Vec<CommitFacts>, GitError> {
        let limit = format!("--max-count={}", COMMITS_LIMIT + 1);
        let head_text = head.to_string();
        let not = since.map(|s| format!("^{s}"));
        let mut args = vec!["rev-list", "--topo-order", "--reverse", &limit, &head_text];
        args.extend(not.as_deref());
        args.push("--");
        let listed = self.git.run(&args)?;
        let ids = listed.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(parse_commit_line);
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        if ids.len() > COMMITS_LIMIT {
            return Err(GitError::TooManyCommits { limit: COMMITS_LIMIT, head });
        }
        self.git.commits(&ids)
    }

    /// The content of one file at a commit, or `None` where there is no such regular file.
    pub fn read(&self, commit: Commit, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, GitError> {
        let entries = self.git.tree(commit)?;
        let Some(entry) = entries.iter().find(|e| e.path == path.as_bytes() && e.is_file()) else { return Ok(None) };
        let mut batch = self.git.batch()?;
        batch.object(&entry.object, "blob", limit_bytes).map(Some)
    }

    /// Writes the tree of a commit into `dir`, which must be empty or absent, with the times of all files set to
    /// the time of the commit.
    pub fn checkout(&self, commit: Commit, dir: &Path) -> Result<(), CheckoutError> {
        checkout::checkout(&self.git, commit, dir)
    }

    /// A digest over mode, object and path of every file at or below these paths: it changes exactly when one of
    /// the files is changed, added, removed or renamed. An empty list of paths means the whole tree.
    pub fn tree_digest(&self, commit: Commit, paths: &[String]) -> Result<Digest, GitError> {
        Ok(tree::digest(&self.git.tree(commit)?, paths))
    }
}

fn parse_commit_line(line: &[u8]) -> Result<Commit, GitError> {
    let text = String::from_utf8_lossy(line);
    text.trim().parse().map_err(|_| GitError::Output("an object id"))
}

pub(crate) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GitError {
    let path = PathBuf::from(path);
    move |source| GitError::Io { doing, path, source }
}
