//! One component's comparison replayed: from what the log has to what `stats` reads, and back to an answer.

use ledger::statement::v1::{Analysis, AnalysisAnswer, AnalysisTick, Asks, Line, Metric, Worse};
use model::{ComponentName, Digest};
use stats::{Answer, Counts, Margin, Measure, Plan, Question, Tick};

use super::mismatch::Difference;

/// What an analysis was to decide by, as a statement says it.
#[must_use]
pub fn settings(claim: &Analysis) -> Plan {
    let (alpha_ppm, beta_ppm, horizon_ticks) = (claim.alpha_ppm, claim.beta_ppm, claim.horizon_ticks);
    Plan { measures: claim.metrics.iter().map(measure).collect(), alpha_ppm, beta_ppm, horizon_ticks }
}

/// The counts of a tick.
#[must_use]
pub fn counted(tick: &AnalysisTick) -> Tick {
    let counts =
        |c: &[u32; 4]| Counts { trial_units: c[0], trial_flagged: c[1], control_units: c[2], control_flagged: c[3] };
    Tick {
        trial_requests: tick.requests,
        control_requests: tick.other_requests,
        counts: tick.counts.iter().map(counts).collect(),
    }
}

/// An answer as it is said in the log.
#[must_use]
pub fn said(analysis: &stats::Analysis) -> AnalysisAnswer {
    match analysis.answer() {
        Answer::NotYet { .. } => AnalysisAnswer::NotYet,
        Answer::GoBack { .. } => AnalysisAnswer::GoBack,
        Answer::Promote => AnalysisAnswer::Promote,
    }
}

fn measure(metric: &Metric) -> Measure {
    let margin = |line: &Line| Margin { ratio_ppm: line.ratio_ppm, plus_ppm: line.plus_ppm };
    let (history_ppm, history_unit_ticks) = (metric.history_ppm, metric.history_unit_ticks);
    let promote = margin(&metric.promote);
    let question = match &metric.asks {
        Asks::Failed { requests_per_million_unit_ticks, margin: harmless }
        | Asks::Counter { requests_per_million_unit_ticks, margin: harmless, .. } => Question::Events {
            requests_per_million_unit_ticks: *requests_per_million_unit_ticks,
            history_ppm,
            history_unit_ticks,
            margin: margin(harmless),
            promote,
            limit_ppm: None,
        },
        Asks::Slower { .. } => Question::Slow { history_ppm, history_unit_ticks, promote },
        Asks::Invariant { .. } => Question::Invariant,
    };
    Measure { weight_ppm: metric.weight_ppm, question }
}

/// What is compared by itself: what the edge counts of a component, one of its own counters, or invariants that are read
/// together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    component: ComponentName,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Edge,
    /// The series, what it counts out of, and whether more of it is bad.
    Counter(Digest, Digest, bool),
    /// The series.
    Invariants(Vec<Digest>),
}

impl Subject {
    /// What the metrics of a statement are about; none if there are none.
    #[must_use]
    pub fn of(metrics: &[Metric]) -> Option<Self> {
        let first = metrics.first()?;
        let what = match first.asks {
            Asks::Failed { .. } | Asks::Slower { .. } => What::Edge,
            Asks::Counter { name, of, worse, .. } => What::Counter(name, of, worse == Worse::More),
            Asks::Invariant { .. } => What::Invariants(
                metrics
                    .iter()
                    .filter_map(|m| match m.asks {
                        Asks::Invariant { name } => Some(name),
                        _ => None,
                    })
                    .collect(),
            ),
        };
        Some(Self { component: first.component.clone(), what })
    }

    /// A counter, by the digests of its series and of what it counts out of.
    pub(super) const fn counter(component: ComponentName, name: Digest, of: Digest, is_more: bool) -> Self {
        Self { component, what: What::Counter(name, of, is_more) }
    }

    /// Invariants that are read together, by the digests of their series.
    pub(super) const fn invariants(component: ComponentName, names: Vec<Digest>) -> Self {
        Self { component, what: What::Invariants(names) }
    }

    /// Which component.
    #[must_use]
    pub const fn component(&self) -> &ComponentName {
        &self.component
    }

    /// Whether the edge counts it: of its hundred units, as clients are divided.
    #[must_use]
    pub const fn is_of_edge(&self) -> bool {
        matches!(self.what, What::Edge)
    }

    /// Whether a metric belongs to something else.
    pub(super) fn is_strange(&self, metric: &Metric) -> bool {
        let fits = match (&self.what, &metric.asks) {
            (What::Edge, Asks::Failed { .. } | Asks::Slower { .. }) | (What::Invariants(_), Asks::Invariant { .. }) => {
                true
            }
            (What::Counter(name, of, is_more), Asks::Counter { name: other, of: out, worse, .. }) => {
                (name, of, *is_more) == (other, out, *worse == Worse::More)
            }
            _ => false,
        };
        !fits || metric.component != self.component
    }
}

/// One component as far as the log has it.
#[derive(Debug)]
pub(super) struct Part {
    /// The numbers that its first statement was made by.
    plan: (Plan, Vec<Metric>),
    /// None once it can not be computed again: a tick is missing or can not be.
    analysis: Option<stats::Analysis>,
    next: u64,
    longest_quiet: u64,
    /// The last answer that the agent gave.
    pub(super) said: AnalysisAnswer,
    /// Whether it ever answered that it may be promoted.
    pub(super) promoted: bool,
}

impl Part {
    /// The comparison that this statement begins.
    pub(super) fn begin(claim: &Analysis) -> (Self, Option<Difference>) {
        let plan = settings(claim);
        let (analysis, wrong) = match stats::Analysis::new(plan.clone()) {
            Ok(analysis) => (Some(analysis), None),
            Err(why) => {
                let component = claim.metrics.first().map(|m| m.component.clone());
                (None, component.map(|component| Difference::Plan { component, why }))
            }
        };
        let plan = (plan, claim.metrics.clone());
        let said = AnalysisAnswer::NotYet;
        (Self { plan, analysis, next: 0, longest_quiet: 0, said, promoted: false }, wrong)
    }

    /// Takes a statement, and says what of it does not follow.
    pub(super) fn take(&mut self, claim: &Analysis, component: &ComponentName) -> Vec<Difference> {
        let mut found = Vec::new();
        let name = || component.clone();
        if self.plan != (settings(claim), claim.metrics.clone()) {
            found.push(Difference::Changed { component: name() });
        }
        if claim.first != self.next {
            found.push(Difference::Gap { component: name(), found: claim.first, expected: self.next });
            // Without the ticks that are missing nothing follows any more.
            self.analysis = None;
        }
        self.next = claim.first.saturating_add(claim.ticks.len() as u64);
        for (tick, number) in claim.ticks.iter().zip(claim.first..) {
            let Some(analysis) = &mut self.analysis else { break };
            if let Err(why) = analysis.step(&counted(tick)) {
                found.push(Difference::Tick { component: name(), tick: number, why });
                self.analysis = None;
            } else {
                self.longest_quiet = self.longest_quiet.max(analysis.quiet_ticks());
            }
        }
        if let Some(follows) = self.analysis.as_ref().map(said).filter(|follows| *follows != claim.answer) {
            found.push(Difference::Answer { component: name(), said: claim.answer, follows });
        }
        self.said = claim.answer;
        self.promoted |= claim.answer == AnalysisAnswer::Promote;
        found
    }

    /// For how many ticks on end the new version had no requests, at the longest.
    pub(super) const fn longest_quiet(&self) -> u64 {
        self.longest_quiet
    }
}
