mod readings;

use std::collections::BTreeMap;

use ledger::statement::v1::{AnalysisTick, Asks, Line, Metric};
use model::{
    Serial,
    release::{Component, Environment, Health, Limits, Margins, Strategy},
};

use super::*;
use crate::world::{Put, World, production, system};

const WEB: &str = "web";
/// Requests of a unit in a tick.
const RATE: u64 = 4;

fn asked() -> model::release::Analysis {
    model::release::Analysis {
        steps: vec![20, 50],
        step_s: 3,
        keep_percent: 10,
        undecided_s: 120,
        silence_s: 10,
        tick_ms: 1_000,
        identity: Vec::new(),
        cohort: None,
        readings: None,
        reports_hold: None,
        margins: Margins { promote_added_ppm: 10_000, ..Margins::default() },
    }
}

fn document(ordinal: u64, analysis: Option<model::release::Analysis>) -> Release {
    let component = Component {
        name: WEB.parse().unwrap(),
        image: Digest::of(b"image"),
        command: Vec::new(),
        port: 8080,
        health: Health { path: None, interval_ms: 1, timeout_ms: 1, deadline_ms: 1 },
        zone: "front".parse().unwrap(),
        replicas: 1,
        limits: Limits { memory_mib: 1, cpu_percent: 1, pids: 1, tmp_mib: 1, stop_timeout_ms: 1 },
        volumes: Vec::new(),
        migrations: Vec::new(),
        environment: BTreeMap::new(),
        secrets: BTreeMap::new(),
        values: Vec::new(),
        drain: None,
    };
    let environment = Environment {
        name: production(),
        strategy: Strategy::Canary,
        expose: BTreeMap::from([(WEB.parse().unwrap(), ([127, 0, 0, 1], 1).into())]),
        watch_s: 1,
        error_limit_bp: 100,
        error_min_requests: 1,
        drain_s: 1,
        hold_ms: 1,
        approvals: None,
        analysis,
        versions: None,
        tcp: std::collections::BTreeSet::new(),
        surge: std::collections::BTreeMap::new(),
        newer: model::release::Newer::Usual,
    };
    Release {
        system: system(),
        serial: Serial::new(system(), ordinal),
        commit: format!("{ordinal:040x}").parse().unwrap(),
        components: vec![component],
        flows: Vec::new(),
        environments: vec![environment],
    }
}

/// A log in which the second release is compared with the first.
struct Told {
    world: World,
    put: Put,
    old: Digest,
    /// What is said next, and what it is computed by.
    claim: Analysis,
    analysis: stats::Analysis,
    /// Where statements of the comparison stand.
    at: Vec<u64>,
}

impl Told {
    fn new() -> Self {
        Self::edited(|_| {})
    }

    fn edited(edit: impl FnOnce(&mut Analysis)) -> Self {
        let (mut world, first, put) = World::two();
        world.milestone(&put, MilestoneKind::Begun);
        let line = |ratio_ppm, plus_ppm| Line { ratio_ppm, plus_ppm };
        let (old, new) = (first.claim.release, put.claim.release);
        let mut claim = Analysis {
            environment: production(),
            release: new,
            serial: put.claim.serial.clone(),
            other: old,
            proposal: put.proposal,
            salt: Split::salt_of(&old, &new, put.proposal),
            alpha_ppm: 10_000,
            beta_ppm: stats::BETA_PPM,
            horizon_ticks: stats::HORIZON_TICKS,
            metrics: vec![Metric {
                component: WEB.parse().unwrap(),
                asks: Asks::Failed { requests_per_million_unit_ticks: RATE * 1_000_000, margin: line(1_250_000, 200) },
                weight_ppm: 1_000_000,
                history_ppm: 1_000,
                history_unit_ticks: 10_000,
                promote: line(2_000_000, 10_000),
            }],
            first: 0,
            ticks: Vec::new(),
            answer: AnalysisAnswer::NotYet,
            times: Vec::new(),
        };
        edit(&mut claim);
        let analysis = stats::Analysis::new(settings(&claim)).unwrap();
        Self { world, put, old, claim, analysis, at: Vec::new() }
    }

    /// So many ticks at a share, of which some fail, and what follows.
    fn ticks(&mut self, count: usize, share: u8, flagged: u32) -> u64 {
        self.ticks_edited(count, share, flagged, |_| {})
    }

    fn ticks_edited(&mut self, count: usize, share: u8, flagged: u32, edit: impl FnOnce(&mut Analysis)) -> u64 {
        let tick = AnalysisTick {
            share,
            requests: u64::from(share) * RATE,
            other_requests: u64::from(UNITS - share) * RATE,
            counts: vec![[share.into(), flagged, (UNITS - share).into(), 0]],
        };
        let mut said_now = self.claim.clone();
        said_now.ticks = vec![tick; count];
        said_now.ticks.iter().for_each(|t| self.analysis.step(&counted(t)).unwrap());
        said_now.answer = said(&self.analysis);
        self.claim.first += count as u64;
        edit(&mut said_now);
        let index = self.world.say("agent", "agent", Claim::Analysis(Box::new(said_now)));
        self.at.push(index);
        index
    }

    fn quiet(&mut self, count: usize) -> u64 {
        let mut said_now = self.claim.clone();
        let counts = vec![[20, 0, 80, 0]];
        said_now.ticks = vec![AnalysisTick { share: 20, requests: 0, other_requests: 320, counts }; count];
        said_now.ticks.iter().for_each(|t| self.analysis.step(&counted(t)).unwrap());
        said_now.answer = said(&self.analysis);
        self.claim.first += count as u64;
        self.world.say("agent", "agent", Claim::Analysis(Box::new(said_now)))
    }

    fn did(&mut self, what: MilestoneKind) -> u64 {
        self.world.milestone(&self.put, what)
    }

    /// Up to the answer that it may be promoted.
    fn good(mut self) -> Self {
        self.did(MilestoneKind::Stepped);
        self.ticks(60, 20, 0);
        self.did(MilestoneKind::Stepped);
        for _ in 0..20 {
            self.ticks(60, 50, 0);
            if said(&self.analysis) == AnalysisAnswer::Promote {
                return self;
            }
        }
        panic!("no answer: {:?}", self.analysis.answer());
    }

    fn live(mut self) -> Self {
        self.did(MilestoneKind::Stepped);
        self.ticks(10, 90, 0);
        self.did(MilestoneKind::Watched);
        self.did(MilestoneKind::Live);
        self
    }

    fn found(&self) -> Vec<(u64, String)> {
        self.found_under(Some(asked()))
    }

    fn found_under(&self, analysis: Option<model::release::Analysis>) -> Vec<(u64, String)> {
        let (new, old) = (self.put.claim.release, self.old);
        let documents = |digest: &Digest| match *digest {
            digest if digest == new => Some(document(2, analysis.clone())),
            digest if digest == old => Some(document(1, analysis.clone())),
            _ => None,
        };
        found(&self.world, &documents)
    }
}

fn found(world: &World, documents: Documents<'_>) -> Vec<(u64, String)> {
    let mut comparisons = Comparisons::new();
    world.verified().iter().for_each(|entry| comparisons.take(entry, documents));
    comparisons.take_found().into_iter().map(|m| (m.index, m.what.to_string())).collect()
}

#[track_caller]
fn only(found: &[(u64, String)], index: u64, words: &str) {
    assert!(matches!(found, [(at, what)] if *at == index && what.contains(words)), "{index} {words}: {found:#?}");
}

#[test]
fn what_follows_is_let_be() {
    let told = Told::new().good().live();
    assert_eq!(told.found(), []);
    assert_eq!(found(&told.world, &|_| None), []);
    let mut bad = Told::new();
    bad.did(MilestoneKind::Stepped);
    bad.ticks(30, 20, 0);
    bad.ticks(10, 20, 3);
    assert_eq!(said(&bad.analysis), AnalysisAnswer::GoBack);
    bad.did(MilestoneKind::GoingBack);
    bad.did(MilestoneKind::WentBackWorse);
    assert_eq!(bad.found(), []);
}

#[test]
fn an_integer_that_was_changed_is_named_by_the_answer_that_does_not_follow() {
    for edited in 0..2 {
        let mut told = Told::new();
        told.did(MilestoneKind::Stepped);
        told.ticks(30, 20, 0);
        let index = told.ticks_edited(10, 20, 3, |claim| {
            for tick in &mut claim.ticks {
                if edited == 0 { tick.counts[0][1] = 0 } else { tick.counts[0][3] = 60 }
            }
        });
        only(&told.found(), index, "answers `go back` for `web`, and from its ticks follows `promote`");
    }
    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    let index = told.ticks_edited(30, 20, 0, |claim| claim.ticks[7].counts[0][0] = 19);
    only(&told.found(), index, "in tick 7 the units do not fit the share of 20 %");
    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    let index = told.ticks_edited(30, 20, 0, |claim| claim.ticks[7].counts[0][1] = 21);
    only(&told.found(), index, "tick 7 of `web` can not be");
}

#[test]
fn an_answer_that_does_not_follow_is_named() {
    let lies = [(1, 0, AnalysisAnswer::Promote), (20, 0, AnalysisAnswer::GoBack), (20, 5, AnalysisAnswer::NotYet)];
    for (ticks, flagged, lie) in lies {
        let mut told = Told::new();
        told.did(MilestoneKind::Stepped);
        let index = told.ticks_edited(ticks, 20, flagged, |claim| claim.answer = lie);
        only(&told.found(), index, "from its ticks follows");
    }
}

#[test]
fn a_missing_a_double_and_a_swapped_statement_are_named() {
    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    told.ticks(30, 20, 0);
    told.claim.first += 30;
    let after = told.ticks(30, 20, 0);
    only(&told.found(), after, "the ticks of `web` go on at 60, and the next one is 30");

    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    told.ticks(30, 20, 0);
    told.claim.first = 0;
    let again = told.ticks(30, 20, 0);
    only(&told.found(), again, "the ticks of `web` go on at 0, and the next one is 30");

    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    told.ticks(30, 20, 0);
    let (two, one) = (told.claim.first + 30, told.claim.first);
    told.claim.first = two;
    let swapped = told.ticks(30, 20, 0);
    told.claim.first = one;
    let other = told.ticks(30, 20, 0);
    let found = told.found();
    assert_eq!(found.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [swapped, other], "{found:?}");
}

#[test]
fn looser_than_approved_is_named() {
    type Edit = fn(&mut Analysis);
    let cases: [(Edit, &str); 8] = [
        (|c| c.alpha_ppm = 100, "alpha_ppm is 100, approved is 10000"),
        (|c| c.alpha_ppm = 50_000, "alpha_ppm is 50000, approved is 10000"),
        (|c| c.beta_ppm = 400_000, "beta_ppm is 400000"),
        (|c| c.horizon_ticks = 40_000_000, "horizon_ticks is 40000000"),
        (|c| c.metrics[0].promote.plus_ppm = 20_000, "failures, promote, plus_ppm is 20000, approved is 10000"),
        (
            |c| {
                if let Asks::Failed { margin, .. } = &mut c.metrics[0].asks {
                    margin.ratio_ppm = 1_260_000;
                }
            },
            "failures, margin, ratio_ppm is 1260000, approved is 1250000",
        ),
        (
            |c| {
                c.metrics[0].weight_ppm = 400_000;
                let asks = Asks::Slower { quantile_ppm: 990_000, control_us: 1_000, trial_us: 1_100, count: 1 };
                let slow = Metric { asks, weight_ppm: 600_000, ..c.metrics[0].clone() };
                c.metrics.push(Metric { promote: Line { ratio_ppm: 1_500_000, plus_ppm: 20_000 }, ..slow });
            },
            "weight_ppm at 990000 millionths is 600000, approved is 52500",
        ),
        (
            |c| {
                c.metrics[0].weight_ppm = 947_500;
                let asks = Asks::Slower { quantile_ppm: 990_000, control_us: 1_000, trial_us: 1_200, count: 1 };
                let slow = Metric { asks, weight_ppm: 52_500, ..c.metrics[0].clone() };
                c.metrics.push(Metric { promote: Line { ratio_ppm: 1_500_000, plus_ppm: 20_000 }, ..slow });
            },
            "trial_us at 990000 millionths is 1200, approved is 1100",
        ),
    ];
    for (edit, words) in cases {
        let mut told = Told::edited(edit);
        told.did(MilestoneKind::Stepped);
        let metrics = told.claim.metrics.len();
        let tick = |share: u32| vec![[share, 0, 100 - share, 0]; metrics];
        let mut claim = told.claim.clone();
        claim.ticks = vec![AnalysisTick { share: 20, requests: 80, other_requests: 320, counts: tick(20) }; 3];
        claim.ticks.iter().for_each(|tick| told.analysis.step(&counted(tick)).unwrap());
        claim.answer = said(&told.analysis);
        let index = told.world.say("agent", "agent", Claim::Analysis(Box::new(claim)));
        only(&told.found(), index, words);
        assert_eq!(found(&told.world, &|_| None), [], "{words}: nobody can tell without the documents");
    }
    // Numbers that change on the way need no document.
    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    told.ticks(30, 20, 0);
    let index = told.ticks_edited(30, 20, 0, |claim| claim.metrics[0].promote.plus_ppm = 400_000);
    assert!(found(&told.world, &|_| None).iter().any(|(at, what)| *at == index && what.contains("other numbers")));
}

#[test]
fn clients_are_divided_as_approved_and_by_a_name_that_nobody_chose() {
    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    let index = told.ticks(5, 50, 0);
    only(&told.found(), index, "the new version had 50 % of clients, which no step so far allows");
    let mut told = Told::edited(|claim| claim.salt = Digest::of(b"a name that was tried out"));
    told.did(MilestoneKind::Stepped);
    let index = told.ticks(5, 20, 0);
    only(&told.found(), index, "somebody may have chosen");
    let mut told = Told::edited(|claim| claim.other = Digest::of(b"a version that is worse"));
    told.did(MilestoneKind::Stepped);
    let index = told.ticks(5, 20, 0);
    assert!(told.found().iter().any(|(at, what)| *at == index && what.contains("the proposal replaces")));
}

#[test]
fn what_the_agent_did_must_be_what_the_answers_allow() {
    let mut early = Told::new();
    early.did(MilestoneKind::Stepped);
    early.ticks(1, 20, 0);
    early.did(MilestoneKind::Stepped);
    early.ticks(1, 50, 0);
    let kept = early.did(MilestoneKind::Stepped);
    early.did(MilestoneKind::Watched);
    early.did(MilestoneKind::Live);
    only(&early.found(), kept, "promoted, though the comparison of `web` had not answered");
    let without = found(&early.world, &|_| None);
    assert!(matches!(&*without, [(at, _)] if *at == kept + 1), "seen when it is watched: {without:?}");

    let mut on = Told::new();
    on.did(MilestoneKind::Stepped);
    on.ticks(30, 20, 5);
    assert_eq!(said(&on.analysis), AnalysisAnswer::GoBack);
    let stepped = on.did(MilestoneKind::Stepped);
    only(&on.found(), stepped, "it went on, though the comparison of `web` said to go back");

    let mut back = Told::new();
    back.did(MilestoneKind::Stepped);
    back.ticks(30, 20, 0);
    let worse = back.did(MilestoneKind::WentBackWorse);
    only(&back.found(), worse, "no answer says so");

    let mut none = Told::new();
    none.did(MilestoneKind::Switched);
    let watched = none.did(MilestoneKind::Watched);
    none.did(MilestoneKind::Live);
    only(&none.found(), watched, "without the comparison that the release documents ask for");
    assert_eq!(none.found_under(None), [], "neither document asks for one");

    let mut twice = Told::new().good().live();
    let after = twice.ticks(5, 90, 0);
    only(&twice.found(), after, "no rollout of proposal");
}

#[test]
fn silence_is_told_and_only_silence() {
    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    told.quiet(60);
    told.did(MilestoneKind::Quiet);
    told.ticks(10, 20, 0);
    told.did(MilestoneKind::WentBackUndecided);
    assert_eq!(told.found(), []);

    let mut kept = Told::new();
    kept.did(MilestoneKind::Stepped);
    let silent = kept.quiet(60);
    kept.ticks(10, 20, 0);
    kept.did(MilestoneKind::WentBackUndecided);
    only(&kept.found(), silent, "nobody was told");

    let mut lie = Told::new();
    lie.did(MilestoneKind::Stepped);
    lie.ticks(60, 20, 0);
    let quiet = lie.did(MilestoneKind::Quiet);
    lie.ticks(60, 20, 0);
    lie.did(MilestoneKind::WentBackUndecided);
    only(&lie.found(), quiet, "the ticks say that it did");
}

/// Nothing that was counted is forgotten by beginning again.
#[test]
fn what_begins_again_while_it_is_not_over_is_named() {
    let mut told = Told::new();
    told.did(MilestoneKind::Stepped);
    while said(&told.analysis) != AnalysisAnswer::GoBack {
        told.ticks(5, 20, 15);
    }
    let again = told.did(MilestoneKind::Begun);
    told.claim.first = 0;
    told.analysis = stats::Analysis::new(settings(&told.claim)).unwrap();
    let told = told.good().live();
    let found = told.found();
    assert!(found.iter().any(|(at, what)| *at == again && what.contains("is not over")), "{found:#?}");
    assert!(found.iter().any(|(at, _)| *at > again), "nor does what follows from the new count");
}

#[test]
fn what_is_live_without_having_begun_is_named() {
    let (mut world, first, put) = World::two();
    let live = world.milestone(&put, MilestoneKind::Live);
    let (new, old) = (put.claim.release, first.claim.release);
    let documents = |asked: bool| {
        move |digest: &Digest| match *digest {
            digest if digest == new => Some(document(2, asked.then(self::asked))),
            digest if digest == old => Some(document(1, asked.then(self::asked))),
            _ => None,
        }
    };
    only(&found(&world, &documents(true)), live, "without the comparison");
    assert_eq!(found(&world, &documents(false)), [], "nobody asked for one");
    // Nor is it excused later as something that ran.
    world.milestone(&put, MilestoneKind::Begun);
    let later = world.milestone(&put, MilestoneKind::Live);
    let found = found(&world, &documents(true));
    assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [live, later]);
}
