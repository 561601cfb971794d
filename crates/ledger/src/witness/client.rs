//! The log's side of witnessing: ask, learn the witness's size if it is another, ask again, verify, keep.

use model::Timestamp;

use super::{AddCheckpoint, RequestError};
use crate::{
    checkpoint::{SignedCheckpoint, parse_size},
    log::{Log, ReadError, SetBack},
    note::{NoteError, NoteSignature, VerifierKey},
};

/// Asking twice is enough: the first answer tells the size to ask from. A third time means that somebody else asks too.
const ATTEMPTS: usize = 3;
/// 64 KiB: cosignature lines are a few hundred bytes.
const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// What came back over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no new cosignature.
#[derive(Debug, thiserror::Error)]
pub enum CosignError<E> {
    /// The witness was not reached.
    #[error("witness `{0}` was not reached")]
    Transport(String, #[source] E),
    /// The witness has cosigned more entries than this log has: the log was set back.
    #[error("witness `{witness}` has cosigned {theirs} entries, this log has {ours}: the log was set back")]
    Ahead {
        /// The witness.
        witness: String,
        /// The size that it cosigned.
        theirs: u64,
        /// Our size.
        ours: u64,
    },
    /// The witness says that the log does not continue what it cosigned: the log was rewritten.
    #[error("witness `{0}` refuses: the log does not continue what it cosigned before")]
    Inconsistent(String),
    /// Any other answer.
    #[error("witness `{witness}` answered {status}: `{text}`")]
    Refused {
        /// The witness.
        witness: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        text: String,
    },
    /// It said yes without a valid cosignature.
    #[error("witness `{0}` answered without a valid cosignature")]
    Cosignature(String, #[source] Option<NoteError>),
    /// The log itself could not be read.
    #[error("the log can not be read")]
    Log(#[from] ReadError),
    /// The request can not be put together.
    #[error("the request to the witness can not be made")]
    Request(#[from] RequestError),
}

impl<E> CosignError<E> {
    /// What the witness says of the log if it says that the log was set back. One answer is not signed by anybody, so
    /// nothing is concluded from it here.
    pub fn set_back(&self) -> Option<SetBack> {
        match self {
            Self::Ahead { witness, theirs, ours } => {
                Some(SetBack::Witness { witness: witness.clone(), theirs: *theirs, ours: *ours })
            }
            Self::Inconsistent(witness) => Some(SetBack::Fork(witness.clone())),
            _ => None,
        }
    }
}

/// Gets the log's head cosigned by one witness and keeps the cosignature. `old` is the size that the witness is thought
/// to have; 0 is a fine guess. `send` posts a body to `<prefix>/add-checkpoint`. Gives the size and the time cosigned.
pub fn cosign<E>(
    log: &Log,
    witness: &VerifierKey,
    old: u64,
    mut send: impl FnMut(&[u8]) -> Result<Reply, E>,
) -> Result<(u64, Timestamp), CosignError<E>> {
    let name = || witness.name().to_owned();
    let mut old = old.min(log.head().size());
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        let head = log.head();
        let proof = if old == 0 { Vec::new() } else { log.consistency_proof(old, head.size())? };
        let request = AddCheckpoint::new(old, proof, head.to_bytes())?;
        let reply = send(&request.to_bytes()).map_err(|e| CosignError::Transport(name(), e))?;
        if reply.status == 200 {
            let (signature, time) =
                accept(&head, witness, &reply.body).map_err(|e| CosignError::Cosignature(name(), e))?;
            log.add_cosignature(head.size(), &signature)?;
            return Ok((head.size(), time));
        }
        if reply.status == 422 {
            return Err(CosignError::Inconsistent(name()));
        }
        let text = shown(&reply.body);
        let other_size = parse_size(text.trim_end()).filter(|_| reply.status == 409);
        refused = Some((reply.status, text));
        let Some(theirs) = other_size else { break };
        let ours = log.head().size();
        if theirs > ours {
            // A process that was paused may only not have heard yet what another one of this log has done.
            if log.stored_size()? >= theirs {
                break;
            }
            return Err(CosignError::Ahead { witness: name(), theirs, ours });
        }
        old = theirs;
    }
    let (status, text) = refused.unwrap_or_default();
    Err(CosignError::Refused { witness: name(), status, text })
}

/// The witness's own line among those that came back, verified over the checkpoint. Others are ignored.
fn accept(
    head: &SignedCheckpoint,
    witness: &VerifierKey,
    body: &[u8],
) -> Result<(NoteSignature, Timestamp), Option<NoteError>> {
    let text = body.get(..body.len().min(BODY_LIMIT_BYTES)).and_then(|b| std::str::from_utf8(b).ok()).ok_or(None)?;
    for signature in NoteSignature::parse_lines(text).map_err(Some)? {
        let mut note = head.note().clone();
        note.clear();
        note.add(signature.clone());
        if let Some(time) = note.cosigned_at(witness).map_err(Some)? {
            return Ok((signature, time));
        }
    }
    Err(None)
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(160).collect()
}
