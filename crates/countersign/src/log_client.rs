//! The log as its clients see it: over the log's own socket, or through `front`.

use std::time::Duration;

use hyper::{Method, StatusCode};
use ledger::{
    bodies::{Body, KeptBody, SubjectBody, SubjectDigest},
    dsse::Envelope,
    merkle::{Nodes, node_in_tile, tile_with, unbundle},
    statement::v1,
};
use model::{Digest, EnvironmentName, SystemName, Timestamp, ValueName};
use serde::{Deserialize, Serialize};

use crate::{
    fault::{Because as _, Fault, Kind},
    http::{ANSWER_TIMEOUT, Answer, Target},
    submission,
};

/// The longest that one request waits for the log to grow.
pub const LONG_POLL: Duration = Duration::from_secs(20);

/// What the log answers to a statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appended {
    /// Its log index.
    pub index: u64,
    /// The inclusion proof, leaf to root.
    pub proof: Vec<Digest>,
    /// The signed checkpoint that it is under.
    pub checkpoint: String,
}

/// What the processes answer when something is wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// The kind, see [`Kind::name`].
    pub kind: String,
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What the log says of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum SubjectState {
    /// Nothing was ever kept about it.
    Unknown,
    /// It has a key, and its bodies can be read.
    Kept,
    /// Its key was destroyed.
    Erased,
}

/// An attempt to change a guarded value that the log refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Its number, from 1.
    pub number: u64,
    /// When, by this host's clock.
    pub at: Timestamp,
    /// How often within a minute.
    pub times: u64,
    /// What was to be said.
    pub kind: v1::Kind,
    /// About which value, if the charter has one of that name.
    pub value: Option<ValueName>,
    /// Of which system, if the charter has it.
    pub system: Option<SystemName>,
    /// In which environment, if the charter has it.
    pub environment: Option<EnvironmentName>,
    /// Who signed it, if the signature was theirs.
    pub signer: Option<String>,
    /// Why it was refused.
    pub reason: String,
}

/// A client of the log.
#[derive(Clone, Debug)]
pub struct LogClient {
    target: Target,
    prefix: &'static str,
    patience: Duration,
}

impl LogClient {
    /// At the log's own socket.
    pub const fn direct(target: Target) -> Self {
        Self { target, prefix: "", patience: ANSWER_TIMEOUT }
    }

    /// Through `front`.
    pub const fn through_front(target: Target) -> Self {
        Self { target, prefix: "/log", patience: ANSWER_TIMEOUT }
    }

    /// The same, for somebody who has other things to do than to wait for a log that hangs.
    #[must_use]
    pub const fn waiting(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn ask(&self, method: Method, path: &str, body: Vec<u8>, timeout: Duration) -> Result<Answer, Fault> {
        self.target.ask_blocking(method, &format!("{}{path}", self.prefix), body, timeout)
    }

    fn get(&self, path: &str) -> Result<Answer, Fault> {
        let answer = self.ask(Method::GET, path, Vec::new(), self.patience)?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
            Ok(answer)
        } else {
            Err(fault_of(&answer))
        }
    }

    /// Appends a statement with its bodies. Returns when it is in a signed, synced checkpoint.
    pub fn append(&self, envelope: &Envelope, bodies: &[SubjectBody]) -> Result<Appended, Fault> {
        let body = submission::write(envelope, bodies).because(Kind::Internal, "the submission can not be written")?;
        let answer = self.ask(Method::POST, "/statements", body, self.patience)?;
        if !answer.status.is_success() {
            return Err(fault_of(&answer));
        }
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "the log's answer does not hold up")
    }

    /// What a path of C2SP tlog-tiles names; `None` if the log has no such thing.
    pub fn resource(&self, path: ledger::merkle::TilePath) -> Result<Option<Vec<u8>>, Fault> {
        let answer = self.get(&format!("/{path}"))?;
        Ok((answer.status != StatusCode::NOT_FOUND).then(|| answer.body.to_vec()))
    }

    /// Entries from this index on, at most 256, as canonical bytes.
    pub fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>, Fault> {
        let answer = self.get(&format!("/entries/{from}"))?;
        unbundle(&answer.body).because(Kind::Untrue, "the log's entries do not hold up")
    }

    /// The latest checkpoint that the quorum of witnesses has cosigned, if there is one.
    pub fn cosigned(&self) -> Result<Option<Vec<u8>>, Fault> {
        let answer = self.get("/cosigned")?;
        Ok((answer.status != StatusCode::NOT_FOUND).then(|| answer.body.to_vec()))
    }

    /// The latest signed checkpoint, with the cosignatures that it has by now.
    pub fn head(&self) -> Result<Vec<u8>, Fault> {
        Ok(self.get("/checkpoint")?.body.to_vec())
    }

    /// Waits until a cosigned checkpoint covers more than `size` entries, or the time is over.
    pub fn wait_beyond(&self, size: u64, timeout: Duration) -> Result<(), Fault> {
        let timeout = timeout.min(LONG_POLL);
        let path = format!("/wait/{size}?ms={}", timeout.as_millis());
        let answer = self.ask(Method::GET, &path, Vec::new(), timeout + ANSWER_TIMEOUT)?;
        if answer.status.is_success() { Ok(()) } else { Err(fault_of(&answer)) }
    }

    /// Whether a subject was erased.
    pub fn subject(&self, subject: SubjectDigest) -> Result<SubjectState, Fault> {
        let answer = self.get(&format!("/subject/{}", subject.digest().hex()))?;
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "the log's answer does not hold up")
    }

    /// Attempts to change guarded values that the log refused, from a number on; the oldest are forgotten.
    pub fn refusals(&self, from: u64) -> Result<Vec<Refused>, Fault> {
        let answer = self.get(&format!("/refusals?from={from}"))?;
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "the log's answer does not hold up")
    }

    /// A body that is kept beside the log, checked against its commitment; or that its subject was erased.
    pub fn body(&self, commitment: Digest) -> Result<KeptBody, Fault> {
        let path = format!("/body/{}", commitment.hex());
        let answer = self.ask(Method::GET, &path, Vec::new(), self.patience)?;
        match answer.status {
            StatusCode::NOT_FOUND => return Ok(KeptBody::Missing),
            StatusCode::GONE => return Ok(KeptBody::Erased),
            status if status.is_success() => {}
            _ => return Err(fault_of(&answer)),
        }
        if Digest::of(&answer.body) != commitment {
            return Err(Fault::new(
                Kind::Untrue,
                format!("the body kept for {commitment} is not the one that was committed to"),
            ));
        }
        let (salt, bytes) = answer
            .body
            .split_first_chunk::<32>()
            .ok_or_else(|| Fault::new(Kind::Untrue, format!("the body kept for {commitment} has no salt")))?;
        Ok(KeptBody::Kept(Body { salt: *salt, bytes: bytes.to_vec() }))
    }
}

/// The hashes of the log's tree as the log hands them out; whoever asks compares them with a signed root.
impl Nodes for LogClient {
    type Error = Fault;

    fn node(&self, level: u32, index: u64) -> Result<Digest, Fault> {
        let path = tile_with(level, index);
        let answer = self.get(&format!("/{path}"))?;
        node_in_tile(&answer.body, level, index)
            .ok_or_else(|| Fault::new(Kind::Untrue, format!("the log does not hand out `{path}`")))
    }
}

/// The fault that an answer tells of.
pub fn fault_of(answer: &Answer) -> Fault {
    let Ok(trouble) = serde_json::from_slice::<Trouble>(&answer.body) else {
        return Fault::new(Kind::Unavailable, format!("the answer was {}", answer.status));
    };
    let kind = [Kind::Usage, Kind::Input, Kind::Refused, Kind::Untrue, Kind::Unavailable]
        .into_iter()
        .find(|k| k.name() == trouble.kind)
        .unwrap_or(Kind::Internal);
    let fault = Fault::new(kind, trouble.error);
    match trouble.hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

#[cfg(test)]
mod tests;
