//! What components say of themselves, in an audit: what follows is let be, and each lie about it is found. It refuses to know
//! how components are read.

use ledger::statement::v1::Worse as Bad;
use model::release::{Counter, Invariant, Readings, Worse};

use super::*;

const REJECTED: &str = "payments_rejected_total";
const PAYMENTS: &str = "payments_total";
const CARDS: &str = "cards_total";
const IMBALANCE: &str = "imbalance_cents";
const NEGATIVE: &str = "accounts_below_zero";
/// Of what a counter counts out of, so many are looked at in each instance and tick.
const SAMPLE: u64 = 10;

fn counter_of(of: &str) -> Counter {
    Counter {
        component: WEB.parse().unwrap(),
        path: "/metrics".to_owned(),
        name: REJECTED.parse().unwrap(),
        of: of.parse().unwrap(),
        worse: Worse::More,
        ratio_percent: 125,
        added_ppm: 1_000,
        promote_ratio_percent: 300,
        promote_added_ppm: 50_000,
    }
}

fn asked_with(counters: Vec<Counter>) -> model::release::Analysis {
    let invariant = |name: &str| Invariant {
        component: WEB.parse().unwrap(),
        path: "/money".to_owned(),
        name: name.parse().unwrap(),
        equals: 0,
    };
    let invariants = vec![invariant(IMBALANCE), invariant(NEGATIVE)];
    model::release::Analysis { readings: Some(Readings { unreadable_s: 6, counters, invariants }), ..asked() }
}

fn digest(series: &str) -> Digest {
    series.parse::<model::Series>().unwrap().digest()
}

/// One comparison of what components say.
struct Stream {
    claim: Analysis,
    analysis: stats::Analysis,
}

impl Stream {
    fn new(claim: Analysis) -> Self {
        let analysis = stats::Analysis::new(settings(&claim)).unwrap();
        Self { claim, analysis }
    }

    fn counter(claim: &Analysis, of: &str, alpha_ppm: u32, edit: impl FnOnce(&mut Analysis)) -> Self {
        let line = |ratio_ppm, plus_ppm| Line { ratio_ppm, plus_ppm };
        let asks = Asks::Counter {
            name: digest(REJECTED),
            of: digest(of),
            worse: Bad::More,
            requests_per_million_unit_ticks: SAMPLE * 1_000_000,
            margin: line(1_250_000, 1_000),
        };
        let metric = Metric { asks, promote: line(3_000_000, 50_000), ..claim.metrics[0].clone() };
        let mut claim = Analysis { alpha_ppm, metrics: vec![metric], ..claim.clone() };
        edit(&mut claim);
        Self::new(claim)
    }

    fn invariants(claim: &Analysis, names: &[&str]) -> Self {
        let metric = |name: &&str| Metric {
            asks: Asks::Invariant { name: digest(name) },
            weight_ppm: 0,
            history_ppm: 0,
            history_unit_ticks: 0,
            ..claim.metrics[0].clone()
        };
        let metrics = names.iter().map(metric).collect();
        Self::new(Analysis { alpha_ppm: stats::ALPHA_PPM, metrics, ..claim.clone() })
    }

    /// So many ticks of two instances of each version, with so many bad ones of the new.
    fn ticks(&mut self, world: &mut World, count: usize, flagged: u32, edit: impl FnOnce(&mut Analysis)) -> u64 {
        let is_counter = matches!(self.claim.metrics[0].asks, Asks::Counter { .. });
        let (requests, row) = if is_counter { (2 * SAMPLE, [2, flagged, 2, 0]) } else { (0, [2, flagged, 0, 0]) };
        let counts = vec![row; self.claim.metrics.len()];
        let tick = AnalysisTick { share: 20, requests, other_requests: requests, counts };
        let mut claim = Analysis { ticks: vec![tick; count], ..self.claim.clone() };
        claim.ticks.iter().for_each(|t| self.analysis.step(&counted(t)).unwrap());
        claim.answer = said(&self.analysis);
        self.claim.first += count as u64;
        edit(&mut claim);
        world.say("agent", "agent", Claim::Analysis(Box::new(claim)))
    }

    fn good(&mut self, world: &mut World) {
        for _ in 0..20 {
            self.ticks(world, 60, 0, |_| {});
            if said(&self.analysis) == AnalysisAnswer::Promote {
                return;
            }
        }
        panic!("no answer: {:?}", self.analysis.answer());
    }
}

/// A log in which what components say is compared beside what the edge counts.
struct Reading {
    told: Told,
    counter: Stream,
    invariants: Stream,
}

impl Reading {
    fn new() -> Self {
        Self::edited(|_| {})
    }

    fn edited(edit: impl FnOnce(&mut Analysis)) -> Self {
        // Of one chance of a false alarm a fifth is the counters'.
        let mut told = Told::edited(|claim| claim.alpha_ppm = 8_000);
        told.did(MilestoneKind::Stepped);
        let counter = Stream::counter(&told.claim, PAYMENTS, 2_000, edit);
        let invariants = Stream::invariants(&told.claim, &[IMBALANCE, NEGATIVE]);
        Self { told, counter, invariants }
    }

    fn counts(&mut self, count: usize, flagged: u32, edit: impl FnOnce(&mut Analysis)) -> u64 {
        self.counter.ticks(&mut self.told.world, count, flagged, edit)
    }

    fn looks(&mut self, count: usize, flagged: u32, edit: impl FnOnce(&mut Analysis)) -> u64 {
        self.invariants.ticks(&mut self.told.world, count, flagged, edit)
    }

    /// What the edge counted, up to the answer that it may be promoted, and the step after it.
    fn promoted(&mut self) -> u64 {
        self.told.ticks(60, 20, 0);
        self.told.did(MilestoneKind::Stepped);
        for _ in 0..20 {
            self.told.ticks(60, 50, 0);
            if said(&self.told.analysis) == AnalysisAnswer::Promote {
                return self.told.did(MilestoneKind::Stepped);
            }
        }
        panic!("no answer: {:?}", self.told.analysis.answer());
    }

    fn live(&mut self) {
        self.told.did(MilestoneKind::Watched);
        self.told.did(MilestoneKind::Live);
    }

    fn found(&self) -> Vec<(u64, String)> {
        self.told.found_under(Some(asked_with(vec![counter_of(PAYMENTS)])))
    }
}

#[test]
fn what_follows_of_readings_is_let_be() {
    let mut good = Reading::new();
    good.counter.good(&mut good.told.world);
    good.looks(60, 0, |_| {});
    good.promoted();
    good.live();
    assert_eq!(good.found(), []);
    assert_eq!(found(&good.told.world, &|_| None), []);
    for counter in [true, false] {
        let mut bad = Reading::new();
        bad.counts(20, 0, |_| {});
        bad.looks(20, 0, |_| {});
        if counter {
            bad.counts(40, 2, |_| {})
        } else {
            bad.looks(1, 1, |_| {})
        };
        let worse = if counter { &bad.counter } else { &bad.invariants };
        assert_eq!(said(&worse.analysis), AnalysisAnswer::GoBack);
        bad.told.did(MilestoneKind::GoingBack);
        bad.told.did(MilestoneKind::WentBackWorse);
        assert_eq!(bad.found(), []);
    }
}

/// Two counters of one name out of different things are two comparisons.
#[test]
fn a_counter_is_told_from_another_by_what_it_counts_out_of() {
    let mut two = Reading::edited(|claim| claim.alpha_ppm = 1_000);
    let mut cards = Stream::counter(&two.told.claim, CARDS, 1_000, |_| {});
    for _ in 0..3 {
        two.counts(20, 0, |_| {});
        cards.ticks(&mut two.told.world, 20, 0, |_| {});
    }
    let asks = Some(asked_with(vec![counter_of(PAYMENTS), counter_of(CARDS)]));
    assert_eq!(two.told.found_under(asks), []);
}

#[test]
fn each_lie_about_readings_is_found() {
    type Lie = fn(&mut Reading) -> u64;
    let lies: [(Lie, &str); 12] = [
        (
            |r| r.counts(40, 2, |c| c.ticks.iter_mut().for_each(|t| t.counts[0][1] = 0)),
            "answers `go back` for `web`, and from its ticks follows",
        ),
        (|r| r.counts(1, 0, |c| c.answer = AnalysisAnswer::Promote), "from its ticks follows `not yet`"),
        (|r| r.counts(40, 2, |c| c.answer = AnalysisAnswer::NotYet), "from its ticks follows `go back`"),
        (|r| r.looks(1, 1, |c| c.answer = AnalysisAnswer::Promote), "from its ticks follows `go back`"),
        (|r| r.looks(9, 1, |c| c.ticks.iter_mut().for_each(|t| t.counts[1][1] = 3)), "tick 0 of `web` can not be"),
        (
            |r| {
                r.counts(20, 0, |_| {});
                r.counter.claim.first += 5;
                r.counts(20, 0, |_| {})
            },
            "the ticks of `web` go on at 25, and the next one is 20",
        ),
        (
            |r| {
                r.looks(20, 0, |_| {});
                r.invariants.claim.first += 1;
                r.looks(20, 0, |_| {})
            },
            "the ticks of `web` go on at 21, and the next one is 20",
        ),
        (
            |r| {
                r.counts(40, 2, |_| {});
                r.told.did(MilestoneKind::Stepped)
            },
            "it went on, though the comparison of `web` said to go back",
        ),
        (
            |r| {
                r.looks(1, 1, |_| {});
                r.told.did(MilestoneKind::Stepped)
            },
            "it went on, though the comparison of `web` said to go back",
        ),
        (
            |r| {
                r.looks(60, 0, |_| {});
                let promoted = r.promoted();
                r.live();
                promoted
            },
            "promoted, though the comparison of `web` had not answered",
        ),
        (
            |r| {
                r.counter.good(&mut r.told.world);
                let promoted = r.promoted();
                r.live();
                promoted
            },
            "promoted, though the comparison of `web` had not answered",
        ),
        (
            |r| {
                r.counts(1, 0, |_| {});
                r.looks(60, 0, |_| {});
                let promoted = r.promoted();
                r.live();
                promoted
            },
            "promoted, though the comparison of `web` had not answered",
        ),
    ];
    for (lie, words) in lies {
        let mut reading = Reading::new();
        let index = lie(&mut reading);
        only(&reading.found(), index, words);
    }
}

#[test]
fn a_counter_that_is_judged_looser_than_approved_is_found() {
    type Edit = fn(&mut Analysis);
    fn margin(claim: &mut Analysis) -> &mut Line {
        match &mut claim.metrics[0].asks {
            Asks::Counter { margin, .. } => margin,
            other => panic!("{other:?}"),
        }
    }
    let cases: [(Edit, &str); 9] = [
        (|c| c.alpha_ppm = 1_999, "alpha_ppm is 1999, approved is 2000"),
        (|c| c.alpha_ppm = 2_001, "alpha_ppm is 2001, approved is 2000"),
        (|c| c.beta_ppm = 400_000, "beta_ppm is 400000"),
        (|c| c.horizon_ticks = 40_000_000, "horizon_ticks is 40000000"),
        (|c| margin(c).ratio_ppm = 1_250_001, "counter, margin, ratio_ppm is 1250001, approved is 1250000"),
        (|c| margin(c).plus_ppm = 1_001, "counter, margin, plus_ppm is 1001, approved is 1000"),
        (|c| c.metrics[0].promote.ratio_ppm = 3_000_001, "counter, promote, ratio_ppm is 3000001"),
        (|c| c.metrics[0].promote.plus_ppm = 50_001, "counter, promote, plus_ppm is 50001, approved is 50000"),
        (
            |c| {
                c.metrics[0].weight_ppm = 1;
                c.metrics.push(Metric { weight_ppm: 999_999, ..c.metrics[0].clone() });
            },
            "a counter is compared by one row",
        ),
    ];
    for (edit, words) in cases {
        let mut reading = Reading::edited(edit);
        let index = reading.counts(3, 0, |_| {});
        only(&reading.found(), index, words);
        assert_eq!(found(&reading.told.world, &|_| None), [], "{words}: nobody can tell without the documents");
    }
}

#[test]
fn what_nobody_asked_for_is_no_reading() {
    // Out of something else it may look better.
    let mut of = Reading::new();
    of.counter = Stream::counter(&of.told.claim, CARDS, 2_000, |_| {});
    let index = of.counts(3, 0, |_| {});
    only(&of.found(), index, "do not ask to compare this counter");

    let mut fewer = Reading::edited(|claim| {
        if let Asks::Counter { worse, .. } = &mut claim.metrics[0].asks {
            *worse = Bad::Fewer;
        }
    });
    let index = fewer.counts(3, 0, |_| {});
    only(&fewer.found(), index, "do not ask to compare this counter");

    // Nor is an invariant left out of those that are read together.
    let mut one = Reading::new();
    one.invariants = Stream::invariants(&one.told.claim, &[NEGATIVE]);
    let index = one.looks(3, 0, |_| {});
    only(&one.found(), index, "ask for other invariants");

    let mut none = Reading::new();
    let index = none.looks(3, 0, |_| {});
    only(&none.told.found_under(Some(asked())), index, "ask for other invariants");
}
