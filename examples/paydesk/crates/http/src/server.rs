//! The server: one thread waits for all idle connections, a fixed number answers requests. A connection takes
//! a thread only while a request of it is under way, so clients may keep as many connections as they like.
//! SIGTERM or SIGINT stops it: what has arrived is answered, then it returns.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    message::{Request, Response},
    settings::Settings,
    wire::{self, ReadError},
};

/// More are refused at once: each costs a descriptor.
const CONNECTIONS_MAX: usize = 500;
/// A client that needs longer for one request, or to take one response, is cut off.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any client of ours keeps a connection, so that it is not closed under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// At the end, requests under way get this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

struct Connection {
    stream: TcpStream,
    /// Read but not used yet.
    buffer: Vec<u8>,
}

/// Listens, prints `listening on ADDRESS`, and answers with `handler` on `threads` threads until told to stop.
pub fn serve(
    settings: &Settings,
    threads: usize,
    handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::new(settings.bind, settings.port))?;
    listener.set_nonblocking(true)?;
    let poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let stopping = Arc::new(AtomicBool::new(false));
    stop_on_signal(&stopping, &waker)?;

    let (to_threads, work) = mpsc::sync_channel::<Connection>(CONNECTIONS_MAX);
    let (back, returned) = mpsc::channel::<Connection>();
    let work = Arc::new(Mutex::new(work));
    let handler = Arc::new(handler);
    let mut running = Vec::with_capacity(threads);
    for _ in 0..threads {
        let (work, back, handler) = (Arc::clone(&work), back.clone(), Arc::clone(&handler));
        let (waker, stopping) = (Arc::clone(&waker), Arc::clone(&stopping));
        running.push(thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            while let Some(mut connection) = next(&work) {
                if answer(&mut connection, handler.as_ref(), &stopping) && back.send(connection).is_ok() {
                    // Without a wake-up the connection would wait for the next event; with one it is watched now.
                    drop(waker.wake());
                }
            }
        })?);
    }
    drop(back);
    println!("listening on {}", listener.local_addr()?);

    let door = Door { poll, listener, idle: HashMap::new(), next: FIRST_CONNECTION, to_threads };
    door.run(&returned, &stopping)?;

    let until = Instant::now() + STOP_TIMEOUT;
    while running.iter().any(|t| !t.is_finished()) && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    println!("stopped");
    Ok(())
}

/// Handlers are shallow.
const STACK_BYTES: usize = 512 * 1024;

/// The thread that waits for connections and for requests on idle ones.
struct Door {
    poll: Poll,
    listener: TcpListener,
    idle: HashMap<Token, (TcpStream, Vec<u8>, Instant)>,
    next: usize,
    to_threads: SyncSender<Connection>,
}

impl Door {
    fn run(mut self, returned: &Receiver<Connection>, stopping: &AtomicBool) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            let stop = stopping.load(Ordering::SeqCst);
            // At the end: what has arrived by now is still answered, hence one more look without waiting.
            let wait = if stop { Duration::ZERO } else { Duration::from_secs(5) };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    WAKER => {}
                    token => self.hand_over(token),
                }
            }
            while let Ok(connection) = returned.try_recv() {
                self.watch(connection.stream, connection.buffer)?;
            }
            if stop {
                // New connections may hold a request already.
                self.accept()?;
                self.poll.poll(&mut events, Some(Duration::ZERO))?;
                for event in &events {
                    self.hand_over(event.token());
                }
                return Ok(());
            }
            self.idle.retain(|_, (_, _, since)| since.elapsed() < IDLE_TIMEOUT);
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) if self.idle.len() < CONNECTIONS_MAX => {
                    stream.set_nonblocking(false)?;
                    self.watch(stream, Vec::new())?;
                }
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The client gave up, or we are out of descriptors for now.
                Err(e) => {
                    eprintln!("a connection was not accepted: {e}");
                    return Ok(());
                }
            }
        }
    }

    fn watch(&mut self, stream: TcpStream, buffer: Vec<u8>) -> io::Result<()> {
        let token = Token(self.next);
        self.next += 1;
        self.poll.registry().register(&mut SourceFd(&stream.as_raw_fd()), token, Interest::READABLE)?;
        self.idle.insert(token, (stream, buffer, Instant::now()));
        Ok(())
    }

    fn hand_over(&mut self, token: Token) {
        let Some((stream, buffer, _)) = self.idle.remove(&token) else {
            return;
        };
        let deregistered = self.poll.registry().deregister(&mut SourceFd(&stream.as_raw_fd()));
        if let Err(e) = deregistered.map_err(|e| e.to_string()).and_then(|()| {
            // Dropped if full: CONNECTIONS_MAX requests wait already.
            self.to_threads.try_send(Connection { stream, buffer }).map_err(|e| e.to_string())
        }) {
            eprintln!("a connection was dropped: {e}");
        }
    }
}

/// The next connection with a request; `None` once there will be none.
fn next(work: &Mutex<Receiver<Connection>>) -> Option<Connection> {
    work.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Answers what has arrived; says whether the connection stays open.
fn answer(connection: &mut Connection, handler: &dyn Fn(&Request) -> Response, stopping: &AtomicBool) -> bool {
    loop {
        let (response, wants_more) = match read(connection) {
            Ok((request, keep)) => (handler(&request), keep),
            Err(ReadError::Bad(status, message)) => (Response::error(status, message), false),
            Err(ReadError::Closed | ReadError::Io(_)) => return false,
        };
        let keep = wants_more && !stopping.load(Ordering::SeqCst);
        let first_line = format!("HTTP/1.1 {} {}", response.status, reason(response.status));
        let mut headers = vec![("Content-Type", response.content_type)];
        headers.extend(response.headers.iter().map(|(n, v)| (*n, v.as_str())));
        if wire::write(&mut connection.stream, &first_line, &headers, &response.body, keep).is_err() || !keep {
            return false;
        }
        if connection.buffer.is_empty() {
            return true;
        }
    }
}

fn read(connection: &mut Connection) -> Result<(Request, bool), ReadError> {
    let Connection { stream, buffer } = connection;
    stream.set_read_timeout(Some(TRANSFER_TIMEOUT))?;
    stream.set_write_timeout(Some(TRANSFER_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let head = wire::read_head(stream, buffer, true)?;
    let body = wire::read_body(stream, buffer, &head)?;
    let keep = head.keep_alive();
    let (method, target) = head.first;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok((Request { method, path: path.to_owned(), query: query.to_owned(), headers: head.headers, body }, keep))
}

fn stop_on_signal(stopping: &Arc<AtomicBool>, waker: &Arc<Waker>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (stopping, waker) = (Arc::clone(stopping), Arc::clone(waker));
    thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        if signals.forever().next().is_some() {
            stopping.store(true, Ordering::SeqCst);
            if let Err(e) = waker.wake() {
                eprintln!("not woken to stop: {e}");
            }
        }
    })?;
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Other",
    }
}
