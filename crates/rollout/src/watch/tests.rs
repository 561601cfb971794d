//! Judgements, a row a case.

use super::*;

const RULE: Rule = Rule::ErrorShare { limit_bp: 100, min_requests: 20 };

fn serial() -> Serial {
    "paydesk-000002".parse().expect("a serial")
}

fn counts(rows: &[(&str, u64, u64)]) -> EdgeCounts {
    let row = |(component, requests, errors): &(&str, u64, u64)| VersionCounts {
        component: component.parse().expect("a component"),
        serial: serial(),
        requests: *requests,
        errors: *errors,
        in_flight: 0,
        clients: 0,
        held: 0,
        latency_us: Vec::new(),
        quantiles_us: Vec::new(),
    };
    EdgeCounts { versions: rows.iter().map(row).collect(), ..EdgeCounts::default() }
}

fn judged(before: &[(&str, u64, u64)], after: &[(&str, u64, u64)]) -> Judgement {
    judge(RULE, &baseline(&counts(before), &serial()), &counts(after), &serial())
}

#[test]
fn the_share_counts_from_enough_requests_on() {
    let tally = |requests, errors| Tally { requests, errors };
    let bad = |component: &str, tally| Judgement::Bad { component: component.parse().expect("a component"), tally };
    assert_eq!(judged(&[], &[]), Judgement::TooFew(tally(0, 0)));
    assert_eq!(judged(&[], &[("web", 19, 19)]), Judgement::TooFew(tally(19, 19)));
    assert_eq!(judged(&[], &[("web", 20, 0)]), Judgement::Good(tally(20, 0)));
    assert_eq!(judged(&[], &[("web", 20, 1)]), bad("web", tally(20, 1)));
    // Exactly the limit is within it.
    assert_eq!(judged(&[], &[("web", 100, 1)]), Judgement::Good(tally(100, 1)));
    assert_eq!(judged(&[], &[("web", 100, 2)]), bad("web", tally(100, 2)));
    // One bad component is enough; many good requests elsewhere do not thin its errors out.
    assert_eq!(judged(&[], &[("ledger", 20, 5), ("web", 100_000, 0)]), bad("ledger", tally(20, 5)));
}

#[test]
fn what_was_counted_before_does_not_count() {
    assert_eq!(
        judged(&[("web", 1_000, 500)], &[("web", 1_019, 500)]),
        Judgement::TooFew(Tally { requests: 19, errors: 0 })
    );
    assert_eq!(
        judged(&[("web", 1_000, 500)], &[("web", 1_050, 500)]),
        Judgement::Good(Tally { requests: 50, errors: 0 })
    );
}

#[test]
fn counters_that_shrank_are_of_an_edge_that_started_again() {
    assert_eq!(judged(&[("web", 1_000, 0)], &[("web", 30, 0)]), Judgement::Good(Tally { requests: 30, errors: 0 }));
}

#[test]
fn no_requests_are_never_good_even_if_none_are_asked_for() {
    let rule = Rule::ErrorShare { limit_bp: 100, min_requests: 0 };
    let none = counts(&[("web", 0, 0)]);
    assert_eq!(judge(rule, &[], &none, &serial()), Judgement::TooFew(Tally::default()));
}

#[test]
fn huge_counts_do_not_overflow() {
    assert!(matches!(judged(&[], &[("web", u64::MAX, u64::MAX), ("zeb", u64::MAX, 0)]), Judgement::Bad { .. }));
}
