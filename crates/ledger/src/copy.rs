//! Copying a log from one store to another without changing a byte of it, verifying all of it on the way.
//!
//! The whole log is checked where it is, copied, and checked again where it went; then both are compared. It writes to the
//! target alone, in commits of some thousand entries. The keys
//! of subjects go first, and before anything the target is marked as a copy that is not finished, which no log opens. A crash
//! leaves it so: remove it and copy again. When everything is there and the same, the source is marked as moved, which no
//! log opens for writing, and only then is the target a log: at no moment are there two. A crash between these two is
//! finished by moving again to the same place.

use std::collections::HashSet;

use crate::{
    bodies::{KeyState, SubjectKeys},
    check::{Damage, Evidence, WholeLog, check_log},
    follow::WitnessPolicy,
    merkle::{Edge, leaf_hash},
    note::{NoteSignature, VerifierKey},
    store::{Batch, History, Mark, Store, StoreError, StoredCheckpoint, StoredCosignature, StoredEntry, Turn},
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
    /// A copy that was broken off is no source.
    #[error("this is a copy of a log that was not finished")]
    Unfinished,
    /// The log goes on somewhere else.
    #[error("the log was moved to `{0}` already")]
    Moved(String),
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

/// A store with the keys that belong to it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Entries, tiles, checkpoints and cosignatures.
    pub store: &'a dyn Store,
    /// Keys of subjects.
    pub keys: &'a dyn SubjectKeys,
}

impl<'a> Place<'a> {
    /// A store that keeps both.
    pub fn of<S: Store + SubjectKeys>(store: &'a S) -> Self {
        Self { store, keys: store }
    }
}

/// Copies the keys of subjects, then entries, tiles, checkpoints and cosignatures; gives the log and how many subjects
/// there are. With `moved_to`, the name of the target, the source is no log to be added to afterwards. `progress` is told
/// how many entries there are by now.
///
/// # Errors
/// [`CopyError`].
pub fn copy_log(
    source: Place<'_>,
    target: Place<'_>,
    log: &VerifierKey,
    moved_to: Option<&str>,
    mut progress: impl FnMut(u64),
) -> Result<(WholeLog, u64), CopyError> {
    let (from, to) = (source.store, target.store);
    let mark = from.mark()?;
    // Nobody can add to a log that was moved, so there is no turn of it to keep.
    let is_moved = matches!(mark, Mark::Moved(_));
    match mark {
        Mark::Open => {}
        Mark::Copying => return Err(CopyError::Unfinished),
        // Only the last step can be missing; what was not whole then was not marked.
        Mark::Moved(place) if moved_to == Some(&place) && to.mark()? == Mark::Copying => {
            let whole = check_log(from, &evidence_of(log, &WitnessPolicy::unwitnessed())).map_err(CopyError::Source)?;
            let whole = same(from, to, log, whole)?;
            let subjects = copy_keys(source.keys, target.keys)?;
            to.set_mark(&Mark::Open)?;
            return Ok((whole, subjects));
        }
        // The target was lost, and there is an empty one in its place. If it had taken anything in, witnesses know, and
        // whoever opens the copy is told by them.
        Mark::Moved(place) if moved_to == Some(&place) && to.head()?.is_none() => {}
        Mark::Moved(place) => return Err(CopyError::Moved(place)),
    }
    let keep_turns = || -> Result<(), CopyError> {
        let shared = from.shared().filter(|_| !is_moved);
        if let Some(Turn::Follower { holder, .. }) = shared.map(|s| s.take_turn()).transpose()? {
            return Err(CopyError::SourceInUse(holder));
        }
        if let Some(Turn::Follower { holder, .. }) = to.shared().map(|s| s.take_turn()).transpose()? {
            return Err(CopyError::TargetInUse(holder));
        }
        Ok(())
    };
    let copied = keep_turns().and_then(|()| {
        let subjects = begin(source, target)?;
        let whole = copy(from, to, log, &keep_turns, &mut progress)?;
        keep_turns()?;
        if let Some(place) = moved_to {
            from.set_mark(&Mark::Moved(place.to_owned()))?;
        }
        to.set_mark(&Mark::Open)?;
        Ok((whole, subjects))
    });
    for store in [from, to] {
        if let Some(shared) = store.shared() {
            // Whatever went wrong is told already; a turn that is not given back ends by itself.
            drop(shared.end_turn());
        }
    }
    copied
}

/// Marks an empty target, and copies the keys.
fn begin(source: Place<'_>, target: Place<'_>) -> Result<u64, CopyError> {
    let to = target.store;
    if let Some(head) = to.head()? {
        return Err(CopyError::NotEmpty(head.size));
    }
    if !to.entries(0, 1)?.is_empty() {
        return Err(CopyError::NotEmpty(1));
    }
    if to.mark()? != Mark::Open || !target.keys.subjects(None, 1)?.is_empty() {
        return Err(CopyError::NotEmpty(0));
    }
    to.set_mark(&Mark::Copying)?;
    copy_keys(source.keys, target.keys)
}

fn copy(
    from: &dyn Store,
    to: &dyn Store,
    log: &VerifierKey,
    keep_turns: &dyn Fn() -> Result<(), CopyError>,
    progress: &mut dyn FnMut(u64),
) -> Result<WholeLog, CopyError> {
    let whole = check_log(from, &evidence_of(log, &WitnessPolicy::unwitnessed())).map_err(CopyError::Source)?;
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
    same(from, to, log, whole)
}

/// Everything of one log, and of the key that signed it.
fn evidence_of<'a>(log: &'a VerifierKey, witnesses: &'a WitnessPolicy) -> Evidence<'a> {
    Evidence { log, witnesses, checkpoints: &[], kept: None }
}

/// The log, if the target holds it whole and the same.
fn same(from: &dyn Store, to: &dyn Store, log: &VerifierKey, whole: WholeLog) -> Result<WholeLog, CopyError> {
    let witnesses = WitnessPolicy::unwitnessed();
    if check_log(to, &evidence_of(log, &witnesses)).map_err(CopyError::Target)? != whole {
        return Err(CopyError::Different("the checkpoints"));
    }
    if from.head()? != to.head()? {
        return Err(CopyError::Different("the last checkpoint; something was added meanwhile"));
    }
    for size in from.cosigned_sizes(usize::MAX)? {
        if from.cosignatures(size)? != to.cosignatures(size)? {
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
fn copy_keys(from: &dyn SubjectKeys, to: &dyn SubjectKeys) -> Result<u64, CopyError> {
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
