//! Erasing: one person's word that the bodies of a subject are to be forgotten.

use model::Digest;
use serde::{Deserialize, Serialize};

use crate::bodies::SubjectDigest;

/// The key of a subject is to be destroyed. Done when two persons have said so (see [`crate::erasure`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The digest of the subject.
    pub subject: SubjectDigest,
    /// SHA-256(salt ‖ reason); the reason is kept beside the log.
    pub reason: Option<Digest>,
}
