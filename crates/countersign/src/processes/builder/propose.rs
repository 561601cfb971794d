//! From a build that every suite has looked at to proposals: into the first environment, and from one to the next.

use gate::Said;
use ledger::statement::v1::{Build, Change, Claim, Proposal, SuiteKind, SystemRule};
use model::{Digest, EnvironmentName, release::Release};

use super::Builder;
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
};

impl Builder {
    /// Proposes the newest build where it is due. Returns what is waited for. A build whose suites failed is proposed
    /// too: the refusal, with its reasons, belongs in the log.
    pub(super) fn propose(&mut self, system: &SystemRule, change: &Said<Change>) -> Result<String, Fault> {
        let facts = self.view.facts();
        let Some(build) = facts.builds().rfind(|b| b.claim.change == change.index).cloned() else {
            return Ok(format!("{}: the build of change {}", system.name, change.claim.ordinal));
        };
        let untested: Vec<String> = change
            .claim
            .suites
            .iter()
            .filter(|s| s.kind != SuiteKind::Smoke)
            .filter(|s| !facts.evidence(change.index).any(|e| e.claim.suite == s.name && e.claim.definition == s.definition))
            .map(|s| s.name.to_string())
            .collect();
        if !untested.is_empty() {
            return Ok(format!("{}: the suites {} on {}", system.name, untested.join(", "), build.claim.serial));
        }
        let release = self.release(build.claim.release)?;
        let environments: Vec<EnvironmentName> =
            self.view.reader().members().charter().environments.iter().map(|e| e.name.clone()).collect();
        let mut before: Option<EnvironmentName> = None;
        for name in environments {
            if release.environment(&name).is_none() {
                continue;
            }
            // Promotion goes in the charter's order: into the next only what runs in the one before.
            let facts = self.view.facts();
            let due = before.as_ref().is_none_or(|b| {
                facts.live(&system.name, b).first().is_some_and(|l| l.release == build.claim.release)
            });
            if !due {
                return Ok(format!("{}: {} to run in the environment before {name}", system.name, build.claim.serial));
            }
            self.propose_into(system, change, &build, &release, &name)?;
            before = Some(name);
        }
        Ok(format!("{}: a push after {}", system.name, change.claim.commit.short()))
    }

    fn propose_into(
        &mut self,
        system: &SystemRule,
        change: &Said<Change>,
        build: &Said<Build>,
        release: &Release,
        environment: &EnvironmentName,
    ) -> Result<(), Fault> {
        let facts = self.view.facts();
        let replaces = facts.live(&system.name, environment).first().map(|l| l.release);
        if replaces == Some(build.claim.release) {
            return Ok(());
        }
        let known = (environment.to_string(), build.claim.release, replaces);
        let is_proposed = self.proposed.contains(&known)
            || facts.proposals().any(|p| {
                &p.claim.environment == environment && p.claim.release == build.claim.release && p.claim.replaces == replaces
            });
        if is_proposed {
            return Ok(());
        }
        let (edited_suites, removed_suites) = gate::edits(facts, &system.name, environment, replaces, &change.claim);
        let proposal = Proposal {
            environment: environment.clone(),
            release: build.claim.release,
            serial: build.claim.serial.clone(),
            build: build.index,
            change: change.index,
            images: build.claim.images.clone(),
            replaces,
            edited_suites,
            removed_suites,
            approvals: release.environment(environment).and_then(|e| e.approvals),
        };
        let about = About {
            system: Some(system.name.clone()),
            environment: Some(environment.clone()),
            seen: self.view.seen(),
            nonce: None,
        };
        let said = self.speaker.say(self.view.log(), Claim::Proposal(Box::new(proposal)), about, &[])?;
        self.proposed.insert(known);
        tracing::info!("proposed {} into {environment} at log index {}", build.claim.serial, said.index);
        self.view.wait_for(said.index, super::super::COSIGN_TIMEOUT)
    }

    fn release(&self, digest: Digest) -> Result<Release, Fault> {
        let bytes = self.store.read(digest).because(Kind::Unavailable, "the release document can not be read")?;
        Release::from_bytes(&bytes).because(Kind::Untrue, "the release document does not hold up")
    }
}
