//! Two places on this machine, in which two versions are started anew for each block: by commands, each in a process group
//! of its own.
//!
//! A place is an address; in which of them a version starts is the coin's, so that what is better about a place helps both
//! alike. It refuses to know what is measured there.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::time::{clock_getcpuclockid, clock_gettime};
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;

/// How often is looked whether something answers, or has ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long a version may take to end when it is asked to.
const END: Duration = Duration::from_secs(5);
/// What of a version's output is shown when it does not answer.
const MOST_SHOWN: u64 = 2_000;

/// A version, as it is started.
#[derive(Clone, Debug)]
pub struct Version {
    /// What it is called: `candidate` or `baseline`.
    pub name: &'static str,
    /// A shell command that listens at `$ADDRESS` (`$HOST` and `$PORT`) and stays in the foreground.
    pub command: String,
}

/// Why a version did not start.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// No shell, no file, no address.
    #[error("{name} can not be started")]
    Start {
        /// Which version.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ended before anything was sent.
    #[error("{name} ended before it answered, with {status}: {output}")]
    Ended {
        /// Which version.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// What it said last.
        output: String,
    },
    /// It does not listen.
    #[error("{name} does not answer at {address} after {seconds} s: {output}")]
    Silent {
        /// Which version.
        name: &'static str,
        /// Where it was to listen.
        address: SocketAddr,
        /// How long it had.
        seconds: u64,
        /// What it said last.
        output: String,
    },
    /// What prepares a block failed.
    #[error("the command before each block ended with {0}")]
    Prepare(ExitStatus),
}

/// A version that runs.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    address: SocketAddr,
    child: Child,
    output: fs::File,
}

/// Addresses for blocks, below the ports that the kernel gives to connections: a generator must not take the port of what it
/// drives, and a block's ports are not used again while connections of the one before linger.
#[derive(Debug)]
pub struct Addresses {
    next: u16,
}

/// Ports from here on are for services, and from the other one on for connections (Linux, `ip_local_port_range`).
const PORTS: std::ops::Range<u16> = 15_000..32_000;

impl Addresses {
    /// Addresses that begin somewhere else for each process.
    pub fn new() -> Self {
        let many = u32::from(PORTS.end - PORTS.start);
        // The remainder is less than a port.
        let offset = u16::try_from(std::process::id().wrapping_mul(97) % many).unwrap_or_default();
        Self { next: PORTS.start + offset }
    }

    /// Two that are free now.
    pub fn two(&mut self) -> io::Result<[SocketAddr; 2]> {
        Ok([self.one()?, self.one()?])
    }

    fn one(&mut self) -> io::Result<SocketAddr> {
        for _ in PORTS {
            let address = SocketAddr::from(([127, 0, 0, 1], self.next));
            self.next = if self.next + 1 < PORTS.end { self.next + 1 } else { PORTS.start };
            if TcpListener::bind(address).is_ok() {
                return Ok(address);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no port from 15000 to 31999 is free"))
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs what brings the state for a block back: databases, fixtures.
pub fn prepare(command: &str) -> Result<(), PlaceError> {
    let status = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.map_err(|source| PlaceError::Start { name: "the command before each block", source })?;
    if status.success() { Ok(()) } else { Err(PlaceError::Prepare(status)) }
}

impl Running {
    /// Starts a version at an address.
    pub fn start(version: &Version, address: SocketAddr) -> Result<Self, PlaceError> {
        let no = |source| PlaceError::Start { name: version.name, source };
        let output = unnamed().map_err(no)?;
        let child = Command::new("sh")
            .args(["-c", &version.command])
            .env("ADDRESS", address.to_string())
            .env("HOST", address.ip().to_string())
            .env("PORT", address.port().to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(no)?)
            .stderr(output.try_clone().map_err(no)?)
            .process_group(0)
            .spawn()
            .map_err(no)?;
        Ok(Self { name: version.name, address, child, output })
    }

    /// Waits until it listens.
    pub fn wait(&mut self, limit: Duration) -> Result<(), PlaceError> {
        let until = Instant::now() + limit;
        loop {
            if TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            let name = self.name;
            if let Some(status) = self.child.try_wait().map_err(|source| PlaceError::Start { name, source })? {
                return Err(PlaceError::Ended { name, status, output: self.output() });
            }
            if Instant::now() > until {
                let (address, output) = (self.address, self.output());
                return Err(PlaceError::Silent { name, address, seconds: limit.as_secs(), output });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What it is called.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Processor time of all its processes so far, in nanoseconds: what those that have ended used is not in it.
    pub fn cpu_ns(&self) -> u64 {
        members(self.child.id()).into_iter().map(cpu_of).sum()
    }

    /// The last that it said.
    fn output(&mut self) -> String {
        let length = self.output.metadata().map_or(0, |m| m.len());
        let mut text = Vec::new();
        let _read = self
            .output
            .seek(SeekFrom::Start(length.saturating_sub(MOST_SHOWN)))
            .and_then(|_| self.output.read_to_end(&mut text));
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

impl Drop for Running {
    /// Ends all its processes, first with SIGTERM.
    fn drop(&mut self) {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        // One that is gone needs no signal.
        let _sent = kill_process_group(group, Signal::TERM);
        let until = Instant::now() + END;
        while Instant::now() < until {
            let _gone = self.child.try_wait();
            if members(self.child.id()).is_empty() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        let _sent = kill_process_group(group, Signal::KILL);
        let _gone = self.child.wait();
    }
}

/// A file for output that nobody else sees, and that is gone with the last who holds it.
fn unnamed() -> io::Result<fs::File> {
    let fd = rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC)?;
    Ok(fs::File::from(fd))
}

/// The processes of a group that have not ended.
fn members(group: u32) -> BTreeSet<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_group = all.filter_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, in brackets, may have anything in it; after it come the state, the parent and the group.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let its_group: u32 = fields.nth(1)?.parse().ok()?;
        (its_group == group && state != "Z").then_some(id)
    });
    of_group.collect()
}

/// Processor time of a process and of all threads that it ever had, in nanoseconds.
fn cpu_of(process: u32) -> u64 {
    let of = |id| clock_gettime(clock_getcpuclockid(id).ok()?).ok();
    let used = i32::try_from(process).ok().map(nix::unistd::Pid::from_raw).and_then(of);
    used.map_or(0, |time| u64::try_from(std::time::Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
