//! The analysis of a rollout as its users meet it.

use proptest::prelude::*;

use super::Analysis;
use crate::{
    answer::{Answer, Because, Wait},
    plan::{
        ALPHA_PPM, BETA_PPM, GO_BACK_MARGIN, HISTORY_UNIT_TICKS, HORIZON_TICKS, Measure, PROMOTE_MARGIN, Plan,
        PlanError, Question, SLOW_PROMOTE_MARGIN,
    },
    tick::{Counts, MAX_REQUESTS, MAX_UNITS, Tick, TickError},
};

/// Failures of a system with ten requests a unit and tick of which one in a thousand fails.
fn failures() -> Question {
    Question::Events {
        requests_per_million_unit_ticks: 10_000_000,
        history_ppm: 1000,
        history_unit_ticks: HISTORY_UNIT_TICKS,
        margin: GO_BACK_MARGIN,
        promote: PROMOTE_MARGIN,
        limit_ppm: Some(5000),
    }
}

fn slow() -> Question {
    Question::Slow { history_ppm: 200_000, history_unit_ticks: HISTORY_UNIT_TICKS, promote: SLOW_PROMOTE_MARGIN }
}

fn plan(measures: Vec<(u32, Question)>) -> Plan {
    Plan {
        measures: measures.into_iter().map(|(weight_ppm, question)| Measure { weight_ppm, question }).collect(),
        alpha_ppm: ALPHA_PPM,
        beta_ppm: BETA_PPM,
        horizon_ticks: HORIZON_TICKS,
    }
}

fn usual() -> Plan {
    plan(vec![(700_000, failures()), (300_000, slow()), (0, Question::Invariant)])
}

/// A tick of ten units against ninety with a thousand requests; flagged units of the trial and the control by measure.
fn tick(failed: (u32, u32), slow: (u32, u32), broken: u32) -> Tick {
    let counts = |(trial_flagged, control_flagged)| Counts {
        trial_units: 10,
        trial_flagged,
        control_units: 90,
        control_flagged,
    };
    Tick { trial_requests: 100, control_requests: 900, counts: vec![counts(failed), counts(slow), counts((broken, 0))] }
}

/// What chance would do, without chance: about one in a hundred units failed and one in five slow, in both versions.
fn healthy(n: u64) -> Tick {
    tick((u32::from(n.is_multiple_of(10)), u32::from(!n.is_multiple_of(10))), (2, 18), 0)
}

fn after(plan: Plan, ticks: impl IntoIterator<Item = Tick>) -> Analysis {
    let mut analysis = Analysis::new(plan).unwrap();
    for tick in ticks {
        analysis.step(&tick).unwrap();
    }
    analysis
}

#[test]
fn a_healthy_version_is_promoted_and_before_it_is_said_what_is_missing() {
    let mut analysis = Analysis::new(usual()).unwrap();
    assert_eq!(
        analysis.answer(),
        Answer::NotYet { waits: vec![Wait::Traffic { measure: 0 }, Wait::Traffic { measure: 1 }] }
    );
    let mut forecast = None;
    for n in 0..1000 {
        analysis.step(&healthy(n)).unwrap();
        match analysis.answer() {
            Answer::Promote => {
                let (at, ticks) = forecast.unwrap();
                let (seen, said) = (n - at, ticks);
                assert!(seen <= 2 * said && said <= 2 * seen, "said {said} ticks, took {seen}");
                assert!(analysis.may_raise());
                return;
            }
            Answer::NotYet { waits } if n == 29 => {
                let Some(Wait::Requests { ticks, requests, rules_out, .. }) = waits.first() else {
                    panic!("{waits:?}")
                };
                assert!(requests.abs_diff(100 * ticks) < 100, "{requests} {ticks}");
                assert!((0.0024..0.0027).contains(rules_out), "{rules_out}");
                forecast = Some((n, *ticks));
            }
            Answer::NotYet { .. } => {}
            Answer::GoBack { .. } => panic!("{:?}", analysis.evidence()),
        }
    }
    panic!("not promoted: {:?}", analysis.answer());
}

#[test]
fn a_version_that_fails_goes_back_at_once_and_for_good() {
    let mut analysis = after(usual(), [tick((10, 1), (2, 18), 0)]);
    let Answer::GoBack { tick: 1, because: Because::Evidence { e_value, shares } } = analysis.answer() else {
        panic!("{:?}", analysis.answer())
    };
    assert!(e_value >= 100.0);
    assert!(shares[0].measure == 0 && shares[0].alone && !shares[1].alone, "{shares:?}");
    let before = analysis.answer();
    for n in 0..500 {
        analysis.step(&healthy(n)).unwrap();
    }
    assert_eq!(analysis.answer(), before);
    assert!(!analysis.may_raise());
}

#[test]
fn a_fault_that_begins_late_is_found() {
    let mut analysis = after(usual(), (0..1800).map(healthy));
    assert_eq!(analysis.answer(), Answer::Promote);
    // Two in a hundred requests of the trial: of ten units with ten requests each, two are flagged.
    for ticks in 1..30 {
        analysis.step(&tick((2, 1), (2, 18), 0)).unwrap();
        if matches!(analysis.answer(), Answer::GoBack { .. }) {
            assert!(ticks > 1);
            return;
        }
    }
    panic!("{:?}", analysis.evidence());
}

#[test]
fn the_same_incident_in_both_goes_nowhere() {
    let incident = |n: u64| tick((2 + u32::from(n.is_multiple_of(2)), 23), (4, 36), 0);
    let analysis = after(usual(), (0..100).map(healthy).chain((0..300).map(incident)));
    assert!(analysis.evidence().worse < 20.0, "{:?}", analysis.evidence());
}

#[test]
fn a_small_difference_holds_before_it_goes_back() {
    let mut analysis = after(usual(), (0..50).map(healthy));
    let mut held = false;
    for n in 0..400_u64 {
        analysis.step(&tick((u32::from(n.is_multiple_of(2)), 1), (2, 18), 0)).unwrap();
        held |= analysis.hold();
        match analysis.answer() {
            Answer::GoBack { .. } => {
                assert!(held && n > 5, "{n}");
                return;
            }
            Answer::NotYet { waits } if analysis.hold() => {
                assert!(matches!(waits[0], Wait::Difference { e_value } if e_value >= 20.0), "{waits:?}");
                assert!(!analysis.may_raise());
            }
            _ => {}
        }
    }
    panic!("{:?}", analysis.evidence());
}

#[test]
fn a_broken_invariant_goes_back_whatever_else_is_seen() {
    let analysis = after(usual(), (0..500).map(healthy).chain([tick((0, 1), (2, 18), 1)]));
    assert_eq!(analysis.answer(), Answer::GoBack { tick: 501, because: Because::Invariant { measure: 2 } });
}

#[test]
fn silence_is_never_success() {
    let silent = Tick { trial_requests: 0, ..tick((0, 1), (0, 18), 0) };
    let analysis = after(usual(), std::iter::repeat_n(silent, 5000));
    assert_eq!(analysis.quiet_ticks(), 5000);
    assert_eq!(
        analysis.answer(),
        Answer::NotYet { waits: vec![Wait::Traffic { measure: 0 }, Wait::Traffic { measure: 1 }] }
    );
    let nothing = Tick { trial_requests: 0, control_requests: 0, counts: vec![Counts::default(); 3] };
    assert!(matches!(after(usual(), std::iter::repeat_n(nothing, 5000)).answer(), Answer::NotYet { .. }));
    // A trickle that is far less than what the control has does not count as much either.
    let trickle = Tick { trial_requests: 1, ..tick((0, 1), (0, 18), 0) };
    assert!(matches!(after(usual(), std::iter::repeat_n(trickle, 50)).answer(), Answer::NotYet { .. }));
}

#[test]
fn without_a_control_only_a_limit_speaks() {
    let alone = |failed| {
        let counts = Counts { trial_units: 100, trial_flagged: failed, control_units: 0, control_flagged: 0 };
        Tick { trial_requests: 1000, control_requests: 0, counts: vec![counts] }
    };
    let without = match failures() {
        Question::Events {
            requests_per_million_unit_ticks, history_ppm, history_unit_ticks, margin, promote, ..
        } => Question::Events {
            requests_per_million_unit_ticks,
            history_ppm,
            history_unit_ticks,
            margin,
            promote,
            limit_ppm: None,
        },
        other => other,
    };
    let silent = after(plan(vec![(1_000_000, without)]), std::iter::repeat_n(alone(60), 300));
    assert!((silent.evidence().worse - 1.0).abs() < 1e-12, "nothing to compare with says nothing");
    let limited = plan(vec![(1_000_000, failures())]);
    let bad = after(limited.clone(), std::iter::repeat_n(alone(60), 3));
    assert!(matches!(bad.answer(), Answer::GoBack { .. }), "{:?}", bad.evidence());
    // A limit of five in a thousand: four or five units of a hundred with ten requests each.
    let good = after(limited.clone(), std::iter::repeat_n(alone(1), 300));
    assert!(good.evidence().worse < 1.0 && matches!(good.evidence().measures[0], Some(it) if it.good > 20.0));
    // Ten times the traffic is no fault.
    let rush = |failed| Tick { trial_requests: 10_000, ..alone(failed) };
    assert!(after(limited, std::iter::repeat_n(rush(10), 300)).evidence().worse < 20.0);
}

#[test]
fn what_could_be_seen_by_now_gets_smaller() {
    let mut analysis = Analysis::new(usual()).unwrap();
    let seen = |analysis: &Analysis| analysis.evidence().measures[0].unwrap().detectable.trial;
    assert_eq!(seen(&analysis), None);
    let mut before = 1.0;
    for n in 0..600 {
        analysis.step(&healthy(n)).unwrap();
        if n % 200 == 199 {
            let now = seen(&analysis).unwrap();
            assert!(now < before && now > 0.00145, "{now} after {n}");
            before = now;
        }
    }
    assert!(before < 0.006, "{before}");
}

#[test]
fn counts_that_can_not_be_change_nothing() {
    let mut analysis = after(usual(), (0..10).map(healthy));
    let before = serde_json::to_string(&analysis).unwrap();
    let broken = |change: &dyn Fn(&mut Tick)| {
        let mut tick = healthy(0);
        change(&mut tick);
        tick
    };
    for (tick, error) in [
        (broken(&|tick| tick.counts.truncate(2)), TickError::Length { expected: 3, found: 2 }),
        (broken(&|tick| tick.counts[0].trial_flagged = 11), TickError::Flagged { measure: 0 }),
        (broken(&|tick| tick.counts[1].control_flagged = 91), TickError::Flagged { measure: 1 }),
        (broken(&|tick| tick.counts[1].control_units = MAX_UNITS), TickError::Units { measure: 1 }),
        (broken(&|tick| tick.counts[2].trial_units = u32::MAX), TickError::Units { measure: 2 }),
        (broken(&|tick| tick.trial_requests = MAX_REQUESTS + 1), TickError::Requests),
        (broken(&|tick| tick.control_requests = 0), TickError::WithoutRequests { measure: 1 }),
        (broken(&|tick| tick.trial_requests = 0), TickError::WithoutRequests { measure: 0 }),
    ] {
        assert_eq!(analysis.step(&tick), Err(error));
        assert_eq!(serde_json::to_string(&analysis).unwrap(), before, "{error}");
    }
    assert_eq!(
        TickError::Flagged { measure: 1 }.to_string(),
        "in the counts of measure `1` more units are flagged than there are"
    );
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let error = |plan: Plan| Analysis::new(plan).unwrap_err();
    assert_eq!(error(plan(vec![])), PlanError::Nothing);
    assert_eq!(error(plan(vec![(999_999, slow())])), PlanError::Weights(999_999));
    assert_eq!(error(plan(vec![(1_000_000, slow()), (0, slow())])), PlanError::Weight(1));
    assert_eq!(error(plan(vec![(500_000, slow()), (500_000, Question::Invariant)])), PlanError::Weight(1));
    assert_eq!(error(plan(vec![(7_000, slow()); 129])), PlanError::Measures(129));
    let chance = |field, found, least, most| PlanError::Chance { field, found, least, most };
    assert_eq!(error(Plan { alpha_ppm: 0, ..usual() }), chance("alpha_ppm", 0, 1, 500_000));
    assert_eq!(error(Plan { beta_ppm: 600_000, ..usual() }), chance("beta_ppm", 600_000, 1, 500_000));
    let ticks = PlanError::Number { field: "horizon_ticks", found: 0, most: 50_000_000 };
    assert_eq!(ticks.to_string(), "`horizon_ticks` is `0` and must be from 1 to `50000000`");
    assert_eq!(error(Plan { horizon_ticks: 0, ..usual() }), ticks);
    let mut easy = failures();
    if let Question::Events { margin, .. } = &mut easy {
        margin.ratio_ppm = 999_999;
    }
    assert_eq!(error(plan(vec![(1_000_000, easy)])), chance("ratio_ppm", 999_999, 1_000_000, 10_000_000));
}

/// The form is frozen: an analysis that is under way when a program is replaced goes on.
#[test]
fn the_written_form() {
    let analysis = after(
        plan(vec![(1_000_000, slow())]),
        [Tick {
            trial_requests: 100,
            control_requests: 900,
            counts: vec![Counts { trial_units: 10, trial_flagged: 3, control_units: 90, control_flagged: 17 }],
        }],
    );
    let text = serde_json::to_string(&analysis).unwrap();
    assert_eq!(text, include_str!("tests/analysis.json").trim_end());
    assert_eq!(serde_json::from_str::<Analysis>(&text).unwrap(), analysis);
    for (good, bad) in [
        ("\"form\":1", "\"form\":2"),
        ("\"ticks\":1,\"trial\"", "\"ticks\":1,\"other\":1,\"trial\""),
        ("\"cash\":\"3fd", "\"cash\":\"7ff"),
        ("\"cash\":\"3fd", "\"cash\":\"3FD"),
        ("\"weight_ppm\":1000000", "\"weight_ppm\":1000001"),
        ("\"flagged\":3", "\"flagged\":11"),
        ("\"measures\":[{\"req", "\"measures\":[null,{\"req"),
    ] {
        let broken = text.replace(good, bad);
        assert_ne!(broken, text, "{good}");
        assert!(serde_json::from_str::<Analysis>(&broken).is_err(), "{bad}");
    }
}

fn any_tick() -> impl Strategy<Value = Tick> {
    let counts =
        (0_u32..60, 0_u32..100, 0.0..=1.0_f64, 0.0..=1.0_f64).prop_map(|(trial, control, worse, bad)| Counts {
            trial_units: trial,
            trial_flagged: (f64::from(trial) * worse * worse) as u32,
            control_units: control,
            control_flagged: (f64::from(control) * bad * bad) as u32,
        });
    (1_u64..5000, 1_u64..5000, prop::collection::vec(counts, 3)).prop_map(
        |(trial_requests, control_requests, mut counts)| {
            counts[2].trial_flagged = 0;
            Tick { trial_requests, control_requests, counts }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whoever reads an analysis that was written goes on with the same bits, and so does whoever starts over with the
    /// same ticks; and nothing that comes makes a number that is none.
    #[test]
    fn interrupted_and_repeated_it_is_the_same(ticks in prop::collection::vec(any_tick(), 1..60), cut in 0_usize..60) {
        let whole = after(usual(), ticks.clone());
        let mut parts = Analysis::new(usual()).unwrap();
        for (n, tick) in ticks.iter().enumerate() {
            if n == cut.min(ticks.len() - 1) {
                parts = serde_json::from_str(&serde_json::to_string(&parts).unwrap()).unwrap();
            }
            parts.step(tick).unwrap();
            let evidence = parts.evidence();
            prop_assert!(evidence.worse.is_finite() && evidence.different.is_finite());
            let answer = parts.answer();
            prop_assert_eq!(parts.is_ready(), answer == Answer::Promote);
            let went_back = matches!(answer, Answer::GoBack { .. });
            prop_assert_eq!(parts.went_back(), went_back);
            prop_assert!(went_back || evidence.worse < 100.0);
        }
        let text = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(&serde_json::to_string(&parts).unwrap(), &text);
        prop_assert_eq!(&serde_json::to_string(&after(usual(), ticks)).unwrap(), &text);
        prop_assert_eq!(parts.answer(), whole.answer());
    }
}

#[test]
fn invariants_alone_are_ready_once_they_were_looked_at_and_need_no_requests() {
    let mut analysis = Analysis::new(plan(vec![(0, Question::Invariant), (0, Question::Invariant)])).unwrap();
    let look = |flagged| Tick {
        trial_requests: 0,
        control_requests: 0,
        counts: vec![
            Counts { trial_units: 2, ..Counts::default() },
            Counts { trial_units: 2, trial_flagged: flagged, ..Counts::default() },
        ],
    };
    assert_eq!(analysis.answer(), Answer::NotYet { waits: vec![Wait::Traffic { measure: 0 }] });
    assert!(!analysis.is_ready());
    analysis.step(&look(0)).unwrap();
    assert!(analysis.is_ready() && analysis.may_raise());
    assert_eq!(analysis.answer(), Answer::Promote);
    analysis.step(&look(1)).unwrap();
    assert_eq!(analysis.answer(), Answer::GoBack { tick: 2, because: Because::Invariant { measure: 1 } });
    let written = serde_json::to_vec(&analysis).unwrap();
    let mut again: Analysis = serde_json::from_slice(&written).unwrap();
    again.step(&look(0)).unwrap();
    assert!(matches!(again.answer(), Answer::GoBack { tick: 2, .. }), "it stays so");
}
