//! Copying a log from one store to another without changing a byte of it, verifying all of it on the way.
//!
//! The whole log is checked where it is, copied, and checked again where it went; then both are compared. It writes to the
//! target alone, in commits of some thousand entries. A crash leaves a part of the log there, which is refused as a target
//! the next time and as a log: remove it and copy again.

use std::collections::HashSet;

use crate::{
    bodies::{KeyState, SubjectKeys},
    check::{Damage, Evidence, WholeLog, check_log},
    follow::WitnessPolicy,
    merkle::{Edge, leaf_hash},
    note::{NoteSignature, VerifierKey},
    store::{Batch, History, Store, StoreError, StoredCheckpoint, StoredCosignature, StoredEntry, Turn},
};

/// 4,096 entries a commit: a few megabytes, and a million take 250 syncs.
const ENTRIES_AT_ONCE: u64 = 4096;
/// As many checkpoints, or keys of subjects, are read at a time.
const ROWS_AT_ONCE: usize = 4096;

/// Why a log was not copied. The source is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target has something in it.
    #[error("the target is not empty: it holds {0} entries, or what is left of a copy that was broken off")]
    NotEmpty(u64),
    /// Somebody uses the source.
    #[error("the log is in use by `{0}`; stop it first")]
    SourceInUse(String),
    /// Somebody uses the target.
    #[error("the target is in use by `{0}`; stop it first")]
    TargetInUse(String),
    /// The source is not a whole log.
    #[error("the log is not whole, and is not copied")]
    Source(#[source] Damage),
    /// What was copied is not a whole log.
    #[error("what was copied is not a whole log; the target is of no use")]
    Target(#[source] Damage),
    /// The two are not the same.
    #[error("what was copied is not the same: {0}")]
    Different(&'static str),
    /// A store failed.
    #[error("a store failed")]
    Store(#[from] StoreError),
}

/// Copies entries, tiles, checkpoints and cosignatures. `progress` is told how many entries there are by now.
///
/// # Errors
/// [`CopyError`].
pub fn copy_log(
    from: &dyn Store,
    to: &dyn Store,
    log: &VerifierKey,
    mut progress: impl FnMut(u64),
) -> Result<WholeLog, CopyError> {
    let keep_turns = || -> Result<(), CopyError> {
        if let Some(Turn::Follower { holder, .. }) = from.shared().map(|s| s.take_turn()).transpose()? {
            return Err(CopyError::SourceInUse(holder));
        }
        if let Some(Turn::Follower { holder, .. }) = to.shared().map(|s| s.take_turn()).transpose()? {
            return Err(CopyError::TargetInUse(holder));
        }
        Ok(())
    };
    let copied = keep_turns().and_then(|()| copy(from, to, log, &keep_turns, &mut progress));
    for store in [from, to] {
        if let Some(shared) = store.shared() {
            // Whatever went wrong is told already; a turn that is not given back ends by itself.
            drop(shared.end_turn());
        }
    }
    copied
}

fn copy(
    from: &dyn Store,
    to: &dyn Store,
    log: &VerifierKey,
    keep_turns: &dyn Fn() -> Result<(), CopyError>,
    progress: &mut dyn FnMut(u64),
) -> Result<WholeLog, CopyError> {
    if let Some(head) = to.head()? {
        return Err(CopyError::NotEmpty(head.size));
    }
    if !to.entries(0, 1)?.is_empty() {
        return Err(CopyError::NotEmpty(1));
    }
    let witnesses = WitnessPolicy::unwitnessed();
    let evidence = Evidence { log, witnesses: &witnesses, checkpoints: &[], kept: None };
    let whole = check_log(from, &evidence).map_err(CopyError::Source)?;
    let cosigned: HashSet<u64> = from.cosigned_sizes(usize::MAX)?.into_iter().collect();
    let mut edge = Edge::new();
    let mut group: Vec<StoredCheckpoint> = Vec::new();
    let mut next = 0;
    loop {
        let page = from.checkpoints(next, ROWS_AT_ONCE)?;
        let is_last_page = page.is_empty();
        for checkpoint in page {
            next = checkpoint.size + 1;
            group.push(checkpoint);
            if next > edge.size() + ENTRIES_AT_ONCE {
                keep_turns()?;
                copy_group(from, to, &mut edge, std::mem::take(&mut group), &cosigned)?;
                progress(edge.size());
            }
        }
        if is_last_page {
            break;
        }
    }
    keep_turns()?;
    copy_group(from, to, &mut edge, group, &cosigned)?;
    progress(edge.size());
    if check_log(to, &evidence).map_err(CopyError::Target)? != whole {
        return Err(CopyError::Different("the checkpoints"));
    }
    if from.head()? != to.head()? {
        return Err(CopyError::Different("the last checkpoint; something was added meanwhile"));
    }
    for size in &cosigned {
        if from.cosignatures(*size)? != to.cosignatures(*size)? {
            return Err(CopyError::Different("the cosignatures"));
        }
    }
    Ok(whole)
}

/// Copies the entries up to the last of these checkpoints, with all of them.
fn copy_group(
    from: &dyn Store,
    to: &dyn Store,
    edge: &mut Edge,
    mut group: Vec<StoredCheckpoint>,
    cosigned: &HashSet<u64>,
) -> Result<(), CopyError> {
    let mut cosignatures = Vec::new();
    for size in group.iter().map(|c| c.size).filter(|size| cosigned.contains(size)) {
        for line in from.cosignatures(size)? {
            let parsed = NoteSignature::parse_lines(&line).unwrap_or_default();
            let name = parsed.first().ok_or(CopyError::Different("a cosignature that is none"))?.name().to_owned();
            cosignatures.push(StoredCosignature { size, name, line });
        }
    }
    let Some(last) = group.pop() else { return Ok(()) };
    let first = edge.size();
    let mut entries: Vec<StoredEntry> = Vec::new();
    while edge.size() < last.size {
        let wanted = usize::try_from(last.size - edge.size()).unwrap_or(usize::MAX).min(ROWS_AT_ONCE);
        let more = from.entries(edge.size(), wanted)?;
        if more.is_empty() {
            return Err(CopyError::Different("entries that were there a moment ago"));
        }
        more.iter().for_each(|entry| edge.push(leaf_hash(&entry.bytes)));
        entries.extend(more);
    }
    let history = History { checkpoints: group, cosignatures };
    Ok(to.commit(&Batch { first, entries, tiles: edge.take_changed(), note: last.note, history })?)
}

/// Copies the keys of subjects, and which of them were destroyed; how many subjects there are.
///
/// # Errors
/// [`CopyError`].
pub fn copy_keys(from: &dyn SubjectKeys, to: &dyn SubjectKeys) -> Result<u64, CopyError> {
    let mut after = None;
    let mut count = 0;
    loop {
        let page = from.subjects(after, ROWS_AT_ONCE)?;
        let Some((last, _)) = page.last() else { return Ok(count) };
        after = Some(*last);
        for (subject, state) in page {
            match &state {
                KeyState::Kept(key) => drop(to.get_or_make(subject, key)?),
                KeyState::Destroyed => to.destroy(subject)?,
                KeyState::Absent => {}
            }
            if to.get(subject)? != state {
                return Err(CopyError::Different("the key of a subject"));
            }
            count += 1;
        }
    }
}
