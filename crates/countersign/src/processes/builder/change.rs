//! From a new head of the protected branch to a change: commit by commit, who made it, who signed it, for what.

use std::collections::BTreeSet;

use build::git::{CommitFacts, Mirror};
use gate::CHANGE_COMMITS;
use ledger::statement::{
    Signatory,
    v1::{
        Asked, Change, ChangeProblem, Claim, CommitFact, CommitProblem, Promotion, SuiteFact, SuiteKind, SuiteOn,
        SystemRule,
    },
};
use model::{
    Commit, Digest, ValueName,
    manifest::{self, Manifest, SuiteKind as DeclaredKind, SuiteTarget},
};

use super::{Builder, authorship};
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
};

/// What a manifest declares that the gate asks about.
#[derive(Default)]
struct Declared {
    suites: Vec<SuiteFact>,
    /// Approvals beyond the charter's.
    asks: Vec<Asked>,
    /// Where a release must have run before.
    promotions: Vec<Promotion>,
    /// Guarded values.
    values: Vec<ValueName>,
}

impl Builder {
    /// Says what a new head changes, once. A head that was said before is not news; nor is one that went back to it;
    /// unless what was made of it runs with guarded values that are not in force any more: then the same commit is said
    /// again, so that a new release of it can be given those that are. Nothing changes under a running component.
    pub(super) fn notice(&mut self, system: &SystemRule, mirror: &Mirror, head: Commit) -> Result<(), Fault> {
        let facts = self.view.facts();
        if facts.changes(&system.name).any(|c| c.claim.commit == head) && !self.runs_with_other_values(system, head) {
            return Ok(());
        }
        let previous = facts.changes(&system.name).rfind(|c| c.claim.is_accepted());
        let ordinal = facts.changes(&system.name).count() as u64 + 1;
        let mut problems = BTreeSet::new();
        let since = match previous {
            Some(previous) => {
                let known = previous.claim.commit;
                if mirror.is_fast_forward(known, head).because(Kind::Unavailable, "the branch can not be read")? {
                    Some(known)
                } else {
                    problems.insert(ChangeProblem::NotFastForward);
                    None
                }
            }
            None => None,
        };
        let mut commits = if problems.is_empty() {
            mirror.commits(since, head).because(Kind::Input, "the commits can not be read")?
        } else {
            vec![mirror.facts(head).because(Kind::Input, "the commit can not be read")?]
        };
        if commits.len() > CHANGE_COMMITS {
            problems.insert(ChangeProblem::TooManyCommits);
            let surplus = commits.len() - CHANGE_COMMITS;
            commits.drain(..surplus);
        }
        let (manifest, declared) = self.manifest(system, mirror, head)?;
        if declared.is_none() {
            problems.insert(ChangeProblem::Manifest);
        }
        let Declared { suites, asks, promotions, values } = declared.unwrap_or_default();
        let commits: Vec<CommitFact> = commits.iter().map(|c| self.commit_fact(c)).collect();
        // What is said of a commit is said for good; it would be known tomorrow.
        let is_unknown = |fact: &CommitFact| fact.problem == Some(CommitProblem::UnknownAuthor);
        if let Some(fault) = self.unknown_members().filter(|_| commits.iter().any(is_unknown)) {
            return Err(fault.context("a commit by somebody unknown waits"));
        }
        let tree = mirror.facts(head).because(Kind::Input, "the commit can not be read")?.tree;
        let change = Change {
            system: system.name.clone(),
            ordinal,
            commit: head,
            tree: tree.to_string().parse().because(Kind::Internal, "a tree id does not parse")?,
            branch: system.branch.clone(),
            previous: previous.map(|p| p.index),
            commits,
            manifest,
            suites,
            asks,
            promotions,
            values,
            problems: problems.into_iter().collect(),
        };
        let about = About { system: Some(system.name.clone()), seen: self.view.seen(), ..About::default() };
        let said = self.speaker.say(self.view.log(), Claim::Change(Box::new(change)), about, &[])?;
        self.view.wait_for(said.index, super::super::COSIGN_TIMEOUT)
    }

    /// Whether the newest change is of this commit, and what was made of it runs somewhere with other guarded values than
    /// those in force there.
    fn runs_with_other_values(&self, system: &SystemRule, head: Commit) -> bool {
        let facts = self.view.facts();
        let newest = facts.changes(&system.name).rfind(|c| c.claim.is_accepted());
        let Some(newest) = newest.filter(|c| c.claim.commit == head && !c.claim.values.is_empty()) else {
            return false;
        };
        self.view.reader().members().charter().environments.iter().any(|environment| {
            let live = facts.live(&system.name, &environment.name);
            let proposal = live.first().and_then(|live| facts.proposal(live.proposal));
            proposal.filter(|p| p.claim.change == newest.index).is_some_and(|proposal| {
                let names = &newest.claim.values;
                let (now, missing) = gate::values::given(facts, &system.name, &environment.name, names);
                missing.is_empty() && proposal.claim.values != now
            })
        })
    }

    /// The manifest at a commit and its suites; no suites if it does not hold up.
    fn manifest(
        &self,
        system: &SystemRule,
        mirror: &Mirror,
        head: Commit,
    ) -> Result<(Digest, Option<Declared>), Fault> {
        let bytes = mirror
            .read(head, manifest::FILE_NAME, manifest::limits::TEXT_BYTES as u64)
            .because(Kind::Input, "the manifest can not be read")?;
        let Some(bytes) = bytes else { return Ok((Digest::of(b""), None)) };
        let digest = Digest::of(&bytes);
        let parsed = match Manifest::parse_bytes(&bytes) {
            Ok(parsed) if parsed.manifest.system == system.name => parsed,
            Ok(_) | Err(_) => return Ok((digest, None)),
        };
        let mut suites = Vec::new();
        for suite in parsed.manifest.suites.values() {
            let paths: Vec<String> = suite.paths.iter().cloned().collect();
            suites.push(SuiteFact {
                name: suite.name.clone(),
                kind: match suite.kind {
                    DeclaredKind::Smoke => SuiteKind::Smoke,
                    DeclaredKind::Full => SuiteKind::Full,
                },
                on: match suite.on {
                    SuiteTarget::Source => SuiteOn::Source,
                    SuiteTarget::Containers => SuiteOn::Containers,
                },
                definition: suite.digest().because(Kind::Internal, "a suite has no digest")?,
                files: mirror.tree_digest(head, &paths).because(Kind::Input, "the suite's files can not be read")?,
                covers: suite.requirements.iter().cloned().collect(),
            });
        }
        let asks = parsed
            .manifest
            .environments
            .values()
            .filter_map(|e| Some(Asked { environment: e.name.clone(), approvals: e.approvals? }))
            .collect();
        let values: BTreeSet<ValueName> =
            parsed.manifest.components.values().flat_map(|c| c.values.iter().cloned()).collect();
        let promotions = parsed.manifest.environments.values().filter_map(|e| {
            let (environment, soak_s) = (e.name.clone(), u64::from(e.soak_s));
            Some(Promotion { environment, after: e.after.clone()?, soak_s })
        });
        let promotions = promotions.collect();
        Ok((digest, Some(Declared { suites, asks, promotions, values: values.into_iter().collect() })))
    }

    fn commit_fact(&self, commit: &CommitFacts) -> CommitFact {
        let members = self.view.reader().members();
        authorship::fact(commit, &self.addresses.by(members.charter()), |key| match members.holder(key) {
            Ok(Signatory::Person(person)) => Some(person.clone()),
            Ok(Signatory::Robot { .. } | Signatory::Recovery) | Err(_) => None,
        })
    }
}
