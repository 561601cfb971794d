//! The tiles that proofs are made from, kept with all the hashes inside them: a bounded number, however long the log is.
//!
//! What is in a tile never changes, it only gets fuller, so a tile that is kept is right for ever and at worst too short;
//! then it is read again. Nothing is written here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use model::Digest;

use crate::{
    merkle::{Nodes, Tile, TileNodes, tile_of},
    store::{NodeError, Store},
};

/// 4,096 tiles of at most 16 KiB with their inner hashes: 64 MiB, which is every path of a log of a million entries, and the
/// right edge of any.
const KEPT_LIMIT: usize = 4096;

/// Hands out hashes of subtrees from stored tiles.
pub(super) struct Tiles {
    store: Arc<dyn Store>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tiles: HashMap<(u8, u64), Arc<TileNodes>>,
    /// In the order in which they came; the first goes first.
    order: VecDeque<(u8, u64)>,
}

impl Tiles {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// Keeps tiles that were just stored, so that nobody has to read them back.
    pub(super) fn keep(&self, tiles: &[Tile]) {
        for tile in tiles {
            self.put((tile.level, tile.index), &tile.bytes);
        }
    }

    fn get(&self, place: (u8, u64)) -> Option<Arc<TileNodes>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).tiles.get(&place).cloned()
    }

    fn put(&self, place: (u8, u64), bytes: &[u8]) -> Arc<TileNodes> {
        // Hashing outside the lock; two who do the same at once do it twice and agree.
        let nodes = Arc::new(self.get(place).map_or_else(|| TileNodes::new(bytes), |shorter| shorter.extended(bytes)));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.tiles.insert(place, nodes.clone()).is_none() {
            kept.order.push_back(place);
            if kept.order.len() > KEPT_LIMIT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.tiles.remove(&oldest);
            }
        }
        nodes
    }
}

impl Nodes for Tiles {
    type Error = NodeError;

    fn node(&self, level: u32, index: u64) -> Result<Digest, NodeError> {
        let place = tile_of(level, index);
        if let Some(hash) = self.get(place).and_then(|nodes| nodes.node(level, index)) {
            return Ok(hash);
        }
        let missing = NodeError::Missing { level, index };
        let Some(bytes) = self.store.tile(place.0, place.1)? else { return Err(missing) };
        self.put(place, &bytes).node(level, index).ok_or(missing)
    }
}
