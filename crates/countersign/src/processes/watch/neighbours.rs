//! The other processes of this host: whether each lives, what the agent says of what it sees, and what the log's door
//! has turned away.
//!
//! A thread asks the agent, so that one that hangs keeps nobody waiting. Nothing is written: after a crash everything is
//! asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gate::alarms::Condition;
use hyper::Method;
use ledger::statement::v1::{AlarmAbout, AlarmKind};
use model::{Clock as _, ComponentName, EnvironmentName, Serial, SystemName};
use rollout::instance::EDGE_ADDRESS_SUFFIX;
use serde::Deserialize;
use serde_json::Value;

use super::{board::Observed, neighbours_of};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    layout::Layout,
    processes::{Start, gate::sentinel::silent},
    status::{Status, heartbeat::Pulse},
};

/// How often the agent is asked.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// How long it has to answer; its heartbeat tells sooner or later that it is gone.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer that is older tells nothing of now.
const ANSWER_LIFE: Duration = Duration::from_secs(5);
/// The loops of these processes come round within seconds; one whose word is older hangs, though it lives.
const LOOPS: [RoleUser; 3] = [RoleUser::Gate, RoleUser::Agent, RoleUser::Edge];
/// Longer than any one step of theirs: a stop of a component, or the answer of a log that is slow.
const HUNG_S: u64 = 120;

/// One system in one environment, as the agent sees it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Placement {
    pub(super) system: SystemName,
    pub(super) environment: EnvironmentName,
    #[serde(default)]
    pub(super) moves: bool,
    #[serde(default)]
    pub(super) instances: Vec<Instance>,
}

/// An instance, as the agent sees it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Instance {
    pub(super) component: ComponentName,
    pub(super) serial: Serial,
    pub(super) address: SocketAddr,
    #[serde(default)]
    state: Value,
}

/// What the agent says beside its placements.
#[derive(Clone, Debug, Default, Deserialize)]
struct Stops {
    #[serde(default)]
    overdue: Vec<String>,
    distrust: Option<String>,
    /// Why its executor can not be used.
    executor: Option<String>,
}

/// A flow that was denied within the last hour.
#[derive(Clone, Debug, Deserialize)]
struct Denied {
    from: Ipv4Addr,
    to: SocketAddr,
    packets: u64,
}

type Answer = Arc<Mutex<Option<(Instant, BTreeMap<String, Value>)>>>;

/// What is known of the other processes.
pub(super) struct Neighbours {
    layout: Layout,
    pulses: Vec<(RoleUser, Condition, Pulse)>,
    agent: Answer,
    process: AlarmAbout,
}

impl Neighbours {
    /// Begins to look.
    pub(super) fn start(start: &Start) -> Result<Self, Fault> {
        let mut pulses = Vec::new();
        for role in neighbours_of(start) {
            pulses.push((role, silent(role, start)?, Pulse::new(start.layout.heartbeat(role))));
        }
        let agent = Answer::default();
        let (socket, answer) = (start.layout.socket(RoleUser::Agent), agent.clone());
        std::thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || ask_for_ever(&Target::Unix(socket), &answer))
            .because(Kind::Unavailable, "no thread to ask the agent from")?;
        let process = silent(RoleUser::Agent, start)?.about;
        Ok(Self { layout: start.layout.clone(), pulses, agent, process })
    }

    /// Calls for alarms of what is wrong with them; gives what the agent sees, if it answers.
    pub(super) fn look(&mut self, observed: &mut Observed) -> Vec<Placement> {
        for (role, condition, pulse) in &mut self.pulses {
            if pulse.is_silent() {
                let words = format!("{role} gives no sign of life for {} s", pulse.silent_for().as_secs());
                observed.call(condition.clone(), words);
            } else if !pulse.is_settled() {
                observed.unsure(AlarmKind::HeartbeatMissed);
            } else if LOOPS.contains(role)
                && let Some(age_s) = word_age_s(&self.layout, *role).filter(|age_s| *age_s > HUNG_S)
            {
                observed.call(condition.clone(), format!("{role} lives and has done nothing for {age_s} s"));
            }
        }
        let answer = self.agent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((_, state)) = answer.filter(|(at, _)| at.elapsed() < ANSWER_LIFE) else {
            for kind in [AlarmKind::Drift, AlarmKind::StopNotLogged, AlarmKind::FlowDenied] {
                observed.unsure(kind);
            }
            return Vec::new();
        };
        judge(&state, &self.process, observed)
    }
}

/// How old the last word of a process is, by its own file.
fn word_age_s(layout: &Layout, role: RoleUser) -> Option<u64> {
    let bytes = std::fs::read(layout.status(role)).ok()?;
    let word: Status = serde_json::from_slice(&bytes).ok()?;
    Some(SystemClock.now().since_s(word.at))
}

/// What the agent's answer calls for.
fn judge(state: &BTreeMap<String, Value>, agent: &AlarmAbout, observed: &mut Observed) -> Vec<Placement> {
    fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Option<T> {
        serde_json::from_value(value.clone()).ok()
    }
    let placements: Vec<Placement> = state.values().filter_map(read::<Placement>).collect();
    let stops: Stops = state.get("stops").and_then(read).unwrap_or_default();
    if let Some(first) = stops.overdue.first() {
        let condition = Condition::of(AlarmKind::StopNotLogged, agent.clone());
        let more = stops.overdue.len().saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        observed.call(condition, format!("{}{more}", first.trim_start_matches("ALARM: ")));
    }
    if let Some(why) = stops.executor {
        observed.call(Condition::of(AlarmKind::HeartbeatMissed, agent.clone()), why);
    }
    if let Some(why) = stops.distrust {
        observed
            .call(Condition::of(AlarmKind::Fork, agent.clone()), format!("the agent does not believe the log: {why}"));
    }
    let mut whose: BTreeMap<Ipv4Addr, (&Placement, &ComponentName)> = BTreeMap::new();
    for placement in &placements {
        for instance in &placement.instances {
            if let SocketAddr::V4(address) = instance.address {
                whose.insert(*address.ip(), (placement, &instance.component));
            }
            if let Some(what) = instance.state.pointer("/drifted/what").and_then(Value::as_str) {
                let condition = of_component(AlarmKind::Drift, placement, &instance.component);
                observed.call(condition, format!("{} is not what was started: {what}", instance.component));
            }
        }
    }
    let denied: Vec<Denied> = state.get("denied").and_then(|d| d.get("flows")).and_then(read).unwrap_or_default();
    let mut tried: BTreeMap<Ipv4Addr, BTreeSet<String>> = BTreeMap::new();
    // The edge and the health checks reach for instances that are just gone.
    for flow in denied.iter().filter(|flow| !is_infrastructure(flow.from)) {
        tried.entry(flow.from).or_default().insert(format!("{} ({} packets)", flow.to, flow.packets));
    }
    for (from, to) in tried {
        // What is no component any more is told as an address: it may have been one that was retired since.
        let to: Vec<String> = to.into_iter().collect();
        match whose.get(&from) {
            Some((placement, component)) => {
                let condition = of_component(AlarmKind::FlowDenied, placement, component);
                observed
                    .call(condition, format!("{component} tried to reach {}, which no release allows", to.join(", ")));
            }
            None => {
                let words = format!("{from} tried to reach {}, which no release allows", to.join(", "));
                observed.call(Condition::of(AlarmKind::FlowDenied, AlarmAbout::default()), words);
            }
        }
    }
    placements
}

/// Whether an address is of the fabric itself: of the edge, of health checks, of the uplink.
const fn is_infrastructure(address: Ipv4Addr) -> bool {
    let ([_, _, zone, _], [reserved, _]) = (address.octets(), EDGE_ADDRESS_SUFFIX);
    zone == reserved
}

fn of_component(what: AlarmKind, placement: &Placement, component: &ComponentName) -> Condition {
    let about = AlarmAbout { component: Some(component.clone()), ..AlarmAbout::default() };
    Condition::of(what, about).within(&placement.system, &placement.environment)
}

fn ask_for_ever(agent: &Target, answer: &Answer) {
    loop {
        let asked = agent.ask_blocking(Method::GET, "/state", Vec::new(), ASK_TIMEOUT).ok();
        let state = asked.filter(|a| a.status.is_success()).and_then(|a| serde_json::from_slice(&a.body).ok());
        if let Some(state) = state {
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), state));
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

#[cfg(test)]
mod tests;
