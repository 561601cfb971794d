//! `decide`: from the first N statements of a log to yes, until a time, or no, for these reasons.

use ledger::statement::v1::{Reason, Ruling, Verdict};

use crate::{
    dossier::Dossier,
    facts::Facts,
    policy::{Policy, PolicyError},
};

/// The version of this function. A change in what it answers is a new version beside this one.
pub const DECIDE_VERSION: &str = "1";

/// Whether a rule that is not met says only that there is no leave just now. Every other one withdraws the verdict of a
/// release that is on its way: it goes back.
pub fn only_waits(rule: &str) -> bool {
    ["not-halted", "time-is-known", "in-time"].contains(&rule)
}

/// What `decide` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict, as the gate signs it.
    pub verdict: Verdict,
}

impl Decision {
    /// Whether it is granted.
    pub const fn is_granted(&self) -> bool {
        matches!(self.verdict.ruling, Ruling::Granted { .. })
    }
}

/// Why there is no answer. No answer is no.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// No such proposal, or its signer's key was withdrawn.
    #[error("there is no proposal at log index {0}")]
    NoProposal(u64),
    /// The charter's policy does not hold up.
    #[error("the charter's policy is not valid")]
    Policy(#[from] PolicyError),
}

/// Decides about a proposal over all statements in `facts`. A pure function: no clock (the log's ticks are the
/// time), no network, no database, and it reads no other verdict.
pub fn decide(facts: &Facts, proposal: u64) -> Result<Decision, DecideError> {
    decide_with(&Policy::parse(&facts.members().charter().policy)?, facts, proposal)
}

/// The same, with the charter's policy parsed before, for who decides often.
pub fn decide_with(policy: &Policy, facts: &Facts, proposal: u64) -> Result<Decision, DecideError> {
    let dossier = Dossier::gather(facts, proposal).ok_or(DecideError::NoProposal(proposal))?;
    let charter = facts.members().charter();
    if policy.digest() != facts.policy() {
        return Err(PolicyError::Other.into());
    }
    let claim = &dossier.proposal.claim;
    let mut reasons = policy.judge(&dossier).unwrap_or_else(|error| {
        vec![Reason {
            rule: "policy".to_owned(),
            found: error.to_string(),
            needed: "a policy that can be evaluated".to_owned(),
        }]
    });
    if reasons.is_empty() {
        reasons = floor(&dossier);
    }
    let longest = charter.environment(&claim.environment).map_or(0, |rule| rule.verdict_s);
    let until = dossier.ends.min(dossier.now.plus_s(longest));
    let until = dossier.emergency_ends.map_or(until, |ends| ends.min(until));
    let ruling = if !reasons.is_empty() {
        Ruling::Refused { reasons }
    } else if until <= dossier.now {
        let found = format!("it would end at {until}, and it is {}", dossier.now);
        let (rule, needed) = if dossier.emergency_ends.is_some_and(|ends| ends <= dossier.now) {
            ("emergency-is-in-time", "a new proposal: a verdict on an emergency ends by itself")
        } else {
            ("in-time", "approvals that still count")
        };
        Ruling::Refused { reasons: vec![Reason { rule: rule.to_owned(), found, needed: needed.to_owned() }] }
    } else {
        Ruling::Granted { until }
    };
    Ok(Decision {
        verdict: Verdict {
            environment: claim.environment.clone(),
            proposal,
            release: claim.release,
            serial: claim.serial.clone(),
            ruling,
            size: facts.size(),
            rests_on: dossier.rests_on.iter().copied().collect(),
            decide: DECIDE_VERSION.to_owned(),
            policy: facts.policy(),
            at: dossier.now,
            unwitnessed: !dossier.witnessed,
        },
    })
}

/// What no policy can give away, in the names of the default policy: a charter whose rules forgot one of these would
/// let something through on one signature, or past a stop.
pub(crate) fn floor(dossier: &Dossier<'_>) -> Vec<Reason> {
    let rows: [(bool, &str, &str, &str); 11] = [
        (
            dossier.founded,
            "charter-is-signed",
            "founders have not signed",
            "the signature of every founder under the charter",
        ),
        (dossier.time_known, "time-is-known", "no tick", "a tick with the witnesses' cosignatures in the log"),
        (
            dossier.builders.are_agreed(),
            "builders-agree",
            "too few builders, or other images",
            "as many builders under different administrators as the charter asks for, that agree",
        ),
        (
            !dossier.is_false_emergency(),
            "emergency-is-allowed",
            "not an emergency that the charter knows",
            "an ordinary proposal, or one that a person put up where the charter has a rule for emergencies",
        ),
        (dossier.tally.is_met(), "quorum-has-approved", "too few approvals", "the quorum that the charter asks for"),
        (
            dossier.cool_off.is_over(),
            "cool-off-is-over",
            "too early",
            "the time that the charter asks for between the last approval needed and the first step",
        ),
        (
            dossier.values_not_in_force.is_empty(),
            "guarded-values-are-in-force",
            "other guarded values than are in force",
            "a new proposal, with the guarded values that are in force now",
        ),
        (dossier.rejections == 0, "nobody-rejected-it", "a rejection", "a new proposal; one rejection is enough"),
        (
            dossier.is_promoted(),
            "ran-in-the-environment-before",
            "it has not run there, or was found wanting",
            "this very release, live in the environment that comes before for as long as charter and manifests ask",
        ),
        (
            dossier.replaces_what_runs,
            "replaces-what-runs",
            "something else runs",
            "a proposal that replaces what runs now",
        ),
        (!dossier.halted, "not-halted", "a halt", "the persons that the charter asks for to resume"),
    ];
    let failed = rows.into_iter().filter(|(holds, ..)| !holds);
    failed
        .map(|(_, rule, found, needed)| Reason {
            rule: rule.to_owned(),
            found: found.to_owned(),
            needed: needed.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
