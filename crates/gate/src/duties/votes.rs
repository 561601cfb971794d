//! Votes: for each act that takes several people, which smallest sets of people it takes.
//!
//! A set is named by roles (two release managers and one of risk), filled with members of the charter, and put to a
//! [`Trial`]; the answer is that of the rules. It knows of a quorum only how many people it can take at most, so that the
//! search ends.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    bodies::SubjectDigest,
    charter::apply,
    erasure::{self, Erasures},
    statement::v1::{
        Amendment, Claim, Consent, Edit, Erasure, Exception, Halt, KeyWithdrawal, Kind, Quorum, Reason, Resume,
        ValueApproval, ValueProposal, ValueRule,
    },
};
use model::{Digest, EnvironmentName, KeyId, PersonId, RoleName, Timestamp};

use super::{
    DutiesError,
    acts::Act,
    seats::{Chosen, chosen},
    trial::{Ground, Made, Makers, Place, Trial, Vote, proposal_of},
    voices::{Speaker, Voice},
};
use crate::{EXCEPTION_PERSONS, values};

/// So many sets are tried for an act and a person; a quorum of five groups of four has 3,125.
const SETS_LIMIT: usize = 4096;

/// So many voters are looked through in the time of one statement.
const VOTERS_A_UNIT: u64 = 16;

/// So many persons of a role, or of anyone who may (`None`).
pub type Share = (Option<RoleName>, u32);

/// How a person takes part in an act that can take several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The person is enough.
    Alone,
    /// With any of these sets of others.
    With(Vec<Vec<Share>>),
    /// Whatever the person says makes no difference.
    None,
}

/// What is known of an act that may take several people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorate {
    /// The act.
    pub act: Act,
    /// The smallest sets that can do it; empty if nobody can.
    pub sets: Vec<Vec<Share>>,
    /// Whether there may be more sets than these.
    pub cut: bool,
    /// Where nobody can: what refuses it.
    pub why_not: Vec<Reason>,
}

/// An act that may take several people.
pub(super) struct Ballot<'a> {
    pub(super) act: Act,
    /// How many of each can make a difference at most.
    shares: Vec<Share>,
    /// The persons who may say the kind, each with the roles in which that is allowed.
    voters: Chosen<'a>,
    /// Where each of them stands.
    at: BTreeMap<&'a Voice, usize>,
    /// Who puts up what it is about, where somebody must; of those alike, as many as make a difference.
    pub(super) proposers: Vec<Vec<&'a Speaker>>,
    /// What the rules said to a set, by the set and by what the person who comes on top brings.
    known: BTreeMap<(Vec<u32>, Option<Brings>), Vec<Reason>>,
}

/// What makes a difference about a person: the roles, and behind which kinds of proposers the person stands everywhere.
type Brings = (Vec<RoleName>, Vec<usize>);

/// Every act of a charter that may take several people.
pub(super) fn ballots(ground: &Ground) -> Vec<Ballot<'_>> {
    let charter = ground.charter();
    let ballot = |act: Act, kind: Kind, shares: Vec<Share>| {
        let roles = |s: &'_ Speaker| -> Vec<usize> {
            (0..s.roles.len()).filter(|at| s.roles.get(*at).is_some_and(|r| ground.may_say(s, r, kind))).collect()
        };
        let voters = ground.persons().filter_map(|s| {
            let may: Vec<&RoleName> = roles(s).into_iter().filter_map(|at| s.roles.get(at)).collect();
            (!may.is_empty()).then_some((s, may))
        });
        let voters: Chosen<'_> = voters.collect();
        let at = voters.iter().enumerate().map(|(at, (s, _))| (&s.voice, at)).collect();
        let mut ballot = Ballot { act, voters, at, proposers: Vec::new(), shares, known: BTreeMap::new() };
        ballot.proposers = alike(ground, &ballot);
        ballot
    };
    let by_quorum = |act: Act, kind: Kind, quorum: &Quorum| {
        let mut shares: BTreeMap<&RoleName, u32> = BTreeMap::new();
        for group in &quorum.groups {
            let count = shares.entry(&group.role).or_default();
            *count = count.saturating_add(group.count);
        }
        ballot(act, kind, shares.into_iter().map(|(r, n)| (Some(r.clone()), n)).collect())
    };
    let by_number =
        |act, kind, persons: usize| ballot(act, kind, vec![(None, u32::try_from(persons).unwrap_or(u32::MAX))]);
    let mut all = Vec::new();
    for e in &charter.environments {
        all.push(by_quorum(Act::Release(e.name.clone()), Kind::Approval, &e.quorum));
        if let Some(emergency) = &e.emergency {
            all.push(by_quorum(Act::Emergency(e.name.clone()), Kind::Approval, &emergency.quorum));
        }
        all.push(by_quorum(Act::Resume(e.name.clone()), Kind::Resume, &e.resume));
    }
    all.push(by_quorum(Act::Amend, Kind::Consent, &charter.amendment));
    for value in &charter.values {
        let act = Act::SetValue(value.name.clone(), value.system.clone(), value.environment.clone());
        all.push(by_quorum(act, Kind::ValueApproval, &value.guardians));
    }
    all.push(by_number(Act::Except, Kind::Exception, EXCEPTION_PERSONS));
    all.push(by_number(Act::Erase, Kind::Erasure, erasure::PERSONS));
    all
}

/// Where ballots are held: the trials so far, to go on from.
pub(super) struct Booth<'a> {
    pub(super) ground: &'a Ground,
    pub(super) proposers: Vec<&'a Speaker>,
    plain: Trial<'a>,
    /// A log in which nothing was said since it was founded.
    pub(super) fresh: Trial<'a>,
    /// A release made of a change by each author that was needed so far.
    made: BTreeMap<PersonId, Option<(Trial<'a>, Made)>>,
    pub(super) makers: Option<Makers<'a>>,
    /// Makes the subject of each question its own.
    asked: u64,
}

impl<'a> Booth<'a> {
    pub(super) fn new(ground: &'a Ground) -> Result<Self, DutiesError> {
        let fresh = Trial::begin(ground)?;
        Ok(Self {
            ground,
            proposers: ground.who_may(Kind::Proposal).collect(),
            plain: fresh.clone(),
            fresh,
            made: BTreeMap::new(),
            makers: honest_makers(ground),
            asked: 0,
        })
    }

    /// The smallest sets for a ballot, without anybody on top.
    pub(super) fn quorate(&mut self, ballot: &mut Ballot<'a>) -> Result<Quorate, DutiesError> {
        let (sets, cut) = self.smallest(ballot, None)?;
        let why_not = if sets.is_empty() { self.ask(ballot, &most(ballot, None), None)? } else { Vec::new() };
        let sets = sets.iter().map(|set| named(ballot, set)).collect();
        Ok(Quorate { act: ballot.act.clone(), sets, cut, why_not })
    }

    /// How a person takes part in a ballot.
    pub(super) fn part(&mut self, ballot: &mut Ballot<'a>, person: &'a Speaker) -> Result<Part, DutiesError> {
        if !ballot.at.contains_key(&person.voice) {
            return Ok(Part::None);
        }
        let (sets, _) = self.smallest(ballot, Some(person))?;
        if sets.iter().any(|set| set.iter().all(|n| *n == 0)) {
            return Ok(Part::Alone);
        }
        let mut with = Vec::new();
        for set in sets {
            // What the others can do by themselves, they do not do with the person.
            if !self.ask(ballot, &set, None)?.is_empty() {
                with.push(named(ballot, &set));
            }
        }
        Ok(if with.is_empty() { Part::None } else { Part::With(with) })
    }

    /// The smallest sets of others, in numbers of each share; and whether not all were tried.
    fn smallest(
        &mut self,
        ballot: &mut Ballot<'a>,
        with: Option<&'a Speaker>,
    ) -> Result<(Vec<Vec<u32>>, bool), DutiesError> {
        let most = most(ballot, with);
        let all = most.iter().try_fold(1usize, |n, m| n.checked_mul(*m as usize + 1));
        if all.is_none_or(|all| all > SETS_LIMIT) {
            // Whoever is on top fills a place that the others then need not.
            let one_less = (0..most.len()).map(|at| {
                most.iter().enumerate().map(|(n, m)| if n == at { m.saturating_sub(1) } else { *m }).collect()
            });
            for set in std::iter::once(most.clone()).chain(one_less) {
                if self.ask(ballot, &set, with)?.is_empty() {
                    return Ok((vec![self.lowered(ballot, set, with)?], true));
                }
            }
            return Ok((Vec::new(), true));
        }
        let mut tried: Vec<Vec<u32>> = vec![Vec::new()];
        for m in &most {
            tried = tried.into_iter().flat_map(|set| (0..=*m).map(move |n| [set.clone(), vec![n]].concat())).collect();
        }
        tried.sort_by_key(|set| (set.iter().sum::<u32>(), set.clone()));
        let mut found: Vec<Vec<u32>> = Vec::new();
        for set in tried {
            let has_more = |less: &Vec<u32>| less.iter().zip(&set).all(|(a, b)| a <= b);
            if !found.iter().any(has_more) && self.ask(ballot, &set, with)?.is_empty() {
                found.push(set);
            }
        }
        Ok((found, false))
    }

    /// One smallest set below one that is enough.
    fn lowered(
        &mut self,
        ballot: &mut Ballot<'a>,
        mut set: Vec<u32>,
        with: Option<&'a Speaker>,
    ) -> Result<Vec<u32>, DutiesError> {
        for at in 0..set.len() {
            let (mut low, mut high) = (0, set.get(at).copied().unwrap_or(0));
            while low < high {
                let middle = low + (high - low) / 2;
                let mut less = set.clone();
                less.iter_mut().skip(at).take(1).for_each(|n| *n = middle);
                if self.ask(ballot, &less, with)?.is_empty() {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            set.iter_mut().skip(at).take(1).for_each(|n| *n = high);
        }
        Ok(set)
    }

    /// What the rules say to a set of people, and somebody on top: nothing is yes.
    fn ask(
        &mut self,
        ballot: &mut Ballot<'a>,
        set: &[u32],
        with: Option<&'a Speaker>,
    ) -> Result<Vec<Reason>, DutiesError> {
        self.ground.spend(1)?;
        let brings = with.map(|person| Self::brings(ballot, person));
        let question = (set.to_vec(), brings);
        if let Some(known) = ballot.known.get(&question) {
            return Ok(known.clone());
        }
        // Finding people for the set looks at all who may speak.
        self.ground.spend(1 + ballot.voters.len() as u64 / VOTERS_A_UNIT)?;
        let answer = self.hold(ballot, set, with)?;
        ballot.known.insert(question, answer.clone());
        Ok(answer)
    }

    /// Two persons who bring the same are the same to every rule.
    fn brings(ballot: &Ballot<'a>, person: &Speaker) -> Brings {
        let stands_behind = |s: &Speaker| s.persons.iter().any(|p| person.persons.contains(p));
        let kinds = ballot.proposers.iter().enumerate();
        let behind = kinds.filter(|(_, kind)| kind.iter().all(|s| stands_behind(s))).map(|(at, _)| at);
        (ballot.counted(&person.voice), behind.collect())
    }

    fn hold(
        &mut self,
        ballot: &Ballot<'a>,
        set: &[u32],
        with: Option<&'a Speaker>,
    ) -> Result<Vec<Reason>, DutiesError> {
        match &ballot.act {
            Act::Release(e) => self.release(ballot, set, with, e, false),
            Act::Emergency(e) => self.release(ballot, set, with, e, true),
            Act::Amend => {
                self.put_up_by_another(ballot, set, with, |booth, proposer, votes| booth.amends(proposer, votes))
            }
            Act::SetValue(name, system, e) => {
                let rule = self.ground.charter().values.iter();
                let Some(rule) = rule.clone().find(|v| (&v.name, &v.system, &v.environment) == (name, system, e))
                else {
                    return Ok(no("charter", "such a value in the charter"));
                };
                self.put_up_by_another(ballot, set, with, |booth, proposer, votes| {
                    booth.sets_value(proposer, votes, rule)
                })
            }
            other => {
                let Some(votes) = chosen(&ballot.shares, &ballot.voters, set, with, &BTreeSet::new()) else {
                    return Ok(no("people", "enough"));
                };
                self.asked += 1;
                let votes: Vec<Vote<'_>> = votes.iter().map(|(p, roles)| Vote { person: p, roles }).collect();
                let yes = match other {
                    Act::Resume(e) => self.resumes(&votes, e)?,
                    Act::Except => self.excepts(&votes)?,
                    Act::Erase => self.erases(&votes)?,
                    _ => false,
                };
                Ok(if yes { Vec::new() } else { no("quorum", "the persons that the charter asks for") })
            }
        }
    }

    /// Asks with each proposer in turn, none of whom is among those who say yes but for the one on top.
    fn put_up_by_another(
        &mut self,
        ballot: &Ballot<'a>,
        set: &[u32],
        with: Option<&'a Speaker>,
        mut is_yes: impl FnMut(&mut Self, &'a Speaker, &[Vote<'_>]) -> Result<bool, DutiesError>,
    ) -> Result<Vec<Reason>, DutiesError> {
        let mut last = no("proposal", "somebody who may put it up");
        for proposer in ballot.proposers.iter().flatten().copied() {
            let barred = proposer.persons.iter().collect();
            // Whoever proposes does not count, so nothing changes by having the one on top propose.
            if with.is_some_and(|w| w.voice == proposer.voice) {
                continue;
            }
            let Some(votes) = chosen(&ballot.shares, &ballot.voters, set, with, &barred) else {
                last = no("people", "enough who did not propose it");
                continue;
            };
            let votes: Vec<Vote<'_>> = votes.iter().map(|(p, roles)| Vote { person: p, roles }).collect();
            if is_yes(self, proposer, &votes)? {
                return Ok(Vec::new());
            }
            last = no("quorum", "the persons that the charter asks for");
        }
        Ok(last)
    }

    /// Whether an amendment that is put up comes into force by these consents.
    fn amends(&self, proposer: &Speaker, votes: &[Vote<'_>]) -> Result<bool, DutiesError> {
        let mut trial = self.fresh.clone();
        let charter = self.ground.charter();
        let edits = vec![Edit::KeyDelay(charter.key_delay_s.saturating_add(1))];
        let becomes = apply(charter, &edits).map_err(|_| DutiesError::Word)?.digest();
        let claim = Claim::Amendment(Box::new(Amendment { from: charter.digest(), becomes, edits }));
        let Some(amendment) = trial.say(proposer, Place::None, &claim)? else { return Ok(false) };
        trial.vote(votes, Place::None, &Claim::Consent(Consent { amendment, becomes, shown: becomes }))?;
        Ok(trial.facts.members().charter().digest() == becomes)
    }

    /// Whether a value that is put up comes into force by these approvals, when its time has gone by.
    fn sets_value(&self, proposer: &Speaker, votes: &[Vote<'_>], rule: &ValueRule) -> Result<bool, DutiesError> {
        let mut trial = self.fresh.clone();
        let place = Place::Of(&rule.system, &rule.environment);
        let value = Digest::of(b"a value");
        let (name, replaces) = (rule.name.clone(), None);
        let claim = Claim::ValueProposal(ValueProposal { name: name.clone(), value, replaces, reason: None });
        let Some(proposal) = trial.say(proposer, place, &claim)? else { return Ok(false) };
        let shown = values::value_shown_digest(&trial.facts, proposal).unwrap_or(value);
        let approval = ValueApproval { proposal, name: name.clone(), value, replaces, shown };
        trial.vote(votes, place, &Claim::ValueApproval(approval))?;
        trial.pass(rule.cool_off_s)?;
        let view = values::one(&trial.facts, &rule.system, &rule.environment, &name);
        Ok(view.and_then(|v| v.in_force).is_some_and(|v| v.proposal == proposal))
    }

    /// Puts a release up and has these people approve it. Its author and whoever stands behind the proposer are others, as
    /// far as there are others.
    fn release(
        &mut self,
        ballot: &Ballot<'a>,
        set: &[u32],
        with: Option<&'a Speaker>,
        environment: &EnvironmentName,
        emergency: bool,
    ) -> Result<Vec<Reason>, DutiesError> {
        let ground = self.ground;
        let mut last = no("proposal", "a release that somebody may put up");
        for proposer in ballot.proposers.iter().flatten() {
            let behind: BTreeSet<&PersonId> = proposer.persons.iter().collect();
            let Some(votes) = chosen(&ballot.shares, &ballot.voters, set, with, &behind) else {
                last = no("people", "enough who did not propose it");
                continue;
            };
            let votes_of = |person: &&Speaker| votes.iter().any(|(v, _)| v.voice == person.voice);
            let others: Vec<&Speaker> = ground.persons().filter(|p| !votes_of(p)).take(1).collect();
            let authors: Vec<&Speaker> = if others.is_empty() { ground.persons().collect() } else { others };
            for author in authors {
                let mut barred = behind.clone();
                barred.extend(author.persons.first());
                let Some(votes) = chosen(&ballot.shares, &ballot.voters, set, with, &barred) else { continue };
                let votes: Vec<Vote<'_>> = votes.iter().map(|(p, roles)| Vote { person: p, roles }).collect();
                last = self.put_up(proposer, author, &votes, environment, emergency)?;
                if last.is_empty() {
                    return Ok(last);
                }
            }
        }
        Ok(last)
    }

    fn put_up(
        &mut self,
        proposer: &Speaker,
        author: &'a Speaker,
        votes: &[Vote<'_>],
        environment: &EnvironmentName,
        emergency: bool,
    ) -> Result<Vec<Reason>, DutiesError> {
        let Some((trial, made)) = self.made_by(author)? else {
            return Ok(no("build", "robots that may say changes, builds and evidence"));
        };
        let mut claim = proposal_of(made, environment, None);
        claim.emergency = emergency;
        let Some(proposal) = trial.propose(proposer, &claim)? else {
            return Ok(no("proposal", "a release that somebody may put up there"));
        };
        let approval = trial.good_approval(proposal, &claim);
        trial.vote(votes, Place::Environment(environment), &Claim::Approval(approval))?;
        trial.refusals(environment, proposal)
    }

    /// A log with a release that only waits for people, of a change by this author.
    pub(super) fn made_by(&mut self, author: &'a Speaker) -> Result<Option<&mut (Trial<'a>, Made)>, DutiesError> {
        let Some(person) = author.persons.first() else { return Ok(None) };
        if !self.made.contains_key(person) {
            let made = match &self.makers {
                Some(makers) => {
                    let mut trial = self.fresh.clone();
                    let change = trial.good_change(author, None)?;
                    trial.make(makers, change, None)?.map(|made| (trial, made))
                }
                None => None,
            };
            self.made.insert(person.clone(), made);
        }
        Ok(self.made.get_mut(person).and_then(Option::as_mut))
    }

    /// The smallest sets of people for a ballot, each filled with members of whom none is barred.
    pub(super) fn filled(
        &mut self,
        ballot: &mut Ballot<'a>,
        barred: &BTreeSet<&PersonId>,
    ) -> Result<Vec<Chosen<'a>>, DutiesError> {
        let (sets, _) = self.smallest(ballot, None)?;
        Ok(sets.iter().filter_map(|set| chosen(&ballot.shares, &ballot.voters, set, None, barred)).collect())
    }

    /// Whether somebody's order of a kind about one environment takes effect, asked of a trial in which there is something
    /// to order.
    pub(super) fn orders(&mut self, speaker: &Speaker, act: &Act) -> Result<bool, DutiesError> {
        self.asked += 1;
        let system = &self.ground.system;
        match act {
            Act::Halt(e) => {
                let claim = Claim::Halt(Halt { environment: Some(e.clone()), reason: None });
                let said = self.plain.say(speaker, Place::Environment(e), &claim)?;
                Ok(said.is_some_and(|halt| self.plain.facts.is_halted_by(halt, system, e)))
            }
            Act::WithdrawKey => {
                let key = KeyId::of_wire(&self.asked.to_be_bytes());
                let void_from = self.plain.facts.size();
                let claim = Claim::KeyWithdrawal(KeyWithdrawal { key, void_from });
                self.plain.say(speaker, Place::None, &claim)?;
                Ok(self.plain.facts.is_void(key, void_from))
            }
            _ => Ok(false),
        }
    }

    /// Whether somebody may say this about that place.
    pub(super) fn may_order(
        &mut self,
        speaker: &Speaker,
        place: Place<'_>,
        claim: &Claim,
    ) -> Result<bool, DutiesError> {
        Ok(self.plain.say(speaker, place, claim)?.is_some())
    }

    fn resumes(&mut self, votes: &[Vote<'_>], environment: &EnvironmentName) -> Result<bool, DutiesError> {
        let place = Place::Environment(environment);
        let claim = Claim::Halt(Halt { environment: Some(environment.clone()), reason: None });
        let ground = self.ground;
        for person in ground.who_may(Kind::Halt) {
            if let Some(halt) = self.plain.say(person, place, &claim)? {
                self.plain.vote(votes, place, &Claim::Resume(Resume { halt }))?;
                return Ok(self.plain.facts.is_resumed(halt, &ground.system, environment));
            }
        }
        Ok(false)
    }

    fn excepts(&mut self, votes: &[Vote<'_>]) -> Result<bool, DutiesError> {
        let case = Digest::of(&self.asked.to_be_bytes());
        let Some(owner) = self.ground.charter().members.first() else { return Ok(false) };
        let suite = "on-source".parse()?;
        let ends = Timestamp::from_unix(u64::MAX);
        let claim = Exception { suite, case, owner: owner.id.clone(), ends };
        self.plain.vote(votes, Place::System, &Claim::Exception(claim.clone()))?;
        let now = self.plain.facts.time().map(|t| t.latest).unwrap_or_default();
        let what = (&self.ground.system, &claim.suite, case);
        Ok(self.plain.facts.excepted_until(what, &BTreeSet::new(), now, EXCEPTION_PERSONS).is_some())
    }

    fn erases(&self, votes: &[Vote<'_>]) -> Result<bool, DutiesError> {
        let subject = SubjectDigest::from_digest(Digest::of(b"a trial"));
        let mut erasures = Erasures::new();
        let claim = Claim::Erasure(Erasure { subject, reason: None });
        for (index, vote) in votes.iter().enumerate() {
            for role in vote.roles {
                let statement = self.ground.statement(role, Place::None, claim.clone());
                if let Ok(by) = self.ground.members.entitle(&statement, vote.person.key) {
                    erasures.push(index as u64, vote.person.key, &self.ground.members, &by, &statement);
                }
            }
        }
        Ok(erasures.complete(subject).is_some())
    }
}

impl Ballot<'_> {
    /// The roles of a person that count in it.
    fn counted(&self, voice: &Voice) -> Vec<RoleName> {
        let roles = self.at.get(voice).and_then(|at| self.voters.get(*at)).map(|(_, roles)| roles);
        let counts = |role: &RoleName| self.shares.iter().any(|(r, _)| r.as_ref().is_none_or(|r| r == role));
        let mut roles: Vec<RoleName> =
            roles.into_iter().flatten().filter(|r| counts(r)).map(|r| (*r).clone()).collect();
        roles.sort_unstable();
        roles
    }
}

/// Whoever may put up what a ballot is about. Proposers are alike if both are people or robots that act in the same
/// places, and who stands behind them brings the same roles: of those it is enough to try one, and for each person behind
/// that one another who is not that person's.
fn alike<'a>(ground: &'a Ground, ballot: &Ballot<'a>) -> Vec<Vec<&'a Speaker>> {
    let kind = match ballot.act {
        Act::Release(_) | Act::Emergency(_) => Kind::Proposal,
        Act::Amend => Kind::Amendment,
        Act::SetValue(..) => Kind::ValueProposal,
        _ => return Vec::new(),
    };
    let mut kinds: BTreeMap<_, Vec<&Speaker>> = BTreeMap::new();
    for speaker in ground.who_may(kind) {
        let robot = ground.charter().robots.iter().find(|r| speaker.voice == Voice::Robot(r.id.clone()));
        let mut behind: Vec<Vec<RoleName>> =
            speaker.persons.iter().map(|p| ballot.counted(&Voice::Person(p.clone()))).collect();
        behind.sort();
        kinds.entry((robot.map(|r| (&r.role, &r.environments)), behind)).or_default().push(speaker);
    }
    let few = |all: Vec<&'a Speaker>| {
        let mut few: Vec<&Speaker> = all.iter().take(1).copied().collect();
        for person in all.iter().take(1).flat_map(|s| &s.persons) {
            few.extend(all.iter().find(|s| !s.persons.contains(person)));
        }
        few
    };
    kinds.into_values().map(few).collect()
}

/// The robots that make releases when all is in order: whoever may say changes, every builder, and a tester that is none.
fn honest_makers(ground: &Ground) -> Option<Makers<'_>> {
    let builders: Vec<&Speaker> = ground.who_may(Kind::Build).collect();
    let is_builder = |s: &&Speaker| builders.iter().any(|b| b.voice == s.voice);
    let tester = ground.who_may(Kind::Evidence).min_by_key(is_builder);
    Some(Makers { changer: ground.who_may(Kind::Change).next()?, builders, tester })
}

fn no(rule: &str, needed: &str) -> Vec<Reason> {
    vec![Reason { rule: rule.to_owned(), found: String::new(), needed: needed.to_owned() }]
}

/// How many of each share there are, somebody on top left out, and can make a difference at most. There need not be people
/// for all of it at once: one who holds two roles fills one place.
fn most(ballot: &Ballot<'_>, with: Option<&Speaker>) -> Vec<u32> {
    let others = || ballot.voters.iter().filter(|(s, _)| with.is_none_or(|w| w.voice != s.voice));
    let holders = |role: &Option<RoleName>| {
        let fits = |roles: &Vec<&RoleName>| role.as_ref().is_none_or(|r| roles.contains(&r));
        u32::try_from(others().filter(|(_, roles)| fits(roles)).count()).unwrap_or(u32::MAX)
    };
    ballot.shares.iter().map(|(role, count)| holders(role).min(*count)).collect()
}

fn named(ballot: &Ballot<'_>, set: &[u32]) -> Vec<Share> {
    let all = ballot.shares.iter().zip(set).map(|((role, _), count)| (role.clone(), *count));
    all.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests;
