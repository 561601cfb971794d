//! Changes, builds, evidence, proposals and approvals of the world, each good unless the test makes it otherwise.

use ledger::statement::v1::{
    Action, Approval, Build, Change, Claim, CommitFact, Evidence, EvidenceOn, EvidenceOutcome, Exception, Halt, Image,
    Milestone, MilestoneKind, Proposal, Rejection, Resume, Rollback, SuiteFact, SuiteKind, SuiteOn, Totals,
};
use model::{Digest, Serial};

use super::{DAY, EPOCH, World, at, dig, key_id, production, system};
use crate::shown_digest;

/// What stands in the log of one release.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) change: u64,
    pub(crate) build: u64,
    pub(crate) evidence: Vec<u64>,
    pub(crate) proposal: u64,
    pub(crate) claim: Proposal,
}

pub(crate) fn commit(number: u64, who: &str) -> CommitFact {
    CommitFact {
        commit: format!("{number:040x}").parse().unwrap(),
        contributors: vec![who.parse().unwrap()],
        key: Some(key_id(who)),
        requirements: vec!["PAY-142".parse().unwrap()],
        problem: None,
    }
}

pub(crate) fn suite(name: &str, kind: SuiteKind, on: SuiteOn) -> SuiteFact {
    SuiteFact {
        name: name.parse().unwrap(),
        kind,
        on,
        definition: dig(&format!("definition of {name}")),
        files: dig(&format!("files of {name}")),
        covers: Vec::new(),
    }
}

pub(crate) fn suites() -> Vec<SuiteFact> {
    vec![
        suite("payments", SuiteKind::Full, SuiteOn::Containers),
        suite("quick", SuiteKind::Smoke, SuiteOn::Source),
        suite("unit", SuiteKind::Full, SuiteOn::Source),
    ]
}

impl World {
    /// The change of this number as it would be accepted.
    pub(crate) fn good_change(&self, ordinal: u64, previous: Option<u64>) -> Change {
        Change {
            system: system(),
            ordinal,
            commit: format!("{ordinal:040x}").parse().unwrap(),
            tree: format!("{:040x}", ordinal + 0xa000).parse().unwrap(),
            branch: "main".to_owned(),
            previous,
            commits: vec![commit(ordinal, "dora")],
            manifest: dig(&format!("manifest {ordinal}")),
            suites: suites(),
            asks: Vec::new(),
            promotions: Vec::new(),
            values: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(crate) fn change(&mut self, change: Change) -> u64 {
        self.say("builder", "builder", Claim::Change(Box::new(change)))
    }

    pub(crate) fn good_build(&self, ordinal: u64, change: u64) -> Build {
        Build {
            change,
            serial: Serial::new(system(), ordinal),
            release: dig(&format!("release {ordinal}")),
            images: ["ledger", "web"]
                .map(|c| Image { component: c.parse().unwrap(), image: dig(&format!("{c} {ordinal}")) })
                .into(),
            provenance: dig("provenance"),
            sbom: dig("sbom"),
            dependencies: 7,
        }
    }

    pub(crate) fn build(&mut self, build: Build) -> u64 {
        self.say("builder", "builder", Claim::Build(Box::new(build)))
    }

    /// Evidence that a suite passed on what was built of a change.
    pub(crate) fn good_evidence(&self, suite: &SuiteFact, change: u64, about: &Change, build: &Build) -> Evidence {
        Evidence {
            change,
            suite: suite.name.clone(),
            kind: suite.kind,
            definition: suite.definition,
            files: suite.files,
            on: match suite.on {
                SuiteOn::Source => EvidenceOn::Source { commit: about.commit },
                SuiteOn::Containers => EvidenceOn::Containers { release: build.release, images: build.images.clone() },
            },
            outcome: EvidenceOutcome::Passed,
            reasons: Vec::new(),
            totals: Totals { passed: 12, failed: 0, skipped: 0, flaky: 0 },
            baseline: None,
            missing: Vec::new(),
            excepted: Vec::new(),
            covers: Vec::new(),
            cases: Some(dig("cases")),
        }
    }

    pub(crate) fn evidence(&mut self, evidence: Evidence) -> u64 {
        self.say("tester", "tester", Claim::Evidence(Box::new(evidence)))
    }

    pub(crate) fn good_proposal(&self, build: &Build, build_index: u64, replaces: Option<Digest>) -> Proposal {
        Proposal {
            environment: production(),
            release: build.release,
            serial: build.serial.clone(),
            build: build_index,
            change: build.change,
            images: build.images.clone(),
            replaces,
            edited_suites: Vec::new(),
            removed_suites: Vec::new(),
            approvals: None,
            values: Vec::new(),
            emergency: false,
            reason: None,
        }
    }

    pub(crate) fn propose(&mut self, claim: Proposal) -> u64 {
        self.say("builder", "builder", Claim::Proposal(Box::new(claim)))
    }

    /// Change, build, evidence, proposal and a tick. `over` is what runs, with the evidence to compare with.
    pub(crate) fn put(&mut self, ordinal: u64, over: Option<&Put>) -> Put {
        let change = self.good_change(ordinal, over.map(|o| o.change));
        self.put_change(change, over)
    }

    pub(crate) fn put_change(&mut self, change: Change, over: Option<&Put>) -> Put {
        self.put_with(change, over, |_| {}, |_| {}, |_| {})
    }

    pub(crate) fn put_with(
        &mut self,
        change: Change,
        over: Option<&Put>,
        edit_build: impl FnOnce(&mut Build),
        edit_evidence: impl Fn(&mut Evidence),
        edit_proposal: impl FnOnce(&mut Proposal),
    ) -> Put {
        let change_index = self.change(change.clone());
        let mut build = self.good_build(change.ordinal, change_index);
        edit_build(&mut build);
        let build_index = self.build(build.clone());
        let mut evidence = Vec::new();
        for suite in change.suites.iter().filter(|s| s.kind != SuiteKind::Smoke) {
            let mut e = self.good_evidence(suite, change_index, &change, &build);
            e.baseline = over.and_then(|o| self.evidence_of(o, suite));
            edit_evidence(&mut e);
            evidence.push(self.evidence(e));
        }
        let mut claim = self.good_proposal(&build, build_index, over.map(|o| o.claim.release));
        edit_proposal(&mut claim);
        let proposal = self.propose(claim.clone());
        self.wait(60);
        Put { change: change_index, build: build_index, evidence, proposal, claim }
    }

    fn evidence_of(&self, put: &Put, suite: &SuiteFact) -> Option<u64> {
        let is_of = |facts: &crate::Facts, i: u64| facts.one_evidence(i).is_some_and(|e| e.claim.suite == suite.name);
        self.with(|_, facts| put.evidence.iter().copied().find(|i| is_of(facts, *i)))
    }

    /// A change and its build over what runs, with no evidence, put up as an emergency by somebody in a role.
    pub(crate) fn urgent(&mut self, ordinal: u64, over: &Put, (who, role): (&str, &str)) -> Put {
        let change = self.good_change(ordinal, Some(over.change));
        let change = self.change(change);
        let build = self.good_build(ordinal, change);
        let index = self.build(build.clone());
        let mut claim = self.good_proposal(&build, index, Some(over.claim.release));
        claim.emergency = true;
        let proposal = self.say(who, role, Claim::Proposal(Box::new(claim.clone())));
        self.wait(60);
        Put { change, build: index, evidence: Vec::new(), proposal, claim }
    }

    /// The approval that a person would sign after being shown the proposal.
    pub(crate) fn good_approval(&self, put: &Put) -> Approval {
        Approval {
            action: Action::Release,
            environment: put.claim.environment.clone(),
            proposal: put.proposal,
            release: put.claim.release,
            replaces: put.claim.replaces,
            shown: self.with(|_, facts| shown_digest(facts, put.proposal)).unwrap_or(dig("nothing to show")),
        }
    }

    pub(crate) fn approve(&mut self, who: &str, put: &Put) -> u64 {
        let approval = self.good_approval(put);
        self.say(who, "release-manager", Claim::Approval(approval))
    }

    /// Two people who did not contribute approve, and a tick.
    pub(crate) fn approve_both(&mut self, put: &Put) {
        self.approve("ada", put);
        self.approve("ben", put);
        self.wait(60);
    }

    pub(crate) fn good_milestone(&self, put: &Put, what: MilestoneKind) -> Milestone {
        Milestone {
            environment: put.claim.environment.clone(),
            release: put.claim.release,
            serial: put.claim.serial.clone(),
            other: put.claim.replaces,
            proposal: put.proposal,
            what,
            component: None,
            requests: 0,
            errors: 0,
            placed: Vec::new(),
        }
    }

    pub(crate) fn milestone(&mut self, put: &Put, what: MilestoneKind) -> u64 {
        let milestone = self.good_milestone(put, what);
        self.say("agent", "agent", Claim::Milestone(Box::new(milestone)))
    }

    /// The first release, approved and live, and a second that replaces it, proposed and approved.
    pub(crate) fn two() -> (Self, Put, Put) {
        Self::two_of(super::charter())
    }

    /// The same under another charter.
    pub(crate) fn two_of(charter: ledger::statement::v1::Charter) -> (Self, Put, Put) {
        let mut world = Self::founded(charter);
        let first = world.go_live(1, None);
        let second = world.put(2, Some(&first));
        world.approve_both(&second);
        (world, first, second)
    }

    pub(crate) fn go_live(&mut self, ordinal: u64, over: Option<&Put>) -> Put {
        let put = self.put(ordinal, over);
        self.approve_both(&put);
        self.milestone(&put, MilestoneKind::Live);
        self.wait(60);
        put
    }

    /// A release that ran, then two others with a suite more; and the first put up again after an edit.
    pub(crate) fn brought_back(edit: impl FnOnce(&mut Self, &Put)) -> (Self, Put) {
        let mut world = Self::founded(super::charter());
        let first = world.go_live(1, None);
        let mut before = first.clone();
        for ordinal in [2, 3] {
            let mut change = world.good_change(ordinal, Some(before.change));
            change.suites.push(suite("limits", SuiteKind::Full, SuiteOn::Containers));
            let put = world.put_change(change, Some(&before));
            world.approve_both(&put);
            world.milestone(&put, MilestoneKind::Live);
            before = put;
        }
        edit(&mut world, &first);
        let claim = Proposal { replaces: Some(before.claim.release), ..first.claim.clone() };
        let put = Put { proposal: world.propose(claim.clone()), claim, ..first };
        world.wait(60);
        (world, put)
    }

    pub(crate) fn reject(&mut self, who: &str, put: &Put) -> u64 {
        let rejection = Rejection { proposal: put.proposal, release: put.claim.release, reason: None };
        self.say(who, "release-manager", Claim::Rejection(rejection))
    }

    pub(crate) fn halt(&mut self, who: &str) -> u64 {
        self.say(who, "operator", Claim::Halt(Halt { environment: Some(production()), reason: None }))
    }

    pub(crate) fn resume(&mut self, who: &str, halt: u64) -> u64 {
        let signer = who.split('/').next().unwrap_or(who);
        assert!(["oli", "pia"].contains(&signer));
        self.say(who, "operator", Claim::Resume(Resume { halt }))
    }

    pub(crate) fn order_back(&mut self, from: &Put, to: Digest) -> u64 {
        let order = Rollback { environment: production(), from: from.claim.release, to };
        self.say("oli", "operator", Claim::Rollback(order))
    }

    pub(crate) fn except(&mut self, who: &str, suite: &str, case: Digest, ends: u64) -> u64 {
        let exception =
            Exception { suite: suite.parse().unwrap(), case, owner: "dora".parse().unwrap(), ends: at(ends) };
        assert!(ends < EPOCH + 400 * DAY);
        self.say(who, "release-manager", Claim::Exception(exception))
    }
}
