//! The way out of the fetch phase: sockets that listen in the sandbox's network namespace, served by threads in
//! the host's.
//!
//! It refuses to know what is fetched; every byte is checked against a lock file afterwards.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Denied, Endpoint, proxy, stage::Listening};

/// Connections at the same time; package managers open a dozen or two.
const CONNECTIONS_LIMIT: usize = 128;
/// How long a connection may be silent; registries answer within seconds.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// How long opening a connection may take.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at whether to stop.
const LOOK_MS: u16 = 100;
/// Different addresses that are remembered when denied.
const DENIED_LIMIT: usize = 100;
/// Characters of a denied address that are kept.
const TARGET_LIMIT: usize = 120;

/// What the threads share.
pub(super) struct Shared {
    pub(super) allow: Vec<Endpoint>,
    stop: AtomicBool,
    open: AtomicUsize,
    denied: Mutex<BTreeMap<String, u64>>,
    streams: Mutex<Vec<TcpStream>>,
}

/// The running relays of one sandbox.
pub(super) struct Relays {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relays {
    /// Starts serving; to be called from a thread in the host's network namespace.
    pub(super) fn start(listening: Vec<Listening>, allow: Vec<Endpoint>) -> Self {
        let shared = Arc::new(Shared {
            allow,
            stop: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            denied: Mutex::default(),
            streams: Mutex::default(),
        });
        let serve = |one| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || match one {
                Listening::Relay(listener, address) => {
                    accept(&listener, &shared, move |stream, shared| relay(stream, address, shared))
                }
                Listening::Proxy(listener) => accept(&listener, &shared, proxy::serve),
            })
        };
        let threads = listening.into_iter().map(serve).collect();
        Self { shared, threads }
    }

    /// Ends all connections and threads, and says what was denied.
    pub(super) fn stop(self) -> Vec<Denied> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().ok();
        }
        for stream in lock(&self.shared.streams).drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        let denied = std::mem::take(&mut *lock(&self.shared.denied));
        denied.into_iter().map(|(target, count)| Denied { target, count }).collect()
    }
}

impl Shared {
    /// Remembers what was asked for and not allowed.
    pub(super) fn deny(&self, target: &str) {
        let target: String = target.chars().filter(|c| !c.is_control()).take(TARGET_LIMIT).collect();
        let mut denied = lock(&self.denied);
        let target =
            if denied.len() < DENIED_LIMIT || denied.contains_key(&target) { target } else { "others".to_owned() };
        *denied.entry(target).or_insert(0) += 1;
    }

    /// Remembers a stream, to end it with the sandbox.
    fn keep(&self, stream: &TcpStream) {
        let mut streams = lock(&self.streams);
        streams.retain(|s| s.peer_addr().is_ok());
        if let Ok(copy) = stream.try_clone() {
            streams.push(copy);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept<F: Fn(TcpStream, &Shared) + Clone + Send + 'static>(listener: &TcpListener, shared: &Arc<Shared>, serve: F) {
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    while !shared.stop.load(Ordering::SeqCst) {
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(LOOK_MS)).ok();
        let Ok((stream, _)) = listener.accept() else { continue };
        if shared.open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_LIMIT {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (shared, serve) = (Arc::clone(shared), serve.clone());
        thread::spawn(move || {
            if stream.set_nonblocking(false).is_ok() && limits(&stream).is_ok() {
                serve(stream, &shared);
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Silence ends a connection.
pub(super) fn limits(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_LIMIT))?;
    stream.set_write_timeout(Some(SILENCE_LIMIT))?;
    stream.set_nodelay(true)
}

fn relay(inside: TcpStream, address: SocketAddr, shared: &Shared) {
    if let Ok(outside) = TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
        join(inside, outside, shared);
    }
}

/// Copies both ways until both ends have finished.
pub(super) fn join(inside: TcpStream, outside: TcpStream, shared: &Shared) {
    shared.keep(&inside);
    shared.keep(&outside);
    let (Ok(from_inside), Ok(to_outside)) = (inside.try_clone(), outside.try_clone()) else { return };
    if limits(&outside).is_err() {
        return;
    }
    let up = thread::spawn(move || copy(from_inside, to_outside));
    copy(outside, inside);
    up.join().ok();
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(n) = from.read(&mut buffer) else {
            // Silent for too long, or broken: neither direction is of use any more.
            from.shutdown(Shutdown::Both).ok();
            to.shutdown(Shutdown::Both).ok();
            return;
        };
        let written = to.write_all(buffer.get(..n).unwrap_or_default());
        if n == 0 || written.is_err() {
            to.shutdown(Shutdown::Write).ok();
            if written.is_err() {
                from.shutdown(Shutdown::Both).ok();
            }
            return;
        }
    }
}
