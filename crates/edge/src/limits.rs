//! The limits of the edge: what an installation may set, and what is fixed with its reason.

use std::time::Duration;

/// The limits that an installation may set. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest wait for a TCP connection to an instance.
    pub connect_timeout_ms: u64,
    /// The longest wait for the head of an instance's answer, counted from the last progress of the request's body;
    /// after it 504.
    pub answer_timeout_ms: u64,
    /// The longest time from the first wait for a request on a connection to its whole head: it ends both slow clients
    /// and idle connections.
    pub header_timeout_ms: u64,
    /// The longest silence in a body, in either direction.
    pub idle_timeout_ms: u64,
    /// The longest silence in both directions of an upgraded connection.
    pub upgraded_idle_timeout_ms: u64,
    /// The largest request body; above it 413.
    pub max_body_bytes: u64,
    /// The most connections of clients on one listener; more wait in the kernel's queue.
    pub max_connections: usize,
    /// The most requests that wait on held routes at once; more get 503 at once.
    pub max_held: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A peer in the same machine or rack answers in a millisecond; a second allows for one lost SYN, not two.
            connect_timeout_ms: 1_500,
            // What browsers and load balancers commonly wait.
            answer_timeout_ms: 60_000,
            header_timeout_ms: 15_000,
            idle_timeout_ms: 60_000,
            // WebSocket libraries send pings every 20 to 60 s; an hour allows for those that never do.
            upgraded_idle_timeout_ms: 3_600_000,
            max_body_bytes: 64 * 1024 * 1024,
            // Each costs at most two buffers of 64 KiB and a descriptor.
            max_connections: 8_192,
            // Each costs a connection and a few KiB; what 10 s of a thousand requests a second come to.
            max_held: 10_000,
        }
    }
}

impl Limits {
    pub(crate) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
    pub(crate) const fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }
    pub(crate) const fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }
    pub(crate) const fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
    pub(crate) const fn upgraded_idle_timeout(&self) -> Duration {
        Duration::from_millis(self.upgraded_idle_timeout_ms)
    }
}

/// Instances that one request is tried on, at most: with the connect timeout it bounds how long a client waits for a
/// refusal.
pub(crate) const MAX_TRIES: usize = 4;
/// An instance that refused a connection is asked last for this long, so that not every request pays for it.
pub(crate) const AVOID_MS: u64 = 1_000;
/// Idle connections kept to one instance: as many as are of use to one core's worth of requests.
pub(crate) const MAX_IDLE_LINKS: usize = 128;
/// Idle connections to instances are closed after this long, before most servers close them (5 s in Node.js).
pub(crate) const IDLE_LINK_TTL: Duration = Duration::from_secs(4);
/// A request that must not be sent twice takes a connection only if it was used this short a while ago: servers that close
/// idle connections after 2 s (gunicorn) then never do so just as it arrives.
pub(crate) const YOUNG_LINK_TTL: Duration = Duration::from_secs(1);
/// How often idle connections, listeners that finish and counters are looked after.
pub(crate) const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// A listener that vanished may finish its requests for this long: longer than any hand-over, shorter than a day of
/// WebSockets.
pub(crate) const RETIRED_LIMIT: Duration = Duration::from_secs(600);
/// The head of a request, in bytes: four times what browsers with large cookies send.
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The buffer of one direction of one connection, in bytes.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;
/// Streams on one HTTP/2 connection: what RFC 9113 section 6.5.2 recommends as the least.
pub(crate) const MAX_STREAMS: u32 = 100;
/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the edge waits before it accepts again after the system ran out of descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel queues for a listener: it caps this by `net.core.somaxconn` (4,096).
pub(crate) const BACKLOG: i32 = 4_096;
/// Client addresses remembered by version, for counting; 2 MiB at most.
pub(crate) const MAX_CLIENTS: usize = 65_536;
/// Versions whose counts are kept after they left the table, so that years of releases fit in memory.
pub(crate) const MAX_COUNTED_VERSIONS: usize = 512;
/// Routes in one table: hundreds of components on one machine are far off.
pub(crate) const MAX_ROUTES: usize = 512;
/// Versions behind one route; a rollout has two.
pub(crate) const MAX_BACKENDS: usize = 16;
/// Instances of one version behind one route.
pub(crate) const MAX_INSTANCES: usize = 256;
/// The longest hold that a table may ask for: clients and load balancers give up at a minute or two.
pub(crate) const MAX_HOLD_MS: u32 = 300_000;
/// A table on the control socket, in bytes: the largest table that the limits above allow is smaller.
pub(crate) const MAX_TABLE_BYTES: usize = 4 * 1024 * 1024;
/// The largest answer that a client of the control socket reads, in bytes.
pub(crate) const MAX_CONTROL_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Requests at once on the control socket; the agent, the front and a person at a terminal make three.
pub(crate) const MAX_CONTROL_REQUESTS: usize = 16;
/// Connections at once on the control socket.
pub(crate) const MAX_CONTROL_CONNECTIONS: usize = 64;
/// How long one request on the control socket may take: binding and reading certificates takes milliseconds.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
