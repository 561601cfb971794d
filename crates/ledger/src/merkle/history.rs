//! A tree with all of its past: the root at every size since it began, and consistency proofs between any two.
//!
//! For whoever reads a whole log and has to know later what it was: a statement names the checkpoint that its signer
//! saw, and only the root at that size tells whether both looked at one log. 64 bytes an entry, in memory alone.
//!
//! *Invariant complete-levels:* `levels[l]` holds the roots of the perfect subtrees over `1 << l` entries, in order and
//! without a gap: from the first that `start` still needs to the last that is complete at `size`.

use model::Digest;

use super::{CompactRange, Nodes, consistency_proof, leaf_hash, node_hash, range_root};

/// A tree that remembers what it was at every size from its start on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    start: u64,
    size: u64,
    levels: Vec<Vec<Digest>>,
}

/// A hash that was there before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree is remembered from {start} entries on")]
pub struct BeforeStart {
    /// Where it starts.
    pub start: u64,
}

impl History {
    /// The tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from a tree whose past is not known: what it was before stays unknown.
    pub fn starting_at(range: &CompactRange) -> Self {
        let mut levels = vec![Vec::new(); level_count(range.size())];
        let set = (0..levels.len()).rev().filter(|level| range.size() >> level & 1 == 1);
        for (level, node) in set.zip(range.nodes()) {
            if let Some(nodes) = levels.get_mut(level) {
                nodes.push(*node);
            }
        }
        Self { start: range.size(), size: range.size(), levels }
    }

    /// The size from which on the past is known; 0 for a tree that was read from its first entry.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry.
    pub fn push_entry(&mut self, entry: &[u8]) {
        self.push(leaf_hash(entry));
    }

    /// Appends the hash of an entry; keeps *complete-levels*.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        let mut level = 0;
        loop {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(nodes) = self.levels.get_mut(level) else { break };
            let left = nodes.last().copied();
            nodes.push(hash);
            // The second of a pair completes the subtree above.
            match left.filter(|_| self.size >> level & 1 == 1) {
                Some(left) => hash = node_hash(&left, &hash),
                None => break,
            }
            level += 1;
        }
        self.size += 1;
    }

    /// Back to an earlier size, not before the start. For a reader that finds entries unacceptable after all.
    pub fn truncate(&mut self, size: u64) {
        let size = size.clamp(self.start, self.size);
        for (level, nodes) in (0_u32..).zip(&mut self.levels) {
            let kept = (size >> level) - first(self.start, level);
            nodes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        }
        self.levels.truncate(level_count(size));
        self.size = size;
    }

    /// The root at a size. `None` beyond the end, and before the start, where it is not known.
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        if size > self.size || size < self.start && size > 0 {
            return None;
        }
        range_root(self, 0, size).ok()
    }

    /// The root now.
    pub fn root(&self) -> Digest {
        self.root_at(self.size).unwrap_or_else(super::empty_root)
    }

    /// What shows that the tree at `old` is the beginning of the tree at `new` (RFC 6962 section 2.1.2). `None` if the
    /// sizes are not in order or not known.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Option<Vec<Digest>> {
        if old > new || new > self.size || old < self.start && old > 0 {
            return None;
        }
        consistency_proof(self, old, new).ok()
    }
}

/// How many levels a tree of this size has.
const fn level_count(size: u64) -> usize {
    (u64::BITS - size.leading_zeros()) as usize
}

/// The index of the first subtree that is kept of a level.
const fn first(start: u64, level: u32) -> u64 {
    // The last complete one is kept where the tree's edge has it, which is where the bit is set.
    (start >> level) - (start >> level & 1)
}

impl Nodes for History {
    type Error = BeforeStart;

    fn node(&self, level: u32, index: u64) -> Result<Digest, BeforeStart> {
        let unknown = BeforeStart { start: self.start };
        let nodes = self.levels.get(level as usize).ok_or(unknown)?;
        let at = index.checked_sub(first(self.start, level)).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| nodes.get(at)).copied().ok_or(unknown)
    }
}

#[cfg(test)]
mod tests;
