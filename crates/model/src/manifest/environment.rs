//! Reading environments: how a release is put into each, and what is stricter there than in the charter.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use crate::{
    ComponentName, EnvironmentName,
    release::{Newer, Strategy, Surge},
    route::Protocol,
};

use super::{
    analysis,
    diagnostic::quoted,
    findings::Findings,
    limits, surge,
    types::Environment,
    versions,
    walk::{Field, Section},
};

const KEYS: &[&str] = &[
    "strategy",
    "expose",
    "watch_s",
    "error_limit_percent",
    "error_min_requests",
    "drain_s",
    "hold_ms",
    "approvals",
    "after",
    "soak_s",
    "analysis",
    "versions",
    "surge",
    "newer",
];

/// `[environments.*]`
pub(super) fn environments(root: &Section<'_>, findings: &mut Findings<'_>) -> BTreeMap<EnvironmentName, Environment> {
    let Some(field) = root.optional("environments") else {
        return BTreeMap::new();
    };
    let entries = field.entries(limits::ENTRIES, findings);
    entries.iter().filter_map(|entry| environment(entry, findings)).map(|e| (e.name.clone(), e)).collect()
}

fn environment(entry: &Field<'_>, findings: &mut Findings<'_>) -> Option<Environment> {
    let name = entry.named(findings);
    let section = entry.section(findings)?;
    section.only(KEYS, "an environment", findings);
    let strategies = [("blue-green", Strategy::BlueGreen), ("canary", Strategy::Canary)];
    let strategy = section
        .required("strategy", "strategy = \"blue-green\"", findings)
        .and_then(|f| f.one_of(&strategies, findings));
    let (expose, tcp) = section.optional("expose").map(|f| exposed(&f, findings)).unwrap_or_default();
    let error_limit = section.optional("error_limit_percent");
    let error_limit_bp =
        error_limit.as_ref().and_then(|f| f.percent_bp(findings)).unwrap_or(limits::ERROR_LIMIT_BP_DEFAULT);
    if let Some(field) = error_limit.filter(|_| error_limit_bp == 10_000) {
        findings.error(
            field.place(),
            "at 100 percent no number of failures is too many",
            "write the share of failed requests at which to go back, as in `1.0`",
        );
    }
    let mut number = |key: &str, range, unit, default| {
        section.optional(key).and_then(|f| f.whole(&range, unit, findings)).unwrap_or(default)
    };
    let watch_s = number("watch_s", limits::WATCH_S, "in seconds", limits::WATCH_S_DEFAULT);
    let error_min_requests = number(
        "error_min_requests",
        limits::ERROR_MIN_REQUESTS,
        "a number of requests",
        limits::ERROR_MIN_REQUESTS_DEFAULT,
    );
    let drain_s = number("drain_s", limits::DRAIN_S, "in seconds", limits::DRAIN_S_DEFAULT);
    let hold_ms = number("hold_ms", limits::HOLD_MS, "in milliseconds", limits::HOLD_MS_DEFAULT);
    let soak_s = number("soak_s", limits::SOAK_S, "in seconds", 0);
    let approvals = section
        .optional("approvals")
        .and_then(|f| f.whole(&limits::APPROVALS, "a number of persons in all, more than the charter's", findings));
    let after = section.optional("after").and_then(|f| f.parsed::<EnvironmentName>(findings));
    if let (None, Some(field)) = (section.optional("after"), section.optional("soak_s")) {
        findings.error(
            field.key_place(),
            "`soak_s` says how long, but not in which environment",
            "add `after = \"staging\"`",
        );
    }
    let analysis = section.optional("analysis");
    let analysis = match (strategy, analysis) {
        (Some(strategy), Some(field)) => analysis::read(&field, strategy, findings),
        (Some(Strategy::Canary), None) => {
            findings.error(
                section.place(),
                "a canary needs the shares of clients that get the new version, step by step",
                "add `analysis = { steps = [5, 25, 50] }`",
            );
            None
        }
        _ => None,
    };
    let versions = section.optional("versions").and_then(|f| versions::read(&f, findings));
    let surge = section.optional("surge").map(|f| surges(&f, &expose, &tcp, findings)).unwrap_or_default();
    let words = [("usual", Newer::Usual), ("waits", Newer::Waits), ("replaces", Newer::Replaces)];
    let newer = section.optional("newer").map_or(Some(Newer::Usual), |f| f.one_of(&words, findings));
    Some(Environment {
        name: name?,
        strategy: strategy?,
        expose,
        watch_s,
        error_limit_bp,
        error_min_requests,
        drain_s,
        hold_ms,
        approvals,
        after,
        soak_s,
        analysis,
        versions,
        tcp,
        surge,
        newer: newer?,
    })
}

/// What is done in a surge, for components that clients reach.
fn surges(
    field: &Field<'_>,
    expose: &BTreeMap<ComponentName, SocketAddr>,
    tcp: &BTreeSet<ComponentName>,
    findings: &mut Findings<'_>,
) -> BTreeMap<ComponentName, Surge> {
    let read = surge::read(field, findings);
    for (component, surge) in &read {
        if !expose.contains_key(component) {
            findings.error(
                field.place(),
                format!("`{component}` is not exposed here, so the edge has no requests of clients to it"),
                format!("add it to `expose`, or remove `surge.{component}`"),
            );
        }
        if tcp.contains(component) && (!surge.classes.is_empty() || surge.client.is_some() || surge.total.is_some()) {
            findings.error(
                field.place(),
                format!("clients of `{component}` speak plain TCP, in which the edge sees no requests"),
                "keep `client_connections` and `connections`, and leave out `classes`, `client` and `total`",
            );
        }
    }
    read
}

/// Where each component is exposed, and which of them are spoken to over plain TCP.
type Exposed = (BTreeMap<ComponentName, SocketAddr>, BTreeSet<ComponentName>);

fn exposed(field: &Field<'_>, findings: &mut Findings<'_>) -> Exposed {
    let mut exposed: BTreeMap<ComponentName, SocketAddr> = BTreeMap::new();
    let mut tcp = BTreeSet::new();
    for entry in field.entries(limits::ENTRIES, findings) {
        let component = entry.named::<ComponentName>(findings);
        let Some((address, protocol)) = listener(&entry, findings) else {
            continue;
        };
        let Some(component) = component else { continue };
        if protocol == Protocol::Tcp {
            tcp.insert(component.clone());
        }
        if let Some((other, _)) = exposed.iter().find(|(_, a)| collide(a, &address)) {
            findings.error(
                entry.place(),
                format!("{address} is where `{other}` is exposed already"),
                "give each component an address and port of its own",
            );
        }
        exposed.insert(component, address);
    }
    (exposed, tcp)
}

/// `"0.0.0.0:8088"`, or `{ listen = "0.0.0.0:9878", protocol = "tcp" }`.
fn listener(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<(SocketAddr, Protocol)> {
    if field.is_text() {
        return address(field, findings).map(|address| (address, Protocol::Http));
    }
    let section = field.section(findings)?;
    section.only(&["listen", "protocol"], "where a component is exposed", findings);
    let words = [("http", Protocol::Http), ("tcp", Protocol::Tcp)];
    let protocol = section.optional("protocol").map_or(Some(Protocol::Http), |f| f.one_of(&words, findings));
    let listen = section.required("listen", "listen = \"0.0.0.0:9878\"", findings);
    Some((address(&listen?, findings)?, protocol?))
}

fn address(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<SocketAddr> {
    let text = field.line(findings)?;
    let example = "write an address and a port, as in `127.0.0.1:8088`, or `0.0.0.0:8088` for all interfaces";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            findings.error(
                field.place(),
                format!("{} has port 0, which is another at each start", quoted(text)),
                example,
            );
            None
        }
        Ok(address) if address.ip().is_multicast() => {
            findings.error(
                field.place(),
                format!("{} is a multicast address, where no one can listen for TCP", quoted(text)),
                example,
            );
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            let hint = if text.starts_with("localhost:") {
                "write `127.0.0.1` instead of `localhost`: a name can stand for other addresses tomorrow"
            } else {
                example
            };
            findings.error(field.place(), format!("{} is not an address to listen on", quoted(text)), hint);
            None
        }
    }
}

/// Whether one address takes the other's connections: same port, and same address or one of them all addresses.
pub(super) fn collide(a: &SocketAddr, b: &SocketAddr) -> bool {
    let all = |ip: IpAddr| ip.is_unspecified();
    a.port() == b.port() && (a.ip() == b.ip() || all(a.ip()) || all(b.ip()))
}
