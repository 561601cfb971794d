//! A good version is promoted, a bad one goes back before many were served by it, and nothing that happens to both
//! versions, to the edge or to the agent is held against the new one.

mod together;
mod trouble;

use model::release::{Analysis, Margins, Strategy};
use rollout::{
    Leave, Outcome, Plan, Version,
    comparison::{Phase, Saying},
    milestone::{Compared, Milestone},
    progress::{Forward, State},
    reason::{BackReason, Wait},
};

use crate::{
    rollout_run::{KILLS, Run, intent, paydesk, version},
    world::{Behaviour, TICK_MS},
};

/// Five simulated minutes.
const LIMIT: u32 = 1_200;
/// Requests each moment: 400 a second.
const TRAFFIC: u64 = 100;

fn analysis() -> Analysis {
    Analysis {
        steps: vec![5, 50],
        step_s: 3,
        keep_percent: 10,
        undecided_s: 120,
        silence_s: 10,
        tick_ms: 1_000,
        identity: Vec::new(),
        cohort: None,
        // A wide margin to go on, so that a simulated minute is enough.
        margins: Margins { promote_added_ppm: 10_000, ..Margins::default() },
        readings: None,
        reports_hold: None,
    }
}

fn canary(ordinal: u64, analysis: Analysis) -> Version {
    let mut version_of = paydesk(ordinal, &[]).release;
    for environment in &mut version_of.environments {
        environment.strategy = Strategy::Canary;
        environment.analysis = Some(analysis.clone());
        environment.watch_s = 4;
    }
    version(version_of, ordinal * 10)
}

/// The first version is up, with clients.
fn up() -> (Run, Version, Version) {
    let (one, two) = (canary(1, analysis()), canary(2, analysis()));
    let mut run = Run::new();
    run.telling = false;
    run.settle(&intent(&one, None), LIMIT).expect("the first release settles");
    run.world.borrow_mut().traffic = TRAFFIC;
    for _ in 0..40 {
        run.round(&intent(&one, None));
    }
    (run, one, two)
}

fn phase(plan: &Plan) -> Option<Phase> {
    match &plan.progress.state {
        State::Forward { stage: Forward::Comparing { phase, .. }, .. } => Some(*phase),
        _ => None,
    }
}

fn ended(run: &mut Run, two: &Version, one: &Version) -> Plan {
    run.settle(&intent(two, Some(one)), LIMIT).unwrap_or_else(|| panic!("settles: {:#?}", run.progress().state))
}

fn compared(run: &Run) -> Vec<Compared> {
    let noted = run.noted();
    noted
        .filter_map(|n| match n {
            Milestone::Compared(compared) => Some((**compared).clone()),
            _ => None,
        })
        .collect()
}

/// The answers computed again from what goes into the log, as an auditor does.
fn replayed(told: &[Compared]) {
    let plan = told.first().expect("something was counted").plan.clone();
    let mut analysis = stats::Analysis::new(plan).unwrap();
    for statement in told {
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

fn shares(run: &Run) -> Vec<u8> {
    let noted = run.noted();
    noted
        .filter_map(|n| match n {
            Milestone::Stepped { share, .. } => Some(*share),
            _ => None,
        })
        .collect()
}

fn sound(run: &Run) {
    assert_eq!(run.breaches(), Vec::<String>::new());
}

fn errors(run: &Run, ordinal: u64) -> u64 {
    let counts = run.world.borrow().counts();
    counts
        .versions
        .iter()
        .filter(|v| v.component.as_str() == "web" && v.serial.ordinal() == ordinal)
        .map(|v| v.errors)
        .sum()
}

#[test]
fn a_good_version_gets_clients_step_by_step_and_then_all() {
    let (mut run, one, two) = up();
    let last = ended(&mut run, &two, &one);
    assert!(matches!(last.outcome, Some(Outcome::Runs { judged: Some(true), .. })), "{:?}", last.outcome);
    assert_eq!(shares(&run), [5, 50, 90]);
    assert!(run.runs_alone(Some(&two)));
    sound(&run);
    // Every tick is in what goes into the log, once and in order, at the share that it had.
    let told = compared(&run);
    replayed(&told);
    let mut next = 0;
    for statement in &told {
        assert_eq!(statement.first, next);
        next += statement.ticks.len() as u64;
        for tick in &statement.ticks {
            assert!(tick.counts.iter().all(|c| c[0] == u32::from(tick.share) && c[0] + c[2] == 100), "{tick:?}");
        }
    }
    assert!(next > 10 && told.last().unwrap().ticks.last().unwrap().share == 90);
}

#[test]
fn a_bad_version_goes_back_before_many_were_served_by_it() {
    let (mut run, one, two) = up();
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 500, ..Behaviour::default() });
    let last = ended(&mut run, &two, &one);
    let Some(Outcome::WentBack { why: BackReason::Worse { component, what, times }, .. }) = last.outcome else {
        panic!("{:?}", last.outcome)
    };
    assert_eq!((component.as_str(), what.as_str()), ("web", "more requests fail"));
    assert!(times >= 100, "{times}");
    assert_eq!(shares(&run)[0], 5);
    assert!(run.runs_alone(Some(&one)));
    sound(&run);
    replayed(&compared(&run));
    assert_eq!(compared(&run).last().unwrap().answer, Saying::GoBack);
    // Of some 2,000 requests a 5 s at 5 % of clients, one in 20 fails: a handful until it is clear.
    assert!(errors(&run, 2) < 60, "{}", errors(&run, 2));
}

#[test]
fn what_happens_to_both_is_not_held_against_the_new_one() {
    let (mut run, one, two) = up();
    for ordinal in [1, 2] {
        run.world.borrow_mut().behave(ordinal, "payments", Behaviour { error_bp: 300, ..Behaviour::default() });
    }
    run.until(&intent(&two, Some(&one)), LIMIT, |p| phase(p) == Some(Phase::Step(1))).expect("raised in the incident");
    for ordinal in [1, 2] {
        run.world.borrow_mut().behave(ordinal, "payments", Behaviour::default());
    }
    let last = ended(&mut run, &two, &one);
    assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{:?}", last.outcome);
    sound(&run);
}

#[test]
fn without_clients_it_is_not_yet_then_an_alarm_then_back() {
    let (mut run, one, two) = up();
    run.world.borrow_mut().traffic = 0;
    let go = intent(&two, Some(&one));
    let waits =
        run.until(&go, LIMIT, |p| phase(p).is_some() && p.waits.iter().any(|w| matches!(w, Wait::Comparing { .. })));
    let said: Vec<String> = waits.unwrap().waits.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|w| w.contains("needs requests to both versions")), "{said:?}");
    let quiet = |run: &Run| run.noted().any(|n| matches!(n, Milestone::Quiet { .. }));
    assert!(!quiet(&run));
    let last = ended(&mut run, &two, &one);
    assert!(quiet(&run), "people are told");
    assert!(
        matches!(last.outcome, Some(Outcome::WentBack { why: BackReason::Undecided { limit_s: 120, .. }, .. })),
        "{:?}",
        last.outcome
    );
    assert_eq!(shares(&run), [5], "never raised without clients");
    sound(&run);
}

#[test]
fn a_halt_freezes_the_share_and_still_lets_it_go_back() {
    let (mut run, one, two) = up();
    let go = intent(&two, Some(&one));
    run.until(&go, LIMIT, |p| phase(p) == Some(Phase::Step(0))).unwrap();
    let mut halted = go.clone();
    halted.leave = Leave::Halted;
    for _ in 0..200 {
        run.round(&halted);
    }
    assert_eq!(shares(&run), [5]);
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 2_000, ..Behaviour::default() });
    let back = run.until(&halted, LIMIT, |p| matches!(p.outcome, Some(Outcome::WentBack { .. })));
    assert!(back.is_some());
    sound(&run);
}

#[test]
fn killed_anywhere_it_counts_every_tick_once() {
    let (before, one, two) = up();
    let good = {
        let mut run = before.fork();
        ended(&mut run, &two, &one);
        (run.busy, ticks(&run))
    };
    assert!(good.1 > 10);
    // One busy round in 23, each of the three points: the same rounds are the same kind of rounds.
    for round in (0..good.0).step_by(23) {
        for kill in KILLS {
            let mut run = before.fork();
            run.kill = Some((round, kill));
            let last = ended(&mut run, &two, &one);
            assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{round} {kill:?}: {:?}", last.outcome);
            sound(&run);
            let mut next = 0;
            for statement in compared(&run) {
                assert_eq!(statement.first, next, "{round} {kill:?}");
                next += statement.ticks.len() as u64;
            }
        }
    }
}

fn ticks(run: &Run) -> u64 {
    compared(run).iter().map(|c| c.ticks.len() as u64).sum()
}

#[test]
fn an_edge_that_starts_again_loses_a_tick_and_doubles_none() {
    let (mut run, one, two) = up();
    let go = intent(&two, Some(&one));
    run.until(&go, LIMIT, |p| phase(p) == Some(Phase::Step(1))).unwrap();
    run.world.borrow_mut().restart_edge();
    // What it counted before and is not taken yet is gone with it.
    let before = run.progress().comparing().map_or(0, |(comparison, _)| comparison.ticks());
    let last = ended(&mut run, &two, &one);
    assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{:?}", last.outcome);
    let after = compared(&run).into_iter().flat_map(|c| c.ticks).skip(usize::try_from(before).unwrap());
    let counted: u64 = after.map(|t| t.requests + t.other_requests).sum();
    let counts = run.world.borrow().counts();
    let all: u64 = counts.versions.iter().filter(|v| v.component.as_str() == "web").map(|v| v.requests).sum();
    assert!(counted > 0 && counted <= all, "{counted} of {all} since it started again");
}

#[test]
fn an_edge_left_alone_goes_back_by_itself_until_the_agent_is_there_again() {
    let (mut run, one, two) = up();
    let go = intent(&two, Some(&one));
    run.until(&go, LIMIT, |p| phase(p) == Some(Phase::Step(1))).unwrap();
    let served = |run: &Run| {
        let counts = run.world.borrow().counts();
        counts
            .versions
            .iter()
            .filter(|v| v.component.as_str() == "web" && v.serial.ordinal() == 2)
            .map(|v| v.requests)
            .sum::<u64>()
    };
    // The agent is dead for longer than the edge waits.
    for _ in 0..(10 * 1_000 / TICK_MS + 8) {
        run.world.borrow_mut().tick();
    }
    let alone = served(&run);
    for _ in 0..40 {
        run.world.borrow_mut().tick();
    }
    assert_eq!(served(&run), alone, "nobody gets the new version while nobody compares");
    let last = ended(&mut run, &two, &one);
    assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{:?}", last.outcome);
    assert!(served(&run) > alone);
    sound(&run);
}

#[test]
fn a_way_back_that_a_person_orders_is_not_compared() {
    let (mut run, one, two) = up();
    ended(&mut run, &two, &one);
    let mut back = intent(&one, Some(&two));
    back.target.generation = 25;
    let before = shares(&run).len();
    let last = run.settle(&back, LIMIT).expect("it goes back");
    assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "{:?}", last.outcome);
    assert_eq!(shares(&run).len(), before);
    assert!(run.runs_alone(Some(&one)));
    sound(&run);
}

#[test]
fn a_new_version_can_not_do_without_the_comparison_that_the_old_one_asks_for() {
    let (mut run, one, _) = up();
    let two = paydesk(2, &[]);
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 90, ..Behaviour::default() });
    // Under its own rule, of one in a hundred, it would stay.
    let last = ended(&mut run, &two, &one);
    assert!(
        matches!(last.outcome, Some(Outcome::WentBack { why: BackReason::Worse { .. }, .. })),
        "{:?}",
        last.outcome
    );
}
