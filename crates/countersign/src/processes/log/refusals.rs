//! Refused attempts to change guarded values: kept beside the log, so that an attempt that never came into it is told.
//!
//! The file is bounded and replaced as a whole. A crash loses at most what was noted last; the refusal itself holds in
//! any case. It refuses to know the values: of an attempt it keeps the name, who signed it, and why it was refused.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use ledger::{
    dsse::Envelope,
    statement::{Members, ReadError, Signatory, Statement, v1::Kind},
};
use model::Timestamp;

use super::door::DoorError;
use crate::log_client::Refused;

/// 256 attempts: more than anybody reads, and 64 KiB.
const KEPT_LIMIT: usize = 256;
/// The same attempt within a minute is counted and not kept again, so that nobody can flood out another.
const SAME_WITHIN_S: u64 = 60;

/// Kinds of statement by which a guarded value changes, or does not.
const KINDS: [Kind; 2] = [Kind::ValueProposal, Kind::ValueApproval];

/// What was refused.
#[derive(Debug)]
pub(super) struct Refusals {
    path: PathBuf,
    kept: Mutex<VecDeque<Refused>>,
}

impl Refusals {
    /// Reads what was kept. A file that can not be read is begun anew: it is told of, and nothing rests on it.
    pub(super) fn open(path: PathBuf) -> Self {
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!("`{}` can not be read and is begun anew: {error}", path.display());
                VecDeque::new()
            }),
            Err(_) => VecDeque::new(),
        };
        Self { path, kept: Mutex::new(kept) }
    }

    /// Those from a number on, oldest first.
    pub(super) fn from(&self, number: u64) -> Vec<Refused> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|refused| refused.number >= number).cloned().collect()
    }

    /// Notes a refusal, if it is of a statement about a guarded value.
    pub(super) fn note(&self, envelope: &Envelope, members: &Members, error: &DoorError, at: Timestamp) {
        let Ok(statement) = Statement::from_bytes(envelope.payload()) else { return };
        let kind = statement.claim.kind();
        if !KINDS.contains(&kind) {
            return;
        }
        let name = match &statement.claim {
            ledger::statement::v1::Claim::ValueProposal(claim) => Some(claim.name.clone()),
            ledger::statement::v1::Claim::ValueApproval(claim) => Some(claim.name.clone()),
            _ => None,
        };
        let charter = members.charter();
        // Only what the charter knows is kept of an unknown sender's words, so that there are few different ones.
        let refused = Refused {
            number: 0,
            at,
            times: 1,
            kind,
            value: name.filter(|name| charter.values.iter().any(|rule| &rule.name == name)),
            system: statement.header.system.filter(|name| charter.system(name).is_some()),
            environment: statement.header.environment.filter(|name| charter.environment(name).is_some()),
            signer: signer(envelope, members, error),
            reason: reason(error),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |old: &&mut Refused| {
            at.since_s(old.at) < SAME_WITHIN_S
                && Refused { number: old.number, at: old.at, times: old.times, ..refused.clone() } == **old
        };
        if let Some(old) = kept.iter_mut().rev().find(is_same) {
            old.times = old.times.saturating_add(1);
            return;
        }
        let number = kept.back().map_or(1, |last| last.number.saturating_add(1));
        tracing::warn!("refused {kind}: {}", refused.reason);
        kept.push_back(Refused { number, ..refused });
        while kept.len() > KEPT_LIMIT {
            kept.pop_front();
        }
        let written = serde_json::to_vec(&*kept)
            .map_err(std::io::Error::other)
            .and_then(|bytes| ledger::durable::write(&self.path, &bytes, 0o600).map_err(std::io::Error::other));
        if let Err(error) = written {
            tracing::error!("a refused attempt to change a guarded value can not be kept: {error}");
        }
    }
}

/// Who signed it. Whose signature does not fit is nobody.
fn signer(envelope: &Envelope, members: &Members, error: &DoorError) -> Option<String> {
    match error {
        DoorError::Statement(ReadError::PayloadType(_) | ReadError::Signature(..)) => None,
        _ => members.holder(envelope.signer()).ok().map(Signatory::to_string),
    }
}

/// Why, in words that hold nothing that a stranger chose.
fn reason(error: &DoorError) -> String {
    match error {
        DoorError::Statement(ReadError::Signature(..)) => "its signature does not fit".to_owned(),
        DoorError::Statement(ReadError::Entitlement(ledger::statement::EntitlementError::UnknownKey(_))) => {
            "the charter does not list its key".to_owned()
        }
        DoorError::Statement(ReadError::Entitlement(error)) => error.to_string(),
        DoorError::Statement(_) => "it can not be read".to_owned(),
        other => other.to_string(),
    }
}
