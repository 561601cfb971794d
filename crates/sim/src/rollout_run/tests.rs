//! Rollouts on the simulated host: every fault at every step, every kill at every point.

use super::*;
use crate::world::Behaviour;

/// No rollout here takes longer than two simulated minutes.
const LIMIT: u32 = 480;

/// An agent with the first version up and quiet.
fn first() -> (Run, Version) {
    let one = paydesk(1, &[]);
    let mut run = Run::new();
    run.settle(&intent(&one, None), LIMIT).expect("the first release settles");
    (run, one)
}

#[test]
fn the_first_release_comes_up_and_stays() {
    let (run, one) = first();
    assert!(run.runs_alone(Some(&one)), "{:#?}", run.story);
    assert_eq!(run.breaches(), Vec::<String>::new(), "{:#?}", run.story);
}

#[test]
fn an_upgrade_hands_over_and_retires_the_old() {
    let (mut run, one) = first();
    let two = paydesk(2, &[("0002", true)]);
    run.settle(&intent(&two, Some(&one)), LIMIT).unwrap_or_else(|| panic!("settles: {:#?}", run.story));
    assert!(run.runs_alone(Some(&two)), "{:#?}", run.story);
    assert_eq!(run.breaches(), Vec::<String>::new(), "{:#?}", run.story);
}

#[test]
fn errors_under_traffic_go_back() {
    let (mut run, one) = first();
    let two = paydesk(2, &[("0002", true)]);
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 5_000, ..Behaviour::default() });
    let last = run.settle(&intent(&two, Some(&one)), LIMIT).unwrap_or_else(|| panic!("settles: {:#?}", run.story));
    assert!(matches!(last.outcome, Some(Outcome::WentBack { .. })), "{:?}", last.outcome);
    assert!(run.runs_alone(Some(&one)), "{:#?}", run.story);
    assert_eq!(run.breaches(), Vec::<String>::new(), "{:#?}", run.story);
}

/// One kind of second version and how its rollout must end.
struct Case {
    name: &'static str,
    migrations: &'static [(&'static str, bool)],
    component: &'static str,
    behaviour: Behaviour,
    /// Whether requests may fail: instances that end by themselves take theirs with them.
    excused: bool,
    ends_well: bool,
}

fn cases() -> Vec<Case> {
    let well = Behaviour::default;
    let never = Behaviour { healthy_after_ms: None, ..well() };
    let crash = |ms| Behaviour { crash_after_ms: Some(ms), ..well() };
    let errors = Behaviour { error_bp: 5_000, ..well() };
    let stubborn = Behaviour { ignores_stop: true, ..well() };
    let case = |name, component, behaviour, excused, ends_well| Case {
        name,
        migrations: &[("0002", true)],
        component,
        behaviour,
        excused,
        ends_well,
    };
    vec![
        case("good", "web", well(), false, true),
        Case { migrations: &[], ..case("good without migration", "web", well(), false, true) },
        Case { migrations: &[("0002", false)], ..case("good, irreversible", "web", well(), false, true) },
        case("web is never well", "web", never.clone(), false, false),
        case("ledger is never well", "ledger", never.clone(), false, false),
        Case {
            migrations: &[("0002", false)],
            ..case("ledger is never well, irreversible", "ledger", never, false, false)
        },
        case("payments errs", "payments", errors.clone(), false, false),
        case("ledger errs", "ledger", errors, false, false),
        case("payments ends while starting", "payments", crash(750), true, false),
        case("payments ends while watched", "payments", crash(4_500), true, false),
        case("ledger ends while starting", "ledger", crash(250), true, false),
        case("ledger ends while watched", "ledger", crash(2_000), true, false),
        case("web errs and ignores stop", "web", Behaviour { error_bp: 5_000, ..stubborn }, false, false),
    ]
}

/// Rolls the second version out over the first, which `before` runs, with what goes wrong set by `spoil`, and checks
/// everything. Gives how many steps and busy rounds it took.
fn upgrade(before: &(Run, Version), case: &Case, spoil: impl Fn(&mut Run), what: &str) -> (u64, u64) {
    attempt(before, case, &spoil, false).unwrap_or_else(|_| {
        // Once more, for the story.
        let why = attempt(before, case, &spoil, true).err().unwrap_or_default();
        panic!("{}, {what}: {why}", case.name)
    })
}

fn attempt(
    before: &(Run, Version),
    case: &Case,
    spoil: &impl Fn(&mut Run),
    telling: bool,
) -> Result<(u64, u64), String> {
    let (mut run, one) = (before.0.fork(), &before.1);
    run.telling = telling;
    let two = paydesk(2, case.migrations);
    {
        let mut world = run.world.borrow_mut();
        world.behave(2, case.component, case.behaviour.clone());
        world.excused = case.excused;
    }
    spoil(&mut run);
    let last = run.settle(&intent(&two, Some(one)), LIMIT);
    let breaches = run.breaches();
    let wanted = if case.ends_well { &two } else { one };
    let ended = match &last {
        Some(Plan { outcome: Some(Outcome::Runs { .. }), .. }) => case.ends_well,
        Some(Plan { outcome: Some(Outcome::WentBack { .. }), .. }) => !case.ends_well,
        _ => false,
    };
    if breaches.is_empty() && ended && run.runs_alone(Some(wanted)) {
        return Ok((run.driver.steps(), run.busy));
    }
    let outcome = last.and_then(|p| p.outcome);
    Err(format!("{breaches:?}, {outcome:?} in\n{}", run.story.join("\n")))
}

#[test]
fn each_kind_of_upgrade_ends_as_it_must() {
    let before = first();
    for case in cases() {
        upgrade(&before, &case, |_| {}, "undisturbed");
    }
}

#[test]
fn every_step_fails_in_every_way() {
    let before = first();
    for case in cases() {
        let (steps, _) = upgrade(&before, &case, |_| {}, "undisturbed");
        for step in 0..steps {
            for fault in crate::driver::FAULTS {
                let spoil = |run: &mut Run| run.driver.fault = Some((step, fault, 0));
                upgrade(&before, &case, spoil, &format!("step {step} {fault:?}"));
            }
        }
    }
}

#[test]
fn the_planner_is_killed_everywhere() {
    let before = first();
    for case in cases() {
        let (_, busy) = upgrade(&before, &case, |_| {}, "undisturbed");
        for round in 0..busy {
            for kill in KILLS {
                let spoil = |run: &mut Run| run.kill = Some((round, kill));
                upgrade(&before, &case, spoil, &format!("killed in round {round} {kill:?}"));
            }
        }
    }
}
