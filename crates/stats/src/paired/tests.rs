//! The exact chances against tables and brute force, the invariances of a comparison, and what must never pass.

use proptest::prelude::*;

use super::*;

const LATENCY: Metric = Metric::Slower { quantile_ppm: 990_000 };

fn policy(metrics: &[Metric]) -> Policy {
    let limit = |metric: &Metric| match metric {
        Metric::Failed => Limit { metric: *metric, harmless_ppm: 200, bound_ppm: 1_000 },
        other => Limit { metric: *other, harmless_ppm: 50_000, bound_ppm: 150_000 },
    };
    Policy { limits: metrics.iter().map(limit).collect() }
}

fn pairs(count: usize, candidate: u64, baseline: u64) -> Vec<Pair> {
    // Never the same twice, so that there are ranks.
    (0..count as u64).map(|at| Pair { candidate: candidate + at * 3 % 7, baseline: baseline + at % 5 }).collect()
}

fn failures(count: usize, candidate: u64, baseline: u64) -> Blocks {
    let block = Failures { requests: Pair { candidate: 5_000, baseline: 5_000 }, failed: Pair { candidate, baseline } };
    Blocks::Failed(vec![block; count])
}

/// Tables of the signed-rank test, one-sided: Wilcoxon and Wilcox 1964.
#[test]
fn chances_are_those_of_the_tables() {
    for (n, most, ppm) in
        [(12_i128, 7, 5_000), (12, 13, 25_000), (12, 17, 50_000), (24, 61, 5_000), (24, 81, 25_000), (24, 91, 50_000)]
    {
        // The ranks of the positive ones add up to `sum`: greedily, from the highest rank that still fits.
        let with_sum = |sum: i128| {
            let mut left = sum;
            let mut scores: Vec<i128> = Vec::new();
            for rank in (1..=n).rev() {
                let takes = rank <= left;
                left -= if takes { rank } else { 0 };
                scores.push(if takes { rank } else { -rank });
            }
            assert_eq!(left, 0);
            signed_rank(&scores).at_most
        };
        assert!(with_sum(most).is_within(ppm, 1), "{n}, {most}: {:?}", with_sum(most));
        assert!(!with_sum(most + 1).is_within(ppm, 1), "{n}, {most}: {:?}", with_sum(most + 1));
    }
    assert_eq!(signed_rank(&[1; 12]).at_least, Chance { ways: 1, signs: 12 });
    assert_eq!(signed_rank(&[0; 12]).at_least, Chance { ways: 1, signs: 0 });
}

proptest! {
    /// All signs tried one by one.
    #[test]
    fn chances_are_what_brute_force_counts(sizes in prop::collection::vec(0_i128..6, 1..9), given in any::<u16>()) {
        let signed = |mask: u32| -> Vec<i128> {
            sizes.iter().enumerate().map(|(at, size)| if mask >> at & 1 == 1 { *size } else { -*size }).collect()
        };
        let sum = |mask: u32| signed_rank(&signed(mask)).above_middle;
        let all = 1_u32 << sizes.len();
        let mask = u32::from(given) % all;
        let ranked = signed_rank(&signed(mask));
        let count = |holds: &dyn Fn(i64) -> bool| (0..all).filter(|m| holds(sum(*m))).count() as f64 / f64::from(all);
        let (least, most) = (count(&|s| s >= ranked.above_middle), count(&|s| s <= ranked.above_middle));
        prop_assert!((ranked.at_least.as_f64() - least).abs() < 1e-12);
        prop_assert!((ranked.at_most.as_f64() - most).abs() < 1e-12);
        // Never more often below a level than the level says.
        for ppm in [5_000, 25_000, 100_000] {
            let rejected = (0..all).filter(|m| signed_rank(&signed(*m)).at_least.is_within(ppm, 1)).count();
            prop_assert!(rejected as f64 / f64::from(all) <= ppm as f64 / 1e6);
        }
    }

    /// Versions that change places change sides; the order of blocks is nothing.
    #[test]
    fn a_comparison_has_no_favourite(counts in prop::collection::vec((0_u64..500, 0_u64..500), 12..13), turn in 0_usize..12) {
        let of = |swap: bool, turn: usize| {
            let mut scores: Vec<i128> = counts.iter().map(|(a, b)| {
                let (a, b) = (u128::from(2 * a + 1), u128::from(2 * b + 1));
                if swap { ratio(b, a) } else { ratio(a, b) }
            }).collect();
            scores.rotate_left(turn);
            signed_rank(&scores)
        };
        prop_assert_eq!(of(false, 0), of(false, turn));
        prop_assert_eq!(of(false, 0).at_least, of(true, 0).at_most);
        prop_assert_eq!(of(false, 0).above_middle, -of(true, 0).above_middle);
    }

    /// A slower candidate is never found faster, and what is counted is all there is.
    #[test]
    fn beyond_the_quantile_rises_with_the_candidate(
        candidate in prop::collection::btree_map(1_u64..5_000, 1_u64..20, 1..40),
        baseline in prop::collection::btree_map(1_u64..5_000, 1_u64..20, 1..40),
        quantile_ppm in 1_u32..1_000_000,
        scale in 200_000_u64..3_000_000,
    ) {
        let list = |of: &std::collections::BTreeMap<u64, u64>| of.iter().map(|(v, c)| (*v, *c)).collect::<Vec<_>>();
        let (c, b) = (list(&candidate), list(&baseline));
        let tick = [PooledTick { candidate: &c, baseline: &b }];
        let (now, faster) = (exceedances(&tick, quantile_ppm, scale), exceedances(&tick, quantile_ppm, scale + 100_000));
        prop_assert!(faster.candidate <= now.candidate && faster.baseline >= now.baseline);
        let all: u64 = c.iter().chain(&b).map(|(_, count)| count).sum();
        let most = u128::from(all) * u128::from(1_000_000 - quantile_ppm) / 1_000_000;
        prop_assert!(u128::from(now.candidate + now.baseline) <= most);
    }
}

#[test]
fn what_is_worse_is_regressed_and_what_is_equal_passes() {
    let policy = policy(&[LATENCY, Metric::Cost, Metric::Failed]);
    // At a margin of 5 % equals have fewer of the candidate beyond, at 15 % many fewer.
    let same = |n| Blocks::Slower { harmless: pairs(n, 80, 120), bound: pairs(n, 40, 160) };
    let cost = |n, candidate| Blocks::Cost(pairs(n, candidate, 1_000_000));
    for n in [12, 24, 48] {
        let decision = decide(&policy, &[same(n), cost(n, 1_000_000), failures(n, 0, 0)]).unwrap();
        assert_eq!(decision.answer, Answer::NotRegressed, "{n}: {decision:?}");
        let decision = decide(&policy, &[same(n), cost(n, 1_060_000), failures(n, 0, 0)]).unwrap();
        assert_eq!(decision.answer, Answer::Regressed(vec![1]), "{n}");
        let slower = Blocks::Slower { harmless: pairs(n, 160, 60), bound: pairs(n, 110, 90) };
        let decision = decide(&policy, &[slower, cost(n, 1_000_000), failures(n, 0, 0)]).unwrap();
        assert_eq!(decision.answer, Answer::Regressed(vec![0]), "{n}");
        // Fast and wrong.
        let fast = Blocks::Slower { harmless: pairs(n, 0, 200), bound: pairs(n, 0, 200) };
        let decision = decide(&policy, &[fast, cost(n, 10_000), failures(n, 50, 0)]).unwrap();
        assert_eq!(decision.answer, Answer::Regressed(vec![2]), "{n}");
    }
    let throughput =
        Policy { limits: [policy.limits[2], Limit { metric: Metric::Throughput, ..policy.limits[1] }].into() };
    let of = |candidate| decide(&throughput, &[failures(12, 0, 0), Blocks::Throughput(pairs(12, candidate, 100_000))]);
    assert_eq!(of(90_000).unwrap().answer, Answer::Regressed(vec![1]));
    assert_eq!(of(100_000).unwrap().answer, Answer::NotRegressed);
}

#[test]
fn what_is_between_is_looked_at_again_and_never_passes() {
    let policy = policy(&[Metric::Cost, Metric::Failed]);
    // A tenth worse, between what is harmless and the bound, and so noisy that it could be either.
    let noisy = |n: usize| {
        let block = |at: usize| {
            let spread = 0.2 + 0.1 * (at / 2) as f64;
            let away = libm::exp(if at.is_multiple_of(2) { spread } else { -spread });
            Pair { candidate: (1_100_000.0 * away) as u64, baseline: 1_000_000 }
        };
        Blocks::Cost((0..n).map(block).collect())
    };
    for (n, next) in [(12, Some(24)), (24, Some(48)), (48, None)] {
        let decision = decide(&policy, &[noisy(n), failures(n, 0, 0)]).unwrap();
        assert_eq!(decision.answer, Answer::Inconclusive { next, unclear: vec![0] }, "{n}");
    }
}

#[test]
fn a_run_that_is_not_whole_is_refused() {
    let policy = policy(&[LATENCY, Metric::Cost, Metric::Failed]);
    let slower = |n| Blocks::Slower { harmless: pairs(n, 80, 120), bound: pairs(n, 40, 160) };
    let cost = |n| Blocks::Cost(pairs(n, 1_000_000, 1_000_000));
    let whole = || vec![slower(12), cost(12), failures(12, 0, 0)];
    let refused = |measured: Vec<Blocks>| decide(&policy, &measured).unwrap_err();
    assert_eq!(refused(vec![]), PairedError::NotALook { metric: 0, blocks: 0 });
    assert_eq!(
        refused(vec![slower(11), cost(11), failures(11, 0, 0)]),
        PairedError::NotALook { metric: 0, blocks: 11 }
    );
    assert_eq!(
        refused(vec![slower(12), cost(24), failures(12, 0, 0)]),
        PairedError::NotALook { metric: 1, blocks: 24 }
    );
    assert_eq!(refused(vec![slower(12), cost(12)]), PairedError::NotMeasured { metric: 2 });
    assert_eq!(refused(vec![slower(12), failures(12, 0, 0), cost(12)]), PairedError::NotMeasured { metric: 1 });
    assert_eq!(refused([whole(), vec![cost(12)]].concat()), PairedError::NotMeasured { metric: 3 });
    let uneven = Blocks::Slower { harmless: pairs(12, 8, 8), bound: pairs(11, 8, 8) };
    assert_eq!(refused(vec![uneven, cost(12), failures(12, 0, 0)]), PairedError::NotALook { metric: 0, blocks: 0 });
    let none = Blocks::Cost(vec![Pair { candidate: 0, baseline: 5 }; 12]);
    assert_eq!(refused(vec![slower(12), none, failures(12, 0, 0)]), PairedError::Empty { metric: 1, block: 0 });
    let huge = Blocks::Cost(vec![Pair { candidate: u64::MAX, baseline: u64::MAX }; 12]);
    assert_eq!(refused(vec![slower(12), huge, failures(12, 0, 0)]), PairedError::Impossible { metric: 1, block: 0 });
    assert_eq!(
        refused(vec![slower(12), cost(12), failures(12, 5_001, 0)]),
        PairedError::Impossible { metric: 2, block: 0 }
    );
    let idle = Failures { requests: Pair { candidate: 0, baseline: 9 }, failed: Pair { candidate: 0, baseline: 0 } };
    let idle = Blocks::Failed(vec![idle; 12]);
    assert_eq!(refused(vec![slower(12), cost(12), idle]), PairedError::Empty { metric: 2, block: 0 });
}

#[test]
fn a_policy_that_decides_nothing_is_refused() {
    assert_eq!(Policy::usual().check(), Ok(()));
    let refused = |limits: &[Limit]| Policy { limits: limits.to_vec() }.check().unwrap_err();
    let failed = Limit { metric: Metric::Failed, harmless_ppm: 200, bound_ppm: 1_000 };
    let cost = Limit { metric: Metric::Cost, harmless_ppm: 30_000, bound_ppm: 100_000 };
    assert_eq!(refused(&[]), PolicyError::Metrics);
    assert_eq!(refused(&[cost]), PolicyError::NoFailures);
    assert_eq!(refused(&[failed, cost, cost]), PolicyError::Metrics);
    assert_eq!(refused(&[failed, Limit { bound_ppm: 30_000, ..cost }]), PolicyError::Bound);
    assert_eq!(refused(&[failed, Limit { bound_ppm: 10_000_001, ..cost }]), PolicyError::Bound);
    let whole = Metric::Slower { quantile_ppm: 1_000_000 };
    assert_eq!(refused(&[failed, Limit { metric: whole, ..cost }]), PolicyError::Quantile);
}

#[test]
fn the_interval_has_the_factor_and_says_what_it_could_see() {
    // Each block's baseline has another speed; the candidate is 20 % slower, give or take a few parts in a hundred.
    let wobble = [
        1_010_000, 990_000, 1_030_000, 985_000, 1_000_000, 1_020_000, 970_000, 1_005_000, 995_000, 1_015_000,
        1_001_000, 980_000,
    ];
    let blocks: Vec<[Vec<(u64, u64)>; 2]> = wobble
        .iter()
        .enumerate()
        .map(|(at, wobble)| {
            let speed = 100 + at as u64 * 17;
            let latencies = |factor: u64| (1..=400_u64).map(|v| (v * speed * factor / 1_000_000, 1)).collect();
            [latencies(12 * wobble / 10), latencies(1_000_000)]
        })
        .collect();
    let pairs = |factor: u64| {
        let tick = |[candidate, baseline]: &[Vec<(u64, u64)>; 2]| {
            exceedances(&[PooledTick { candidate, baseline }], 500_000, factor)
        };
        blocks.iter().map(tick).collect::<Vec<_>>()
    };
    let found = interval(4, pairs);
    let (low, high) = (found.low_ppm.unwrap(), found.high_ppm.unwrap());
    assert!(low < 1_200_000 && high > 1_200_000 && low > 1_150_000 && high < 1_250_000, "{found:?}");
    assert!((1_180_000..1_220_000).contains(&found.estimate_ppm), "{found:?}");
    assert!((1_010_000..1_100_000).contains(&found.detectable_ppm.unwrap()), "{found:?}");
    // Nothing is said where there is nothing.
    let nothing = interval(4, |_| vec![Pair { candidate: 0, baseline: 0 }; 12]);
    assert_eq!((nothing.low_ppm, nothing.high_ppm, nothing.detectable_ppm), (None, None, None));
}

#[test]
fn the_form_stays() {
    let policy = serde_json::to_string(&Policy::usual()).unwrap();
    assert_eq!(
        policy,
        r#"{"limits":[{"metric":{"slower":{"quantile_ppm":500000}},"harmless_ppm":30000,"bound_ppm":100000},{"metric":{"slower":{"quantile_ppm":990000}},"harmless_ppm":50000,"bound_ppm":150000},{"metric":"cost","harmless_ppm":30000,"bound_ppm":100000},{"metric":"failed","harmless_ppm":200,"bound_ppm":1000}]}"#
    );
    let parts: u32 = LOOKS.iter().map(|l| l.false_alarm_ppm).sum();
    assert_eq!((parts, LOOKS.iter().map(|l| l.false_pass_ppm).sum::<u32>()), (10_000, 50_000));
}

/// One block in which the candidate answers nothing is only one rank, however much it fails in it.
#[test]
fn a_candidate_that_crashes_in_some_blocks_never_passes() {
    let policy = policy(&[LATENCY, Metric::Cost, Metric::Failed]);
    for n in [12, 24, 48] {
        for crashed in 1..=n {
            let slower = Blocks::Slower { harmless: pairs(n, 80, 120), bound: pairs(n, 40, 160) };
            let cost = Blocks::Cost(pairs(n, 1_000_000, 1_000_000));
            let block = |at: usize| Failures {
                requests: Pair { candidate: 5_000, baseline: 5_000 },
                failed: Pair { candidate: if at + crashed >= n { 5_000 } else { 0 }, baseline: 0 },
            };
            let failed = Blocks::Failed((0..n).map(block).collect());
            let decision = decide(&policy, &[slower, cost, failed]).unwrap();
            assert_ne!(decision.answer, Answer::NotRegressed, "{crashed} of {n}: {decision:?}");
        }
    }
}

/// A generator that sent the candidate a tenth of the load measures a candidate at a tenth of the load.
#[test]
fn versions_that_were_not_driven_alike_are_not_compared() {
    let policy = policy(&[LATENCY, Metric::Cost, Metric::Failed]);
    let slower = Blocks::Slower { harmless: pairs(12, 8, 120), bound: pairs(12, 4, 160) };
    let block =
        Failures { requests: Pair { candidate: 500, baseline: 5_000 }, failed: Pair { candidate: 0, baseline: 0 } };
    let measured = [slower, Blocks::Cost(pairs(12, 1_000_000, 1_000_000)), Blocks::Failed(vec![block; 12])];
    let refused = decide(&policy, &measured).unwrap_err();
    assert_eq!(refused, PairedError::NotAlike { block: 0, candidate: 500, baseline: 5_000 });
    assert_eq!(refused.to_string(), "in block 0 the versions were not driven alike: 500 requests and 5000");
}

/// Counts at the bound follow from the same latencies as those at the margin, so they can not point the other way.
#[test]
fn counts_that_contradict_each_other_are_refused() {
    let policy = policy(&[LATENCY, Metric::Failed]);
    let slower = Blocks::Slower { harmless: pairs(12, 80, 120), bound: pairs(12, 90, 160) };
    let refused = decide(&policy, &[slower, failures(12, 0, 0)]).unwrap_err();
    assert_eq!(refused, PairedError::Impossible { metric: 0, block: 0 });
}

/// Being as good as what does not work is no reason to pass: a twentieth of all, or one whole block.
#[test]
fn a_broken_baseline_clears_nobody() {
    let policy = policy(&[Metric::Cost, Metric::Failed]);
    let of = |failed: &dyn Fn(usize) -> Pair| {
        let block = |at| Failures { requests: Pair { candidate: 5_000, baseline: 5_000 }, failed: failed(at) };
        let failed = Blocks::Failed((0..12).map(block).collect());
        decide(&policy, &[Blocks::Cost(pairs(12, 1_000_000, 1_000_000)), failed])
    };
    for candidate in [0, 251, 5_000] {
        let refused = of(&|_| Pair { candidate, baseline: 251 }).unwrap_err();
        assert_eq!(refused, PairedError::BrokenBaseline { failed: 3_012, requests: 60_000 });
    }
    let refused = of(&|at| Pair { candidate: 0, baseline: if at == 7 { 5_000 } else { 0 } }).unwrap_err();
    assert_eq!(refused, PairedError::BrokenBaseline { failed: 5_000, requests: 60_000 });
    // One that fails now and then is what there is to be as good as.
    assert_eq!(of(&|_| Pair { candidate: 20, baseline: 20 }).unwrap().answer, Answer::NotRegressed);
}
