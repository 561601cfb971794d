//! Samples are fair, the same again, and of one size for all.

use super::*;

fn seed(tick: u64) -> Seed {
    Seed { salt: Digest::of(b"salt"), name: Digest::of(b"name"), of: Digest::of(b"of"), tick }
}

#[test]
fn a_sample_finds_as_often_as_it_must() {
    // Hypergeometric: 1 - C(n - e, m) / C(n, m).
    for (of, bad, size) in [(10_u32, 1_u32, 5_u32), (100, 3, 20), (1_000, 20, 10), (7, 7, 1), (50, 0, 50), (40, 1, 40)]
    {
        let none = (0..size).fold(1.0, |p, n| p * f64::from((of - n).saturating_sub(bad)) / f64::from(of - n));
        let found = (0..4_000).filter(|t| seed(*t).of("a.b.c.1").finds(of.into(), bad.into(), size.into())).count();
        let share = found as f64 / 4_000.0;
        // Five standard errors at most.
        assert!((share - (1.0 - none)).abs() < 0.04, "{of} {bad} {size}: {share} and {}", 1.0 - none);
    }
}

#[test]
fn draws_are_frozen_and_differ_by_instance_and_tick() {
    let first = |tick, instance: &str| seed(tick).of(instance).next();
    assert_eq!(first(1, "a"), first(1, "a"));
    assert_ne!(first(1, "a"), first(2, "a"));
    assert_ne!(first(1, "a"), first(1, "b"));
    // The reference generator's first numbers from 0.
    let mut draws = Draws(0);
    assert_eq!([draws.next(), draws.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
}

#[test]
fn the_size_follows_the_side_that_can_say_less() {
    assert_eq!(size(20, &[50, 40], &[500, 600]), 20);
    assert_eq!(size(100, &[50, 40], &[500, 600]), 40, "two of 40 say more than one of 50");
    assert_eq!(size(100, &[50, 1], &[500, 600]), 50, "an instance with almost nothing is left out");
    assert_eq!(size(100, &[], &[500]), 0);
    assert_eq!(size(100, &[3], &[]), 0);
    assert_eq!((best(0, 0), best(0, 1_000_000), best(30, 1_000), best(900, 1_000)), (1, 1_000, 11, 1));
    assert_eq!(best(u64::MAX, u64::MAX), 1);
}
