use rollout::{Intent, Trouble};

use super::*;

fn held(hold: u32) -> (Run, Version, Version) {
    let of = |ordinal| canary(ordinal, Analysis { reports_hold: Some(hold), ..analysis() });
    let (one, two) = (of(1), of(2));
    let mut run = Run::new();
    run.telling = false;
    run.settle(&intent(&one, None), LIMIT).expect("the first release settles");
    run.world.borrow_mut().traffic = TRAFFIC;
    for _ in 0..40 {
        run.round(&intent(&one, None));
    }
    (run, one, two)
}

fn reported(two: &Version, one: &Version, reporters: u32, seen: u64) -> Intent {
    let trouble = Trouble { release: two.digest, reporters, seen };
    Intent { trouble: Some(trouble), ..intent(two, Some(one)) }
}

fn told(run: &Run) -> usize {
    let noted = run.noted();
    noted.filter(|n| matches!(n, Milestone::Reported { .. })).count()
}

#[test]
fn enough_reports_hold_the_share_until_somebody_has_looked() {
    let (mut run, one, two) = held(3);
    run.until(&intent(&two, Some(&one)), LIMIT, |p| phase(p) == Some(Phase::Step(0))).unwrap();
    // Two are too few, and so are a hundred with another version.
    let elsewhere = Trouble { release: one.digest, reporters: 100, seen: 0 };
    run.until(&reported(&two, &one, 2, 0), LIMIT, |p| phase(p) == Some(Phase::Step(1))).expect("two do not hold it");
    run.round(&Intent { trouble: Some(elsewhere), ..intent(&two, Some(&one)) });
    assert_eq!(told(&run), 0);
    // Three hold it for a minute, in which it would long have been promoted.
    let words = |p: &Plan| p.waits.iter().any(|w| matches!(w, Wait::Reported { reporters: 3, hold: 3, .. }));
    run.until(&reported(&two, &one, 3, 0), 2, words).expect("it says what it waits for");
    for _ in 0..240 {
        run.round(&reported(&two, &one, 3, 0));
    }
    assert_eq!(shares(&run), [5, 50], "nothing moves");
    assert_eq!(told(&run), 1, "people are told once");
    // Somebody looked; three more, whom nobody has heard, hold it again, and are told of.
    run.round(&reported(&two, &one, 3, 70));
    assert_eq!(told(&run), 2);
    let last = run.settle(&reported(&two, &one, 0, 90), LIMIT).expect("it goes on");
    assert!(matches!(last.outcome, Some(Outcome::Runs { judged: Some(true), .. })), "{:?}", last.outcome);
    sound(&run);
}

#[test]
fn a_hold_that_nobody_looks_at_goes_back_also_after_the_promotion() {
    let (mut run, one, two) = held(1);
    run.until(&intent(&two, Some(&one)), LIMIT, |p| phase(p) == Some(Phase::Kept)).unwrap();
    let last = run.settle(&reported(&two, &one, 4_000_000_000, 0), LIMIT).expect("it ends");
    let Some(Outcome::WentBack { why: BackReason::Undecided { limit_s: 120, waited_for }, .. }) = last.outcome else {
        panic!("{:?}", last.outcome)
    };
    assert!(waited_for.contains("people report trouble"), "{waited_for}");
    assert!(run.runs_alone(Some(&one)));
    sound(&run);
}

#[test]
fn a_flood_of_reports_neither_promotes_nor_keeps_a_bad_version() {
    let (mut run, one, two) = held(1);
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 2_000, ..Behaviour::default() });
    let last = run.settle(&reported(&two, &one, u32::MAX, 0), LIMIT).expect("it ends");
    assert!(
        matches!(last.outcome, Some(Outcome::WentBack { why: BackReason::Worse { .. }, .. })),
        "{:?}",
        last.outcome
    );
    assert_eq!(shares(&run), [5]);
    sound(&run);
}
