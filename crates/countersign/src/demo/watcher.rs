//! Waiting for what the log says, and showing meanwhile what the processes do.
//!
//! It reads the log through `front` as any client does, verified, and the words of the processes, which it only prints.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use hyper::Method;
use ledger::statement::{
    Members,
    v1::{Change, Claim, Milestone, Proposal},
};
use model::Commit;
use serde_json::Value;

use crate::{
    fault::{Because as _, Fault, Kind},
    http::Target,
    log_client::LogClient,
    view::View,
};

use super::teller::Teller;

/// The longest that one look waits for the log to grow.
const LOOK: Duration = Duration::from_millis(300);
/// A process that does not answer by then is asked again.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// Processes whose work takes long enough to tell of.
const TOLD: [&str; 3] = ["builder", "tester", "agent"];

/// Reads the log and the words of the processes.
pub struct Watcher {
    view: View,
    front: Target,
    last: BTreeMap<String, String>,
}

/// A change that was built, tested and proposed.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The log index of the change.
    pub change: u64,
    /// The log index of the proposal.
    pub index: u64,
    /// The proposal.
    pub proposal: Proposal,
    /// What took how long, in words.
    pub times: String,
}

impl Watcher {
    /// For a log that is served at this address.
    pub fn new(front: SocketAddr, members: Members) -> Result<Self, Fault> {
        let front = Target::Tcp(front);
        Ok(Self { view: View::new(LogClient::through_front(front.clone()), members)?, front, last: BTreeMap::new() })
    }

    /// The log as it was read last.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Reads what is new.
    pub fn refresh(&mut self) -> Result<&View, Fault> {
        self.view.refresh()?;
        Ok(&self.view)
    }

    /// What `front` says of all processes.
    pub fn status(&self) -> Result<Value, Fault> {
        let answer = self.front.ask_blocking(Method::GET, "/api/status", Vec::new(), STATUS_TIMEOUT)?;
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "front's answer is not JSON")
    }

    /// What one process says of itself.
    pub fn word(&self, role: &str) -> Result<Value, Fault> {
        let status = self.status()?;
        let words = status.get("processes").and_then(Value::as_array).into_iter().flatten();
        let mut words = words.filter(|w| w.get("role").and_then(Value::as_str) == Some(role));
        Ok(words.next().cloned().unwrap_or_default())
    }

    /// The instances that the agent sees running in production, by name, with serial and image.
    pub fn instances(&self) -> Result<Vec<(String, String, String)>, Fault> {
        let status = self.status()?;
        let agent = status.get("agent").and_then(|a| a.get("paydesk in production"));
        let list = agent.and_then(|a| a.get("instances")).and_then(Value::as_array);
        let list = list.ok_or_else(|| Fault::new(Kind::Unavailable, "the agent does not say what runs"))?;
        let text = |i: &Value, name: &str| i.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut instances: Vec<_> =
            list.iter().map(|i| (text(i, "instance"), text(i, "serial"), text(i, "image"))).collect();
        instances.sort();
        Ok(instances)
    }

    /// Waits until the condition gives something, showing what goes on. A log that lies ends it at once, and so does a
    /// build that failed; a `front` that does not answer is asked again until the time is over.
    pub fn until<T>(
        &mut self,
        teller: &mut Teller<'_>,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&mut Self) -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        let deadline = Instant::now() + limit;
        loop {
            teller.go_on()?;
            let trouble = match self.view.wait(LOOK) {
                Ok(_) => None,
                Err(fault) if fault.kind() == Kind::Untrue => return Err(fault),
                Err(fault) => Some(fault.message()),
            };
            if let Some(found) = condition(self)? {
                return Ok(found);
            }
            self.tell(teller)?;
            if Instant::now() > deadline {
                let mut waits = self.waits();
                waits.extend(trouble);
                return Err(Fault::new(
                    Kind::Unavailable,
                    format!("{what} did not come within {} s; {}", limit.as_secs(), waits.join("; ")),
                ));
            }
            if trouble.is_some() {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Waits until a commit is noticed as a change.
    pub fn noticed(
        &mut self,
        teller: &mut Teller<'_>,
        commit: Commit,
        limit: Duration,
    ) -> Result<(u64, Change), Fault> {
        self.until(teller, "the builder's word on the push", limit, |w| {
            Ok(w.claims(0).find_map(|(index, claim)| match claim {
                Claim::Change(c) if c.commit == commit => Some((index, (**c).clone())),
                _ => None,
            }))
        })
    }

    /// Waits until a commit is built, tested and proposed.
    pub fn offered(&mut self, teller: &mut Teller<'_>, commit: Commit, limit: Duration) -> Result<Offered, Fault> {
        let pushed = Instant::now();
        let mut seen: BTreeMap<u64, (String, f64)> = BTreeMap::new();
        self.until(teller, "the proposal", limit, |w| {
            let Some((change, _)) = w.claims(0).find(|(_, c)| matches!(c, Claim::Change(c) if c.commit == commit))
            else {
                return Ok(None);
            };
            let mut offered = None;
            for (index, claim) in w.claims(change) {
                let word = match claim {
                    Claim::Change(_) if index == change => "noticed".to_owned(),
                    Claim::Build(b) if b.change == change => "built".to_owned(),
                    Claim::Evidence(e) if e.change == change => format!("suite {} run", e.suite),
                    Claim::Proposal(p) if p.change == change => {
                        offered = Some((index, (**p).clone()));
                        "proposed".to_owned()
                    }
                    _ => continue,
                };
                seen.entry(index).or_insert_with(|| (word, pushed.elapsed().as_secs_f64()));
            }
            if offered.is_none() {
                w.failed_build()?;
            }
            let times: Vec<String> = seen.values().map(|(word, s)| format!("{word} after {s:.0} s")).collect();
            Ok(offered.map(|(index, proposal)| Offered { change, index, proposal, times: times.join(", ") }))
        })
    }

    /// Waits until a proposal's rollout has ended, one way or the other, and tells each of its steps.
    pub fn rolled_out(&mut self, teller: &mut Teller<'_>, proposal: u64, limit: Duration) -> Result<Milestone, Fault> {
        let deadline = Instant::now() + limit;
        let mut told = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let happened = self.until(teller, "the end of the rollout", left, |w| {
                let happened = w.milestones(proposal);
                Ok((happened.len() > told).then_some(happened))
            })?;
            for (_, m) in happened.iter().skip(told) {
                let component = m.component.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
                let counts = if m.requests > 0 {
                    format!(", {} requests, {} failed", m.requests, m.errors)
                } else {
                    String::new()
                };
                teller.does(format!(
                    "agent: {} {}{component}{counts}",
                    m.serial,
                    crate::verbs::show::milestone(m.what)
                ))?;
            }
            told = happened.len();
            if let Some((_, end)) = happened.into_iter().find(|(_, m)| m.what.is_end()) {
                return Ok(end);
            }
        }
    }

    /// What was said of a proposal's rollout so far.
    pub fn milestones(&self, proposal: u64) -> Vec<(u64, Milestone)> {
        self.claims(0)
            .filter_map(|(index, claim)| match claim {
                Claim::Milestone(m) if m.proposal == proposal => Some((index, (**m).clone())),
                _ => None,
            })
            .collect()
    }

    /// The statements from an index on.
    pub fn claims(&self, from: u64) -> impl Iterator<Item = (u64, &Claim)> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.view.statements().iter().skip(from).map(|s| (s.index(), &s.value().claim))
    }

    /// Nothing is gained by waiting for a build that failed.
    fn failed_build(&self) -> Result<(), Fault> {
        let word = self.word("builder").unwrap_or_default();
        let trouble = word.get("trouble").and_then(Value::as_str).unwrap_or_default();
        if trouble.contains("the build of change") { Err(Fault::new(Kind::Unavailable, trouble)) } else { Ok(()) }
    }

    /// Prints what changed of what the processes do.
    fn tell(&mut self, teller: &mut Teller<'_>) -> Result<(), Fault> {
        let Ok(status) = self.status() else { return Ok(()) };
        for word in status.get("processes").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| word.get(name).and_then(Value::as_str).unwrap_or_default();
            let role = text("role");
            let what = if text("trouble").is_empty() {
                text("doing").to_owned()
            } else {
                format!("TROUBLE: {}", text("trouble"))
            };
            // What they say between two pieces of work tells nothing.
            let idle = ["looking for", "starting", "has not said"].iter().any(|w| what.starts_with(w));
            if !TOLD.contains(&role) || idle || self.last.get(role) == Some(&what) {
                continue;
            }
            teller.does(format!("{role}: {what}"))?;
            self.last.insert(role.to_owned(), what);
        }
        Ok(())
    }

    fn waits(&self) -> Vec<String> {
        let Ok(status) = self.status() else { return vec!["front does not answer".to_owned()] };
        let mut waits = Vec::new();
        for word in status.get("processes").and_then(Value::as_array).into_iter().flatten() {
            let role = word.get("role").and_then(Value::as_str).unwrap_or("?");
            let trouble = word.get("trouble").and_then(Value::as_str).map(|t| format!("{role}: {t}"));
            waits.extend(trouble);
            for wait in word.get("waits").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
                waits.push(format!("{role} waits for {wait}"));
            }
        }
        waits
    }
}
