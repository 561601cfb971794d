//! The route table that the edge carries traffic by: listeners, backends by version, and what to do meanwhile.

mod clients;
mod names;
mod read;
mod split;
mod surges;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use clients::{Client, Clients, CutSessions, Identity, VersionClients};
pub use names::{Lease, Meant, Named, Names};
pub use read::{
    MAX_READ_SAMPLES, MAX_READ_SERIES, MAX_READ_TARGETS, ReadAnswer, ReadRequest, ReadTarget, SeriesAnswer,
};
pub use split::{Arm, CohortRule, Flag, FlagCounts, MAX_FLAGS, Split, TickRow, TickTotals, Ticks, UNITS, unit};

pub use surges::{ClassCounts, Shed, SurgeCounts};

use crate::{ComponentName, Serial, release::Surge};

/// Everything that the edge does, as one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// The log index of the statement that it follows from. The edge never goes back from it.
    ///
    /// Invariant `generation-grows`: a table with a lower generation is refused; the same generation with a
    /// higher `revision` replaces it.
    pub generation: u64,
    /// Counts the tables of one generation (a rollout has several).
    pub revision: u64,
    /// The listeners, each with its own backends.
    pub routes: Vec<Route>,
}

/// One listener and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where the edge listens.
    pub listen: SocketAddr,
    /// The component, for counters.
    pub component: ComponentName,
    /// What clients speak.
    #[serde(default, skip_serializing_if = "Protocol::is_http")]
    pub protocol: Protocol,
    /// Certificate chain and key files in PEM, for TLS in front.
    pub tls: Option<TlsFiles>,
    /// How a client is known: the first of these that its request has, else its address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<Identity>,
    /// Whether requests go through, wait, or are turned away.
    pub state: RouteState,
    /// Instances by version; weights count between versions, instances of one version take turns.
    pub backends: Vec<Backend>,
    /// Milliseconds that a long session (a WebSocket, a plain TCP connection) may stay on a version after that takes
    /// nothing new; then it is cut and listed in [`EdgeCounts::cut`]. Without it sessions stay until they end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u32>,
    /// Two of the versions compared, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Names by which clients reach one version, where several run side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Names>,
    /// What is done when more is asked than the backends can take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surge: Option<Surge>,
}

/// What clients speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Protocol {
    /// HTTP/1.1, HTTP/2 over TLS, WebSocket.
    #[default]
    Http,
    /// Whatever is spoken over TCP (FIX): a connection is carried as it is and counts as one request.
    Tcp,
}

impl Protocol {
    /// The usual one, which is not written down.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(crate) const fn is_http(&self) -> bool {
        matches!(self, Self::Http)
    }
}

/// Certificate chain and key files in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificates: String,
    /// The private key (PKCS#8, SEC1 or PKCS#1).
    pub key: String,
    /// The authorities whose certificates clients may show. A client without one is served and known otherwise; one whose
    /// certificate does not verify gets no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<String>,
}

/// Whether requests go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RouteState {
    /// They go to the backends.
    Open,
    /// They wait, this many milliseconds at most each, while an exclusive component hands over.
    Hold {
        /// The longest that one request waits, in milliseconds; after it the answer is 503 with `Retry-After`.
        limit_ms: u32,
    },
    /// They get 503 at once.
    Closed,
}

/// The instances of one version behind a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The version.
    pub serial: Serial,
    /// Its share is `weight` over the sum of weights; 0 takes no new requests but finishes those it has.
    pub weight: u32,
    /// The addresses of its instances.
    pub instances: Vec<SocketAddr>,
}

/// What the edge has counted, by component and version, since the edge started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeCounts {
    /// The generation in force.
    pub generation: u64,
    /// The revision in force.
    pub revision: u64,
    /// One row a component and version.
    pub versions: Vec<VersionCounts>,
    /// Requests waiting now on a route that holds.
    pub held: u64,
    /// One row a component: what happened before a version was chosen, or between two.
    #[serde(default)]
    pub components: Vec<ComponentCounts>,
    /// Long sessions that were cut because their version took nothing new for as long as the route allows; one row a
    /// component and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<CutSessions>,
    /// One row a component whose route says what is done in a surge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surges: Vec<SurgeCounts>,
}

/// What the edge has counted of one component, whatever the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentCounts {
    /// The component.
    pub component: ComponentName,
    /// Requests whose head arrived whole. Once none is in flight or held, it is the sum of the versions' `requests`
    /// plus `turned_away`, `rejected`, `abandoned` and `shed`, less `moved`.
    pub requests: u64,
    /// Requests answered 503 by the edge itself: the route is closed, no version takes requests, or a hold was full or
    /// too long.
    pub turned_away: u64,
    /// Requests that the edge refused as wrong before a version was chosen (no host, `CONNECT`, too large).
    pub rejected: u64,
    /// Requests whose client left while they were held.
    pub abandoned: u64,
    /// Requests refused because more was asked than is allowed or can be taken; none of them reached a version.
    #[serde(default)]
    pub shed: u64,
    /// Times that a request was tried again on another instance, of the same version or another.
    pub retried: u64,
    /// Times that no instance of the chosen version took a request and it went on to another version, or to new
    /// instances after a switch; it counts for both, for the first as an error.
    pub moved: u64,
}

/// What the edge has counted of one version of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionCounts {
    /// The component.
    pub component: ComponentName,
    /// The version.
    pub serial: Serial,
    /// Requests answered or failed.
    pub requests: u64,
    /// Of those, answers 5xx and failures to reach the component or to get a whole answer from it.
    pub errors: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Different clients remembered, as [`VersionClients::clients`].
    pub clients: u64,
    /// Requests that were held before they came here, in all.
    pub held: u64,
    /// Answer time in microseconds, from the choice of the version to the last byte of the answer's head: the upper
    /// bound and how many fell between the bound before and this one (not cumulative). Powers of two from 64 µs; the
    /// last bound, `u64::MAX`, takes everything slower.
    pub latency_us: Vec<(u64, u64)>,
    /// The same time in the last minute: a quantile in parts of a million and the microseconds that it is at, to two
    /// significant digits; empty without requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles_us: Vec<(u32, u64)>,
}
