//! A compact range from the first entry on: one hash for each bit of the size, enough to append and to know the root.
//!
//! *Invariant one-hash-a-bit:* `nodes` holds the roots of the perfect subtrees from left to right, the largest first,
//! one for each bit that is set in `size`.

use std::ops::Range;

use model::Digest;

use super::{empty_root, leaf_hash, node_hash};

/// A tree of which only the right edge is kept. Append-only by construction: there is no way to change what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    nodes: Vec<Digest>,
}

/// Why bytes are not a compact range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The number of hashes does not follow from the size.
    #[error("a tree of this size has another number of edge hashes")]
    Length,
}

impl CompactRange {
    /// The tree without entries.
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// From its parts; checks *one-hash-a-bit*.
    pub fn from_parts(size: u64, nodes: Vec<Digest>) -> Result<Self, RangeError> {
        if nodes.len() == size.count_ones() as usize { Ok(Self { size, nodes }) } else { Err(RangeError::Length) }
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, the largest first.
    pub fn nodes(&self) -> &[Digest] {
        &self.nodes
    }

    /// Appends an entry.
    pub fn push_entry(&mut self, entry: &[u8]) {
        self.push(leaf_hash(entry));
    }

    /// Appends the hash of an entry; keeps *one-hash-a-bit* by merging as binary addition carries.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// The root (RFC 6962 section 2.1): the subtrees joined from the right.
    pub fn root(&self) -> Digest {
        let joined = self.nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }

    /// Which entries differ, when `entries` are said to be the ones of this range: the smallest stretch that the kept
    /// hashes can name. `None` if they are the same. Leaf hashes in order, as many as the range has or fewer.
    pub fn first_difference(&self, leaves: &[Digest]) -> Option<Range<u64>> {
        let mut begin = 0_u64;
        let subtrees = (0..u64::BITS).rev().filter(|bit| self.size >> bit & 1 == 1);
        for (bit, node) in subtrees.zip(&self.nodes) {
            let end = begin + (1_u64 << bit);
            let mut other = Self::new();
            let taken = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
            let Some(slice) = taken.and_then(|(begin, end)| leaves.get(begin..end)) else {
                return Some(begin..self.size);
            };
            slice.iter().for_each(|leaf| other.push(*leaf));
            if other.root() != *node {
                return Some(begin..end);
            }
            begin = end;
        }
        None
    }
}

impl Default for CompactRange {
    fn default() -> Self {
        Self::new()
    }
}
