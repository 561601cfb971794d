//! Health checks: one thread an instance asks it, as its release says, from the host's end of the fabric.
//!
//! Refuses to know what follows from the answer. Nothing is written, so a crash means only that it asks again.

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use model::{Clock, Timestamp, release::Health};
use nix::sys::{
    socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt},
    time::TimeVal,
};
use rollout::instance::InstanceState;

/// Failures in a row before a well instance counts as unwell: one lost answer on a busy host is none.
const FAILURES_LIMIT: u32 = 3;
/// The head of an answer that is read; no status line is longer.
const HEAD_LIMIT: usize = 4 << 10;
/// The rest of an answer that is read and dropped, so that a polite server sees no broken connection.
const REST_LIMIT: u64 = 64 << 10;
/// The shortest time between checks, whatever the release says.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
/// A checking thread needs a few KiB.
const STACK_BYTES: usize = 128 << 10;

/// A running watch; it ends when it is dropped.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What the checks have said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) well_since: Option<Timestamp>,
    unwell_since: Option<Timestamp>,
    failures: u32,
    why: String,
    late: bool,
}

/// What is asked, and whom.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) source: Ipv4Addr,
    pub(crate) target: SocketAddr,
    pub(crate) health: Health,
}

impl Watch {
    /// Starts asking. `started` and `well_since` come from the record, so that a new executor goes on where the old one stopped.
    pub(crate) fn start(
        question: Question,
        clock: Arc<dyn Clock>,
        started: Timestamp,
        well_since: Option<Timestamp>,
    ) -> io::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen { well_since, ..Seen::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let gone = Duration::from_secs(clock.now().since_s(started));
        let left = Duration::from_millis(question.health.deadline_ms.into()).saturating_sub(gone);
        let deadline = Instant::now() + left;
        let thread = thread::Builder::new().name("health".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let interval = Duration::from_millis(question.health.interval_ms.into()).max(INTERVAL_MIN);
            while !stopped.load(Ordering::Acquire) {
                let answer = ask(&question);
                let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                seen.take(answer, clock.now(), Instant::now() >= deadline);
                drop(seen);
                thread::park_timeout(interval);
            }
        })?;
        Ok(Self { seen, stop, thread })
    }

    /// What the checks have said so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    /// Not joined: a check in flight ends within its own time limit.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }
}

impl Seen {
    /// Takes in one answer.
    pub(crate) fn take(&mut self, answer: Result<(), String>, now: Timestamp, late: bool) {
        match answer {
            Ok(()) => {
                self.failures = 0;
                self.late = false;
                if self.well_since.is_none() || self.unwell_since.is_some() {
                    self.well_since = Some(now);
                    self.unwell_since = None;
                }
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                self.why = why;
                self.late = late && self.well_since.is_none();
                let unwell = self.late || (self.well_since.is_some() && self.failures >= FAILURES_LIMIT);
                if unwell && self.unwell_since.is_none() {
                    self.unwell_since = Some(now);
                }
            }
        }
    }

    /// The state that follows, of an instance that runs since `started`.
    pub(crate) fn state(&self, started: Timestamp) -> InstanceState {
        match (self.unwell_since, self.well_since) {
            (Some(since), _) if self.late => {
                InstanceState::Unhealthy { since, why: format!("not well within its deadline: {}", self.why) }
            }
            (Some(since), _) => InstanceState::Unhealthy { since, why: self.why.clone() },
            (None, Some(since)) => InstanceState::Healthy { since },
            (None, None) => InstanceState::Starting { since: started },
        }
    }
}

/// One check, within its time limit.
pub(crate) fn ask(question: &Question) -> Result<(), String> {
    exchange(question, "GET", "")
}

/// A POST without a body to the path of the question, within its time limit.
pub(crate) fn tell(question: &Question) -> Result<(), String> {
    exchange(question, "POST", "Content-Length: 0\r\n")
}

fn exchange(question: &Question, method: &str, header: &str) -> Result<(), String> {
    let limit = Duration::from_millis(question.health.timeout_ms.max(1).into());
    let started = Instant::now();
    let text = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer within {} ms", limit.as_millis()),
        _ if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {
            format!("no connection within {} ms", limit.as_millis())
        }
        _ => error.to_string(),
    };
    let mut stream = dial(question, limit).map_err(text)?;
    let Some(path) = &question.health.path else { return Ok(()) };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\n{header}User-Agent: countersign-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        question.target
    );
    stream.set_write_timeout(Some(limit)).map_err(text)?;
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut head = Vec::new();
    let mut part = [0; 512];
    while !head.contains(&b'\n') {
        // A server that sends a byte at a time is held to the limit too.
        let left = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero());
        let left = left.ok_or_else(|| format!("no answer within {} ms", limit.as_millis()))?;
        stream.set_read_timeout(Some(left)).map_err(text)?;
        let length = stream.read(&mut part).map_err(text)?;
        if length == 0 || head.len() > HEAD_LIMIT {
            return Err("the answer is not HTTP".to_owned());
        }
        head.extend_from_slice(part.get(..length).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or_default()).trim().to_owned();
    // HTTP/1.1 200 OK (RFC 9112 section 4)
    let status =
        line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|code| code.parse::<u16>().ok());
    let rest = io::copy(&mut stream.take(REST_LIMIT), &mut io::sink());
    tracing::trace!(target = %question.target, rest = ?rest.ok(), "health");
    match status {
        Some(200..=299) => Ok(()),
        Some(code) => Err(format!("`{path}` answered {code}")),
        None => Err("the answer is not HTTP".to_owned()),
    }
}

/// Connects from the checks' own address, within the limit (`socket(7)`, `SO_SNDTIMEO` holds for `connect`).
fn dial(question: &Question, limit: Duration) -> io::Result<TcpStream> {
    let SocketAddr::V4(target) = question.target else {
        return Err(io::Error::other("components have IPv4 addresses"));
    };
    let dialler = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let limit = TimeVal::new(limit.as_secs().try_into().unwrap_or(i64::MAX), i64::from(limit.subsec_micros()));
    setsockopt(&dialler, sockopt::SendTimeout, &limit)?;
    bind(dialler.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(question.source, 0)))?;
    connect(dialler.as_raw_fd(), &SockaddrIn::from(target))?;
    Ok(TcpStream::from(dialler))
}
