//! A small part of the grid, on the streams of the whole one: that nothing goes back that should not, that what should goes
//! back soon, and that the models of the peers are the ones that were published.

use super::{
    cells::{ALPHA, FAULTS, Gate, SECOND, compare, source},
    gate, kayenta,
    latency::{Latency, Slower},
    peers, runs,
    stream::{Source, Units},
    thresholds,
    world::{P0, World},
};

const SEED: u64 = 20_261_123;
const THREADS: usize = 2;

/// With slots of a second, which take a quarter of the time.
fn by_seconds(rps: f64, share: f64, world: World) -> Source {
    Source { slots: 1, ..source(rps, share, world) }
}

/// The chance of so many of `n` or more, if each has the chance `p`.
fn at_least(n: usize, found: usize, p: f64) -> f64 {
    let (mut exactly, mut fewer) = ((1.0 - p).powi(i32::try_from(n).unwrap()), 0.0);
    for k in 0..found {
        fewer += exactly;
        exactly *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    1.0 - fewer
}

/// Fails where so many false alarms would be seen less than once in a hundred times if one in a hundred were false.
fn assert_promised(name: &str, n: usize, found: usize) {
    assert!(at_least(n, found, ALPHA) >= 0.01, "{name}: {found} of {n} went back");
}

fn false_alarms(source: Source, n: u64, ticks: gate::Ticks) -> usize {
    let plan = gate::plan(&source, ticks);
    let went_back = |run| gate::goes_back(&plan, ticks, &source.stream(SEED, run)).unwrap().is_some();
    runs(THREADS, n, went_back).into_iter().filter(|it| *it).count()
}

/// Half an hour each would say less: what goes wrong over time goes wrong late.
#[test]
fn in_no_world_does_a_version_that_is_not_worse_go_back() {
    const RUNS: u64 = 100;
    let second = gate::Ticks { slots: 1, ..SECOND };
    for (name, world) in World::NULLS {
        let found = false_alarms(by_seconds(100.0, 0.05, world), RUNS, second);
        assert_promised(name, RUNS as usize, found);
    }
}

/// Why units and not requests: the same mathematics by the request takes a burst of a replica for evidence.
#[test]
fn by_request_a_burst_looks_like_a_fault() {
    let world = World::Bursts { per_hour: 1.0, errors: 20.0, seconds: 1 };
    let by_request = gate::Ticks { slots: 1, rest: 0, by_request: true };
    let found = false_alarms(by_seconds(100.0, 0.05, world), 40, by_request);
    assert!(found >= 10, "{found}");
}

/// The promise of the mean number of failed requests, in a cell with few and one with many requests.
#[test]
fn a_bad_version_goes_back_after_few_failures() {
    for (rps, share) in [(100.0, 0.05), (1000.0, 0.10)] {
        let tick = rps * share;
        for (fault, most) in FAULTS.into_iter().zip([20.0, 8.0, 5.0 + 0.1 * tick, 4.0 + tick]) {
            let source = source(rps, share, World::Steady(fault));
            let cell = compare(source, &[Gate::Second, Gate::Quarter], false, 40, (&[], 1), (SEED, THREADS)).unwrap();
            for gate in [Gate::Second, Gate::Quarter] {
                let found = cell.gate(gate).unwrap();
                assert!(found.failed_mean <= most && found.went_back == 1.0, "{rps} {share} {fault}: {found:?}");
            }
        }
    }
}

#[test]
fn a_late_fault_is_found_within_seconds() {
    let source = by_seconds(1000.0, 0.10, World::Late(1800, 0.02));
    let cell = compare(source, &[Gate::Second], false, 20, (&[], 1), (SEED, THREADS)).unwrap();
    let found = cell.gate(Gate::Second).unwrap();
    assert!(found.went_back == 1.0 && (1801.0..=1812.0).contains(&found.median_s), "{found:?}");
}

/// A healthy version is ready after some thousand requests; one that is as bad as must be ruled out hardly ever is.
#[test]
fn promotion_is_soon_for_good_versions_and_seldom_for_bad_ones() {
    let second = gate::Ticks { slots: 1, ..SECOND };
    let promoted = |world, n| {
        let source = by_seconds(1000.0, 0.10, world);
        let plan = gate::plan(&source, second);
        let mut ready: Vec<_> =
            runs(THREADS, n, |run| gate::promotes(&plan, second, &source.stream(SEED, run)).unwrap());
        ready.sort_by_key(|seconds| seconds.unwrap_or(usize::MAX));
        ready
    };
    let good = promoted(World::Steady(P0), 60);
    let median = good[30].unwrap();
    assert!((20..=80).contains(&median), "{median} s of 100 requests each");
    let bad = promoted(World::Steady(2.0 * P0 + 5e-4), 60).iter().flatten().count();
    assert!(at_least(60, bad, 0.05) >= 0.01, "{bad} of 60");
}

/// Times that follow from the documents and sources of the peers, for versions that fail far more than their limits.
#[test]
fn the_peers_go_back_when_their_documents_say() {
    let tenth = source(1000.0, 0.10, World::Steady(0.1)).stream(SEED, 0);
    let all = source(1000.0, 0.10, World::Steady(1.0)).stream(SEED, 0);
    let healthy = source(1000.0, 0.10, World::Steady(P0)).stream(SEED, 0);
    let (sums, sums_all, sums_healthy) = (tenth.trial_sums(), all.trial_sums(), healthy.trial_sums());
    assert_eq!(peers::argo_background(&sums), Some(930));
    assert_eq!(peers::argo_background(&sums_all), Some(40));
    assert_eq!(peers::argo_inline(&sums), Some(300));
    assert_eq!(peers::flagger(&sums, 10), Some(660));
    assert_eq!(peers::flagger(&sums, 1), Some(120));
    assert_eq!(kayenta::judged(&tenth, 10, 5), Some(600));
    assert_eq!(kayenta::judged(&tenth, 60, 60), Some(3600));
    assert_eq!(peers::wald(&sums, P0, 0.1, ALPHA), Some(1));
    assert_eq!(peers::counts_test(&tenth, 0.1, ALPHA), Some(1));
    let none =
        [peers::argo_background(&sums_healthy), peers::argo_inline(&sums_healthy), peers::flagger(&sums_healthy, 1)];
    assert_eq!(none, [None; 3]);
    assert_eq!(kayenta::judged(&healthy, 60, 60), None);
    let silent = vec![(0.0, 0.0); 3601];
    assert_eq!(peers::flagger(&silent, 10), Some(660), "no traffic is a failed check");
    assert_eq!(thresholds::all(&sums).len(), 1092);
    assert_eq!(thresholds::all(&sums)[0], Some(10), "an interval of 10 s, a limit of 0.2 %, none allowed");
}

/// Of points that do not overlap, and of points that are the same.
#[test]
fn kayentas_judge() {
    let low: Vec<f64> = (0..10).map(|i| 0.001 * f64::from(i)).collect();
    let high: Vec<f64> = low.iter().map(|x| x + 1.0).collect();
    assert!(kayenta::is_high(&high, &low) && !kayenta::is_high(&low, &high));
    assert!(!kayenta::is_high(&low, &low) && !kayenta::is_high(&[], &low) && !kayenta::is_high(&[0.0; 5], &[0.0; 7]));
}

#[test]
fn slower_versions_go_back_and_equal_ones_do_not() {
    let latency = |slower| Latency { rps: 100.0, share: 0.05, slower, margins: true, pauses: None };
    let times = |slower, n| {
        let prepared = latency(slower).prepare(SEED);
        let mut times = runs(THREADS, n, |run| prepared.goes_back(SEED, run).unwrap().unwrap_or(f64::INFINITY));
        times.sort_by(f64::total_cmp);
        times
    };
    let found = times(Slower::No, 40).iter().filter(|seconds| seconds.is_finite()).count();
    assert_promised("equal latency", 40, found);
    for (slower, most) in [(Slower::Whole(2.0), 24.0), (Slower::Tail(2.0), 300.0), (Slower::Whole(1.2), 300.0)] {
        let median = times(slower, 20)[10];
        assert!(median <= most, "{slower:?}: {median} s");
    }
}

#[test]
fn the_same_seed_gives_the_same_stream_and_another_run_another() {
    let source = Source { units: Units::Replicas, ..source(100.0, 0.05, World::NULLS[7].1) };
    assert_eq!(source.stream(SEED, 3), source.stream(SEED, 3));
    assert_ne!(source.stream(SEED, 3), source.stream(SEED, 4));
    let requests: u32 = source.stream(SEED, 3).rows.iter().map(|row| row.trial.requests + row.control.requests).sum();
    assert!((358_000..363_000).contains(&requests), "{requests}");
}
