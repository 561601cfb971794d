use super::*;
use crate::{
    fixtures::{entries, fill, log_of, log_signer, witness_signer},
    log::Log,
    merkle::History,
};

fn history(log: &Log) -> History {
    let mut history = History::new();
    entries(log).iter().for_each(|entry| history.push_entry(entry));
    history
}

fn note(log: &Log) -> Vec<u8> {
    log.head().to_bytes()
}

/// The same up to `same` entries and other from there on.
fn other(same: u64, size: u64) -> Log {
    let (log, _) = log_of(same);
    fill(&log, 1000 + same, 1000 + size);
    log
}

/// What a pair of checkpoints shows, read back from its file as somebody else would.
fn judged(fork: &Fork) -> Result<Finding, ForkError> {
    Fork::parse(&fork.to_bytes()).unwrap().judge(log_signer().vkey())
}

#[test]
fn what_two_checkpoints_prove() {
    let (vkey, (log, _)) = (log_signer().vkey().clone(), log_of(12));
    let two = |a: &Log, b: &Log| Fork::new(note(a), note(b));
    assert_eq!(judged(&two(&log, &other(11, 12))).unwrap(), Finding::TwoRoots { size: 12 });
    for (same, at, size) in [(3, 12, 20), (11, 12, 13), (0, 12, 300)] {
        let larger = other(same, size);
        let bare = two(&log, &larger);
        assert_eq!(judged(&bare).unwrap(), Finding::Unproven { at, size }, "notes alone may be of one log");
        let nodes = bare.clone().with_nodes(&vkey, &history(&larger));
        assert_eq!(judged(&nodes).unwrap(), Finding::Rewritten { at, size });
        let proof = larger.consistency_proof(at, size).unwrap();
        assert_eq!(bare.with_proof(&vkey, &proof), nodes, "the proof that a forked log sends shows the same");
        let shrunk = two(&larger, &log).with_nodes(&vkey, &history(&larger));
        assert_eq!(judged(&shrunk).unwrap(), Finding::Rewritten { at, size }, "whichever was accepted first");
    }
}

#[test]
fn an_honest_log_is_not_accused() {
    let (vkey, (log, _)) = (log_signer().vkey().clone(), log_of(12));
    let before = note(&log);
    fill(&log, 12, 20);
    let fork = Fork::new(before.clone(), note(&log));
    assert_eq!(fork.clone().with_nodes(&vkey, &history(&log)), fork);
    assert_eq!(fork.clone().with_proof(&vkey, &log.consistency_proof(12, 20).unwrap()), fork);
    assert_eq!(fork.clone().with_nodes(&vkey, &history(&other(2, 20))), fork, "hashes of something else");
    assert!(matches!(judged(&Fork::new(before.clone(), before)), Err(ForkError::Same)));
    let empty = Fork::new(note(&log_of(0).0), note(&log)).with_nodes(&vkey, &history(&log));
    assert_eq!(judged(&empty).unwrap(), Finding::Unproven { at: 0, size: 20 });
}

#[test]
fn evidence_that_was_made_up_is_none() {
    let (log, _) = log_of(12);
    let larger = other(3, 20);
    let vkey = log_signer().vkey().clone();
    let good = Fork::new(note(&log), note(&larger)).with_nodes(&vkey, &history(&larger));
    let mut wrong_root = good.clone();
    wrong_root.shown.as_mut().unwrap().root = Digest::of(b"x");
    assert!(!wrong_root.is_proof(&vkey), "a root that the proof does not lead to");
    let mut cut = good.clone();
    cut.shown.as_mut().unwrap().proof.pop();
    assert!(!cut.is_proof(&vkey));
    let stranger = witness_signer("countersign.example/log", 7);
    assert!(matches!(good.judge(stranger.vkey()), Err(ForkError::Checkpoint(_))), "of another log");
    let bytes = good.to_bytes();
    let text = String::from_utf8(bytes.clone()).unwrap();
    for bad in [
        "",
        "countersign-fork/v1 1 1\n",
        "countersign-fork/v1 99999999999999999999 1\n",
        &text.replacen("v1", "v2", 1),
        &text[..text.len() - 1],
        &format!("{text}x"),
    ] {
        assert!(matches!(Fork::parse(bad.as_bytes()), Err(ForkError::Malformed)), "{bad}");
    }
}

#[test]
fn evidence_is_kept_once_and_not_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || fs::read_dir(folder.path()).unwrap().count();
    for _ in 0..3 {
        keep(folder.path(), "fork", b"one").unwrap();
    }
    assert_eq!(kept(), 1);
    for n in 0..KEPT_LIMIT + 5 {
        durable::write(&folder.path().join(format!("many-{n}.txt")), b"x", 0o600).unwrap();
    }
    keep(folder.path(), "many", b"one more").unwrap();
    assert_eq!(kept(), 1 + KEPT_LIMIT + 5);
    keep(folder.path(), "fork", b"two").unwrap();
    assert_eq!(kept(), 2 + KEPT_LIMIT + 5, "each kind has its own limit");
}
