use super::*;

fn all(failed: Vec<(Failure, u64)>) -> KindReport {
    let latency_us = Quantiles { p50: 500.0, p90: 700.0, p99: 900.0, p999: 1_000.0, max: 2_000.0 };
    KindReport { name: "all".into(), planned: 1_000, right: 1_000, failed, latency_us }
}

fn of(change: impl FnOnce(&mut Own, &mut KindReport)) -> Vec<String> {
    let late_us = Quantiles { p99: 100.0, p999: 300.0, ..Quantiles::default() };
    let (mut own, mut all) = (Own { threads: 1, busy: 0.4, late_us, ..Own::default() }, all(Vec::new()));
    change(&mut own, &mut all);
    reasons(&Circumstances { all: &all, own: &own, closed: false, stopped: false, endless: 0, connections: 8 })
}

#[test]
fn a_run_without_trouble_counts() {
    assert_eq!(of(|_, _| {}), Vec::<String>::new());
}

#[test]
fn each_trouble_of_the_generator_is_a_reason_of_its_own() {
    let one = |words: &str, change: fn(&mut Own, &mut KindReport)| {
        let reasons = of(change);
        assert!(reasons.len() == 1 && reasons[0].contains(words), "{words}: {reasons:?}");
    };
    one("suspended", |own, _| own.suspended_s = 3.0);
    one("busy for 99 %", |own, _| own.busy = 0.99);
    one("5.0 ms late at p99,", |own, _| own.late_us.p99 = 5_000.0);
    one("2.0 ms late at p99.9", |own, _| own.late_us.p999 = 2_000.0);
    one("none of 8 connections free", |own, _| own.waited = 11);
    one("no local port", |_, all| all.failed = vec![(Failure::Ports, 1)]);
    one("ulimit -n", |_, all| all.failed = vec![(Failure::Files, 2)]);
    one("nothing was sent", |_, all| all.planned = 0);
}

#[test]
fn late_at_p999_is_harmless_where_answers_take_much_longer() {
    assert!(of(|own, all| (own.late_us.p999, all.latency_us.p999) = (2_000.0, 50_000.0)).is_empty());
}

#[test]
fn requests_without_an_end_count_as_failed() {
    let kind = KindReport { right: 900, ..all(Vec::new()) };
    assert!((kind.failed_part() - 0.1).abs() < 1e-9);
}
