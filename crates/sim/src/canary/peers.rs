//! What documented configurations of other systems do with a stream, as they are read from their documents and sources.
//!
//! All of them look at the trial alone, except for Kayenta ([`super::kayenta`]). Times are in seconds.

use super::{
    SECONDS,
    stream::{Slot, Stream},
};

/// Sums of the trial's requests and failures up to each second.
type Sums = [(f64, f64)];

/// Requests and failures of the seconds before `until`.
fn window(sums: &Sums, until: usize, seconds: usize) -> (f64, f64) {
    let at = |second: usize| sums.get(second).copied().unwrap_or_default();
    let (from, to) = (at(until.saturating_sub(seconds)), at(until));
    (to.0 - from.0, to.1 - from.1)
}

/// Whether a query for the part of requests that went well comes below the limit; with no traffic it is not a number, and
/// that is no success.
fn below(sums: &Sums, until: usize, seconds: usize, least: f64) -> bool {
    let (requests, failed) = window(sums, until, seconds);
    requests <= 0.0 || 1.0 - failed / requests < least
}

/// Argo Rollouts' template (docs/features/analysis.md): every 5 min a rate over 15 s of at least 95 %, `failureLimit: 3`,
/// which the code takes to allow three. Where no request ever went well there is no series, which is an error, and the
/// fifth error in a row, 10 s apart, aborts.
#[must_use]
pub fn argo_background(sums: &Sums) -> Option<usize> {
    const NO_SERIES: usize = 40;
    let (requests, failed) = window(sums, NO_SERIES, NO_SERIES);
    if requests <= failed {
        return Some(NO_SERIES);
    }
    (30..=SECONDS).step_by(300).filter(|second| below(sums, *second, 15, 0.95)).nth(3)
}

/// Argo Rollouts' inline analysis: after a pause of 5 min five of these measurements a minute apart, none of which may fail.
#[must_use]
pub fn argo_inline(sums: &Sums) -> Option<usize> {
    (300..).step_by(60).take(5).find(|second| below(sums, *second, 15, 0.95))
}

/// Flagger (docs/gitbook/usage/how-it-works.md): every minute at least 99 % over a minute; goes back one check after as many
/// failed as `threshold` says (pkg/controller/scheduler.go).
#[must_use]
pub fn flagger(sums: &Sums, threshold: usize) -> Option<usize> {
    let failed = (60..=SECONDS).step_by(60).filter(|second| below(sums, *second, 60, 0.99)).nth(threshold - 1)?;
    Some(failed + 60).filter(|second| *second <= SECONDS)
}

/// Wald's sequential test of power one, which knows both chances beforehand: nothing that keeps its promise is quicker on
/// average.
#[must_use]
pub fn wald(sums: &Sums, p0: f64, p1: f64, alpha: f64) -> Option<usize> {
    let p1 = p1.min(0.999);
    let (failed, well) = ((p1 / p0).ln(), ((1.0 - p1) / (1.0 - p0)).ln());
    let evidence = |sum: &(f64, f64)| sum.1 * failed + (sum.0 - sum.1) * well;
    sums.iter().position(|sum| evidence(sum) >= (1.0 / alpha).ln())
}

/// A sequential test of counts (Lindon and Malek, NeurIPS 2022): each failure is a coin that falls on the trial's side with
/// the chance `share`, against a uniform mixture of others. Goes back if the trial has more than its share.
#[must_use]
pub fn counts_test(stream: &Stream, share: f64, alpha: f64) -> Option<usize> {
    let (ln_trial, ln_control) = (share.ln(), (1.0 - share).ln());
    // The logarithm of the Beta function of (1 + trial, 1 + control), from one failure to the next.
    let (mut trial, mut control, mut ln_beta) = (0.0, 0.0, 0.0);
    for (second, rows) in stream.rows.chunks(stream.slots).enumerate() {
        let failed = |count: &dyn Fn(&Slot) -> u32| rows.iter().map(count).sum::<u32>();
        for _ in 0..failed(&|row| row.trial.failed) {
            trial += 1.0;
            ln_beta += (trial / (trial + control + 1.0_f64)).ln();
        }
        for _ in 0..failed(&|row| row.control.failed) {
            control += 1.0;
            ln_beta += (control / (trial + control + 1.0_f64)).ln();
        }
        if ln_beta - trial * ln_trial - control * ln_control >= (1.0 / alpha).ln() {
            return (trial > share * (trial + control)).then_some(second + 1);
        }
    }
    None
}
