//! What a comparison says, in the words of people who know no statistics.

use model::{release::Worse, route::Flag};
use stats::{Answer, Because, Wait};

use super::{CounterMetric, EdgeMetric, InvariantMetric, Metric, Part};
use crate::reason::BackReason;

/// Reasons that are given; more are read by nobody.
const SHOWN: usize = 2;

/// Why it goes back.
pub(super) fn worse(part: &Part, because: &Because) -> BackReason {
    let component = part.component.clone();
    match because {
        Because::Invariant { measure } => BackReason::Worse { component, what: what(part, *measure), times: 0 },
        Because::Evidence { e_value, shares } => {
            let named: Vec<String> = match shares.first() {
                Some(first) if first.alone => vec![what(part, first.measure)],
                _ => shares.iter().take(SHOWN).map(|s| what(part, s.measure)).collect(),
            };
            BackReason::Worse { component, what: named.join(" and "), times: whole(*e_value) }
        }
    }
}

/// What it waits for.
pub(super) fn waits(part: &Part, tick_ms: u32) -> String {
    let name = &part.component;
    match part.analysis.answer() {
        Answer::GoBack { .. } => format!("{name} is worse"),
        Answer::Promote => format!("{name} is no worse than it may be"),
        Answer::NotYet { waits } => {
            let mut told: Vec<String> = Vec::new();
            // The longest wait is the one that decides.
            let longest = waits.iter().filter_map(|w| match w {
                Wait::Requests { ticks, .. } => Some((*ticks, w)),
                _ => None,
            });
            let longest = longest.max_by_key(|(ticks, _)| *ticks).map(|(_, w)| w);
            if let Some(Wait::Traffic { .. }) = waits.iter().find(|w| matches!(w, Wait::Traffic { .. })) {
                return match part.metrics.first() {
                    Some(Metric::Counter(counter)) => {
                        format!("{name} needs `{}` in both versions; without any nothing can be said", counter.of)
                    }
                    _ => format!("{name} needs requests to both versions; without any nothing can be said"),
                };
            }
            for wait in waits.iter().filter(|w| !matches!(w, Wait::Requests { .. })).chain(longest).take(SHOWN) {
                told.push(one(part, wait, tick_ms));
            }
            let seen = part.analysis.evidence();
            let failed = seen.measures.first().copied().flatten().and_then(|m| m.detectable.trial);
            let by_now = match (failed, part.metrics.first()) {
                (Some(share), Some(Metric::Counter(counter))) => {
                    format!("by now {} above {} would have shown", bad(counter), percent(share))
                }
                (Some(share), _) => format!("by now a share of failures above {} would have shown", percent(share)),
                (None, _) => "by now nothing would have shown".to_owned(),
            };
            format!("{name} {}; {by_now}", told.join(", and "))
        }
    }
}

fn one(part: &Part, wait: &Wait, tick_ms: u32) -> String {
    match wait {
        Wait::Traffic { .. } => "needs requests to both versions".to_owned(),
        Wait::Requests { measure, requests, ticks, rules_out } => {
            let seconds = ticks.saturating_mul(u64::from(tick_ms)).div_ceil(1_000);
            let metric = part.metrics.get(*measure);
            let to = match metric {
                Some(Metric::Edge(EdgeMetric { flag: Flag::Failed, .. })) => {
                    format!("a share of failures above {}", percent(*rules_out))
                }
                Some(Metric::Counter(counter)) => {
                    // Samples are fewer than what happens, so their number would mislead.
                    let above = format!("{} above {}", bad(counter), percent(*rules_out));
                    return format!("needs about {} more at this traffic to rule out {above}", lasting(seconds));
                }
                _ => format!("that {}", what(part, *measure)),
            };
            format!(
                "needs about {} more requests to rule out {to}; at this traffic {}",
                grouped(*requests),
                lasting(seconds)
            )
        }
        Wait::TooClose { measure, .. } => {
            format!("is so close to the limit that time alone does not help: {}", what(part, *measure))
        }
        Wait::Difference { e_value } => format!(
            "differs from the version before by more than chance explains once in {} times; its share stays as it is until it is clear by how much",
            grouped(whole(*e_value))
        ),
    }
}

/// The share that a counter is judged by.
fn bad(counter: &CounterMetric) -> String {
    match counter.worse {
        Worse::More => format!("a share of `{}` in `{}`", counter.name, counter.of),
        Worse::Fewer => format!("a share of `{}` without `{}`", counter.of, counter.name),
    }
}

fn what(part: &Part, measure: usize) -> String {
    match part.metrics.get(measure) {
        Some(Metric::Edge(EdgeMetric { flag: Flag::Failed, .. })) => "more requests fail".to_owned(),
        Some(Metric::Edge(EdgeMetric { flag: Flag::Slower { control_us, .. }, quantile_ppm })) => {
            let quantile = f64::from(quantile_ppm.unwrap_or(0)) / 1e4;
            format!(
                "more requests are slower than the {quantile}th percentile of before ({})",
                milliseconds(*control_us)
            )
        }
        Some(Metric::Counter(CounterMetric { name, of, worse, .. })) => {
            let more = if *worse == Worse::More { "more" } else { "fewer" };
            format!("{more} of `{of}` are `{name}`")
        }
        Some(Metric::Invariant(InvariantMetric { name, equals })) => format!("`{name}` is not {equals}"),
        None => "something is worse".to_owned(),
    }
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}

/// A share with two digits that matter.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 {
        format!("{percent:.0} %")
    } else if percent >= 1.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.2} %")
    }
}

/// In the largest unit that says enough.
fn lasting(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3_600)),
    }
}

/// Thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Evidence as a whole number; nobody asks whether it is stronger than a million million.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn whole(value: f64) -> u64 {
    value.clamp(0.0, 1e12) as u64
}
