//! Inclusion and consistency proofs (RFC 6962, RFC 9162) and proof files (C2SP tlog-proof): the right one verifies, a
//! changed one does not.

use std::{cell::OnceCell, thread_local};

use ledger::{
    follow::WitnessPolicy,
    log::Log,
    merkle::{CompactRange, leaf_hash, verify_consistency, verify_inclusion},
    proof::Proof,
};
use model::Digest;

use crate::{bytes::Choices, fixed};

/// Past one tile, and small enough to be made at the start.
const SIZE: u64 = 300;

struct Tree {
    log: Log,
    leaves: Vec<Digest>,
    /// The root of each size.
    roots: Vec<Digest>,
}

impl Tree {
    fn new() -> Self {
        let log = fixed::log_of(0..SIZE);
        let leaves: Vec<Digest> = (0..SIZE).map(|n| leaf_hash(&fixed::statement(n).canonical_bytes())).collect();
        let mut range = CompactRange::new();
        let mut roots = vec![range.root()];
        for leaf in &leaves {
            range.push(*leaf);
            roots.push(range.root());
        }
        Self { log, leaves, roots }
    }
}

thread_local! {
    static TREE: OnceCell<Tree> = const { OnceCell::new() };
}

/// Whatever the positions and hashes: no panic, and nothing but the true proof verifies.
pub fn run(data: &[u8]) {
    if let Ok(proof) = Proof::parse(data) {
        assert_eq!(proof.to_bytes(), data, "a proof file has one form");
    }
    TREE.with(|tree| {
        let tree = tree.get_or_init(Tree::new);
        file(tree, data);
        check(tree, data);
    });
}

/// A file proves an entry only if the log signed the checkpoint and the entry is there.
fn file(tree: &Tree, data: &[u8]) {
    let Ok(proof) = Proof::parse(data) else { return };
    let log = fixed::log_signer().vkey();
    // The seeds are of small logs with the same first entries.
    for number in 0..8 {
        let entry = fixed::statement(number).canonical_bytes();
        if let Ok(checkpoint) = proof.verify(&entry, log, &WitnessPolicy::unwitnessed()) {
            assert!(fixed::is_signed_by_log(checkpoint.note()), "only the log's own signature counts");
            assert_eq!(proof.index(), number, "only the entry at its place is proven");
            assert_eq!(checkpoint.root(), at(&tree.roots, checkpoint.size()));
            let good = tree.log.inclusion_proof(number, checkpoint.size()).expect("it is in the tree");
            assert_eq!(proof.hashes(), good, "one proof for each place");
        }
    }
}

fn check(tree: &Tree, data: &[u8]) {
    let mut choices = Choices::new(data);
    match choices.byte() % 3 {
        0 => inclusion(tree, &mut choices),
        1 => consistency(tree, &mut choices),
        _ => any(&mut choices),
    }
}

fn at(digests: &[Digest], index: u64) -> Digest {
    digests[usize::try_from(index).expect("the tree is small")]
}

fn inclusion(tree: &Tree, choices: &mut Choices<'_>) {
    let size = 1 + choices.below(SIZE);
    let index = choices.below(size);
    let good = tree.log.inclusion_proof(index, size).expect("it is in the tree");
    let (leaf, root) = (at(&tree.leaves, index), at(&tree.roots, size));
    assert_eq!(verify_inclusion(leaf, index, size, &root, &good), Ok(()), "{index} in {size}");
    let proof = changed(&good, choices);
    let (other_index, other_size) = (choices.below(2 * SIZE), choices.below(2 * SIZE));
    if verify_inclusion(leaf, index, size, &root, &proof).is_ok() {
        assert_eq!(proof, good, "one proof for each place");
    }
    // The same hashes for another place or size: true only of the place where the entry is. (A size alone is not bound
    // by a proof: the checkpoint's signature binds it to the root.)
    if verify_inclusion(leaf, other_index, size, &root, &good).is_ok() {
        assert_eq!(other_index, index);
    }
    if other_size < SIZE && other_size != size {
        let other_root = at(&tree.roots, other_size);
        assert!(verify_inclusion(leaf, index, size, &other_root, &good).is_err(), "another tree's root");
    }
}

fn consistency(tree: &Tree, choices: &mut Choices<'_>) {
    let new = choices.below(SIZE + 1);
    let old = choices.below(new + 1);
    let good = tree.log.consistency_proof(old, new).expect("both are in the tree");
    let (old_root, new_root) = (at(&tree.roots, old), at(&tree.roots, new));
    assert_eq!(verify_consistency(old, &old_root, new, &new_root, &good), Ok(()), "{old} to {new}");
    let proof = changed(&good, choices);
    if verify_consistency(old, &old_root, new, &new_root, &proof).is_ok() {
        assert_eq!(proof, good, "one proof for each pair of sizes");
    }
    let other = choices.below(SIZE + 1);
    if other != old && old > 0 {
        let other_root = at(&tree.roots, other);
        assert!(verify_consistency(old, &other_root, new, &new_root, &good).is_err(), "another old root");
    }
    if other != new && old > 0 {
        let other_root = at(&tree.roots, other);
        assert!(verify_consistency(old, &old_root, new, &other_root, &good).is_err(), "another new root");
    }
}

/// The proof with a hash changed, added, removed or moved, or as it is.
fn changed(good: &[Digest], choices: &mut Choices<'_>) -> Vec<Digest> {
    let mut proof = good.to_vec();
    for _ in 0..choices.byte() % 4 {
        let length = u64::try_from(proof.len()).unwrap_or(u64::MAX);
        let place = usize::try_from(choices.below(length + 1)).unwrap_or_default();
        match choices.byte() % 4 {
            0 => proof.insert(place, choices.hash()),
            1 if place < proof.len() => drop(proof.remove(place)),
            2 if place < proof.len() => {
                let mut bytes = *proof[place].as_bytes();
                bytes[usize::from(choices.byte() % 32)] ^= choices.byte();
                proof[place] = Digest::from_bytes(bytes);
            }
            _ if place + 1 < proof.len() => proof.swap(place, place + 1),
            _ => {}
        }
    }
    proof
}

/// Positions of any size and any hashes: what is random proves nothing.
fn any(choices: &mut Choices<'_>) {
    let (first, second) = (choices.number() >> choices.below(64), choices.number() >> choices.below(64));
    let (leaf, root) = (choices.hash(), choices.hash());
    let mut proof = Vec::new();
    while !choices.is_done() && proof.len() < 80 {
        proof.push(choices.hash());
    }
    let included = verify_inclusion(leaf, first, second, &root, &proof).is_ok();
    assert!(!included || proof.is_empty() && second == 1 && leaf == root, "random hashes lead to no root");
    let consistent = verify_consistency(first, &leaf, second, &root, &proof).is_ok();
    let trivial = proof.is_empty() && (first == 0 || first == second && leaf == root);
    // An old tree that is a perfect subtree is its own first hash, so nothing is left to prove only if it is the whole.
    assert!(!consistent || trivial, "random hashes connect no trees");
}
