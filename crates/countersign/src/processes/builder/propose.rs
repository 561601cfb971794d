//! From a build that every suite has looked at to proposals: into the first environment, and from one to the next.

use build::git::Mirror;
use gate::Said;
use ledger::statement::v1::{Build, Change, Claim, Proposal, SuiteKind, SystemRule};
use model::{Digest, EnvironmentName, release::Release};

use super::{Builder, manifest_of};
use crate::{
    fault::{Because as _, Fault, Kind},
    say::About,
};

impl Builder {
    /// Proposes the newest build where it is due. Returns what is waited for. A build whose suites failed is proposed
    /// too: the refusal, with its reasons, belongs in the log.
    pub(super) fn propose(
        &mut self,
        system: &SystemRule,
        mirror: &Mirror,
        change: &Said<Change>,
    ) -> Result<String, Fault> {
        let facts = self.view.facts();
        let Some(build) = facts.builds().rfind(|b| b.claim.change == change.index).cloned() else {
            return Ok(format!("{}: the build of change {}", system.name, change.claim.ordinal));
        };
        let untested: Vec<String> = change
            .claim
            .suites
            .iter()
            .filter(|s| s.kind != SuiteKind::Smoke)
            .filter(|s| {
                !facts.evidence(change.index).any(|e| e.claim.suite == s.name && e.claim.definition == s.definition)
            })
            .map(|s| s.name.to_string())
            .collect();
        if !untested.is_empty() {
            return Ok(format!("{}: the suites {} on {}", system.name, untested.join(", "), build.claim.serial));
        }
        let release = self.release(build.claim.release)?;
        let manifest = manifest_of(mirror, change)?;
        let environments: Vec<EnvironmentName> =
            self.view.reader().members().charter().environments.iter().map(|e| e.name.clone()).collect();
        let mut before: Option<EnvironmentName> = None;
        for name in environments {
            if release.environment(&name).is_none() {
                continue;
            }
            // Promotion goes as the charter and the manifest say, or else in the charter's order: into the next only what
            // has run in the one before. The gate has a rule of its own; here it is about when to ask people.
            let declared = manifest.environments.get(&name);
            let declared = declared.and_then(|e| Some((e.after.clone()?, u64::from(e.soak_s))));
            let rule = self.view.reader().members().charter().environment(&name).and_then(|e| e.after.clone());
            let mut asked: Vec<(EnvironmentName, u64)> = declared.into_iter().collect();
            asked.extend(rule.map(|after| (after.environment, after.soak_s)));
            if asked.is_empty() {
                asked.extend(before.map(|before| (before, 0)));
            }
            for (after, soak_s) in asked {
                if !self.has_soaked(system, &after, build.claim.release, soak_s) {
                    return Ok(format!(
                        "{}: {} to have run {soak_s} s in {after} before {name}",
                        system.name, build.claim.serial
                    ));
                }
            }
            self.propose_into(system, change, &build, &release, &name)?;
            before = Some(name);
        }
        Ok(format!("{}: a push after {}", system.name, change.claim.commit.short()))
    }

    /// Whether a release runs in an environment and has for so long, by the log's time.
    fn has_soaked(&self, system: &SystemRule, environment: &EnvironmentName, release: Digest, soak_s: u64) -> bool {
        let facts = self.view.facts();
        let live = facts.live(&system.name, environment);
        let Some(live) = live.first().filter(|l| l.release == release) else { return false };
        // A delay counts from the latest time in the first tick that covers it to the earliest time in a later one.
        let since = facts.covered(live.index);
        soak_s == 0 || since.zip(facts.time()).is_some_and(|(since, now)| since.latest.plus_s(soak_s) <= now.earliest)
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
        // One with values that are not in force yet is proposed too, so that the refusal says what is missing; and again
        // when they are.
        let (values, _) = gate::values::given(facts, &system.name, environment, &change.claim.values);
        let known = (environment.to_string(), build.claim.release, replaces, values.clone());
        let is_proposed = self.proposed.contains(&known)
            || facts.proposals().any(|p| {
                &p.claim.environment == environment
                    && p.claim.release == build.claim.release
                    && p.claim.replaces == replaces
                    && p.claim.values == values
            });
        if is_proposed {
            return Ok(());
        }
        let (edited_suites, removed_suites) = gate::edits(facts, environment, replaces, &build.claim, &change.claim);
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
            values,
            emergency: false,
            reason: None,
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
