//! What the edge does for an exposed component when more is asked than it can take, as a release document has it.

use serde::{Deserialize, Serialize};

/// Whose requests matter most, and how much anybody may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surge {
    /// Classes of requests, the most important first. A request is of the first that it matches, and else of the last one,
    /// which has no name of its own: [`OTHER_CLASS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<PriorityClass>,
    /// Milliseconds that a request waits at the edge for its turn at most.
    pub queue_ms: u32,
    /// Requests of one client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<RequestRate>,
    /// Requests of all clients together. The lower a class, the earlier it finds nothing left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<RequestRate>,
    /// Connections of one address (IPv6: of one network of 64 bits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_connections: Option<u32>,
    /// Connections of all clients together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
}

/// The class of a request that matches no other, in counts and metrics; no class may be called so.
pub const OTHER_CLASS: &str = "other";

/// A class of requests. A request is of it if it matches each of the three that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityClass {
    /// Its name, for counts: lower-case letters, digits and hyphens.
    pub name: String,
    /// Paths: itself, and what is below it after a `/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Methods, in upper case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// A field that it has. Anybody can send one; what is to hold against strangers goes by path, behind a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderIs>,
}

/// A field of a request and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderIs {
    /// Its name, in lower case.
    pub name: String,
    /// Its whole value.
    pub value: String,
}

/// How many requests are taken: so many a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRate {
    /// Requests a second, in the long run.
    pub per_s: u32,
    /// Requests at once.
    pub burst: u32,
}
