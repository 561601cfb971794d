//! The payload of an envelope: header, subjects and claim as bytes, and back.

use model::{CanonicalError, Digest, Timestamp, from_json_strict, to_json};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::v1::{Claim, EnvironmentVerdict, Header, Kind};

/// The DSSE payload type of in-toto statements (`in-toto/attestation:spec/v1/envelope.md`).
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A parsed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its header.
    pub header: Header,
    /// What it says.
    pub claim: Claim,
}

/// What a statement is about, as in-toto names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// A name for people.
    pub name: String,
    /// Digests by algorithm: `sha256`, or `gitCommit` for a commit.
    pub digest: std::collections::BTreeMap<String, String>,
}

/// Why bytes are not a statement.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Not JSON of an in-toto statement.
    #[error("the payload is not an in-toto statement")]
    NotAStatement(#[source] serde_json::Error),
    /// Another `_type`.
    #[error("`{0}` is not the statement type `https://in-toto.io/Statement/v1`")]
    Type(String),
    /// A kind that this version does not know.
    #[error("`{0}` is not a kind of statement that this version knows")]
    Kind(String),
    /// The predicate does not fit its kind.
    #[error("the {0} does not fit its form")]
    Form(Kind, #[source] CanonicalError),
    /// The subjects are not the ones that the claim implies.
    #[error("the subjects of the {0} are not the ones that its claim implies")]
    Subjects(Kind),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate<C> {
    header: Header,
    claim: C,
}

/// The same for writing, without copies.
#[derive(Serialize)]
struct Said<'a, C> {
    header: &'a Header,
    claim: &'a C,
}

#[derive(Deserialize)]
struct Peek {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

impl Statement {
    /// The bytes to sign.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PayloadError> {
        let header = &self.header;
        match &self.claim {
            Claim::Charter(c) => write(Kind::Charter, self.subjects(), header, c),
            Claim::Tick(c) => write(Kind::Tick, self.subjects(), header, c),
            Claim::Change(c) => write(Kind::Change, self.subjects(), header, c),
            Claim::Build(c) => write(Kind::Build, self.subjects(), header, c),
            Claim::Evidence(c) => write(Kind::Evidence, self.subjects(), header, c),
            Claim::Proposal(c) => write(Kind::Proposal, self.subjects(), header, c),
            Claim::Approval(c) => write(Kind::Approval, self.subjects(), header, c),
            Claim::Rejection(c) => write(Kind::Rejection, self.subjects(), header, c),
            Claim::Milestone(c) => write(Kind::Milestone, self.subjects(), header, c),
            Claim::Halt(c) => write(Kind::Halt, self.subjects(), header, c),
            Claim::Resume(c) => write(Kind::Resume, self.subjects(), header, c),
            Claim::Rollback(c) => write(Kind::Rollback, self.subjects(), header, c),
            Claim::Exception(c) => write(Kind::Exception, self.subjects(), header, c),
            Claim::KeyWithdrawal(c) => write(Kind::KeyWithdrawal, self.subjects(), header, c),
            Claim::Erasure(c) => write(Kind::Erasure, self.subjects(), header, c),
            Claim::Verdict(verdict) => {
                let predicate = EnvironmentVerdict::of(header.clone(), verdict);
                let wire = wire(Kind::Verdict, self.subjects(), predicate);
                to_json(&wire).map_err(|e| PayloadError::Form(Kind::Verdict, e))
            }
        }
    }

    /// Reads exactly the bytes that writing gives: no unknown field, no duplicate key, no other spelling.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PayloadError> {
        // Writing it again and comparing proves all of that by itself, and that the kind and the subjects are right. Why
        // something is not a statement takes more work, and is asked only then.
        let guess = Self::of_guessed_kind(bytes).filter(|s| s.to_bytes().is_ok_and(|again| again == bytes));
        guess.map_or_else(|| Self::from_bytes_slowly(bytes), Ok)
    }

    /// Reads again what was read strictly before: the same bytes, so that their form needs no second proof.
    pub(crate) fn read_again(bytes: &[u8]) -> Result<Self, PayloadError> {
        Self::of_guessed_kind(bytes).map_or_else(|| Self::from_bytes_slowly(bytes), Ok)
    }

    /// What the bytes say if they are of the kind whose name stands first in them.
    fn of_guessed_kind(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (_, rest) = text.split_once(r#"],"predicateType":""#)?;
        let (name, _) = rest.split_once('"')?;
        fn said<C: DeserializeOwned>(text: &str, claim: impl FnOnce(C) -> Claim) -> Option<Statement> {
            let wire: Wire<Predicate<C>> = serde_json::from_str(text).ok()?;
            Some(Statement { header: wire.predicate.header, claim: claim(wire.predicate.claim) })
        }
        match Kind::of_predicate_type(name)? {
            Kind::Charter => said(text, |c| Claim::Charter(Box::new(c))),
            Kind::Tick => said(text, Claim::Tick),
            Kind::Change => said(text, |c| Claim::Change(Box::new(c))),
            Kind::Build => said(text, |c| Claim::Build(Box::new(c))),
            Kind::Evidence => said(text, |c| Claim::Evidence(Box::new(c))),
            Kind::Proposal => said(text, |c| Claim::Proposal(Box::new(c))),
            Kind::Approval => said(text, Claim::Approval),
            Kind::Rejection => said(text, Claim::Rejection),
            Kind::Milestone => said(text, |c| Claim::Milestone(Box::new(c))),
            Kind::Halt => said(text, Claim::Halt),
            Kind::Resume => said(text, Claim::Resume),
            Kind::Rollback => said(text, Claim::Rollback),
            Kind::Exception => said(text, Claim::Exception),
            Kind::KeyWithdrawal => said(text, Claim::KeyWithdrawal),
            Kind::Erasure => said(text, Claim::Erasure),
            Kind::Verdict => {
                let wire: Wire<EnvironmentVerdict> = serde_json::from_str(text).ok()?;
                let (header, verdict) = wire.predicate.open();
                Some(Self { header, claim: Claim::Verdict(Box::new(verdict)) })
            }
        }
    }

    fn from_bytes_slowly(bytes: &[u8]) -> Result<Self, PayloadError> {
        let peek: Peek = serde_json::from_slice(bytes).map_err(PayloadError::NotAStatement)?;
        if peek.kind != STATEMENT_TYPE {
            return Err(PayloadError::Type(peek.kind));
        }
        let kind = Kind::of_predicate_type(&peek.predicate_type).ok_or(PayloadError::Kind(peek.predicate_type))?;
        let (subjects, statement) = match kind {
            Kind::Charter => read(kind, bytes, |c| Claim::Charter(Box::new(c))),
            Kind::Tick => read(kind, bytes, Claim::Tick),
            Kind::Change => read(kind, bytes, |c| Claim::Change(Box::new(c))),
            Kind::Build => read(kind, bytes, |c| Claim::Build(Box::new(c))),
            Kind::Evidence => read(kind, bytes, |c| Claim::Evidence(Box::new(c))),
            Kind::Proposal => read(kind, bytes, |c| Claim::Proposal(Box::new(c))),
            Kind::Approval => read(kind, bytes, Claim::Approval),
            Kind::Rejection => read(kind, bytes, Claim::Rejection),
            Kind::Milestone => read(kind, bytes, |c| Claim::Milestone(Box::new(c))),
            Kind::Halt => read(kind, bytes, Claim::Halt),
            Kind::Resume => read(kind, bytes, Claim::Resume),
            Kind::Rollback => read(kind, bytes, Claim::Rollback),
            Kind::Exception => read(kind, bytes, Claim::Exception),
            Kind::KeyWithdrawal => read(kind, bytes, Claim::KeyWithdrawal),
            Kind::Erasure => read(kind, bytes, Claim::Erasure),
            Kind::Verdict => {
                let wire: Wire<EnvironmentVerdict> =
                    from_json_strict(bytes).map_err(|e| PayloadError::Form(kind, e))?;
                let (header, verdict) = wire.predicate.open();
                Ok((wire.subject, Self { header, claim: Claim::Verdict(Box::new(verdict)) }))
            }
        }?;
        if subjects != statement.subjects() || statement.to_bytes()? != bytes {
            return Err(PayloadError::Subjects(kind));
        }
        Ok(statement)
    }

    /// What it is about, derived from the claim, so that there is one answer and tools outside find it.
    pub fn subjects(&self) -> Vec<Subject> {
        let sha256 = |name: &str, digest: &Digest| subject(name, "sha256", digest.hex());
        let mut subjects = Vec::new();
        match &self.claim {
            Claim::Charter(charter) => {
                subjects.push(sha256("policy", &Digest::of(charter.policy.as_bytes())));
            }
            Claim::Change(change) => subjects.push(subject("commit", "gitCommit", change.commit.to_string())),
            Claim::Build(build) => {
                subjects.push(sha256("release", &build.release));
                subjects.extend(build.images.iter().map(|i| sha256(i.component.as_str(), &i.image)));
            }
            Claim::Evidence(evidence) => match &evidence.on {
                super::v1::EvidenceOn::Source { commit } => {
                    subjects.push(subject("commit", "gitCommit", commit.to_string()));
                }
                super::v1::EvidenceOn::Containers { release, images } => {
                    subjects.push(sha256("release", release));
                    subjects.extend(images.iter().map(|i| sha256(i.component.as_str(), &i.image)));
                }
            },
            Claim::Proposal(c) => subjects.push(sha256("release", &c.release)),
            Claim::Approval(c) => subjects.push(sha256("release", &c.release)),
            Claim::Rejection(c) => subjects.push(sha256("release", &c.release)),
            Claim::Verdict(c) => subjects.push(sha256("release", &c.release)),
            Claim::Milestone(c) => subjects.push(sha256("release", &c.release)),
            Claim::Rollback(c) => subjects.push(sha256("release", &c.from)),
            Claim::Exception(c) => subjects.push(sha256("case", &c.case)),
            Claim::KeyWithdrawal(c) => subjects.push(sha256("key", &c.key.digest())),
            Claim::Erasure(c) => subjects.push(sha256("subject", c.subject.digest())),
            Claim::Tick(_) | Claim::Halt(_) | Claim::Resume(_) => {
                if let Some(charter) = &self.header.charter {
                    subjects.push(sha256("charter", charter));
                }
            }
        }
        subjects
    }

    /// Whether it still counts at this time.
    pub fn is_live_at(&self, now: Timestamp) -> bool {
        now < self.header.expires
    }
}

fn subject(name: &str, algorithm: &str, digest: String) -> Subject {
    Subject { name: name.to_owned(), digest: [(algorithm.to_owned(), digest)].into() }
}

fn wire<P>(kind: Kind, subject: Vec<Subject>, predicate: P) -> Wire<P> {
    Wire { kind: STATEMENT_TYPE.to_owned(), subject, predicate_type: kind.predicate_type(), predicate }
}

fn write<C: Serialize>(
    kind: Kind,
    subjects: Vec<Subject>,
    header: &Header,
    claim: &C,
) -> Result<Vec<u8>, PayloadError> {
    to_json(&wire(kind, subjects, Said { header, claim })).map_err(|e| PayloadError::Form(kind, e))
}

fn read<C: Serialize + DeserializeOwned>(
    kind: Kind,
    bytes: &[u8],
    claim: impl FnOnce(C) -> Claim,
) -> Result<(Vec<Subject>, Statement), PayloadError> {
    let wire: Wire<Predicate<C>> = from_json_strict(bytes).map_err(|e| PayloadError::Form(kind, e))?;
    Ok((wire.subject, Statement { header: wire.predicate.header, claim: claim(wire.predicate.claim) }))
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
