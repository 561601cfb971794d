//! `countersign versions`: every version that runs, where it is reached, and who keeps it.
//!
//! What runs this moment is the agent's word, and who its clients are the edge's; both are shown as that. It writes nothing.

use std::io::Write;

use hyper::Method;
use model::{EnvironmentName, Serial, SystemName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Flags, Format, line, people, print_json};
use crate::{
    fault::{Because as _, Fault, Kind},
    http::ANSWER_TIMEOUT,
};

/// List the versions that run side by side, and who uses each
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `system/environment`, a system, or nothing for all
    what: Option<String>,
}

/// One version, as the agent tells it. What is added to it later is let through.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) serial: Serial,
    pub(super) release: model::Digest,
    pub(super) kind: String,
    pub(super) why: String,
    #[serde(default)]
    pub(super) since: Option<Timestamp>,
    #[serde(default)]
    pub(super) addresses: Vec<Address>,
    #[serde(default)]
    zones: Vec<String>,
    requests: u64,
    errors: u64,
    #[serde(default)]
    cut_sessions: u64,
    connections: u64,
    sessions: u64,
    clients: u64,
    #[serde(default)]
    last_seen: Option<Timestamp>,
    #[serde(default)]
    leases: Vec<Value>,
    /// Who or what would keep it if people retired it now.
    #[serde(default)]
    pub(super) held_by: Vec<String>,
    #[serde(default)]
    client_s: Option<u32>,
    #[serde(default)]
    most: Option<u32>,
}

/// Where a version is reached.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Address {
    component: String,
    pub(super) name: String,
}

/// The versions of one system in one environment.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    pub(super) system: SystemName,
    pub(super) environment: EnvironmentName,
    pub(super) versions: Vec<Row>,
}

/// Clients of a version that are listed; `--format json` has all that the edge named.
const CLIENTS_SHOWN: usize = 8;

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut places = places(common)?;
    if let Some(what) = &args.what {
        let (system, environment) = what.split_once('/').map_or((what.as_str(), None), |(s, e)| (s, Some(e)));
        let fits = |p: &Place| p.system.as_str() == system && environment.is_none_or(|e| p.environment.as_str() == e);
        let known: Vec<String> = places.iter().map(|p| format!("{}/{}", p.system, p.environment)).collect();
        places.retain(fits);
        if places.is_empty() {
            return Err(Fault::new(Kind::Usage, format!("nothing is known of `{what}`"))
                .hint(format!("the agent looks after {}", known.join(", "))));
        }
    }
    if common.format == Format::Json {
        return print_json(out, &json!({ "places": places }));
    }
    for place in &places {
        line(out, format!("{} in {}", place.system, place.environment))?;
        if place.versions.is_empty() {
            line(out, "  nothing runs")?;
        }
        for row in &place.versions {
            write(row, out)?;
        }
        if let Some(most) = place.versions.iter().find_map(|row| row.most) {
            line(out, format!("  {} of at most {most} versions", place.versions.len()))?;
        }
    }
    Ok(())
}

fn write(row: &Row, out: &mut dyn Write) -> Result<(), Fault> {
    let since = row.since.map(|since| format!(", since {since}")).unwrap_or_default();
    line(out, format!("  {} ({}{since}), zones {}", row.serial, row.kind, row.zones.join(", ")))?;
    for address in &row.addresses {
        line(out, format!("    {} at {}", address.component, address.name))?;
    }
    let seen = row.last_seen.map_or_else(|| "nobody seen yet".to_owned(), |seen| format!("last seen {seen}"));
    line(
        out,
        format!(
            "    {} requests, {} failed; {} clients, {} connections, {} sessions, {} leases; {seen}",
            row.requests,
            row.errors,
            row.clients,
            row.connections,
            row.sessions,
            row.leases.len()
        ),
    )?;
    if row.cut_sessions > 0 {
        line(out, format!("    {} sessions were CUT when their time was over", row.cut_sessions))?;
    }
    for hold in row.held_by.iter().take(CLIENTS_SHOWN) {
        line(out, format!("    kept by {hold}"))?;
    }
    if row.held_by.len() > CLIENTS_SHOWN {
        line(out, format!("    and {} more; `--format json` has them", row.held_by.len() - CLIENTS_SHOWN))?;
    }
    line(out, format!("    {}", row.why))
}

/// What the agent tells of every place.
pub(super) fn places(common: &Flags) -> Result<Vec<Place>, Fault> {
    let answer = common.front()?.ask_blocking(Method::GET, "/api/status", Vec::new(), ANSWER_TIMEOUT)?;
    let status: Value =
        serde_json::from_slice(&answer.body).because(Kind::Unavailable, "front's answer is not JSON")?;
    let agent = status.get("agent").and_then(Value::as_object).ok_or_else(|| {
        Fault::new(Kind::Unavailable, "the agent does not say what runs")
            .hint("`countersign status` shows whether it runs")
    })?;
    let mut places = Vec::new();
    for value in agent.values() {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let (Some(system), Some(environment)) = (text("system"), text("environment")) else { continue };
        let versions = value.get("versions").cloned().unwrap_or(Value::Array(Vec::new()));
        places.push(Place {
            system: system.parse().because(Kind::Unavailable, "the agent's answer can not be read")?,
            environment: environment.parse().because(Kind::Unavailable, "the agent's answer can not be read")?,
            versions: serde_json::from_value(versions)
                .because(Kind::Unavailable, "the agent's answer can not be read")?,
        });
    }
    Ok(places)
}

/// The version that a host name stands for: by the agent's word, or by the name's own form where the agent is away.
pub(super) fn of_host(common: &Flags, text: &str) -> Result<Option<Serial>, Fault> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let host = rest.split('/').next().unwrap_or_default();
    let bare = |name: &str| {
        let name = name.rsplit_once(':').map_or(name, |(host, _)| host);
        name.trim_end_matches('.').to_ascii_lowercase()
    };
    let wanted = bare(host);
    let is_name = wanted.contains('.') && wanted.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[');
    if !is_name {
        return Ok(None);
    }
    let own: Option<Serial> = wanted.split('.').next().and_then(|label| label.parse().ok());
    let Ok(places) = places(common) else { return Ok(own) };
    let latest = wanted.strip_prefix("latest.").unwrap_or(&wanted);
    for row in places.iter().flat_map(|p| &p.versions) {
        if row.addresses.iter().any(|a| bare(&a.name) == wanted) {
            return Ok(Some(row.serial.clone()));
        }
        let own_name = format!("{}.{latest}", row.serial);
        if row.kind == "latest" && row.addresses.iter().any(|a| bare(&a.name) == own_name) {
            return Ok(Some(row.serial.clone()));
        }
    }
    let hint = match own {
        Some(serial) => format!(
            "`countersign trace {serial}` traces the version that it is called after; `countersign versions` lists names"
        ),
        None => "`countersign versions` lists the names".to_owned(),
    };
    Err(Fault::new(Kind::Usage, format!("no version that runs has the name `{wanted}`")).hint(hint))
}

/// Where a version runs beside the latest one.
pub(super) fn beside(
    common: &Flags,
    serial: &Serial,
    environment: Option<&EnvironmentName>,
) -> Result<(Place, Row), Fault> {
    let mut found = Vec::new();
    let mut latest = None;
    for mut place in places(common)? {
        if environment.is_some_and(|e| *e != place.environment) {
            continue;
        }
        if let Some(at) = place.versions.iter().position(|row| row.serial == *serial) {
            let row = place.versions.swap_remove(at);
            if row.kind == "beside" {
                found.push((place, row));
            } else {
                latest = Some((place, row));
            }
        }
    }
    match (found.len(), found.pop(), latest) {
        (1, Some(found), _) => Ok(found),
        (0, _, Some((place, row))) => Err(Fault::new(
            Kind::Refused,
            format!("{serial} is no version beside another in {}: {}", place.environment, row.why),
        )
        .hint("a release replaces the latest version, `countersign rollback` goes back from it")),
        (0, ..) => {
            Err(Fault::new(Kind::Refused, format!("{serial} does not run"))
                .hint("`countersign versions` lists what runs"))
        }
        _ => Err(Fault::new(Kind::Usage, format!("{serial} runs in several environments")).hint("add `--environment`")),
    }
}

/// The environment that a verb is about, checked against the charter.
pub(super) fn known(
    members: &ledger::statement::Members,
    name: Option<&EnvironmentName>,
) -> Result<Option<EnvironmentName>, Fault> {
    name.map(|name| people::environment(members, Some(name))).transpose()
}

#[cfg(test)]
mod tests;
