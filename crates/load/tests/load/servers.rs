//! Servers that do well, badly or nothing.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// What a server saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: AtomicU64,
    pub connections: AtomicU64,
    pub texts: Mutex<Vec<String>>,
}

/// A server, as long as it is held.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    _runtime: tokio::runtime::Runtime,
}

fn started<F>(make: impl FnOnce(TcpListener, Arc<Seen>) -> F) -> Server
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
    runtime.spawn(make(listener, Arc::clone(&seen)));
    Server { address, seen, _runtime: runtime }
}

/// HTTP/1.1 and HTTP/2: `/wrong` is answered wrongly, `/error` with 500, `/never` not at all, everything else by its body or
/// `fine`. It stands still for `stall` once, a second after it began.
pub fn http(stall: Duration) -> Server {
    started(move |listener, seen| async move {
        let (began, stalled) = (Instant::now(), Arc::new(Mutex::new(false)));
        while let Ok((stream, _)) = listener.accept().await {
            seen.connections.fetch_add(1, Ordering::Relaxed);
            let (seen, stalled) = (Arc::clone(&seen), Arc::clone(&stalled));
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (seen, stalled) = (Arc::clone(&seen), Arc::clone(&stalled));
                    async move {
                        seen.requests.fetch_add(1, Ordering::Relaxed);
                        stand_still(&stalled, began, stall);
                        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
                        let user = request.headers().get("x-user").map(|u| u.to_str().unwrap().to_owned());
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        seen.texts.lock().unwrap().push(format!("{path} {user:?} {}", String::from_utf8_lossy(&body)));
                        let (status, body) = match path.as_str() {
                            "/error" => (500, Bytes::from_static(b"broken")),
                            "/wrong" => (200, Bytes::from_static(b"{\"state\": \"lost\"}")),
                            "/never" => return std::future::pending().await,
                            _ if body.is_empty() => (200, Bytes::from_static(b"{\"state\": \"fine\"}")),
                            _ => (200, body),
                        };
                        Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(body)).unwrap())
                    }
                });
                let _ended =
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}

/// The server's only thread does nothing else meanwhile.
fn stand_still(stalled: &Mutex<bool>, began: Instant, stall: Duration) {
    let mut stalled = stalled.lock().unwrap();
    if !*stalled && began.elapsed() > Duration::from_secs(1) {
        *stalled = true;
        wait_for(stall);
    }
}

fn wait_for(time: Duration) {
    std::thread::sleep(time);
}

/// Sessions that echo.
pub fn sessions() -> Server {
    started(|listener, seen| async move {
        while let Ok((stream, _)) = listener.accept().await {
            seen.connections.fetch_add(1, Ordering::Relaxed);
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut session = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = session.next().await {
                    seen.requests.fetch_add(1, Ordering::Relaxed);
                    if message.is_close() || session.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

/// It takes connections and ends each after its first bytes.
pub fn hangs_up() -> Server {
    started(|listener, seen| async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut bytes = [0; 16];
                let _read = tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await;
            });
        }
    })
}

/// Not a test: a version of a comparison, where `ADDRESS` and `BEHAVIOUR` tell it to be one. It runs until it is ended.
#[test]
fn plays_a_version() {
    let (Ok(address), Ok(behaviour)) = (std::env::var("ADDRESS"), std::env::var("BEHAVIOUR")) else { return };
    let listener = std::net::TcpListener::bind(address).unwrap();
    let began = Instant::now();
    for stream in listener.incoming() {
        let behaviour = behaviour.clone();
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let mut asked = [0; 4096];
            while std::io::Read::read(&mut stream, &mut asked).is_ok_and(|size| size > 0) {
                let body = if behaviour == "wrong" { "lost" } else { "fine" };
                if behaviour == "slow" {
                    wait_for(Duration::from_millis(20));
                }
                if behaviour == "ends" && began.elapsed() > Duration::from_millis(1_500) {
                    std::process::exit(9);
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                if std::io::Write::write_all(&mut stream, answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
    }
}
