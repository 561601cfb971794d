use std::{path::Path, sync::Arc, time::Duration};

use load::{
    compare::{CompareError, Comparison, Plan, compare},
    places::Version,
    scenario::Scenario,
};
use model::Timestamp;
use stats::paired::{Answer, Limit, Metric, Policy};

/// This test program, as a version: it serves as [`crate::servers::plays_a_version`] says.
fn version(name: &'static str, behaviour: &str) -> Version {
    let program = std::env::current_exe().unwrap();
    let command =
        format!("BEHAVIOUR='{behaviour}' exec '{}' --exact servers::plays_a_version --nocapture", program.display());
    Version { name, command }
}

fn scenario() -> Scenario {
    let text =
        "[[arrivals]]\nrate = 100\nseconds = 1\n[[request]]\nname = 'a'\npath = '/'\ncheck = { contains = 'fine' }";
    Scenario::parse(text, Path::new(".")).unwrap()
}

fn plan(candidate: &str, baseline: &str) -> Plan {
    let limit = |metric, harmless_ppm, bound_ppm| Limit { metric, harmless_ppm, bound_ppm };
    Plan {
        candidate: version("candidate", candidate),
        baseline: version("baseline", baseline),
        prepare: None,
        ready: Duration::from_secs(30),
        block_s: 1,
        // Wide: what is tested is not how little is found.
        policy: Policy {
            limits: vec![
                limit(Metric::Slower { quantile_ppm: 500_000 }, 1_000_000, 5_000_000),
                limit(Metric::Failed, 10_000, 50_000),
            ],
        },
        threads: 1,
        coin: 3,
        now: Timestamp::from_unix(1_800_000_000),
        stop: Arc::default(),
    }
}

fn compared(candidate: &str, baseline: &str) -> Comparison {
    compare(scenario(), &plan(candidate, baseline), |_, _| {}).unwrap()
}

#[test]
fn a_version_that_is_much_slower_is_regressed_wherever_the_coin_put_it() {
    let found = compared("slow", "fine");
    assert_eq!(found.answer, Answer::Regressed(vec![0]), "{found:?}");
    assert_eq!(found.notes.len(), 12);
    let second = found.notes.iter().filter(|note| note.candidate_second).count();
    assert!((1..12).contains(&second), "{second}");
    assert!(found.found[0].estimate_ppm.unwrap() > 3_000_000, "{:?}", found.found[0]);
}

#[test]
fn a_version_that_answers_wrongly_does_not_pass_for_being_fast() {
    let found = compared("wrong", "slow");
    assert_eq!(found.answer, Answer::Regressed(vec![1]), "{found:?}");
}

#[test]
fn a_version_that_ends_in_each_block_does_not_pass() {
    let found = compared("ends", "fine");
    assert!(
        found.notes.iter().all(|note| note.wrong.iter().any(|w| w.contains("candidate ended by itself"))),
        "{found:?}"
    );
    assert_ne!(found.answer, Answer::NotRegressed, "{found:?}");
}

#[test]
fn a_baseline_that_is_broken_shows_nothing() {
    let found = compared("fine", "wrong");
    assert!(matches!(found.answer, Answer::Inconclusive { .. }), "{found:?}");
    assert!(found.reasons.iter().any(|r| r.contains("the baseline is broken")), "{:?}", found.reasons);
}

#[test]
fn what_can_not_be_compared_is_refused_before_anything_starts() {
    let ramp = "[[arrivals]]\nfrom = 1\nto = 100\nseconds = 1\n[[request]]\nname = 'a'\npath = '/'";
    let ramp = Scenario::parse(ramp, Path::new(".")).unwrap();
    assert!(matches!(compare(ramp, &plan("fine", "fine"), |_, _| {}), Err(CompareError::Rate)));
    let mut fast = plan("fine", "fine");
    fast.policy.limits.retain(|limit| limit.metric != Metric::Failed);
    assert!(matches!(compare(scenario(), &fast, |_, _| {}), Err(CompareError::Policy(_))));
    let mut unprepared = plan("fine", "fine");
    unprepared.prepare = Some("exit 7".to_owned());
    let said = compare(scenario(), &unprepared, |_, _| {}).unwrap_err().to_string();
    assert!(said.contains("exit status: 7"), "{said}");
}
