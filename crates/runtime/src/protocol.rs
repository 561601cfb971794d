//! How a role without privileges talks to its executor: one JSON object a line over a Unix socket.
//!
//! The executor side serves any [`Driver`]; the role's side, [`ExecutorClient`], is a driver itself. The executor
//! believes nobody: before anything it asks a check of its own, which compares a start with its release.
//! Nothing is written here, so a crash loses at most an answer, and the step is done again.

#[cfg(test)]
mod tests;

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use rollout::{
    instance::{InstanceId, Observed},
    step::Step,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    driver::{Driver, DriverError},
    local::{Denied, Keep, Local},
};

/// A start with hundreds of peers is some 100 KiB.
const REQUEST_LIMIT: u64 = 1 << 20;
/// An observation of all 63,000 instances that a fabric has room for stays under this.
const ANSWER_LIMIT: u64 = 64 << 20;
/// The longest step: making the root of the largest image, ten minutes, and a stop of as long as a release asks.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1_800);
/// Writing a line to a peer that reads.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What an executor is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What is there now.
    Observe,
    /// Do a step.
    Execute(Step),
    /// Make the fabric, so that the edge can listen there.
    Prepare,
    /// What the filter has denied.
    Denied,
    /// A network namespace for a client that is no component.
    ClientNetns {
        /// Its name.
        name: String,
        /// What it may reach.
        targets: Vec<SocketAddr>,
    },
    /// The end of what an instance has said.
    Log(InstanceId),
    /// Remove everything of this scope.
    Purge(Keep),
}

/// What an executor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Request::Observe`].
    Observed(Observed),
    /// To [`Request::Execute`], [`Request::Prepare`] and [`Request::Purge`].
    Done,
    /// To [`Request::Denied`].
    Denied(Denied),
    /// To [`Request::ClientNetns`].
    Netns(PathBuf),
    /// To [`Request::Log`].
    Log(String),
    /// It was not done.
    Failed(Failure),
}

/// Why something was not done, as it crosses the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Failure {
    /// See [`DriverError::Refused`].
    Refused(String),
    /// See [`DriverError::Host`].
    Host {
        /// What is missing.
        what: String,
        /// What to do.
        hint: String,
    },
    /// See [`DriverError::Failed`].
    Failed {
        /// What was being done.
        what: String,
        /// Why it failed: all causes in one line.
        why: String,
    },
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Refused(what) => Self::Refused(what),
            DriverError::Host { what, hint } => Self::Host { what, hint },
            other => {
                let (what, chain) = (other.to_string(), other.chain());
                let why = chain.strip_prefix(&what).unwrap_or(&chain).trim_start_matches(": ").to_owned();
                Self::Failed { what, why }
            }
        }
    }
}

impl From<Failure> for DriverError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(what) => Self::Refused(what),
            Failure::Host { what, hint } => Self::Host { what, hint },
            Failure::Failed { what, why } => Self::Failed { what, source: why.into() },
        }
    }
}

/// What an executor serves: a driver, and what the local one can do beside.
pub trait Executor: Driver {
    /// Makes the fabric.
    fn prepare(&mut self) -> Result<(), DriverError>;
    /// What the filter has denied.
    fn denied(&mut self) -> Result<Denied, DriverError>;
    /// A network namespace for a client that is no component.
    fn client_netns(&mut self, name: &str, targets: &[SocketAddr]) -> Result<PathBuf, DriverError>;
    /// The end of what an instance has said.
    fn log(&mut self, id: &InstanceId) -> Result<String, DriverError>;
    /// Removes everything of this scope.
    fn purge(&mut self, keep: Keep) -> Result<(), DriverError>;
}

impl Executor for Local {
    fn prepare(&mut self) -> Result<(), DriverError> {
        self.prepare()
    }

    fn denied(&mut self) -> Result<Denied, DriverError> {
        self.denied()
    }

    fn client_netns(&mut self, name: &str, targets: &[SocketAddr]) -> Result<PathBuf, DriverError> {
        self.client_netns(name, targets)
    }

    fn log(&mut self, id: &InstanceId) -> Result<String, DriverError> {
        Self::log(self, id)
    }

    fn purge(&mut self, keep: Keep) -> Result<(), DriverError> {
        self.purge(keep)
    }
}

/// Answers requests until the other side closes the socket.
///
/// `check` says why a request is not done, and sees every one before it is: a start has to be what its release asks
/// for ([`crate::plan::check`]), and an executor of production may refuse to be purged.
/// A request that is not understood is answered with a failure and ends the service: the two sides differ.
pub fn serve(
    stream: UnixStream,
    executor: &mut dyn Executor,
    check: &mut dyn FnMut(&Request) -> Result<(), String>,
) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = match receive::<Request>(&mut reader, REQUEST_LIMIT) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => request,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                send(
                    &mut writer,
                    &Answer::Failed(Failure::Refused(format!("the executor does not understand this: {error}"))),
                )?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let answer = answer(executor, check, request).unwrap_or_else(|error| Answer::Failed(error.into()));
        send(&mut writer, &answer)?;
    }
}

fn answer(
    executor: &mut dyn Executor,
    check: &mut dyn FnMut(&Request) -> Result<(), String>,
    request: Request,
) -> Result<Answer, DriverError> {
    check(&request).map_err(DriverError::Refused)?;
    Ok(match request {
        Request::Observe => Answer::Observed(executor.observe()?),
        Request::Execute(step) => {
            executor.execute(&step)?;
            Answer::Done
        }
        Request::Prepare => {
            executor.prepare()?;
            Answer::Done
        }
        Request::Denied => Answer::Denied(executor.denied()?),
        Request::ClientNetns { name, targets } => Answer::Netns(executor.client_netns(&name, &targets)?),
        Request::Log(id) => Answer::Log(executor.log(&id)?),
        Request::Purge(keep) => {
            executor.purge(keep)?;
            Answer::Done
        }
    })
}

/// A driver that asks an executor.
pub struct ExecutorClient {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// After a torn exchange the next answer could be to an older question.
    torn: bool,
}

impl ExecutorClient {
    /// Talks over this socket.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self { writer: stream.try_clone()?, reader: BufReader::new(stream), torn: false })
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, DriverError> {
        let lost =
            |what: &str, source: io::Error| DriverError::Lost { what: what.to_owned(), source: Some(source.into()) };
        if self.torn {
            return Err(DriverError::Lost {
                what: "an earlier exchange broke off; connect again".to_owned(),
                source: None,
            });
        }
        self.torn = true;
        send(&mut self.writer, request).map_err(|error| lost("it takes no request", error))?;
        let answer = receive::<Answer>(&mut self.reader, ANSWER_LIMIT)
            .map_err(|error| lost("its answer can not be read", error))?;
        let answer =
            answer.ok_or_else(|| DriverError::Lost { what: "it has closed the socket".to_owned(), source: None })?;
        self.torn = false;
        match answer {
            Answer::Failed(failure) => Err(failure.into()),
            other => Ok(other),
        }
    }

    fn ask_done(&mut self, request: &Request) -> Result<(), DriverError> {
        match self.ask(request)? {
            Answer::Done => Ok(()),
            _ => Err(other_answer()),
        }
    }
}

impl Driver for ExecutorClient {
    fn observe(&mut self) -> Result<Observed, DriverError> {
        match self.ask(&Request::Observe)? {
            Answer::Observed(observed) => Ok(observed),
            _ => Err(other_answer()),
        }
    }

    fn execute(&mut self, step: &Step) -> Result<(), DriverError> {
        self.ask_done(&Request::Execute(step.clone()))
    }
}

impl Executor for ExecutorClient {
    fn prepare(&mut self) -> Result<(), DriverError> {
        self.ask_done(&Request::Prepare)
    }

    fn denied(&mut self) -> Result<Denied, DriverError> {
        match self.ask(&Request::Denied)? {
            Answer::Denied(denied) => Ok(denied),
            _ => Err(other_answer()),
        }
    }

    fn client_netns(&mut self, name: &str, targets: &[SocketAddr]) -> Result<PathBuf, DriverError> {
        match self.ask(&Request::ClientNetns { name: name.to_owned(), targets: targets.to_vec() })? {
            Answer::Netns(path) => Ok(path),
            _ => Err(other_answer()),
        }
    }

    fn log(&mut self, id: &InstanceId) -> Result<String, DriverError> {
        match self.ask(&Request::Log(id.clone()))? {
            Answer::Log(said) => Ok(said),
            _ => Err(other_answer()),
        }
    }

    fn purge(&mut self, keep: Keep) -> Result<(), DriverError> {
        self.ask_done(&Request::Purge(keep))
    }
}

fn other_answer() -> DriverError {
    DriverError::Lost { what: "it answers another question".to_owned(), source: None }
}

fn send<T: Serialize>(writer: &mut impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line)?;
    writer.flush()
}

/// One line; `None` at the end of the stream. Without its line end it is torn, whatever it says.
fn receive<T: DeserializeOwned>(reader: &mut BufReader<UnixStream>, limit: u64) -> io::Result<Option<T>> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut line = Vec::new();
    reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        let full = line.len() as u64 + 1 >= limit;
        return Err(if full {
            invalid(format!("a line is over {limit} bytes"))
        } else {
            io::ErrorKind::UnexpectedEof.into()
        });
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| invalid(error.to_string()))
}
