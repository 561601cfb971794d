//! Tiles and entry bundles (C2SP tlog-tiles): their paths and their bytes.

use std::convert::Infallible;

use ledger::merkle::{CompactRange, Edge, TILE_WIDTH, TilePath, leaf_hash, node_in_tile, unbundle};

use crate::bytes::Choices;

/// The most entries that are pushed onto an edge that was read: past the end of a tile.
const PUSHES: u64 = 300;

/// A path has one form; tiles of any bytes give an edge that grows as a tree does, or none.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(path) = text.parse::<TilePath>()
    {
        assert_eq!(path.to_string(), text, "a path has one form");
        if let TilePath::Hashes { width, .. } | TilePath::Entries { width, .. } = path {
            assert!((1..=TILE_WIDTH).contains(&width));
        }
    }
    if let Ok(entries) = unbundle(data) {
        let mut again = Vec::new();
        for entry in &entries {
            again.extend_from_slice(&u16::try_from(entry.len()).expect("a bundle's entry is short").to_be_bytes());
            again.extend_from_slice(entry);
        }
        assert_eq!(again, data, "a bundle has one form");
    }
    let mut choices = Choices::new(data);
    let (level, index) = (u32::from(choices.byte()), choices.number());
    let size = choices.number() >> choices.below(64);
    let pushes = choices.below(PUSHES);
    let bytes = choices.rest();
    let node = node_in_tile(bytes, level, index);
    assert!(node.is_none() || bytes.len() >= 32, "no hash out of nothing");
    edge(size.min(i64::MAX.cast_unsigned()), pushes, bytes);
}

/// The edge and the compact range are two implementations of one tree: they must agree, whatever the tiles hold.
fn edge(size: u64, pushes: u64, bytes: &[u8]) {
    // Different bytes for each tile, each as long as a full one.
    let filled: Vec<u8> = bytes.iter().cycle().take(8192 + 255).copied().collect();
    let tile = |level: u8, index: u64| {
        let from = (usize::from(level) * 37 + usize::try_from(index % 31).unwrap_or_default()) % 255;
        Ok::<_, Infallible>(filled.get(from..from + 8192).map(<[u8]>::to_vec))
    };
    let Ok(loaded) = Edge::load(size, tile);
    let Some(mut edge) = loaded else { return };
    assert_eq!(edge.size(), size);
    let mut range: CompactRange = edge.compact();
    assert_eq!(range.size(), size);
    assert!(edge.take_changed().is_empty(), "nothing has changed yet");
    for number in 0..pushes {
        let leaf = leaf_hash(&number.to_be_bytes());
        edge.push(leaf);
        range.push(leaf);
    }
    assert_eq!(edge.compact(), range, "two ways to the same tree");
    for changed in edge.take_changed() {
        assert!(!changed.bytes.is_empty() && changed.bytes.len() <= TILE_WIDTH * 32 && changed.bytes.len() % 32 == 0);
    }
    let Ok(parts) = CompactRange::from_parts(range.size(), range.nodes().to_vec()) else {
        panic!("the parts of a range are a range");
    };
    assert_eq!(parts.root(), range.root());
}
