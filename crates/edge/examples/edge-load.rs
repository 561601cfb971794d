//! Long sessions, idle connections and switches under load, for measurements of an edge that runs by itself:
//! `edge-load SOCKET LISTEN PID sessions|idle|switches NUMBER`.
//!
//! It plays the clients and both versions, steers the edge over its control socket, and says what became of each.

use std::{
    error::Error,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use edge::EdgeClient;
use model::{
    Serial,
    route::{Backend, Protocol, Route, RouteState, RouteTable},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

type Failure = Box<dyn Error + Send + Sync>;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// How long the old version may keep its sessions.
const DRAIN_MS: u32 = 15_000;
/// Connections that ask without a pause.
const CLIENTS: u64 = 32;

/// A line of the report.
macro_rules! say {
    ($($text:tt)*) => { writeln!(std::io::stdout(), $($text)*)? };
}

struct Stage {
    edge: EdgeClient,
    listen: SocketAddr,
    pid: String,
    revision: u64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, listen, pid, what, number] = &*arguments else {
        return Err("give SOCKET LISTEN PID sessions|idle|switches NUMBER".into());
    };
    let stage = Stage { edge: EdgeClient::new(socket), listen: listen.parse()?, pid: pid.clone(), revision: 0 };
    let number: usize = number.parse()?;
    match what.as_str() {
        "sessions" => sessions(stage, number).await,
        "idle" => idle(stage, number).await,
        "switches" => switches(stage, number.try_into()?).await,
        other => Err(format!("`{other}` is none of sessions, idle, switches").into()),
    }
}

impl Stage {
    async fn apply(&mut self, backends: Vec<Backend>) -> Result<(), Failure> {
        self.revision += 1;
        let route = Route {
            listen: self.listen,
            component: "web".parse()?,
            protocol: Protocol::Http,
            tls: None,
            identity: Vec::new(),
            state: RouteState::Open,
            backends,
            drain_ms: Some(DRAIN_MS),
            split: None,
            names: None,
            surge: None,
        };
        self.edge.apply(&RouteTable { generation: 1, revision: self.revision, routes: vec![route] }).await?;
        Ok(())
    }

    /// What the edge has in memory, in MiB.
    fn memory_mib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }
}

fn backend(ordinal: u64, weight: u32, address: SocketAddr) -> Result<Backend, Failure> {
    Ok(Backend { serial: Serial::new("bench".parse()?, ordinal), weight, instances: vec![address] })
}

/// A version: it agrees to every upgrade and then echoes, and answers every request.
async fn version() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut buffer = [0; 1024];
                let mut upgraded = false;
                loop {
                    let size = stream.read(&mut buffer).await?;
                    let got = buffer.get(..size).unwrap_or_default();
                    if got.is_empty() {
                        return Ok::<_, std::io::Error>(());
                    } else if upgraded {
                        stream.write_all(got).await?;
                    } else if got.windows(9).any(|nine| nine.eq_ignore_ascii_case(b"websocket")) {
                        stream.write_all(AGREED).await?;
                        upgraded = true;
                    } else {
                        stream.write_all(ANSWER).await?;
                    }
                }
            });
        }
    });
    Ok(address)
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Result<(), Failure> {
    let (mut all, mut buffer) = (Vec::new(), [0; 1024]);
    while !all.ends_with(end) {
        match stream.read(&mut buffer).await? {
            0 => return Err("the connection ended".into()),
            size => all.extend_from_slice(buffer.get(..size).unwrap_or_default()),
        }
    }
    Ok(())
}

async fn open(
    listen: SocketAddr,
    number: usize,
    ask: &'static [u8],
    end: &'static [u8],
) -> Result<Vec<TcpStream>, Failure> {
    let mut opened = Vec::with_capacity(number);
    // A few hundred at a time, so that the queue of the listener is no part of it.
    while opened.len() < number {
        let mut some = JoinSet::new();
        for _ in 0..(number - opened.len()).min(250) {
            some.spawn(async move {
                let mut stream = TcpStream::connect(listen).await?;
                stream.write_all(ask).await?;
                read_until(&mut stream, end).await?;
                Ok::<_, Failure>(stream)
            });
        }
        while let Some(stream) = some.join_next().await {
            opened.push(stream??);
        }
    }
    Ok(opened)
}

/// How many of these still echo.
async fn alive(streams: Vec<TcpStream>) -> Result<Vec<TcpStream>, Failure> {
    let mut all = JoinSet::new();
    for mut stream in streams {
        all.spawn(async move {
            stream.write_all(b"ping.").await.ok()?;
            read_until(&mut stream, b"ping.").await.ok().map(|()| stream)
        });
    }
    let mut left = Vec::new();
    while let Some(stream) = all.join_next().await {
        left.extend(stream?);
    }
    Ok(left)
}

async fn sessions(mut stage: Stage, number: usize) -> Result<(), Failure> {
    let (old, new) = (version().await?, version().await?);
    stage.apply(vec![backend(1, 1, old)?]).await?;
    let before = stage.memory_mib()?;
    let streams = open(stage.listen, number, UPGRADE, b"\r\n\r\n").await?;
    let streams = alive(streams).await?;
    say!("{} sessions open and heard, {} MiB more in memory", streams.len(), stage.memory_mib()? - before);
    let switched = Instant::now();
    stage.apply(vec![backend(1, 0, old)?, backend(2, 1, new)?]).await?;
    let streams = alive(streams).await?;
    say!("{} heard {:.1} s after the switch", streams.len(), switched.elapsed().as_secs_f64());
    let limit = Duration::from_millis(u64::from(DRAIN_MS));
    tokio::time::sleep_until((switched + limit - Duration::from_secs(3)).into()).await;
    let streams = alive(streams).await?;
    let heard = switched.elapsed();
    say!("{} heard by {:.1} s, before the limit of {:.0} s", streams.len(), heard.as_secs_f64(), limit.as_secs_f64());
    let mut ends = JoinSet::new();
    for mut stream in streams {
        ends.spawn(async move {
            let mut rest = Vec::new();
            let _ended = stream.read_to_end(&mut rest).await;
            switched.elapsed()
        });
    }
    let (mut first, mut last) = (Duration::MAX, Duration::ZERO);
    while let Some(end) = ends.join_next().await {
        let end = end?;
        (first, last) = (first.min(end), last.max(end));
    }
    let cut: u64 = stage.edge.counts().await?.cut.iter().map(|row| row.sessions).sum();
    say!(
        "{cut} cut and listed, the first after {:.2} s and the last after {:.2} s",
        first.as_secs_f64(),
        last.as_secs_f64()
    );
    Ok(())
}

async fn idle(mut stage: Stage, number: usize) -> Result<(), Failure> {
    stage.apply(vec![backend(1, 1, version().await?)?]).await?;
    let before = stage.memory_mib()?;
    let silent = open(stage.listen, number, b"", b"").await?;
    // The edge has accepted all of them once it has accepted one more.
    drop(open(stage.listen, 1, ASK, b"hello").await?);
    say!("{} connections that never sent, {} MiB more in memory", silent.len(), stage.memory_mib()? - before);
    drop(silent);
    let streams = open(stage.listen, number, ASK, b"hello").await?;
    say!(
        "{} connections idle after a request, {} MiB more in memory, {} MiB in all",
        streams.len(),
        stage.memory_mib()? - before,
        stage.memory_mib()?
    );
    Ok(())
}

async fn switches(mut stage: Stage, number: u64) -> Result<(), Failure> {
    let (first, second) = ((1, version().await?), (2, version().await?));
    stage.apply(vec![backend(1, 1, first.1)?]).await?;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (stop, asked, listen) = (Arc::clone(&stop), Arc::clone(&asked), stage.listen);
        clients.spawn(async move {
            let mut stream = TcpStream::connect(listen).await?;
            stream.set_nodelay(true)?;
            let mut failed = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(ASK).await?;
                let answer = async {
                    let mut answer = [0; 4096];
                    let (mut size, mut head) = (0, false);
                    while !head {
                        size += stream.read(answer.get_mut(size..).unwrap_or_default()).await?;
                        head = answer.get(..size).unwrap_or_default().ends_with(b"hello");
                        if size == 0 {
                            return Err(std::io::ErrorKind::UnexpectedEof.into());
                        }
                    }
                    Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 200 "))
                };
                failed += u64::from(!answer.await?);
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failure>(failed)
        });
    }
    let began = Instant::now();
    // A million in all.
    let each = 1_000_000 / number.max(1);
    for n in 1..=number {
        while asked.load(Ordering::Relaxed) < n * each {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (old, new) = if n % 2 == 1 { (first, second) } else { (second, first) };
        stage.apply(vec![backend(old.0, 0, old.1)?, backend(new.0, 1, new.1)?]).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut failed = 0;
    while let Some(client) = clients.join_next().await {
        failed += client??;
    }
    let asked = asked.load(Ordering::Relaxed);
    say!("{asked} requests over {number} switches in {:.1} s, {failed} failed", began.elapsed().as_secs_f64());
    let counts = stage.edge.counts().await?;
    let counted: u64 = counts.versions.iter().map(|row| row.requests).sum();
    let errors: u64 = counts.versions.iter().map(|row| row.errors).sum();
    say!("counted by the edge: {counted} requests, {errors} errors");
    Ok(())
}
