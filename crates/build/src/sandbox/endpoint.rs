//! Addresses of package registries.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use model::manifest::Registry;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A host and a port, as in `crates.example:443` or `127.0.0.1:8790`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// A text that is not a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address: write a host and a port, as in `127.0.0.1:8790` or `registry.example:443`")]
pub struct EndpointError(String);

impl Endpoint {
    /// The host, lower case, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The loopback address that it names, if it does.
    pub fn loopback(&self) -> Option<SocketAddr> {
        let ip = if self.host == "localhost" { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { self.host.parse().ok()? };
        ip.is_loopback().then(|| SocketAddr::new(ip, self.port))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError(text.chars().take(200).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let is_name = |h: &str| {
            h.len() <= 253
                && h.split('.').all(|l| {
                    !l.is_empty()
                        && l.len() <= 63
                        && !l.starts_with('-')
                        && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                })
        };
        let fits = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if !fits || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: bare.unwrap_or(host).to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<&Registry> for Endpoint {
    fn from(registry: &Registry) -> Self {
        Self { host: registry.host().to_ascii_lowercase(), port: registry.port() }
    }
}
