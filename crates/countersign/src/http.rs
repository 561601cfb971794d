//! HTTP between our own processes: over a Unix socket or loopback, one request a connection, everything bounded.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::fault::{Because as _, Fault, Kind};

/// The largest answer that is read: a full read of the log is asked for in parts well below this.
pub const ANSWER_BYTES: usize = 64 << 20;

/// The longest wait for an answer beyond what the request itself asks the other side to wait.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Who to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process of this host.
    Unix(PathBuf),
    /// A process at an address.
    Tcp(SocketAddr),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

impl Target {
    /// Reads `http://127.0.0.1:7070`, `unix:/path` or an address.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        address.parse().map(Self::Tcp).map_err(|_| {
            Fault::new(Kind::Usage, format!("`{text}` is not an address"))
                .hint("write `http://127.0.0.1:7070` or `unix:/path/to/socket`")
        })
    }

    /// Reads the same with a path behind it, as a URL prefix may have one (C2SP tlog-witness, "HTTP Interface"): who to
    /// ask, and what to put before every path, without a slash at its end.
    pub fn parse_prefix(text: &str) -> Result<(Self, String), Fault> {
        let Some(rest) = text.strip_prefix("http://") else { return Ok((Self::parse(text)?, String::new())) };
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#') {
            return Err(Fault::new(Kind::Usage, format!("`{text}` is not the prefix of a URL"))
                .hint("write `http://192.0.2.1:7075` or `http://192.0.2.1:7075/path`"));
        }
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok((Self::parse(address)?, prefix))
    }

    /// Asks and waits for the whole answer.
    pub async fn ask(&self, method: Method, path: &str, body: Vec<u8>, timeout: Duration) -> Result<Answer, Fault> {
        let work = async {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "countersign")
                .body(Full::new(Bytes::from(body)))
                .because(Kind::Internal, "the request can not be made")?;
            let gone = || format!("{self} does not answer");
            let mut sender = match self {
                Self::Unix(path) => {
                    let stream = tokio::net::UnixStream::connect(path).await.because(Kind::Unavailable, gone())?;
                    handshake(stream).await?
                }
                Self::Tcp(address) => {
                    let stream = tokio::net::TcpStream::connect(address).await.because(Kind::Unavailable, gone())?;
                    handshake(stream).await?
                }
            };
            let response = sender.send_request(request).await.because(Kind::Unavailable, gone())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES)
                .collect()
                .await
                .map_err(|e| Fault::new(Kind::Unavailable, format!("{self} broke off its answer: {e}")))?
                .to_bytes();
            Ok(Answer { status, body })
        };
        match tokio::time::timeout(timeout, work).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(Fault::new(Kind::Unavailable, format!("{self} did not answer within {} s", timeout.as_secs())))
            }
        }
    }

    /// The same for who is not asynchronous.
    pub fn ask_blocking(&self, method: Method, path: &str, body: Vec<u8>, timeout: Duration) -> Result<Answer, Fault> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .because(Kind::Unavailable, "no runtime for the request")?
            .block_on(self.ask(method, path, body, timeout))
    }
}

pub(crate) async fn handshake<S>(stream: S) -> Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>, Fault>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .because(Kind::Unavailable, "no HTTP on the other side")?;
    tokio::spawn(async move {
        // The request's own error says what went wrong; the connection's adds nothing.
        drop(connection.await);
    });
    Ok(sender)
}

#[cfg(test)]
mod tests;
