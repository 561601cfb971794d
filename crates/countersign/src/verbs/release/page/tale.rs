//! What happened to one release, gathered from the log: who spoke, what the agent did, and what was counted, replayed.
//!
//! It refuses to know how it is shown.

use std::collections::BTreeMap;

use gate::{
    Said,
    comparison::{Documents, Subject, counted, settings},
};
use ledger::statement::v1::{Analysis, Asks, Claim, Metric, MilestoneKind, Proposal, Times};
use model::{ComponentName, Digest, EnvironmentName, Serial, Timestamp};
use serde::Serialize;
use stats::{Answer, Evidence};

use super::super::super::{compared as compared_again, show};
use crate::view::View;

/// The whole story.
#[derive(Debug, Serialize)]
pub(super) struct Tale {
    pub(super) serial: Serial,
    pub(super) environment: EnvironmentName,
    pub(super) proposal: u64,
    pub(super) release: Digest,
    /// What it replaces, by its serial where the log knows it.
    pub(super) replaces: Option<String>,
    /// What runs there now.
    pub(super) runs: Option<Serial>,
    pub(super) end: End,
    /// Who proposed it.
    pub(super) proposer: String,
    pub(super) voices: Vec<Voice>,
    pub(super) steps: Vec<Step>,
    pub(super) comparisons: Vec<Compared>,
    /// What does not follow, by its index.
    pub(super) wrong: Vec<(u64, String)>,
    /// Milliseconds of a tick, if a release document at hand says so.
    pub(super) tick_ms: Option<u32>,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// Nothing was begun.
    NotBegun,
    /// It is on its way.
    UnderWay,
    /// It came live.
    Live,
    /// It went back, and how that is called.
    Back(MilestoneKind),
    /// A person decides.
    Stuck,
}

/// Somebody who approved or rejected.
#[derive(Debug, Serialize)]
pub(super) struct Voice {
    pub(super) index: u64,
    pub(super) time: Option<Timestamp>,
    pub(super) who: String,
    pub(super) role: String,
    pub(super) approves: bool,
}

/// Something that was done.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) index: u64,
    pub(super) time: Option<Timestamp>,
    pub(super) kind: MilestoneKind,
    /// In words, with the reason.
    pub(super) what: String,
}

/// One comparison, replayed.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) component: ComponentName,
    #[serde(skip)]
    pub(super) metrics: Vec<Metric>,
    #[serde(skip)]
    pub(super) answer: Answer,
    #[serde(skip)]
    pub(super) evidence: Evidence,
    pub(super) points: Vec<Point>,
    /// Requests of the new version and of the one before.
    pub(super) requests: (u64, u64),
    /// Times at quantiles, as the edge last saw them.
    #[serde(skip)]
    pub(super) times: Vec<Times>,
}

/// After one tick.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Point {
    /// How many ticks by then.
    pub(super) tick: u64,
    /// The share of clients in percent.
    pub(super) share: u8,
    /// Requests in it, of the new version and of the one before.
    pub(super) requests: (u64, u64),
    /// Evidence that it is worse.
    pub(super) worse: f64,
    /// Evidence that it is good enough, of what has the least.
    pub(super) good: f64,
    /// Of all requests so far, about so many failed: of the new version and of the one before. None without requests.
    pub(super) failed: (Option<f64>, Option<f64>),
}

impl Tale {
    /// Reads it out of the log.
    pub(super) fn gather(view: &View, said: &Said<Proposal>, documents: Documents<'_>) -> Self {
        let facts = view.facts();
        let claim = &said.claim;
        let place = (claim.serial.system(), &claim.environment);
        let mut statements: Vec<(u64, &Analysis)> = Vec::new();
        let (mut voices, mut end) = (Vec::new(), End::NotBegun);
        let mut done = Vec::new();
        for entry in view.statements() {
            let row = || show::row(facts, entry);
            match &entry.value().claim {
                Claim::Approval(c) if c.proposal == said.index && !row().void => voices.push(voice(row(), true)),
                Claim::Rejection(c) if c.proposal == said.index && !row().void => voices.push(voice(row(), false)),
                Claim::Analysis(c) if c.proposal == said.index => {
                    statements.push((entry.index(), c));
                }
                Claim::Milestone(c) if c.proposal == said.index => {
                    end = match c.what {
                        MilestoneKind::Live => End::Live,
                        MilestoneKind::Stuck => End::Stuck,
                        what if what.is_back() => End::Back(what),
                        _ if end == End::NotBegun => End::UnderWay,
                        _ => end,
                    };
                    done.push((row(), c.what, statements.len(), c.component.clone()));
                }
                _ => {}
            }
        }
        let comparisons = replay(&statements);
        let steps = steps(done, &statements, &comparisons);
        let tick_ms = documents(&claim.release)
            .and_then(|release| Some(release.environment(&claim.environment)?.analysis.as_ref()?.tick_ms));
        Self {
            serial: claim.serial.clone(),
            environment: claim.environment.clone(),
            proposal: said.index,
            release: claim.release,
            replaces: claim.replaces.map(|digest| {
                let build = facts.builds_as(digest).next();
                build.map_or_else(|| digest.short(), |b| b.claim.serial.to_string())
            }),
            runs: facts.live(place.0, place.1).first().map(|live| live.serial.clone()),
            end,
            proposer: said.by.to_string(),
            voices,
            steps,
            comparisons,
            wrong: compared_again::wrong(view.statements(), said.index, documents),
            tick_ms,
        }
    }

    /// Seconds after so many ticks, if it is known how long one is.
    pub(super) fn seconds(&self, ticks: u64) -> Option<u64> {
        Some(ticks.saturating_mul(u64::from(self.tick_ms?)) / 1_000)
    }
}

fn voice(row: show::Row, approves: bool) -> Voice {
    Voice { index: row.index, time: row.time, who: row.by, role: row.role, approves }
}

/// The comparisons, each as far as it can be computed again.
fn replay(statements: &[(u64, &Analysis)]) -> Vec<Compared> {
    let mut parts: BTreeMap<Subject, Vec<&Analysis>> = BTreeMap::new();
    for (_, claim) in statements {
        if let Some(subject) = Subject::of(&claim.metrics) {
            parts.entry(subject).or_default().push(claim);
        }
    }
    parts.into_iter().filter_map(|(subject, told)| compared(&subject, &told)).collect()
}

fn compared(subject: &Subject, told: &[&Analysis]) -> Option<Compared> {
    let first = told.first()?;
    let mut analysis = stats::Analysis::new(settings(first)).ok()?;
    let failing = first.metrics.iter().position(|m| matches!(m.asks, Asks::Failed { .. } | Asks::Counter { .. }));
    let (mut points, mut requests) = (Vec::new(), (0_u64, 0_u64));
    for tick in told.iter().flat_map(|claim| &claim.ticks) {
        if analysis.step(&counted(tick)).is_err() {
            break;
        }
        requests.0 = requests.0.saturating_add(tick.requests);
        requests.1 = requests.1.saturating_add(tick.other_requests);
        let evidence = analysis.evidence();
        let seen = failing.and_then(|at| evidence.measures.get(at).copied().flatten());
        let good = evidence.measures.iter().flatten().map(|m| m.good).fold(f64::INFINITY, f64::min);
        points.push(Point {
            tick: analysis.ticks(),
            share: tick.share,
            requests: (tick.requests, tick.other_requests),
            worse: evidence.worse,
            good,
            failed: seen.map_or((None, None), |m| (share(m.trial, requests.0), share(m.control, requests.1))),
        });
    }
    Some(Compared {
        component: subject.component().clone(),
        metrics: first.metrics.clone(),
        answer: analysis.answer(),
        evidence: analysis.evidence(),
        points,
        requests,
        times: told.last()?.times.clone(),
    })
}

/// About which share of requests failed, where so many of so many units had at least one that did: the events are taken to
/// fall on units by chance, `1 - flagged/units = exp(-failures/units)`.
#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
pub(super) fn share((units, flagged): (u64, u64), requests: u64) -> Option<f64> {
    if units == 0 || requests == 0 {
        return None;
    }
    let units = units as f64;
    // Where every unit had a failure, there were at least as many as units.
    let clear = (1.0 - flagged as f64 / units).max(1.0 / (2.0 * units));
    Some((-clear.ln() * units / requests as f64).clamp(0.0, 1.0))
}

fn steps(
    done: Vec<(show::Row, MilestoneKind, usize, Option<ComponentName>)>,
    statements: &[(u64, &Analysis)],
    compared: &[Compared],
) -> Vec<Step> {
    let because = compared.iter().find_map(super::words::culprit);
    let words = |kind: MilestoneKind, later: usize, of: &str| match kind {
        MilestoneKind::Begun => "It began: a verdict was granted and computed again.".to_owned(),
        MilestoneKind::Healthy => "The new version was started beside the old one, and is well.".to_owned(),
        MilestoneKind::Stepped => {
            let ticks = statements.get(later..).unwrap_or_default().iter().flat_map(|(_, claim)| &claim.ticks);
            let shares: Vec<u8> = ticks.map(|t| t.share).collect();
            let before =
                statements.get(..later).unwrap_or_default().iter().flat_map(|(_, c)| &c.ticks).map(|t| t.share).max();
            match shares.iter().find(|share| before.is_none_or(|before| **share > before)) {
                Some(share) if before.is_none() => format!("{share} % of clients were given the new version."),
                Some(share) => format!("{share} % of clients: nothing spoke against giving it to more."),
                None => "More clients were given the new version.".to_owned(),
            }
        }
        MilestoneKind::Switched => "All clients were given the new version.".to_owned(),
        MilestoneKind::Quiet => "No client asked the new version for a minute: people were told.".to_owned(),
        MilestoneKind::Reported => {
            "Several people reported trouble with the new version: it goes no further until somebody has looked."
                .to_owned()
        }
        MilestoneKind::Watched => "It was watched for as long as was asked for, and nothing was wrong.".to_owned(),
        MilestoneKind::Held => format!("Requests to {of} waited, so that only one version writes."),
        MilestoneKind::Saved => format!("What {of} had kept was saved, to go back to."),
        MilestoneKind::HandedOver => format!("The new version of {of} took over what the old one kept."),
        MilestoneKind::Restored => format!("What {of} had kept was put back as it was saved."),
        MilestoneKind::Drained if !of.is_empty() => format!("The other version of {of} finished what it was doing."),
        MilestoneKind::Drained => "The other version finished what it was doing.".to_owned(),
        MilestoneKind::Live => "It is what runs; the old version is gone.".to_owned(),
        MilestoneKind::GoingBack => match &because {
            Some(culprit) => format!("All clients were sent back to the old version, because {culprit}."),
            None => "All clients were sent back to the old version.".to_owned(),
        },
        MilestoneKind::WentBackWorse => "The new version is gone; it was worse than the one before.".to_owned(),
        other => {
            let mut words = show::milestone(other);
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            words.push('.');
            words
        }
    };
    let step = |(row, kind, later, of): (show::Row, MilestoneKind, usize, Option<ComponentName>)| {
        let of = of.as_ref().map_or("", ComponentName::as_str);
        Step { index: row.index, time: row.time, kind, what: words(kind, later, of) }
    };
    done.into_iter().map(step).collect()
}
