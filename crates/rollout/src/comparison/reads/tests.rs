//! What is promised of counters, tried on simulated instances: a version that is no worse goes back seldom enough, whatever
//! its share and whatever happens to single instances, and a worse one goes back soon.

use super::{Change, sample, sampled};
use model::Digest;
use stats::{Analysis, Margin, Measure, Plan, Question};

/// What happens to the payments of one second.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Steady,
    /// Both versions reject one in four for half a minute.
    Incident,
    /// Each instance by itself, once in two minutes, rejects everything for one second.
    Bursts,
    /// From a third to three times as many, both alike.
    Drift,
    /// The trial's share goes from one to ninety percent.
    Ramp,
}

/// SplitMix64 again, for the world and not for the samples.
struct Chance(u64);

impl Chance {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const SECONDS: u32 = 300;
/// Simulated canaries a cell: enough to see a promise broken by much.
const RUNS: u64 = 10;
/// Payments a second of all.
const RATE: f64 = 150.0;
const INSTANCES: u64 = 3;

/// After how many seconds it goes back.
fn goes_back(seed: u64, weather: Weather, share: f64, p0: f64, p1: f64) -> Option<u32> {
    let mut chance = Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let at_most = sample::best((p0 * 10_000.0) as u64, 10_000);
    let question = Question::Events {
        requests_per_million_unit_ticks: 1_000_000 * at_most.min((RATE * share / 3.0) as u64).max(1),
        history_ppm: (p0 * 1e6) as u32,
        history_unit_ticks: 1_000,
        margin: Margin { ratio_ppm: 1_250_000, plus_ppm: 1_000 },
        promote: Margin { ratio_ppm: 2_000_000, plus_ppm: 10_000 },
        limit_ppm: None,
    };
    let measures = vec![Measure { weight_ppm: 1_000_000, question }];
    let plan = Plan { measures, alpha_ppm: 10_000, beta_ppm: 50_000, horizon_ticks: 3_600 };
    let mut analysis = Analysis::new(plan).unwrap();
    for second in 0..SECONDS {
        let part = f64::from(second) / f64::from(SECONDS);
        let share = if matches!(weather, Weather::Ramp) { 0.01 + 0.89 * part } else { share };
        let times = match weather {
            Weather::Incident if (100..130).contains(&second) => 0.25 / p0,
            Weather::Drift => 3.0_f64.powf((6.3 * part).sin()),
            _ => 1.0,
        };
        let mut side = |p: f64, share: f64, name: &str| -> Vec<Change> {
            (0..INSTANCES)
                .map(|n| {
                    let burst = matches!(weather, Weather::Bursts) && chance.share() < 1.0 / 120.0;
                    let p = if burst { 1.0 } else { (p * times).min(1.0) };
                    let of = (0..(2.0 * RATE * share / INSTANCES as f64).ceil() as u64)
                        .filter(|_| chance.share() < 0.5)
                        .count();
                    let bad = (0..of).filter(|_| chance.share() < p).count();
                    Change { instance: format!("{name}.{n}"), of: of as u64, bad: bad as u64 }
                })
                .collect()
        };
        let (trial, control) = (side(p1, share, "new"), side(p0, 1.0 - share, "old"));
        let seed = sample::Seed {
            salt: Digest::of(&seed.to_be_bytes()),
            name: Digest::of(b"rejected"),
            of: Digest::of(b"all"),
            tick: second.into(),
        };
        analysis.step(&sampled(at_most, &seed, &trial, &control)).unwrap();
        if analysis.went_back() {
            return Some(second + 1);
        }
    }
    None
}

#[test]
fn a_version_that_is_no_worse_goes_back_once_in_a_hundred_at_most() {
    let (runs, mut false_alarms, mut all) = (RUNS, 0, 0);
    for weather in [Weather::Steady, Weather::Incident, Weather::Bursts, Weather::Drift, Weather::Ramp] {
        for share in [0.05, 0.5, 0.95] {
            for p0 in [0.01, 0.2] {
                let here = (0..runs).filter(|n| goes_back(*n, weather, share, p0, p0).is_some()).count();
                false_alarms += here;
                all += runs;
            }
        }
    }
    // One in a hundred of 300 would be more than 10 once in 3,000 times.
    assert!(false_alarms <= 10, "{false_alarms} of {all}");
}

#[test]
fn a_version_that_is_worse_goes_back_soon_at_any_share() {
    for (share, p0, p1, limit_s) in
        [(0.05, 0.02, 0.3, 40), (0.5, 0.02, 0.3, 15), (0.95, 0.02, 0.3, 40), (0.5, 0.2, 0.5, 60)]
    {
        let mut times: Vec<u32> =
            (0..21).map(|n| goes_back(n, Weather::Steady, share, p0, p1).unwrap_or(SECONDS)).collect();
        times.sort_unstable();
        assert!(times[10] <= limit_s, "{share} {p0} {p1}: {times:?}");
    }
}
