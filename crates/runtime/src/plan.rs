//! What an executor checks of a start before it does it: the plan against the very release that people approved.
//!
//! Pure: the caller reads the document, whose digest the plan names. A plan may leave things out that the
//! release allows, but adds nothing: no component, image, limit, volume, peer or client that is not in it.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use model::{
    Digest, ValueName,
    release::{Component, Origin, Release},
};
use rollout::{
    instance::{EDGE_ADDRESS_SUFFIX, InstanceSpec, belongs, peer_variable},
    order::is_behind_edge,
};

/// Why a plan is not what its release asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The document is another one.
    #[error("the release document has the digest `{found}` instead of `{wanted}`")]
    Digest {
        /// What the plan names.
        wanted: Digest,
        /// What the document has.
        found: Digest,
    },
    /// The document is not a release.
    #[error("the release document can not be read: {0}")]
    Form(String),
    /// The release has no such environment.
    #[error("release `{serial}` is not for the environment `{environment}`")]
    Environment {
        /// The release.
        serial: String,
        /// The environment.
        environment: String,
    },
    /// The release has no such component, fewer instances of it, or a component that differs.
    #[error("release `{serial}` does not ask for `{instance}` as it is planned")]
    Component {
        /// The release.
        serial: String,
        /// The instance.
        instance: String,
    },
    /// A peer that no flow allows.
    #[error("release `{serial}` has no flow from `{component}` to the peer in `{variable}`")]
    Peer {
        /// The release.
        serial: String,
        /// The component.
        component: String,
        /// The variable.
        variable: String,
    },
    /// A peer that is not where its component can be.
    #[error("`{address}` in `{variable}` can not be an address of that component")]
    Address {
        /// The variable.
        variable: String,
        /// The address.
        address: SocketAddr,
    },
    /// Other guarded values than the component reads.
    #[error("`{component}` of release `{serial}` reads the guarded values [{wanted}], and is given [{given}]")]
    Values {
        /// The release.
        serial: String,
        /// The component.
        component: String,
        /// The names that it reads.
        wanted: String,
        /// The names that it is given.
        given: String,
    },
    /// A guarded value that is not what its commitment says.
    #[error("the guarded value `{0}` is not the one that was committed to")]
    Value(ValueName),
    /// The edge, where no flow allows it and nothing is exposed.
    #[error("release `{serial}` has no flow from the edge to `{component}`")]
    Edge {
        /// The release.
        serial: String,
        /// The component.
        component: String,
    },
}

/// Checks a plan against the bytes of its release document.
///
/// The edge may connect where a flow or an exposed address says so, and to components with a volume that only one
/// may have, because it is the edge that holds their requests during a hand-over.
pub fn check(spec: &InstanceSpec, document: &[u8]) -> Result<(), PlanError> {
    let found = Digest::of(document);
    if found != spec.release {
        return Err(PlanError::Digest { wanted: spec.release, found });
    }
    let release = Release::from_bytes(document).map_err(|error| PlanError::Form(error.to_string()))?;
    let serial = || release.serial.to_string();
    if release.environment(&spec.id.environment).is_none() {
        return Err(PlanError::Environment { serial: serial(), environment: spec.id.environment.to_string() });
    }
    if !belongs(spec, &release) || spec.id.number == 0 {
        return Err(PlanError::Component { serial: serial(), instance: spec.id.to_string() });
    }
    let component = &spec.component;
    let given: Vec<&ValueName> = spec.values.iter().map(|value| &value.name).collect();
    if !component.values.iter().eq(given.iter().copied()) {
        let list = |names: Vec<&ValueName>| names.into_iter().map(ValueName::as_str).collect::<Vec<_>>().join(", ");
        return Err(PlanError::Values {
            serial: serial(),
            component: component.name.to_string(),
            wanted: list(component.values.iter().collect()),
            given: list(given),
        });
    }
    if let Some(value) = spec.values.iter().find(|value| !value.holds()) {
        return Err(PlanError::Value(value.name.clone()));
    }
    let own = Origin::Component(component.name.clone());
    for (variable, addresses) in &spec.peers {
        let flows = release.flows.iter().filter(|flow| flow.from == own && peer_variable(&flow.to) == *variable);
        let target = flows.filter_map(|flow| release.component(&flow.to)).next().ok_or_else(|| PlanError::Peer {
            serial: serial(),
            component: component.name.to_string(),
            variable: variable.clone(),
        })?;
        if let Some(address) = addresses.iter().find(|address| !is_of(address, target)) {
            return Err(PlanError::Address { variable: variable.clone(), address: *address });
        }
    }
    if spec.from_edge && !is_behind_edge(&release, component) {
        return Err(PlanError::Edge { serial: serial(), component: component.name.to_string() });
    }
    Ok(())
}

/// Whether this can be an address of the component: its port, and the edge's own address only where the edge stands
/// in for it. Whose address it is otherwise, the driver knows, which gave it out.
fn is_of(address: &SocketAddr, target: &Component) -> bool {
    let edge = matches!(address.ip(), IpAddr::V4(ip) if ip.octets().ends_with(&EDGE_ADDRESS_SUFFIX));
    address.port() == target.port && (!edge || target.is_exclusive())
}
