//! A release moves as one, and what waits behind it changes nothing of it.

use model::{
    ComponentName, Digest,
    release::{Flow, Newer, Origin},
};
use rollout::{
    Outcome, Plan, Version,
    instance::InstanceId,
    progress::{Forward, State},
    reason::BackReason,
};

use super::{LIMIT, TRAFFIC, analysis, canary, phase, sound, up};
use crate::{
    rollout_run::{Run, intent, version},
    world::Behaviour,
};

/// Between two moments at which something newer is approved: a simulated second.
const ROUNDS_BETWEEN: u32 = 4;

/// What was approved meanwhile to replace the same waits, wherever the rollout is once clients are on the new version.
#[test]
fn a_newer_one_waits_at_every_moment_and_never_mixes() {
    let (at_first, one, two) = up();
    let three = canary(3, analysis());
    let is_open = |p: &Plan| {
        let State::Forward { stage, .. } = &p.progress.state else { return false };
        !matches!(stage, Forward::StartingNew | Forward::HandingOver { .. })
    };
    let mut before = at_first.fork();
    before.until(&intent(&two, Some(&one)), LIMIT, is_open).expect("clients come to it");
    // A moment of the rollout a row, to its end.
    let mut moments = 0;
    loop {
        let mut run = before.fork();
        let mut last = None;
        for _ in 0..LIMIT {
            let plan = run.round(&intent(&three, Some(&one)));
            assert!(!run.world.borrow().serials().contains(three.serial()), "moment {moments}");
            let over = plan.outcome.is_some() && plan.steps.is_empty();
            last = Some(plan);
            if over {
                break;
            }
        }
        let last = last.expect("a plan");
        // It was approved to replace another one than what runs now.
        assert!(matches!(last.outcome, Some(Outcome::Refused(_))), "{:?}", last.outcome);
        assert!(run.runs_alone(Some(&two)), "moment {moments}: {:?}", run.world.borrow().serials());
        sound(&run);
        moments += 1;
        if !(0..ROUNDS_BETWEEN).all(|_| is_open(&before.round(&intent(&two, Some(&one))))) {
            break;
        }
    }
    assert!(moments > 3, "{moments}");
}

/// A canary under a rule for what is newer.
fn ruled(ordinal: u64, newer: Newer) -> Version {
    let mut release = canary(ordinal, analysis()).release;
    release.environments.iter_mut().for_each(|environment| environment.newer = newer);
    version(release, ordinal * 10)
}

/// Something newer is approved at each moment of a rollout, from its first step to its end: it makes way or goes on to its
/// end, by the rule that it was approved with and not by that of the newer one, and the two never run together.
#[test]
fn by_its_own_rule_one_on_its_way_makes_way_or_goes_on() {
    for rule in [Newer::Usual, Newer::Waits, Newer::Replaces] {
        let (at_first, one, _) = up();
        let two = ruled(2, rule);
        let three = ruled(3, if rule == Newer::Waits { Newer::Replaces } else { Newer::Waits });
        let mut before = at_first.fork();
        let (mut early, mut late) = (0, 0);
        loop {
            let plan = before.round(&intent(&two, Some(&one)));
            let State::Forward { stage, .. } = &plan.progress.state else { break };
            if matches!(stage, Forward::Draining { .. } | Forward::Retiring { .. }) {
                break;
            }
            let opened = !matches!(stage, Forward::StartingNew | Forward::HandingOver { .. });
            let moment = if opened { &mut late } else { &mut early };
            *moment += 1;
            // Each moment before clients come, and one a second after.
            if opened && *moment % ROUNDS_BETWEEN != 1 {
                continue;
            }
            let makes_way = rule == Newer::Replaces || rule == Newer::Usual && !opened;
            let mut run = before.fork();
            let mut over = false;
            for _ in 0..LIMIT {
                let plan = run.round(&intent(&three, Some(&one)));
                let serials = run.world.borrow().serials();
                let mixed = serials.contains(two.serial()) && serials.contains(three.serial());
                assert!(!mixed, "{rule:?}, opened {opened}, moment {moment}");
                over = plan.outcome.is_some() && plan.steps.is_empty();
                if over {
                    break;
                }
            }
            assert!(over, "{rule:?}, opened {opened}, moment {moment}: it does not end");
            let runs = if makes_way { &three } else { &two };
            assert!(run.runs_alone(Some(runs)), "{rule:?}, opened {opened}: {:?}", run.world.borrow().serials());
            sound(&run);
        }
        assert!(early > 0 && late > 3, "{rule:?}: {early} and {late}");
    }
}

/// While something newer waits, the verdict of the one on its way goes on counting: withdrawn, it goes back, and then the
/// newer one takes its turn.
#[test]
fn what_waits_does_not_keep_a_withdrawn_one() {
    let (mut run, one, two) = up();
    let three = canary(3, analysis());
    run.until(&intent(&two, Some(&one)), LIMIT, |p| phase(p).is_some()).expect("compares");
    let mut wish = intent(&three, Some(&one));
    wish.withdrawn = true;
    let back = |p: &Plan| matches!(&p.progress.state, State::Back { why: BackReason::Withdrawn { .. }, .. });
    run.until(&wish, 4, back).expect("goes back at once");
    wish.withdrawn = false;
    run.settle(&wish, LIMIT).expect("settles");
    assert!(run.runs_alone(Some(&three)));
    sound(&run);
}

/// `payments` is reached from outside too, so that two components are compared.
fn pair(ordinal: u64) -> Version {
    let mut release = canary(ordinal, analysis()).release;
    let payments: ComponentName = "payments".parse().unwrap();
    release.flows.push(Flow { from: Origin::Edge, to: payments.clone() });
    for environment in &mut release.environments {
        environment.expose.insert(payments.clone(), ([127, 0, 0, 1], 8089).into());
    }
    version(release, ordinal * 10)
}

/// Who serves the clients of a component: the share of the new version with its salt, and the versions that take new
/// clients.
#[derive(Debug, PartialEq, Eq)]
struct Division {
    split: Option<(u8, Digest)>,
    takes: Vec<u64>,
}

/// The divisions of the two public components.
fn divided(run: &Run) -> [Division; 2] {
    let of = |name: &str| {
        let routes = &run.progress().issued.routes;
        let public = |r: &&model::route::Route| r.component.as_str() == name && r.listen.port() >= 8088;
        let route = routes.iter().find(public).expect("a public route");
        let takes = route.backends.iter().filter(|b| b.weight > 0).map(|b| b.serial.ordinal()).collect();
        Division { split: route.split.as_ref().map(|s| (s.share, s.salt)), takes }
    };
    ["web", "payments"].map(of)
}

/// What ends for a moment on either side takes all compared components with it, never one alone.
#[test]
fn when_an_instance_ends_everybody_moves_together() {
    for (row, (ordinal, component, alone)) in
        [(1, "payments", 2), (1, "web", 2), (2, "payments", 1), (2, "web", 1)].into_iter().enumerate()
    {
        let (one, two) = (pair(1), pair(2));
        let mut run = Run::new();
        run.telling = false;
        run.settle(&intent(&one, None), LIMIT).expect("the first release settles");
        run.world.borrow_mut().traffic = TRAFFIC;
        run.world.borrow_mut().excused = true;
        run.until(&intent(&two, Some(&one)), LIMIT, |p| phase(p).is_some()).expect("compares");
        let ids: Vec<_> = run.world.borrow().observe().instances.into_iter().map(|i| i.id).collect();
        let end = |id: &&InstanceId| id.serial.ordinal() == ordinal && id.component.as_str() == component;
        ids.iter().filter(end).for_each(|id| run.world.borrow_mut().kill(id));
        let mut undivided = 0;
        for round in 0..LIMIT {
            let plan = run.round(&intent(&two, Some(&one)));
            let now = divided(&run);
            assert_eq!(now[0], now[1], "row {row}, round {round}");
            if now[0].split.is_none() && phase(&plan).is_some() {
                assert_eq!(now[0].takes, [alone], "row {row}, round {round}: {now:?}");
                undivided += 1;
            }
            if plan.outcome.is_some() && plan.steps.is_empty() {
                break;
            }
        }
        assert!(undivided > 0 || ordinal == 2, "row {row}: it was never missed");
    }
}

#[test]
fn two_components_are_divided_alike_at_every_moment() {
    let faults: [(u64, &str, Behaviour); 3] = [
        (2, "web", Behaviour::default()),
        (2, "payments", Behaviour { error_bp: 3_000, ..Behaviour::default() }),
        (2, "payments", Behaviour { crash_after_ms: Some(6_000), ..Behaviour::default() }),
    ];
    for (row, (ordinal, component, behaviour)) in faults.into_iter().enumerate() {
        let (one, two) = (pair(1), pair(2));
        let mut run = Run::new();
        run.telling = false;
        run.settle(&intent(&one, None), LIMIT).expect("the first release settles");
        run.world.borrow_mut().traffic = TRAFFIC;
        run.world.borrow_mut().behave(ordinal, component, behaviour);
        run.world.borrow_mut().excused = true;
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..LIMIT {
            let plan = run.round(&intent(&two, Some(&one)));
            let now = divided(&run);
            assert_eq!(now[0], now[1], "row {row}, round {round}");
            seen.insert(now[0].split.map(|(share, _)| share));
            if plan.outcome.is_some() && plan.steps.is_empty() {
                break;
            }
        }
        assert!(seen.len() > 1, "row {row}: {seen:?}");
    }
}
