//! Names by which clients reach one version of several that run side by side, and what holds a version without a connection.
//!
//! It refuses to know why a version stays: that is the rollout's.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Serial, Timestamp};

/// The names that a listener knows. With them, a request for any other name gets 421 and never some version; without, the
/// name says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Names of the plain address, which is wherever the weights of the backends lead. So are every IP address and
    /// `localhost`.
    pub plain: Vec<String>,
    /// Names of versions and of channels.
    pub versions: Vec<Named>,
}

/// One name and the version that it stands for. Its requests are on the version whatever its weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// A DNS name in lower case, as clients write it in `Host`, `:authority` or the server name of TLS, without a port.
    pub host: String,
    /// The version.
    pub serial: Serial,
    /// Whether the version is about to go: clients get 503 and are told to ask again, and who asks is seen, so that it stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closing: bool,
    /// The longest lease that a client may take, in seconds.
    pub lease_s: u32,
}

/// What a name that a client said stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant<'a> {
    /// The plain address.
    Plain,
    /// One version.
    Version(&'a Named),
    /// Nothing that is known here.
    Unknown,
}

impl Names {
    /// What a host stands for. It may have a port, a last dot and upper-case letters (RFC 9110 section 4.2.3, RFC 4343).
    pub fn meant(&self, host: &str) -> Meant<'_> {
        let bare = bare(host);
        let is = |name: &String| name.eq_ignore_ascii_case(bare);
        if is_address(bare) || bare.eq_ignore_ascii_case("localhost") || self.plain.iter().any(is) {
            return Meant::Plain;
        }
        self.versions.iter().find(|named| is(&named.host)).map_or(Meant::Unknown, Meant::Version)
    }
}

/// Without its port and last dot.
fn bare(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && port.bytes().all(|b| b.is_ascii_digit()) && !is_address(host) => {
            name
        }
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inner.parse::<IpAddr>().is_ok()
}

/// What a client without a connection took to keep a version. It ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// What the client calls itself.
    pub name: String,
    /// Its identity's text, as [`Identity`](super::Identity) says.
    pub identity: String,
    /// Until when.
    pub until: Timestamp,
}

#[cfg(test)]
mod tests;
