//! Samples: one statement of each kind whose header names what it is about, to ask who may say it at all.
//!
//! Only header and kind matter for that; what the statements say is made up.

use ledger::{
    bodies::SubjectDigest,
    statement::v1::{
        Acknowledgement, Action, Alarm, AlarmAbout, AlarmKind, Amendment, Analysis, AnalysisAnswer, Approval, Arm,
        Build, Cancellation, Change, Claim, Consent, Erasure, Evidence, EvidenceOn, EvidenceOutcome, Exception, Halt,
        KeyWithdrawal, Kind, Milestone, MilestoneKind, Proposal, Rejection, Report, Resume, Retirement, Rollback,
        Ruling, Silence, SuiteKind, Tick, Totals, ValueApproval, ValueProposal, Verdict,
    },
};
use model::{Commit, Digest, EnvironmentName, KeyId, Serial, SystemName, Timestamp};

use super::trial::Place;

/// A statement of a kind and what its header must name; none for the charter, which founders alone sign.
pub(super) fn claim<'a>(
    kind: Kind,
    system: &SystemName,
    environment: &'a EnvironmentName,
) -> Option<(Claim, Place<'a>)> {
    let any = Digest::of(b"a trial");
    let at = Timestamp::default();
    let commit: Commit = format!("{:040x}", 1).parse().ok()?;
    let serial = || Serial::new(system.clone(), 1);
    let here = Place::Environment(environment);
    let claim = match kind {
        Kind::Charter => return None,
        Kind::Tick => (Claim::Tick(Tick { checkpoint: String::new(), at }), Place::None),
        Kind::Change => {
            let change = Change {
                system: system.clone(),
                ordinal: 1,
                commit,
                tree: commit,
                branch: String::new(),
                previous: None,
                commits: Vec::new(),
                manifest: any,
                suites: Vec::new(),
                asks: Vec::new(),
                promotions: Vec::new(),
                values: Vec::new(),
                problems: Vec::new(),
            };
            (Claim::Change(Box::new(change)), Place::System)
        }
        Kind::Build => {
            let build = Build {
                change: 0,
                serial: serial(),
                release: any,
                images: Vec::new(),
                provenance: any,
                sbom: any,
                dependencies: 0,
            };
            (Claim::Build(Box::new(build)), Place::System)
        }
        Kind::Evidence => {
            let evidence = Evidence {
                change: 0,
                suite: "trial".parse().ok()?,
                kind: SuiteKind::Full,
                definition: any,
                files: any,
                on: EvidenceOn::Source { commit },
                outcome: EvidenceOutcome::NotTested,
                reasons: Vec::new(),
                totals: Totals::default(),
                baseline: None,
                missing: Vec::new(),
                excepted: Vec::new(),
                covers: Vec::new(),
                cases: None,
            };
            (Claim::Evidence(Box::new(evidence)), Place::System)
        }
        Kind::Proposal => {
            let proposal = Proposal {
                environment: environment.clone(),
                release: any,
                serial: serial(),
                build: 0,
                change: 0,
                images: Vec::new(),
                replaces: None,
                edited_suites: Vec::new(),
                removed_suites: Vec::new(),
                approvals: None,
                values: Vec::new(),
                emergency: false,
                reason: None,
            };
            (Claim::Proposal(Box::new(proposal)), here)
        }
        Kind::Approval => {
            let approval = Approval {
                action: Action::Release,
                environment: environment.clone(),
                proposal: 0,
                release: any,
                replaces: None,
                shown: any,
            };
            (Claim::Approval(approval), here)
        }
        Kind::Rejection => (Claim::Rejection(Rejection { proposal: 0, release: any, reason: None }), here),
        Kind::Verdict => {
            let verdict = Verdict {
                environment: environment.clone(),
                proposal: 0,
                release: any,
                serial: serial(),
                ruling: Ruling::Refused { reasons: Vec::new() },
                size: 0,
                rests_on: Vec::new(),
                decide: String::new(),
                policy: any,
                at,
                unwitnessed: false,
            };
            (Claim::Verdict(Box::new(verdict)), here)
        }
        Kind::Milestone => {
            let milestone = Milestone {
                environment: environment.clone(),
                release: any,
                serial: serial(),
                other: None,
                proposal: 0,
                what: MilestoneKind::Live,
                component: None,
                requests: 0,
                errors: 0,
                placed: Vec::new(),
            };
            (Claim::Milestone(Box::new(milestone)), here)
        }
        Kind::Analysis => {
            let analysis = Analysis {
                environment: environment.clone(),
                release: any,
                serial: serial(),
                other: any,
                proposal: 0,
                salt: any,
                alpha_ppm: 0,
                beta_ppm: 0,
                horizon_ticks: 0,
                metrics: Vec::new(),
                first: 0,
                ticks: Vec::new(),
                answer: AnalysisAnswer::Promote,
                times: Vec::new(),
            };
            (Claim::Analysis(Box::new(analysis)), here)
        }
        Kind::Halt => (Claim::Halt(Halt { environment: Some(environment.clone()), reason: None }), here),
        Kind::Resume => (Claim::Resume(Resume { halt: 0 }), here),
        Kind::Rollback => (Claim::Rollback(Rollback { environment: environment.clone(), from: any, to: any }), here),
        Kind::Retirement => {
            (Claim::Retirement(Retirement { environment: environment.clone(), release: any, serial: serial() }), here)
        }
        Kind::Report => {
            let (serial, words) = (serial(), any);
            let report = Report {
                environment: environment.clone(),
                release: any,
                serial,
                component: None,
                arm: Arm::Alone,
                words,
            };
            (Claim::Report(Box::new(report)), here)
        }
        Kind::Exception => {
            let exception =
                Exception { suite: "trial".parse().ok()?, case: any, owner: "trial".parse().ok()?, ends: at };
            (Claim::Exception(exception), Place::System)
        }
        Kind::KeyWithdrawal => {
            let withdrawal = KeyWithdrawal { key: KeyId::of_wire(b"a trial"), void_from: u64::MAX };
            (Claim::KeyWithdrawal(withdrawal), Place::None)
        }
        Kind::Erasure => {
            (Claim::Erasure(Erasure { subject: SubjectDigest::from_digest(any), reason: None }), Place::None)
        }
        Kind::Amendment => {
            let amendment = Amendment { from: any, becomes: any, edits: Vec::new() };
            (Claim::Amendment(Box::new(amendment)), Place::None)
        }
        Kind::Consent => (Claim::Consent(Consent { amendment: 0, becomes: any, shown: any }), Place::None),
        Kind::Cancellation => (Claim::Cancellation(Cancellation { of: 0, reason: None }), here),
        Kind::ValueProposal => {
            let proposal = ValueProposal { name: "trial".parse().ok()?, value: any, replaces: None, reason: None };
            (Claim::ValueProposal(proposal), here)
        }
        Kind::ValueApproval => {
            let approval =
                ValueApproval { proposal: 0, name: "trial".parse().ok()?, value: any, replaces: None, shown: any };
            (Claim::ValueApproval(approval), here)
        }
        Kind::Alarm => {
            let alarm = Alarm { what: AlarmKind::Drift, about: AlarmAbout::default(), firing: true };
            (Claim::Alarm(alarm), here)
        }
        Kind::Acknowledgement => (Claim::Acknowledgement(Acknowledgement { alarm: 0 }), here),
        Kind::Silence => {
            let silence = Silence { what: vec![AlarmKind::Drift], about: AlarmAbout::default(), ends: at, reason: any };
            (Claim::Silence(Box::new(silence)), here)
        }
    };
    Some(claim)
}
