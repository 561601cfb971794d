//! Whoever is to be stopped is told before, once it takes nothing new, and nobody waits for one that does not hear.

use model::release::{Drain, DrainSignal};
use rollout::{Outcome, Version, instance::InstanceId, step::Step};

use crate::{
    driver::FAULTS,
    rollout_run::{KILLS, Run, intent, paydesk, version},
    world::Behaviour,
};

const LIMIT: u32 = 600;

fn draining(ordinal: u64) -> Version {
    let mut release = paydesk(ordinal, &[]).release;
    for component in release.components.iter_mut().filter(|c| c.name.as_str() == "web") {
        component.drain = Some(Drain { signal: Some(DrainSignal::Sigusr1), path: Some("/drain".to_owned()) });
    }
    version(release, ordinal * 10)
}

fn up() -> (Run, Version, Version) {
    let (one, two) = (draining(1), draining(2));
    let mut run = Run::new();
    run.telling = false;
    run.settle(&intent(&one, None), LIMIT).expect("the first release settles");
    (run, one, two)
}

fn webs(ordinal: u64) -> Vec<InstanceId> {
    (1..=2).map(|n| format!("production.paydesk-{ordinal:06}.web.{n}").parse().unwrap()).collect()
}

fn told(run: &Run) -> Vec<InstanceId> {
    let mut told = run.world.borrow().told_drain.clone();
    told.sort();
    told
}

#[test]
fn the_old_version_is_told_once_it_takes_nothing_new_and_before_it_is_stopped() {
    let (mut run, one, two) = up();
    let go = intent(&two, Some(&one));
    let telling = run.until(&go, LIMIT, |p| p.steps.iter().any(|s| matches!(s.step, Step::Drain(_)))).unwrap();
    assert!(telling.steps.iter().all(|s| !matches!(s.step, Step::Stop(_) | Step::Delete(_))), "{:?}", telling.steps);
    assert!(telling.waits.iter().any(|w| w.to_string() == "production.paydesk-000001.web.1 to be told that it drains"));
    assert!(run.settle(&go, LIMIT).is_some());
    assert_eq!(told(&run), webs(1), "each once, and only those that want it");
    assert!(run.runs_alone(Some(&two)) && run.progress().warned.is_empty());
    assert_eq!(run.breaches(), Vec::<String>::new());
}

#[test]
fn a_version_that_goes_back_is_told_too() {
    let (mut run, one, two) = up();
    run.world.borrow_mut().behave(2, "payments", Behaviour { error_bp: 3_000, ..Behaviour::default() });
    let last = run.settle(&intent(&two, Some(&one)), LIMIT).unwrap();
    assert!(matches!(last.outcome, Some(Outcome::WentBack { .. })));
    assert_eq!(told(&run), webs(2));
}

#[test]
fn nobody_waits_for_one_that_does_not_hear() {
    let (mut run, one, two) = up();
    run.world.borrow_mut().deaf = true;
    assert!(run.settle(&intent(&two, Some(&one)), LIMIT).is_some());
    assert!(run.runs_alone(Some(&two)) && told(&run).is_empty());
    assert_eq!(run.breaches(), Vec::<String>::new());
}

#[test]
fn killed_lost_twice_or_misreported_it_ends_the_same() {
    let (before, one, two) = up();
    let go = intent(&two, Some(&one));
    let (busy, steps) = {
        let mut run = before.fork();
        run.settle(&go, LIMIT).unwrap();
        (run.busy, run.driver.steps())
    };
    for round in 0..busy {
        for kill in KILLS {
            let mut run = before.fork();
            run.kill = Some((round, kill));
            assert!(run.settle(&go, LIMIT).is_some(), "{round} {kill:?}");
            let mut told = told(&run);
            told.dedup();
            assert_eq!(told, webs(1), "{round} {kill:?}");
            assert_eq!(run.breaches(), Vec::<String>::new());
        }
    }
    for step in 0..steps {
        for fault in FAULTS {
            let mut run = before.fork();
            run.driver.fault = Some((step, fault, 0));
            assert!(run.settle(&go, LIMIT).is_some(), "{step} {fault:?}");
            assert_eq!(run.breaches(), Vec::<String>::new(), "{step} {fault:?}");
        }
    }
}
