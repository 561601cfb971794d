//! One system's line of releases, phase by phase.

use std::net::SocketAddr;

use gate::{decide_with, shown_digest};
use ledger::{
    keys::Signer as _,
    statement::v1::{
        Action, Analysis, AnalysisAnswer, AnalysisTick, Approval, Asks, Build, Change, Claim, CommitFact, Evidence,
        EvidenceOn, EvidenceOutcome, Exception, Halt, Image, KeyWithdrawal, Line as Margin, Metric, Milestone,
        MilestoneKind, Placed, Proposal, Rejection, Resume, Rollback, SuiteFact, SuiteKind, SuiteOn, Totals,
    },
};
use model::{
    Digest, EnvironmentName, Serial, SystemName, Timestamp,
    route::{Split, UNITS},
};

use super::{History, OPERATORS, WriteError, charter::system_name, key_of};

/// The phases of a release; a checkpoint and a tick end each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Build,
    Approve,
    Roll,
}

impl Phase {
    pub(super) const ALL: [Self; 3] = [Self::Build, Self::Approve, Self::Roll];
}

/// One release in so many fails its suite.
const FAILS_EVERY: u64 = 10;
/// One in so many is rolled back when it is live.
const ROLLED_BACK_EVERY: u64 = 13;
/// One in so many is halted on its way, and resumed.
const HALTED_EVERY: u64 = 17;
/// One in so many comes with exceptions of a case, which it does not need.
const EXCEPTED_EVERY: u64 = 29;
/// One round in so many sees a key withdrawn, while there are some.
const WITHDRAWN_EVERY: u64 = 7;

/// One release in so many is compared on live traffic with the one that it replaces.
const COMPARED_EVERY: u64 = 3;
/// So many ticks of it, of 2,000 requests at each version; by then it may be promoted.
const COMPARED_TICKS: usize = 20;

/// A release of a system.
#[derive(Clone)]
struct Release {
    ordinal: u64,
    digest: Digest,
    evidence: [u64; 2],
    proposal: u64,
    claim: Proposal,
    fails: bool,
}

/// A system's releases.
pub(super) struct Line {
    number: u64,
    system: SystemName,
    environment: EnvironmentName,
    ordinal: u64,
    previous: Option<u64>,
    running: Vec<Release>,
    next: Option<Release>,
}

impl Line {
    pub(super) fn new(_: &History<'_>, number: u64) -> Result<Self, WriteError> {
        Ok(Self {
            number,
            system: system_name(number).parse()?,
            environment: "production".parse()?,
            ordinal: 0,
            previous: None,
            running: Vec::new(),
            next: None,
        })
    }

    pub(super) fn go(&mut self, phase: Phase, history: &mut History<'_>) -> Result<(), WriteError> {
        match phase {
            Phase::Build => self.build(history),
            Phase::Approve => self.approve(history),
            Phase::Roll => self.roll(history),
        }
    }

    fn digest(&self, what: &str) -> Digest {
        Digest::of(format!("{what} of {} {}", self.system, self.ordinal).as_bytes())
    }

    fn suites(&self) -> Result<[SuiteFact; 2], WriteError> {
        let suite = |name: &str, on| -> Result<SuiteFact, WriteError> {
            Ok(SuiteFact {
                name: name.parse()?,
                kind: SuiteKind::Full,
                on,
                definition: Digest::of(format!("definition of {name}").as_bytes()),
                files: Digest::of(format!("files of {name}").as_bytes()),
                covers: vec![self.requirement()?],
            })
        };
        Ok([suite("payments", SuiteOn::Containers)?, suite("unit", SuiteOn::Source)?])
    }

    fn requirement(&self) -> Result<model::RequirementId, WriteError> {
        Ok(format!("PAY-{}", self.number * 100_000 + self.ordinal / 3 + 1).parse()?)
    }

    fn build(&mut self, history: &mut History<'_>) -> Result<(), WriteError> {
        self.ordinal += 1;
        let (system, environment) = (self.system.clone(), self.environment.clone());
        let about = (Some(&system), None);
        let place = (Some(&system), Some(&environment));
        let commit: model::Commit = format!("{:08x}{:032x}", self.number, self.ordinal).parse()?;
        let suites = self.suites()?;
        let change = Change {
            system: system.clone(),
            ordinal: self.ordinal,
            commit,
            tree: format!("{:08x}{:032x}", self.number, self.ordinal + (1 << 40)).parse()?,
            branch: "main".to_owned(),
            previous: self.previous,
            commits: vec![CommitFact {
                commit,
                contributors: vec!["dora".parse()?],
                key: Some(key_of("dora")?.key().id()),
                requirements: vec![self.requirement()?],
                problem: None,
            }],
            manifest: self.digest("manifest"),
            suites: suites.to_vec(),
            asks: Vec::new(),
            promotions: Vec::new(),
            values: Vec::new(),
            problems: Vec::new(),
        };
        let change = history.say("builder", "builder", about, Claim::Change(Box::new(change)))?;
        let images: Vec<Image> = ["ledger", "web"]
            .iter()
            .map(|c| Ok(Image { component: c.parse()?, image: self.digest(c) }))
            .collect::<Result<_, WriteError>>()?;
        let serial = Serial::new(system.clone(), self.ordinal);
        let build = Build {
            change,
            serial: serial.clone(),
            release: self.digest("release"),
            images: images.clone(),
            provenance: self.digest("provenance"),
            sbom: self.digest("bill"),
            dependencies: 7,
        };
        let release = build.release;
        let build = history.say("builder", "builder", about, Claim::Build(Box::new(build)))?;
        let fails = self.ordinal.is_multiple_of(FAILS_EVERY);
        let mut evidence = [0; 2];
        for ((suite, said), number) in suites.iter().zip(&mut evidence).zip(0_usize..) {
            let failed = fails && suite.on == SuiteOn::Containers;
            let on = match suite.on {
                SuiteOn::Source => EvidenceOn::Source { commit },
                SuiteOn::Containers => EvidenceOn::Containers { release, images: images.clone() },
            };
            let claim = Evidence {
                change,
                suite: suite.name.clone(),
                kind: suite.kind,
                definition: suite.definition,
                files: suite.files,
                on,
                outcome: if failed { EvidenceOutcome::Failed } else { EvidenceOutcome::Passed },
                reasons: Vec::new(),
                totals: Totals { passed: 12, failed: u32::from(failed), skipped: 0, flaky: 0 },
                baseline: self.running.last().and_then(|r| r.evidence.get(number).copied()),
                missing: Vec::new(),
                excepted: Vec::new(),
                covers: suite.covers.clone(),
                cases: Some(self.digest("cases")),
            };
            *said = history.say("tester", "tester", about, Claim::Evidence(Box::new(claim)))?;
        }
        let claim = Proposal {
            environment: environment.clone(),
            release,
            serial,
            build,
            change,
            images,
            replaces: self.running.last().map(|r| r.digest),
            edited_suites: Vec::new(),
            removed_suites: Vec::new(),
            approvals: None,
            values: Vec::new(),
            emergency: false,
            reason: None,
        };
        let proposal = history.say("builder", "builder", place, Claim::Proposal(Box::new(claim.clone())))?;
        self.previous = Some(change);
        self.next = Some(Release { ordinal: self.ordinal, digest: release, evidence, proposal, claim, fails });
        Ok(())
    }

    fn decide(&self, proposal: u64, history: &mut History<'_>) -> Result<bool, WriteError> {
        let decision = decide_with(&history.policy, &history.facts, proposal)?;
        let granted = decision.is_granted();
        let place = (Some(&self.system), Some(&self.environment));
        history.say("gate", "gate", place, Claim::Verdict(Box::new(decision.verdict)))?;
        Ok(granted)
    }

    fn approve(&mut self, history: &mut History<'_>) -> Result<(), WriteError> {
        let Some(next) = self.next.clone() else { return Ok(()) };
        let place = (Some(&self.system), Some(&self.environment));
        self.decide(next.proposal, history)?;
        if next.fails {
            let claim = Rejection { proposal: next.proposal, release: next.digest, reason: None };
            history.say("cid", "release-manager", place, Claim::Rejection(claim))?;
            return Ok(());
        }
        let shown = shown_digest(&history.facts, next.proposal).ok_or("nothing to show")?;
        for who in ["ada", "ben"] {
            let claim = Approval {
                action: Action::Release,
                environment: self.environment.clone(),
                proposal: next.proposal,
                release: next.digest,
                replaces: next.claim.replaces,
                shown,
            };
            history.say(who, "release-manager", place, Claim::Approval(claim))?;
        }
        if next.ordinal.is_multiple_of(EXCEPTED_EVERY) {
            for who in ["ada", "ben"] {
                let ends = Timestamp::from_unix(history.now + 86_400);
                let case = self.digest("case");
                let claim = Exception { suite: "unit".parse()?, case, owner: "dora".parse()?, ends };
                history.say(who, "release-manager", (Some(&self.system), None), Claim::Exception(claim))?;
            }
        }
        if next.ordinal.is_multiple_of(HALTED_EVERY) {
            let claim = Halt { environment: Some(self.environment.clone()), reason: None };
            let halt = history.say("oli", "operator", place, Claim::Halt(claim))?;
            for who in ["oli", "pia"] {
                history.say(who, "operator", place, Claim::Resume(Resume { halt }))?;
            }
        }
        Ok(())
    }

    fn roll(&mut self, history: &mut History<'_>) -> Result<(), WriteError> {
        if self.number == 0 && self.ordinal.is_multiple_of(WITHDRAWN_EVERY) {
            let spare = usize::try_from(self.ordinal / WITHDRAWN_EVERY)?;
            if let Some(who) = OPERATORS.get(spare) {
                let void_from = history.size();
                let claim = KeyWithdrawal { key: key_of(who)?.key().id(), void_from };
                history.say("oli", "operator", (None, None), Claim::KeyWithdrawal(claim))?;
            }
        }
        let Some(next) = self.next.take().filter(|n| !n.fails) else { return Ok(()) };
        if !self.decide(next.proposal, history)? {
            return Err(format!("{} {} was not granted", self.system, next.ordinal).into());
        }
        use MilestoneKind::{Begun, Drained, Healthy, Live, Switched, Watched};
        for what in [Begun, Healthy, Switched, Watched, Drained, Live] {
            self.happened(&next, what, history)?;
            if what == Switched && next.ordinal.is_multiple_of(COMPARED_EVERY) {
                self.compared(&next, history)?;
            }
        }
        if next.ordinal.is_multiple_of(ROLLED_BACK_EVERY)
            && let Some(before) = self.running.last()
        {
            let place = (Some(&self.system), Some(&self.environment));
            let claim = Rollback { environment: self.environment.clone(), from: next.digest, to: before.digest };
            history.say("oli", "operator", place, Claim::Rollback(claim))?;
            self.happened(&next, MilestoneKind::GoingBack, history)?;
            self.happened(&next, MilestoneKind::WentBackWithdrawn, history)?;
        } else {
            self.running.push(next);
        }
        Ok(())
    }

    /// Half of clients get the new version, and a few requests fail at either.
    fn compared(&self, release: &Release, history: &mut History<'_>) -> Result<(), WriteError> {
        let Some(other) = release.claim.replaces else { return Ok(()) };
        let half = u32::from(UNITS) / 2;
        let metric = Metric {
            component: "web".parse()?,
            asks: Asks::Failed {
                requests_per_million_unit_ticks: 40_000_000,
                margin: Margin { ratio_ppm: 1_250_000, plus_ppm: 200 },
            },
            weight_ppm: 1_000_000,
            history_ppm: 100,
            history_unit_ticks: stats::HISTORY_UNIT_TICKS,
            promote: Margin { ratio_ppm: 2_000_000, plus_ppm: 5_000 },
        };
        let tick = |n: usize| {
            let few = u32::from(n.is_multiple_of(7));
            AnalysisTick { share: 50, requests: 2_000, other_requests: 2_000, counts: vec![[half, few, half, few]] }
        };
        let mut claim = Analysis {
            environment: self.environment.clone(),
            release: release.digest,
            serial: release.claim.serial.clone(),
            other,
            proposal: release.proposal,
            salt: Split::salt_of(&other, &release.digest, release.proposal),
            alpha_ppm: stats::ALPHA_PPM,
            beta_ppm: stats::BETA_PPM,
            horizon_ticks: stats::HORIZON_TICKS,
            metrics: vec![metric],
            first: 0,
            ticks: (0..COMPARED_TICKS).map(tick).collect(),
            answer: AnalysisAnswer::NotYet,
            times: Vec::new(),
        };
        let mut analysis = stats::Analysis::new(gate::comparison::settings(&claim))?;
        for tick in &claim.ticks {
            analysis.step(&gate::comparison::counted(tick))?;
        }
        claim.answer = gate::comparison::said(&analysis);
        let place = (Some(&self.system), Some(&self.environment));
        history.say("agent", "agent", place, Claim::Analysis(Box::new(claim)))?;
        Ok(())
    }

    fn happened(&self, release: &Release, what: MilestoneKind, history: &mut History<'_>) -> Result<(), WriteError> {
        let port = u16::try_from(8_000 + self.number)?;
        let placed = release.claim.images.iter().filter(|_| what == MilestoneKind::Live).map(|i| Placed {
            component: i.component.clone(),
            image: i.image,
            address: SocketAddr::from(([10, 0, 0, 1], port)),
        });
        let claim = Milestone {
            environment: self.environment.clone(),
            release: release.digest,
            serial: release.claim.serial.clone(),
            other: release.claim.replaces,
            proposal: release.proposal,
            what,
            component: None,
            requests: 0,
            errors: 0,
            placed: placed.collect(),
        };
        let place = (Some(&self.system), Some(&self.environment));
        history.say("agent", "agent", place, Claim::Milestone(Box::new(claim)))?;
        Ok(())
    }
}
