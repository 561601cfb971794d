//! What components count decides like what the edge counts; a figure that may never be another goes back at once; and what
//! can not be read never goes forward.

use model::release::{Analysis, Cohort, Counter, Invariant, Margins, Readings, Strategy, Worse};
use rollout::{
    Outcome, Plan, Version,
    comparison::{Metric, Phase, Saying},
    milestone::{Compared, Milestone},
    progress::{Forward, State},
    reason::BackReason,
};

use crate::{
    rollout_run::{KILLS, Run, intent, paydesk, version},
    speaking::{BROKEN, Broken, IMBALANCE, PAYMENTS, REJECTED, Speech},
};

/// Simulated minutes.
const LIMIT: u32 = 1_600;
/// Seconds that something may be unreadable.
const UNREADABLE_S: u32 = 6;

fn readings() -> Readings {
    let counter = Counter {
        component: "web".parse().unwrap(),
        path: "/metrics".to_owned(),
        name: REJECTED.parse().unwrap(),
        of: PAYMENTS.parse().unwrap(),
        worse: Worse::More,
        ratio_percent: 125,
        added_ppm: 1_000,
        promote_ratio_percent: 300,
        promote_added_ppm: 50_000,
    };
    let invariant = Invariant {
        component: "payments".parse().unwrap(),
        path: "/money".to_owned(),
        name: IMBALANCE.parse().unwrap(),
        equals: 0,
    };
    Readings { unreadable_s: UNREADABLE_S, counters: vec![counter], invariants: vec![invariant] }
}

fn analysis() -> Analysis {
    Analysis {
        steps: vec![5, 50],
        step_s: 3,
        keep_percent: 10,
        undecided_s: 200,
        silence_s: 10,
        tick_ms: 1_000,
        identity: Vec::new(),
        cohort: None,
        margins: Margins { promote_added_ppm: 10_000, ..Margins::default() },
        reports_hold: None,
        readings: Some(readings()),
    }
}

fn canary(ordinal: u64, analysis: Option<Analysis>) -> Version {
    let mut release = paydesk(ordinal, &[]).release;
    for environment in &mut release.environments {
        environment.strategy = Strategy::Canary;
        environment.analysis.clone_from(&analysis);
        environment.watch_s = 4;
    }
    version(release, ordinal * 10)
}

fn up_with(first: Option<Analysis>, second: Option<Analysis>) -> (Run, Version, Version) {
    let (one, two) = (canary(1, first), canary(2, second));
    let mut run = Run::new();
    run.telling = false;
    run.settle(&intent(&one, None), LIMIT).expect("the first release settles");
    run.world.borrow_mut().traffic = 100;
    for _ in 0..40 {
        run.round(&intent(&one, None));
    }
    (run, one, two)
}

fn up() -> (Run, Version, Version) {
    up_with(Some(analysis()), Some(analysis()))
}

fn ended(run: &mut Run, two: &Version, one: &Version) -> Plan {
    run.settle(&intent(two, Some(one)), LIMIT).unwrap_or_else(|| panic!("settles: {:#?}", run.progress().state))
}

fn phase(plan: &Plan) -> Option<Phase> {
    match &plan.progress.state {
        State::Forward { stage: Forward::Comparing { phase, .. }, .. } => Some(*phase),
        _ => None,
    }
}

fn shares(run: &Run) -> Vec<u8> {
    let noted = run.noted();
    noted
        .filter_map(|n| match n {
            Milestone::Stepped { share, .. } => Some(*share),
            _ => None,
        })
        .collect()
}

/// What goes into the log of counters, or of invariants.
fn said(run: &Run, of: impl Fn(&Metric) -> bool) -> Vec<Compared> {
    let noted = run.noted();
    let all = noted.filter_map(|n| match n {
        Milestone::Compared(compared) => Some((**compared).clone()),
        _ => None,
    });
    all.filter(|c| c.metrics.iter().all(&of)).collect()
}

fn counters(run: &Run) -> Vec<Compared> {
    said(run, |m| matches!(m, Metric::Counter(_)))
}

fn invariants(run: &Run) -> Vec<Compared> {
    said(run, |m| matches!(m, Metric::Invariant(_)))
}

/// The answers computed again from what goes into the log, as an auditor does.
fn replayed(told: &[Compared]) {
    let mut analysis = stats::Analysis::new(told.first().expect("something was read").plan.clone()).unwrap();
    let mut next = 0;
    for statement in told {
        assert_eq!(statement.first, next);
        next += statement.ticks.len() as u64;
        for tick in &statement.ticks {
            let count = |c: &[u32; 4]| stats::Counts {
                trial_units: c[0],
                trial_flagged: c[1],
                control_units: c[2],
                control_flagged: c[3],
            };
            let counts = tick.counts.iter().map(count).collect();
            let tick = stats::Tick { trial_requests: tick.requests, control_requests: tick.other_requests, counts };
            analysis.step(&tick).unwrap();
        }
        let again = match analysis.answer() {
            stats::Answer::NotYet { .. } => Saying::NotYet,
            stats::Answer::GoBack { .. } => Saying::GoBack,
            stats::Answer::Promote => Saying::Promote,
        };
        assert_eq!(again, statement.answer);
    }
}

fn went_back(last: &Plan) -> BackReason {
    match &last.outcome {
        Some(Outcome::WentBack { why, .. }) => why.clone(),
        other => panic!("{other:?}"),
    }
}

fn speaks(run: &mut Run, ordinal: u64, speech: Speech) {
    run.speakers.speeches.insert(ordinal, speech);
}

#[test]
fn a_version_that_counts_no_worse_is_promoted_and_every_answer_is_in_the_log() {
    let (mut run, one, two) = up();
    let last = ended(&mut run, &two, &one);
    assert!(matches!(last.outcome, Some(Outcome::Runs { judged: Some(true), .. })), "{:?}", last.outcome);
    assert_eq!(shares(&run), [5, 50, 90]);
    let (counters, invariants) = (counters(&run), invariants(&run));
    replayed(&counters);
    replayed(&invariants);
    let units = |c: &[u32; 4]| (c[0], c[2]);
    assert!(counters.iter().flat_map(|c| &c.ticks).any(|t| units(&t.counts[0]) == (2, 2)), "two replicas of each");
    assert!(invariants.iter().flat_map(|c| &c.ticks).all(|t| t.counts == [[1, 0, 0, 0]]));
    assert_eq!(run.breaches(), Vec::<String>::new());
    // Of one chance of a false alarm a fifth is the counter's and the rest the edge's.
    assert_eq!(counters[0].plan.alpha_ppm, 2_000);
    let edge = said(&run, |m| matches!(m, Metric::Edge(_)));
    assert_eq!(edge[0].plan.alpha_ppm, 8_000);
}

#[test]
fn a_version_that_rejects_more_goes_back_though_every_answer_was_in_time() {
    let (mut run, one, two) = up();
    speaks(&mut run, 2, Speech { rejected_bp: 1_500, ..Speech::default() });
    let last = ended(&mut run, &two, &one);
    let BackReason::Worse { component, what, times } = went_back(&last) else { panic!("{:?}", last.outcome) };
    assert_eq!(component.as_str(), "web");
    assert_eq!(what, "more of `payments_total` are `payments_rejected_total`");
    assert!(times >= 500, "{times}");
    replayed(&counters(&run));
    assert_eq!(counters(&run).last().unwrap().answer, Saying::GoBack);
    assert!(run.runs_alone(Some(&one)));
}

#[test]
fn fewer_is_worse_where_it_was_said_to_be() {
    let fewer = |mut analysis: Analysis| {
        for counter in analysis.readings.iter_mut().flat_map(|r| &mut r.counters) {
            counter.worse = Worse::Fewer;
        }
        Some(analysis)
    };
    let (mut run, one, two) = up_with(fewer(analysis()), fewer(analysis()));
    speaks(&mut run, 1, Speech { rejected_bp: 9_500, ..Speech::default() });
    speaks(&mut run, 2, Speech { rejected_bp: 7_000, ..Speech::default() });
    let why = went_back(&ended(&mut run, &two, &one)).to_string();
    assert!(why.contains("fewer of `payments_total` are `payments_rejected_total`"), "{why}");
}

#[test]
fn money_out_of_balance_goes_back_at_the_first_look_in_every_phase() {
    let cohort = Cohort { alone_s: 4, named: vec!["token:ada".to_owned()], claims: Vec::new() };
    let with = Analysis { cohort: Some(cohort), ..analysis() };
    for at in [Phase::Cohort, Phase::Step(0), Phase::Step(1), Phase::Kept] {
        let (mut run, one, two) = up_with(Some(with.clone()), Some(with.clone()));
        let go = intent(&two, Some(&one));
        run.until(&go, LIMIT, |p| phase(p) == Some(at)).unwrap_or_else(|| panic!("{at:?}"));
        speaks(&mut run, 2, Speech { imbalance: -0.01, ..Speech::default() });
        // Asked once a second.
        let back = run.until(&go, 6, |p| matches!(p.progress.state, State::Back { .. }));
        assert!(back.is_some(), "{at:?}");
        let why = went_back(&ended(&mut run, &two, &one));
        assert_eq!(
            why.to_string(),
            "payments is worse than before: `imbalance_cents` is not 0, which must never happen"
        );
        let told = invariants(&run);
        replayed(&told);
        assert_eq!(told.last().unwrap().answer, Saying::GoBack, "{at:?}");
        assert!(run.runs_alone(Some(&one)));
    }
    // The old version's own figures are no fault of the new one.
    let (mut run, one, two) = up();
    speaks(&mut run, 1, Speech { imbalance: 5.0, ..Speech::default() });
    assert!(matches!(ended(&mut run, &two, &one).outcome, Some(Outcome::Runs { .. })));
}

#[test]
fn what_can_not_be_read_never_goes_forward_and_then_goes_back() {
    // Of the old version only counters are read.
    for (ordinal, from) in [(2, Phase::Step(0)), (1, Phase::Step(0)), (2, Phase::Kept)] {
        let (mut before, one, two) = up();
        before.until(&intent(&two, Some(&one)), LIMIT, |p| phase(p) == Some(from)).unwrap();
        for broken in BROKEN {
            let mut run = before.fork();
            speaks(&mut run, ordinal, Speech { broken: Some(broken), ..Speech::default() });
            let why = went_back(&ended(&mut run, &two, &one));
            let BackReason::NotRead { limit_s, .. } = &why else { panic!("{broken:?} {ordinal}: {why}") };
            assert_eq!(*limit_s, UNREADABLE_S);
            let promoted = shares(&run).contains(&90);
            assert_eq!(promoted, from == Phase::Kept, "{broken:?} {ordinal}: {:?}", shares(&run));
            assert!(run.runs_alone(Some(&one)));
        }
    }
}

#[test]
fn nobody_asking_is_not_good_either() {
    let (mut run, one, two) = up();
    run.speakers.unasked = true;
    let why = went_back(&ended(&mut run, &two, &one)).to_string();
    assert!(why.contains("could not be read for 6 s: nothing was read since"), "{why}");
    assert_eq!(shares(&run), [5], "never raised");
}

#[test]
fn a_moment_of_silence_holds_and_then_it_goes_on() {
    let (mut run, one, two) = up();
    let go = intent(&two, Some(&one));
    run.until(&go, LIMIT, |p| phase(p) == Some(Phase::Step(0))).unwrap();
    speaks(&mut run, 2, Speech { broken: Some(Broken::Silent), ..Speech::default() });
    let mut words = String::new();
    for _ in 0..16 {
        let plan = run.round(&go);
        words = plan.waits.iter().map(ToString::to_string).collect();
    }
    assert!(words.contains("can not be read: production.paydesk-000002.web.2: no answer within 1000 ms"), "{words}");
    assert_eq!(shares(&run), [5]);
    speaks(&mut run, 2, Speech::default());
    assert!(matches!(ended(&mut run, &two, &one).outcome, Some(Outcome::Runs { .. })));
}

#[test]
fn a_counter_at_which_nothing_happens_is_not_yet_and_then_back() {
    let (mut run, one, two) = up();
    for ordinal in [1, 2] {
        speaks(&mut run, ordinal, Speech { payments: 0, ..Speech::default() });
    }
    let last = ended(&mut run, &two, &one);
    let BackReason::Undecided { waited_for, .. } = went_back(&last) else { panic!("{:?}", last.outcome) };
    assert!(
        waited_for.contains("web needs something to happen that `payments_rejected_total` is counted of"),
        "{waited_for}"
    );
    assert!(!shares(&run).contains(&90));
}

#[test]
fn an_old_instance_that_starts_again_counts_anew_and_nothing_is_held_against_anybody() {
    let (mut run, one, two) = up();
    let go = intent(&two, Some(&one));
    run.until(&go, LIMIT, |p| phase(p) == Some(Phase::Step(0))).unwrap();
    run.world.borrow_mut().excused = true;
    run.world.borrow_mut().kill(&"production.paydesk-000001.web.1".parse().unwrap());
    let last = ended(&mut run, &two, &one);
    assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{:?}", last.outcome);
    replayed(&counters(&run));
}

#[test]
fn a_change_can_not_do_without_the_counters_of_before_and_brings_its_own_for_the_next() {
    // Left out of the new manifest, it is compared all the same.
    let without = Analysis { readings: None, ..analysis() };
    for second in [Some(without.clone()), None] {
        let (mut run, one, two) = up_with(Some(analysis()), second);
        speaks(&mut run, 2, Speech { rejected_bp: 2_000, ..Speech::default() });
        let why = went_back(&ended(&mut run, &two, &one));
        assert!(matches!(why, BackReason::Worse { .. }), "{why}");
    }
    // Only in the new one: the old version never promised to have it, but figures are asked for at once.
    for first in [Some(without), None] {
        let (mut run, one, two) = up_with(first, Some(analysis()));
        speaks(&mut run, 1, Speech { broken: Some(Broken::Missing), ..Speech::default() });
        let last = ended(&mut run, &two, &one);
        assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{:?}", last.outcome);
        assert!(counters(&run).is_empty() && !invariants(&run).is_empty());
    }
}

#[test]
fn killed_anywhere_it_comes_to_the_same_and_counts_no_tick_twice() {
    let (before, one, two) = up();
    let busy = {
        let mut run = before.fork();
        ended(&mut run, &two, &one);
        run.busy
    };
    for round in (0..busy).step_by(97) {
        for kill in KILLS {
            let mut run = before.fork();
            run.kill = Some((round, kill));
            let last = ended(&mut run, &two, &one);
            assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{round} {kill:?}: {:?}", last.outcome);
            replayed(&counters(&run));
            replayed(&invariants(&run));
        }
    }
}
