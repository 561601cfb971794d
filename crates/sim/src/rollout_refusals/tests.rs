//! The table, and what a refusal leaves alone.

use model::release::{Flow, Origin};
use rollout::{Intent, Outcome, Version, instance::Observed, reason::Refusal, refuse::refusal};

use crate::rollout_run::{Run, intent, paydesk, version};

/// The version with its release changed.
fn with(base: &Version, change: impl FnOnce(&mut model::release::Release)) -> Version {
    let mut release = base.release.clone();
    change(&mut release);
    version(release, base.generation)
}

fn refused(current: Option<&Version>, predecessor: Option<&Version>, intent: &Intent) -> Option<Refusal> {
    refusal(current, predecessor, intent, &Observed::default())
}

#[test]
fn each_refusal_has_its_row() {
    let (one, two, three) = (paydesk(1, &[]), paydesk(2, &[]), paydesk(3, &[("0003", false)]));
    let ok = |current: Option<&Version>, target: &Version| refused(current, None, &intent(target, current));

    assert_eq!(ok(None, &one), None);
    assert_eq!(ok(Some(&one), &two), None);
    assert_eq!(ok(Some(&two), &three), None);

    let other = with(&two, |r| {
        r.system = "other".parse().expect("a system");
        r.serial = "other-000002".parse().expect("a serial");
    });
    assert!(matches!(ok(Some(&one), &other), Some(Refusal::OtherSystem { .. })));
    let same = with(&one, |r| r.flows.clear());
    assert!(matches!(ok(Some(&one), &same), Some(Refusal::SameSerial { .. })));
    assert!(matches!(refused(Some(&one), None, &intent(&two, None)), Some(Refusal::Replaces { approved: None, .. })));
    assert!(matches!(refused(None, None, &intent(&two, Some(&one))), Some(Refusal::Replaces { running: None, .. })));
    let nowhere = with(&two, |r| r.environments.clear());
    assert!(matches!(ok(Some(&one), &nowhere), Some(Refusal::NoEnvironment { .. })));
    let twice = with(&two, |r| r.components[0].replicas = 2);
    assert!(matches!(ok(Some(&one), &twice), Some(Refusal::ExclusiveReplicas { .. })));
    let circle = with(&two, |r| {
        r.flows.push(Flow {
            from: Origin::Component("payments".parse().expect("a name")),
            to: "web".parse().expect("a name"),
        });
    });
    assert!(matches!(ok(Some(&one), &circle), Some(Refusal::FlowCircle { components }) if components.len() == 2));
    let clash = with(&two, |r| {
        let mut second = r.components[0].clone();
        second.name = "vault".parse().expect("a name");
        r.components.insert(2, second);
    });
    assert!(matches!(ok(Some(&one), &clash), Some(Refusal::PortTaken { port: 8082, .. })));
    let shared = with(&two, |r| r.components[0].volumes[0].exclusive = false);
    assert!(matches!(ok(Some(&one), &shared), Some(Refusal::ExclusiveChanged { .. })));
    assert!(matches!(ok(Some(&shared), &three), Some(Refusal::ExclusiveChanged { .. })));

    // Going back: to the immediate predecessor alone, and not past an irreversible migration.
    assert!(matches!(
        refused(Some(&two), None, &intent(&one, Some(&two))),
        Some(Refusal::NotPredecessor { predecessor: None, .. })
    ));
    assert!(matches!(
        refused(Some(&three), Some(&two), &intent(&one, Some(&three))),
        Some(Refusal::NotPredecessor { .. })
    ));
    assert_eq!(refused(Some(&two), Some(&one), &intent(&one, Some(&two))), None);
    assert!(matches!(refused(Some(&three), Some(&two), &intent(&two, Some(&three))), Some(Refusal::Irreversible(_))));

    // Two irreversible migrations could not both wait for the switch.
    let vault = |base: &Version, migrates: bool| {
        with(base, |r| {
            let mut second = r.components[0].clone();
            second.name = "vault".parse().expect("a name");
            second.port = 8083;
            if !migrates {
                second.migrations.clear();
            }
            r.components.insert(2, second);
        })
    };
    assert_eq!(ok(Some(&vault(&two, false)), &vault(&three, false)), None);
    assert!(matches!(ok(Some(&vault(&two, false)), &vault(&three, true)), Some(Refusal::TwoIrreversible { .. })));
}

#[test]
fn a_refusal_is_said_and_touches_nothing() {
    let one = paydesk(1, &[]);
    let mut run = Run::new();
    run.settle(&intent(&one, None), 480).expect("settles");
    let before = run.driver.steps();
    let wrong = intent(&paydesk(3, &[]), Some(&paydesk(2, &[])));
    let last = run.until(&wrong, 40, |_| false);
    assert_eq!(last, None);
    let outcome = run.round(&wrong).outcome;
    assert!(matches!(outcome, Some(Outcome::Refused(Refusal::Replaces { .. }))), "{outcome:?}");
    assert_eq!(run.driver.steps(), before);
    assert!(run.runs_alone(Some(&one)));
}

#[test]
fn two_exclusive_components_hand_over_one_after_the_other() {
    let both = |ordinal, migrations: &[(&str, bool)]| {
        with(&paydesk(ordinal, migrations), |r| {
            let mut second = r.components[0].clone();
            second.name = "vault".parse().expect("a name");
            second.port = 8083;
            second.migrations.clear();
            r.components.insert(2, second);
            r.flows.push(Flow {
                from: Origin::Component("web".parse().expect("a name")),
                to: "vault".parse().expect("a name"),
            });
        })
    };
    let (one, two) = (both(1, &[]), both(2, &[("0002", false)]));
    for behaviour in [None, Some("ledger"), Some("vault")] {
        let mut run = Run::new();
        run.settle(&intent(&one, None), 480).expect("settles");
        if let Some(component) = behaviour {
            let never = crate::world::Behaviour { healthy_after_ms: None, ..Default::default() };
            run.world.borrow_mut().behave(2, component, never);
        }
        run.story.clear();
        run.settle(&intent(&two, Some(&one)), 480).unwrap_or_else(|| panic!("{}", run.story.join("\n")));
        let held: Vec<String> = run.story.iter().filter(|l| l.starts_with("* {\"held")).cloned().collect();
        let wanted = [r#"* {"held":{"component":"vault"}}"#, r#"* {"held":{"component":"ledger"}}"#];
        // The one with the irreversible migration comes last, so that the switch is the point of no return.
        assert_eq!(held, if behaviour == Some("vault") { &wanted[..1] } else { &wanted[..] });
        assert_eq!(run.breaches(), Vec::<String>::new(), "{}", run.story.join("\n"));
        assert!(run.runs_alone(Some(if behaviour.is_none() { &two } else { &one })), "{}", run.story.join("\n"));
    }
}
