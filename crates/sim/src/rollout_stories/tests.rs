//! The stories, and schedules drawn by lot.

use rollout::{Leave, Outcome, Plan, instance::InstanceId, progress::State, reason::BackReason};

use crate::{
    rollout_run::{Run, intent, paydesk},
    world::Behaviour,
};

/// No rollout here takes longer than two simulated minutes.
const LIMIT: u32 = 480;

fn said(run: &mut Run, plan: Option<Plan>) {
    let line = match plan.map(|p| p.outcome) {
        Some(Some(outcome)) => format!("= {outcome}"),
        Some(None) => "= on its way".to_owned(),
        None => "= not settled".to_owned(),
    };
    run.story.push(line);
}

fn note(run: &mut Run, text: &str) {
    run.story.push(format!("# {text}"));
}

fn first() -> Run {
    let mut run = Run::new();
    note(&mut run, "the first release");
    let last = run.settle(&intent(&paydesk(1, &[]), None), LIMIT);
    said(&mut run, last);
    run
}

/// The first release is up; the story starts afresh.
fn up() -> Run {
    let mut run = first();
    run.story.clear();
    run
}

fn sound(run: &Run) {
    assert_eq!(run.breaches(), Vec::<String>::new(), "{}", run.story.join("\n"));
}

fn id(ordinal: u64, component: &str, number: u32) -> InstanceId {
    format!("production.paydesk-{ordinal:06}.{component}.{number}").parse().expect("an instance id")
}

#[test]
fn first_release() {
    let run = first();
    sound(&run);
    insta::assert_snapshot!(run.story.join("\n"));
}

#[test]
fn upgrade_with_hand_over() {
    let mut run = up();
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[("0002", true)]));
    note(&mut run, "the second release, with a reversible migration");
    let last = run.settle(&intent(&two, Some(&one)), LIMIT);
    said(&mut run, last);
    sound(&run);
    assert!(run.runs_alone(Some(&two)));
    insta::assert_snapshot!(run.story.join("\n"));
}

#[test]
fn going_back_on_errors() {
    let mut run = up();
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[("0002", true)]));
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 3_000, ..Behaviour::default() });
    note(&mut run, "the second release answers every third request with an error");
    let last = run.settle(&intent(&two, Some(&one)), LIMIT);
    said(&mut run, last);
    note(&mut run, "the same attempt is not made again");
    let last = run.settle(&intent(&two, Some(&one)), LIMIT);
    said(&mut run, last);
    sound(&run);
    assert!(run.runs_alone(Some(&one)));
    insta::assert_snapshot!(run.story.join("\n"));
}

#[test]
fn halt_midway() {
    let mut run = up();
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[]));
    let go = intent(&two, Some(&one));
    let mut halted = go.clone();
    halted.leave = Leave::Halted;
    note(&mut run, "halted while the new set starts: it waits");
    run.round(&go);
    let plan = run.until(&halted, 20, |_| false);
    assert!(plan.is_none());
    note(&mut run, "resumed; halted again while requests are held: it goes back");
    run.until(&go, LIMIT, |p| {
        matches!(&p.progress.state, State::Forward { stage: rollout::progress::Forward::HandingOver { .. }, .. })
    });
    let last = run.until(&halted, LIMIT, |p| matches!(p.outcome, Some(Outcome::WentBack { .. })) && p.steps.is_empty());
    said(&mut run, last);
    sound(&run);
    assert!(run.runs_alone(Some(&one)));
    insta::assert_snapshot!(run.story.join("\n"));
}

#[test]
fn rollback_by_a_person_and_past_an_irreversible_migration() {
    let mut run = up();
    let one = paydesk(1, &[]);
    let two = paydesk(2, &[("0002", true)]);
    let three = paydesk(3, &[("0002", true), ("0003-contract", false)]);
    run.settle(&intent(&two, Some(&one)), LIMIT).expect("two runs");
    run.story.clear();
    note(&mut run, "a person goes back to the first release: its state is still good");
    let mut back = intent(&one, Some(&two));
    back.target.generation = 25;
    let last = run.settle(&back, LIMIT);
    said(&mut run, last);
    assert!(run.runs_alone(Some(&one)));
    let told = std::mem::take(&mut run.story);
    run.settle(&intent(&three, Some(&one)), LIMIT).expect("three runs");
    run.story = told;
    note(&mut run, "the third release made an irreversible migration; a person tries to go back");
    back.replaces = Some(three.digest);
    back.target.generation = 35;
    let last = run.round(&back);
    said(&mut run, Some(last));
    sound(&run);
    assert!(run.runs_alone(Some(&three)));
    insta::assert_snapshot!(run.story.join("\n"));
}

#[test]
fn stuck_past_an_irreversible_migration_until_a_person_releases_a_fix() {
    let mut run = up();
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[("0002-contract", false)]));
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 3_000, ..Behaviour::default() });
    note(&mut run, "the second release errs after its irreversible migration took requests");
    let plan = run.until(&intent(&two, Some(&one)), LIMIT, |p| p.outcome.is_some() && p.steps.is_empty());
    said(&mut run, plan);
    note(&mut run, "a third release replaces it");
    let three = paydesk(3, &[("0002-contract", false)]);
    let last = run.settle(&intent(&three, Some(&two)), LIMIT);
    said(&mut run, last);
    sound(&run);
    assert!(run.runs_alone(Some(&three)));
    insta::assert_snapshot!(run.story.join("\n"));
}

#[test]
fn an_instance_that_ends_is_started_again_and_its_clients_are_told() {
    let mut run = up();
    let one = paydesk(1, &[]);
    let wish = intent(&one, None);
    run.world.borrow_mut().excused = true;
    let before = run.world.borrow().address(&id(1, "payments", 1));
    note(&mut run, "payments ends by itself");
    run.world.borrow_mut().kill(&id(1, "payments", 1));
    run.settle(&wish, LIMIT).expect("settles");
    assert_ne!(run.world.borrow().address(&id(1, "payments", 1)), before);
    note(&mut run, "a web instance is changed from outside");
    run.world.borrow_mut().drift(&id(1, "web", 2));
    let last = run.settle(&wish, LIMIT);
    said(&mut run, last);
    assert!(run.runs_alone(Some(&one)));
    sound(&run);
    insta::assert_snapshot!(run.story.join("\n"));
}

#[test]
fn an_instance_that_keeps_ending_is_started_less_and_less_often() {
    let mut run = up();
    let wish = intent(&paydesk(1, &[]), None);
    run.world.borrow_mut().excused = true;
    run.world.borrow_mut().behave(1, "ledger", Behaviour { crash_after_ms: Some(500), ..Behaviour::default() });
    run.until(&wish, 480, |_| false);
    let starts = run.driver.steps();
    run.until(&wish, 480, |_| false);
    // Two more minutes at one start in a minute, each a removal, a start and some routes.
    assert!(run.driver.steps() - starts < 24, "{}", run.driver.steps() - starts);
    sound(&run);
}

#[test]
fn people_change_their_minds() {
    let one = paydesk(1, &[]);
    let (two, three) = (paydesk(2, &[]), paydesk(3, &[]));
    let why = |plan: Option<Plan>| match plan.and_then(|p| p.outcome) {
        Some(Outcome::WentBack { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let watching = |p: &Plan| {
        matches!(&p.progress.state, State::Forward { stage: rollout::progress::Forward::Watching { .. }, .. })
    };

    // A verdict is withdrawn during the watch.
    let mut run = up();
    let mut wish = intent(&two, Some(&one));
    run.until(&wish, LIMIT, watching).expect("watches");
    wish.withdrawn = true;
    let last = run.until(&wish, LIMIT, |p| p.outcome.is_some() && p.steps.is_empty());
    assert_eq!(why(last), BackReason::Withdrawn { serial: two.serial().clone() });
    assert!(run.runs_alone(Some(&one)));
    sound(&run);

    // The version before is ordered back during the watch; the verdict for it is newer.
    let mut run = up();
    run.until(&intent(&two, Some(&one)), LIMIT, watching).expect("watches");
    let mut back = intent(&one, Some(&two));
    back.target.generation = 25;
    let last = run.settle(&back, LIMIT).expect("settles");
    assert!(matches!(last.outcome, Some(Outcome::Runs { .. })));
    assert!(run.runs_alone(Some(&one)));
    sound(&run);

    // Another version is approved in its place while it starts.
    let mut run = up();
    run.round(&intent(&two, Some(&one)));
    let last = run.settle(&intent(&three, Some(&one)), LIMIT).expect("settles");
    assert!(matches!(last.outcome, Some(Outcome::Runs { .. })));
    assert!(run.runs_alone(Some(&three)));
    sound(&run);

    // One that was approved on top of it waits its turn.
    let mut run = up();
    run.round(&intent(&two, Some(&one)));
    run.settle(&intent(&three, Some(&two)), LIMIT).expect("settles");
    assert!(run.runs_alone(Some(&three)));
    sound(&run);
}

#[test]
fn without_a_verdict_requests_are_not_held_for_ever() {
    let mut run = up();
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[]));
    let wish = intent(&two, Some(&one));
    run.until(&wish, LIMIT, |p| {
        matches!(&p.progress.state, State::Forward { stage: rollout::progress::Forward::HandingOver { .. }, .. })
    });
    let mut stale = wish.clone();
    stale.leave = Leave::Missing("the last checkpoint is too old".to_owned());
    run.world.borrow_mut().excused = true;
    let last = run.until(&stale, LIMIT, |p| p.outcome.is_some() && p.steps.is_empty()).expect("goes back");
    assert!(
        matches!(last.outcome, Some(Outcome::WentBack { why: BackReason::HoldTooLong { .. }, .. })),
        "{:?}",
        last.outcome
    );
    assert!(run.runs_alone(Some(&one)));
}

#[test]
fn a_first_release_that_fails_leaves_nothing() {
    let mut run = Run::new();
    run.world.borrow_mut().behave(1, "web", Behaviour { healthy_after_ms: None, ..Behaviour::default() });
    let one = paydesk(1, &[]);
    let last = run.settle(&intent(&one, None), LIMIT).expect("settles");
    assert!(matches!(last.outcome, Some(Outcome::WentBack { runs: None, .. })));
    assert!(run.runs_alone(None), "{}", run.story.join("\n"));
    sound(&run);
    assert_eq!(run.world.borrow().served(), Vec::<String>::new());
    // With a later verdict, and the fault gone, it is tried again.
    run.world.borrow_mut().behave(1, "web", Behaviour::default());
    let mut again = intent(&one, None);
    again.target.generation = 99;
    run.settle(&again, LIMIT).expect("settles");
    assert!(run.runs_alone(Some(&again.target)));
    sound(&run);
}

#[test]
fn an_old_restore_point_is_never_gone_back_to() {
    let mut run = up();
    run.world.borrow_mut().keeps_points = true;
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[("0002", false)]));
    let never = Behaviour { healthy_after_ms: None, ..Behaviour::default() };
    run.world.borrow_mut().behave(2, "ledger", never);
    let mut wish = intent(&two, Some(&one));
    run.settle(&wish, LIMIT).expect("goes back");
    wish.target.generation = 99;
    run.world.borrow_mut().excused = true;
    run.settle(&wish, LIMIT).expect("goes back again");
    assert!(run.runs_alone(Some(&one)));
    sound(&run);
}

#[test]
fn an_edge_that_starts_again_is_given_its_table() {
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[("0002", true)]));
    for round in 0..120 {
        let mut run = up();
        let wish = intent(&two, Some(&one));
        run.until(&wish, round, |_| false);
        run.world.borrow_mut().excused = true;
        run.world.borrow_mut().restart_edge();
        run.settle(&wish, LIMIT).unwrap_or_else(|| panic!("restart in round {round}: {}", run.story.join("\n")));
        assert!(run.runs_alone(Some(&two)), "restart in round {round}: {}", run.story.join("\n"));
        sound(&run);
    }
}

#[test]
fn an_observer_that_starts_again_moves_nobody() {
    let (one, two) = (paydesk(1, &[]), paydesk(2, &[("0002", true)]));
    for round in 0..60 {
        let mut run = up();
        let wish = intent(&two, Some(&one));
        run.until(&wish, round, |_| false);
        run.world.borrow_mut().blind = true;
        run.round(&wish);
        run.world.borrow_mut().blind = false;
        let last = run.settle(&wish, LIMIT).unwrap_or_else(|| panic!("round {round}: {}", run.story.join("\n")));
        assert!(matches!(last.outcome, Some(Outcome::Runs { .. })), "round {round}: {:?}", last.outcome);
        assert!(run.runs_alone(Some(&two)));
        sound(&run);
    }
    // When nothing is on its way, it changes nothing at all.
    let mut run = up();
    run.world.borrow_mut().blind = true;
    assert_eq!(run.round(&intent(&one, None)).steps, []);
}

#[test]
fn what_nobody_can_explain_is_left_alone() {
    let mut run = up();
    let one = paydesk(1, &[]);
    // The agent's disk is lost, and the log was not asked what runs.
    run.forget();
    let plan = run.until(&intent(&one, None), 20, |p| !p.steps.is_empty());
    assert_eq!(plan, None, "nothing is stopped, started or routed");
    assert!(run.runs_alone(Some(&one)));
    // The log says that it runs: it is taken over as it is.
    run.remember(&one);
    run.settle(&intent(&one, None), LIMIT).expect("settles");
    assert!(run.runs_alone(Some(&one)));
    sound(&run);
}

/// Splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): a schedule from a seed.
struct Lots(u64);

impl Lots {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// A hundred rounds in which anything happens to the rollout of one of several second versions, then quiet.
fn anything(seed: u64, up: &Run, telling: bool) {
    let mut lots = Lots(seed);
    let mut run = up.fork();
    run.telling = telling;
    let one = paydesk(1, &[]);
    let migrations: &[&[(&str, bool)]] = &[&[], &[("0002", true)], &[("0002", false)]];
    let two = paydesk(2, migrations[usize::try_from(lots.draw(3)).expect("small")]);
    let fault = Behaviour {
        healthy_after_ms: if lots.draw(4) == 0 { None } else { Some(lots.draw(8) * 250) },
        crash_after_ms: if lots.draw(4) == 0 { Some(lots.draw(6_000)) } else { None },
        error_bp: if lots.draw(4) == 0 { lots.draw(10_000) } else { 0 },
        ignores_stop: lots.draw(4) == 0,
    };
    let component = ["ledger", "payments", "web"][usize::try_from(lots.draw(3)).expect("small")];
    run.world.borrow_mut().behave(2, component, fault);
    run.world.borrow_mut().excused = true;
    let mut wish = intent(&two, Some(&one));
    for _ in 0..100 {
        match lots.draw(40) {
            0 => wish.leave = Leave::Halted,
            1 => wish.leave = Leave::Missing("stale".to_owned()),
            2..=9 => wish.leave = Leave::Granted,
            10 => wish.withdrawn = true,
            11..=15 => wish.withdrawn = false,
            16..=20 => run.crash(),
            21..=25 => {
                let fault = crate::driver::FAULTS[usize::try_from(lots.draw(4)).expect("small")];
                run.driver.fault = Some((run.driver.steps() + lots.draw(3), fault, lots.draw(6)));
            }
            26..=28 => {
                let kill = crate::rollout_run::KILLS[usize::try_from(lots.draw(3)).expect("small")];
                run.kill = Some((run.busy + lots.draw(3), kill));
            }
            29 => run.world.borrow_mut().kill(&id(
                1 + lots.draw(2),
                ["ledger", "payments", "web"][usize::try_from(lots.draw(3)).expect("small")],
                1,
            )),
            30 => run.world.borrow_mut().restart_edge(),
            31 => run.world.borrow_mut().blind = true,
            32 | 33 => run.world.borrow_mut().blind = false,
            _ => {}
        }
        run.round(&wish);
    }
    run.driver.fault = None;
    run.kill = None;
    run.world.borrow_mut().blind = false;
    wish.leave = Leave::Granted;
    wish.withdrawn = false;
    let told = |run: &Run| format!("seed {seed}:\n{}", run.story.join("\n"));
    let stuck = |p: &Plan| matches!(p.outcome, Some(Outcome::Stuck { .. }));
    let last =
        run.until(&wish, 4 * LIMIT, |p| p.outcome.is_some() && p.steps.is_empty() && (p.waits.is_empty() || stuck(p)));
    let breaches = run.breaches();
    assert!(breaches.is_empty(), "{breaches:?} in {}", told(&run));
    // A second version that passed its watch and keeps ending afterwards is kept as well as can be: it never settles.
    let Some(last) = last else {
        let kept = run.progress().current().is_some_and(|v| v.digest == two.digest);
        assert!(kept, "does not settle: {}", told(&run));
        return;
    };
    match last.outcome {
        Some(Outcome::Runs { .. }) => assert!(run.runs_alone(Some(&two)), "{}", told(&run)),
        Some(Outcome::WentBack { .. }) => assert!(run.runs_alone(Some(&one)), "{}", told(&run)),
        Some(Outcome::Stuck { .. }) => {
            assert!(
                two.release.components.iter().any(|c| c.migrations.iter().any(|m| !m.reversible)),
                "{}",
                told(&run)
            );
        }
        other => panic!("{other:?} in {}", told(&run)),
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]
    /// The seed is in the message of a failure; `anything(seed, &up(), true)` is that failure again.
    #[test]
    fn anything_may_happen(seed: u64) {
        anything(seed, &up(), true);
    }
}

#[test]
fn a_progress_on_its_way_has_a_frozen_form() {
    let mut run = up();
    run.world.borrow_mut().behave(2, "web", Behaviour { healthy_after_ms: None, ..Behaviour::default() });
    let wish = intent(&paydesk(2, &[("0002", true)]), Some(&paydesk(1, &[])));
    run.until(&wish, LIMIT, |p| matches!(p.progress.state, State::Back { .. })).expect("goes back");
    let bytes = run.progress().to_bytes().expect("bytes");
    insta::assert_snapshot!(String::from_utf8(bytes).expect("UTF-8"));
}

/// What an agent stored before there were comparisons is gone on with.
#[test]
fn the_first_form_is_still_read() {
    let bytes = include_str!("first_form.json").trim_end().as_bytes();
    let progress = rollout::Progress::from_bytes(bytes).expect("the first form");
    assert!(matches!(progress.state, State::Back { .. }));
    assert_eq!(progress.to_bytes().expect("bytes"), bytes);
}
