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
    /// and idle connections. The wait for the first byte of a connection counts apart, and is as long at most.
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
            // Each costs at most two buffers of 64 KiB and a descriptor, and a session two of 4 KiB and two descriptors.
            max_connections: 16_384,
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
/// How long a client may keep us waiting for its body in all, whatever it sends: what Apache's `mod_reqtimeout` allows.
pub(crate) const SLOW_BODY_GRACE: Duration = Duration::from_secs(20);
/// And a second more for so many bytes, as there: a modem sends ten times as many.
pub(crate) const MIN_BODY_BYTES_PER_S: u64 = 500;
/// Streams that a client opened and reset before they were looked at (CVE-2023-44487, rapid reset); at more the connection
/// ends. Browsers that leave a page reset some tens.
pub(crate) const MAX_PENDING_RESETS: usize = 20;
/// Streams that the edge had to reset because of what the client sent; at more the connection ends (CVE-2025-8671).
pub(crate) const MAX_LOCAL_RESETS: usize = 64;
/// Streams on one HTTP/2 connection: what RFC 9113 section 6.5.2 recommends as the least.
pub(crate) const MAX_STREAMS: u32 = 100;
/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the edge waits before it accepts again after the system ran out of descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel queues for a listener: it caps this by `net.core.somaxconn` (4,096).
pub(crate) const BACKLOG: i32 = 4_096;
/// Clients remembered of one version: each takes about 200 bytes, its identity's text among them.
pub(crate) const MAX_CLIENTS: usize = 65_536;
/// Clients remembered of all versions, so that years of releases fit in memory: about 50 MiB.
pub(crate) const MAX_CLIENTS_IN_ALL: u64 = 262_144;
/// Clients without a connection are forgotten after this long: who comes once a day is still there.
pub(crate) const CLIENT_MEMORY_S: u64 = 24 * 3_600 + 3_600;
/// How often they are looked through for those to forget: it takes milliseconds.
pub(crate) const CLIENT_FORGETTING_INTERVAL: Duration = Duration::from_secs(60);
/// Clients of a version that are named in an answer, those seen last: enough to know whom to ask.
pub(crate) const MAX_CLIENTS_LISTED: usize = 100;
/// A client's identity, in bytes; a longer claim is none, so that clients can be remembered.
pub(crate) const MAX_IDENTITY_BYTES: usize = 256;
/// How long a browser keeps its cookie, in seconds: longer than a rollout.
pub(crate) const COOKIE_MAX_AGE_S: u32 = 30 * 24 * 3_600;
/// Ways of knowing clients on one route: there are three kinds, and tokens may come from several signers.
pub(crate) const MAX_IDENTITIES: usize = 8;
/// Named clients and claims of one cohort; a table has room for no more.
pub(crate) const MAX_COHORT_RULES: usize = 10_000;
/// The shortest tick, in milliseconds: below it the timers of a busy machine are most of it.
pub(crate) const MIN_TICK_MS: u32 = 50;
/// The longest tick, in milliseconds: above it a bad version would be found too late.
pub(crate) const MAX_TICK_MS: u32 = 60_000;
/// How long ended ticks are remembered: a restart of whoever asks takes seconds, an upgrade minutes.
pub(crate) const TICK_MEMORY: Duration = Duration::from_secs(600);
/// Ended ticks that are remembered: ten minutes of six components at four a second, a few MiB.
pub(crate) const MAX_TICK_ROWS: usize = 16_384;
/// Ticks in one answer of the control socket: some 5 MiB with the most flags.
pub(crate) const MAX_TICKS_ANSWERED: usize = 1_000;
/// The length of a slot of recent times.
pub(crate) const RECENT_SLOT: Duration = Duration::from_secs(10);
/// Slots that make the last minute.
pub(crate) const RECENT_SLOTS: u32 = 6;
/// The longest time that is told from longer ones, in microseconds: two minutes, above the longest wait for an answer.
pub(crate) const RECENT_MAX_US: u64 = 120_000_000;
/// The buffer of one direction of a long session, in bytes: messages of FIX and WebSocket are shorter, and ten thousand
/// sessions must fit.
pub(crate) const SESSION_BUFFER_BYTES: usize = 4 * 1024;
/// The longest that sessions may be given to end, in milliseconds: a week of trading.
pub(crate) const MAX_DRAIN_MS: u32 = 7 * 24 * 3_600 * 1_000;
/// Versions whose counts are kept after they left the table, so that years of releases fit in memory.
pub(crate) const MAX_COUNTED_VERSIONS: usize = 512;
/// Routes in one table: hundreds of components on one machine are far off.
pub(crate) const MAX_ROUTES: usize = 512;
/// Versions behind one route; a rollout has two.
pub(crate) const MAX_BACKENDS: usize = 16;
/// Classes of requests on one route: each counts apart, and people must be able to say which matters more.
pub(crate) const MAX_CLASSES: usize = 8;
/// A class's name, in bytes; it stands in every sample of its metrics.
pub(crate) const MAX_CLASS_NAME_BYTES: usize = 32;
/// The longest that a request waits for its turn in a surge: nobody waits longer for an answer that may be a refusal.
pub(crate) const MAX_QUEUE_MS: u32 = 10_000;
/// Names behind one route: the versions above, and the channels of all of them.
pub(crate) const MAX_NAMES: usize = 256;
/// The longest DNS name (RFC 1035 section 2.3.4).
pub(crate) const MAX_NAME_BYTES: usize = 253;
/// Leases of one version: each takes about 400 bytes, and people read the list.
pub(crate) const MAX_LEASES: usize = 256;
/// Leases of one client, so that one can not take all.
pub(crate) const MAX_LEASES_OF_ONE: usize = 16;
/// What a client calls itself in a lease, in bytes.
pub(crate) const MAX_LEASE_NAME_BYTES: usize = 64;
/// The body of a request for a lease, in bytes: a name and a number.
pub(crate) const MAX_LEASE_BODY_BYTES: usize = 1_024;
/// How long the body of a request for a lease may take.
pub(crate) const LEASE_TIMEOUT: Duration = Duration::from_secs(5);
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

/// Keys that may sign tokens, at most: each token without a key id is tried with all of its kind.
pub(crate) const MAX_TOKEN_KEYS: usize = 16;
/// How far the clock of whoever signs tokens may be from ours, in seconds (RFC 7519 section 4.1.4 allows "a few minutes").
pub(crate) const TOKEN_LEEWAY_S: u64 = 60;

/// The longest answer of a component to the question for its metrics, in bytes: some ten thousand series.
pub(crate) const MAX_READ_BYTES: usize = 1024 * 1024;
/// How many components are asked at once; with the limit on an answer it bounds what they can fill.
pub(crate) const MAX_READ_AT_ONCE: usize = 128;
/// How long one may take. With the numbers above all are asked well within [`CONTROL_TIMEOUT`].
pub(crate) const MAX_READ_TIMEOUT: Duration = Duration::from_secs(2);
