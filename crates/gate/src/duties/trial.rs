//! Trials: made-up logs in which everything but people is in order, to ask the rules themselves what people can do.
//!
//! Every statement is checked by the ledger's own `entitle` before it is folded, and the answers are those of `Facts` and
//! `decide`. Nothing is signed, so nothing in it could be taken for a log. It refuses to have rules of its own.

use std::cell::Cell;

use ledger::{
    dsse::Identity,
    statement::{
        EntitlementError, FOUNDER_ROLE, Members, Statement,
        v1::{
            Action, Approval, Build, Change, Charter, Claim, CommitFact, Evidence, EvidenceOn, EvidenceOutcome, Header,
            Image, Kind, Milestone, MilestoneKind, Nonce, Proposal, Reason, Ruling, SuiteFact, SuiteKind, SuiteOn,
            Tick, Totals,
        },
    },
    tick::OpenTick,
};
use model::{
    Commit, Digest, EnvironmentName, PersonId, RequirementId, RoleName, Serial, SuiteName, SystemName, Timestamp,
};

use super::{
    DutiesError,
    voices::{Speaker, speakers},
};
use crate::{Facts, decide_with, policy::Policy, shown_digest};

/// When the made-up log begins: any time will do.
const EPOCH_S: u64 = 1_800_000_000;
/// How long what is said counts: less than the year that the door allows.
const LIFE_S: u64 = 300 * 86_400;

/// A charter that trials are made under.
pub(super) struct Ground {
    pub(super) members: Members,
    pub(super) policy: Policy,
    pub(super) speakers: Vec<Speaker>,
    /// The system that the trials are about: rules are by environment, and the same for every system.
    pub(super) system: SystemName,
    requirement: RequirementId,
    suites: Vec<SuiteFact>,
    /// How much may still be tried.
    left: Cell<u64>,
}

impl Ground {
    /// As many trials as it takes.
    pub(super) fn of(charter: &Charter) -> Result<Self, DutiesError> {
        Self::within(charter, u64::MAX)
    }

    /// Only so much may be tried, in units of about the work of one statement.
    pub(super) fn within(charter: &Charter, limit: u64) -> Result<Self, DutiesError> {
        let system = charter.systems.first().ok_or(DutiesError::NoSystem)?.name.clone();
        let suite = |name: &str, on| -> Result<SuiteFact, DutiesError> {
            Ok(SuiteFact {
                name: name.parse()?,
                kind: SuiteKind::Full,
                on,
                definition: Digest::of(name.as_bytes()),
                files: Digest::of(name.as_bytes()),
                covers: Vec::new(),
            })
        };
        // Environments that come before are passed by supposition: what that takes is tried for each of them, and nobody is
        // held back here by another one.
        let mut alone = charter.clone();
        alone.environments.iter_mut().for_each(|rule| rule.after = None);
        Ok(Self {
            members: Members::of(alone, Digest::of(b"a trial"))?,
            policy: Policy::parse(&charter.policy)?,
            speakers: speakers(charter)?,
            system,
            requirement: "TRIAL-1".parse()?,
            suites: vec![suite("on-containers", SuiteOn::Containers)?, suite("on-source", SuiteOn::Source)?],
            left: Cell::new(limit),
        })
    }

    /// Something is tried that takes so much.
    pub(super) fn spend(&self, units: u64) -> Result<(), DutiesError> {
        let left = self.left.get().checked_sub(units).ok_or(DutiesError::TooMuch)?;
        self.left.set(left);
        Ok(())
    }

    pub(super) fn charter(&self) -> &Charter {
        self.members.charter()
    }

    pub(super) fn persons(&self) -> impl Iterator<Item = &Speaker> {
        self.speakers.iter().filter(|s| s.is_person())
    }

    pub(super) fn robots(&self) -> impl Iterator<Item = &Speaker> {
        self.speakers.iter().filter(|s| !s.is_person())
    }

    /// Whoever may say a kind, by the ledger's own check.
    pub(super) fn who_may(&self, kind: Kind) -> impl Iterator<Item = &Speaker> {
        self.speakers.iter().filter(move |s| s.roles.iter().any(|role| self.may_say(s, role, kind)))
    }

    /// Whether somebody may say a kind in a role, about some environment if it must be about one.
    pub(super) fn may_say(&self, speaker: &Speaker, role: &RoleName, kind: Kind) -> bool {
        // Most roles of most people may not say most kinds: the charter's list answers that without a statement.
        self.charter().may_say(role, kind)
            && self.charter().environments.iter().any(|e| {
                super::samples::claim(kind, &self.system, &e.name).is_some_and(|(claim, place)| {
                    self.members.entitle(&self.statement(role, place, claim), speaker.key).is_ok()
                })
            })
    }

    /// A statement in a role, as whoever says it would fill its header in.
    pub(super) fn statement(&self, role: &RoleName, place: Place<'_>, claim: Claim) -> Statement {
        Statement { header: self.header(role, place, EPOCH_S), claim }
    }

    fn header(&self, role: &RoleName, place: Place<'_>, now_s: u64) -> Header {
        let (system, environment) = match place {
            Place::None => (None, None),
            Place::System => (Some(self.system.clone()), None),
            Place::Environment(e) => (Some(self.system.clone()), Some(e.clone())),
            Place::Of(system, e) => (Some(system.clone()), Some(e.clone())),
        };
        Header {
            charter: Some(self.members.hash()),
            role: role.clone(),
            system,
            environment,
            seen: None,
            nonce: Nonce::from_bytes([0; 16]),
            expires: Timestamp::from_unix(now_s.saturating_add(LIFE_S)),
            program: self.charter().programs.get(role).and_then(|p| p.first()).copied(),
        }
    }
}

/// What a header names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    None,
    System,
    Environment(&'a EnvironmentName),
    /// An environment of another system than the trial's own.
    Of(&'a SystemName, &'a EnvironmentName),
}

/// Whose words make a release before people come to it.
#[derive(Clone)]
pub(super) struct Makers<'a> {
    pub(super) changer: &'a Speaker,
    pub(super) builders: Vec<&'a Speaker>,
    pub(super) tester: Option<&'a Speaker>,
}

/// A release as it was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) change: u64,
    pub(super) about: Change,
    pub(super) build: u64,
    pub(super) built: Build,
    /// The evidence of each suite.
    pub(super) evidence: Vec<(SuiteName, u64)>,
}

/// A person who speaks, in these roles.
#[derive(Clone, Copy)]
pub(super) struct Vote<'a> {
    pub(super) person: &'a Speaker,
    pub(super) roles: &'a [&'a RoleName],
}

/// A made-up log.
#[derive(Clone)]
pub(super) struct Trial<'a> {
    pub(super) ground: &'a Ground,
    pub(super) facts: Facts,
    now_s: u64,
    ordinal: u64,
}

impl<'a> Trial<'a> {
    /// A log that every founder has signed, and a tick.
    pub(super) fn begin(ground: &'a Ground) -> Result<Self, DutiesError> {
        let mut trial = Self { ground, facts: Facts::new(ground.members.clone()), now_s: EPOCH_S, ordinal: 0 };
        let role: RoleName = FOUNDER_ROLE.parse()?;
        let charter = Claim::Charter(Box::new(ground.charter().clone()));
        for founder in ground.persons().filter(|s| is_founder(ground.charter(), s)) {
            let mut header = ground.header(&role, Place::None, trial.now_s);
            header.charter = None;
            trial.fold(founder, header, charter.clone(), None)?;
        }
        trial.tick()?;
        Ok(trial)
    }

    /// Says it in the first of these roles in which that is allowed, and where it stands then.
    pub(super) fn say(
        &mut self,
        speaker: &Speaker,
        place: Place<'_>,
        claim: &Claim,
    ) -> Result<Option<u64>, DutiesError> {
        for role in &speaker.roles {
            if let Some(index) = self.say_as(speaker, role, place, claim)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Says it in a role, if that is allowed.
    pub(super) fn say_as(
        &mut self,
        speaker: &Speaker,
        role: &RoleName,
        place: Place<'_>,
        claim: &Claim,
    ) -> Result<Option<u64>, DutiesError> {
        let header = self.ground.header(role, place, self.now_s);
        match self.fold(speaker, header, claim.clone(), None) {
            Ok(index) => Ok(Some(index)),
            Err(DutiesError::Keys(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn fold(
        &mut self,
        speaker: &Speaker,
        header: Header,
        claim: Claim,
        opened: Option<&OpenTick>,
    ) -> Result<u64, DutiesError> {
        self.ground.spend(1)?;
        let statement = Statement { header, claim };
        self.ground.members.entitle(&statement, speaker.key)?;
        let index = self.facts.size();
        // A name of its own for each: nothing here is said twice.
        let identity = Identity::of(&index.to_be_bytes(), speaker.key);
        self.facts.fold(index, speaker.key, identity, opened, &statement)?;
        Ok(index)
    }

    /// A tick that everybody whom the charter asks for has cosigned, if there is a robot that may say one.
    fn tick(&mut self) -> Result<(), DutiesError> {
        let now = Timestamp::from_unix(self.now_s);
        let times = vec![now; self.ground.charter().witness_quorum as usize];
        let opened = OpenTick { size: self.facts.size(), root: Digest::of(b"a trial"), times };
        let claim = Claim::Tick(Tick { checkpoint: "a trial".to_owned(), at: now });
        let ground = self.ground;
        for robot in ground.robots() {
            for role in &robot.roles {
                let header = ground.header(role, Place::None, self.now_s);
                match self.fold(robot, header, claim.clone(), Some(&opened)) {
                    Ok(_) => return Ok(()),
                    Err(DutiesError::Keys(EntitlementError::Kind { .. } | EntitlementError::Role { .. })) => {}
                    Err(DutiesError::Keys(_)) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// So much time goes by, from a tick to a tick.
    pub(super) fn pass(&mut self, seconds: u64) -> Result<(), DutiesError> {
        self.tick()?;
        self.now_s = self.now_s.saturating_add(seconds).saturating_add(1);
        self.tick()
    }

    /// A change by somebody, as it is when it is in order.
    pub(super) fn good_change(&mut self, author: &Speaker, previous: Option<u64>) -> Result<Change, DutiesError> {
        self.ordinal += 1;
        let commit: Commit = format!("{:040x}", self.ordinal).parse().map_err(|_| DutiesError::Word)?;
        let branch = self.ground.charter().system(&self.ground.system).map(|s| s.branch.clone()).unwrap_or_default();
        Ok(Change {
            system: self.ground.system.clone(),
            ordinal: self.ordinal,
            commit,
            tree: commit,
            branch,
            previous,
            commits: vec![CommitFact {
                commit,
                contributors: author.persons.clone(),
                key: Some(author.key),
                requirements: vec![self.ground.requirement.clone()],
                problem: None,
            }],
            manifest: self.digest("manifest"),
            suites: self.ground.suites.clone(),
            asks: Vec::new(),
            promotions: Vec::new(),
            values: Vec::new(),
            problems: Vec::new(),
        })
    }

    pub(super) fn digest(&self, what: &str) -> Digest {
        Digest::of(format!("{what} {}", self.ordinal).as_bytes())
    }

    /// Change, builds and passed suites, compared with those of what runs. `None` if one of the makers may not say its
    /// part.
    pub(super) fn make(
        &mut self,
        makers: &Makers<'_>,
        about: Change,
        over: Option<&Made>,
    ) -> Result<Option<Made>, DutiesError> {
        let claim = Claim::Change(Box::new(about.clone()));
        let Some(change) = self.say(makers.changer, Place::System, &claim)? else { return Ok(None) };
        let built = Build {
            change,
            serial: Serial::new(self.ground.system.clone(), about.ordinal),
            release: self.digest("release"),
            images: vec![Image { component: "trial".parse()?, image: self.digest("image") }],
            provenance: self.digest("provenance"),
            sbom: self.digest("sbom"),
            dependencies: 0,
        };
        let mut first = None;
        for builder in &makers.builders {
            let said = self.say(builder, Place::System, &Claim::Build(Box::new(built.clone())))?;
            first = first.or(said);
        }
        let Some(build) = first else { return Ok(None) };
        let mut made = Made { change, about, build, built, evidence: Vec::new() };
        if let Some(tester) = makers.tester {
            for suite in made.about.suites.clone() {
                let mut evidence = passed(&suite, &made);
                let before = over.and_then(|o| o.evidence.iter().find(|(name, _)| *name == suite.name));
                evidence.baseline = before.map(|(_, index)| *index);
                match self.say(tester, Place::System, &Claim::Evidence(Box::new(evidence)))? {
                    Some(index) => made.evidence.push((suite.name, index)),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(made))
    }

    /// Puts a release up. `None` if that one may not.
    pub(super) fn propose(&mut self, proposer: &Speaker, claim: &Proposal) -> Result<Option<u64>, DutiesError> {
        let environment = claim.environment.clone();
        self.say(proposer, Place::Environment(&environment), &Claim::Proposal(Box::new(claim.clone())))
    }

    /// The approval of exactly what is put up, as it would be signed after being shown it.
    pub(super) fn good_approval(&self, proposal: u64, claim: &Proposal) -> Approval {
        Approval {
            action: Action::Release,
            environment: claim.environment.clone(),
            proposal,
            release: claim.release,
            replaces: claim.replaces,
            shown: shown_digest(&self.facts, proposal).unwrap_or(Digest::of(b"nothing")),
        }
    }

    /// The same claim by each, in each of the roles.
    pub(super) fn vote(&mut self, votes: &[Vote<'_>], place: Place<'_>, claim: &Claim) -> Result<(), DutiesError> {
        for vote in votes {
            for role in vote.roles {
                self.say_as(vote.person, role, place, claim)?;
            }
        }
        Ok(())
    }

    /// What `decide` says to a proposal when all time that is asked for has gone by: no reasons is yes.
    pub(super) fn refusals(
        &mut self,
        environment: &EnvironmentName,
        proposal: u64,
    ) -> Result<Vec<Reason>, DutiesError> {
        // Nobody waits in an emergency, and its verdict ends by itself.
        let is_emergency = self.facts.proposal(proposal).is_some_and(|p| p.claim.emergency);
        let rule = self.ground.charter().environment(environment).filter(|_| !is_emergency);
        self.pass(rule.map_or(0, |e| e.cool_off_s))?;
        Ok(match decide_with(&self.ground.policy, &self.facts, proposal)?.verdict.ruling {
            Ruling::Granted { .. } => Vec::new(),
            Ruling::Refused { reasons } => reasons,
        })
    }

    /// The agents say that something is live. `false` if there is none that may.
    pub(super) fn go_live(
        &mut self,
        environment: &EnvironmentName,
        proposal: u64,
        claim: &Proposal,
    ) -> Result<bool, DutiesError> {
        let milestone = Claim::Milestone(Box::new(Milestone {
            environment: environment.clone(),
            release: claim.release,
            serial: claim.serial.clone(),
            other: claim.replaces,
            proposal,
            what: MilestoneKind::Live,
            component: None,
            requests: 0,
            errors: 0,
            placed: Vec::new(),
        }));
        let ground = self.ground;
        for robot in ground.robots() {
            if self.say(robot, Place::Environment(environment), &milestone)?.is_some() {
                self.pass(0)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What would be proposed of a release.
pub(super) fn proposal_of(made: &Made, environment: &EnvironmentName, replaces: Option<Digest>) -> Proposal {
    Proposal {
        environment: environment.clone(),
        release: made.built.release,
        serial: made.built.serial.clone(),
        build: made.build,
        change: made.change,
        images: made.built.images.clone(),
        replaces,
        edited_suites: Vec::new(),
        removed_suites: Vec::new(),
        approvals: None,
        values: Vec::new(),
        emergency: false,
        reason: None,
    }
}

/// The evidence that a suite passed on what was made.
pub(super) fn passed(suite: &SuiteFact, made: &Made) -> Evidence {
    Evidence {
        change: made.change,
        suite: suite.name.clone(),
        kind: suite.kind,
        definition: suite.definition,
        files: suite.files,
        on: match suite.on {
            SuiteOn::Source => EvidenceOn::Source { commit: made.about.commit },
            SuiteOn::Containers => {
                EvidenceOn::Containers { release: made.built.release, images: made.built.images.clone() }
            }
        },
        outcome: EvidenceOutcome::Passed,
        reasons: Vec::new(),
        totals: Totals { passed: 1, failed: 0, skipped: 0, flaky: 0 },
        baseline: None,
        missing: Vec::new(),
        excepted: Vec::new(),
        covers: Vec::new(),
        cases: None,
    }
}

fn is_founder(charter: &Charter, speaker: &Speaker) -> bool {
    let is = |person: &PersonId| charter.member(person).is_some_and(|m| m.founder);
    speaker.persons.iter().any(is)
}
