//! The ground that an audit stands on: the newest signed checkpoint of a copy, and the tree that it signs for.
//!
//! The tree is read from stored tiles; where they do not lead to the signed root it is made from the entries, and what is
//! wrong with the tiles is said. The log may be written meanwhile: what was signed after the checkpoint that the ground
//! stands on is for the next audit. It writes nothing.

use ledger::{
    checkpoint::SignedCheckpoint,
    note::VerifierKey,
    store::{StoreError, StoredCheckpoint},
    sweep::{BUNDLE, Flaw, Skeleton, Source},
};

use super::report::Finding;
use crate::fault::{Because as _, Fault, Kind};

/// Entries read at a time to count those that nobody signed for.
const COUNTED_AT_ONCE: usize = BUNDLE as usize;

/// A copy's tree, and whether the log has signed it.
pub(in crate::verbs) struct Ground {
    /// The newest checkpoint, if the log signed it.
    pub(in crate::verbs) head: Option<SignedCheckpoint>,
    /// Its note as it was found.
    pub(super) note: Vec<u8>,
    /// The tree.
    pub(in crate::verbs) skeleton: Skeleton,
    /// Whether its root is the one that the newest checkpoint names.
    pub(in crate::verbs) is_signed: bool,
    /// What is wrong already; with a checkpoint that the log did not sign, that is all there is.
    pub(in crate::verbs) findings: Vec<Finding>,
}

/// Finds it.
pub(in crate::verbs) fn find(source: &dyn Source, log: &VerifierKey) -> Result<Ground, Fault> {
    read(source, log).because(Kind::Unavailable, "the log can not be read")
}

fn read(source: &dyn Source, log: &VerifierKey) -> Result<Ground, StoreError> {
    let mut findings = Vec::new();
    let mut head = source.head()?;
    let mut found = 0;
    if head.is_none() {
        found = beyond(source, 0)?;
        // A log that is being written may have got its first checkpoint while its entries were counted.
        head = source.head()?;
    }
    let Some(stored) = head else {
        findings.push(Finding::at(0, format!("the log has {found} entries, but signed none of them")));
        let skeleton = Skeleton::default();
        return Ok(Ground { head: None, note: Vec::new(), skeleton, is_signed: false, findings });
    };
    let (size, note) = (stored.size, stored.note);
    let why = match SignedCheckpoint::open(&note, log) {
        Ok(head) if head.size() == size => Ok(head),
        Ok(head) => Err(format!("it is for {}", head.size())),
        Err(error) => Err(Finding::chain(&error)),
    };
    let head = match why {
        Ok(head) => head,
        // What nobody signed may name any size: nothing is read, let alone kept in memory, by its word.
        Err(why) => {
            findings.push(Finding::nowhere(format!("the checkpoint for {size} entries is not the log's: {why}")));
            let skeleton = Skeleton::default();
            return Ok(Ground { head: None, note, skeleton, is_signed: false, findings });
        }
    };
    let fits = |skeleton: &Skeleton| head.root() == skeleton.root();
    let from_tiles = Skeleton::from_tiles(source, size)?.filter(fits);
    let skeleton = match from_tiles {
        Some(skeleton) => skeleton,
        None => Skeleton::from_entries(source, size)?,
    };
    let is_signed = skeleton.size() == size && fits(&skeleton);
    if is_signed && let Some(flaw) = skeleton.compare_tiles(source)? {
        findings.push(Finding::of_flaw(&flaw));
    }
    if skeleton.size() < size {
        findings.push(Finding::of_flaw(&Flaw::Missing(skeleton.size())));
        let place = skeleton.size();
        let what = format!("the log has {place} entries, but a stored checkpoint vouches for {size}");
        findings.push(Finding::at(place, what));
    }
    let more = beyond(source, size)?;
    if more > 0 && !has_signed(source, log, size + more)? {
        let what = format!("the log has {} entries, but signed only {size}", size + more);
        findings.push(Finding::at(size, what));
    }
    Ok(Ground { head: Some(head), note, skeleton, is_signed, findings })
}

/// Whether the log has signed for so many entries by now. Entries and the checkpoint that covers them are committed
/// together, so whoever counts entries and then asks for the checkpoint finds one that covers what was counted, however
/// fast the log grows meanwhile.
fn has_signed(source: &dyn Source, log: &VerifierKey, entries: u64) -> Result<bool, StoreError> {
    let signed = |head: StoredCheckpoint| SignedCheckpoint::open(&head.note, log).ok();
    Ok(source.head()?.and_then(signed).is_some_and(|head| head.size() >= entries))
}

/// How many entries there are from here on.
fn beyond(source: &dyn Source, size: u64) -> Result<u64, StoreError> {
    let mut count = 0;
    loop {
        match source.entries(size + count, COUNTED_AT_ONCE) {
            Ok(more) => {
                count += more.len() as u64;
                // Fewer come only at the end: whoever appends as fast as this reads does not keep it here.
                if more.len() < COUNTED_AT_ONCE {
                    return Ok(count);
                }
            }
            // A hole behind the signed end: what is there is enough to say that something is.
            Err(_) if count > 0 => return Ok(count),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
