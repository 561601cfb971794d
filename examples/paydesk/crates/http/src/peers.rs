//! The client: asks one of the peers that `COUNTERSIGN_PEER_<NAME>` lists. Requests must be safe to send twice
//! (all of ours are: payments carry a key), because a peer that goes away is asked again, or the next one is.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    settings::{Settings, SettingsError},
    wire::{self, ReadError},
};

/// Peers are one hop away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between tries; doubled each time.
const RETRY_DELAY: Duration = Duration::from_millis(100);
const TRIES_MAX: usize = 4;
/// Shorter than the server's own limit, so that it does not close what we are about to use.
const IDLE_MAX: Duration = Duration::from_secs(20);
const IDLE_CONNECTIONS_MAX: usize = 32;

/// What a peer said.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// The answer, or why there is none.
pub type Outcome = Result<Answer, io::Error>;

struct Idle {
    stream: TcpStream,
    peer: SocketAddr,
    since: Instant,
}

/// Peers of one kind.
pub struct Peers {
    addresses: Vec<SocketAddr>,
    turn: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    read_timeout: Duration,
}

impl Peers {
    /// From a variable such as `10.1.2.3:8082,10.1.2.4:8082`.
    pub fn from_environment(variable: &'static str, read_timeout: Duration) -> Result<Self, SettingsError> {
        let text = Settings::required(variable)?;
        let addresses: Result<Vec<SocketAddr>, _> = text.split(',').map(|a| a.trim().parse()).collect();
        let addresses = addresses
            .map_err(|_| SettingsError { variable, problem: format!("`{text}` is not `ip:port[,ip:port…]`") })?;
        Ok(Self { addresses, turn: AtomicUsize::new(0), idle: Mutex::new(Vec::new()), read_timeout })
    }

    /// Asks until a peer answers or the tries are used up.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Outcome {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut delay = RETRY_DELAY;
        let mut last = io::Error::from(ErrorKind::NotConnected);
        for attempt in 0..TRIES_MAX {
            if attempt > 0 {
                thread::sleep(delay);
                delay *= 2;
            }
            let peer = self.addresses[(first + attempt) % self.addresses.len()];
            match self.ask_one(peer, method, target, headers, body) {
                // Not now, says whoever stands in front of it.
                Ok(answer) if answer.status == 503 && attempt + 1 < TRIES_MAX => {}
                Ok(answer) => return Ok(answer),
                // Whoever waited that long should not wait again.
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(e);
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn ask_one(&self, peer: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Outcome {
        if let Some(stream) = self.take_idle(peer) {
            // It may have been closed meanwhile; then a fresh connection decides.
            match self.exchange(stream, peer, method, target, headers, body) {
                Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                other => return other,
            }
        }
        let stream = TcpStream::connect_timeout(&peer, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.read_timeout))?;
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        self.exchange(stream, peer, method, target, headers, body)
    }

    fn exchange(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome {
        let host = peer.to_string();
        let mut all = vec![("Host", host.as_str())];
        all.extend_from_slice(headers);
        wire::write(&mut stream, &format!("{method} {target} HTTP/1.1"), &all, body, true)?;
        let mut buffer = Vec::new();
        let failed = |e| match e {
            ReadError::Closed => ErrorKind::UnexpectedEof.into(),
            ReadError::Io(e) => e,
            ReadError::Bad(_, problem) => io::Error::new(ErrorKind::InvalidData, problem),
        };
        let head = wire::read_head(&mut stream, &mut buffer, false).map_err(failed)?;
        let body = wire::read_body(&mut stream, &mut buffer, &head).map_err(failed)?;
        let status = head.first.1.parse().unwrap_or(502);
        if head.keep_alive() && buffer.is_empty() {
            self.give_back(Idle { stream, peer, since: Instant::now() });
        }
        Ok(Answer { status, body })
    }

    fn take_idle(&self, peer: SocketAddr) -> Option<TcpStream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|i| i.since.elapsed() < IDLE_MAX);
        let at = idle.iter().rposition(|i| i.peer == peer)?;
        Some(idle.swap_remove(at).stream)
    }

    fn give_back(&self, connection: Idle) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
    }
}
