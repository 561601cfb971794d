//! The report: for each person and each robot every act, alone and with whom; whether "no one person can" holds; and
//! where it does not, the shortest counter-example.
//!
//! People of whom the charter says the same are one [`Profile`], because no rule can tell them apart.

use std::collections::BTreeMap;

use ledger::statement::v1::{Charter, Claim, Kind, Rollback};
use model::{Digest, EnvironmentName, HostName, PersonId, RobotId, RoleName};

use super::{
    DutiesError,
    acts::{self, Act},
    promise::{Promise, alike, promise_of},
    trial::{Ground, Place, proposal_of},
    voices::{Speaker, Voice, log_robot},
    votes::{Booth, Part, Quorate, Share, ballots},
};
use crate::may_return;

/// What a charter lets people and robots do.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many acts there are.
    pub acts: usize,
    /// The people, those of whom the charter says the same together.
    pub profiles: Vec<Profile>,
    /// The robots.
    pub robots: Vec<RobotDuties>,
    /// What takes several people, and which smallest sets of them.
    pub quorums: Vec<Quorate>,
    /// How many recovery keys must sign, of how many; whose they are the charter does not say.
    pub recovery: Option<(u32, usize)>,
    /// Whether "no one person can" holds, with what was tried.
    pub promise: Promise,
}

/// People of whom the charter says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Who.
    pub persons: Vec<PersonId>,
    /// Their roles.
    pub roles: Vec<RoleName>,
    /// What each of them can do alone with the own keys.
    pub alone: Vec<Act>,
    /// What each of them can do together with others.
    pub with: Vec<(Act, Vec<Vec<Share>>)>,
    /// What each of them can do with the keys of robots.
    pub through: Vec<Through>,
    /// The hosts that they administer.
    pub hosts: Vec<HostName>,
}

/// A robot whose key a person can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Through {
    /// The robot.
    pub robot: RobotId,
    /// The host by which, or none for who controls it.
    pub host: Option<HostName>,
    /// What it can do.
    pub acts: Vec<Act>,
}

/// What a robot can do. It counts in no quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RobotDuties {
    /// The robot.
    pub robot: RobotId,
    /// Its role.
    pub role: RoleName,
    /// What it can do alone.
    pub alone: Vec<Act>,
}

/// Asks everything that there is to ask about a charter that was checked.
pub fn report(charter: &Charter) -> Result<Report, DutiesError> {
    let ground = Ground::of(charter)?;
    let mut booth = Booth::new(&ground)?;
    let mut ballots = ballots(&ground);
    let promise = promise_of(&ground, &mut booth, &mut ballots)?;
    let mut quorums = Vec::new();
    for ballot in &mut ballots {
        quorums.push(booth.quorate(ballot)?);
    }
    let keeper = log_robot(charter).map(|r| &r.id);
    let mut returns = Vec::new();
    for e in &charter.environments {
        if may_go_back(&mut booth, &e.name)? {
            returns.push(&e.name);
        }
    }
    let mut by_roles: BTreeMap<Vec<RoleName>, Vec<Act>> = BTreeMap::new();
    let mut robots = Vec::new();
    for speaker in ground.robots() {
        let mut alone = alone(&ground, &mut booth, speaker, &returns)?;
        let Voice::Robot(robot) = &speaker.voice else { continue };
        if keeper == Some(robot) {
            alone.push(Act::KeepLog);
        }
        let role = speaker.roles.first().cloned();
        robots.extend(role.map(|role| RobotDuties { robot: robot.clone(), role, alone }));
    }
    let mut profiles = Vec::new();
    for (reach, people) in alike(&ground) {
        let Some(one) = people.first() else { continue };
        let roles: Vec<RoleName> = reach.roles.iter().map(|r| (*r).clone()).collect();
        let mut alone_acts = match by_roles.get(&roles) {
            Some(known) => known.clone(),
            None => {
                let acts = alone(&ground, &mut booth, one, &returns)?;
                by_roles.insert(roles.clone(), acts.clone());
                acts
            }
        };
        let mut with = Vec::new();
        for ballot in &mut ballots {
            match booth.part(ballot, one)? {
                Part::Alone => alone_acts.push(ballot.act.clone()),
                Part::With(sets) => with.push((ballot.act.clone(), sets)),
                Part::None => {}
            }
        }
        let through = reach.robots(ground.charter()).into_iter().map(|robot| Through {
            robot: robot.id.clone(),
            host: (!reach.controls(robot)).then(|| robot.host.clone()),
            acts: robots.iter().find(|r| r.robot == robot.id).map(|r| r.alone.clone()).unwrap_or_default(),
        });
        alone_acts.extend(reach.hosts.iter().map(|h| Act::Administer((*h).clone())));
        profiles.push(Profile {
            persons: people.iter().flat_map(|s| s.persons.iter().cloned()).collect(),
            through: through.collect(),
            hosts: reach.hosts.iter().map(|h| (*h).clone()).collect(),
            roles,
            alone: alone_acts,
            with,
        });
    }
    Ok(Report {
        acts: acts::count(charter),
        profiles,
        robots,
        quorums,
        recovery: charter.recovery.as_ref().map(|r| (r.count, r.keys.len())),
        promise,
    })
}

/// Everything that a voice can do by itself: statements that take effect, and orders that are followed.
fn alone<'a>(
    ground: &'a Ground,
    booth: &mut Booth<'a>,
    speaker: &Speaker,
    returns: &[&EnvironmentName],
) -> Result<Vec<Act>, DutiesError> {
    let mut found = Vec::new();
    for e in &ground.charter().environments {
        let act = Act::Halt(e.name.clone());
        if booth.orders(speaker, &act)? {
            found.push(act);
        }
    }
    for e in returns {
        let order = Rollback { environment: (*e).clone(), from: Digest::of(b"now"), to: Digest::of(b"before") };
        if booth.may_order(speaker, Place::Environment(e), &Claim::Rollback(order))? {
            found.push(Act::GoBack((*e).clone()));
        }
    }
    if booth.orders(speaker, &Act::WithdrawKey)? {
        found.push(Act::WithdrawKey);
    }
    let may = |kind: &Kind| speaker.roles.iter().any(|role| ground.may_say(speaker, role, *kind));
    found.extend(acts::plain_kinds().filter(may).map(Act::Say));
    Ok(found)
}

/// Whether an environment may go back, when two releases have gone live there and nothing speaks against the first.
fn may_go_back(booth: &mut Booth<'_>, environment: &EnvironmentName) -> Result<bool, DutiesError> {
    let ground = booth.ground;
    let Some(author) = ground.persons().next() else { return Ok(false) };
    let proposers = booth.proposers.clone();
    let Some((trial, made)) = booth.made_by(author)?.cloned() else { return Ok(false) };
    for proposer in proposers {
        let mut trial = trial.clone();
        let mut claim = proposal_of(&made, environment, None);
        let Some(first) = trial.propose(proposer, &claim)? else { continue };
        if !trial.go_live(environment, first, &claim)? {
            return Ok(false);
        }
        claim.replaces = Some(claim.release);
        claim.release = Digest::of(b"the next release");
        let Some(second) = trial.propose(proposer, &claim)? else { continue };
        trial.go_live(environment, second, &claim)?;
        let to = made.built.release;
        return Ok(may_return(&ground.policy, &trial.facts, &ground.system, environment, to).is_ok());
    }
    Ok(false)
}
