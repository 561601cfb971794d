//! Clients of the control socket, for whoever steers the edge or looks at it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use model::route::{Clients, EdgeCounts, ReadAnswer, ReadRequest, RouteTable, Ticks};
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, time::timeout};

use crate::{
    control::{Accepted, Fault, Health},
    edge::Applied,
    limits::{CONTROL_TIMEOUT, MAX_CONTROL_ANSWER_BYTES},
};

/// Asks an edge over its control socket, a connection a request.
#[derive(Clone, Debug)]
pub struct EdgeClient {
    path: PathBuf,
}

/// The same for callers that are not in an async context. Each call runs on a thread of its own, so that it may be made
/// anywhere.
#[derive(Clone, Debug)]
pub struct BlockingEdgeClient {
    client: EdgeClient,
}

/// Why an edge did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody serves the socket, or this user may not connect.
    #[error("the edge can not be reached at `{}`", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The table is older than the one in force, or claims to be the same and is not (409).
    #[error("{error}")]
    Older {
        /// What the edge says.
        error: String,
        /// What would help.
        hint: String,
    },
    /// The table can not be carried out (400, 413 or 422).
    #[error("{error}")]
    Wrong {
        /// What the edge says.
        error: String,
        /// What would help.
        hint: String,
    },
    /// This user may not steer (403).
    #[error("{error}")]
    NotAllowed {
        /// What the edge says.
        error: String,
        /// What would help.
        hint: String,
    },
    /// The edge can not do it now (503): it is ending, or its disk is.
    #[error("{error}")]
    NotNow {
        /// What the edge says.
        error: String,
        /// What would help.
        hint: String,
    },
    /// What answers is not an edge, or broke off.
    #[error("`{}` does not answer as an edge does", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl EdgeClient {
    /// A client of the edge at this socket. It connects when it is asked something.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the edge a table. To send one twice does no harm.
    ///
    /// # Errors
    /// See [`ClientError`]; unless it is `Protocol`, the table is not in force.
    pub async fn apply(&self, table: &RouteTable) -> Result<Applied, ClientError> {
        let bytes = serde_json::to_vec(table).map_err(|error| self.protocol(error))?;
        let (status, answer) = self.ask(Method::PUT, "/table", bytes).await?;
        self.read::<Accepted>(status, &answer).map(|accepted| accepted.applied)
    }

    /// The table in force, if there is one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn table(&self) -> Result<Option<RouteTable>, ClientError> {
        let (status, answer) = self.ask(Method::GET, "/table", Vec::new()).await?;
        if status == StatusCode::NOT_FOUND { Ok(None) } else { self.read(status, &answer).map(Some) }
    }

    /// What was counted since the edge started.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn counts(&self) -> Result<EdgeCounts, ClientError> {
        let (status, answer) = self.ask(Method::GET, "/counts", Vec::new()).await?;
        self.read(status, &answer)
    }

    /// The ticks from a number on, or all that are remembered if no tick has that number yet. Asked by a user who may
    /// steer, it keeps comparisons from silence.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ticks(&self, from: u64) -> Result<Ticks, ClientError> {
        let (status, answer) = self.ask(Method::GET, &format!("/ticks?from={from}"), Vec::new()).await?;
        self.read(status, &answer)
    }

    /// What components say of themselves, in the order in which they were asked.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn read_components(&self, request: &ReadRequest) -> Result<Vec<ReadAnswer>, ClientError> {
        let bytes = serde_json::to_vec(request).map_err(|error| self.protocol(error))?;
        let (status, answer) = self.ask(Method::POST, "/read", bytes).await?;
        self.read(status, &answer)
    }

    /// The clients of each version.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn clients(&self) -> Result<Clients, ClientError> {
        let (status, answer) = self.ask(Method::GET, "/clients", Vec::new()).await?;
        self.read(status, &answer)
    }

    /// The counts as OpenMetrics text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let (status, answer) = self.ask(Method::GET, "/metrics", Vec::new()).await?;
        if status != StatusCode::OK {
            return self.read::<String>(status, &answer);
        }
        String::from_utf8(answer.into()).map_err(|error| self.protocol(error))
    }

    /// How it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        let (_, answer) = self.ask(Method::GET, "/health", Vec::new()).await?;
        self.read(StatusCode::OK, &answer)
    }

    fn protocol(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Protocol { path: self.path.clone(), source: source.into() }
    }

    fn read<T: DeserializeOwned>(&self, status: StatusCode, answer: &Bytes) -> Result<T, ClientError> {
        if status == StatusCode::OK {
            return serde_json::from_slice(answer).map_err(|error| self.protocol(error));
        }
        let Fault { error, hint } = serde_json::from_slice(answer).map_err(|error| self.protocol(error))?;
        Err(match status {
            StatusCode::CONFLICT => ClientError::Older { error, hint },
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                ClientError::Wrong { error, hint }
            }
            StatusCode::FORBIDDEN => ClientError::NotAllowed { error, hint },
            StatusCode::SERVICE_UNAVAILABLE => ClientError::NotNow { error, hint },
            _ => self.protocol(error),
        })
    }

    async fn ask(&self, method: Method, target: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), ClientError> {
        let unreachable = |source| ClientError::Unreachable { path: self.path.clone(), source };
        // The edge answers within its own limit; the rest is for a machine under load.
        let limit = CONTROL_TIMEOUT + Duration::from_secs(5);
        let asked = async {
            let stream = UnixStream::connect(&self.path).await.map_err(unreachable)?;
            self.exchange(stream, method, target, body).await.map_err(|error| self.protocol(error))
        };
        timeout(limit, asked).await.unwrap_or_else(|elapsed| Err(self.protocol(elapsed)))
    }

    async fn exchange(
        &self,
        stream: UnixStream,
        method: Method,
        target: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(driver);
        let request =
            Request::builder().method(method).uri(target).header(HOST, "edge").body(Full::new(Bytes::from(body)))?;
        let answered = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let answer = Limited::new(response.into_body(), MAX_CONTROL_ANSWER_BYTES).collect().await?.to_bytes();
            Ok((status, answer))
        };
        let answered = answered.await;
        driving.abort();
        answered
    }
}

impl BlockingEdgeClient {
    /// A client of the edge at this socket.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { client: EdgeClient::new(path) }
    }

    /// As [`EdgeClient::apply`].
    ///
    /// # Errors
    /// As there.
    pub fn apply(&self, table: &RouteTable) -> Result<Applied, ClientError> {
        self.wait(self.client.apply(table))
    }

    /// As [`EdgeClient::table`].
    ///
    /// # Errors
    /// As there.
    pub fn table(&self) -> Result<Option<RouteTable>, ClientError> {
        self.wait(self.client.table())
    }

    /// As [`EdgeClient::counts`].
    ///
    /// # Errors
    /// As there.
    pub fn counts(&self) -> Result<EdgeCounts, ClientError> {
        self.wait(self.client.counts())
    }

    /// As [`EdgeClient::ticks`].
    ///
    /// # Errors
    /// As there.
    pub fn ticks(&self, from: u64) -> Result<Ticks, ClientError> {
        self.wait(self.client.ticks(from))
    }

    /// As [`EdgeClient::read_components`].
    ///
    /// # Errors
    /// As there.
    pub fn read_components(&self, request: &ReadRequest) -> Result<Vec<ReadAnswer>, ClientError> {
        self.wait(self.client.read_components(request))
    }

    /// As [`EdgeClient::clients`].
    ///
    /// # Errors
    /// As there.
    pub fn clients(&self) -> Result<Clients, ClientError> {
        self.wait(self.client.clients())
    }

    /// As [`EdgeClient::health`].
    ///
    /// # Errors
    /// As there.
    pub fn health(&self) -> Result<Health, ClientError> {
        self.wait(self.client.health())
    }

    fn wait<T: Send>(&self, asked: impl Future<Output = Result<T, ClientError>> + Send) -> Result<T, ClientError> {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| self.client.protocol(error))?.block_on(asked)
        };
        // A runtime can not be entered from within another, so the calling thread only waits.
        std::thread::scope(|scope| scope.spawn(run).join())
            .unwrap_or_else(|_| Err(self.client.protocol("the call ended early")))
    }
}
