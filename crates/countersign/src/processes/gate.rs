//! The `gate` process: recomputes verdicts on every new statement, and writes the time into the log.
//!
//! It can not deploy or approve. A crash loses nothing: what it said is in the log, and everything else it computes
//! again.

pub(super) mod sentinel;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gate::{CoolOff, Dossier, Facts, decide_with};
use ledger::{
    charter::State,
    keys::Signer,
    statement::v1::{Claim, Kind as Says, MilestoneKind, Proposal, Ruling, Tick, Verdict},
};
use model::{Clock as _, RoleName, Timestamp};

use self::sentinel::Sentinel;
use super::Start;
use crate::{
    clock::SystemClock,
    confine::Confinement,
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    log_client::LogClient,
    say::{About, Speaker},
    status::StatusFile,
    view::View,
};

/// While nothing happens, a tick a minute keeps the log's time from standing still under granted verdicts.
const IDLE_TICK_S: u64 = 60;

/// After a failure to reach the log.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs the process until it is ended.
pub fn run(start: Start) -> Result<(), Fault> {
    let signer: Arc<dyn Signer> = Arc::new(start.key()?);
    let role: RoleName = start.role.name().parse().because(Kind::Internal, "the role's name does not parse")?;
    let members = start.charter.members.clone();
    let speaker = Speaker::new(signer, members.hash(), role.clone());
    let mut confinement = Confinement::nothing();
    let sentinel = Sentinel::new(&start, role)?;
    confinement.read.extend(sentinel.reads());
    let mut status = start.confine(confinement)?;
    let log = LogClient::direct(Target::Unix(start.layout.socket(RoleUser::Log)));
    let mut gate = GateLoop {
        view: View::new(log, members)?,
        speaker,
        said: BTreeMap::new(),
        tick_interval_s: start.settings.tick_interval_s,
        ticked: (0, Timestamp::default()),
        sentinel,
        over_at: None,
    };
    loop {
        if let Err(fault) = gate.round(&mut status) {
            status.trouble(fault.message());
            if fault.kind() == Kind::Untrue {
                return Err(fault);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

struct GateLoop {
    view: View,
    speaker: Speaker,
    /// What was last said of each proposal.
    said: BTreeMap<u64, Verdict>,
    tick_interval_s: u64,
    /// The log size and the time at the last tick.
    ticked: (u64, Timestamp),
    sentinel: Sentinel,
    /// When the next thing is over that ends by the log's time: a cool-off, the delay of a new key or of a recovery, an
    /// emergency, a soak.
    over_at: Option<Timestamp>,
}

impl GateLoop {
    fn round(&mut self, status: &mut StatusFile) -> Result<(), Fault> {
        let from = self.view.wait(Duration::from_secs(1))?;
        let mut news = false;
        for entry in self.view.statements().get(from..).unwrap_or_default() {
            match &entry.value().claim {
                Claim::Verdict(verdict) => {
                    self.said.insert(verdict.proposal, (**verdict).clone());
                }
                Claim::Tick(_) => self.ticked = (entry.index(), SystemClock.now()),
                _ => news = true,
            }
        }
        // A word about `watch` that the log does not take must keep neither ticks nor verdicts back.
        let looked = self.sentinel.look(&self.view, &self.speaker);
        self.tick(news)?;
        let (open, waits) = self.decide_all()?;
        status.measure("statements", self.view.facts().size());
        status.measure("proposals", open as u64);
        status.say(format!("{open} proposals stand over {} statements", self.view.facts().size()), waits);
        match looked {
            Err(fault) if fault.kind() == Kind::Untrue => Err(fault),
            Err(fault) => {
                status.trouble(fault.message());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// A tick after each burst of statements, so that what they say has a time, and now and then while nothing comes.
    fn tick(&mut self, news: bool) -> Result<(), Fault> {
        let now = SystemClock.now();
        let Some(checkpoint) = self.view.reader().checkpoint() else { return Ok(()) };
        let size = checkpoint.size();
        let has_news = self
            .view
            .statements()
            .iter()
            .skip(usize::try_from(self.ticked.0).unwrap_or(usize::MAX))
            .any(|s| !matches!(s.value().claim.kind(), Says::Tick | Says::Verdict));
        let age = now.since_s(self.ticked.1);
        let is_first = self.view.facts().time().is_none();
        let decides = has_news
            && self.view.statements().last().is_some_and(|s| {
                matches!(s.value().claim.kind(), Says::Approval | Says::Proposal | Says::ValueApproval)
            });
        // The log's time stands still while nothing comes. One tick makes it grow, so that it is cosigned with the time of
        // now, and the next says that.
        let is_over = self.over_at.is_some_and(|until| until <= now) && age >= self.tick_interval_s;
        let due =
            is_first || is_over || (news && decides) || (has_news && age >= self.tick_interval_s) || age >= IDLE_TICK_S;
        if !due || size == 0 {
            return Ok(());
        }
        let note = String::from_utf8(checkpoint.to_bytes()).because(Kind::Internal, "the checkpoint is not text")?;
        let tick = Tick { checkpoint: note, at: now };
        let about = About { seen: self.view.seen(), ..About::default() };
        let said = self.speaker.say(self.view.log(), Claim::Tick(tick), about, &[])?;
        self.ticked = (said.index, now);
        Ok(())
    }

    fn decide_all(&mut self) -> Result<(usize, Vec<String>), Fault> {
        let facts = self.view.facts();
        let mut open = 0;
        let mut waits = Vec::new();
        let mut news = Vec::new();
        let values = gate::values::all(facts);
        let mut cooling: Vec<CoolOff> = values
            .iter()
            .flat_map(|value| &value.proposals)
            .filter(|s| s.state.is_open())
            .map(|s| s.cool_off)
            .collect();
        let recoveries = facts.charters().puts().filter_map(|put| match &put.state {
            State::Waiting { delay, .. } => Some(delay),
            _ => None,
        });
        let delays = facts.charters().new_keys().map(|(_, delay)| delay).chain(recoveries);
        let mut ends: Vec<Timestamp> = delays.filter_map(|delay| delay.until).map(|(until, _)| until).collect();
        for proposal in facts.proposals() {
            let claim = &proposal.claim;
            let live = facts.live(claim.serial.system(), &claim.environment);
            let runs = live.first().is_some_and(|l| l.proposal == proposal.index);
            let newest = facts
                .proposals()
                .rfind(|p| p.claim.environment == claim.environment && p.claim.serial.system() == claim.serial.system())
                .is_some_and(|p| p.index == proposal.index);
            // What has been replaced or overtaken can not be released any more, and nobody waits for an answer.
            if !runs && !newest && self.said.contains_key(&proposal.index) {
                continue;
            }
            open += 1;
            let verdict =
                decide_with(self.view.policy(), facts, proposal.index).because(Kind::Internal, "no decision")?.verdict;
            if let Ruling::Granted { until } = &verdict.ruling
                && claim.emergency
            {
                ends.push(*until);
            }
            if let Ruling::Refused { reasons } = &verdict.ruling {
                let rules: Vec<&str> = reasons.iter().map(|r| r.rule.as_str()).collect();
                if rules.contains(&"cool-off-is-over") {
                    cooling.extend(Dossier::gather(facts, proposal.index).map(|dossier| dossier.cool_off));
                }
                let what = format!("{} into {}: {}", claim.serial, claim.environment, rules.join(", "));
                waits.push(if runs {
                    let places = addresses(facts, proposal.index, claim);
                    format!("withdrawn though it runs at {}: {what}", places.join(", "))
                } else {
                    what
                });
            }
            if self.said.get(&proposal.index).is_none_or(|old| is_news(old, &verdict)) {
                news.push(verdict);
            }
        }
        let until = |cool_off: CoolOff| match cool_off {
            CoolOff::Begun { until, over: false, .. } => Some(until),
            _ => None,
        };
        self.over_at = cooling.into_iter().filter_map(until).chain(ends).chain(gate::soaks(facts)).min();
        for verdict in news {
            let about = About {
                system: Some(verdict.serial.system().clone()),
                environment: Some(verdict.environment.clone()),
                seen: self.view.seen(),
                nonce: None,
            };
            self.said.insert(verdict.proposal, verdict.clone());
            self.speaker.say(self.view.log(), Claim::Verdict(Box::new(verdict)), about, &[])?;
        }
        Ok((open, waits))
    }
}

/// Where a release runs by the agent's last word, for whoever has to act on a withdrawn verdict.
pub(crate) fn addresses(facts: &Facts, proposal: u64, claim: &Proposal) -> Vec<String> {
    facts
        .milestones(claim.serial.system(), &claim.environment)
        .rfind(|m| m.claim.proposal == proposal && m.claim.what == MilestoneKind::Live)
        .map(|m| m.claim.placed.iter().map(|p| format!("{} {}", p.component, p.address)).collect())
        .unwrap_or_default()
}

/// A verdict is said again when its answer or its reasons change, and when more than half of its time is over.
fn is_news(old: &Verdict, new: &Verdict) -> bool {
    match (&old.ruling, &new.ruling) {
        (Ruling::Granted { until: a }, Ruling::Granted { until: b }) => {
            b < a || old.at.plus_s(a.since_s(old.at) / 2) < new.at
        }
        (Ruling::Refused { reasons: a }, Ruling::Refused { reasons: b }) => a != b,
        _ => true,
    }
}
