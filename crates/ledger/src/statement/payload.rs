//! The payload of an envelope: header, subjects and claim as bytes, and back.

use model::{CanonicalError, Digest, Timestamp, from_json_strict, to_json};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::v1::{Claim, EnvironmentVerdict, Header, Kind, ReadClaim};

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
struct Said<'a> {
    header: &'a Header,
    claim: &'a Claim,
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
        let kind = self.claim.kind();
        let form = |e| PayloadError::Form(kind, e);
        match &self.claim {
            Claim::Verdict(verdict) => {
                let predicate = EnvironmentVerdict::of(self.header.clone(), verdict);
                to_json(&wire(kind, self.subjects(), predicate)).map_err(form)
            }
            claim => to_json(&wire(kind, self.subjects(), Said { header: &self.header, claim })).map_err(form),
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
        match Kind::of_predicate_type(name)?.read(Guess(text)) {
            Some(statement) => statement,
            None => {
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
        let form = |e| PayloadError::Form(kind, e);
        let (subjects, statement) = match kind.read(Strict(bytes)) {
            Some(read) => read.map_err(form)?,
            None => {
                let wire: Wire<EnvironmentVerdict> = from_json_strict(bytes).map_err(form)?;
                let (header, verdict) = wire.predicate.open();
                (wire.subject, Self { header, claim: Claim::Verdict(Box::new(verdict)) })
            }
        };
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
            Claim::Analysis(c) => subjects.push(sha256("release", &c.release)),
            Claim::Rollback(c) => subjects.push(sha256("release", &c.from)),
            Claim::Retirement(c) => subjects.push(sha256("release", &c.release)),
            Claim::Report(c) => subjects.push(sha256("release", &c.release)),
            Claim::Exception(c) => subjects.push(sha256("case", &c.case)),
            Claim::KeyWithdrawal(c) => subjects.push(sha256("key", &c.key.digest())),
            Claim::Erasure(c) => subjects.push(sha256("subject", c.subject.digest())),
            Claim::Amendment(c) => subjects.push(sha256("charter", &c.becomes)),
            Claim::Consent(c) => subjects.push(sha256("charter", &c.becomes)),
            Claim::ValueProposal(c) => subjects.push(sha256(c.name.as_str(), &c.value)),
            Claim::ValueApproval(c) => subjects.push(sha256(c.name.as_str(), &c.value)),
            Claim::Tick(_)
            | Claim::Halt(_)
            | Claim::Resume(_)
            | Claim::Cancellation(_)
            | Claim::Alarm(_)
            | Claim::Acknowledgement(_)
            | Claim::Silence(_) => {
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

/// Reads what may be a statement of a kind, quickly.
struct Guess<'a>(&'a str);

impl ReadClaim for Guess<'_> {
    type Read = Option<Statement>;

    fn read<C: Serialize + DeserializeOwned>(self, claim: impl FnOnce(C) -> Claim) -> Self::Read {
        let wire: Wire<Predicate<C>> = serde_json::from_str(self.0).ok()?;
        Some(Statement { header: wire.predicate.header, claim: claim(wire.predicate.claim) })
    }
}

/// Reads a statement of a kind and refuses every other spelling.
struct Strict<'a>(&'a [u8]);

impl ReadClaim for Strict<'_> {
    type Read = Result<(Vec<Subject>, Statement), CanonicalError>;

    fn read<C: Serialize + DeserializeOwned>(self, claim: impl FnOnce(C) -> Claim) -> Self::Read {
        let wire: Wire<Predicate<C>> = from_json_strict(self.0)?;
        Ok((wire.subject, Statement { header: wire.predicate.header, claim: claim(wire.predicate.claim) }))
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
