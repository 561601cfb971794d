//! Rules tried: what nobody may be able to do to what judges a release, done in a made-up log and put to `decide`.
//!
//! Each row is an attack; it holds when the answer is no. An attack on something that would have been refused anyway shows
//! nothing, so the same release without the attack must be granted.

use std::collections::BTreeSet;

use ledger::statement::v1::{
    Approval, Asked, Change, ChangeProblem, Claim, EvidenceOutcome, Kind, Proposal, Speaker as Who, Totals,
};
use model::{Digest, EnvironmentName, PersonId};

use super::{
    DutiesError,
    acts::Act,
    seats::Chosen,
    trial::{Made, Makers, Place, Trial, Vote, passed, proposal_of},
    voices::Speaker,
    votes::{Ballot, Booth},
};

/// One attack and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is tried.
    pub attack: String,
    /// Whether it is refused.
    pub holds: bool,
    /// What refuses it, or what is wrong.
    pub found: String,
}

impl Row {
    fn of(attack: String, refused_by: &[String]) -> Self {
        let holds = !refused_by.is_empty();
        let found = if holds { format!("refused by {}", refused_by.join(", ")) } else { "GRANTED".to_owned() };
        Self { attack, holds, found }
    }
}

/// A release that runs, and everybody whom the next one takes.
struct Stage<'a> {
    trial: Trial<'a>,
    environment: EnvironmentName,
    first: Made,
    first_claim: Proposal,
    next: Next<'a>,
}

/// Everything about the next release that an attack may touch.
#[derive(Clone)]
struct Next<'a> {
    change: Change,
    makers: Makers<'a>,
    approvers: Chosen<'a>,
    proposer: &'a Speaker,
    /// Whether its suites fail before they pass.
    fails_first: bool,
    edit_proposal: fn(&mut Proposal),
    edit_approval: fn(&mut Approval),
}

/// Every row of a charter.
pub(super) fn rows<'a>(booth: &mut Booth<'a>, ballots: &mut [Ballot<'a>]) -> Result<Vec<Row>, DutiesError> {
    let mut rows = words_of_others(booth);
    for ballot in ballots {
        if let Act::Release(environment) = ballot.act.clone() {
            rows.extend(of_environment(booth, ballot, &environment)?);
        }
    }
    Ok(rows)
}

/// A builder's key can not sign approvals, and a person's key can not sign builds.
fn words_of_others(booth: &Booth<'_>) -> Vec<Row> {
    let tried = |attack: &str, who: Who, is_other: fn(&Speaker) -> bool| {
        let kinds = Kind::ALL.into_iter().filter(|k| *k != Kind::Charter && k.speaker() == who);
        let may = kinds.flat_map(|kind| booth.ground.who_may(kind).filter(|s| is_other(s)).map(move |s| (kind, s)));
        let may: Vec<String> = may.map(|(kind, s)| format!("{} may say `{kind}`", s.voice)).collect();
        let found =
            if may.is_empty() { "refused by the log's door and every reader".to_owned() } else { may.join(", ") };
        Row { attack: attack.to_owned(), holds: may.is_empty(), found }
    };
    vec![
        tried("a person's key says what only robots may, such as builds and evidence", Who::Robot, Speaker::is_person),
        tried("a robot's key says what only people may, such as approvals", Who::Person, |s| !s.is_person()),
    ]
}

fn of_environment<'a>(
    booth: &mut Booth<'a>,
    ballot: &mut Ballot<'a>,
    environment: &EnvironmentName,
) -> Result<Vec<Row>, DutiesError> {
    let untried =
        |found: String| vec![Row { attack: format!("any attack on releases into {environment}"), holds: false, found }];
    let Some(stage) = stage(booth, ballot, environment)? else {
        return Ok(untried("could not be tried: nobody can release there".to_owned()));
    };
    let refused = stage.attempt(&stage.next)?;
    if !refused.is_empty() {
        return Ok(untried(format!("could not be tried: a good release is refused by {}", refused.join(", "))));
    }
    let mut rows = Vec::new();
    let mut attack = |words: &str, edit: &dyn Fn(&mut Next<'a>)| -> Result<(), DutiesError> {
        let mut next = stage.next.clone();
        edit(&mut next);
        rows.push(Row::of(format!("{environment}: {words}"), &stage.attempt(&next)?));
        Ok(())
    };
    attack("a change removes a suite of what runs", &|n| n.change.suites.truncate(1))?;
    attack("a change edits a suite of what runs, and the proposal does not say so", &|n| {
        n.change.suites.iter_mut().for_each(|s| s.definition = Digest::of(b"easier"));
    })?;
    attack("a change that is not on the protected branch", &|n| n.change.branch = "another".to_owned())?;
    attack("a change that rewrote the branch", &|n| n.change.problems = vec![ChangeProblem::NotFastForward])?;
    attack("a commit that nobody signed", &|n| n.change.commits.iter_mut().for_each(|c| c.key = None))?;
    attack("a change that hides the one before it", &|n| n.change.previous = None)?;
    attack("no evidence", &|n| n.makers.tester = None)?;
    attack("a suite that failed is run again until it passes", &|n| n.fails_first = true)?;
    attack("evidence by the builder's key", &|n| n.makers.tester = n.makers.builders.first().copied())?;
    attack("images that were not built", &|n| n.edit_proposal = |p| p.images.clear())?;
    attack("a release document that was not built", &|n| n.edit_proposal = |p| p.release = other())?;
    attack("a proposal that replaces something that does not run", &|n| {
        n.edit_proposal = |p| p.replaces = Some(other());
    })?;
    attack("one approver fewer, where change and proposal ask for one", &|n| {
        n.change.asks = vec![Asked { environment: environment.clone(), approvals: 1 }];
        n.edit_proposal = |p| p.approvals = Some(1);
        n.approvers.pop();
    })?;
    attack("one of the approvers wrote some of it", &|n| {
        let authors = n.approvers.first().into_iter().flat_map(|(s, _)| s.persons.clone());
        let authors: Vec<PersonId> = authors.collect();
        n.change.commits.iter_mut().for_each(|c| c.contributors.extend(authors.iter().cloned()));
    })?;
    attack("approvals of another release", &|n| n.edit_approval = |a| a.release = other())?;
    attack("approvals of a transition from something else", &|n| n.edit_approval = |a| a.replaces = Some(other()))?;
    attack("approvals of another text than was shown", &|n| n.edit_approval = |a| a.shown = other())?;
    let approves = |s: &&&Speaker| stage.next.approvers.iter().any(|(a, _)| a.voice == s.voice);
    if let Some(both) = booth.proposers.iter().find(approves) {
        attack("one of the approvers proposed it", &|n| n.proposer = both)?;
    }
    rows.push(Row::of(
        format!("{environment}: a release that was replaced comes back on its old approvals"),
        &stage.bring_back()?,
    ));
    Ok(rows)
}

fn other() -> Digest {
    Digest::of(b"another")
}

/// A first release, approved and live, and what the next takes. `None` if nobody can release, or no agent says what runs.
fn stage<'a>(
    booth: &mut Booth<'a>,
    ballot: &mut Ballot<'a>,
    environment: &EnvironmentName,
) -> Result<Option<Stage<'a>>, DutiesError> {
    let Some(makers) = booth.makers.clone() else { return Ok(None) };
    for proposer in ballot.proposers.iter().flatten().copied().collect::<Vec<_>>() {
        let behind: BTreeSet<&PersonId> = proposer.persons.iter().collect();
        for approvers in booth.filled(ballot, &behind)? {
            let is_author = |s: &&Speaker| !approvers.iter().any(|(a, _)| a.voice == s.voice);
            let Some(author) = booth.ground.persons().find(is_author) else { continue };
            let Some((trial, first)) = booth.made_by(author)?.cloned() else { return Ok(None) };
            let mut stage = Stage {
                environment: environment.clone(),
                first_claim: proposal_of(&first, environment, None),
                next: Next {
                    change: first.about.clone(),
                    makers: makers.clone(),
                    approvers,
                    proposer,
                    fails_first: false,
                    edit_proposal: |_| {},
                    edit_approval: |_| {},
                },
                trial,
                first,
            };
            if stage.begin(author)? {
                return Ok(Some(stage));
            }
        }
    }
    Ok(None)
}

impl<'a> Stage<'a> {
    /// Has the first release approved and run. `false` if it is refused.
    fn begin(&mut self, author: &'a Speaker) -> Result<bool, DutiesError> {
        let claim = self.first_claim.clone();
        let Some(proposal) = self.trial.propose(self.next.proposer, &claim)? else { return Ok(false) };
        let approval = self.trial.good_approval(proposal, &claim);
        cast(&mut self.trial, &self.next.approvers, approval)?;
        if !self.trial.refusals(&self.environment, proposal)?.is_empty()
            || !self.trial.go_live(&self.environment, proposal, &claim)?
        {
            return Ok(false);
        }
        self.next.change = self.trial.good_change(author, Some(self.first.change))?;
        Ok(true)
    }

    /// Makes, puts up and approves a next release. The rules that refuse it; none is yes.
    fn attempt(&self, next: &Next<'a>) -> Result<Vec<String>, DutiesError> {
        let mut trial = self.trial.clone();
        let not_taken = || vec!["the log's door and every reader".to_owned()];
        let mut makers = next.makers.clone();
        if next.fails_first {
            makers.tester = None;
        }
        let Some(mut made) = trial.make(&makers, next.change.clone(), Some(&self.first))? else {
            return Ok(not_taken());
        };
        if let (true, Some(tester)) = (next.fails_first, next.makers.tester) {
            for outcome in [EvidenceOutcome::Failed, EvidenceOutcome::Passed] {
                for suite in next.change.suites.clone() {
                    let mut evidence = passed(&suite, &made);
                    evidence.baseline = self.first.evidence.iter().find(|(n, _)| *n == suite.name).map(|(_, i)| *i);
                    evidence.outcome = outcome;
                    if outcome == EvidenceOutcome::Failed {
                        evidence.totals = Totals { passed: 0, failed: 1, skipped: 0, flaky: 0 };
                    }
                    if let Some(index) = trial.say(tester, Place::System, &Claim::Evidence(Box::new(evidence)))? {
                        made.evidence.push((suite.name, index));
                    }
                }
            }
        }
        let mut claim = proposal_of(&made, &self.environment, Some(self.first_claim.release));
        let is_kept = |name| next.change.suites.iter().any(|s| s.name == name);
        claim.removed_suites =
            self.first.about.suites.iter().map(|s| s.name.clone()).filter(|name| !is_kept(name.clone())).collect();
        (next.edit_proposal)(&mut claim);
        let Some(proposal) = trial.propose(next.proposer, &claim)? else { return Ok(not_taken()) };
        let mut approval = trial.good_approval(proposal, &claim);
        (next.edit_approval)(&mut approval);
        cast(&mut trial, &next.approvers, approval)?;
        Ok(trial.refusals(&self.environment, proposal)?.into_iter().map(|r| r.rule).collect())
    }

    /// The next release goes live, and the first is put up again with the words that approved it then.
    fn bring_back(&self) -> Result<Vec<String>, DutiesError> {
        let mut trial = self.trial.clone();
        let not_taken = || vec!["the log's door and every reader".to_owned()];
        let Some(made) = trial.make(&self.next.makers, self.next.change.clone(), Some(&self.first))? else {
            return Ok(not_taken());
        };
        let claim = proposal_of(&made, &self.environment, Some(self.first_claim.release));
        let Some(proposal) = trial.propose(self.next.proposer, &claim)? else { return Ok(not_taken()) };
        trial.go_live(&self.environment, proposal, &claim)?;
        let mut again = self.first_claim.clone();
        again.replaces = Some(claim.release);
        let Some(proposal) = trial.propose(self.next.proposer, &again)? else { return Ok(not_taken()) };
        let mut old = trial.good_approval(proposal, &again);
        old.replaces = self.first_claim.replaces;
        cast(&mut trial, &self.next.approvers, old)?;
        Ok(trial.refusals(&self.environment, proposal)?.into_iter().map(|r| r.rule).collect())
    }
}

fn cast(trial: &mut Trial<'_>, approvers: &Chosen<'_>, approval: Approval) -> Result<(), DutiesError> {
    let environment = approval.environment.clone();
    let votes: Vec<Vote<'_>> = approvers.iter().map(|(person, roles)| Vote { person, roles }).collect();
    trial.vote(&votes, Place::Environment(&environment), &Claim::Approval(approval))
}
