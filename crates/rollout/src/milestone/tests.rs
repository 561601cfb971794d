//! The outbox: nothing lost, nothing doubled, and a limit.

use super::*;

fn restarted() -> Milestone {
    Milestone::Restarted { instance: "production.paydesk-000001.web.1".parse().expect("an instance"), times: 1 }
}

#[test]
fn numbers_go_on_after_the_log_has_some() {
    let mut outbox = Outbox::default();
    outbox.note(restarted());
    outbox.note(restarted());
    outbox.logged(0);
    outbox.note(restarted());
    let numbers: Vec<u64> = outbox.waiting().iter().map(|n| n.number).collect();
    assert_eq!(numbers, [1, 2]);
    outbox.logged(2);
    outbox.note(restarted());
    assert_eq!(outbox.waiting().first().map(|n| n.number), Some(3));
}

#[test]
fn a_full_outbox_still_takes_what_matters() {
    let mut outbox = Outbox::default();
    for _ in 0..OUTBOX_LIMIT + 10 {
        outbox.note(restarted());
    }
    assert_eq!(outbox.waiting().len(), OUTBOX_LIMIT);
    outbox.note(Milestone::Held { component: "ledger".parse().expect("a component") });
    assert_eq!(outbox.waiting().len(), OUTBOX_LIMIT + 1);
}
