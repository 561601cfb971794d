//! An instance that does what its path says, raw instances that misbehave, clients, and waiting for conditions.

use std::{
    convert::Infallible,
    future::Future,
    net::{SocketAddr, TcpListener as StdListener},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use edge::{Edge, EdgeConfig, Limits};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    client::conn::http1::SendRequest,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use model::{
    Digest, Serial,
    route::{Backend, Flag, Protocol, Route, RouteState, RouteTable, Split, VersionCounts},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// What nothing in these tests takes, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this machine that nobody listens on. Each process and each call has another loopback address, so that
/// tests side by side do not meet.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let ip = [127, 1 + (pid / 200 % 200) as u8, 1 + (pid % 200) as u8, 1 + (next % 250) as u8];
    StdListener::bind((std::net::IpAddr::from(ip), 0)).unwrap().local_addr().unwrap()
}

/// Waits for a condition.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) fn serial(ordinal: u64) -> Serial {
    Serial::new("paydesk".parse().unwrap(), ordinal)
}

pub(crate) fn backend(ordinal: u64, weight: u32, instances: &[SocketAddr]) -> Backend {
    Backend { serial: serial(ordinal), weight, instances: instances.to_vec() }
}

pub(crate) fn route(listen: SocketAddr, state: RouteState, backends: Vec<Backend>) -> Route {
    Route {
        listen,
        component: "web".parse().unwrap(),
        protocol: Protocol::Http,
        tls: None,
        identity: Vec::new(),
        state,
        backends,
        drain_ms: None,
        split: None,
        names: None,
        surge: None,
    }
}

/// Version 2 is compared with version 1.
pub(crate) fn split(share: u8, flags: Vec<Flag>) -> Split {
    Split {
        salt: Digest::of(b"a comparison"),
        trial: serial(2),
        control: serial(1),
        share,
        cohort: vec![],
        silence_ms: 600_000,
        tick_ms: 50,
        flags,
    }
}

pub(crate) fn table(generation: u64, revision: u64, routes: Vec<Route>) -> RouteTable {
    RouteTable { generation, revision, routes }
}

pub(crate) async fn started(limits: Limits) -> Edge {
    Edge::start(EdgeConfig { limits, ..EdgeConfig::default() }).await.unwrap()
}

/// An edge with one open route.
pub(crate) async fn edge_to(limits: Limits, backends: Vec<Backend>) -> (Edge, SocketAddr) {
    let (edge, listen) = (started(limits).await, free_address());
    edge.apply(table(1, 1, vec![route(listen, RouteState::Open, backends)])).await.unwrap();
    (edge, listen)
}

/// The counts of one version; zeros if there are none.
pub(crate) fn counted(edge: &Edge, ordinal: u64) -> VersionCounts {
    let zeros = VersionCounts {
        component: "web".parse().unwrap(),
        serial: serial(ordinal),
        requests: 0,
        errors: 0,
        in_flight: 0,
        clients: 0,
        held: 0,
        latency_us: vec![],
        quantiles_us: Vec::new(),
    };
    edge.counts().versions.into_iter().find(|row| row.serial == serial(ordinal)).unwrap_or(zeros)
}

/// Requests, errors and requests in flight of one version.
pub(crate) fn tally(edge: &Edge, ordinal: u64) -> (u64, u64, u64) {
    let row = counted(edge, ordinal);
    (row.requests, row.errors, row.in_flight)
}

/// That the counts of the component add up, once nothing is in flight.
pub(crate) fn check_sums(edge: &Edge) {
    let counts = edge.counts();
    let by_version: u64 = counts.versions.iter().map(|row| row.requests).sum();
    let row = counts.components.first().unwrap();
    assert_eq!(
        row.requests,
        by_version + row.turned_away + row.rejected + row.abandoned + row.shed - row.moved,
        "{counts:?}"
    );
}

type Reply = Response<BoxBody<Bytes, std::io::Error>>;

/// A server whose answers follow the path.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    gate: Arc<watch::Sender<bool>>,
    waiting: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Instance {
    pub(crate) async fn start() -> Self {
        Self::start_at(free_address()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (connections, waiting) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(watch::Sender::new(false));
        let (stop, mut stopped) = watch::channel(false);
        let (connected, gates, waits) = (Arc::clone(&connections), Arc::clone(&gate), Arc::clone(&waiting));
        let serving = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = stopped.wait_for(|stop| *stop) => break,
                };
                connected.fetch_add(1, Ordering::SeqCst);
                let (gate, waiting) = (Arc::clone(&gates), Arc::clone(&waits));
                let service = service_fn(move |request| answer(request, Arc::clone(&gate), Arc::clone(&waiting)));
                open.spawn(async move {
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self { address, connections, gate, waiting, stop, serving }
    }

    /// Lets requests to `/wait` go on.
    pub(crate) fn release(&self) {
        self.gate.send_replace(true);
    }

    /// Requests to `/wait` that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Ends at once: the socket and all connections are closed.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.serving.await.unwrap();
    }
}

fn text(bytes: impl Into<Bytes>) -> Reply {
    Response::new(Full::new(bytes.into()).map_err(|never| match never {}).boxed())
}

async fn answer(
    mut request: Request<Incoming>,
    gate: Arc<watch::Sender<bool>>,
    waiting: Arc<AtomicUsize>,
) -> Result<Reply, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match path.as_str() {
        "/echo" => Response::new(request.into_body().map_err(std::io::Error::other).boxed()),
        "/count" => {
            let (mut body, mut bytes) = (request.into_body(), 0);
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
            }
            text(bytes.to_string())
        }
        "/head" => {
            let mut lines = vec![format!("{} {} {:?}", request.method(), request.uri(), request.version())];
            lines.extend(
                request
                    .headers()
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))),
            );
            let mut response = text(lines.join("\n"));
            for (name, value) in [
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "9"),
                ("x-countersign-serial", "forged"),
                ("x-kept", "1"),
            ] {
                response.headers_mut().append(name, value.parse().unwrap());
            }
            response
        }
        "/wait" => {
            waiting.fetch_add(1, Ordering::SeqCst);
            gate.subscribe().wait_for(|open| *open).await.unwrap();
            waiting.fetch_sub(1, Ordering::SeqCst);
            text("waited")
        }
        "/hang" => std::future::pending().await,
        "/fail" => {
            let mut response = text("failed");
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
        "/endless" => Response::new(Zeros { left: usize::MAX }.boxed()),
        "/socket" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut buffer = [0; 1024];
                while let Ok(size @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..size]).await.is_err() {
                        return;
                    }
                }
            });
            let mut response = text("");
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            response
        }
        path => match path.strip_prefix("/zeros/") {
            Some(size) => Response::new(Zeros { left: size.parse().unwrap() }.boxed()),
            None => text("hello"),
        },
    })
}

/// A body of zeros of unknown length, in pieces.
struct Zeros {
    left: usize,
}

impl Body for Zeros {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        static PIECE: [u8; 16 * 1024] = [0; 16 * 1024];
        let size = self.left.min(PIECE.len());
        self.left -= size;
        Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..size])))))
    }
}

/// A server that runs `talk` on each connection and says how many there were.
pub(crate) async fn raw_instance<F>(
    talk: impl Fn(TcpStream, usize) -> F + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(free_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(talk(stream, counter.fetch_add(1, Ordering::SeqCst)));
        }
    });
    (address, connections)
}

/// Reads the head of a message and what came with it; empty at the end of the stream.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(size @ 1..) => head.extend_from_slice(&buffer[..size]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An answer as a client has it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Which version answered.
    pub(crate) fn serial(&self) -> &str {
        self.header("x-countersign-serial")
    }
}

/// A connection of a client.
pub(crate) struct Client {
    sender: SendRequest<BoxBody<Bytes, std::io::Error>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// From an address of its own.
    pub(crate) async fn connect_from(from: std::net::IpAddr, address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self::over(socket.connect(address).await.unwrap()).await
    }

    /// Over a stream that is open.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self { sender }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Got, hyper::Error> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Got, hyper::Error> {
        self.send_body(method, path, Full::new(body.into()).map_err(|never| match never {}).boxed()).await
    }

    /// A GET with fields of its own.
    pub(crate) async fn get_with(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Got, hyper::Error> {
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed();
        let mut request = Request::builder().uri(path).header("host", "test.example");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send_request(request.body(body).unwrap()).await
    }

    pub(crate) async fn send_body(
        &mut self,
        method: Method,
        path: &str,
        body: BoxBody<Bytes, std::io::Error>,
    ) -> Result<Got, hyper::Error> {
        let request = Request::builder().method(method).uri(path).header("host", "test.example").body(body).unwrap();
        self.send_request(request).await
    }

    async fn send_request(&mut self, request: Request<BoxBody<Bytes, std::io::Error>>) -> Result<Got, hyper::Error> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Got { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    /// Sends zeros, in pieces of unknown number.
    pub(crate) async fn send_zeros(&mut self, path: &str, size: usize) -> Result<Got, hyper::Error> {
        self.send_body(Method::POST, path, Zeros { left: size }.boxed()).await
    }
}

/// One request on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Got {
    Client::connect(address).await.get(path).await.unwrap()
}

/// Sends bytes and reads until the other end closes.
pub(crate) async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    // A reset after the answer is an end too.
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the other end never closes");
    String::from_utf8_lossy(&all).into_owned()
}
