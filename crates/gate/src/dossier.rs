//! The dossier: everything that the policies may ask about one proposal, gathered from the facts.
//!
//! It gathers and does not judge: each field is what is there. What must be there is in the policy text.

use std::collections::{BTreeMap, BTreeSet};

use ledger::statement::v1::{
    Build, Change, CommitFact, Evidence, EvidenceOn, EvidenceOutcome, Kind, Proposal, SuiteFact,
    SuiteKind, SuiteOn,
};
use model::{Digest, PersonId, RoleName, SuiteName, SystemName, Timestamp};

use crate::{
    facts::{Facts, Said},
    quorum::{Tally, tally},
    shown::shown_digest,
};

/// How many non-contributors it takes to except a case or a suite.
pub const EXCEPTION_PERSONS: usize = 2;

/// The name under which a whole suite can be excepted: the pseudonym of no case, as ids are never empty.
pub const WHOLE_SUITE: &[u8] = b"";

/// What there is about one binding suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteStanding {
    /// The suite.
    pub suite: SuiteName,
    /// Its kind.
    pub kind: SuiteKind,
    /// What it runs on.
    pub on: SuiteOn,
    /// The evidence that it passed, if it did.
    pub passed: Option<u64>,
    /// What there is instead, in a few words.
    pub instead: Option<String>,
}

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
    /// How many persons rejected it.
    pub rejections: u32,
    /// Whether what it replaces is what runs (or it runs already, having replaced that).
    pub replaces_what_runs: bool,
    /// Whether it has been tried and gone back from.
    pub spent: bool,
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
        let said = facts.proposal(proposal)?;
        let claim = &said.claim;
        let system = claim.serial.system();
        let time = facts.time();
        let now = time.map(|t| t.latest).unwrap_or_default();
        let mut rests_on: BTreeSet<u64> = [proposal].into();
        rests_on.extend(time.map(|t| t.index));

        let changes = change_chain(facts, claim, system);
        rests_on.extend(changes.iter().map(|c| c.index));
        let commits = || changes.iter().flat_map(|c| &c.claim.commits);
        let mut contributors: BTreeSet<PersonId> = commits().flat_map(|c| c.contributors.iter().cloned()).collect();
        contributors.extend(said.by.persons().iter().cloned());

        let head = changes.last();
        let build = facts.build(claim.build);
        rests_on.extend(build.map(|b| b.index));
        let suites = standings(facts, claim, system, head, build, &contributors, now);
        rests_on.extend(suites.iter().filter_map(|s| s.passed));

        let votes = Votes::count(facts, said, &contributors, now);
        rests_on.extend(votes.rests_on.iter().copied());
        let rejections: BTreeSet<u64> = facts.rejections(proposal).map(|r| r.index).collect();
        let halt = facts.halted(system, &claim.environment);
        let spent = facts.spent(proposal);
        rests_on.extend(rejections.iter().copied().chain(halt.map(|h| h.index)).chain(spent));

        let running = facts.live(system, &claim.environment);
        let top = running.first();
        rests_on.extend(top.map(|l| l.index));
        let replaces_what_runs = match top {
            Some(live) if live.proposal == proposal => live.release == claim.release && live.before == claim.replaces,
            other => other.map(|live| live.release) == claim.replaces,
        };
        Some(Self {
            proposal: said,
            system,
            now,
            time_known: time.is_some(),
            witnessed: time.is_some_and(|t| t.witnessed),
            founded: facts.is_founded(),
            proposal_in_time: now < said.header.expires,
            change_accepted: head.is_some_and(|c| c.claim.is_accepted() && c.claim.commits.len() <= CHANGE_COMMITS)
                && head.is_some_and(|c| on_protected_branch(facts, &c.claim)),
            change_problems: head.map(|c| problems(&c.claim)).unwrap_or_else(|| ["no such change".to_owned()].into()),
            commits_not_signed: commits().filter_map(unsigned).collect(),
            commits_without_requirement: commits()
                .filter(|c| c.requirements.is_empty())
                .map(|c| c.commit.short())
                .collect(),
            contributors,
            build_names_images: head.is_some_and(|c| names_images(facts, build, claim, c)),
            edits_told: head.is_some_and(|c| {
                let told = (claim.edited_suites.clone(), claim.removed_suites.clone());
                edits(facts, system, &claim.environment, claim.replaces, &c.claim) == told
            }),
            suites,
            tally: votes.tally,
            approvals_asked: claim.approvals.unwrap_or(0),
            approvals_by_contributors: votes.by_contributors,
            approvals_that_do_not_fit: votes.unfit,
            rejections: u32::try_from(rejections.len()).unwrap_or(u32::MAX),
            replaces_what_runs,
            spent: spent.is_some(),
            halted: halt.is_some(),
            rests_on,
            ends: votes.ends.min(said.header.expires),
            changes,
        })
    }

    /// The suites that have not passed, with what there is instead.
    pub fn suites_not_passed(&self) -> BTreeSet<String> {
        self.suites.iter().filter_map(|s| Some(format!("{}: {}", s.suite, s.instead.as_ref()?))).collect()
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

fn on_protected_branch(facts: &Facts, change: &Change) -> bool {
    facts.members().charter().system(&change.system).is_some_and(|rule| rule.branch == change.branch)
}

/// The chain of accepted changes from the one after the replaced release's change up to the proposed one, oldest
/// first. Broken chains end it: what is not there can not be approved.
fn change_chain<'a>(facts: &'a Facts, claim: &Proposal, system: &SystemName) -> Vec<&'a Said<Change>> {
    let base = claim.replaces.and_then(|r| change_of_release(facts, system, &claim.environment, r));
    let mut chain = Vec::new();
    let mut at = Some(claim.change);
    while let Some(index) = at {
        if Some(index) == base {
            break;
        }
        let Some(change) = facts.change(index).filter(|c| &c.claim.system == system) else { break };
        // Strictly backwards, so a chain can not loop.
        at = change.claim.previous.filter(|previous| *previous < index);
        chain.push(change);
    }
    chain.reverse();
    chain
}

fn change_of_release(
    facts: &Facts,
    system: &SystemName,
    environment: &model::EnvironmentName,
    release: Digest,
) -> Option<u64> {
    let live = facts.live(system, environment);
    let proposal = live.iter().find(|l| l.release == release)?.proposal;
    Some(facts.proposal(proposal)?.claim.change)
}

fn problems(change: &Change) -> BTreeSet<String> {
    change.problems.iter().map(|p| format!("{p:?}")).collect()
}

fn unsigned(fact: &CommitFact) -> Option<String> {
    let what = match (fact.problem, fact.key) {
        (Some(problem), _) => format!("{problem:?}"),
        (None, None) => "no enrolled key".to_owned(),
        (None, Some(_)) => return None,
    };
    Some(format!("{}: {what}", fact.commit.short()))
}

fn names_images(facts: &Facts, build: Option<&Said<Build>>, claim: &Proposal, change: &Said<Change>) -> bool {
    build.is_some_and(|b| {
        facts.may_say(&b.header.role, Kind::Build)
            && b.claim.change == claim.change
            && b.claim.release == claim.release
            && b.claim.serial == claim.serial
            && b.claim.serial.ordinal() == change.claim.ordinal
            && b.claim.images == claim.images
            && !b.claim.images.is_empty()
    })
}

/// The suites of the release that is replaced.
fn base_suites<'a>(facts: &'a Facts, claim: &Proposal, system: &SystemName) -> &'a [SuiteFact] {
    suites_of(facts, system, &claim.environment, claim.replaces)
}

fn suites_of<'a>(
    facts: &'a Facts,
    system: &SystemName,
    environment: &model::EnvironmentName,
    release: Option<Digest>,
) -> &'a [SuiteFact] {
    release
        .and_then(|r| change_of_release(facts, system, environment, r))
        .and_then(|index| facts.change(index))
        .map_or(&[], |c| &c.claim.suites)
}

/// The suites of the release that runs in an environment which a change edits, and those that it removes, in the order
/// of their names: what a proposal must tell.
pub fn edits(
    facts: &Facts,
    system: &SystemName,
    environment: &model::EnvironmentName,
    replaces: Option<Digest>,
    change: &Change,
) -> (Vec<SuiteName>, Vec<SuiteName>) {
    let (mut edited, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for old in suites_of(facts, system, environment, replaces) {
        match change.suites.iter().find(|s| s.name == old.name) {
            None => {
                removed.insert(old.name.clone());
            }
            Some(new) if new.definition != old.definition || new.files != old.files => {
                edited.insert(old.name.clone());
            }
            Some(_) => {}
        }
    }
    (edited.into_iter().collect(), removed.into_iter().collect())
}

fn standings(
    facts: &Facts,
    claim: &Proposal,
    system: &SystemName,
    change: Option<&&Said<Change>>,
    build: Option<&Said<Build>>,
    contributors: &BTreeSet<PersonId>,
    now: Timestamp,
) -> Vec<SuiteStanding> {
    let Some(change) = change else { return Vec::new() };
    let mut standings = Vec::new();
    for suite in change.claim.suites.iter().filter(|s| s.kind != SuiteKind::Smoke) {
        let (passed, instead) = match suite_result(facts, claim, system, suite, build, contributors, now) {
            Ok(index) => (Some(index), None),
            Err(instead) => (None, Some(instead)),
        };
        standings.push(SuiteStanding { suite: suite.name.clone(), kind: suite.kind, on: suite.on, passed, instead });
    }
    for old in base_suites(facts, claim, system).iter().filter(|s| s.kind != SuiteKind::Smoke) {
        let kept = change.claim.suites.iter().any(|s| s.name == old.name && s.kind != SuiteKind::Smoke);
        if kept {
            continue;
        }
        let whole = Digest::of(WHOLE_SUITE);
        let excepted = facts.excepted(system, &old.name, whole, contributors, now).len() >= EXCEPTION_PERSONS;
        if !excepted {
            standings.push(SuiteStanding {
                suite: old.name.clone(),
                kind: old.kind,
                on: old.on,
                passed: None,
                instead: Some("binds since the release before, and the change removes it".to_owned()),
            });
        }
    }
    standings
}

/// The evidence that a suite passed on what is proposed, or what there is instead.
fn suite_result(
    facts: &Facts,
    claim: &Proposal,
    system: &SystemName,
    suite: &SuiteFact,
    build: Option<&Said<Build>>,
    contributors: &BTreeSet<PersonId>,
    now: Timestamp,
) -> Result<u64, String> {
    let about = |e: &&Said<Evidence>| e.claim.suite == suite.name && is_about(&e.claim, claim, suite.on);
    // A failure sticks to what it was seen on: running again until green is not testing.
    if let Some(failed) = facts.evidence(claim.change).find(|e| about(e) && e.claim.outcome == EvidenceOutcome::Failed) {
        let t = failed.claim.totals;
        return Err(format!("failed, {} of {} cases", t.failed, t.failed + t.passed + t.skipped));
    }
    let Some(last) = facts.evidence(claim.change).filter(about).next_back() else {
        let elsewhere = facts.evidence(claim.change).any(|e| e.claim.suite == suite.name);
        return Err(if elsewhere { "only tested on something else" } else { "not run" }.to_owned());
    };
    let e = &last.claim;
    if e.outcome != EvidenceOutcome::Passed {
        let why: Vec<String> = e.reasons.iter().map(|r| format!("{r:?}")).collect();
        return Err(format!("not tested ({}), {} missing, {} skipped", why.join(", "), e.missing.len(), e.totals.skipped));
    }
    if e.definition != suite.definition || e.files != suite.files || e.kind != suite.kind {
        return Err("tested with another definition".to_owned());
    }
    if !facts.may_say(&last.header.role, Kind::Evidence) || build.is_none_or(|b| b.key == last.key || b.by == last.by) {
        return Err("tested by the one who built it".to_owned());
    }
    if e.totals.passed == 0 {
        return Err("no case passed".to_owned());
    }
    let excepted = e.excepted.len();
    if (e.totals.skipped as usize) > excepted {
        return Err(format!("{} cases skipped, {excepted} excepted", e.totals.skipped));
    }
    let is_backed = |case: &&Digest| facts.excepted(system, &suite.name, **case, contributors, now).len() >= EXCEPTION_PERSONS;
    let backed = e.excepted.iter().filter(is_backed).count();
    if backed < excepted {
        return Err(format!("{} exceptions that two persons who did not contribute do not back any more", excepted - backed));
    }
    check_baseline(facts, claim, system, &suite.name, e)?;
    Ok(last.index)
}

fn is_about(evidence: &Evidence, claim: &Proposal, on: SuiteOn) -> bool {
    match (&evidence.on, on) {
        (EvidenceOn::Source { .. }, SuiteOn::Source) => true,
        (EvidenceOn::Containers { release, images }, SuiteOn::Containers) => {
            *release == claim.release && *images == claim.images
        }
        _ => false,
    }
}

/// The cases that bind are those of what runs: a run that was compared with nothing, or with something that never
/// ran, does not show that no case was removed.
fn check_baseline(
    facts: &Facts,
    claim: &Proposal,
    system: &SystemName,
    suite: &SuiteName,
    evidence: &Evidence,
) -> Result<(), String> {
    let mut ran: BTreeSet<Digest> = claim.replaces.into_iter().collect();
    for environment in &facts.members().charter().environments {
        ran.extend(facts.live(system, &environment.name).iter().map(|l| l.release));
    }
    ran.remove(&claim.release);
    let has_baseline = |release: &Digest| {
        facts.builds().filter(|b| b.claim.release == *release).any(|b| {
            facts
                .evidence(b.claim.change)
                .any(|e| e.claim.suite == *suite && e.claim.outcome == EvidenceOutcome::Passed)
        })
    };
    match evidence.baseline {
        Some(index) => {
            let base = facts.one_evidence(index).filter(|e| e.claim.suite == *suite);
            let of = base.and_then(|e| facts.builds().find(|b| b.claim.change == e.claim.change));
            if of.is_some_and(|b| ran.contains(&b.claim.release)) {
                Ok(())
            } else {
                Err("compared with the cases of something that does not run".to_owned())
            }
        }
        None if claim.replaces.as_ref().is_some_and(has_baseline) => {
            Err("not compared with the cases of what runs".to_owned())
        }
        None => Ok(()),
    }
}

struct Votes {
    tally: Tally,
    by_contributors: BTreeSet<String>,
    unfit: BTreeSet<String>,
    rests_on: BTreeSet<u64>,
    ends: Timestamp,
}

impl Votes {
    fn count(facts: &Facts, proposal: &Said<Proposal>, contributors: &BTreeSet<PersonId>, now: Timestamp) -> Self {
        let claim = &proposal.claim;
        let rule = facts.members().charter().environment(&claim.environment);
        let life = rule.map_or(0, |r| r.approval_s);
        let text = shown_digest(facts, proposal.index);
        let mut spoke: BTreeMap<PersonId, BTreeSet<RoleName>> = BTreeMap::new();
        let mut votes = Self {
            tally: Tally { needed: u32::MAX, counted: 0, persons: BTreeSet::new() },
            by_contributors: BTreeSet::new(),
            unfit: BTreeSet::new(),
            rests_on: BTreeSet::new(),
            ends: Timestamp::from_unix(u64::MAX),
        };
        let mut ends: BTreeMap<PersonId, Timestamp> = BTreeMap::new();
        for approval in facts.approvals(proposal.index) {
            let a = &approval.claim;
            // An approval ages from the first time that the log can show for it.
            let since = facts.covered(approval.index).map_or(now, |t| t.earliest);
            let end = approval.header.expires.min(since.plus_s(life));
            let fits = approval.index > proposal.index
                && a.environment == claim.environment
                && a.release == claim.release
                && a.replaces == claim.replaces
                && Some(a.shown) == text
                && approval.header.system.as_ref() == Some(claim.serial.system())
                && now < end;
            for person in approval.by.persons() {
                if contributors.contains(person) {
                    votes.by_contributors.insert(person.to_string());
                } else if !fits {
                    votes.unfit.insert(person.to_string());
                } else {
                    spoke.entry(person.clone()).or_default().insert(approval.header.role.clone());
                    let latest = ends.entry(person.clone()).or_insert(end);
                    *latest = end.max(*latest);
                    votes.rests_on.insert(approval.index);
                }
            }
        }
        votes.unfit.retain(|p| !spoke.keys().any(|s| s.as_str() == p));
        if let Some(rule) = rule {
            votes.tally = tally(&rule.quorum, &spoke);
            // The manifest may ask for more people, never for fewer.
            let all = u32::try_from(spoke.len()).unwrap_or(u32::MAX);
            if votes.tally.is_met()
                && let Some(asked) = claim.approvals
                && asked > votes.tally.needed
            {
                votes.tally.needed = asked;
                votes.tally.counted = all;
                votes.tally.persons = spoke.keys().cloned().collect();
            }
        }
        if let Some(first) = votes.tally.persons.iter().filter_map(|p| ends.get(p)).min() {
            votes.ends = *first;
        }
        votes
    }
}
