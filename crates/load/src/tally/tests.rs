use super::*;

#[test]
fn a_failure_without_an_answer_has_no_latency_and_one_that_was_waited_for_has() {
    let mut tally = Tally::default();
    tally.end(Ok(()), 1_000_000);
    tally.end(Err(Failure::Connect), 10);
    tally.end(Err(Failure::Timeout), 10_000_000_000);
    tally.end(Err(Failure::Body), 2_000_000);
    assert_eq!(tally.latency.len(), 3);
    assert_eq!(tally.counts.right, 1);
    assert_eq!(tally.counts.failures(), 3);
    assert_eq!(tally.latency.max() / 10_000_000, 1_000);
}

#[test]
fn what_is_added_is_counted_once() {
    let (mut one, mut other) = (Tally::default(), Tally::default());
    one.counts.planned = 2;
    other.counts.planned = 3;
    other.end(Err(Failure::Status), 5_000);
    one.add(&other);
    assert_eq!((one.counts.planned, one.counts.failures(), one.latency.len()), (5, 1, 1));
    let at = Failure::ALL.iter().position(|f| *f == Failure::Status).unwrap();
    assert_eq!(one.counts.failed[at], 1);
}

#[test]
fn an_hour_and_nothing_are_recorded() {
    let mut tally = Tally::default();
    tally.end(Ok(()), 0);
    tally.end(Ok(()), u64::MAX);
    assert_eq!(tally.latency.len(), 2);
}
