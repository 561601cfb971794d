//! The `git` program, started with nothing of its surroundings: no configuration of the machine or of a user, no
//! hooks, no prompts, no replacement objects, few transports, bounded time and output.
//!
//! It refuses to know what the objects mean. Fetching writes into the mirror; a crash there leaves unreferenced
//! objects, since git moves a ref only when all objects of it are in place.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use model::Commit;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{Branch, CommitFacts, MalformedCommit, Remote, io_error, tree};

/// One fetch: a first clone of a large repository over a slow line takes minutes; a server that trickles must end.
const FETCH_LIMIT: Duration = Duration::from_secs(600);
/// Any question to the mirror; they take milliseconds, a full listing of a large tree a second.
const QUESTION_LIMIT: Duration = Duration::from_secs(60);
/// The mirror on disk. Source trees of systems reach a few GiB; more is an attack or a mistake.
const MIRROR_LIMIT_BYTES: u64 = 8 << 30;
/// What one question may print: a tree of a million files is about 100 MiB.
const OUTPUT_LIMIT_BYTES: u64 = 256 << 20;
/// What git says when it fails; the end of it is kept.
const COMPLAINT_LIMIT_BYTES: usize = 4 << 10;
/// A commit object; the largest honest ones (octopus merges with embedded tags) are some kilobytes.
const COMMIT_LIMIT_BYTES: u64 = 1 << 20;
/// Between two looks at a running fetch.
const POLL: Duration = Duration::from_millis(20);

/// Why the mirror could not answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is not there or can not be started.
    #[error("`git` can not be started: install it, for example with `apt-get install git`")]
    Start(#[source] io::Error),
    /// Git ended with an error.
    #[error("git {what} failed: {complaint}")]
    Failed {
        /// The git command.
        what: String,
        /// The end of what git wrote.
        complaint: String,
    },
    /// The branch is not there.
    #[error("the remote `{remote}` has no branch `{branch}`: push it, or name another branch in the charter")]
    NoBranch {
        /// The remote.
        remote: String,
        /// The branch.
        branch: String,
    },
    /// It took too long.
    #[error("git {what} did not end within {limit_s} s")]
    Slow {
        /// The git command.
        what: String,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// Larger than the limit.
    #[error("{what} is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// More commits than people can review.
    #[error("more than {limit} commits lead to {head}: name the commit that the first release starts from")]
    TooManyCommits {
        /// The limit.
        limit: usize,
        /// The last commit.
        head: Commit,
    },
    /// Not in the mirror.
    #[error("commit {0} is not in the mirror: fetch first, or it was never on the protected branch")]
    Missing(Commit),
    /// The remote or a commit is not as git writes them.
    #[error(transparent)]
    Malformed(#[from] MalformedCommit),
    /// Git printed something else than documented.
    #[error("git printed something that is not {0}")]
    Output(&'static str),
    /// Reading or writing failed.
    #[error("can not {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The program with one mirror.
pub(crate) struct Git {
    dir: PathBuf,
    config: PathBuf,
}

impl Git {
    /// Makes the mirror if there is none, and writes the only configuration that git reads.
    pub(super) fn prepare(dir: &Path, remote: &Remote) -> Result<Self, GitError> {
        let repository = dir.join("mirror.git");
        fs::create_dir_all(&repository).map_err(io_error("make", &repository))?;
        let git = Self { dir: repository, config: dir.join("git.config") };
        // A repository of another user is refused by git unless it is listed; that rule protects people who walk
        // into a foreign folder, whereas this remote was named by the charter, and no program of it is run.
        let mut config = String::from("[safe]\n\tdirectory = ");
        config.push_str(&quoted(&git.dir.to_string_lossy()));
        if let Some(path) = remote.local_path() {
            for path in [path.to_path_buf(), path.join(".git")] {
                config.push_str(&format!("\n\tdirectory = {}", quoted(&path.to_string_lossy())));
            }
        }
        config.push_str("\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[fetch]\n\tfsckObjects = true\n[core]\n\thooksPath = /dev/null\n");
        let io = io_error("write", &git.config);
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io_error("write in", dir))?;
        file.write_all(config.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(io)?;
        file.persist(&git.config).map_err(|e| io_error("write", &git.config)(e.error))?;
        if !git.dir.join("HEAD").exists() {
            git.run(&["init", "--quiet", "--bare", "--template=", "--initial-branch=unused"])?;
        }
        Ok(git)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_DIR", &self.dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.config)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS", "/bin/false")
            .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "file:https:ssh")
            .env("GIT_PROTOCOL_FROM_USER", "0")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            // Its own group, so that the transport programs that it starts end with it.
            .process_group(0);
        command
    }

    /// One question; returns what it printed.
    pub(super) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Vec<u8>, GitError> {
        let mut command = self.command();
        command.args(args);
        let what = args.first().map(|a| a.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        let (status, printed) = finish(command, &what, QUESTION_LIMIT, None)?;
        if status == Some(0) {
            Ok(printed.stdout)
        } else {
            Err(GitError::Failed { what, complaint: printed.complaint })
        }
    }

    pub(super) fn is_ancestor(&self, old: Commit, new: Commit) -> Result<bool, GitError> {
        let mut command = self.command();
        command.args(["merge-base", "--is-ancestor", &old.to_string(), &new.to_string()]);
        let what = "merge-base";
        match finish(command, what, QUESTION_LIMIT, None)? {
            (Some(0), _) => Ok(true),
            (Some(1), _) => Ok(false),
            (_, printed) => Err(GitError::Failed { what: what.to_owned(), complaint: printed.complaint }),
        }
    }

    pub(super) fn fetch(&self, remote: &Remote, branch: &Branch, refspec: &str) -> Result<(), GitError> {
        let mut command = self.command();
        command.args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-show-forced-updates",
            "--end-of-options",
            remote.as_str(),
            refspec,
        ]);
        let (status, printed) = finish(command, "fetch", FETCH_LIMIT, Some(&self.dir))?;
        if status == Some(0) {
            return Ok(());
        }
        if printed.complaint.contains("couldn't find remote ref") {
            return Err(GitError::NoBranch { remote: remote.to_string(), branch: branch.to_string() });
        }
        Err(GitError::Failed { what: "fetch".to_owned(), complaint: printed.complaint })
    }

    /// The whole tree of a commit, in git's order.
    pub(super) fn tree(&self, commit: Commit) -> Result<Vec<tree::Entry>, GitError> {
        tree::parse(&self.run(&["ls-tree", "-r", "-z", "--full-tree", &commit.to_string()])?)
    }

    pub(super) fn commits(&self, ids: &[Commit]) -> Result<Vec<CommitFacts>, GitError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = self.batch()?;
        let one = |id: &Commit| {
            let bytes = batch.object(&id.to_string(), "commit", COMMIT_LIMIT_BYTES).map_err(|e| match e {
                GitError::Output("an object that is there") => GitError::Missing(*id),
                e => e,
            })?;
            Ok(CommitFacts::parse(*id, &bytes)?)
        };
        ids.iter().map(one).collect()
    }

    /// A running `cat-file --batch`, for many objects.
    pub(super) fn batch(&self) -> Result<Batch, GitError> {
        let mut command = self.command();
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(GitError::Start)?;
        let (Some(ask), Some(answer)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(GitError::Output("a pipe"));
        };
        Ok(Batch { child, ask, answer: BufReader::new(answer) })
    }
}

/// A running `cat-file --batch`. It reads only the local mirror, so it needs no limit of time.
pub(super) struct Batch {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Batch {
    /// The content of one object of this type.
    pub(super) fn object(&mut self, id: &str, kind: &'static str, limit_bytes: u64) -> Result<Vec<u8>, GitError> {
        let broken = |_| GitError::Output("the answer to a request for an object");
        writeln!(self.ask, "{id}").and_then(|()| self.ask.flush()).map_err(broken)?;
        let mut header = String::new();
        // The answer is `<id> <type> <size>`; 256 bytes are plenty, and an endless line must not fill memory.
        (&mut self.answer).take(256).read_line(&mut header).map_err(broken)?;
        let mut words = header.split_whitespace();
        let (Some(_), Some(found), Some(size)) = (words.next(), words.next(), words.next()) else {
            return Err(GitError::Output("an object that is there"));
        };
        let size: u64 = size.parse().map_err(|_| GitError::Output("the size of an object"))?;
        if found != kind {
            return Err(GitError::Output("an object of the type that was asked for"));
        }
        if size > limit_bytes {
            return Err(GitError::TooLarge { what: format!("the {kind} {id}"), limit_bytes });
        }
        let mut content = Vec::new();
        (&mut self.answer).take(size).read_to_end(&mut content).map_err(broken)?;
        let mut newline = [0];
        self.answer.read_exact(&mut newline).map_err(broken)?;
        if content.len() as u64 != size || newline != [b'\n'] {
            return Err(GitError::Output("a whole object"));
        }
        Ok(content)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Ending it by its closed standard input would be enough, but a git that hangs must not hold us.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[derive(Debug)]
pub(super) struct Printed {
    stdout: Vec<u8>,
    complaint: String,
}

/// Runs to the end, within limits of time, output and (for a fetch) of the size of the mirror.
pub(super) fn finish(
    mut command: Command,
    what: &str,
    limit: Duration,
    grows: Option<&Path>,
) -> Result<(Option<i32>, Printed), GitError> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(GitError::Start)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(GitError::Output("a pipe"));
    };
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let stop = |child: &mut Child| {
        killpg(group, Signal::SIGKILL).ok();
        child.wait().ok();
    };
    let printed = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.take(OUTPUT_LIMIT_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let complained = thread::spawn(move || tail(stderr));
    let started = Instant::now();
    let mut looked = started;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(GitError::Start)? {
            break status;
        }
        if started.elapsed() > limit {
            stop(&mut child);
            return Err(GitError::Slow { what: what.to_owned(), limit_s: limit.as_secs() });
        }
        if let Some(dir) = grows.filter(|_| looked.elapsed() > Duration::from_secs(1)) {
            looked = Instant::now();
            if size_of(dir) > MIRROR_LIMIT_BYTES {
                stop(&mut child);
                return Err(GitError::TooLarge {
                    what: "the mirror of the repository".to_owned(),
                    limit_bytes: MIRROR_LIMIT_BYTES,
                });
            }
        }
        thread::sleep(if started.elapsed() < Duration::from_millis(200) { Duration::from_millis(1) } else { POLL });
    };
    // A transport that outlives git would hold the pipes open.
    killpg(group, Signal::SIGKILL).ok();
    let stdout = printed.join().map_err(|_| GitError::Output("text"))?.map_err(GitError::Start)?;
    let complaint = complained.join().unwrap_or_default();
    if stdout.len() as u64 > OUTPUT_LIMIT_BYTES {
        return Err(GitError::TooLarge { what: format!("the answer of git {what}"), limit_bytes: OUTPUT_LIMIT_BYTES });
    }
    Ok((status.code(), Printed { stdout, complaint }))
}

/// The last lines of what a program wrote, on one line.
fn tail(mut from: impl Read) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 {
            break;
        }
        kept.extend(buffer.iter().take(n));
        let over = kept.len().saturating_sub(COMPLAINT_LIMIT_BYTES);
        kept.drain(..over);
    }
    let text = String::from_utf8_lossy(&kept);
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(m) if m.is_dir() => size_of(&entry.path()),
        Ok(m) => m.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// A value of git-config: in quotes, with the three characters escaped that mean something there.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
