//! The limits and defaults of a manifest, each with its reason.
//!
//! A limit keeps a mistyped or hostile manifest from costing more than the mistake is worth; a default is what a
//! component or environment gets that says nothing.

use std::ops::RangeInclusive;

/// Bytes of a manifest. The largest sensible system (64 components with everything declared) needs about 100 KiB.
pub const TEXT_BYTES: usize = 256 * 1024;
/// Findings that are reported; more than a screen of them are consequences of the first.
pub const FINDINGS: usize = 50;

/// Components, builds, suites and environments each. The fabric has room for more, a reviewer has not.
pub const ENTRIES: usize = 64;
/// Zones: one bridge each, numbered in the third byte of the fabric's addresses, where 255 is the edge's.
pub const ZONES: usize = 64;
/// Flows: every pair of a system of this size that anyone could review.
pub const FLOWS: usize = 1_024;
/// Instances in one zone: both versions stand side by side during a rollout in the zone's 254 addresses.
pub const ZONE_INSTANCES: u32 = 120;
/// Addresses of one zone that components can have.
pub const ZONE_ADDRESSES: u32 = 253;
/// Replicas of one component on one machine.
pub const REPLICAS: RangeInclusive<u32> = 1..=64;
/// Arguments of a command; what needs more belongs in a script that is under version control.
pub const ARGUMENTS: usize = 128;
/// Bytes of one argument, of a variable's value or of a path: PATH_MAX of Linux.
pub const TEXT_VALUE_BYTES: usize = 4_096;
/// Files in an image, volumes, migrations, variables or secrets of one component, and registries of one build.
pub const PARTS: usize = 128;
/// Requirements or paths of one suite.
pub const SUITE_PARTS: usize = 1_000;
/// Characters of a migration's id: it stands in file names of restore points.
pub const MIGRATION_ID: usize = 64;

/// Memory of an instance in MiB. 4 is the least in which a static program starts under runc.
pub const MEMORY_MIB: RangeInclusive<u32> = 4..=1_048_576;
/// Memory if the manifest says nothing: enough for a small service, little enough that a leak shows in tests.
pub const MEMORY_MIB_DEFAULT: u32 = 256;
/// Share of a core in percent. Below 5 the kernel's 100 ms period gives slices too short to answer a health check.
pub const CPU_PERCENT: RangeInclusive<u32> = 5..=25_600;
/// Share of a core if the manifest says nothing: one whole core.
pub const CPU_PERCENT_DEFAULT: u32 = 100;
/// Processes and threads. Below 4 most runtimes can not start their own threads.
pub const PIDS: RangeInclusive<u32> = 4..=32_768;
/// Processes and threads if the manifest says nothing: a thread pool on a large machine, not a fork bomb.
pub const PIDS_DEFAULT: u32 = 128;
/// Size of `/tmp` in MiB. It is in memory and counts as the instance's own.
pub const TMP_MIB: RangeInclusive<u32> = 0..=65_536;
/// Size of `/tmp` if the manifest says nothing, but never more than half of the memory.
pub const TMP_MIB_DEFAULT: u32 = 64;
/// Milliseconds between SIGTERM and SIGKILL. Five minutes is more than any clean stop of a service takes.
pub const STOP_TIMEOUT_MS: RangeInclusive<u32> = 100..=300_000;
/// Milliseconds between SIGTERM and SIGKILL if the manifest says nothing: half of what the edge holds requests for, so
/// that a component that does not stop by itself can still hand over.
pub const STOP_TIMEOUT_MS_DEFAULT: u32 = 5_000;

/// Milliseconds between health checks. Oftener than every 20 ms the checks are the load.
pub const HEALTH_INTERVAL_MS: RangeInclusive<u32> = 20..=60_000;
/// Milliseconds between health checks if the manifest says nothing: an outage shows within a second or two.
pub const HEALTH_INTERVAL_MS_DEFAULT: u32 = 500;
/// Milliseconds for one health check.
pub const HEALTH_TIMEOUT_MS: RangeInclusive<u32> = 20..=60_000;
/// Milliseconds for one health check if the manifest says nothing.
pub const HEALTH_TIMEOUT_MS_DEFAULT: u32 = 1_000;
/// Milliseconds from start to well. Half an hour covers a large database that replays its journal.
pub const HEALTH_DEADLINE_MS: RangeInclusive<u32> = 100..=1_800_000;
/// Milliseconds from start to well if the manifest says nothing.
pub const HEALTH_DEADLINE_MS_DEFAULT: u32 = 30_000;

/// Seconds for one build. Four hours is a cold build of a large system on two cores.
pub const BUILD_TIMEOUT_S: RangeInclusive<u32> = 1..=14_400;
/// Seconds for one build if the manifest says nothing.
pub const BUILD_TIMEOUT_S_DEFAULT: u32 = 1_800;
/// Seconds for one run of a suite.
pub const SUITE_TIMEOUT_S: RangeInclusive<u32> = 1..=14_400;
/// Seconds for one run of a suite if the manifest says nothing.
pub const SUITE_TIMEOUT_S_DEFAULT: u32 = 600;

/// Seconds of watching after the switch. Never none: a version that nobody watched is a version nobody tested in
/// traffic. A week is the longest watch that still ends before the next release.
pub const WATCH_S: RangeInclusive<u32> = 1..=604_800;
/// Seconds of watching if the manifest says nothing.
pub const WATCH_S_DEFAULT: u32 = 60;
/// The share of failed requests in hundredths of a percent if the manifest says nothing: one in a hundred.
pub const ERROR_LIMIT_BP_DEFAULT: u32 = 100;
/// Requests below which the share of failed ones says nothing.
pub const ERROR_MIN_REQUESTS: RangeInclusive<u32> = 1..=1_000_000;
/// Requests below which the share says nothing, if the manifest says nothing: one failure in fewer is above one percent anyway.
pub const ERROR_MIN_REQUESTS_DEFAULT: u32 = 20;
/// Seconds for the old version to finish. A day covers a trading session.
pub const DRAIN_S: RangeInclusive<u32> = 0..=86_400;
/// Seconds for the old version to finish if the manifest says nothing: most HTTP clients give up by then.
pub const DRAIN_S_DEFAULT: u32 = 30;
/// Milliseconds that the edge may hold requests. Longer than a minute, clients have gone.
pub const HOLD_MS: RangeInclusive<u32> = 0..=60_000;
/// Milliseconds that the edge may hold requests if the manifest says nothing.
pub const HOLD_MS_DEFAULT: u32 = 10_000;
/// Approvals that an environment can ask for in all, where the charter asks for fewer; more persons than that are not reached in a day.
pub const APPROVALS: RangeInclusive<u32> = 1..=20;
/// Seconds that a release must have run in the environment before; 30 days.
pub const SOAK_S: RangeInclusive<u32> = 0..=2_592_000;

/// Steps of a canary; more than ten are one step in disguise.
pub const CANARY_STEPS: usize = 10;
/// Percent of clients that a step gives the new version, or that stay with the old one.
pub const SHARE_PERCENT: RangeInclusive<u32> = 1..=99;
/// Seconds of a step if the manifest says nothing: a minute shows what a cache that warms up does.
pub const STEP_S_DEFAULT: u32 = 60;
/// Seconds of a step: at least one tick; a day for a cohort that works in one time zone.
pub const STEP_S: RangeInclusive<u32> = 1..=86_400;
/// Percent of clients kept on the old version if the manifest says nothing: enough to compare with at most loads.
pub const KEEP_PERCENT_DEFAULT: u32 = 5;
/// Percent of clients kept on the old version. More than half is not a promotion.
pub const KEEP_PERCENT: RangeInclusive<u32> = 1..=50;
/// Seconds until an undecided rollout goes back if the manifest says nothing: four hours.
pub const UNDECIDED_S_DEFAULT: u32 = 14_400;
/// Seconds until an undecided rollout goes back; a week, as the longest watch.
pub const UNDECIDED_S: RangeInclusive<u32> = 1..=604_800;
/// People whose reports of trouble hold a rollout. One is enough for a small firm; more than a thousand never come.
pub const REPORTS_HOLD: RangeInclusive<u32> = 1..=1_000;
/// Seconds that the agent may be silent if the manifest says nothing: a restart of a host's processes takes less.
pub const SILENCE_S_DEFAULT: u32 = 60;
/// Seconds that the agent may be silent. Below 5 its own restart would end a rollout.
pub const SILENCE_S: RangeInclusive<u32> = 5..=3_600;
/// Milliseconds of a tick if the manifest says nothing; docs/statistics.md.
pub const TICK_MS_DEFAULT: u32 = 1_000;
/// Milliseconds of a tick.
pub const TICK_MS: RangeInclusive<u32> = 250..=10_000;
/// Names or claims of a cohort; what is larger is a claim of a token.
pub const COHORT: usize = 256;
/// A ratio of failures in percent of the old version's.
pub const RATIO_PERCENT: RangeInclusive<u32> = 100..=10_000;
/// Failures in a million requests: up to one in ten.
pub const ADDED_PPM: RangeInclusive<u32> = 0..=100_000;
/// By how many percent answers may be slower.
pub const SLOWER_PERCENT: RangeInclusive<u32> = 0..=10_000;
/// The chance of a false rollback in a million: at most one in twenty.
pub const FALSE_ROLLBACK_PPM: RangeInclusive<u32> = 1..=50_000;

/// Versions that run at once. Each costs its instances; the edge knows sixteen behind one address, and a rollout adds one.
pub const VERSIONS: RangeInclusive<u32> = 2..=12;
/// Versions that run at once if the manifest says nothing.
pub const VERSIONS_DEFAULT: u32 = 4;
/// Channels that one release takes.
pub const CHANNELS: usize = 16;
/// Seconds that somebody counts as a client after a request. The edge names clients of the last day.
pub const CLIENT_S: RangeInclusive<u32> = 1..=86_400;
/// Seconds that somebody counts as a client if the manifest says nothing: who comes once a day is one.
pub const CLIENT_S_DEFAULT: u32 = 86_400;
/// Seconds without a client until a version retires by itself; a year covers who comes once a year.
pub const RETIRE_AFTER_S: RangeInclusive<u32> = 1..=31_622_400;
/// The longest lease in seconds: a quarter. After an edge has started again, nothing is retired for as long.
pub const LEASE_S: RangeInclusive<u32> = 1..=7_948_800;
/// The longest lease in seconds if the manifest says nothing: a day.
pub const LEASE_S_DEFAULT: u32 = 86_400;
/// Characters of a domain: a version's label of 63 and a dot fit before it in a name of 253.
pub const DOMAIN: usize = 189;
/// Counters, and invariants, of one environment: each has a part of one chance of a false alarm.
pub const READINGS: usize = 16;
/// Seconds for which something may be unreadable if the manifest says nothing: a component that starts again takes less.
pub const UNREADABLE_S_DEFAULT: u32 = 15;
/// Seconds for which something may be unreadable, while clients are on a version of which that is not known.
pub const UNREADABLE_S: RangeInclusive<u32> = 1..=3_600;
/// A quarter more of what a counter counts is harmless, as of failures.
pub const COUNTER_RATIO_PERCENT_DEFAULT: u32 = 125;
/// And one in a thousand on top: a burst of one instance is no fault.
pub const COUNTER_ADDED_PPM_DEFAULT: u32 = 1_000;
/// Twice as many must be ruled out, as of failures.
pub const COUNTER_PROMOTE_RATIO_PERCENT_DEFAULT: u32 = 200;
/// And one in a hundred on top: an instance is one voice, so that little takes long.
pub const COUNTER_PROMOTE_ADDED_PPM_DEFAULT: u32 = 10_000;
/// What an invariant may be: beyond, the numbers of an exposition are no longer exact.
pub const EQUALS: RangeInclusive<i64> = -(1 << 53)..=1 << 53;

/// Classes of requests of one component; people must be able to say which of two matters more.
pub const CLASSES: usize = 8;
/// Paths or methods of one class.
pub const CLASS_PARTS: usize = 64;
/// Characters of a class's name, which stands in every sample of its metrics, and of a method.
pub const CLASS_NAME: usize = 32;
/// Milliseconds that a request waits for its turn. Nobody waits ten seconds for an answer that may be a refusal.
pub const QUEUE_MS: RangeInclusive<u32> = 1..=10_000;
/// Milliseconds that a request waits for its turn if the manifest says nothing: what people do not notice yet.
pub const QUEUE_MS_DEFAULT: u32 = 100;
/// Connections of one client, or of all: as many as the edge has descriptors for, several times over.
pub const CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;
/// Requests a second.
pub const REQUESTS_PER_S: RangeInclusive<u32> = 1..=1_000_000;
/// Requests at once.
pub const BURST: RangeInclusive<u32> = 1..=1_000_000;

/// Places that the runtime mounts or that the kernel makes; nothing of a component can be there.
pub const RESERVED_PATHS: &[&str] = &["/proc", "/sys", "/dev", "/tmp", "/run"];
/// Variables that start with this are set by Countersign.
pub const RESERVED_PREFIX: &str = "COUNTERSIGN_";
/// Variables that Countersign sets.
pub const RESERVED_VARIABLES: &[&str] = &["PORT"];
/// The name that stands for clients outside, so no component may have it.
pub const EDGE: &str = "edge";
