//! Inclusion and consistency proofs: made as RFC 6962 sections 2.1.1 and 2.1.2 define them, checked by the algorithms of
//! RFC 9162 sections 2.1.3.2 and 2.1.4.2, which take the same proofs.

use model::Digest;

use super::{empty_root, node_hash, tile::Nodes};

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The positions make no sense.
    #[error("position {index} is not in a tree of {size} entries")]
    Position {
        /// Index of the entry, or the older size.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// Too few or too many hashes.
    #[error("the proof has {0} hashes, which does not fit these sizes")]
    Length(usize),
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The hash over entries `begin..end`, where `begin` is a multiple of the smallest power of two that is not below the
/// stretch's length, as everywhere in the definitions of RFC 6962.
pub fn range_root<N: Nodes>(nodes: &N, begin: u64, end: u64) -> Result<Digest, N::Error> {
    let length = end.saturating_sub(begin);
    if length == 0 {
        return Ok(empty_root());
    }
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        return nodes.node(level, begin >> level);
    }
    let middle = begin + split(length);
    Ok(node_hash(&range_root(nodes, begin, middle)?, &range_root(nodes, middle, end)?))
}

/// `PATH(index, D[0:size])`, RFC 6962 section 2.1.1. The caller has checked `index < size`.
pub fn inclusion_proof<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Digest>, N::Error> {
    let (mut begin, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(nodes, begin, middle)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// `PROOF(old, D[0:new])`, RFC 6962 section 2.1.2. Empty if `old` is 0 or `new`. The caller has checked `old <= new`.
pub fn consistency_proof<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Digest>, N::Error> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut begin, mut end) = (0, new);
    // SUBPROOF's flag: whether the old tree is still the whole of what is looked at, so that its root is known.
    let mut whole = true;
    while old != end {
        let middle = begin + split(end - begin);
        if old <= middle {
            proof.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(nodes, begin, middle)?);
            begin = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(nodes, begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(
    leaf: Digest,
    index: u64,
    size: u64,
    root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Position { index, size });
    }
    let (mut first, mut last) = (index, size - 1);
    let mut hash = leaf;
    for step in proof {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if first & 1 == 1 || first == last {
            hash = node_hash(step, &hash);
            while first & 1 == 0 && first != 0 {
                first >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        first >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// RFC 9162 section 2.1.4.2, with the empty tree consistent with every tree by an empty proof.
pub fn verify_consistency(
    old: u64,
    old_root: &Digest,
    new: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Position { index: old, size: new });
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(ProofError::Length(proof.len()));
        }
        let same = if old == 0 {
            *old_root == empty_root() && (new > 0 || *new_root == empty_root())
        } else {
            old_root == new_root
        };
        return if same { Ok(()) } else { Err(ProofError::Root) };
    }
    // An old tree that is a perfect subtree is its own first hash.
    let implied = old.is_power_of_two().then_some(old_root);
    let (from_old, from_new) = lead(old, new, implied, proof)?;
    if from_old == *old_root && from_new == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// The root at `old` that a consistency proof leads to together with `new_root`: what the larger tree begins with,
/// whatever else was claimed of it. `None` if the proof does not lead to `new_root`, or if `old` is a power of two, whose
/// root proofs leave out.
pub fn old_root_of(old: u64, new: u64, new_root: &Digest, proof: &[Digest]) -> Option<Digest> {
    if old == 0 || old >= new || old.is_power_of_two() {
        return None;
    }
    let (from_old, from_new) = lead(old, new, None, proof).ok()?;
    (from_new == *new_root).then_some(from_old)
}

/// The two roots that a consistency proof leads to. The caller has checked `0 < old < new`.
fn lead(old: u64, new: u64, implied: Option<&Digest>, proof: &[Digest]) -> Result<(Digest, Digest), ProofError> {
    let mut steps = implied.into_iter().chain(proof);
    let (mut first, mut last) = (old - 1, new - 1);
    while first & 1 == 1 {
        first >>= 1;
        last >>= 1;
    }
    let start = *steps.next().ok_or(ProofError::Length(proof.len()))?;
    let (mut from_old, mut from_new) = (start, start);
    for step in steps {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if first & 1 == 1 || first == last {
            from_old = node_hash(step, &from_old);
            from_new = node_hash(step, &from_new);
            while first & 1 == 0 && first != 0 {
                first >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, step);
        }
        first >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    Ok((from_old, from_new))
}

/// The largest power of two below `length`, which is at least 2.
const fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}
