//! Permission to take one step: a verdict that was recomputed on a fresh checkpoint, used up by the step.

use ledger::{FreshCheckpoint, follow::SKEW_LIMIT_S, statement::v1::Ruling};
use model::{Digest, EnvironmentName, SystemName, Timestamp};

use crate::{
    decide::{DecideError, decide_with},
    dossier::Dossier,
    facts::Facts,
    policy::Policy,
};

/// A granted verdict that this process recomputed itself, over everything up to a fresh checkpoint.
///
/// The fields are private and nothing clones it, so it can not be made elsewhere, kept, or used for two steps:
///
/// ```compile_fail,E0451
/// let forged = gate::Current { proposal: 7, release: model::Digest::of(b"x"), until: model::Timestamp::default() };
/// ```
///
/// ```compile_fail,E0599
/// fn twice(permission: gate::Current) -> (gate::Current, gate::Current) {
///     (permission.clone(), permission)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permission is for one step"]
pub struct Current {
    proposal: u64,
    release: Digest,
    until: Timestamp,
}

impl Current {
    /// The proposal.
    pub const fn proposal(&self) -> u64 {
        self.proposal
    }

    /// The release.
    pub const fn release(&self) -> Digest {
        self.release
    }

    /// Until when the verdict is granted.
    pub const fn until(&self) -> Timestamp {
        self.until
    }
}

/// Why there is no permission.
#[derive(Debug, thiserror::Error)]
pub enum CurrentError {
    /// The statements are not those under the checkpoint.
    #[error("the checkpoint covers {checkpoint} statements, {facts} are known")]
    Size {
        /// What the checkpoint covers.
        checkpoint: u64,
        /// What has been read.
        facts: u64,
    },
    /// `decide` could not answer.
    #[error("no answer")]
    NoAnswer(#[from] DecideError),
    /// `decide` said no.
    #[error("refused")]
    Refused(Box<ledger::statement::v1::Verdict>),
    /// The charter asks for witnesses, and the checkpoint was taken without asking for them.
    #[error("the checkpoint was not checked for the witnesses that the charter asks for")]
    NotWitnessed,
    /// There is no fresh checkpoint.
    #[error("no fresh checkpoint: {0}")]
    Stale(#[from] ledger::follow::StaleError),
    /// The log was caught lying.
    #[error("the log is not believed: {0}")]
    NotBelieved(String),
    /// The log's time runs before this clock, and a cool-off was measured with it.
    #[error("the log says that it is {0}, ahead of this clock, and a cool-off was measured with that: set the clock")]
    Ahead(Timestamp),
    /// The charter in force does not give this agent what it would take a step of.
    #[error("the charter in force does not let this agent run {0}")]
    NotGiven(String),
    /// The verdict's time is over.
    #[error("the verdict ended at {0}")]
    Over(Timestamp),
}

/// Recomputes the verdict on a fresh checkpoint. `now` is the caller's clock; it can only shorten a permission.
pub fn current(
    policy: &Policy,
    facts: &Facts,
    checkpoint: &FreshCheckpoint,
    proposal: u64,
    now: Timestamp,
) -> Result<Current, CurrentError> {
    if checkpoint.size() != facts.size() {
        return Err(CurrentError::Size { checkpoint: checkpoint.size(), facts: facts.size() });
    }
    if facts.members().charter().witness_quorum > 0 && !checkpoint.is_witnessed() {
        return Err(CurrentError::NotWitnessed);
    }
    let decision = decide_with(policy, facts, proposal)?;
    let rule = facts.members().charter().environment(&decision.verdict.environment);
    // The one thing that a log's time that runs ahead would shorten: the release's own, or that of its guarded values.
    let has_values = facts.proposal(proposal).is_some_and(|said| !said.claim.values.is_empty());
    if (has_values || rule.is_some_and(|r| r.cool_off_s > 0)) && decision.verdict.at.since_s(now) > SKEW_LIMIT_S {
        return Err(CurrentError::Ahead(decision.verdict.at));
    }
    match decision.verdict.ruling {
        Ruling::Granted { until } if now < until => Ok(Current { proposal, release: decision.verdict.release, until }),
        Ruling::Granted { until } => Err(CurrentError::Over(until)),
        Ruling::Refused { .. } => Err(CurrentError::Refused(Box::new(decision.verdict))),
    }
}

/// Permission to go back to the release that ran immediately before. It needs no new verdict: stopping a bad
/// release is quick.
#[derive(Debug)]
pub struct Return {
    release: Digest,
    alarm: bool,
}

impl Return {
    /// The release to go back to.
    pub const fn release(&self) -> Digest {
        self.release
    }

    /// Whether its own verdict would be refused today, which is worth an alarm.
    pub const fn alarm(&self) -> bool {
        self.alarm
    }
}

/// Why it may not go back.
#[derive(Debug, thiserror::Error)]
pub enum ReturnError {
    /// Not what ran immediately before.
    #[error("{0} did not run immediately before")]
    NotPredecessor(Digest),
    /// What runs is itself gone back to: one person must not walk back to an old release step by step.
    #[error("what runs was gone back to already; going further back takes an approved release")]
    AlreadyBack,
    /// Its verdict was withdrawn, and the charter does not let it run again.
    #[error("the verdict of {0} was withdrawn, and the charter does not let it run again")]
    Withdrawn(Digest),
}

/// Whether an environment may go back to a release.
pub fn may_return(
    policy: &Policy,
    facts: &Facts,
    system: &SystemName,
    environment: &EnvironmentName,
    to: Digest,
) -> Result<Return, ReturnError> {
    let live = facts.running(system, environment);
    if live.first().is_some_and(|l| l.returned) {
        return Err(ReturnError::AlreadyBack);
    }
    let before = live.iter().nth(1).filter(|l| l.release == to).ok_or(ReturnError::NotPredecessor(to))?;
    // What it replaced then is not what runs now, and its approvals have aged: only what speaks against the
    // release itself counts here, whatever the charter's policy calls its rules.
    let alarm = Dossier::gather(facts, before.proposal)
        .is_none_or(|dossier| speaks_against(&dossier) || policy.judge(&dossier).is_err());
    let rule = facts.members().charter().environment(environment);
    if alarm && rule.is_none_or(|r| r.rollback_s == 0) {
        return Err(ReturnError::Withdrawn(to));
    }
    Ok(Return { release: to, alarm })
}

fn speaks_against(dossier: &Dossier<'_>) -> bool {
    !dossier.suites_not_passed().is_empty()
        || !dossier.commits_not_signed.is_empty()
        || dossier.rejections > 0
        || !dossier.values_not_in_force.is_empty()
        || !dossier.build_names_images
        || !dossier.builders.disagree.is_empty()
        || !dossier.promotion_against().is_empty()
}

#[cfg(test)]
mod tests;
