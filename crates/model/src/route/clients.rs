//! How clients are known, and what the edge remembers of those of each version.
//!
//! It refuses to know why somebody asks: a version with clients is retired or not by `rollout` and by people.

use serde::{Deserialize, Serialize};

use super::Lease;
use crate::{ComponentName, Serial, Timestamp};

/// A way of knowing a client again. Certificates and tokens are verified, so that nobody can choose to be another.
///
/// An identity's text is the word below, a colon, and what the edge found: `certificate:` and the SHA-256 of the public key
/// (SubjectPublicKeyInfo, DER) in lower-case hexadecimal; `token:` and the claim; `cookie:` and its value; and for
/// whoever has none of those, `address:` and the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Identity {
    /// The certificate that the client proved to hold, from an authority in [`TlsFiles::clients`](super::TlsFiles::clients).
    Certificate,
    /// A signed token (JWT, RFC 7519, with EdDSA, ES256 or RS256) in this header, `Bearer ` before it or not. It must have
    /// an `exp` that is not over; one that does not verify is none.
    Token {
        /// The header's name.
        header: String,
        /// A file with the public keys that may sign (JWK Set, RFC 7517).
        keys: String,
        /// The claim that says who it is: a text or a whole number.
        claim: String,
        /// Whom the token must be for (`aud`); without it that is not looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
    },
    /// A cookie that the edge gives to a browser; it proves nothing, but keeps the browser where it was.
    Cookie {
        /// Its name.
        name: String,
    },
}

/// What the edge knows of the clients of each version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// Differs each time an edge starts: what it knew before is gone.
    pub start: u64,
    /// When the edge started. That a version has had no client since means nothing for the time before.
    pub since: Timestamp,
    /// The time by the edge's clock, which does not jump: ages are counted from here.
    pub now: Timestamp,
    /// The generation that was in force before anything here was counted.
    #[serde(default)]
    pub generation: u64,
    /// Its revision.
    #[serde(default)]
    pub revision: u64,
    /// One row a component and version, sorted.
    pub versions: Vec<VersionClients>,
}

/// What the edge knows of the clients of one version of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionClients {
    /// The component.
    pub component: ComponentName,
    /// The version.
    pub serial: Serial,
    /// Open connections of clients whose last request went here, sessions among them.
    pub connections: u64,
    /// Open long sessions: WebSockets and plain TCP connections.
    pub sessions: u64,
    /// Different clients remembered: those seen in the last day or with a connection here, at most 65,536.
    pub clients: u64,
    /// Whether there were more than could be remembered. `connections`, `sessions` and `last_seen` are exact all the same.
    pub more: bool,
    /// When a client was last seen: at the start of a request, and at the end of a session.
    pub last_seen: Option<Timestamp>,
    /// The clients seen last, those with open connections first; at most 100.
    pub seen: Vec<Client>,
    /// Leases that are not over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<Lease>,
}

/// One client of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its identity's text.
    pub identity: String,
    /// Its open connections whose last request went here.
    pub connections: u64,
    /// Its open long sessions.
    pub sessions: u64,
    /// When it was last seen here.
    pub last_seen: Timestamp,
}

/// Long sessions of one version that were cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutSessions {
    /// The component.
    pub component: ComponentName,
    /// The version.
    pub serial: Serial,
    /// How many, since the edge started.
    pub sessions: u64,
    /// When the version stopped taking requests, before the last of them was cut.
    pub since: Timestamp,
    /// When the last of them was cut.
    pub last: Timestamp,
}
