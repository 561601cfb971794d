//! What is away is asked for again and again; a mistake is not repeated for ever.

use model::Timestamp;

use super::{AWAY_S, MISTAKE_S, Setback};
use crate::fault::{Fault, Kind};

/// The pauses until each next try, as long as there is one.
fn pauses(kind: Kind, tries: usize) -> Vec<u64> {
    let fault = Fault::new(kind, "no");
    let mut now = Timestamp::default();
    let mut setback = Setback::after(None, &fault, now);
    let mut pauses = Vec::new();
    for _ in 0..tries {
        let Some(pause) = (0..=4_000).find(|s| setback.is_due(now.plus_s(*s))) else { break };
        pauses.push(pause);
        now = now.plus_s(pause);
        setback = Setback::after(Some(&setback), &fault, now);
    }
    pauses
}

#[test]
fn a_mistake_is_tried_a_few_times() {
    assert_eq!(pauses(Kind::Input, 10), MISTAKE_S);
}

#[test]
fn what_is_away_is_tried_for_ever() {
    let mut expected = AWAY_S.to_vec();
    expected.extend([300; 4]);
    assert_eq!(pauses(Kind::Unavailable, 10), expected);
}

#[test]
fn another_kind_of_failure_counts_anew() {
    let away = Setback::after(None, &Fault::new(Kind::Unavailable, "no"), Timestamp::default());
    let mistake = Setback::after(Some(&away), &Fault::new(Kind::Input, "wrong"), Timestamp::default());
    assert_eq!(mistake.times, 1);
    assert_eq!(
        mistake.fault("the build of change 3").message(),
        "the build of change 3 failed at 1970-01-01T00:00:00Z: wrong"
    );
}
