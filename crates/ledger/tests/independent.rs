//! Our checkpoints, cosignatures, tiles, entry bundles and proofs, read by an implementation that nobody here wrote:
//! the crates `tlog_tiles` and `signed_note`. They follow Go's `golang.org/x/mod/sumdb`, whose tile paths name the
//! height (`tile/8/0/000`, `tile/8/data/000`); C2SP leaves it out (`tile/0/000`, `tile/entries/000`).

#![expect(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::{collections::BTreeMap, sync::Arc};

use ed25519_dalek::{Signature, VerifyingKey};
use ledger::{
    checkpoint::Checkpoint,
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    merkle::{
        CompactRange, Edge, Nodes, TILE_WIDTH, TilePath, consistency_proof, inclusion_proof, leaf_hash, node_in_tile,
    },
    note::{Note, NoteKeyType, NoteSigner},
    store::MemoryStore,
};
use model::{Digest, Timestamp};
use signed_note::{StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{
    Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree, record_hash,
};

const ORIGIN: &str = "log.example/one";
const HEIGHT: u8 = 8;

fn signer(name: &str, kind: NoteKeyType, number: u8) -> NoteSigner {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[number; 32]).unwrap();
    NoteSigner::new(name, kind, Arc::new(key)).unwrap()
}

fn theirs(digest: &Digest) -> Hash {
    Hash(*digest.as_bytes())
}

/// Where tiles come from, by their path in C2SP's words.
trait Served {
    fn get(&self, path: TilePath) -> Option<Vec<u8>>;
}

impl Served for Log {
    fn get(&self, path: TilePath) -> Option<Vec<u8>> {
        self.resource(path).unwrap()
    }
}

/// Tiles of a tree of hashes alone.
#[derive(Default)]
struct Hashes(BTreeMap<(u8, u64), Vec<u8>>);

impl Served for Hashes {
    fn get(&self, path: TilePath) -> Option<Vec<u8>> {
        let TilePath::Hashes { level, index, width } = path else { return None };
        self.0.get(&(level, index))?.get(..width * 32).map(<[u8]>::to_vec)
    }
}

/// The other implementation's reader over what we serve: the path that it asks for, without the height.
struct Reader<'a, S>(&'a S);

fn c2sp(tile: &Tile) -> TilePath {
    let path = tile.path();
    let rest = path.strip_prefix("tile/8/").unwrap();
    let mapped = rest.strip_prefix("data/").map_or_else(|| format!("tile/{rest}"), |r| format!("tile/entries/{r}"));
    let parsed: TilePath = mapped.parse().unwrap();
    assert_eq!(parsed.to_string(), mapped, "both write one path");
    parsed
}

impl<S: Served> TileReader for Reader<'_, S> {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        tiles.iter().map(|tile| self.0.get(c2sp(tile)).ok_or(Error::InvalidTile)).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// Ours over the same tiles.
struct Ours<'a, S>(&'a S, u64);

impl<S: Served> Nodes for Ours<'_, S> {
    type Error = String;

    fn node(&self, level: u32, index: u64) -> Result<Digest, String> {
        let tile_level = level / 8;
        let tile_index = index >> (8 - level % 8);
        let hashes = self.1 >> (8 * tile_level);
        let width = usize::try_from((hashes - tile_index * TILE_WIDTH as u64).min(TILE_WIDTH as u64)).unwrap();
        let path = TilePath::Hashes { level: u8::try_from(tile_level).unwrap(), index: tile_index, width };
        let tile = self.0.get(path).ok_or_else(|| format!("{path} is missing"))?;
        node_in_tile(&tile, level, index).ok_or_else(|| format!("{path} is too short"))
    }
}

/// Proofs of these entries, both ways: theirs are ours byte for byte, and their checker accepts ours.
fn proofs_agree<S: Served>(served: &S, size: u64, root: Digest, entries: &[u64], olds: &[(u64, Digest)]) {
    let source = Reader(served);
    let reader = TileHashReader::new(size, theirs(&root), &source);
    let nodes = Ours(served, size);
    for index in entries.iter().copied().filter(|i| *i < size) {
        let ours: Vec<Hash> = inclusion_proof(&nodes, index, size).unwrap().iter().map(theirs).collect();
        assert_eq!(prove_record(size, index, &reader).unwrap(), ours, "entry {index} of {size}");
        let leaf = theirs(&nodes.node(0, index).unwrap());
        check_record(&ours, size, theirs(&root), index, leaf).unwrap();
        check_record(&ours, size, theirs(&root), index, record_hash(b"another")).unwrap_err();
    }
    for (old, old_root) in olds.iter().copied().filter(|(old, _)| *old <= size) {
        let ours: Vec<Hash> = consistency_proof(&nodes, old, size).unwrap().iter().map(theirs).collect();
        assert_eq!(prove_tree(size, old, &reader).unwrap(), ours, "{old} to {size}");
        check_tree(&ours, size, theirs(&root), old, theirs(&old_root)).unwrap();
    }
}

/// C2SP tlog-cosignature, "Ed25519 signed message", written anew for their trait.
struct Cosignature {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl Verifier for Cosignature {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], bytes: &[u8]) -> bool {
        let Some((time, signature)) = bytes.split_first_chunk::<8>() else { return false };
        let mut message = format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time)).into_bytes();
        message.extend_from_slice(text);
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.key.verify_strict(&message, &signature).is_ok())
    }
}

fn log_of_entries() -> Log {
    Log::open(Arc::new(MemoryStore::new()), signer(ORIGIN, NoteKeyType::Ed25519, 1), Arc::new(OpenDoor)).unwrap()
}

fn fill(log: &Log, to: u64) {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[3; 32]).unwrap();
    let seal = |n: u64| Envelope::seal("application/json", n.to_string().into_bytes(), &key).unwrap();
    let submissions = (log.head().size()..to).map(|n| Submission::new(seal(n))).collect();
    log.append_all(submissions).into_iter().for_each(|receipt| drop(receipt.unwrap()));
}

#[test]
fn a_log_is_read_by_another_implementation() {
    let log = log_of_entries();
    let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(&log.vkey().to_string()).unwrap())]);
    let mut olds = Vec::new();
    for size in [1, 2, 255, 256, 257, 300] {
        fill(&log, size);
        let bytes = log.resource(TilePath::Checkpoint).unwrap().unwrap();
        let note = signed_note::Note::from_bytes(&bytes).unwrap();
        let (signed, unknown) = note.verify(&verifiers).unwrap();
        assert_eq!((signed.len(), unknown.len()), (1, 0));
        assert_eq!(note.to_bytes(), bytes);
        let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!((checkpoint.origin(), checkpoint.size(), checkpoint.extension()), (ORIGIN, size, ""));
        assert_eq!(checkpoint.hash().0, *log.head().root().as_bytes());
        olds.push((size, log.head().root()));
        proofs_agree(&log, size, log.head().root(), &[0, 1, 127, 254, 255, 256, 299], &olds);
    }
    let wrong = log.head().note().to_string().replace("\n300\n", "\n301\n");
    signed_note::Note::from_bytes(wrong.as_bytes()).unwrap().verify(&verifiers).unwrap_err();
}

#[test]
fn entry_bundles_hash_to_the_tiles() {
    let log = log_of_entries();
    fill(&log, 300);
    for tile in
        [Tile::new(HEIGHT, 0, 0, 256, true), Tile::new(HEIGHT, 0, 1, 44, true), Tile::new(HEIGHT, 0, 1, 7, true)]
    {
        let mut bytes = log.get(c2sp(&tile)).unwrap();
        let hashes = log.get(c2sp(&Tile::new(HEIGHT, 0, tile.level_index(), tile.width(), false))).unwrap();
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
            found.extend_from_slice(&record_hash(&bytes[2..2 + length]).0);
            bytes.drain(..2 + length);
        }
        assert_eq!(found, hashes, "{}", tile.path());
    }
}

/// Sizes at which levels of tiles begin and end: 65,536 hashes fill a tile of level 1.
#[test]
fn trees_beyond_a_tile_of_tiles_are_read() {
    let mut edge = Edge::new();
    let mut served = Hashes::default();
    let mut olds = Vec::new();
    for size in [1, 255, 256, 257, 511, 65_535, 65_536, 65_537, 65_800] {
        while edge.size() < size {
            edge.push(leaf_hash(&edge.size().to_be_bytes()));
        }
        edge.take_changed().into_iter().for_each(|t| drop(served.0.insert((t.level, t.index), t.bytes)));
        let root = edge.compact().root();
        let needed = Tile::new_tiles(HEIGHT, 0, size);
        assert_eq!(needed.iter().filter(|t| served.get(c2sp(t)).is_none()).count(), 0, "every tile of {size}");
        olds.push((size, root));
        proofs_agree(&served, size, root, &[0, 255, 256, 32_768, 65_279, 65_535, 65_536, 65_799], &olds);
    }
    // A tile in which one bit was changed is refused: by their reader, which hashes tiles up to the checkpoint's root.
    let root = edge.compact().root();
    served.0.get_mut(&(1, 0)).unwrap()[40] ^= 1;
    let source = Reader(&served);
    let reader = TileHashReader::new(65_800, theirs(&root), &source);
    prove_record(65_800, 3, &reader).unwrap_err();
}

#[test]
fn cosignatures_are_verified_by_another_implementation() {
    let mut range = CompactRange::new();
    range.push_entry(b"an entry");
    let text = Checkpoint::new(ORIGIN, range.size(), range.root()).to_string();
    let mut note = Note::new(text.clone()).unwrap();
    let (log, witness) = (signer(ORIGIN, NoteKeyType::Ed25519, 1), signer("w.example", NoteKeyType::Cosignature, 2));
    note.add(log.sign(&text, Timestamp::default()).unwrap());
    note.add(witness.sign(&text, Timestamp::from_unix(1_679_315_147)).unwrap());
    let known = |number: u8| -> VerifierList {
        let key = VerifyingKey::from_bytes(signer("x", NoteKeyType::Cosignature, number).vkey().key().raw().unwrap())
            .unwrap();
        let material = [&[4][..], key.as_bytes()].concat();
        let id = signed_note::key_id("w.example", &material);
        VerifierList::new(vec![
            Box::new(StandardVerifier::new(&log.vkey().to_string()).unwrap()),
            Box::new(Cosignature { name: "w.example".to_owned(), id, key }),
        ])
    };
    let read = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let (verified, unknown) = read.verify(&known(2)).unwrap();
    assert_eq!(verified.iter().map(signed_note::Signature::name).collect::<Vec<_>>(), [ORIGIN, "w.example"]);
    assert!(unknown.is_empty());
    let (verified, unknown) = read.verify(&known(5)).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 1), "another key has another id, and its line is passed over");
    let changed = note.to_string().replace("\n1\n", "\n2\n");
    signed_note::Note::from_bytes(changed.as_bytes()).unwrap().verify(&known(2)).unwrap_err();
}
