//! Running the host's own programs (`runc`, `ip`, `nft`, `mkfs.erofs`) with a limit on time and output.
//!
//! Refuses to know what they do. Arguments never pass through a shell, and the environment holds `PATH` alone.

use std::{
    ffi::OsStr,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::driver::DriverError;

/// Where distributions put these programs; a fixed list, so that the caller's `PATH` decides nothing.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// `ip` and `nft` answer in milliseconds, `runc delete` in a second; a busy host gets thirty times that.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Making a root of the largest allowed size writes 8 GiB.
pub(crate) const BUILD_TIMEOUT: Duration = Duration::from_secs(600);
/// A full listing of a fabric with all its addresses stays under 4 MiB.
const OUTPUT_LIMIT: u64 = 4 << 20;
/// What an error message shows of what the program said.
const SAID_LIMIT: usize = 2_000;
/// How long between looks at whether the program has ended; far below what any of them takes.
const POLL: Duration = Duration::from_millis(1);

/// The programs of the host that this driver runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// `runc`: starts containers from OCI bundles.
    pub runc: PathBuf,
    /// `ip` of iproute2.
    pub ip: PathBuf,
    /// `nft` of nftables.
    pub nft: PathBuf,
    /// `mkfs.erofs` of erofs-utils.
    pub mkfs_erofs: PathBuf,
    /// `mount` of util-linux, for loop devices on kernels that can not mount an image file itself.
    pub mount: PathBuf,
    /// `cp` of coreutils, for copies that share blocks.
    pub cp: PathBuf,
}

impl Tools {
    /// Whether all of them are there.
    pub(crate) fn look(&self) -> Result<(), CommandError> {
        let Self { runc, ip, nft, mkfs_erofs, mount, cp } = self;
        [runc, ip, nft, mkfs_erofs, mount, cp].into_iter().try_for_each(|tool| found(tool).map(|_| ()))
    }
}

impl Default for Tools {
    /// The names, found on a fixed path.
    fn default() -> Self {
        Self {
            runc: "runc".into(),
            ip: "ip".into(),
            nft: "nft".into(),
            mkfs_erofs: "mkfs.erofs".into(),
            mount: "mount".into(),
            cp: "cp".into(),
        }
    }
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("`{program}` is not on this host")]
    Missing { program: String, hint: String },
    #[error("`{line}` could not be run")]
    Io { line: String, source: io::Error },
    #[error("`{line}` was not done after {} s", .limit.as_secs())]
    TimedOut { line: String, limit: Duration },
    #[error("`{line}` ended with {status}: {said}")]
    Failed { line: String, status: ExitStatus, said: String },
}

impl From<CommandError> for DriverError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Missing { ref hint, .. } => Self::Host { what: error.to_string(), hint: hint.clone() },
            other => Self::Failed { what: "a program of the host failed".to_owned(), source: other.into() },
        }
    }
}

/// Runs a program to its end with this input, and returns what it wrote to its standard output.
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &Path,
    arguments: &[S],
    input: &[u8],
    limit: Duration,
) -> Result<Vec<u8>, CommandError> {
    let line = shown(program, arguments);
    let io = |source| CommandError::Io { line: line.clone(), source };
    let mut child = Command::new(found(program)?)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (status, out, said) = thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends before it has read everything says why by its exit status.
            if let Some(mut stdin) = stdin
                && let Err(error) = stdin.write_all(input)
            {
                tracing::debug!(%error, "a program did not read all of its input");
            }
        });
        let out = scope.spawn(move || limited(stdout));
        let said = scope.spawn(move || limited(stderr));
        let status = wait(&mut child, limit);
        (status, out.join().unwrap_or_default(), said.join().unwrap_or_default())
    });
    match status.map_err(io)? {
        None => Err(CommandError::TimedOut { line, limit }),
        Some(status) if status.success() => Ok(out),
        Some(status) => {
            let mut said = String::from_utf8_lossy(&said).trim().to_owned();
            said.truncate(said.floor_char_boundary(SAID_LIMIT));
            Err(CommandError::Failed { line, status, said })
        }
    }
}

/// Waits for the end; `None` if it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Reads to the end but keeps only the first part, so that no program fills the executor's memory.
fn limited<R: Read>(source: Option<R>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut source) = source {
        let read = source.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut kept);
        let rest = io::copy(&mut source, &mut io::sink());
        if let Err(error) = read.and(rest.map(|_| 0)) {
            tracing::debug!(%error, "a program's output ended early");
        }
    }
    kept
}

/// The path of a program, looked up on the fixed list if it is a bare name.
pub(crate) fn found(program: &Path) -> Result<PathBuf, CommandError> {
    let candidates: Vec<PathBuf> = if program.is_absolute() {
        vec![program.to_owned()]
    } else {
        PATH.split(':').map(|folder| Path::new(folder).join(program)).collect()
    };
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let name = program.display().to_string();
        let package = match name.rsplit('/').next().unwrap_or_default() {
            "ip" => "iproute2",
            "nft" => "nftables",
            "mkfs.erofs" => "erofs-utils",
            "mount" => "mount",
            "cp" => "coreutils",
            other => other,
        };
        CommandError::Missing {
            hint: format!("install {package} (on Debian and Ubuntu: `apt-get install {package}`)"),
            program: name,
        }
    })
}

fn shown<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> String {
    let mut line = program.display().to_string();
    for argument in arguments {
        line.push(' ');
        line.push_str(&argument.as_ref().to_string_lossy());
    }
    line
}
