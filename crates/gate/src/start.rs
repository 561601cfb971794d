//! What may be started: asked by whoever starts it, of the log itself, so that the agent need not be believed.
//!
//! An agent's key says what runs, and so what was gone back to. Here its word counts only where a verdict bears it out: a
//! rollout stands if `decide` granted its proposal when it began or came live. What stood last, and what that replaced, may
//! be started again without a verdict of today; everything else needs one.
//!
//! It refuses to know what a release is made of, and where the statements come from.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    FreshCheckpoint, Verified,
    follow::StaleError,
    statement::{
        Statement,
        v1::{MilestoneKind, Proposal},
    },
};
use model::{Digest, EnvironmentName, SystemName, Timestamp, ValueName};

use crate::{
    bundle::fold,
    current::{CurrentError, ReturnError, current, may_return},
    decide::decide_with,
    facts::{Facts, FactsError, Said},
    policy::{Policy, PolicyError},
};

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The system.
    pub system: SystemName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release.
    pub release: Digest,
    /// Whether its document says that it goes on beside the release that replaces it.
    pub stays: bool,
    /// Those of its guarded values that the component reads, each by what it was committed to with.
    pub values: Vec<(ValueName, Digest)>,
}

/// What a start rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// A verdict that is granted now, on this proposal.
    Granted(u64),
    /// The log does not answer, and the verdict on this proposal was granted when something of it was started before.
    Begun(u64),
    /// It runs, and came under this proposal.
    Runs(u64),
    /// It ran immediately before, and came under this proposal.
    Before(u64),
    /// It runs beside the latest one, and came under this proposal.
    Beside(u64),
}

/// Why something may not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody proposed it.
    #[error("nobody proposed {0} for this environment")]
    NotProposed(Digest),
    /// Every proposal of it has other guarded values.
    #[error("the guarded values are not those that {0} was proposed with: {1}")]
    Values(Digest, String),
    /// No verdict now, and it neither runs nor ran immediately before.
    #[error("there is no verdict on {release} now, and it neither runs nor ran before by a rollout that had one")]
    NoVerdict {
        /// The release.
        release: Digest,
        /// Why there is none.
        #[source]
        source: CurrentError,
    },
    /// It was approved for one transition, which was made; something else came after it.
    #[error("{0} ran and was replaced since; going back further than one release takes a new proposal")]
    UsedUp(Digest),
    /// It could be gone back to, if that were allowed.
    #[error("{release} ran before, and may not run again")]
    NotBack {
        /// The release.
        release: Digest,
        /// Why not.
        #[source]
        source: ReturnError,
    },
    /// Statements that do not follow each other. A defect of this version.
    #[error("the statements can not be read in order")]
    Facts(#[from] FactsError),
    /// The policy of the log's first charter does not hold up.
    #[error("the policy does not hold up")]
    Policy(#[from] PolicyError),
}

/// Proposals whose rollout a verdict bore out.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// That of the last such rollout.
    last: Option<u64>,
    /// That of the last such rollout of what it replaced.
    base: Option<u64>,
    /// That of what runs, passing over what has no such rollout.
    runs: Option<u64>,
}

/// What has been found out, so that it is not found out again. It grows with the proposals that are rolled out.
#[derive(Debug, Default)]
pub struct Starts {
    /// Proposals of which something was started under a verdict.
    begun: BTreeSet<u64>,
    /// Whether a verdict bore out a proposal when one of some milestones was said, by their log indices.
    borne_out: BTreeMap<(u64, Vec<u64>), bool>,
}

/// The log as it was read: every statement, and the facts and the policy after the last of them.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The policy in force.
    pub policy: &'a Policy,
    /// The facts.
    pub facts: &'a Facts,
    /// Every statement, from the first on.
    pub statements: &'a [Verified<Statement>],
}

impl Starts {
    /// Whether something may be started, and on what that rests. `checkpoint` is that of the last statement read, or why it
    /// is not fresh; `now` is the caller's clock.
    ///
    /// Asking once about what runs, after a restart, costs a reading of the log from its beginning.
    pub fn may(
        &mut self,
        read: Read<'_>,
        checkpoint: Result<FreshCheckpoint, StaleError>,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Footing, StartError> {
        let Wanted { system, environment, release, .. } = wanted;
        let of_it = || {
            let all = read.facts.proposals_for(system, environment).rev();
            all.filter(|said| &said.claim.release == release)
        };
        if of_it().next().is_none() {
            return Err(StartError::NotProposed(*release));
        }
        let fitting: Vec<&Said<Proposal>> = of_it().filter(|said| brings(&said.claim, &wanted.values)).collect();
        if fitting.is_empty() {
            let names: Vec<&str> = wanted.values.iter().map(|(name, _)| name.as_str()).collect();
            return Err(StartError::Values(*release, names.join(", ")));
        }

        let standing = self.standing(read, system, environment)?;
        let mut refused = None;
        match checkpoint {
            Ok(checkpoint) => {
                for said in &fitting {
                    let answer = current(read.policy, read.facts, &checkpoint, said.index, now);
                    match answer {
                        // What runs keeps its verdict, and what runs is the agent's word: it may not lead further back.
                        Ok(_) if self.is_used_up(read, standing, said)? => {}
                        Ok(permission) => {
                            self.begun.insert(permission.proposal());
                            return Ok(Footing::Granted(said.index));
                        }
                        // The newest proposal's reason is the one to be told.
                        Err(error) => refused = refused.or(Some(error)),
                    }
                }
            }
            Err(stale) => {
                let yes = |index: u64| decide_with(read.policy, read.facts, index).is_ok_and(|d| d.is_granted());
                let begun = fitting.iter().find(|said| self.begun.contains(&said.index) && yes(said.index));
                if let Some(said) = begun
                    && !self.is_used_up(read, standing, said)?
                {
                    return Ok(Footing::Begun(said.index));
                }
                refused = Some(CurrentError::Stale(stale));
            }
        }

        let fits = |proposal: u64| fitting.iter().any(|said| said.index == proposal);
        let Standing { last, base, runs } = standing;
        if let Some(runs) = runs.filter(|runs| fits(*runs) && [last, base].contains(&Some(*runs))) {
            return Ok(Footing::Runs(runs));
        }
        if wanted.stays
            && let Some(proposal) = self.beside(read, wanted)?
            && fits(proposal)
        {
            return Ok(Footing::Beside(proposal));
        }
        match base.filter(|base| fits(*base)) {
            Some(base) => match may_return(read.policy, read.facts, system, environment, *release) {
                Ok(_) => Ok(Footing::Before(base)),
                Err(source) => Err(StartError::NotBack { release: *release, source }),
            },
            None => Err(match refused {
                Some(source) => StartError::NoVerdict { release: *release, source },
                None => StartError::UsedUp(*release),
            }),
        }
    }

    /// Whether a proposal was rolled out under a verdict before what stands now.
    fn is_used_up(&mut self, read: Read<'_>, standing: Standing, said: &Said<Proposal>) -> Result<bool, StartError> {
        let Standing { last, base, .. } = standing;
        if [last, base].contains(&Some(said.index)) {
            return Ok(false);
        }
        match rollouts(read.facts, said.claim.serial.system(), &said.claim.environment).remove(&said.index) {
            Some(moves) => self.bears_out(read, said.index, &moves),
            None => Ok(false),
        }
    }

    /// The proposal under which a release came that runs beside the latest one, if a verdict bore it out: it came live or was
    /// brought back, and nobody said since that it is gone or ordered back from it.
    fn beside(&mut self, read: Read<'_>, wanted: &Wanted) -> Result<Option<u64>, StartError> {
        let mut came: Option<(u64, Vec<u64>)> = None;
        for said in read.facts.any_milestones(&wanted.system, &wanted.environment) {
            let milestone = &said.claim;
            if milestone.release != wanted.release {
                continue;
            }
            match milestone.what {
                MilestoneKind::Live | MilestoneKind::BroughtBack => {
                    let known = came.take().filter(|(proposal, _)| *proposal == milestone.proposal);
                    let mut at = known.map(|(_, at)| at).unwrap_or_default();
                    at.push(said.index);
                    came = Some((milestone.proposal, at));
                }
                MilestoneKind::Retired => came = None,
                other if other.is_back() => came = None,
                _ => {}
            }
        }
        let Some((proposal, at)) = came.filter(|(proposal, _)| read.facts.spent(*proposal).is_none()) else {
            return Ok(None);
        };
        Ok(self.bears_out(read, proposal, &at)?.then_some(proposal))
    }

    /// What stands in an environment.
    fn standing(
        &mut self,
        read: Read<'_>,
        system: &SystemName,
        environment: &EnvironmentName,
    ) -> Result<Standing, StartError> {
        let moves = rollouts(read.facts, system, environment);
        let mut runs = None;
        for live in read.facts.running(system, environment).iter() {
            let at = moves.get(&live.proposal).map_or(&[][..], Vec::as_slice);
            if self.bears_out(read, live.proposal, at)? {
                runs = Some(live.proposal);
                break;
            }
        }
        let mut newest: Vec<(u64, Vec<u64>)> = moves.into_iter().collect();
        // By the first thing that was said of each, which nobody can say again later.
        newest.sort_by_key(|(_, at)| std::cmp::Reverse(at.first().copied()));
        let mut last: Option<(u64, Option<Digest>)> = None;
        for (proposal, at) in &newest {
            let Some(said) = read.facts.any_proposal(*proposal) else { continue };
            let is_base = last.is_none_or(|(_, replaces)| replaces == Some(said.claim.release));
            if !is_base || !self.bears_out(read, *proposal, at)? {
                continue;
            }
            match last {
                None => last = Some((*proposal, said.claim.replaces)),
                Some((last, _)) => return Ok(Standing { last: Some(last), base: Some(*proposal), runs }),
            }
        }
        Ok(Standing { last: last.map(|(proposal, _)| proposal), base: None, runs })
    }

    /// Whether the proposal was granted when one of these milestones was said.
    fn bears_out(&mut self, read: Read<'_>, proposal: u64, milestones: &[u64]) -> Result<bool, StartError> {
        // That it began here once says nothing of what was retired since: its return takes a verdict of its own time.
        if self.begun.contains(&proposal) && !was_retired(read.facts, proposal) {
            return Ok(true);
        }
        let key = (proposal, milestones.to_vec());
        if let Some(known) = self.borne_out.get(&key) {
            return Ok(*known);
        }
        let members = read.facts.members().root();
        let mut facts = Facts::new(members.clone());
        let mut policy = Policy::parse(&members.charter().policy)?;
        let mut rest = read.statements;
        let mut found = false;
        for index in milestones {
            let split = rest.partition_point(|said| said.index() < *index);
            let (before, after) = rest.split_at_checked(split).unwrap_or((rest, &[]));
            fold(&mut facts, before, *index)?;
            rest = after;
            if let Some(other) = facts.policy_after(&policy) {
                policy = other;
            }
            found |= decide_with(&policy, &facts, proposal).is_ok_and(|decision| decision.is_granted());
            if found {
                break;
            }
        }
        self.borne_out.insert(key, found);
        Ok(found)
    }
}

/// When agents said that something of each proposal began or came live. Also by keys withdrawn since: what runs goes on.
fn rollouts(facts: &Facts, system: &SystemName, environment: &EnvironmentName) -> BTreeMap<u64, Vec<u64>> {
    let mut moves: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for said in facts.any_milestones(system, environment) {
        if matches!(said.claim.what, MilestoneKind::Begun | MilestoneKind::Live) {
            moves.entry(said.claim.proposal).or_default().push(said.index);
        }
    }
    moves
}

/// Whether an agent said that what came under a proposal was retired.
fn was_retired(facts: &Facts, proposal: u64) -> bool {
    let Some(proposal) = facts.any_proposal(proposal) else { return false };
    let (index, claim) = (proposal.index, &proposal.claim);
    let mut later =
        facts.any_milestones(claim.serial.system(), &claim.environment).rev().take_while(|m| m.index > index);
    later.any(|m| m.claim.what == MilestoneKind::Retired && m.claim.release == claim.release)
}

/// Whether a proposal brings these values, whatever else it brings for other components.
fn brings(claim: &Proposal, values: &[(ValueName, Digest)]) -> bool {
    values.iter().all(|(name, value)| claim.values.iter().any(|given| &given.name == name && &given.value == value))
}

#[cfg(test)]
mod tests;
