//! The filter of a fabric: default-deny, one set of allowed flows, and a count of what was denied.
//!
//! Each change is one transaction of nftables: no packet meets half of a table. Only addresses and ports go in,
//! never names, so nothing has to be quoted.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    command::{self, COMMAND_TIMEOUT, Tools},
    namespace,
};
use crate::driver::{Doing as _, DriverError};

/// An allowed flow: who may open TCP connections to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) port: u16,
}

/// What the filter of a fabric has denied since the fabric was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// Packets, in all.
    pub packets: u64,
    /// The flows of the last hour, at most 1,024 of them.
    pub flows: Vec<DeniedFlow>,
}

/// One denied flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeniedFlow {
    /// Who sent.
    pub from: Ipv4Addr,
    /// To which address and port.
    pub to: SocketAddr,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Packets of it.
    pub packets: u64,
}

/// The table. `denials` forgets after an hour and is bounded, so that a scan fills no memory.
const TABLE: &str = "\
add table inet countersign
add counter inet countersign denied
add set inet countersign flows { type ipv4_addr . ipv4_addr . inet_proto . inet_service ; }
add set inet countersign denials { type ipv4_addr . ipv4_addr . inet_proto . inet_service ; size 1024 ; flags dynamic,timeout ; timeout 1h ; }
add chain inet countersign deny
add chain inet countersign input { type filter hook input priority 0 ; policy drop ; }
add chain inet countersign forward { type filter hook forward priority 0 ; policy drop ; }
flush chain inet countersign deny
flush chain inet countersign input
flush chain inet countersign forward
add rule inet countersign deny meta l4proto { tcp, udp } update @denials { ip saddr . ip daddr . meta l4proto . th dport counter }
add rule inet countersign deny counter name denied drop
add rule inet countersign input goto deny
add rule inet countersign forward ct state vmap { established : accept, related : accept, invalid : goto deny }
add rule inet countersign forward ip saddr . ip daddr . meta l4proto . th dport @flows accept
add rule inet countersign forward goto deny
";

/// Elements written in one line; the line stays well under what `nft` reads at once.
const LINE_LIMIT: usize = 256;

/// Puts the table there; flows, counts and connections that are there stay.
pub(crate) fn ensure(tools: &Tools, fabric: &str) -> Result<(), DriverError> {
    nft(tools, fabric, &["-f", "-"], TABLE).map(|_| ())
}

/// Puts exactly these flows in force.
pub(crate) fn apply(tools: &Tools, fabric: &str, rules: &BTreeSet<Rule>) -> Result<(), DriverError> {
    let mut script = String::from("flush set inet countersign flows\n");
    let all: Vec<String> =
        rules.iter().map(|rule| format!("{} . {} . tcp . {}", rule.from, rule.to, rule.port)).collect();
    for part in all.chunks(LINE_LIMIT) {
        script.push_str(&format!("add element inet countersign flows {{ {} }}\n", part.join(", ")));
    }
    nft(tools, fabric, &["-f", "-"], &script).map(|_| ())
}

/// Reads what was denied.
pub(crate) fn denied(tools: &Tools, fabric: &str) -> Result<Denied, DriverError> {
    let listed = nft(tools, fabric, &["-j", "list", "table", "inet", "countersign"], "")?;
    let value: Value = serde_json::from_slice(&listed).doing(|| "what `nft` printed is not JSON".to_owned())?;
    let mut denied = Denied::default();
    for object in value.pointer("/nftables").and_then(Value::as_array).into_iter().flatten() {
        if object.pointer("/counter/name").and_then(Value::as_str) == Some("denied") {
            denied.packets = object.pointer("/counter/packets").and_then(Value::as_u64).unwrap_or_default();
        }
        if object.pointer("/set/name").and_then(Value::as_str) == Some("denials") {
            denied.flows =
                object.pointer("/set/elem").and_then(Value::as_array).into_iter().flatten().filter_map(flow).collect();
        }
    }
    denied.flows.sort_unstable();
    Ok(denied)
}

/// `{"elem": {"val": {"concat": ["10.1.1.2", "10.1.2.2", "tcp", 80]}, "counter": {"packets": 1, …}, …}}`
fn flow(element: &Value) -> Option<DeniedFlow> {
    let parts = element.pointer("/elem/val/concat")?.as_array()?;
    let text = |index: usize| parts.get(index).and_then(Value::as_str);
    let to: Ipv4Addr = text(1)?.parse().ok()?;
    let port = u16::try_from(parts.get(3)?.as_u64()?).ok()?;
    Some(DeniedFlow {
        from: text(0)?.parse().ok()?,
        to: SocketAddr::from((to, port)),
        protocol: text(2)?.to_owned(),
        packets: element.pointer("/elem/counter/packets").and_then(Value::as_u64).unwrap_or_default(),
    })
}

fn nft(tools: &Tools, fabric: &str, arguments: &[&str], script: &str) -> Result<Vec<u8>, DriverError> {
    namespace::inside(fabric, || Ok(command::run(&tools.nft, arguments, script.as_bytes(), COMMAND_TIMEOUT)?))
}
