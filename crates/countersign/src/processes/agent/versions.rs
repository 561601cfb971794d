//! What the agent tells of each version that runs: where it is reached, who holds it, and when it goes.
//!
//! It writes nothing, and chooses nothing: the rules are `rollout`'s.

use model::{
    release::Component,
    route::{Clients, EdgeCounts},
};
use rollout::{
    Plan, Progress, Version,
    beside::{Hold, Standing, holds, rules},
    progress::State,
};
use serde_json::{Value, json};

/// One row a version, the latest first, then the others from new to old.
pub(super) fn rows(
    progress: &Progress,
    clients: Option<&Clients>,
    counts: &EdgeCounts,
    last: Option<&Plan>,
) -> Vec<Value> {
    let mut rows = Vec::new();
    if let Some(version) = progress.current() {
        let mut row = row(progress, version, clients, counts);
        add(&mut row, "kind", json!("latest"));
        add(&mut row, "since", json!(progress.live_since));
        add(&mut row, "why", json!("it is the latest version"));
        rows.push(row);
    }
    if let State::Forward { transition, .. } | State::Back { transition, .. } = &progress.state {
        let mut row = row(progress, &transition.to, clients, counts);
        add(&mut row, "kind", json!("on its way"));
        add(&mut row, "why", json!("a rollout decides whether it stays"));
        rows.push(row);
    }
    let refused = last.and_then(|plan| plan.outcome.as_ref()).map(ToString::to_string);
    for beside in progress.beside.iter().rev() {
        let version = &beside.version;
        let mut row = row(progress, version, clients, counts);
        let words = match &beside.standing {
            Standing::Returning => "it is being started again".to_owned(),
            Standing::Closing { .. } => "nobody uses it; it is about to be retired".to_owned(),
            Standing::Leaving { .. } => "it is being stopped".to_owned(),
            Standing::Runs => why(progress, version, clients, counts),
        };
        add(&mut row, "kind", json!("beside"));
        add(&mut row, "since", json!(beside.since));
        add(&mut row, "why", json!(words));
        rows.push(row);
    }
    if let (Some(refused), Some(first)) = (refused, rows.first_mut()) {
        add(first, "outcome", json!(refused));
    }
    rows
}

fn add(row: &mut Value, key: &str, value: Value) {
    if let Some(map) = row.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

fn row(progress: &Progress, version: &Version, clients: Option<&Clients>, counts: &EdgeCounts) -> Value {
    let serial = version.serial();
    let environment = version.release.environment(&progress.environment);
    let rules = rules(version, &progress.environment);
    let sum = |of: fn(&model::route::VersionCounts) -> u64| {
        counts.versions.iter().filter(|c| c.serial == *serial).fold(0, |sum: u64, c| sum.saturating_add(of(c)))
    };
    let known: Vec<_> = clients.iter().flat_map(|c| &c.versions).filter(|c| c.serial == *serial).collect();
    let total =
        |of: fn(&model::route::VersionClients) -> u64| known.iter().fold(0, |sum: u64, c| sum.saturating_add(of(c)));
    let channels = progress.channels.iter().filter(|(_, owner)| **owner == version.digest);
    let channels: Vec<_> = channels.map(|(channel, _)| channel).collect();
    let mut addresses = Vec::new();
    for (component, listen) in environment.into_iter().flat_map(|e| &e.expose) {
        let port = listen.port();
        let names = rules.into_iter().flat_map(|r| {
            let own = std::iter::once(r.name_of(serial));
            own.chain(channels.iter().map(|c| r.name_of_channel(c)))
        });
        for name in names {
            addresses.push(json!({ "component": component, "name": format!("{name}:{port}") }));
        }
        if progress.current().is_some_and(|v| v.digest == version.digest) {
            addresses.push(json!({ "component": component, "name": listen.to_string() }));
        }
    }
    let zones: std::collections::BTreeSet<_> = version.release.components.iter().map(|c: &Component| &c.zone).collect();
    // Who remains if people retire it, which is what they ask.
    let remains = rules.map(|r| holds(serial, r, u64::from(r.client_s), clients, counts)).unwrap_or_default();
    let cut = counts.cut.iter().filter(|c| c.serial == *serial).fold(0, |sum: u64, c| sum.saturating_add(c.sessions));
    json!({
        "serial": serial, "release": version.digest, "generation": version.generation, "addresses": addresses,
        "channels": channels, "zones": zones,
        "requests": sum(|c| c.requests), "errors": sum(|c| c.errors), "in_flight": sum(|c| c.in_flight), "cut_sessions": cut,
        "connections": total(|c| c.connections), "sessions": total(|c| c.sessions), "clients": total(|c| c.clients),
        "last_seen": known.iter().filter_map(|c| c.last_seen).max(),
        "leases": known.iter().flat_map(|c| &c.leases).collect::<Vec<_>>(),
        "held_by": remains.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "holds": remains,
        "client_s": rules.map(|r| r.client_s), "retire_after_s": rules.and_then(|r| r.retire_after_s), "most": rules.map(|r| r.most),
    })
}

/// Why it still runs, and when it goes by itself.
fn why(progress: &Progress, version: &Version, clients: Option<&Clients>, counts: &EdgeCounts) -> String {
    let Some(rules) = rules(version, &progress.environment) else {
        return "its release does not say how long".to_owned();
    };
    let Some(after) = rules.retire_after_s else {
        return "people retire it: `countersign retire`".to_owned();
    };
    let by_itself = holds(version.serial(), rules, u64::from(after), clients, counts);
    let until = by_itself.iter().filter_map(|hold| match hold {
        Hold::Unknown { until, .. }
        | Hold::Client { until, connections: 0, .. }
        | Hold::Somebody { until, .. }
        | Hold::Lease { until, .. } => Some(*until),
        _ => None,
    });
    let open = by_itself.iter().any(|hold| matches!(hold, Hold::InFlight { .. } | Hold::Open { .. } | Hold::NotAsked));
    match (open, until.max()) {
        (true, _) => format!("clients are there; it retires by itself {after} s after the last of them"),
        (false, Some(until)) => format!("it retires by itself at {until} if nobody comes"),
        (false, None) => "it retires by itself now".to_owned(),
    }
}
