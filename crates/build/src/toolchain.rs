//! The tools of this machine: where they are, what they say they are, and the digests of their files, for the
//! mounts of the sandbox and for provenance.
//!
//! Detection starts the tools as the user that calls it, with an empty environment. It refuses to know which tools
//! a build needs: what is not installed is left out, and the build says what it misses.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use model::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{hashing, sandbox::Mount};

#[cfg(test)]
mod tests;

/// Where the Rust toolchain is seen in the sandbox.
pub const TOOLCHAIN: &str = "/opt/toolchain";
/// Where single programs from outside of `/usr` are seen.
const TOOLS: &str = "/opt/tools";
/// Printing a version takes milliseconds, for a virtual machine a second.
const VERSION_LIMIT: Duration = Duration::from_secs(20);
/// The first line of a version; the longest known is that of a compiler with its distribution.
const VERSION_LIMIT_BYTES: u64 = 4096;

/// Where the distribution's programs are, in the order in which a command in the sandbox finds them.
const DISTRIBUTION_PATH: &str = "/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin";
/// Programs of the distribution that take part in builds; all print their version for `--version`.
const DISTRIBUTION: [&str; 10] = ["as", "cc", "dpkg-deb", "git", "ld", "make", "node", "npm", "python3", "runc"];

/// One tool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says of its version: one line.
    pub version: String,
    /// The digest of its file; for `rust-sysroot`, of the names and digests of all libraries of the toolchain.
    pub digest: Digest,
}

/// All tools that were found, and the mounts that make those outside of `/usr` visible in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// The tools in the order of their names.
    pub tools: Vec<Tool>,
    /// The mounts.
    pub mounts: Vec<Mount>,
}

/// Why the tools could not be read.
#[derive(Debug, thiserror::Error)]
#[error("can not read the tool `{path}`")]
pub struct ToolchainError {
    /// The file.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

/// Digests of large files that are read again only when the file has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProgramDigests(BTreeMap<PathBuf, Known>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    digest: Digest,
}

impl Toolchain {
    /// Looks for `rustc`, `cargo` and `cargo-nextest` in `path` (the form of the `PATH` variable), and for the
    /// distribution's tools in their fixed places.
    pub fn detect(path: &OsStr, known: &mut ProgramDigests) -> Result<Self, ToolchainError> {
        let mut tools = Vec::new();
        let mut mounts = Vec::new();
        if let Some(sysroot) = sysroot(path) {
            for name in ["rustc", "cargo"] {
                let program = sysroot.join("bin").join(name);
                if program.is_file() {
                    tools.push(tool(name, &program, known)?);
                }
            }
            if let Some(version) = tools.iter().find(|t| t.name == "rustc").map(|t| t.version.clone()) {
                tools.push(Tool { name: "rust-sysroot".to_owned(), version, digest: libraries(&sysroot, known)? });
            }
            if !sysroot.starts_with("/usr") {
                mounts.push(Mount { source: sysroot, target: TOOLCHAIN.into() });
            }
        }
        if let Some(nextest) = find("cargo-nextest", path) {
            tools.push(tool("cargo-nextest", &nextest, known)?);
            if !nextest.starts_with("/usr") {
                mounts.push(Mount { source: nextest, target: Path::new(TOOLS).join("cargo-nextest") });
            }
        }
        for name in DISTRIBUTION {
            if let Some(program) = find(name, OsStr::new(DISTRIBUTION_PATH)) {
                tools.push(tool(name, &program, known)?);
            }
        }
        tools.sort();
        Ok(Self { tools, mounts })
    }

    /// Whether there is a tool of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|t| t.name == name)
    }
}

impl ProgramDigests {
    /// The digest of a file; a link counts as what it leads to.
    pub fn of(&mut self, path: &Path) -> Result<Digest, ToolchainError> {
        let failed = |source| ToolchainError { path: path.to_path_buf(), source };
        let path = path.canonicalize().map_err(failed)?;
        let file = File::open(&path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let same = |k: &&Known| {
            (k.device, k.inode, k.size, k.modified_ns) == (meta.dev(), meta.ino(), meta.len(), modified_ns)
        };
        if let Some(known) = self.0.get(&path).filter(same) {
            return Ok(known.digest);
        }
        let digest = hashing::sha256(file).map_err(failed)?;
        self.0.insert(path, Known { device: meta.dev(), inode: meta.ino(), size: meta.len(), modified_ns, digest });
        Ok(digest)
    }
}

fn tool(name: &str, program: &Path, known: &mut ProgramDigests) -> Result<Tool, ToolchainError> {
    let digest = known.of(program)?;
    let version = first_line(Command::new(program).arg("--version")).unwrap_or_else(|| "unknown".to_owned());
    Ok(Tool { name: name.to_owned(), version, digest })
}

/// The root of the Rust toolchain that `rustc` on the path belongs to; asking it sees through `rustup`'s proxies.
fn sysroot(path: &OsStr) -> Option<PathBuf> {
    let rustc = find("rustc", path)?;
    let mut command = Command::new(rustc);
    // A proxy finds its toolchains below the home of the user.
    for name in ["HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let sysroot = PathBuf::from(first_line(command.args(["--print", "sysroot"]))?);
    sysroot.is_absolute().then(|| sysroot.canonicalize().ok()).flatten()
}

fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    let found = std::env::split_paths(path).filter(|p| p.is_absolute()).map(|p| p.join(name)).find(|p| p.is_file())?;
    Some(found)
}

/// The digest over names and digests of the shared libraries and of the standard library of the host's target.
fn libraries(sysroot: &Path, known: &mut ProgramDigests) -> Result<Digest, ToolchainError> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut hash = Sha256::new();
    for folder in [PathBuf::from("lib"), Path::new("lib/rustlib").join(host).join("lib")] {
        let at = sysroot.join(&folder);
        let Ok(entries) = fs::read_dir(&at) else { continue };
        let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
        files.sort();
        for file in files {
            let name = file.strip_prefix(sysroot).unwrap_or(&file).to_string_lossy().into_owned();
            hash.update(format!("{name}\0{}\n", known.of(&file)?.hex()));
        }
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// The first line that a program prints, if it ends well and in time.
fn first_line(command: &mut Command) -> Option<String> {
    let keep: Vec<_> = command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    command.env_clear().envs(keep).env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
    let mut child =
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let stdout = child.stdout.take()?;
    let printed = thread::spawn(move || {
        let mut text = Vec::new();
        stdout.take(VERSION_LIMIT_BYTES).read_to_end(&mut text).map(|_| text)
    });
    let started = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if started.elapsed() > VERSION_LIMIT {
            child.kill().ok();
            child.wait().ok();
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let success = child.wait().ok()?.success();
    let text = printed.join().ok()?.ok()?;
    let line = String::from_utf8_lossy(&text).lines().next()?.trim().to_owned();
    (success && !line.is_empty()).then_some(line)
}
