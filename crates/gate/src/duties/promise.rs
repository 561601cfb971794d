//! The promise that no one person can: whom it fails with, by which shortest chain, and which attacks on the rules were
//! tried.
//!
//! It fails with whoever alone can do what takes several people, reaches two sides that must be apart, can make both a
//! build and the evidence for it, or can show others another log; and when a rule that must refuse something does not. What
//! the charter leaves open fails it too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ledger::statement::v1::{Charter, Claim, Kind, Robot};
use model::{EnvironmentName, PersonId, RobotId, RoleName};

use super::{
    DutiesError,
    acts::Act,
    rules::{self, Row},
    trial::{Ground, Makers, Place, Vote, proposal_of},
    voices::{Link, Reach, Speaker, Voice, log_robot},
    votes::{Ballot, Booth, Part, ballots},
};

/// Why the promise does not hold, as a story in steps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Story {
    /// With whom, if it is with one person.
    pub person: Option<PersonId>,
    /// The steps.
    pub links: Vec<Link>,
    /// What follows.
    pub so: String,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for link in &self.links {
            write!(f, "{link}; ")?;
        }
        write!(f, "so {}", self.so)
    }
}

/// Whether "no one person can" holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Why it does not, the shortest first, one for each person with whom it fails; empty if it holds.
    pub broken: Vec<Story>,
    /// What was tried against the rules.
    pub rows: Vec<Row>,
}

impl Promise {
    /// Whether it holds.
    pub const fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// The shortest counter-example.
    pub fn counter_example(&self) -> Option<&Story> {
        self.broken.first()
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.counter_example() {
            None => f.write_str("\"no one person can\" holds"),
            Some(story) => write!(f, "\"no one person can\" does not hold: {story}"),
        }
    }
}

/// Whether "no one person can" holds under a charter that was checked.
pub fn promise(charter: &Charter) -> Result<Promise, DutiesError> {
    within(charter, u64::MAX)
}

/// The same within so many units of work.
pub(super) fn within(charter: &Charter, limit: u64) -> Result<Promise, DutiesError> {
    let ground = Ground::within(charter, limit)?;
    let mut booth = Booth::new(&ground)?;
    promise_of(&ground, &mut booth, &mut ballots(&ground))
}

/// The people of a charter, those together whom it tells the same of.
pub(super) fn alike(ground: &Ground) -> BTreeMap<Reach<'_>, Vec<&Speaker>> {
    let mut groups: BTreeMap<Reach<'_>, Vec<&Speaker>> = BTreeMap::new();
    for speaker in ground.persons() {
        for person in &speaker.persons {
            groups.entry(Reach::of(ground.charter(), person)).or_default().push(speaker);
        }
    }
    groups
}

pub(super) fn promise_of<'a>(
    ground: &'a Ground,
    booth: &mut Booth<'a>,
    ballots: &mut [Ballot<'a>],
) -> Result<Promise, DutiesError> {
    let charter = ground.charter();
    let rows = rules::rows(booth, ballots)?;
    // With whom it fails comes before what is open to nobody in particular.
    let mut broken: Vec<(bool, usize, u8, Story)> = Vec::new();
    for row in rows.iter().filter(|row| !row.holds) {
        let links = vec![Link::Says(format!("{}: {}", row.attack, row.found))];
        broken.push((
            true,
            1,
            0,
            Story { person: None, links, so: "what judges a release can be got round".to_owned() },
        ));
    }
    let log = log_robot(charter);
    if log.is_none() {
        let links = vec![Link::Says("no robot of the charter has the log's key".to_owned())];
        let so = "nobody can tell who keeps the log, and on which host".to_owned();
        broken.push((true, 1, 1, Story { person: None, links, so }));
    }
    let mut self_made: BTreeMap<Vec<&RobotId>, Vec<(&Robot, &Robot)>> = BTreeMap::new();
    for (reach, people) in alike(ground) {
        let Some(one) = people.first() else { continue };
        let mut solo = Vec::new();
        for ballot in ballots.iter_mut() {
            if booth.part(ballot, one)? == Part::Alone {
                solo.push(ballot.act.clone());
            }
        }
        let robots = reach.robots(charter);
        let pairs = match self_made.get(&robots.iter().map(|r| &r.id).collect::<Vec<_>>()) {
            Some(known) => known.clone(),
            None => {
                let pairs = makes_evidence_of_own(ground, booth, ballots, one, &robots)?;
                self_made.insert(robots.iter().map(|r| &r.id).collect(), pairs.clone());
                pairs
            }
        };
        let roles = reach.all_roles(charter);
        let sides: Vec<&(RoleName, RoleName)> =
            charter.conflicts.iter().filter(|(a, b)| roles.contains(a) && roles.contains(b)).collect();
        for person in people.iter().flat_map(|s| &s.persons) {
            let mut stories: Vec<(u8, Vec<Link>, String)> = Vec::new();
            for act in &solo {
                let links = reach.roles.iter().map(|r| Link::Holds(person.clone(), (*r).clone())).collect();
                stories.push((0, links, format!("{person} alone can {act}")));
            }
            for (builder, tester) in &pairs {
                let so = format!("{person} alone can make a build and its evidence");
                stories.push((0, reach.links(person, &[builder, tester]), so));
            }
            for (one, other) in &sides {
                let so = format!("{person} alone is both {one} and {other}, which no one may be");
                stories.push((1, sides_of(charter, &reach, person, one, other), so));
            }
            if let Some(log) = log.filter(|log| robots.iter().any(|r| r.id == log.id)) {
                stories.extend(other_log(charter, &reach, person, log));
            }
            let shortest = stories.into_iter().min_by_key(|(rank, links, so)| (links.len(), *rank, so.clone()));
            broken.extend(shortest.map(|(rank, links, so)| {
                (false, links.len(), rank, Story { person: Some(person.clone()), links, so })
            }));
        }
    }
    broken.sort();
    Ok(Promise { broken: broken.into_iter().map(|(_, _, _, story)| story).collect(), rows })
}

/// The shortest chain by which a person comes to both roles.
fn sides_of(charter: &Charter, reach: &Reach<'_>, person: &PersonId, one: &RoleName, other: &RoleName) -> Vec<Link> {
    let sources = |role: &RoleName| -> Vec<Option<&Robot>> {
        let held = reach.roles.contains(&role).then_some(None);
        let robots = charter.robots.iter().filter(|r| &r.role == role && (reach.controls(r) || reach.keeps(r)));
        held.into_iter().chain(robots.map(Some)).collect()
    };
    let mut ways = Vec::new();
    for a in sources(one) {
        for b in sources(other) {
            let holds = [(a, one), (b, other)].into_iter().filter(|(robot, _)| robot.is_none());
            let mut links: Vec<Link> = holds.map(|(_, role)| Link::Holds(person.clone(), role.clone())).collect();
            let robots: Vec<&Robot> = [a, b].into_iter().flatten().collect();
            links.extend(reach.links(person, &robots));
            ways.push(links);
        }
    }
    ways.into_iter().min_by_key(|links| (links.len(), links.clone())).unwrap_or_default()
}

/// Whoever holds the log's key can show others another log, unless witnesses in other hands must cosign. An operator of
/// witnesses that is named like a member is that member.
fn other_log(charter: &Charter, reach: &Reach<'_>, person: &PersonId, log: &Robot) -> Option<(u8, Vec<Link>, String)> {
    let operators: BTreeSet<&str> = charter.witnesses.iter().map(|w| w.operator.as_str()).collect();
    let own = operators.iter().filter(|o| **o == person.as_str()).count();
    let why = match charter.witness_quorum as usize {
        0 => "the charter asks for no witness".to_owned(),
        asked if own >= asked => format!("the charter asks for one operator of witnesses, and {person} is one"),
        _ => return None,
    };
    let mut links = reach.links(person, &[log]);
    links.push(Link::Says(why));
    Some((0, links, format!("{person} alone can show others another log")))
}

/// The pairs of a builder and a tester in a person's reach whose build and evidence `decide` takes, when the people who
/// approve are others as far as there are others.
fn makes_evidence_of_own<'g, 'a>(
    ground: &'a Ground,
    booth: &mut Booth<'a>,
    ballots: &mut [Ballot<'a>],
    person: &Speaker,
    robots: &[&'g Robot],
) -> Result<Vec<(&'g Robot, &'g Robot)>, DutiesError> {
    let voice = |robot: &Robot| ground.speakers.iter().find(|s| s.voice == Voice::Robot(robot.id.clone()));
    let of_kind = |kind: Kind| -> Vec<(&'g Robot, &'a Speaker)> {
        let may: BTreeSet<&Voice> = ground.who_may(kind).map(|s| &s.voice).collect();
        let own = robots.iter().filter_map(|r| Some((*r, voice(r)?)));
        own.filter(|(_, s)| may.contains(&s.voice)).collect()
    };
    let (builders, testers) = (of_kind(Kind::Build), of_kind(Kind::Evidence));
    let own_changer = of_kind(Kind::Change).first().map(|(_, s)| *s);
    let Some(changer) = own_changer.or_else(|| ground.who_may(Kind::Change).next()) else { return Ok(Vec::new()) };
    let mut pairs = Vec::new();
    for (builder, one) in &builders {
        for (tester, other) in &testers {
            // The build that is proposed is the first one said.
            let rest = builders.iter().map(|(_, s)| *s).filter(|s| s.voice != one.voice);
            let makers = Makers { changer, builders: std::iter::once(*one).chain(rest).collect(), tester: Some(other) };
            if is_taken(booth, ballots, person, &makers)? {
                pairs.push((*builder, *tester));
            }
        }
    }
    Ok(pairs)
}

fn is_taken<'a>(
    booth: &mut Booth<'a>,
    ballots: &mut [Ballot<'a>],
    person: &Speaker,
    makers: &Makers<'a>,
) -> Result<bool, DutiesError> {
    for ballot in ballots {
        let Act::Release(environment) = ballot.act.clone() else { continue };
        for proposer in ballot.proposers.iter().flatten().copied().collect::<Vec<_>>() {
            for others_approve in [true, false] {
                let mut barred: BTreeSet<&PersonId> = proposer.persons.iter().collect();
                barred.extend(person.persons.iter().filter(|_| others_approve));
                for approvers in booth.filled(ballot, &barred)? {
                    let is_author = |s: &&Speaker| !approvers.iter().any(|(a, _)| a.voice == s.voice);
                    let Some(author) = booth.ground.persons().find(is_author) else { continue };
                    let votes: Vec<Vote<'_>> = approvers.iter().map(|(person, roles)| Vote { person, roles }).collect();
                    if is_granted(booth, makers, author, proposer, &votes, &environment)? {
                        return Ok(true);
                    }
                }
            }
        }
    }
    Ok(false)
}

fn is_granted<'a>(
    booth: &Booth<'a>,
    makers: &Makers<'a>,
    author: &Speaker,
    proposer: &Speaker,
    votes: &[Vote<'_>],
    environment: &EnvironmentName,
) -> Result<bool, DutiesError> {
    let mut trial = booth.fresh.clone();
    let change = trial.good_change(author, None)?;
    let Some(made) = trial.make(makers, change, None)? else { return Ok(false) };
    let claim = proposal_of(&made, environment, None);
    let Some(proposal) = trial.propose(proposer, &claim)? else { return Ok(false) };
    let approval = trial.good_approval(proposal, &claim);
    trial.vote(votes, Place::Environment(environment), &Claim::Approval(approval))?;
    Ok(trial.refusals(environment, proposal)?.is_empty())
}

#[cfg(test)]
mod tests;
