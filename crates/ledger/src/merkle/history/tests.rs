use proptest::prelude::*;

use super::*;
use crate::merkle::{empty_root, verify_consistency};

fn leaf(number: u64) -> Digest {
    leaf_hash(&number.to_be_bytes())
}

fn range(size: u64) -> CompactRange {
    let mut range = CompactRange::new();
    (0..size).for_each(|n| range.push(leaf(n)));
    range
}

fn grown(mut history: History, size: u64) -> History {
    (history.size()..size).for_each(|n| history.push(leaf(n)));
    history
}

#[test]
fn it_knows_the_root_at_every_size() {
    let history = grown(History::new(), 300);
    for size in 0..=300 {
        assert_eq!(history.root_at(size), Some(range(size).root()), "{size}");
    }
    assert_eq!(history.root_at(301), None);
    assert_eq!((history.root(), History::new().root()), (range(300).root(), empty_root()));
    let kept: usize = history.levels.iter().map(Vec::len).sum();
    assert!(kept < 600, "two hashes an entry: {kept}");
}

#[test]
fn what_was_before_the_start_is_unknown() {
    for start in [1, 2, 7, 8, 255, 256, 300] {
        let history = grown(History::starting_at(&range(start)), start + 70);
        assert_eq!((history.start(), history.root_at(start - 1)), (start, (start == 1).then(empty_root)));
        for size in start..=start + 70 {
            assert_eq!(history.root_at(size), Some(range(size).root()), "{size} after {start}");
        }
    }
}

proptest! {
    #[test]
    fn it_goes_back_and_on(start in 0_u64..80, to in 0_u64..200, back in 0_u64..200) {
        let to = to.max(start);
        let mut history = grown(History::starting_at(&range(start)), to);
        history.truncate(back);
        let back = back.clamp(start, to);
        prop_assert_eq!(&history, &grown(History::starting_at(&range(start)), back));
        prop_assert_eq!(grown(history, to).root(), range(to).root());
    }

    #[test]
    fn its_proofs_verify(start in 0_u64..80, old in 0_u64..200, new in 0_u64..200) {
        let (old, new) = (old.max(start), new.max(old).max(start));
        let history = grown(History::starting_at(&range(start)), new);
        let proof = history.consistency_proof(old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, &range(old).root(), new, &range(new).root(), &proof), Ok(()));
        prop_assert_eq!(history.consistency_proof(new + 1, new), None);
    }
}
