//! Tiles (C2SP tlog-tiles v0.1.0): 256 hashes each, the tree cut every eight levels, and the paths by which they go.
//!
//! It refuses to know where tiles are kept: it is handed their bytes, and says which ones changed.

use std::{fmt, str::FromStr};

use model::Digest;

use super::{CompactRange, node_hash};

/// 256 hashes of 32 bytes: 8,192 bytes a full tile.
pub const TILE_WIDTH: usize = 256;
const HEIGHT: u32 = 8;
const HASH_BYTES: usize = 32;
/// Levels 0 to 7 hold any tree of 64-bit size; the specification allows numbers to 63.
const LEVEL_LIMIT: u8 = 63;
/// Seven groups of three digits hold any 64-bit index.
const GROUP_LIMIT: usize = 7;

/// Hands out the roots of perfect subtrees.
pub trait Nodes {
    /// Why a hash is not to be had.
    type Error;
    /// The root of the perfect subtree over entries `index << level .. (index + 1) << level`.
    fn node(&self, level: u32, index: u64) -> Result<Digest, Self::Error>;
}

/// A tile to be stored: full or partial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its level; at level 0 are the hashes of entries.
    pub level: u8,
    /// Its index within the level.
    pub index: u64,
    /// Its hashes, 32 bytes each, 1 to 256 of them.
    pub bytes: Vec<u8>,
}

/// The right edge of a tree in tiles: the partial tile of each level.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    size: u64,
    /// For each level, the hashes in its partial tile; always fewer than [`TILE_WIDTH`].
    levels: Vec<Vec<Digest>>,
    /// Tiles that were filled since the last [`Edge::take_changed`].
    filled: Vec<Tile>,
    /// The size at the last [`Edge::take_changed`].
    taken_at: u64,
}

impl Edge {
    /// The edge of the tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of this size, its partial tiles handed out by `tile` as bytes (a fuller tile serves too).
    /// `None` where a tile is missing or too short.
    pub fn load<E>(size: u64, mut tile: impl FnMut(u8, u64) -> Result<Option<Vec<u8>>, E>) -> Result<Option<Self>, E> {
        let mut levels = Vec::new();
        let mut level = 0_u8;
        let mut count = size;
        while count > 0 {
            let width = (count % TILE_WIDTH as u64) as usize;
            let mut hashes = Vec::with_capacity(TILE_WIDTH);
            if width > 0 {
                let Some(bytes) = tile(level, count / TILE_WIDTH as u64)? else { return Ok(None) };
                hashes.extend(split_hashes(&bytes).take(width));
                if hashes.len() != width {
                    return Ok(None);
                }
            }
            levels.push(hashes);
            level += 1;
            count >>= HEIGHT;
        }
        Ok(Some(Self { size, levels, filled: Vec::new(), taken_at: size }))
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of an entry.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        let mut index = self.size / TILE_WIDTH as u64;
        for level in 0..=LEVEL_LIMIT {
            let at = usize::from(level);
            if self.levels.len() <= at {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(hashes) = self.levels.get_mut(at) else { break };
            hashes.push(hash);
            if hashes.len() < TILE_WIDTH {
                break;
            }
            self.filled.push(Tile { level, index, bytes: join_hashes(hashes) });
            hash = perfect_root(hashes);
            hashes.clear();
            index /= TILE_WIDTH as u64;
        }
        self.size += 1;
    }

    /// The tiles that changed since this was asked last, full and partial.
    pub fn take_changed(&mut self) -> Vec<Tile> {
        let mut changed = std::mem::take(&mut self.filled);
        let (mut count, mut before) = (self.size, self.taken_at);
        for (level, hashes) in (0_u8..).zip(&self.levels) {
            if count != before && !hashes.is_empty() {
                changed.push(Tile { level, index: count / TILE_WIDTH as u64, bytes: join_hashes(hashes) });
            }
            count >>= HEIGHT;
            before >>= HEIGHT;
        }
        self.taken_at = self.size;
        changed
    }

    /// The compact range of the same tree.
    pub fn compact(&self) -> CompactRange {
        let mut nodes = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            for bit in (0..HEIGHT).rev() {
                if hashes.len() >> bit & 1 == 1
                    && let Some((left, right)) = rest.split_at_checked(1 << bit)
                {
                    nodes.push(perfect_root(left));
                    rest = right;
                }
            }
        }
        // One hash for each bit, eight bits a level: `from_parts` can not disagree.
        CompactRange::from_parts(self.size, nodes).unwrap_or_default()
    }
}

/// The root of the perfect subtree (`level` counted in the whole tree) inside the tile that holds it.
/// `None` if the tile is too short for it.
pub fn node_in_tile(tile: &[u8], level: u32, index: u64) -> Option<Digest> {
    let width = 1_usize << (level % HEIGHT);
    let first = (index % (TILE_WIDTH / width) as u64) as usize * width;
    let bytes = tile.get(first * HASH_BYTES..(first + width) * HASH_BYTES)?;
    let hashes: Vec<Digest> = split_hashes(bytes).collect();
    Some(perfect_root(&hashes))
}

/// A tile with the hashes of every perfect subtree inside it, so that a proof only looks them up.
#[derive(Clone, Debug, Default)]
pub(crate) struct TileNodes {
    /// A row for each of the eight levels of the tree in a tile, the entries of the tile first.
    rows: [Vec<Digest>; HEIGHT as usize],
}

impl TileNodes {
    /// From the bytes of a tile.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self::default().extended(bytes)
    }

    /// The same tile when it has become fuller; only what is new is hashed.
    pub(crate) fn extended(&self, bytes: &[u8]) -> Self {
        let mut rows = self.rows.clone();
        let mut below: Option<&mut Vec<Digest>> = None;
        for row in &mut rows {
            match below {
                None => row.extend(split_hashes(bytes).skip(row.len())),
                Some(below) => {
                    let (pairs, _) = below.as_chunks::<2>();
                    let known = row.len();
                    row.extend(pairs.iter().skip(known).map(|[left, right]| node_hash(left, right)));
                }
            }
            below = Some(row);
        }
        Self { rows }
    }

    /// The root of a perfect subtree in this tile (`level` counted in the whole tree); `None` if it is too short.
    pub(crate) fn node(&self, level: u32, index: u64) -> Option<Digest> {
        let row = level % HEIGHT;
        let at = index % (TILE_WIDTH as u64 >> row);
        self.rows.get(row as usize)?.get(usize::try_from(at).ok()?).copied()
    }
}

/// The path of the smallest tile that holds the perfect subtree.
pub fn tile_with(level: u32, index: u64) -> TilePath {
    let (tile_level, tile_index) = tile_of(level, index);
    let width = 1_usize << (level % HEIGHT);
    let before = (index % (TILE_WIDTH / width) as u64) as usize * width;
    TilePath::Hashes { level: tile_level, index: tile_index, width: before + width }
}

/// Which tile holds the perfect subtree: its level and index.
pub(crate) fn tile_of(level: u32, index: u64) -> (u8, u64) {
    let tile_level = u8::try_from(level / HEIGHT).unwrap_or(LEVEL_LIMIT);
    (tile_level, index >> (HEIGHT - level % HEIGHT))
}

/// The hashes of a tile, in order.
pub(crate) fn split_hashes(bytes: &[u8]) -> impl Iterator<Item = Digest> + '_ {
    let (chunks, _) = bytes.as_chunks::<HASH_BYTES>();
    chunks.iter().map(|chunk| Digest::from_bytes(*chunk))
}

fn join_hashes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|h| *h.as_bytes()).collect()
}

/// The root over a power-of-two number of hashes.
fn perfect_root(hashes: &[Digest]) -> Digest {
    let mut range = CompactRange::new();
    hashes.iter().for_each(|h| range.push(*h));
    range.root()
}

/// What a path below the log's address names (C2SP tlog-tiles, "Parameters" and on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TilePath {
    /// `checkpoint`
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`
    Hashes {
        /// The level.
        level: u8,
        /// The index.
        index: u64,
        /// How many hashes: 256 for a full tile.
        width: usize,
    },
    /// `tile/entries/<N>[.p/<W>]`
    Entries {
        /// The index.
        index: u64,
        /// How many entries: 256 for a full bundle.
        width: usize,
    },
}

/// A path that names nothing in a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path of a log: `checkpoint`, `tile/<level>/<index>` or `tile/entries/<index>`")]
pub struct TilePathError(String);

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        parse_path(text).ok_or_else(|| TilePathError(text.chars().take(120).collect()))
    }
}

fn parse_path(text: &str) -> Option<TilePath> {
    if text == "checkpoint" {
        return Some(TilePath::Checkpoint);
    }
    let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => {
            let width = plain_number(width).and_then(|w| usize::try_from(w).ok())?;
            (number, Some(width).filter(|w| (1..TILE_WIDTH).contains(w))?)
        }
        None => (rest, TILE_WIDTH),
    };
    let index = parse_index(number)?;
    if level == "entries" {
        return Some(TilePath::Entries { index, width });
    }
    let level = plain_number(level).and_then(|l| u8::try_from(l).ok()).filter(|l| *l <= LEVEL_LIMIT)?;
    Some(TilePath::Hashes { level, index, width })
}

/// Decimal without leading zeroes.
fn plain_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn parse_index(text: &str) -> Option<u64> {
    let groups: Vec<&str> = text.split('/').collect();
    let (last, front) = groups.split_last()?;
    if groups.len() > GROUP_LIMIT {
        return None;
    }
    let mut index = 0_u64;
    for group in front.iter().map(|g| g.strip_prefix('x')).chain([Some(*last)]) {
        let group = group.filter(|g| g.len() == 3 && g.bytes().all(|b| b.is_ascii_digit()))?;
        index = index.checked_mul(1000)?.checked_add(group.parse().ok()?)?;
    }
    // One path a tile: `x000/001` is not a second name of `001`.
    (groups.len() == 1 || groups.first() != Some(&"x000")).then_some(index)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Hashes { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
        };
        let mut groups = vec![index % 1000];
        let mut rest = index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (place, group) in groups.iter().enumerate().rev() {
            if place > 0 { write!(f, "x{group:03}/")? } else { write!(f, "{group:03}")? }
        }
        if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}
