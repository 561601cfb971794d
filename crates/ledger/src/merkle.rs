//! The Merkle tree of RFC 6962: hashes, ranges that only grow, proofs, and the tiles in which a tree is stored and served.
//!
//! It knows hashes and positions, and refuses to know what an entry is, who signed a root and where tiles are kept.

mod bundle;
mod history;
mod proof;
mod range;
mod tile;

use model::Digest;
use sha2::{Digest as _, Sha256};

pub use bundle::{BundleError, unbundle};
pub use history::{BeforeStart, History};
pub use proof::{
    ProofError, consistency_proof, inclusion_proof, old_root_of, range_root, verify_consistency, verify_inclusion,
};
pub use range::{CompactRange, RangeError};
pub use tile::{Edge, Nodes, TILE_WIDTH, Tile, TilePath, TilePathError, node_in_tile, tile_with};
pub(crate) use tile::{TileNodes, split_hashes, tile_of};

/// The hash of an entry: `SHA-256(0x00 ‖ entry)` (RFC 6962 section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::new_with_prefix([0]).chain_update(entry).finalize().into())
}

/// The hash over two subtrees: `SHA-256(0x01 ‖ left ‖ right)` (RFC 6962 section 2.1).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let hasher = Sha256::new_with_prefix([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes());
    Digest::from_bytes(hasher.finalize().into())
}

/// The root of the tree without entries: the hash of nothing (RFC 6962 section 2.1).
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

#[cfg(test)]
mod tests;
