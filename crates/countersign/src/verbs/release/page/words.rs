//! The story in words for somebody who knows no statistics.

use ledger::statement::v1::{Asks, MilestoneKind};
use stats::{Answer, Because, Wait};

use super::{
    super::super::show,
    tale::{Compared, End, Tale, share},
};

/// Reasons that are given; more are read by nobody.
const SHOWN: usize = 2;

/// What happened, in a line.
pub(super) fn headline(tale: &Tale) -> String {
    let (serial, environment) = (&tale.serial, &tale.environment);
    match tale.end {
        End::NotBegun => format!("{serial} was proposed for {environment} and not begun"),
        End::UnderWay => format!("{serial} is on its way into {environment}"),
        End::Live if tale.runs.as_ref() == Some(serial) => format!("{serial} runs in {environment}"),
        End::Live => format!("{serial} ran in {environment}"),
        End::Back(_) => format!("{serial} went back"),
        End::Stuck => format!("{serial} is stuck in {environment}: a person decides"),
    }
}

/// Why, in a few sentences.
pub(super) fn story(tale: &Tale) -> Vec<String> {
    let mut told = Vec::new();
    let before = tale.replaces.as_deref().unwrap_or("nothing");
    let worst = tale.comparisons.iter().find(|c| matches!(c.answer, Answer::GoBack { .. }));
    match tale.end {
        End::Back(MilestoneKind::WentBackWorse) => {
            if let Some((compared, Answer::GoBack { tick, because })) = worst.map(|c| (c, &c.answer)) {
                told.push(format!("It went back to {before} because {}.", because_of(compared, because)));
                told.push(went(tale, compared, *tick));
                if let Because::Evidence { e_value, .. } = because {
                    told.push(format!(
                        "A version that is no worse than allowed looks this bad in fewer than 1 of {} rollouts.",
                        grouped(whole(*e_value))
                    ));
                }
            }
        }
        End::Back(MilestoneKind::WentBackUndecided) => told.push(format!(
            "It went back to {before} because in the time that it had, it could be shown neither to be worse nor to be good enough."
        )),
        End::Back(kind) => told.push(format!("It {}; {before} was put back.", show::milestone(kind))),
        End::Live if tale.comparisons.is_empty() => {
            told.push("It was not compared with a version before it on live traffic.".to_owned());
        }
        End::Live => told.extend(tale.comparisons.iter().map(|c| {
            let (new, old) = c.requests;
            format!(
                "{}: over {} requests to the new version and {} to {before} it was no worse than allowed.",
                c.component,
                grouped(new),
                grouped(old)
            )
        })),
        End::UnderWay => told.extend(tale.comparisons.iter().map(|c| format!("{}: {}.", c.component, standing(c)))),
        End::NotBegun => told.push("No client was given it.".to_owned()),
        End::Stuck => told.push("It can neither go on nor back by itself.".to_owned()),
    }
    if let (End::Back(_), Some(runs)) = (tale.end, &tale.runs) {
        told.push(format!("{runs} runs now."));
    }
    if !tale.wrong.is_empty() {
        told.push(
            "What the agent said does not follow from what it counted; do not rely on it before that is explained."
                .to_owned(),
        );
    }
    told
}

/// How long it took and what it cost.
fn went(tale: &Tale, compared: &Compared, tick: u64) -> String {
    let after = tale
        .seconds(tick)
        .map_or_else(|| show::plural(usize::try_from(tick).unwrap_or(usize::MAX), "tick"), |s| format!("{s} s"));
    let widest = compared.points.iter().map(|p| p.share).max().unwrap_or(0);
    format!(
        "That was clear after {after}; by then it had answered {} requests, of at most {widest} % of clients.",
        grouped(compared.points.iter().take_while(|p| p.tick <= tick).map(|p| p.requests.0).sum())
    )
}

/// What made it go back, after "because".
pub(super) fn culprit(compared: &Compared) -> Option<String> {
    match &compared.answer {
        Answer::GoBack { because, .. } => Some(because_of(compared, because)),
        Answer::Promote | Answer::NotYet { .. } => None,
    }
}

fn because_of(compared: &Compared, because: &Because) -> String {
    let measures: Vec<usize> = match because {
        Because::Invariant { measure } => vec![*measure],
        Because::Evidence { shares, .. } => match shares.first() {
            Some(first) if first.alone => vec![first.measure],
            _ => shares.iter().take(SHOWN).map(|s| s.measure).collect(),
        },
    };
    let named: Vec<String> = measures.iter().map(|at| what(compared, *at)).collect();
    named.join(", and ")
}

/// What is worse in a measure.
fn what(compared: &Compared, measure: usize) -> String {
    let name = &compared.component;
    let seen = compared.evidence.measures.get(measure).copied().flatten();
    let shares =
        seen.and_then(|m| Some((share(m.trial, compared.requests.0)?, share(m.control, compared.requests.1)?)));
    match (compared.metrics.get(measure).map(|m| &m.asks), shares) {
        (Some(Asks::Failed { .. }), Some((new, old))) => format!(
            "more requests to {name} failed: about {} with the new version, about {} with the one before",
            percent(new),
            percent(old)
        ),
        (Some(Asks::Failed { .. }), None) => format!("more requests to {name} failed"),
        (Some(Asks::Slower { control_us, quantile_ppm, .. }), _) => format!(
            "more requests to {name} were slow: slower than {}, which only {} were before",
            milliseconds(*control_us),
            percent(1.0 - f64::from(*quantile_ppm) / 1e6)
        ),
        (Some(Asks::Counter { .. }), _) => format!("a counter of {name} went wrong more often"),
        (Some(Asks::Invariant { .. }), _) => format!("a figure of {name} that may never change was another"),
        (None, _) => format!("something about {name} was worse"),
    }
}

/// How a comparison stands, in words.
pub(super) fn standing(compared: &Compared) -> String {
    match &compared.answer {
        Answer::GoBack { because, .. } => format!("go back, because {}", because_of(compared, because)),
        Answer::Promote => "good enough, by what is known so far".to_owned(),
        Answer::NotYet { waits } => {
            let requests = waits.iter().filter_map(|w| match w {
                Wait::Requests { requests, .. } => Some(*requests),
                _ => None,
            });
            if waits.iter().any(|w| matches!(w, Wait::Traffic { .. })) {
                "not decided yet: it needs requests to both versions".to_owned()
            } else if waits.iter().any(|w| matches!(w, Wait::Difference { .. })) {
                "not decided yet: the versions differ, and it is not clear by how much".to_owned()
            } else if let Some(most) = requests.max() {
                format!("not decided yet: it needs about {} more requests", grouped(most))
            } else {
                "not decided yet: it is so close to the limit that time alone does not help".to_owned()
            }
        }
    }
}

/// A quantile as people say it.
pub(super) fn quantile(ppm: u32) -> String {
    match ppm {
        500_000 => "half of requests".to_owned(),
        900_000 => "9 of 10".to_owned(),
        990_000 => "99 of 100".to_owned(),
        999_000 => "999 of 1,000".to_owned(),
        other => format!("{} %", f64::from(other) / 1e4),
    }
}

/// Microseconds for people.
pub(super) fn milliseconds(us: u64) -> String {
    if us >= 10_000 { format!("{} ms", us / 1_000) } else { format!("{}.{} ms", us / 1_000, us % 1_000 / 100) }
}

/// A share with two digits that matter.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0 %".to_owned()
    } else if percent >= 10.0 {
        format!("{percent:.0} %")
    } else if percent >= 1.0 {
        format!("{percent:.1} %")
    } else if percent >= 0.01 {
        format!("{percent:.2} %")
    } else {
        "less than 0.01 %".to_owned()
    }
}

/// Thousands apart.
pub(super) fn grouped(number: u64) -> String {
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

/// Evidence as a whole number; nobody asks whether it is stronger than a million.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
pub(super) fn whole(value: f64) -> u64 {
    value.clamp(0.0, 1e6) as u64
}
