use ct_merkle::{ConsistencyProof, InclusionProof, mem_backed_tree::MemoryBackedTree};
use proptest::prelude::*;

use super::*;

/// Sizes around every edge: powers of two, tile widths, and their neighbours.
const SIZES: [u64; 16] = [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 100, 255, 256, 257, 513, 700];

type Oracle = MemoryBackedTree<Sha256, Vec<u8>>;

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn oracle(size: u64) -> Oracle {
    let mut tree = Oracle::new();
    (0..size).for_each(|n| tree.push(entry(n)));
    tree
}

fn oracle_root(size: u64) -> Digest {
    Digest::from_bytes(oracle(size).root().as_bytes().as_slice().try_into().unwrap())
}

/// A tree held in tiles, as a store would hold it, written in batches of different sizes.
struct Tiles(std::collections::BTreeMap<(u8, u64), Vec<u8>>);

impl Tiles {
    fn of(size: u64) -> (Self, Edge) {
        let (mut tiles, mut edge) = (Self(Default::default()), Edge::new());
        for n in 0..size {
            edge.push(leaf_hash(&entry(n)));
            if n % 7 == 0 || n % 300 == 299 {
                tiles.take(&mut edge);
            }
        }
        tiles.take(&mut edge);
        (tiles, edge)
    }

    fn take(&mut self, edge: &mut Edge) {
        self.0.extend(edge.take_changed().into_iter().map(|t| ((t.level, t.index), t.bytes)));
    }
}

impl Nodes for Tiles {
    type Error = (u32, u64);
    fn node(&self, level: u32, index: u64) -> Result<Digest, (u32, u64)> {
        let tile = self.0.get(&tile_of(level, index));
        tile.and_then(|bytes| node_in_tile(bytes, level, index)).ok_or((level, index))
    }
}

/// RFC 6962 section 2.1.3 gives no vectors; these are the ones of certificate-transparency-go's reference tree.
#[test]
fn reference_vectors() {
    let hash = |text: &str| Digest::from_hex(text).unwrap();
    assert_eq!(empty_root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    assert_eq!(leaf_hash(b""), hash("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"));
    let mut range = CompactRange::new();
    let inputs: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    inputs.iter().for_each(|input| range.push_entry(input));
    assert_eq!(range.root(), hash("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"));
}

#[test]
fn roots_are_the_oracles() {
    for size in SIZES {
        let (tiles, edge) = Tiles::of(size);
        let wanted = oracle_root(size);
        let mut range = CompactRange::new();
        (0..size).for_each(|n| range.push_entry(&entry(n)));
        assert_eq!(range.root(), wanted, "range of {size}");
        assert_eq!(range_root(&tiles, 0, size).unwrap(), wanted, "tiles of {size}");
        assert_eq!(edge.compact(), range, "edge of {size}");
    }
}

#[test]
fn proofs_are_the_oracles_byte_for_byte() {
    let joined = |proof: &[Digest]| proof.iter().flat_map(|d| *d.as_bytes()).collect::<Vec<u8>>();
    for size in SIZES {
        let (tiles, _) = Tiles::of(size);
        let tree = oracle(size);
        for index in (0..size).step_by(1 + size as usize / 20) {
            let proof = inclusion_proof(&tiles, index, size).unwrap();
            assert_eq!(joined(&proof), tree.prove_inclusion(index as usize).as_bytes(), "inclusion {index} in {size}");
            let theirs = InclusionProof::<Sha256>::try_from_bytes(joined(&proof)).unwrap();
            tree.root().verify_inclusion(&entry(index), index, &theirs).unwrap();
        }
        for old in (1..=size).step_by(1 + size as usize / 20) {
            let proof = consistency_proof(&tiles, old, size).unwrap();
            let wanted = tree.prove_consistency((size - old) as usize);
            if old < size {
                assert_eq!(joined(&proof), wanted.as_bytes(), "consistency {old} to {size}");
                let theirs = ConsistencyProof::<Sha256>::try_from_bytes(joined(&proof)).unwrap();
                tree.root().verify_consistency(&oracle(old).root(), &theirs).unwrap();
            } else {
                assert!(proof.is_empty());
            }
        }
    }
}

#[test]
fn only_the_right_proof_verifies() {
    let size = 257;
    let (tiles, _) = Tiles::of(size);
    let root = range_root(&tiles, 0, size).unwrap();
    for index in [0, 1, 128, 255, 256] {
        let leaf = leaf_hash(&entry(index));
        let proof = inclusion_proof(&tiles, index, size).unwrap();
        verify_inclusion(leaf, index, size, &root, &proof).unwrap();
        assert_eq!(verify_inclusion(leaf_hash(b"other"), index, size, &root, &proof), Err(ProofError::Root));
        assert!(verify_inclusion(leaf, (index + 1) % size, size, &root, &proof).is_err());
        assert!(verify_inclusion(leaf, index, size, &root, &proof[1..]).is_err());
        let longer = [proof.clone(), vec![root]].concat();
        assert!(matches!(verify_inclusion(leaf, index, size, &root, &longer), Err(ProofError::Length(_))));
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at] = leaf_hash(b"wrong");
            assert_eq!(verify_inclusion(leaf, index, size, &root, &wrong), Err(ProofError::Root));
        }
    }
    assert_eq!(verify_inclusion(root, 257, 257, &root, &[]), Err(ProofError::Position { index: 257, size: 257 }));
    for old in [1, 2, 100, 128, 255, 256] {
        let old_root = range_root(&tiles, 0, old).unwrap();
        let proof = consistency_proof(&tiles, old, size).unwrap();
        verify_consistency(old, &old_root, size, &root, &proof).unwrap();
        assert!(verify_consistency(old, &root, size, &root, &proof).is_err());
        assert!(verify_consistency(old, &old_root, size, &old_root, &proof).is_err());
        assert!(verify_consistency(old, &old_root, size, &root, &proof[1..]).is_err());
        assert!(verify_consistency(old, &old_root, size, &root, &[]).is_err());
        assert!(verify_consistency(old + 1, &old_root, size, &root, &proof).is_err());
    }
}

#[test]
fn the_empty_tree_is_consistent_with_every_tree_and_nothing_else_is_free() {
    let root = leaf_hash(b"x");
    verify_consistency(0, &empty_root(), 9, &root, &[]).unwrap();
    verify_consistency(0, &empty_root(), 0, &empty_root(), &[]).unwrap();
    assert!(verify_consistency(0, &empty_root(), 0, &root, &[]).is_err(), "size 0 has the root of nothing");
    assert!(verify_consistency(0, &root, 9, &root, &[]).is_err());
    assert!(verify_consistency(0, &empty_root(), 9, &root, &[root]).is_err());
    verify_consistency(9, &root, 9, &root, &[]).unwrap();
    assert_eq!(verify_consistency(9, &root, 9, &empty_root(), &[]), Err(ProofError::Root));
    assert!(verify_consistency(9, &root, 8, &root, &[]).is_err(), "backwards");
}

#[test]
fn an_edge_is_loaded_as_it_was_stored() {
    for size in SIZES {
        let (tiles, edge) = Tiles::of(size);
        let loaded =
            Edge::load(size, |level, index| Ok::<_, ()>(tiles.0.get(&(level, index)).cloned())).unwrap().unwrap();
        assert_eq!(loaded.compact(), edge.compact(), "{size}");
        let without = Edge::load(size, |_, _| Ok::<_, ()>(None)).unwrap();
        assert!(without.is_none() || size % 256 == 0, "{size}: a missing tile is noticed");
    }
}

#[test]
fn tiles_are_as_the_specification_counts_them() {
    // "a tree of size 70,000 …" (C2SP tlog-tiles, "Partial Tiles")
    let mut edge = Edge::new();
    (0..70_000_u64).for_each(|n| edge.push(leaf_hash(&n.to_be_bytes())));
    let tiles = edge.take_changed();
    let count = |level, full| tiles.iter().filter(|t| t.level == level && (t.bytes.len() == 8192) == full).count();
    assert_eq!((count(0, true), count(0, false)), (273, 1));
    assert_eq!((count(1, true), count(1, false)), (1, 1));
    assert_eq!((count(2, true), count(2, false)), (0, 1));
    let width = |level| tiles.iter().rev().find(|t| t.level == level && t.bytes.len() < 8192).unwrap().bytes.len() / 32;
    assert_eq!((width(0), width(1), width(2)), (112, 17, 1));
}

#[test]
fn a_hash_is_in_the_tile_that_is_named_for_it() {
    let (tiles, _) = Tiles::of(700);
    for (level, index) in [(0, 0), (0, 255), (0, 256), (0, 699), (3, 86), (7, 4), (8, 0), (8, 1), (9, 0)] {
        let TilePath::Hashes { level: tile_level, index: tile_index, width } = tile_with(level, index) else {
            panic!("a tile of hashes")
        };
        let tile = &tiles.0[&(tile_level, tile_index)][..width * 32];
        assert_eq!(node_in_tile(tile, level, index), Some(tiles.node(level, index).unwrap()), "{level} {index}");
        assert_eq!(node_in_tile(&tile[..(width - 1) * 32], level, index), None, "the smallest such tile");
    }
}

#[test]
fn the_place_of_a_difference_is_named() {
    let leaves: Vec<Digest> = (0..13).map(|n| leaf_hash(&entry(n))).collect();
    let mut range = CompactRange::new();
    leaves.iter().for_each(|l| range.push(*l));
    assert_eq!(range.first_difference(&leaves), None);
    let changed = |at: usize| {
        let mut other = leaves.clone();
        other[at] = leaf_hash(b"changed");
        range.first_difference(&other)
    };
    assert_eq!((changed(3), changed(8), changed(12)), (Some(0..8), Some(8..12), Some(12..13)));
    assert_eq!(
        range.first_difference(&leaves[..10]),
        Some(8..13),
        "missing entries count from the first stretch they are in"
    );
}

#[test]
fn paths() {
    for (text, path) in [
        ("checkpoint", TilePath::Checkpoint),
        ("tile/0/x001/x234/067", TilePath::Hashes { level: 0, index: 1_234_067, width: 256 }),
        ("tile/2/000.p/7", TilePath::Hashes { level: 2, index: 0, width: 7 }),
        ("tile/entries/x001/000", TilePath::Entries { index: 1000, width: 256 }),
        ("tile/entries/999.p/255", TilePath::Entries { index: 999, width: 255 }),
        ("tile/63/x018/x446/x744/x073/x709/x551/615", TilePath::Hashes { level: 63, index: u64::MAX, width: 256 }),
    ] {
        assert_eq!(text.parse::<TilePath>().unwrap(), path);
        assert_eq!(path.to_string(), text);
    }
    for text in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/64/000",
        "tile/00/000",
        "tile/+1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/001/000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/07",
        "tile/0/000.p/",
        "tile/0/x019/x446/x744/x073/x709/x551/615",
        "tile/0/x001/x018/x446/x744/x073/x709/x551/615",
        "tile/entries/../000",
        "tile/0/٠٠٠",
    ] {
        assert!(text.parse::<TilePath>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_path_parses_to_itself_or_not_at_all(text in "\\PC{0,40}|tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,7}[0-9]{3}(\\.p/[0-9]{1,3})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn no_random_proof_verifies(index in 0_u64..600, size in 0_u64..600, proof in proptest::collection::vec(any::<[u8; 32]>(), 0..12)) {
        let proof: Vec<Digest> = proof.into_iter().map(Digest::from_bytes).collect();
        let root = leaf_hash(b"root");
        prop_assert!(verify_inclusion(leaf_hash(b"leaf"), index, size, &root, &proof).is_err());
        prop_assert!(verify_consistency(index, &leaf_hash(b"old"), size, &root, &proof).is_err());
    }
}
