use super::*;
use crate::{
    fixtures::{fill, log_of},
    merkle::{CompactRange, Tile},
    store::{Batch, MemoryStore, Store},
    sweep::StoreSource,
};

fn leaves(store: &MemoryStore) -> Vec<Digest> {
    store.entries(0, 10_000).unwrap().iter().map(|e| leaf_hash(&e.bytes)).collect()
}

fn range(leaves: &[Digest]) -> CompactRange {
    let mut range = CompactRange::new();
    leaves.iter().for_each(|l| range.push(*l));
    range
}

#[test]
fn it_is_the_tree_of_the_entries_at_every_size() {
    let (log, store) = log_of(0);
    for size in [0, 1, 255, 256, 257, 512, 700] {
        fill(&log, store.entries(0, 10_000).unwrap().len() as u64, size);
        let source = StoreSource(&*store);
        let skeleton = Skeleton::from_tiles(&source, size).unwrap().unwrap();
        assert_eq!(skeleton, Skeleton::from_entries(&source, size).unwrap());
        assert_eq!((skeleton.size(), skeleton.root()), (size, log.head().root()));
        assert_eq!(skeleton.compare_tiles(&source).unwrap().map(|f| f.to_string()), None);
    }
    let (source, leaves) = (StoreSource(&*store), leaves(&store));
    let skeleton = Skeleton::from_tiles(&source, 700).unwrap().unwrap();
    for size in 0..=700 {
        let expected = range(&leaves[..size]);
        assert_eq!(skeleton.range_at(&source, size as u64).unwrap(), Some(expected.clone()));
        let bundle = skeleton.bundle(&source, size as u64 / BUNDLE).unwrap();
        assert_eq!(skeleton.root_at(size as u64, bundle.as_ref()), Some(expected.root()));
        assert_eq!(skeleton.first_difference(&source, &expected).unwrap(), None);
    }
    for (index, size) in [(0, 700), (255, 700), (256, 300), (299, 300), (600, 650), (699, 700), (0, 1), (511, 512)] {
        let (leaf, proof) = skeleton.inclusion_proof(&source, index, size).unwrap().unwrap();
        let root = range(&leaves[..usize::try_from(size).unwrap()]).root();
        assert_eq!(leaf, leaves[usize::try_from(index).unwrap()]);
        crate::merkle::verify_inclusion(leaf, index, size, &root, &proof).unwrap();
    }
    assert_eq!(skeleton.inclusion_proof(&source, 300, 300).unwrap(), None);
    assert_eq!((skeleton.root_at(701, None), skeleton.root_at(300, None)), (None, None));
    assert_eq!(skeleton.span(2), 512..700);
}

#[test]
fn another_tree_is_told_from_it_as_closely_as_an_edge_can() {
    let (_, store) = log_of(700);
    let source = StoreSource(&*store);
    let skeleton = Skeleton::from_tiles(&source, 700).unwrap().unwrap();
    let mut other = leaves(&store);
    other[530] = Digest::of(b"another");
    let kept = range(&other[..600]);
    assert_eq!(skeleton.first_difference(&source, &kept).unwrap(), Some(512..576));
    let longer = range(&[other, vec![Digest::of(b"more")]].concat());
    assert_eq!(skeleton.first_difference(&source, &longer).unwrap(), Some(700..701));
}

/// The same log with one tile changed.
fn with_tile(store: &MemoryStore, level: u8, index: u64, bytes: Vec<u8>) -> MemoryStore {
    let other = MemoryStore::new();
    let mut tiles: Vec<Tile> = Vec::new();
    for (l, i) in [(0, 0), (0, 1), (0, 2), (1, 0)] {
        tiles.extend(store.tile(l, i).unwrap().map(|bytes| Tile { level: l, index: i, bytes }));
    }
    tiles.retain(|t| (t.level, t.index) != (level, index));
    tiles.push(Tile { level, index, bytes });
    let entries = store.entries(0, 10_000).unwrap();
    let note = store.head().unwrap().unwrap().note;
    other.commit(&Batch { entries, tiles, note, ..Batch::default() }).unwrap();
    other
}

#[test]
fn tiles_that_are_missing_or_wrong_are_found() {
    let (log, store) = log_of(700);
    let short = with_tile(&store, 1, 0, store.tile(1, 0).unwrap().unwrap()[..32].to_vec());
    assert_eq!(Skeleton::from_tiles(&StoreSource(&short), 700).unwrap(), None);
    let wrong = with_tile(&store, 1, 0, vec![7; 64]);
    let source = StoreSource(&wrong);
    assert_ne!(Skeleton::from_tiles(&source, 700).unwrap().unwrap().root(), log.head().root());
    let skeleton = Skeleton::from_entries(&source, 700).unwrap();
    assert_eq!(skeleton.root(), log.head().root());
    let found = skeleton.compare_tiles(&source).unwrap().unwrap().to_string();
    assert_eq!(found, "the stored hashes at level 1, tile 0 are not those of the entries 0 to 511");
    // A bundle whose tile is wrong is read from its entries.
    let wrong = with_tile(&store, 0, 1, vec![7; 8192]);
    let bundle = skeleton.bundle(&StoreSource(&wrong), 1).unwrap().unwrap();
    assert!(skeleton.fits(&bundle));
}
