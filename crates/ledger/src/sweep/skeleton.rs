//! The upper part of a tree: the roots of its bundles of 256 entries and everything above, with the hashes of the last,
//! partial bundle. 64 bytes for 256 entries.
//!
//! Read from stored tiles it is compared with a signed root first. From there on each bundle can be checked by itself, in
//! any order, and the root at any size is a few hashes away. It refuses to know what entries are.
//!
//! *Invariant whole-upper-tree:* `levels[k]` holds the roots of all perfect subtrees over `256 << k` entries, in order.

use std::ops::Range;

use model::Digest;

use super::{Flaw, Source};
use crate::{
    follow::Fork,
    merkle::{CompactRange, Nodes, TILE_WIDTH, inclusion_proof, leaf_hash, node_hash, range_root, split_hashes},
    note::VerifierKey,
    store::StoreError,
};

/// Entries in a bundle, as a number of the log's.
pub const BUNDLE: u64 = TILE_WIDTH as u64;
/// A bundle is a subtree of this level.
const BUNDLE_LEVEL: u32 = 8;

/// The upper part of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skeleton {
    size: u64,
    levels: Vec<Vec<Digest>>,
    tail: Bundle,
}

/// The hashes of one bundle, full or partial, on every level below the bundle's own root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    number: u64,
    /// `levels[k]` holds the roots of the perfect subtrees over `1 << k` of its entries.
    levels: Vec<Vec<Digest>>,
}

/// A hash that is not in the part of the tree that is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHere;

impl Bundle {
    /// From the hashes of its entries.
    pub fn new(number: u64, leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|l| l.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            levels.push(above);
        }
        Self { number, levels }
    }

    /// Its place: the index of its first entry divided by 256.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The hashes of its entries.
    pub fn leaves(&self) -> &[Digest] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// The root over all 256, if it is full.
    pub fn root(&self) -> Option<Digest> {
        self.levels.get(BUNDLE_LEVEL as usize).and_then(|top| top.first()).copied()
    }
}

impl Skeleton {
    /// From stored tiles: those of level 1, and the partial one of level 0. `None` where one is missing or too short.
    /// Nothing of it is believed before [`Skeleton::root`] was compared with a signed one.
    pub fn from_tiles(source: &dyn Source, size: u64) -> Result<Option<Self>, StoreError> {
        let full = size / BUNDLE;
        let mut roots = Vec::new();
        for tile in 0..full.div_ceil(BUNDLE) {
            let width = (full - tile * BUNDLE).min(BUNDLE) as usize;
            let Some(hashes) = hashes(source, 1, tile, width)? else { return Ok(None) };
            roots.extend(hashes);
        }
        let width = (size % BUNDLE) as usize;
        let tail = if width == 0 { Some(Vec::new()) } else { hashes(source, 0, full, width)? };
        Ok(tail.map(|tail| Self::new(roots, tail)))
    }

    /// From the entries themselves, as far as they go up to this size. Reads the whole log, for when its tiles are no good.
    pub fn from_entries(source: &dyn Source, size: u64) -> Result<Self, StoreError> {
        let (mut roots, mut leaves) = (Vec::new(), Vec::new());
        let mut next = 0;
        while next < size {
            let limit = usize::try_from((size - next).min(BUNDLE - next % BUNDLE)).unwrap_or(TILE_WIDTH);
            let entries = source.entries(next, limit)?;
            if entries.is_empty() {
                break;
            }
            next += entries.len() as u64;
            leaves.extend(entries.iter().map(|e| leaf_hash(&e.bytes)));
            if leaves.len() == TILE_WIDTH {
                roots.extend(Bundle::new(0, std::mem::take(&mut leaves)).root());
            }
        }
        Ok(Self::new(roots, leaves))
    }

    fn new(roots: Vec<Digest>, tail: Vec<Digest>) -> Self {
        let full = roots.len() as u64;
        let size = full * BUNDLE + tail.len() as u64;
        Self { size, levels: Bundle::new(0, roots).levels, tail: Bundle::new(full, tail) }
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over all of them.
    pub fn root(&self) -> Digest {
        let whole = With { skeleton: self, bundles: &[] };
        // Every hash above the tail is here, and the tail is.
        range_root(&whole, 0, self.size).unwrap_or_else(|NotHere| crate::merkle::empty_root())
    }

    /// The root over the first entries. `None` beyond the end, and where it needs the bundle that `size` falls into and
    /// that is neither `bundle` nor the last.
    pub fn root_at(&self, size: u64, bundle: Option<&Bundle>) -> Option<Digest> {
        if size > self.size {
            return None;
        }
        let needed = size / BUNDLE;
        let bundles: Vec<&Bundle> = bundle.into_iter().filter(|b| b.number == needed).collect();
        range_root(&With { skeleton: self, bundles: &bundles }, 0, size).ok()
    }

    /// Whether these are the hashes of that bundle in this tree.
    pub fn fits(&self, bundle: &Bundle) -> bool {
        match self.expected(bundle.number) {
            Some(root) => bundle.root() == Some(root),
            None => bundle.number == self.tail.number && bundle.leaves() == self.tail.leaves(),
        }
    }

    fn expected(&self, number: u64) -> Option<Digest> {
        let at = usize::try_from(number).ok()?;
        self.levels.first()?.get(at).copied()
    }

    /// How many bundles, the partial one included.
    pub const fn bundles(&self) -> u64 {
        self.size.div_ceil(BUNDLE)
    }

    /// The indices of a bundle's entries.
    pub fn span(&self, number: u64) -> Range<u64> {
        let first = number.saturating_mul(BUNDLE).min(self.size);
        first..first.saturating_add(BUNDLE).min(self.size)
    }

    /// Reads a bundle's hashes from its stored tile, or else from its entries. `None` if neither fit.
    pub fn bundle(&self, source: &dyn Source, number: u64) -> Result<Option<Bundle>, StoreError> {
        if number == self.tail.number {
            return Ok(Some(self.tail.clone()));
        }
        if let Some(bundle) = hashes(source, 0, number, TILE_WIDTH)?.map(|leaves| Bundle::new(number, leaves))
            && self.fits(&bundle)
        {
            return Ok(Some(bundle));
        }
        let entries = source.entries(number.saturating_mul(BUNDLE), TILE_WIDTH)?;
        let bundle = Bundle::new(number, entries.iter().map(|e| leaf_hash(&e.bytes)).collect());
        Ok(Some(bundle).filter(|b| self.fits(b)))
    }

    /// The compact range of the first entries; what is needed below the bundles is read. `None` beyond the end, or where a
    /// bundle does not fit.
    pub fn range_at(&self, source: &dyn Source, size: u64) -> Result<Option<CompactRange>, StoreError> {
        let bundle = self.bundle_of(source, size)?;
        let bundles: Vec<&Bundle> = bundle.iter().collect();
        let whole = With { skeleton: self, bundles: &bundles };
        let mut nodes = Vec::new();
        let mut begin = 0_u64;
        for bit in (0..u64::BITS).rev().filter(|bit| size >> bit & 1 == 1) {
            match whole.node(bit, begin >> bit) {
                Ok(node) => nodes.push(node),
                Err(NotHere) => return Ok(None),
            }
            begin += 1 << bit;
        }
        Ok(CompactRange::from_parts(size, nodes).ok())
    }

    fn bundle_of(&self, source: &dyn Source, size: u64) -> Result<Option<Bundle>, StoreError> {
        if size.is_multiple_of(BUNDLE) || size > self.size { Ok(None) } else { self.bundle(source, size / BUNDLE) }
    }

    /// The proof that an entry is in the tree of the first `size` (RFC 6962 section 2.1.1), and the entry's hash. `None`
    /// if it is not, or where a bundle does not fit.
    pub fn inclusion_proof(
        &self,
        source: &dyn Source,
        index: u64,
        size: u64,
    ) -> Result<Option<(Digest, Vec<Digest>)>, StoreError> {
        if index >= size || size > self.size {
            return Ok(None);
        }
        let Some(own) = self.bundle(source, index / BUNDLE)? else { return Ok(None) };
        let edge = self.bundle_of(source, size)?;
        let bundles: Vec<&Bundle> = [&own].into_iter().chain(&edge).collect();
        let leaf = usize::try_from(index % BUNDLE).ok().and_then(|at| own.leaves().get(at)).copied();
        let proof = inclusion_proof(&With { skeleton: self, bundles: &bundles }, index, size).ok();
        Ok(leaf.zip(proof))
    }

    /// Adds to two checkpoints of which the larger is this tree's what its hashes show: that it does not begin with the
    /// other, of `smaller` entries. Where they show nothing the checkpoints stay as they are.
    pub fn show(&self, source: &dyn Source, fork: Fork, log: &VerifierKey, smaller: u64) -> Result<Fork, StoreError> {
        let edge = self.bundle_of(source, smaller)?;
        let bundles: Vec<&Bundle> = edge.iter().collect();
        Ok(fork.with_nodes(log, &With { skeleton: self, bundles: &bundles }))
    }

    /// The smallest stretch in which this tree is known to differ from one of which the edge was kept. `None` if that one
    /// is a beginning of this.
    pub fn first_difference(&self, source: &dyn Source, kept: &CompactRange) -> Result<Option<Range<u64>>, StoreError> {
        if kept.size() > self.size {
            return Ok(Some(self.size..kept.size()));
        }
        let bundle = self.bundle_of(source, kept.size())?;
        let bundles: Vec<&Bundle> = bundle.iter().collect();
        let whole = With { skeleton: self, bundles: &bundles };
        let mut begin = 0_u64;
        let bits = (0..u64::BITS).rev().filter(|bit| kept.size() >> bit & 1 == 1);
        for (bit, node) in bits.zip(kept.nodes()) {
            let end = begin + (1 << bit);
            if whole.node(bit, begin >> bit) != Ok(*node) {
                return Ok(Some(begin..end));
            }
            begin = end;
        }
        Ok(None)
    }

    /// Compares the stored tiles of level 1 and above with this tree, and says which is not its.
    pub fn compare_tiles(&self, source: &dyn Source) -> Result<Option<Flaw>, StoreError> {
        let above = self.levels.iter().step_by(BUNDLE_LEVEL as usize);
        for (level, nodes) in (1_u8..).zip(above) {
            for (index, ours) in (0_u64..).zip(nodes.chunks(TILE_WIDTH)) {
                let stored = hashes(source, level, index, ours.len())?;
                if stored.as_deref() != Some(ours) {
                    let below = |i: u64| i.saturating_mul(BUNDLE.saturating_pow(u32::from(level)));
                    let first = index * BUNDLE;
                    let over = below(first)..below(first + ours.len() as u64);
                    return Ok(Some(Flaw::Tile { level, index, over }));
                }
            }
        }
        Ok(None)
    }

    /// The first bundle in which two trees differ, up to the end of the shorter.
    pub fn first_other_bundle(&self, other: &Self) -> Option<u64> {
        (0..self.bundles().min(other.bundles())).find(|n| {
            let (ours, theirs) = (self.expected(*n), other.expected(*n));
            // A partial bundle is compared with whatever is there of the other.
            if ours.is_some() && theirs.is_some() { ours != theirs } else { true }
        })
    }
}

/// The skeleton with some bundles' hashes; the last is always here.
struct With<'a> {
    skeleton: &'a Skeleton,
    bundles: &'a [&'a Bundle],
}

impl Nodes for With<'_> {
    type Error = NotHere;

    fn node(&self, level: u32, index: u64) -> Result<Digest, NotHere> {
        let (nodes, index) = match level.checked_sub(BUNDLE_LEVEL) {
            Some(above) => (self.skeleton.levels.get(above as usize), index),
            None => {
                let shift = BUNDLE_LEVEL - level;
                let mut bundles = self.bundles.iter().copied().chain([&self.skeleton.tail]);
                let bundle = bundles.find(|b| b.number == index >> shift).ok_or(NotHere)?;
                (bundle.levels.get(level as usize), index & ((1 << shift) - 1))
            }
        };
        let at = usize::try_from(index).map_err(|_| NotHere)?;
        nodes.and_then(|n| n.get(at)).copied().ok_or(NotHere)
    }
}

/// The first hashes of a stored tile. `None` if it is missing or too short.
fn hashes(source: &dyn Source, level: u8, index: u64, width: usize) -> Result<Option<Vec<Digest>>, StoreError> {
    let Some(bytes) = source.tile(level, index, width)? else { return Ok(None) };
    let hashes: Vec<Digest> = split_hashes(&bytes).take(width).collect();
    Ok((hashes.len() == width).then_some(hashes))
}

#[cfg(test)]
mod tests;
