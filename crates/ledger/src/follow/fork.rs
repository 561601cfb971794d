//! Two checkpoints of one log that do not go together, as a file that somebody else can judge.
//!
//! ```text
//! countersign-fork/v1 <bytes of ours> <bytes of theirs>
//! <the note that was accepted before>
//! ================
//! <the note that does not fit it>
//! ================
//! <the root that the larger tree had at the smaller size, base64>
//! <a consistency proof from there, base64 hashes, one a line>
//! ```
//!
//! The lines after the second `=` line are there where they could be had. What the file proves is for
//! [`Fork::judge`] to say, who needs nothing but the log's public key; it refuses to know who kept it.
//! [`keep`] writes; a crash in it means that the evidence is not kept, and the log is refused all the same.

use std::{fmt, fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use model::Digest;

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    durable::{self, DurableError},
    merkle::{Nodes, consistency_proof, old_root_of, range_root, verify_consistency},
    note::VerifierKey,
};

const HEADER: &str = "countersign-fork/v1";
const LINE: &str = "================\n";
/// 63 hashes are the longest consistency proof (C2SP tlog-witness).
const PROOF_LIMIT: usize = 63;
/// 256 pieces of evidence in a folder: one is enough to stop a log, and nobody shall fill the disk with more.
const KEPT_LIMIT: usize = 256;

/// Two checkpoints of one log that can not both be true, or of which the later is smaller. Evidence against whoever
/// holds the log's key: keep both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The note that was accepted before.
    pub ours: Vec<u8>,
    /// The note that does not fit it.
    pub theirs: Vec<u8>,
    shown: Option<Shown>,
}

/// What the larger tree was at the smaller size.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    root: Digest,
    proof: Vec<Digest>,
}

/// What two checkpoints show to whoever knows the log's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The log signed two roots for one size: it forked.
    TwoRoots {
        /// The size.
        size: u64,
    },
    /// The log signed a tree of the larger size that does not begin with the tree that it signed at the smaller: it forked.
    Rewritten {
        /// The smaller size.
        at: u64,
        /// The larger size.
        size: u64,
    },
    /// The log signed both, and the file does not show that they contradict each other. A log that is honest can show
    /// that the smaller one is the beginning of the larger one; ask it.
    Unproven {
        /// The smaller size.
        at: u64,
        /// The larger size.
        size: u64,
    },
}

/// Why bytes are no evidence.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// Not the format above.
    #[error("not two checkpoints as they are kept when they do not fit each other")]
    Malformed,
    /// One of the notes is not a checkpoint that this log signed.
    #[error("one of the two checkpoints is not signed by the log")]
    Checkpoint(#[from] CheckpointError),
    /// Both are the same checkpoint.
    #[error("both checkpoints are of one tree")]
    Same,
}

impl Fork {
    /// How the names of kept files begin.
    pub const KIND: &str = "fork";

    /// From two notes alone.
    pub const fn new(ours: Vec<u8>, theirs: Vec<u8>) -> Self {
        Self { ours, theirs, shown: None }
    }

    /// The same with a consistency proof that came with the larger note and did not lead from the smaller one. If it
    /// leads from another tree, it shows that the larger one begins with that.
    #[must_use]
    pub fn with_proof(mut self, log: &VerifierKey, proof: &[Digest]) -> Self {
        if let Ok((old, new)) = self.open(log)
            && let Some(root) = old_root_of(old.size(), new.size(), &new.root(), proof)
        {
            self.show(&old, Shown { root, proof: proof.to_vec() });
        }
        self
    }

    /// The same with what the hashes of the larger tree show. Hashes that are missing, or do not lead to the larger
    /// note's root, add nothing.
    #[must_use]
    pub fn with_nodes<N: Nodes>(mut self, log: &VerifierKey, nodes: &N) -> Self {
        let Ok((old, new)) = self.open(log) else { return self };
        let made = (old.size() > 0 && old.size() < new.size())
            .then(|| {
                Some((range_root(nodes, 0, old.size()).ok()?, consistency_proof(nodes, old.size(), new.size()).ok()?))
            })
            .flatten();
        if let Some((root, proof)) = made
            && verify_consistency(old.size(), &root, new.size(), &new.root(), &proof).is_ok()
        {
            self.show(&old, Shown { root, proof });
        }
        self
    }

    fn show(&mut self, old: &SignedCheckpoint, shown: Shown) {
        if shown.root != old.root() {
            self.shown = Some(shown);
        }
    }

    /// Both checkpoints, the smaller one first.
    fn open(&self, log: &VerifierKey) -> Result<(SignedCheckpoint, SignedCheckpoint), CheckpointError> {
        let (a, b) = (SignedCheckpoint::open(&self.ours, log)?, SignedCheckpoint::open(&self.theirs, log)?);
        Ok(if a.size() <= b.size() { (a, b) } else { (b, a) })
    }

    /// What the evidence shows.
    pub fn judge(&self, log: &VerifierKey) -> Result<Finding, ForkError> {
        let (old, new) = self.open(log)?;
        let (at, size) = (old.size(), new.size());
        if at == size {
            return if old.root() == new.root() { Err(ForkError::Same) } else { Ok(Finding::TwoRoots { size }) };
        }
        let contradicts = self.shown.as_ref().is_some_and(|shown| {
            shown.root != old.root() && verify_consistency(at, &shown.root, size, &new.root(), &shown.proof).is_ok()
        });
        // The empty tree has one root, and every tree begins with it.
        Ok(if contradicts && at > 0 { Finding::Rewritten { at, size } } else { Finding::Unproven { at, size } })
    }

    /// Whether it proves to anybody who knows the log's key that the log signed two histories.
    pub fn is_proof(&self, log: &VerifierKey) -> bool {
        matches!(self.judge(log), Ok(Finding::TwoRoots { .. } | Finding::Rewritten { .. }))
    }

    /// As it is kept in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{HEADER} {} {}\n", self.ours.len(), self.theirs.len()).into_bytes();
        out.extend_from_slice(&self.ours);
        out.extend_from_slice(LINE.as_bytes());
        out.extend_from_slice(&self.theirs);
        if let Some(Shown { root, proof }) = &self.shown {
            out.extend_from_slice(LINE.as_bytes());
            for hash in [root].into_iter().chain(proof) {
                out.extend_from_slice(format!("{}\n", BASE64_STANDARD.encode(hash.as_bytes())).as_bytes());
            }
        }
        out
    }

    /// Reads a kept file. Nothing in it is verified before [`Fork::judge`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ForkError> {
        let (ours, theirs, rest) = split_two(bytes, HEADER, LINE).ok_or(ForkError::Malformed)?;
        let shown = if rest.is_empty() {
            None
        } else {
            let hashes = hashes(rest).filter(|h| h.len() <= PROOF_LIMIT + 1).ok_or(ForkError::Malformed)?;
            let (root, proof) = hashes.split_first().ok_or(ForkError::Malformed)?;
            Some(Shown { root: *root, proof: proof.to_vec() })
        };
        Ok(Self { ours: ours.to_vec(), theirs: theirs.to_vec(), shown })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoRoots { size } => write!(f, "the log signed two trees of {size} entries"),
            Self::Rewritten { at, size } => {
                write!(f, "the log signed {size} entries that do not begin with the {at} that it signed")
            }
            Self::Unproven { at, size } => write!(
                f,
                "the log signed {at} entries and {size} entries; the file does not show that they contradict each other"
            ),
        }
    }
}

/// Splits `<header> <length> <length>` and two parts of these lengths from what comes after them. The lengths are there
/// because a log could write a line of `=` into its note.
pub(super) fn split_two<'a>(bytes: &'a [u8], header: &str, line: &str) -> Option<(&'a [u8], &'a [u8], &'a str)> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let (first, rest) = bytes.split_at_checked(end + 1)?;
    let lengths = std::str::from_utf8(first).ok()?.strip_prefix(header)?.strip_prefix(' ')?.strip_suffix('\n')?;
    let (a, b) = lengths.split_once(' ')?;
    let (ours, rest) = rest.split_at_checked(a.parse().ok()?)?;
    let (theirs, rest) = rest.strip_prefix(line.as_bytes())?.split_at_checked(b.parse().ok()?)?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(line.as_bytes())? };
    Some((ours, theirs, std::str::from_utf8(rest).ok()?))
}

/// One hash a line, each line ended.
pub(super) fn hashes(text: &str) -> Option<Vec<Digest>> {
    let lines = text.strip_suffix('\n')?.split('\n');
    lines.map(|l| Some(Digest::from_bytes(BASE64_STANDARD.decode(l).ok()?.try_into().ok()?))).collect()
}

/// Keeps evidence in a folder, under a name that begins with `kind`; the same evidence is one file. More than a few
/// hundred files are not kept.
pub fn keep(folder: &Path, kind: &str, evidence: &[u8]) -> Result<(), DurableError> {
    durable::create_folder(folder, 0o700)?;
    let prefix = format!("{kind}-");
    let path = folder.join(format!("{prefix}{}.txt", Digest::of(evidence).hex()));
    if path.exists() {
        return Ok(());
    }
    let of_kind = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    let kept = fs::read_dir(folder).map_or(KEPT_LIMIT, |all| all.flatten().filter(of_kind).count());
    if kept >= KEPT_LIMIT {
        return Ok(());
    }
    match durable::write_new(&path, evidence, 0o600) {
        Err(DurableError::Exists(_)) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
