use proptest::prelude::*;

use super::*;
use crate::{
    fixtures::{entries, fill, log_of, log_signer, statement, witness_signer},
    log::Log,
    note::NoteSigner,
};

const NOW: Timestamp = Timestamp::from_unix(10_000);

fn at(time: u64) -> Timestamp {
    Timestamp::from_unix(time)
}

fn witness(name: &str, number: u8, operator: &str) -> (WitnessKey, NoteSigner) {
    let signer = witness_signer(name, number);
    (WitnessKey { vkey: signer.vkey().clone(), operator: operator.to_owned() }, signer)
}

fn unwitnessed() -> Follower {
    Follower::new(log_signer().vkey().clone(), WitnessPolicy::unwitnessed())
}

fn note(log: &Log) -> Vec<u8> {
    log.head().to_bytes()
}

fn cosigned(log: &Log, by: &[(&NoteSigner, u64)]) -> Vec<u8> {
    let mut checkpoint = (*log.head()).clone();
    for (signer, time) in by {
        checkpoint.add(signer.sign(checkpoint.note().text(), at(*time)).unwrap());
    }
    checkpoint.to_bytes()
}

/// A log that is the same up to `same` entries and other from there on.
fn other_log(same: u64, size: u64) -> Log {
    let (log, _) = log_of(same);
    fill(&log, 1000 + same, 1000 + size);
    log
}

#[test]
fn it_goes_on_from_where_it_was() {
    let (log, _) = log_of(3);
    let mut follower = unwitnessed();
    follower.advance(&entries(&log), &note(&log), NOW).unwrap();
    assert_eq!((follower.size(), follower.range().root()), (3, log.head().root()));
    follower.advance::<Vec<u8>>(&[], &note(&log), NOW).unwrap();
    fill(&log, 3, 300);
    follower.advance(&entries(&log)[3..], &note(&log), NOW).unwrap();
    assert_eq!(follower.checkpoint(), Some(&*log.head()));
}

#[test]
fn a_log_that_shrinks_or_forks_is_refused_and_both_checkpoints_are_kept() {
    let (log, _) = log_of(5);
    let mut follower = unwitnessed();
    follower.advance(&entries(&log), &note(&log), NOW).unwrap();
    let before = follower.to_bytes();

    let smaller = other_log(4, 4);
    let Err(FollowError::Shrunk { ours: 5, theirs: 4, evidence }) =
        follower.advance::<Vec<u8>>(&[], &note(&smaller), NOW)
    else {
        panic!("a smaller log is not accepted")
    };
    assert_eq!((evidence.ours.clone(), evidence.theirs.clone()), (note(&log), note(&smaller)));
    assert!(!evidence.is_proof(log.vkey()), "an old checkpoint may be only old");

    let same_size = other_log(4, 5);
    let Err(FollowError::Forked { size: 5, evidence }) = follower.advance::<Vec<u8>>(&[], &note(&same_size), NOW)
    else {
        panic!("two roots for one size are not accepted")
    };
    assert!(evidence.is_proof(log.vkey()));
    assert!(evidence.to_bytes().len() > evidence.ours.len() + evidence.theirs.len());

    let larger = other_log(4, 8);
    let Err(FollowError::Forked { size: 8, .. }) = follower.advance(&entries(&larger)[5..], &note(&larger), NOW) else {
        panic!("a rewritten beginning is not accepted")
    };
    assert_eq!(follower.to_bytes(), before, "it stays where it was");
    fill(&log, 5, 8);
    follower.advance(&entries(&log)[5..], &note(&log), NOW).unwrap();
}

#[test]
fn entries_must_be_exactly_those_in_between() {
    let (log, _) = log_of(5);
    let all = entries(&log);
    let refused = |entries: &[Vec<u8>]| unwitnessed().advance(entries, &note(&log), NOW).unwrap_err();
    assert_eq!(refused(&all[..4]).to_string(), "4 entries were given for the 5 between the two checkpoints");
    let more = [all.clone(), vec![b"x".to_vec()]].concat();
    assert!(matches!(refused(&more), FollowError::Entries { given: 6, needed: 5 }));
    let mut swapped = all.clone();
    swapped.swap(1, 2);
    assert!(matches!(refused(&swapped), FollowError::Forked { .. }));
    let mut changed = all;
    changed[3] = statement(99).canonical_bytes();
    assert!(matches!(refused(&changed), FollowError::Forked { .. }));
}

#[test]
fn witnesses_are_counted_by_operator() {
    let (a1, sign_a1) = witness("a1.example", 11, "alpha");
    let (a2, sign_a2) = witness("a2.example", 12, "alpha");
    let (b, sign_b) = witness("b.example", 13, "beta");
    let (_, stranger) = witness("c.example", 14, "gamma");
    let policy = WitnessPolicy::new(vec![a1, a2, b], 2).unwrap();
    let (log, _) = log_of(3);
    let follower = || Follower::new(log.vkey().clone(), policy.clone());
    let try_with = |by: &[(&NoteSigner, u64)]| follower().advance(&entries(&log), &cosigned(&log, by), NOW);
    for by in [&[][..], &[(&sign_a1, 5)], &[(&sign_a1, 5), (&sign_a2, 6)], &[(&sign_b, 5), (&stranger, 6)]] {
        let have = usize::from(!by.is_empty());
        let error = try_with(by).unwrap_err().to_string();
        assert_eq!(error, format!("{have} of 2 witness operators have cosigned the checkpoint"));
    }
    try_with(&[(&sign_a1, 5), (&sign_b, 6)]).unwrap();
    let mut forged = (*log.head()).clone();
    forged.add(sign_a1.sign("another text\n", at(5)).unwrap());
    forged.add(sign_b.sign(forged.note().text(), at(5)).unwrap());
    assert!(matches!(follower().advance(&entries(&log), &forged.to_bytes(), NOW), Err(FollowError::Cosignature(_))));
}

#[test]
fn the_time_is_when_the_quorum_had_cosigned() {
    let (a, sign_a) = witness("a.example", 11, "alpha");
    let (b, sign_b) = witness("b.example", 12, "beta");
    let (c, sign_c) = witness("c.example", 13, "gamma");
    let policy = WitnessPolicy::new(vec![a, b, c], 2).unwrap();
    let (log, _) = log_of(1);
    let mut follower = Follower::new(log.vkey().clone(), policy);
    assert_eq!(follower.fresh(NOW, 60), Err(StaleError::None));
    let first = cosigned(&log, &[(&sign_a, 9_000), (&sign_b, 9_500), (&sign_c, 9_900)]);
    follower.advance(&entries(&log), &first, at(1)).unwrap();
    let fresh = follower.fresh(NOW, 500).unwrap();
    assert_eq!((fresh.time(), fresh.size(), fresh.root()), (at(9_500), 1, log.head().root()));
    assert!(fresh.is_witnessed());
    assert_eq!(follower.fresh(NOW, 499), Err(StaleError::Old { age_s: 500, max_age_s: 499 }));
    let again = cosigned(&log, &[(&sign_a, 9_950), (&sign_c, 9_900)]);
    follower.advance::<Vec<u8>>(&[], &again, at(1)).unwrap();
    assert_eq!(follower.fresh(NOW, 100).unwrap().time(), at(9_900), "an idle log is cosigned again");
    follower.advance::<Vec<u8>>(&[], &first, at(1)).unwrap();
    assert_eq!(follower.fresh(NOW, 100).unwrap().time(), at(9_900), "an older cosigning takes nothing back");
    assert_eq!(follower.fresh(at(9_500), 100), Err(StaleError::Future { time: at(9_900) }));
    // Whatever this clock is behind, the checkpoint may be older than it seems: no more than is allowed for its age.
    assert_eq!(follower.fresh(at(9_799), 100), Err(StaleError::Future { time: at(9_900) }));
    follower.fresh(at(9_800), 100).unwrap();
    assert_eq!(follower.fresh(at(9_599), 1_000), Err(StaleError::Future { time: at(9_900) }));
    follower.fresh(at(9_600), 1_000).unwrap();
}

#[test]
fn without_witnesses_the_time_is_that_of_receipt() {
    let (log, _) = log_of(1);
    let mut follower = unwitnessed();
    follower.advance(&entries(&log), &note(&log), at(9_990)).unwrap();
    let fresh = follower.fresh(NOW, 10).unwrap();
    assert_eq!((fresh.time(), fresh.is_witnessed()), (at(9_990), false));
    assert!(follower.fresh(NOW, 9).is_err());
}

#[test]
fn policies_that_can_not_be_met_are_refused() {
    let (a1, _) = witness("a1.example", 11, "alpha");
    let (a2, _) = witness("a2.example", 12, "alpha");
    let error = WitnessPolicy::new(vec![a1.clone(), a2], 2).unwrap_err().to_string();
    assert_eq!(error, "2 witness operators are asked for, but there are 1");
    let (renamed, _) = witness("other.example", 11, "beta");
    assert_eq!(WitnessPolicy::new(vec![a1, renamed], 1), Err(PolicyError::Twice("other.example".to_owned())));
    let log_key = WitnessKey { vkey: log_signer().vkey().clone(), operator: "x".to_owned() };
    assert!(matches!(WitnessPolicy::new(vec![log_key], 1), Err(PolicyError::Type(_))));
}

#[test]
fn what_is_kept_goes_on_and_is_checked() {
    let (log, _) = log_of(13);
    let mut follower = unwitnessed();
    let open = |bytes: &[u8]| Follower::from_bytes(log_signer().vkey().clone(), WitnessPolicy::unwitnessed(), bytes);
    assert_eq!(open(&follower.to_bytes()).unwrap().size(), 0);
    follower.advance(&entries(&log), &note(&log), at(9_990)).unwrap();
    let kept = follower.to_bytes();
    let mut again = open(&kept).unwrap();
    assert_eq!(again.to_bytes(), kept);
    assert_eq!(again.fresh(NOW, 10), follower.fresh(NOW, 10));
    fill(&log, 13, 20);
    again.advance(&entries(&log)[13..], &note(&log), NOW).unwrap();
    let text = String::from_utf8(kept.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(matches!(open(text.replace(lines[2], lines[3]).as_bytes()), Err(KeptError::Root)));
    assert!(matches!(open(text.replace(&format!("{}\n", lines[3]), "").as_bytes()), Err(KeptError::Root)));
    assert!(matches!(open(text.replace("/v1", "/v2").as_bytes()), Err(KeptError::Malformed)));
    assert!(matches!(open(text.replace("\n13\n", "\n14\n").as_bytes()), Err(KeptError::Checkpoint(_))));
    assert!(open(&kept[..kept.len() / 2]).is_err());
    let second_line = text.lines().nth(1).unwrap();
    for other in [format!("0{second_line}"), format!("+{second_line}")] {
        let respelt = text.replacen(second_line, &other, 1);
        assert!(open(respelt.as_bytes()).is_err(), "{other}: a time has one spelling");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_follower_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 1..300), at in 0_usize..500, to in any::<u8>()) {
        let open = |bytes: &[u8]| Follower::from_bytes(log_signer().vkey().clone(), WitnessPolicy::unwitnessed(), bytes);
        prop_assert!(open(&bytes).is_err());
        let (log, _) = log_of(5);
        let mut follower = unwitnessed();
        follower.advance(&entries(&log), &note(&log), NOW).unwrap();
        let mut changed = follower.to_bytes();
        let at = at % changed.len();
        changed[at] = to;
        if let Ok(read) = open(&changed) {
            prop_assert_eq!(read.range(), follower.range(), "only the time is not signed");
        }
    }
}
