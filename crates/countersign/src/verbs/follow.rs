//! Watching one proposal on its way: a line for each thing that happens to it, until it is live or gone back.
//!
//! It follows the log and nothing else, so what it prints is what an auditor will read.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use gate::{DecideError, Decision, decide_with};
use ledger::statement::v1::{Claim, MilestoneKind, Ruling};

use super::{Format, line, show};
use crate::{
    fault::{Because as _, Fault, Kind},
    view::View,
};

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It runs.
    Live,
    /// It went back.
    WentBack(MilestoneKind),
    /// It can neither go on nor back by itself.
    Stuck,
    /// It is not granted any more.
    Refused,
    /// The time is over and it is still on its way.
    TimedOut,
}

/// One look at the log at least this often, so that a line appears soon after the statement.
const LOOK: Duration = Duration::from_secs(2);

/// Follows a proposal from the statement at index `from` on.
pub fn follow(
    view: &mut View,
    proposal: u64,
    from: u64,
    wait: Duration,
    format: Format,
    out: &mut dyn Write,
) -> Result<End, Fault> {
    let deadline = Instant::now() + wait;
    let mut at = usize::try_from(from).unwrap_or(usize::MAX);
    loop {
        for index in at..view.statements().len() {
            if let Some(end) = told(view, index, proposal, format, out)? {
                return Ok(end);
            }
        }
        at = view.statements().len();
        let decision = decide(view, proposal)?;
        if !decision.is_granted() && !is_under_way(view, proposal) {
            return Ok(End::Refused);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(End::TimedOut);
        }
        view.wait(left.min(LOOK))?;
    }
}

/// Prints what a statement says about the proposal; `Some` if that ends it.
fn told(view: &View, index: usize, proposal: u64, format: Format, out: &mut dyn Write) -> Result<Option<End>, Fault> {
    let Some(entry) = view.statements().get(index) else { return Ok(None) };
    let about = match &entry.value().claim {
        Claim::Milestone(m) => m.proposal == proposal,
        Claim::Verdict(v) => v.proposal == proposal,
        Claim::Approval(a) => a.proposal == proposal,
        Claim::Rejection(r) => r.proposal == proposal,
        Claim::Report(c) => view.facts().proposal(proposal).is_some_and(|p| p.claim.release == c.release),
        Claim::Halt(_) | Claim::Resume(_) | Claim::Rollback(_) | Claim::Retirement(_) => true,
        _ => false,
    };
    if !about {
        return Ok(None);
    }
    if format == Format::Text {
        let row = show::row(view.facts(), entry);
        line(out, format!("{:>6}  {:<10} {}", row.index, row.kind, row.says))?;
        out.flush().because(Kind::Unavailable, "the output is closed")?;
    }
    let Claim::Milestone(m) = &entry.value().claim else { return Ok(None) };
    Ok(match m.what {
        MilestoneKind::Live => Some(End::Live),
        MilestoneKind::Stuck => Some(End::Stuck),
        what if what.is_back() => Some(End::WentBack(what)),
        _ => None,
    })
}

/// Whether its rollout has begun, so that its end will be in the log whatever becomes of the verdict.
fn is_under_way(view: &View, proposal: u64) -> bool {
    view.statements().iter().any(|s| match &s.value().claim {
        Claim::Milestone(m) => m.proposal == proposal && m.what == MilestoneKind::Begun,
        _ => false,
    })
}

/// The verdict over everything that the view has read.
pub fn decide(view: &View, proposal: u64) -> Result<Decision, Fault> {
    decide_with(view.policy(), view.facts(), proposal).map_err(|error| {
        let kind = if matches!(error, DecideError::NoProposal(_)) { Kind::Usage } else { Kind::Input };
        Fault::from_error(kind, error)
    })
}

/// Why a proposal is not granted, one line a rule.
pub fn reasons(decision: &Decision) -> Vec<String> {
    match &decision.verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons
            .iter()
            .map(|r| {
                let found = if r.found.is_empty() { String::new() } else { format!(" found {};", r.found) };
                format!("{}:{found} needed is {}", r.rule, r.needed)
            })
            .collect(),
    }
}
