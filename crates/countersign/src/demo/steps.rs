//! The eight steps, in order. Each does something as a user or an attacker would, and looks for what must come of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ledger::statement::v1::{Claim, CommitProblem, Evidence, EvidenceOutcome, EvidenceReason, MilestoneKind, Ruling};
use model::Commit;
use serde_json::Value;

use crate::fault::{Fault, Kind};

use super::{
    history::History,
    people::SETTLEMENT_ACCOUNT,
    stage::{Stage, VERB_LIMIT},
    teller::Teller,
    traffic::{Answered, Traffic},
    watcher::{Offered, Watcher},
};

mod attacks;

pub use attacks::knock;

/// From a push to a proposal: a build and all suites, on a machine that has other things to do as well.
const OFFER_LIMIT: Duration = Duration::from_secs(300);
/// From the last approval to the end of a rollout: start, watch, drain, or the way back.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(120);
/// The builder looks at the remote every two seconds.
const NOTICE_LIMIT: Duration = Duration::from_secs(60);
/// A verdict follows a statement within a second or two.
const VERDICT_LIMIT: Duration = Duration::from_secs(60);
/// So many payments after a rollback show that the old version serves.
const SETTLED_PAYMENTS: usize = 60;
/// Two seconds by the log's time, which ticks every ten, on a machine that has other things to do as well.
const COOL_OFF_LIMIT: Duration = Duration::from_secs(180);
/// They take two seconds.
const SETTLED_LIMIT: Duration = Duration::from_secs(60);

/// What goes from step to step.
pub(super) struct Play<'a, 'w> {
    pub(super) stage: &'a mut Stage,
    pub(super) history: &'a History,
    pub(super) teller: &'a mut Teller<'w>,
    pub(super) watcher: Watcher,
    pub(super) traffic: Traffic,
    /// The commits so far, by the names of the history.
    commits: BTreeMap<String, Commit>,
}

/// Plays all of them.
pub fn play(stage: &mut Stage, history: &History, teller: &mut Teller<'_>) -> Result<(), Fault> {
    teller.step(&format!("0. A new installation in {}", stage.dir.display()))?;
    stage.set_up(history, teller)?;
    let watcher = Watcher::new(stage.places.front, stage.members()?)?;
    let traffic = Traffic::new(stage.places.public);
    let mut play = Play { stage, history, teller, watcher, traffic, commits: BTreeMap::new() };
    play.first_release()?;
    let better = play.better_version()?;
    let refused = play.tests()?;
    let leaky = play.people()?;
    play.leaky(&leaky, &better)?;
    let kept = play.keep_checkpoint()?;
    let forged = play.stolen_key(&refused)?;
    play.rewritten_past(&refused, &kept, &forged)?;
    play.trace(&better)
}

/// What the later steps need of step 3.
pub(super) struct Refused {
    /// The log index of the evidence that a test failed.
    pub(super) failed: u64,
    /// A proposal that nobody approved.
    pub(super) unapproved: Offered,
}

impl Play<'_, '_> {
    /// 1. The first release goes live.
    fn first_release(&mut self) -> Result<(), Fault> {
        self.teller.step("1. The first release goes live")?;
        self.settlement_account()?;
        let commit = self.push("v1")?;
        let offered = self.offered(commit)?;
        self.two_approve(&offered)?;
        let live = self.watcher.rolled_out(self.teller, offered.index, ROLLOUT_LIMIT)?;
        expect(live.what == MilestoneKind::Live, || format!("the first release ended as {:?}", live.what))?;
        let serial = self.serves()?;
        expect(serial == offered.proposal.serial.to_string(), || {
            format!("the web component says that it is {serial}")
        })?;
        self.teller.saw(format!("http://{}/health answers as {serial}", self.stage.places.public))?;
        self.teller.proves(format!("{serial} went from a signed commit to production on two people's approvals"));
        Ok(())
    }

    /// The account that the desk settles to, put in force by its guardians before anything is released with it.
    fn settlement_account(&mut self) -> Result<(), Fault> {
        let key = self.stage.key("gil");
        let to = SETTLEMENT_ACCOUNT;
        let words = [
            "value",
            "propose",
            "settlement-account",
            "--to",
            to,
            "--reason",
            "the first one",
            "--yes",
            "--key",
            &key,
            "--format",
            "json",
        ];
        let told = self.stage.program.run(&words, VERB_LIMIT)?.well()?.json()?;
        let proposal = told.get("proposal").and_then(Value::as_u64).unwrap_or_default();
        for person in ["hal", "ida"] {
            let (index, key) = (proposal.to_string(), self.stage.key(person));
            let words = ["value", "approve", &index, "--yes", "--key", &key];
            self.stage.program.run(&words, VERB_LIMIT)?.well()?;
            self.teller.does(format!("{person} looks at the settlement account that gil proposed, and approves it"))?;
        }
        self.watcher.until(self.teller, "the end of the cool-off", COOL_OFF_LIMIT, |w| {
            let values = gate::values::all(w.view().facts());
            Ok(values
                .iter()
                .any(|value| value.in_force.as_ref().is_some_and(|now| now.proposal == proposal))
                .then_some(()))
        })?;
        self.teller.saw("it came into force after its cool-off; releases are given exactly that one")
    }

    /// 2. A better version with a schema migration replaces it under traffic.
    fn better_version(&mut self) -> Result<Offered, Fault> {
        self.teller.step("2. A better version, with a migration of the database, replaces it while a client pays")?;
        self.traffic.start()?;
        self.teller.does("a client pays some 40 times a second through the public address, sending nothing twice")?;
        let commit = self.push("v2")?;
        let offered = self.offered(commit)?;
        self.two_approve(&offered)?;
        let live = self.watcher.rolled_out(self.teller, offered.index, ROLLOUT_LIMIT)?;
        expect(live.what == MilestoneKind::Live, || format!("the better version ended as {:?}", live.what))?;
        let serial = self.serves()?;
        expect(serial == offered.proposal.serial.to_string(), || {
            format!("the web component says that it is {serial}")
        })?;
        self.traffic.stop();
        let books = self.traffic.compare()?;
        expect(books.wrong.is_empty(), || format!("the books are wrong: {}", shortened(&books.wrong)))?;
        expect(books.failed == 0, || {
            format!("{} of {} payments failed: {}", books.failed, books.sent, self.first_failures())
        })?;
        expect(books.sent > SETTLED_PAYMENTS, || format!("only {} payments were sent", books.sent))?;
        let newest = self.traffic.ask("/payments?limit=1")?;
        let columns = newest.pointer("/payments/0").and_then(Value::as_object);
        expect(columns.is_some_and(|c| c.contains_key("reference")), || {
            format!("the new column is not there: {newest}")
        })?;
        let said =
            format!("{} payments were sent: none failed, {} are in the books, each once", books.sent, books.in_books);
        self.teller.saw(&said)?;
        self.teller.saw(format!("{serial} runs on the migrated schema: payments have a reference"))?;
        self.teller.proves(format!("a new version with a migration replaced the old under traffic: {said}"));
        self.traffic.start()?;
        Ok(offered)
    }

    /// 3. A failing test, and its removal.
    fn tests(&mut self) -> Result<Refused, Fault> {
        self.teller.step("3. A commit with a failing test is refused; so is one that deletes the test")?;
        let commit = self.push("failing-test")?;
        let offered = self.offered(commit)?;
        let (failed, _) = self.evidence(offered.change, "unit", |e| e.outcome == EvidenceOutcome::Failed)?;
        self.two_approve(&offered)?;
        self.refused(&offered, &["full-suites-passed"])?;
        self.teller.saw("refused because of the test alone: two approvals do not help")?;

        let commit = self.push("deleted-test")?;
        let unapproved = self.offered(commit)?;
        let (_, evidence) = self.evidence(unapproved.change, "unit", |e| e.outcome != EvidenceOutcome::Passed)?;
        expect(evidence.reasons.contains(&EvidenceReason::Missing), || {
            format!("the unit suite gives {:?}", evidence.reasons)
        })?;
        expect(evidence.totals.failed == 0, || "a test fails, and none should".to_owned())?;
        self.refused(&unapproved, &["full-suites-passed", "quorum-has-approved"])?;
        self.teller.saw(format!(
            "every test that is left passes, and {} that passed before is missing: refused",
            evidence.missing.len()
        ))?;
        self.teller.proves("a failing test refuses a release whoever approves it, and deleting the test does not help");
        Ok(Refused { failed, unapproved })
    }

    /// 4. A forged author; an approval by a contributor.
    fn people(&mut self) -> Result<Offered, Fault> {
        self.teller.step("4. A commit with a forged author is refused; so is an approval by a contributor")?;
        self.commit("repair")?;
        let forged = self.push("forged")?;
        let (index, change) = self.watcher.noticed(self.teller, forged, NOTICE_LIMIT)?;
        let fact = change.commits.iter().find(|c| c.commit == forged);
        expect(fact.is_some_and(|f| f.problem == Some(CommitProblem::ForgedAuthor)), || {
            format!("the builder says {fact:?}")
        })?;
        expect(!change.is_accepted(), || "the change was accepted".to_owned())?;
        let said = crate::verbs::show::says(&Claim::Change(Box::new(change)));
        self.teller.saw(format!("the commit says ben and is signed by ada: statement {index}: {said}"))?;
        let leaky = self.push("leaky")?;
        let offered = self.offered(leaky)?;
        let index = offered.index.to_string();
        let ada = self.stage.key("ada");
        self.approve(&offered, "cora", &[])?;
        let words = ["approve", &index, "--yes", "--key", &ada];
        let ran = self.stage.program.run(&words, VERB_LIMIT)?.refused(Kind::Refused)?;
        self.teller.saw(format!(
            "ada wrote it, and her own tool will not sign: {}",
            ran.err.lines().next().unwrap_or_default()
        ))?;
        let told = self.approve(&offered, "ada", &["--even-if-it-will-not-count"])?;
        let number = |name: &str| told.get(name).and_then(Value::as_u64);
        expect(told.get("counts") == Some(&Value::Bool(false)), || format!("ada's approval counts: {told}"))?;
        expect(number("approvals") == Some(1) && number("needed") == Some(2), || format!("not 1 of 2: {told}"))?;
        self.refused(&offered, &["quorum-has-approved"])?;
        self.teller.saw("she signs it all the same: the gate counts 1 of 2")?;
        self.teller.proves("a forged author is refused, and nobody's approval counts for what they wrote");
        Ok(offered)
    }

    /// 5. What passes every test and fails under real traffic.
    fn leaky(&mut self, offered: &Offered, before: &Offered) -> Result<(), Fault> {
        self.teller
            .step("5. A version that passes every test but fails under real traffic is rolled back by itself")?;
        let failed = self.traffic.failed(self.teller.began(), Instant::now());
        expect(failed.is_empty(), || format!("{} payments failed before: {}", failed.len(), self.first_failures()))?;
        let from = Instant::now();
        let told = self.approve(offered, "dan", &[])?;
        expect(told.get("granted") == Some(&Value::Bool(true)), || format!("not granted: {told}"))?;
        let end = self.watcher.rolled_out(self.teller, offered.index, ROLLOUT_LIMIT)?;
        expect(end.what == MilestoneKind::WentBackErrors, || format!("it ended as {:?}", end.what))?;
        let to = Instant::now();
        let traffic = &self.traffic;
        self.watcher.until(self.teller, "payments on the version before", SETTLED_LIMIT, |_| {
            Ok((traffic.booked_since(to) >= SETTLED_PAYMENTS).then_some(()))
        })?;
        let serial = self.serves()?;
        expect(serial == before.proposal.serial.to_string(), || format!("{serial} serves"))?;
        let running = self.watcher.instances()?;
        expect(running.iter().all(|i| i.1 == serial), || format!("there still runs {running:?}"))?;
        let during = self.traffic.failed(from, to);
        let all = self.traffic.failed(self.teller.began(), Instant::now());
        expect(!during.is_empty(), || "nothing failed, so nothing was shown".to_owned())?;
        expect(all.len() == during.len(), || {
            format!("{} payments failed outside of the rollout", all.len() - during.len())
        })?;
        let other: Vec<_> = during.iter().filter(|p| p.answer != Answered::Refused(500)).collect();
        expect(other.is_empty(), || {
            format!("{} payments got no answer of the version: {:?}", other.len(), other.first())
        })?;
        self.traffic.stop();
        let books = self.traffic.compare()?;
        expect(books.wrong.is_empty(), || format!("the books are wrong: {}", shortened(&books.wrong)))?;
        self.traffic.start()?;
        self.teller.saw(format!(
            "by the edge's count {} of {} requests failed, and it went back; {:.1} s after the last approval all was as before",
            end.errors,
            end.requests,
            (to - from).as_secs_f64(),
        ))?;
        self.teller.saw(format!(
            "{serial} serves again; {} payments got 500 meanwhile and are not in the books; {} are, each once",
            during.len(),
            books.in_books
        ))?;
        self.teller.proves(
            "a version that fails under real traffic is rolled back by itself, and no payment is lost or booked twice",
        );
        Ok(())
    }

    /// Commits a step of the history on top of the one that it names. Returns whether that leaves something behind.
    fn commit(&mut self, name: &str) -> Result<(Commit, bool), Fault> {
        let entry = self.history.entry(name)?;
        let repository = self.stage.repository()?;
        let mut leaves = false;
        if let Some(after) = &entry.after {
            let missing =
                || Fault::new(Kind::Input, format!("the history puts `{name}` after `{after}`, which comes later"));
            let below = *self.commits.get(after).ok_or_else(missing)?;
            leaves = repository.head()? != below;
            if leaves {
                repository.reset(below)?;
            }
        }
        repository.apply(self.history, entry)?;
        let commit = repository.commit(entry)?;
        self.commits.insert(name.to_owned(), commit);
        Ok((commit, leaves))
    }

    /// Commits a step of the history and pushes it.
    fn push(&mut self, name: &str) -> Result<Commit, Fault> {
        let (commit, leaves) = self.commit(name)?;
        if leaves {
            self.teller.does("somebody who may takes the last commit off the branch")?;
        }
        self.stage.repository()?.push(leaves)?;
        let entry = self.history.entry(name)?;
        let title = entry.message.trim().lines().next().unwrap_or_default().to_owned();
        self.teller.does(format!(
            "pushed {} by {}, signed by {}: {title}",
            commit.short(),
            entry.author,
            entry.signer
        ))?;
        Ok(commit)
    }

    fn offered(&mut self, commit: Commit) -> Result<Offered, Fault> {
        let offered = self.watcher.offered(self.teller, commit, OFFER_LIMIT)?;
        self.teller.saw(format!("{} is proposal {}: {}", offered.proposal.serial, offered.index, offered.times))?;
        for (_, claim) in self.watcher.claims(offered.change) {
            if let Claim::Evidence(e) = claim
                && e.change == offered.change
            {
                self.teller.saw(crate::verbs::show::evidence(e))?;
            }
        }
        Ok(offered)
    }

    /// An approval, with what the verb told.
    fn approve(&mut self, offered: &Offered, person: &str, more: &[&str]) -> Result<Value, Fault> {
        let (index, key) = (offered.index.to_string(), self.stage.key(person));
        let mut words =
            vec!["approve", &index, "--environment", "production", "--yes", "--key", &key, "--format", "json"];
        words.extend(more);
        let told = self.stage.program.run(&words, VERB_LIMIT)?.well()?.json()?;
        let number = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or_default();
        self.teller.does(format!(
            "{person} approves {}: {} of {} approvals",
            offered.proposal.serial,
            number("approvals"),
            number("needed")
        ))?;
        Ok(told)
    }

    fn two_approve(&mut self, offered: &Offered) -> Result<(), Fault> {
        self.approve(offered, "cora", &[])?;
        let told = self.approve(offered, "dan", &[])?;
        let counted = told.get("approvals").and_then(Value::as_u64);
        expect(counted == Some(2), || format!("two people approved and the gate counts otherwise: {told}"))
    }

    /// What the web component behind the edge says that it is.
    fn serves(&self) -> Result<String, Fault> {
        let health = self.traffic.ask("/health")?;
        Ok(health.get("serial").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Waits until the gate has refused a proposal for exactly these rules, and `why` says the same.
    pub(super) fn refused(&mut self, offered: &Offered, rules: &[&str]) -> Result<(), Fault> {
        let index = offered.index;
        let mut said = Vec::new();
        let waited = self.watcher.until(self.teller, "the gate's refusal", VERDICT_LIMIT, |w| {
            let last = w.claims(index).filter_map(|(_, c)| match c {
                Claim::Verdict(v) if v.proposal == index => Some(v),
                _ => None,
            });
            said = match last.last().map(|v| &v.ruling) {
                Some(Ruling::Refused { reasons }) => reasons.iter().map(|r| r.rule.as_str().to_owned()).collect(),
                Some(Ruling::Granted { .. }) => vec!["granted".to_owned()],
                None => Vec::new(),
            };
            Ok((said == rules).then_some(()))
        });
        waited.map_err(|fault| {
            fault.context(format!("the gate said {} instead of {}", said.join(", "), rules.join(", ")))
        })?;
        let index = index.to_string();
        let why = self.stage.program.run(&["why", &index, "--format", "json"], VERB_LIMIT)?.well()?.json()?;
        expect(why.pointer("/0/granted") == Some(&Value::Bool(false)), || format!("`why` says otherwise: {why}"))?;
        for reason in why.pointer("/0/reasons").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| match reason.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                other => other.map(ToString::to_string).unwrap_or_default(),
            };
            self.teller.quote(&format!("why: {}: found {}; needed {}", text("rule"), text("found"), text("needed")))?;
        }
        Ok(())
    }

    fn evidence(&self, change: u64, suite: &str, fits: impl Fn(&Evidence) -> bool) -> Result<(u64, Evidence), Fault> {
        let mut seen = Vec::new();
        for (index, claim) in self.watcher.claims(change) {
            if let Claim::Evidence(e) = claim
                && e.change == change
            {
                if e.suite.as_str() == suite && fits(e) {
                    return Ok((index, (**e).clone()));
                }
                seen.push(crate::verbs::show::evidence(e));
            }
        }
        Err(Fault::new(Kind::Internal, format!("the suite {suite} did not show what it should: {}", seen.join("; "))))
    }

    fn first_failures(&self) -> String {
        let failed = self.traffic.failed(self.teller.began(), Instant::now());
        let words: Vec<String> = failed.iter().map(|p| format!("{}: {:?}", p.key, p.answer)).collect();
        shortened(&words)
    }
}

/// The first few of a long list.
fn shortened(words: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = words.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if words.len() > SHOWN {
        text.push_str(&format!("; and {} more", words.len() - SHOWN));
    }
    text
}

/// A step must have shown this.
pub(super) fn expect(holds: bool, words: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::new(Kind::Internal, words())) }
}
