//! The fabric of a scope: one network namespace with a bridge a zone, a veth an instance, and an uplink to the host.
//!
//! An instance has its address alone (`/32`) and the fabric as its gateway, and bridge ports are isolated from
//! each other, so that every packet between two instances passes the filter, also within a zone. The fabric
//! itself has no way out: what goes elsewhere is sent to a bridge without ports, and counted as denied first.
//!
//! Everything here is made if it is not there and left if it is, so a crash is repaired by the next call.

use std::{collections::BTreeSet, net::Ipv4Addr, path::PathBuf};

use rollout::instance::edge_address;
use serde::{Deserialize, Serialize};

use super::{
    command::{self, COMMAND_TIMEOUT, Tools},
    filter, namespace,
};
use crate::driver::{DriverError, failed};

/// The place of an instance in the fabric: `A.B.zone.host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) zone: u8,
    pub(crate) host: u8,
}

/// The zone of clients that belong to no component (of the tester's suites).
pub(crate) const CLIENT_ZONE: u8 = 254;
/// Zones of components; 0 is left out because people read it as the network itself.
pub(crate) const ZONES: std::ops::RangeInclusive<u8> = 1..=250;
/// Hosts of a zone; 1 is its gateway.
pub(crate) const HOSTS: std::ops::RangeInclusive<u8> = 2..=254;
/// The last two bytes of the fabric's own end of the uplink.
const UPLINK_INSIDE: [u8; 2] = [255, 2];
/// The last two bytes of the address that health checks come from, so that the filter can tell them from the edge.
const HEALTH_SUFFIX: [u8; 2] = [255, 3];

/// A fabric.
#[derive(Clone, Debug)]
pub(crate) struct Fabric {
    pub(crate) scope: String,
    pub(crate) prefix: [u8; 2],
    pub(crate) tools: Tools,
}

impl Fabric {
    /// The name of its namespace.
    pub(crate) fn name(&self) -> String {
        format!("csn-{}", self.scope)
    }

    /// The name of the namespace of an instance.
    pub(crate) fn instance_name(&self, slot: Slot) -> String {
        format!("csn-{}.{}.{}", self.scope, slot.zone, slot.host)
    }

    /// The host's end of the uplink.
    fn uplink(&self) -> String {
        let [a, b] = self.prefix;
        format!("cs{a}.{b}")
    }

    pub(crate) fn address(&self, slot: Slot) -> Ipv4Addr {
        self.at([slot.zone, slot.host])
    }

    pub(crate) fn health_address(&self) -> Ipv4Addr {
        health_address(self.prefix)
    }

    fn at(&self, suffix: [u8; 2]) -> Ipv4Addr {
        let ([a, b], [c, d]) = (self.prefix, suffix);
        Ipv4Addr::new(a, b, c, d)
    }

    fn gateway(&self, zone: u8) -> Ipv4Addr {
        self.at([zone, 1])
    }

    /// Makes the fabric with these zones; the filter is there before the first packet can pass.
    pub(crate) fn ensure(&self, zones: &BTreeSet<u8>) -> Result<(), DriverError> {
        let fabric = self.name();
        if !namespace::exists(&fabric) {
            namespace::add(&self.tools, &fabric)?;
        }
        filter::ensure(&self.tools, &fabric)?;
        namespace::configure(
            &fabric,
            &[
                ("ipv6/conf/all/disable_ipv6", "1"),
                ("ipv6/conf/default/disable_ipv6", "1"),
                // Instances of a zone reach each other through the gateway, and are not to be told otherwise.
                ("ipv4/conf/all/send_redirects", "0"),
                ("ipv4/conf/default/send_redirects", "0"),
                // A packet must come from where an answer to it would go: nobody can pose as another zone.
                ("ipv4/conf/all/rp_filter", "1"),
                ("ipv4/conf/default/rp_filter", "1"),
                ("ipv4/ip_forward", "1"),
            ],
        )?;
        let links = self.links(Some(&fabric))?;
        let mut script = String::from("link set lo up\n");
        if !links.contains("void") {
            script.push_str("link add void type bridge\n");
        }
        script.push_str("link set void up\nroute replace default dev void\n");
        for zone in zones {
            if !links.contains(&format!("z{zone}")) {
                script.push_str(&format!("link add z{zone} type bridge mcast_snooping 0\n"));
            }
            let gateway = self.gateway(*zone);
            script.push_str(&format!("addr replace {gateway}/24 dev z{zone}\nlink set z{zone} up\n"));
        }
        self.batch(Some(&fabric), &script)?;
        if !links.contains("uplink") {
            self.connect(&fabric)?;
        }
        self.address_uplink(&fabric)
    }

    /// Makes the pair of the uplink.
    fn connect(&self, fabric: &str) -> Result<(), DriverError> {
        let uplink = self.uplink();
        if self.links(None)?.contains(&uplink) {
            let [a, b] = self.prefix;
            if self.alias(&uplink)?.as_deref() != Some(&self.scope) {
                return Err(DriverError::Refused(format!(
                    "the addresses {a}.{b}.0.0/16 are used by another scope of this host: choose another fabric"
                )));
            }
            self.batch(None, &format!("link delete {uplink}\n"))?;
        }
        self.batch(
            None,
            &format!(
                "link add {uplink} type veth peer name uplink netns {fabric}\nlink set {uplink} alias {}\n",
                self.scope
            ),
        )
    }

    fn address_uplink(&self, fabric: &str) -> Result<(), DriverError> {
        let (uplink, [a, b]) = (self.uplink(), self.prefix);
        let (edge, health, inside) = (edge_address(self.prefix), self.health_address(), self.at(UPLINK_INSIDE));
        self.batch(Some(fabric), &format!("addr replace {inside}/29 dev uplink\nlink set uplink up\n"))?;
        let network = format!("{a}.{b}.0.0/16");
        let routes = command::run(&self.tools.ip, &["-j", "route", "show", "exact", &network], b"", COMMAND_TIMEOUT)?;
        if let Some(other) = devices(&routes)?.into_iter().find(|device| *device != uplink) {
            return Err(DriverError::Refused(format!(
                "the addresses {network} already lead to `{other}` on this host: choose another fabric"
            )));
        }
        self.batch(
            None,
            &format!(
                "addr replace {edge}/29 dev {uplink}\naddr replace {health}/29 dev {uplink}\nlink set {uplink} up\n\
                 route replace {network} via {inside} dev {uplink} src {edge}\n"
            ),
        )
    }

    /// Makes the namespace of an instance, anew, and connects it; returns its path.
    pub(crate) fn attach(&self, slot: Slot) -> Result<PathBuf, DriverError> {
        self.detach(slot)?;
        let (fabric, name) = (self.name(), self.instance_name(slot));
        let (port, address, gateway) = (port(slot), self.address(slot), self.gateway(slot.zone));
        namespace::add(&self.tools, &name)?;
        namespace::configure(
            &name,
            &[
                ("ipv6/conf/all/disable_ipv6", "1"),
                ("ipv6/conf/default/disable_ipv6", "1"),
                // Images made to run as root listen on port 80; here nobody is root and the port is the instance's own.
                ("ipv4/ip_unprivileged_port_start", "0"),
            ],
        )?;
        self.batch(
            Some(&name),
            &format!(
                "link set lo up\nlink add eth0 type veth peer name {port} netns {fabric}\naddr add {address}/32 dev eth0\n\
                 link set eth0 up\nroute add {gateway} dev eth0 scope link\nroute add default via {gateway} dev eth0\n"
            ),
        )?;
        self.batch(
            Some(&fabric),
            &format!("link set dev {port} master z{}\nlink set dev {port} type bridge_slave isolated on\nlink set {port} up\n", slot.zone),
        )?;
        Ok(namespace::path(&name))
    }

    /// Removes what [`Fabric::attach`] made; nothing is fine.
    pub(crate) fn detach(&self, slot: Slot) -> Result<(), DriverError> {
        let fabric = self.name();
        // The kernel removes a namespace's devices later and on its own time; the name has to be free now.
        if namespace::exists(&fabric) && self.links(Some(&fabric))?.contains(&port(slot)) {
            self.batch(Some(&fabric), &format!("link delete {}\n", port(slot)))?;
        }
        namespace::remove(&self.tools, &self.instance_name(slot))
    }

    /// Removes the fabric and every namespace of its scope.
    pub(crate) fn remove(&self) -> Result<(), DriverError> {
        for name in namespace::names(&format!("{}.", self.name())) {
            namespace::remove(&self.tools, &name)?;
        }
        let uplink = self.uplink();
        if self.links(None)?.contains(&uplink) && self.alias(&uplink)?.as_deref() == Some(&self.scope) {
            self.batch(None, &format!("link delete {uplink}\n"))?;
        }
        namespace::remove(&self.tools, &self.name())
    }

    /// Whether it is there at all; after the host was started again it is not.
    pub(crate) fn exists(&self) -> bool {
        namespace::exists(&self.name())
    }

    fn links(&self, namespace: Option<&str>) -> Result<BTreeSet<String>, DriverError> {
        let arguments: &[&str] = match namespace {
            Some(name) => &["-n", name, "-j", "link", "show"],
            None => &["-j", "link", "show"],
        };
        let listed = command::run(&self.tools.ip, arguments, b"", COMMAND_TIMEOUT)?;
        Ok(texts(&listed, "ifname")?.into_iter().collect())
    }

    fn alias(&self, link: &str) -> Result<Option<String>, DriverError> {
        let listed = command::run(&self.tools.ip, &["-j", "link", "show", "dev", link], b"", COMMAND_TIMEOUT)?;
        Ok(texts(&listed, "ifalias")?.into_iter().next())
    }

    fn batch(&self, namespace: Option<&str>, script: &str) -> Result<(), DriverError> {
        let arguments: &[&str] = match namespace {
            Some(name) => &["-n", name, "-batch", "-"],
            None => &["-batch", "-"],
        };
        command::run(&self.tools.ip, arguments, script.as_bytes(), COMMAND_TIMEOUT)?;
        Ok(())
    }
}

/// Where health checks come from in the fabric whose first two bytes are these: the filter lets them reach every instance.
pub const fn health_address(fabric: [u8; 2]) -> Ipv4Addr {
    Ipv4Addr::new(fabric[0], fabric[1], HEALTH_SUFFIX[0], HEALTH_SUFFIX[1])
}

/// The fabric's end of an instance's veth; at most nine characters of fifteen.
fn port(slot: Slot) -> String {
    format!("i{}.{}", slot.zone, slot.host)
}

fn devices(listed: &[u8]) -> Result<Vec<String>, DriverError> {
    texts(listed, "dev")
}

/// This field of every object in a list that `ip -j` printed.
fn texts(listed: &[u8], field: &str) -> Result<Vec<String>, DriverError> {
    // An empty list is printed as nothing by some versions.
    if listed.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<serde_json::Value> =
        serde_json::from_slice(listed).map_err(|error| failed("what `ip` printed is not JSON", error.to_string()))?;
    Ok(rows.iter().filter_map(|row| row.get(field)?.as_str().map(str::to_owned)).collect())
}
