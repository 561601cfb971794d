//! From the planner's milestones to statements in the log, each once.

use ledger::statement::v1::{
    Analysis, AnalysisAnswer, AnalysisTick, Asks, Claim, Line, Metric, Milestone, MilestoneKind, Nonce, Placed, Times,
    Worse,
};
use model::{Digest, route::Flag};
use rollout::{
    Progress, Version,
    comparison::{EdgeMetric, Metric as Counted, Saying},
    milestone::{Compared, Milestone as Happened, Numbered},
    progress::State,
    reason::BackReason,
};
use runtime::Driver as _;
use stats::Question;

use super::Agent;
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
};

/// Writes what happened into the log. What the log has is not written again: the nonce is made of the milestone and its
/// number, so that the same milestone after a crash is known by it.
pub(super) fn send(progress: &mut Progress, agent: &mut Agent) -> Result<(), Fault> {
    if !agent.asks_log() {
        return Ok(());
    }
    for numbered in progress.outbox.waiting().to_vec() {
        let nonce = nonce(progress, &numbered)?;
        let known = agent.known.view().statements().iter().any(|s| s.value().header.nonce == nonce);
        if !known && let Some(claim) = claim(progress, &numbered.milestone, agent) {
            let about = About {
                system: Some(progress.system.clone()),
                environment: Some(progress.environment.clone()),
                seen: agent.known.view().seen(),
                nonce: Some(nonce),
            };
            let said = agent.speaker.say(agent.known.view().log(), claim, about, &[]);
            if let Err(fault) = said {
                agent.note(&fault);
                return Err(fault);
            }
        }
        progress.outbox.logged(numbered.number);
    }
    Ok(())
}

fn nonce(progress: &Progress, numbered: &Numbered) -> Result<Nonce, Fault> {
    let what = model::to_json(numbered).because(Kind::Internal, "a milestone can not be written")?;
    let name = format!("{} {} ", progress.environment, progress.system);
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(Digest::of(&[name.as_bytes(), &what].concat()).as_bytes()) {
        *to = *from;
    }
    Ok(Nonce::from_bytes(bytes))
}

/// What is said of it.
fn claim(progress: &Progress, happened: &Happened, agent: &mut Agent) -> Option<Claim> {
    match happened {
        Happened::Compared(compared) => analysis(progress, compared, agent).map(|a| Claim::Analysis(Box::new(a))),
        other => milestone(progress, other, agent).map(|m| Claim::Milestone(Box::new(m))),
    }
}

/// What was counted while two versions were compared.
fn analysis(progress: &Progress, compared: &Compared, agent: &Agent) -> Option<Analysis> {
    let known = versions(progress, agent);
    let version = known.iter().find(|v| v.serial == compared.serial)?;
    let line = |margin: &stats::Margin| Line { ratio_ppm: margin.ratio_ppm, plus_ppm: margin.plus_ppm };
    let metric = |(metric, measure): (&Counted, &stats::Measure)| {
        let nothing = Line { ratio_ppm: 0, plus_ppm: 0 };
        let (asks, history_ppm, history_unit_ticks, promote) = match (metric, &measure.question) {
            (Counted::Invariant(invariant), Question::Invariant) => {
                (Asks::Invariant { name: invariant.name.digest() }, 0, 0, nothing)
            }
            (
                Counted::Counter(counter),
                Question::Events {
                    requests_per_million_unit_ticks,
                    history_ppm,
                    history_unit_ticks,
                    margin,
                    promote,
                    ..
                },
            ) => {
                let asks = Asks::Counter {
                    name: counter.name.digest(),
                    of: counter.of.digest(),
                    worse: match counter.worse {
                        model::release::Worse::More => Worse::More,
                        model::release::Worse::Fewer => Worse::Fewer,
                    },
                    requests_per_million_unit_ticks: *requests_per_million_unit_ticks,
                    margin: line(margin),
                };
                (asks, *history_ppm, *history_unit_ticks, line(promote))
            }
            (
                Counted::Edge(EdgeMetric { flag: Flag::Failed, .. }),
                Question::Events {
                    requests_per_million_unit_ticks,
                    history_ppm,
                    history_unit_ticks,
                    margin,
                    promote,
                    ..
                },
            ) => {
                let requests_per_million_unit_ticks = *requests_per_million_unit_ticks;
                let asks = Asks::Failed { requests_per_million_unit_ticks, margin: line(margin) };
                (asks, *history_ppm, *history_unit_ticks, line(promote))
            }
            (
                Counted::Edge(EdgeMetric { flag: Flag::Slower { control_us, trial_us, count }, quantile_ppm }),
                Question::Slow { history_ppm, history_unit_ticks, promote },
            ) => {
                let quantile_ppm = quantile_ppm.unwrap_or(0);
                let asks = Asks::Slower { quantile_ppm, control_us: *control_us, trial_us: *trial_us, count: *count };
                (asks, *history_ppm, *history_unit_ticks, line(promote))
            }
            _ => return None,
        };
        let (component, weight_ppm) = (compared.component.clone(), measure.weight_ppm);
        Some(Metric { component, asks, weight_ppm, history_ppm, history_unit_ticks, promote })
    };
    let metrics: Option<Vec<Metric>> = compared.metrics.iter().zip(&compared.plan.measures).map(metric).collect();
    Some(Analysis {
        environment: progress.environment.clone(),
        release: version.digest,
        serial: version.serial.clone(),
        other: compared.other,
        proposal: proposal(progress, version, agent),
        salt: compared.salt,
        alpha_ppm: compared.plan.alpha_ppm,
        beta_ppm: compared.plan.beta_ppm,
        horizon_ticks: compared.plan.horizon_ticks,
        metrics: metrics?,
        first: compared.first,
        ticks: compared
            .ticks
            .iter()
            .map(|tick| AnalysisTick {
                share: tick.share,
                requests: tick.requests,
                other_requests: tick.other_requests,
                counts: tick.counts.clone(),
            })
            .collect(),
        answer: match compared.answer {
            Saying::NotYet => AnalysisAnswer::NotYet,
            Saying::GoBack => AnalysisAnswer::GoBack,
            Saying::Promote => AnalysisAnswer::Promote,
        },
        times: compared
            .times
            .iter()
            .map(|t| Times { quantile_ppm: t.quantile_ppm, trial_us: t.trial_us, control_us: t.control_us })
            .collect(),
    })
}

/// The statement of a milestone. `None` for what is about a version that is not known any more.
fn milestone(progress: &Progress, happened: &Happened, agent: &mut Agent) -> Option<Milestone> {
    let mut component_of = None;
    let mut counts = (0, 0);
    let (what, serial) = match happened {
        Happened::Started { serial, .. } => (MilestoneKind::Begun, Some(serial)),
        Happened::Healthy { serial, .. } => (MilestoneKind::Healthy, Some(serial)),
        Happened::Held { component } => {
            component_of = Some(component.clone());
            (MilestoneKind::Held, None)
        }
        Happened::Saved { component, before } => {
            component_of = Some(component.clone());
            (MilestoneKind::Saved, Some(before))
        }
        Happened::HandedOver { component, .. } => {
            component_of = Some(component.clone());
            (MilestoneKind::HandedOver, None)
        }
        Happened::Switched { serial, .. } => (MilestoneKind::Switched, Some(serial)),
        Happened::Stepped { serial, tally, .. } => {
            counts = (tally.requests, tally.errors);
            (MilestoneKind::Stepped, Some(serial))
        }
        Happened::Quiet { serial } => (MilestoneKind::Quiet, Some(serial)),
        Happened::Reported { serial } => (MilestoneKind::Reported, Some(serial)),
        // It has a statement of its own kind.
        Happened::Compared(_) => return None,
        Happened::Watched { serial, tally, .. } => {
            counts = (tally.requests, tally.errors);
            (MilestoneKind::Watched, Some(serial))
        }
        Happened::Drained { serial, component, .. } => {
            component_of.clone_from(component);
            (MilestoneKind::Drained, Some(serial))
        }
        Happened::Retired { runs, .. } => (MilestoneKind::Live, Some(runs)),
        Happened::GoingBack { serial, .. } => (MilestoneKind::GoingBack, Some(serial)),
        Happened::Restored { component, before } => {
            component_of = Some(component.clone());
            (MilestoneKind::Restored, Some(before))
        }
        Happened::WentBack { serial, reason, .. } => {
            if let BackReason::Errors { tally, .. } = reason {
                counts = (tally.requests, tally.errors);
            }
            (went_back(reason), Some(serial))
        }
        Happened::Stuck { serial, .. } => (MilestoneKind::Stuck, Some(serial)),
        Happened::Gone { serial } => (MilestoneKind::Retired, Some(serial)),
        Happened::BroughtBack { serial } => (MilestoneKind::BroughtBack, Some(serial)),
        Happened::NotBroughtBack { serial } => (MilestoneKind::NotBroughtBack, Some(serial)),
        Happened::Restarted { instance, .. } => {
            component_of = Some(instance.component.clone());
            (MilestoneKind::Restarted, Some(&instance.serial))
        }
    };
    let known = versions(progress, agent);
    // The one that came back is also the predecessor of what runs, under the proposal that first brought it.
    let back = progress.beside.iter().find(|b| Some(b.version.serial()) == serial).map(|b| Named::from(&b.version));
    let back = back.filter(|_| matches!(what, MilestoneKind::BroughtBack | MilestoneKind::NotBroughtBack));
    let version = match serial {
        Some(_) if let Some(back) = &back => back,
        Some(serial) => known.iter().find(|v| &v.serial == serial)?,
        None => known.first()?,
    };
    let other = known.iter().find(|v| v.digest != version.digest).map(|v| v.digest);
    let placed = if what == MilestoneKind::Live { placed(progress, version, agent) } else { Vec::new() };
    let proposal = proposal(progress, version, agent);
    // What it replaced is the verdict's: the release that the proposal names.
    let other = if what == MilestoneKind::Live {
        agent.known.view().facts().proposal(proposal).and_then(|p| p.claim.replaces)
    } else {
        other
    };
    Some(Milestone {
        environment: progress.environment.clone(),
        release: version.digest,
        serial: version.serial.clone(),
        other,
        proposal,
        what,
        component: component_of,
        requests: counts.0,
        errors: counts.1,
        placed,
    })
}

const fn went_back(reason: &BackReason) -> MilestoneKind {
    match reason {
        BackReason::Unhealthy { .. }
        | BackReason::Exited { .. }
        | BackReason::Gone { .. }
        | BackReason::Drifted { .. } => MilestoneKind::WentBackUnhealthy,
        BackReason::Errors { .. } => MilestoneKind::WentBackErrors,
        BackReason::Worse { .. } => MilestoneKind::WentBackWorse,
        BackReason::Undecided { .. } => MilestoneKind::WentBackUndecided,
        BackReason::Unreadable { .. }
        | BackReason::NotRead { .. }
        | BackReason::StepFailed { .. }
        | BackReason::NotStopped { .. }
        | BackReason::HoldTooLong { .. } => MilestoneKind::WentBackFailed,
        BackReason::Withdrawn { .. }
        | BackReason::Halted { .. }
        | BackReason::Ordered { .. }
        | BackReason::Superseded { .. } => MilestoneKind::WentBackWithdrawn,
    }
}

/// A version as milestones name it.
struct Named {
    serial: model::Serial,
    digest: Digest,
    generation: u64,
}

impl From<&Version> for Named {
    fn from(v: &Version) -> Self {
        Self { serial: v.serial().clone(), digest: v.digest, generation: v.generation }
    }
}

/// The versions that the progress knows of, the one on its way first; then those that went back.
fn versions(progress: &Progress, agent: &Agent) -> Vec<Named> {
    let mut known: Vec<Named> = Vec::new();
    match &progress.state {
        State::Idle { current, predecessor, last } => {
            known.extend(current.iter().map(|v| Named::from(&**v)));
            if let Some(rollout::progress::Ended::WentBack { serial, digest, generation, .. }) = last {
                known.push(Named { serial: serial.clone(), digest: *digest, generation: *generation });
            }
            known.extend(predecessor.iter().map(|v| Named::from(&**v)));
        }
        State::Forward { transition, .. } | State::Back { transition, .. } | State::Stuck { transition, .. } => {
            known.push(Named::from(&transition.to));
            known.extend(transition.from.iter().map(Named::from));
        }
    }
    known.extend(progress.beside.iter().map(|b| Named::from(&b.version)));
    for live in agent.known.view().facts().live(&progress.system, &progress.environment) {
        if !known.iter().any(|v| v.digest == live.release) {
            known.push(Named { serial: live.serial, digest: live.release, generation: live.proposal });
        }
    }
    known
}

/// The proposal under which a version came. A rollback's generation is its order's index, which is no proposal: then
/// it is the one under which that release ran before.
fn proposal(progress: &Progress, version: &Named, agent: &Agent) -> u64 {
    let facts = agent.known.view().facts();
    if facts.proposal(version.generation).is_some() {
        return version.generation;
    }
    facts
        .live(&progress.system, &progress.environment)
        .iter()
        .find(|l| l.release == version.digest)
        .map_or(version.generation, |l| l.proposal)
}

/// Where the version runs: its instances, and where clients reach it.
fn placed(progress: &Progress, version: &Named, agent: &mut Agent) -> Vec<Placed> {
    let observed = agent.executor().ok().and_then(|e| e.observe().ok()).unwrap_or_default();
    let mut placed: Vec<Placed> = observed
        .instances
        .iter()
        .filter(|i| i.id.environment == progress.environment && i.id.serial == version.serial)
        .map(|i| Placed { component: i.id.component.clone(), image: i.image, address: i.address })
        .collect();
    if let Some(current) = progress.current().filter(|v| v.digest == version.digest)
        && let Some(environment) = current.release.environment(&progress.environment)
    {
        for (component, address) in &environment.expose {
            let image = current.release.component(component).map(|c| c.image);
            placed.extend(image.map(|image| Placed { component: component.clone(), image, address: *address }));
        }
    }
    placed
}
