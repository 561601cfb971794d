//! A surge against a component of fixed capacity, for `benches/surge.sh`:
//! `edge-surge serve ADDRESS AT_ONCE MS` is the component, `edge-surge drive NAME ADDRESS CAPACITY SECONDS` are the clients.
//!
//! Requests are sent at their times whatever becomes of those before (an open loop), and times count from when a request was to
//! be sent. Calm is 0.4 of the capacity of what matters and 0.2 of the rest; the surge is 0.4 and 9.6.

use std::{
    convert::Infallible,
    error::Error,
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

type Failure = Box<dyn Error + Send + Sync>;
type Sender = SendRequest<Empty<Bytes>>;

/// A client gives up after so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections to one proxy: what does not fit waits in the client, and that counts.
const MAX_CONNECTIONS: usize = 1_500;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["serve", address, at_once, ms] => serve(address.parse()?, at_once.parse()?, ms.parse()?).await,
        ["drive", name, address, capacity, seconds] => {
            drive(name, address.parse()?, capacity.parse()?, seconds.parse()?).await
        }
        _ => Err("give serve ADDRESS AT_ONCE MS, or drive NAME ADDRESS CAPACITY SECONDS".into()),
    }
}

async fn serve(address: SocketAddr, at_once: usize, ms: u64) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    let places = Arc::new(Semaphore::new(at_once));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let places = Arc::clone(&places);
        let service = service_fn(move |_: Request<Incoming>| {
            let places = Arc::clone(&places);
            async move {
                let _place = places.acquire().await;
                sleep(Duration::from_millis(ms)).await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"done"))))
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Clients of one proxy and their idle connections.
struct Clients {
    address: SocketAddr,
    idle: Mutex<Vec<Sender>>,
    places: Semaphore,
}

impl Clients {
    async fn ask(&self, path: &'static str) -> Result<StatusCode, Failure> {
        let _place = self.places.acquire().await?;
        let known = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut sender = match known.filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                let (sender, driver) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                sender
            }
        };
        let request = Request::builder().uri(path).header("host", "bench.example").body(Empty::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        if sender.ready().await.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        }
        Ok(status)
    }
}

/// What became of the requests of one class in one phase.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    refused: u64,
    failed: u64,
}

impl Seen {
    fn quantile(&mut self, of_a_hundred: usize) -> Duration {
        self.took.sort_unstable();
        let at = (self.took.len() * of_a_hundred / 100).min(self.took.len().saturating_sub(1));
        self.took.get(at).copied().unwrap_or_default()
    }

    fn add(&mut self, became: Result<StatusCode, Failure>, took: Duration) {
        match became {
            Ok(StatusCode::OK) => self.took.push(took),
            Ok(StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => self.refused += 1,
            Ok(_) | Err(_) => self.failed += 1,
        }
    }
}

/// Sends so many a second of what matters and of the rest, for so long.
async fn phase(clients: &Arc<Clients>, per_s: [f64; 2], lasts: Duration) -> Result<[Seen; 2], Failure> {
    let began = Instant::now();
    let mut asking = JoinSet::new();
    let at = |sent: u32, per_s: f64| began + Duration::from_secs_f64((f64::from(sent) + 0.5) / per_s);
    let [high_per_s, low_per_s] = per_s;
    let (mut high, mut low) = (0, 0);
    loop {
        let is_high = at(high, high_per_s) <= at(low, low_per_s);
        let when = if is_high { at(high, high_per_s) } else { at(low, low_per_s) };
        if when >= began + lasts {
            break;
        }
        *(if is_high { &mut high } else { &mut low }) += 1;
        if when > Instant::now() {
            sleep_until(when).await;
        }
        let clients = Arc::clone(clients);
        asking.spawn(async move {
            let path = if is_high { "/settlements" } else { "/quotes" };
            let became = timeout(PATIENCE, clients.ask(path)).await.unwrap_or_else(|late| Err(late.into()));
            (is_high, became, when.elapsed())
        });
    }
    let (mut high, mut low) = (Seen::default(), Seen::default());
    while let Some(asked) = asking.join_next().await {
        let (is_high, became, took) = asked?;
        if is_high { high.add(became, took) } else { low.add(became, took) }
    }
    Ok([high, low])
}

async fn drive(name: &str, address: SocketAddr, capacity: f64, seconds: u64) -> Result<(), Failure> {
    let places = Semaphore::new(MAX_CONNECTIONS);
    let clients = Arc::new(Clients { address, idle: Mutex::default(), places });
    let calm_rates = [0.4 * capacity, 0.2 * capacity];
    phase(&clients, calm_rates, Duration::from_secs(1)).await?;
    let [mut calm, _] = phase(&clients, calm_rates, Duration::from_secs(5)).await?;
    let lasts = Duration::from_secs(seconds);
    let [mut high, low] = phase(&clients, [0.4 * capacity, 9.6 * capacity], lasts).await?;
    // Whole seconds until one in which nothing is refused, nothing fails and what matters is as fast as in the calm.
    let limit = calm.quantile(99).mul_f64(1.5);
    let mut recovered = None;
    for second in 1..=10 {
        let [mut fast, rest] = phase(&clients, calm_rates, Duration::from_secs(1)).await?;
        let refused = fast.refused + fast.failed + rest.refused + rest.failed;
        if refused == 0 && fast.quantile(99) <= limit {
            recovered = Some(second);
            break;
        }
    }
    let served = high.took.len() + low.took.len();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let goodput = served as f64 / lasts.as_secs_f64() / capacity;
    let ratio = high.quantile(99).as_secs_f64() / calm.quantile(99).as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{name:<9} calm p99 {:>6.1} ms   surge p50 {:>7.1} p99 {:>7.1} ms ({ratio:.2}x)   refused {} failed {} of {}   goodput {goodput:.2}   rest: {} served, {} refused, {} failed   recovered in {}",
        calm.quantile(99).as_secs_f64() * 1e3,
        high.quantile(50).as_secs_f64() * 1e3,
        high.quantile(99).as_secs_f64() * 1e3,
        high.refused,
        high.failed,
        high.took.len() as u64 + high.refused + high.failed,
        low.took.len(),
        low.refused,
        low.failed,
        recovered.map_or("more than 10 s".to_owned(), |second| format!("{second} s")),
    )?;
    Ok(())
}
