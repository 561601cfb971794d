//! The dossier: everything that the policies may ask about one proposal, gathered from the facts.
//!
//! It gathers and does not judge: each field is what is there. What must be there is in the policy text.

use std::collections::BTreeSet;

use ledger::{
    quorum::Tally,
    statement::{
        Members, Signatory,
        v1::{Build, Change, CommitFact, Kind, Proposal, SuiteKind, SuiteOn},
    },
};
use model::{PersonId, SystemName, Timestamp};

use crate::{
    builders::Builders,
    emergency::{Owed, rule_of},
    facts::{Facts, Said},
    lineage::{Base, Ground, Lineage},
    promotion::{Asking, Promotion},
    standing::{Judge, Standings, SuiteStanding, edits_over},
    time::{CoolOff, LogTime},
    values::ReleaseValues,
    votes::Votes,
};

/// Everything that the policies may ask about one proposal.
#[derive(Clone, Debug)]
pub struct Dossier<'a> {
    /// The proposal.
    pub proposal: &'a Said<Proposal>,
    /// Its system.
    pub system: &'a SystemName,
    /// The log's time, zero if it has none yet.
    pub now: Timestamp,
    /// Whether there is a time at all.
    pub time_known: bool,
    /// Whether witnesses said the time.
    pub witnessed: bool,
    /// Whether every founder has signed the charter.
    pub founded: bool,
    /// Whether the proposal still counts.
    pub proposal_in_time: bool,
    /// Whether the change is on the protected branch and was accepted.
    pub change_accepted: bool,
    /// What is wrong with the change as a whole.
    pub change_problems: BTreeSet<String>,
    /// Every change from the one after the release that is replaced, up to this one.
    pub changes: Vec<&'a Said<Change>>,
    /// Commits whose authorship is not in order, with what is wrong.
    pub commits_not_signed: BTreeSet<String>,
    /// Commits that link no requirement.
    pub commits_without_requirement: BTreeSet<String>,
    /// Everyone who wrote or proposed any of it.
    pub contributors: BTreeSet<PersonId>,
    /// Whether a build by an enrolled builder names exactly these images, this release and this change.
    pub build_names_images: bool,
    /// How many builders made exactly this, and which made something else.
    pub builders: Builders,
    /// Whether it is judged as an emergency: it says so, a person put it up, and the charter knows emergencies there.
    pub emergency: bool,
    /// When a verdict on it as an emergency ends by itself, once its quorum is there.
    pub emergency_ends: Option<Timestamp>,
    /// The evidence that the release which runs owes since it went in an emergency.
    pub emergency_owes: BTreeSet<String>,
    /// The binding suites.
    pub suites: Vec<SuiteStanding>,
    /// Whether the proposal tells what the change edits and removes of the binding suites.
    pub edits_told: bool,
    /// How far the quorum is met by approvals that count.
    pub tally: Tally,
    /// How many approvals the manifest asks for beyond it.
    pub approvals_asked: u32,
    /// Contributors who approved; their approvals do not count.
    pub approvals_by_contributors: BTreeSet<String>,
    /// Persons whose approval is of something else, or is over.
    pub approvals_that_do_not_fit: BTreeSet<String>,
    /// How far the time that must pass after the quorum has passed.
    pub cool_off: CoolOff,
    /// How many guarded values it reads.
    pub values: usize,
    /// Guarded values that are not given as they are in force, with what is wrong.
    pub values_not_in_force: BTreeSet<String>,
    /// How many persons rejected it.
    pub rejections: u32,
    /// Whether what it replaces is what runs (or it runs already, having replaced that).
    pub replaces_what_runs: bool,
    /// Whether it has been tried and gone back from.
    pub spent: bool,
    /// How the release stands with each environment that it must have run in before this one.
    pub promotions: Vec<Promotion>,
    /// Whether the environment is halted.
    pub halted: bool,
    /// The log indices of the statements that all this rests on.
    pub rests_on: BTreeSet<u64>,
    /// When the first of the approvals that count, or the proposal, is over.
    pub ends: Timestamp,
}

impl<'a> Dossier<'a> {
    /// Gathers it. `None` if there is no such proposal, or its signer's key was withdrawn.
    pub fn gather(facts: &'a Facts, proposal: u64) -> Option<Self> {
        Self::gather_by(facts, proposal, facts.time(), facts.members())
    }

    /// The same about what runs, by the time and the charter of when it began to go: that approvals and exceptions have
    /// aged since, and that people have left, says nothing about it. What was withdrawn or found since counts, and a halt
    /// is none of it.
    pub(crate) fn gather_going(facts: &'a Facts, proposal: u64) -> Option<Self> {
        let said = facts.proposal(proposal)?;
        let (system, environment) = (said.claim.serial.system(), &said.claim.environment);
        let began = facts.any_milestones(system, environment).find(|m| m.claim.proposal == proposal);
        let began = began.map_or_else(|| facts.size(), |said| said.index);
        let dossier = Self::gather_by(facts, proposal, facts.time_before(began), facts.members_at(began))?;
        Some(Self { halted: false, time_known: true, ..dossier })
    }

    fn gather_by(facts: &'a Facts, proposal: u64, time: Option<LogTime>, members: &Members) -> Option<Self> {
        let said = facts.proposal(proposal)?;
        let claim = &said.claim;
        let system = claim.serial.system();
        let now = time.map(|t| t.latest).unwrap_or_default();
        let mut rests_on: BTreeSet<u64> = [proposal].into();
        rests_on.extend(time.map(|t| t.index));

        let live = facts.running(system, &claim.environment);
        let ground = Ground::of(facts, said, live);
        let base = ground.base;
        rests_on.extend(ground.came.into_iter().flat_map(|came| [came.live.index, came.next.index]));
        let Lineage { changes, broken } = Lineage::of(facts, said, base);
        rests_on.extend(changes.iter().map(|c| c.index));
        let commits = || changes.iter().flat_map(|c| &c.claim.commits);
        let mut contributors: BTreeSet<PersonId> = commits().flat_map(|c| c.contributors.iter().cloned()).collect();
        contributors.extend(said.by.persons().iter().cloned());

        let rule = members.charter().environment(&claim.environment);
        let emergency = rule_of(rule, said).is_some();
        let owed = Owed::by_what_runs(facts, system, &claim.environment, now);
        let builders = Builders::of(facts, claim, members);
        rests_on.extend(owed.rests_on.iter().chain(&builders.rests_on));

        let head = changes.last();
        let build = facts.build(claim.build).filter(|b| b.index < proposal);
        rests_on.extend(build.map(|b| b.index));
        let standings = head.map_or_else(Standings::none, |change| {
            Judge { facts, claim, ground, change, build, contributors: &contributors, now }.standings()
        });
        rests_on.extend(standings.rests_on);

        let votes = Votes::count(facts, said, &contributors, now, members);
        rests_on.extend(votes.rests_on.iter().copied());
        let values = ReleaseValues::of(facts, claim, head.map(|c| c.claim.values.as_slice()).unwrap_or_default());
        rests_on.extend(values.rests_on.iter().copied());
        // What runs now says what it must have run in before, also where its tests are of another time.
        let today = Base::over(facts, claim.replaces, live);
        let promotions = Asking { facts, claim, base: today, head: head.copied(), members, time }.answer();
        rests_on.extend(promotions.rests_on.iter().copied());
        let rejections: BTreeSet<u64> = facts.rejections(proposal).map(|r| r.index).collect();
        let halt = facts.halted(system, &claim.environment);
        let spent = facts.spent(proposal);
        rests_on.extend(rejections.iter().copied().chain(halt.map(|h| h.index)).chain(spent));

        let top = live.first();
        rests_on.extend(top.map(|l| l.index));
        let replaces_what_runs = match top {
            Some(live) if live.proposal == proposal => live.release == claim.release && live.before == claim.replaces,
            other => other.map(|live| live.release) == claim.replaces,
        };
        let mut problems: BTreeSet<String> =
            changes.iter().flat_map(|c| c.claim.problems.iter().map(|p| format!("{p:?}"))).collect();
        problems.extend(head.is_none().then(|| "no such change".to_owned()));
        problems.extend(broken.map(str::to_owned));
        problems.extend(matches!(base, Base::Unknown).then(|| "what it replaces was never approved".to_owned()));
        Some(Self {
            proposal: said,
            system,
            now,
            time_known: time.is_some(),
            witnessed: time.is_some_and(|t| t.witnessed),
            founded: facts.is_founded(),
            proposal_in_time: now < said.header.expires,
            change_accepted: !changes.is_empty()
                && changes.iter().all(|c| is_acceptable(facts, c))
                && problems.is_empty(),
            change_problems: problems,
            commits_not_signed: changes
                .iter()
                .flat_map(|change| change.claim.commits.iter().filter_map(|c| unsigned(facts, change, c)))
                .collect(),
            commits_without_requirement: commits()
                .filter(|c| c.requirements.is_empty())
                .map(|c| c.commit.short())
                .collect(),
            contributors,
            build_names_images: head.is_some_and(|c| names_images(facts, build, claim, c)),
            builders,
            emergency,
            emergency_ends: votes.emergency_ends,
            // It is what runs that owes, and not itself.
            emergency_owes: if top.is_some_and(|l| l.proposal == proposal) { BTreeSet::new() } else { owed.missing },
            edits_told: head.is_some_and(|c| {
                let told = (claim.edited_suites.clone(), claim.removed_suites.clone());
                edits_over(base, &c.claim) == told
            }),
            suites: standings.suites,
            tally: votes.tally,
            approvals_asked: claim.approvals.unwrap_or(0),
            approvals_by_contributors: votes.by_contributors,
            approvals_that_do_not_fit: votes.unfit,
            cool_off: votes.cool_off,
            values: values.count,
            values_not_in_force: values.not_in_force,
            rejections: u32::try_from(rejections.len()).unwrap_or(u32::MAX),
            replaces_what_runs,
            spent: spent.is_some(),
            promotions: promotions.each,
            halted: halt.is_some(),
            rests_on,
            ends: votes.ends.min(said.header.expires).min(standings.ends),
            changes,
        })
    }

    /// The suites that have not passed, with what there is instead.
    pub fn suites_not_passed(&self) -> BTreeSet<String> {
        self.suites.iter().filter_map(|s| Some(format!("{}: {}", s.suite, s.instead.as_ref()?))).collect()
    }

    /// The suites about which something speaks against the release, with what; those that merely were not run are not here.
    pub fn suites_against(&self) -> BTreeSet<String> {
        let against = self.suites.iter().filter(|s| !s.is_missing);
        against.filter_map(|s| Some(format!("{}: {}", s.suite, s.instead.as_ref()?))).collect()
    }

    /// What is missing of its way through the environments before, in words.
    pub fn promotion_missing(&self) -> BTreeSet<String> {
        self.promotions.iter().filter_map(Promotion::missing).collect()
    }

    /// What was found against it in the environments before, in words.
    pub fn promotion_against(&self) -> BTreeSet<String> {
        self.promotions.iter().filter_map(Promotion::against).collect()
    }

    /// Whether it has run where it must have run before. An emergency may go before that; never against what was found.
    pub fn is_promoted(&self) -> bool {
        self.promotion_against().is_empty() && (self.emergency || self.promotion_missing().is_empty())
    }

    /// Whether it says that it is an emergency where it may not.
    pub const fn is_false_emergency(&self) -> bool {
        self.proposal.claim.emergency && !self.emergency
    }

    /// How many full suites passed on containers started from the proposed images.
    pub fn full_suites_on_containers(&self) -> usize {
        self.suites
            .iter()
            .filter(|s| s.passed.is_some() && s.kind == SuiteKind::Full && s.on == SuiteOn::Containers)
            .count()
    }
}

/// As many commits as a change may have: about 200 bytes each, a third of an entry's 65,535.
pub const CHANGE_COMMITS: usize = 120;

/// By the charter in force where the change stands; the system must still be there.
fn is_acceptable(facts: &Facts, said: &Said<Change>) -> bool {
    let change = &said.claim;
    let rule = facts.members_at(said.index).charter().system(&change.system);
    change.is_accepted()
        && change.commits.len() <= CHANGE_COMMITS
        && rule.is_some_and(|rule| rule.branch == change.branch)
        && facts.members().charter().system(&change.system).is_some()
}

/// What is wrong with a commit's authorship: by the builder's word, and by what the charter says of the key.
fn unsigned(facts: &Facts, change: &Said<Change>, fact: &CommitFact) -> Option<String> {
    let what = match (fact.problem, fact.key) {
        (Some(problem), _) => format!("{problem:?}"),
        (None, None) => "no enrolled key".to_owned(),
        (None, Some(key)) => match facts.members_at(change.index).holder(key) {
            Ok(Signatory::Person(person)) if fact.contributors.contains(person) => {
                // A commit has no place in the log of its own: it was signed before its change stood there.
                if !facts.is_void(key, change.index) {
                    return None;
                }
                "signed by a key that was withdrawn".to_owned()
            }
            Ok(Signatory::Person(_) | Signatory::Robot { .. } | Signatory::Recovery) => {
                "signed by somebody else".to_owned()
            }
            Err(_) => "no enrolled key".to_owned(),
        },
    };
    Some(format!("{}: {what}", fact.commit.short()))
}

fn names_images(facts: &Facts, build: Option<&Said<Build>>, claim: &Proposal, change: &Said<Change>) -> bool {
    build.is_some_and(|b| {
        facts.members_at(b.index).charter().may_say(&b.header.role, Kind::Build)
            && b.claim.change == claim.change
            && b.claim.release == claim.release
            && b.claim.serial == claim.serial
            && b.claim.serial.ordinal() == change.claim.ordinal
            && b.claim.images == claim.images
            && !b.claim.images.is_empty()
    })
}

#[cfg(test)]
mod tests;
