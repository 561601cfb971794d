//! Why: why a rollout goes back, why one is refused or stuck, and what a plan waits for. Enums that print in
//! people's words; the words are tested.

use std::{fmt, net::SocketAddr};

use model::{ComponentName, Digest, EnvironmentName, Serial, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{instance::InstanceId, watch::Tally};

/// Why a rollout goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BackReason {
    /// An instance was well and is not any more, or was not within its deadline.
    #[error("{instance} is not healthy: {why}")]
    Unhealthy {
        /// Which.
        instance: InstanceId,
        /// What the last check said.
        why: String,
    },
    /// An instance ended.
    #[error("{instance} ended with code {code}{}", if *out_of_memory { ", out of memory" } else { "" })]
    Exited {
        /// Which.
        instance: InstanceId,
        /// Its exit code.
        code: i32,
        /// Whether the kernel ended it for want of memory.
        out_of_memory: bool,
    },
    /// An instance that was well is gone altogether.
    #[error("{instance} is gone")]
    Gone {
        /// Which.
        instance: InstanceId,
    },
    /// An instance runs otherwise than it was started.
    #[error("{instance} drifted: {what}")]
    Drifted {
        /// Which.
        instance: InstanceId,
        /// What differs.
        what: String,
    },
    /// Too many requests failed.
    #[error("{} of {} requests to {component} failed, more than {}.{:02} %", tally.errors, tally.requests, limit_bp / 100, limit_bp % 100)]
    Errors {
        /// Of which component.
        component: ComponentName,
        /// How many.
        tally: Tally,
        /// The limit, in hundredths of a percent.
        limit_bp: u32,
    },
    /// It is worse than the version before.
    #[error("{component} is worse than before: {what}{}", evidence(.times))]
    Worse {
        /// Which component.
        component: ComponentName,
        /// In what.
        what: String,
        /// A version that is no worse would look so bad once in so many rollouts at most; 0 if it may never be.
        times: u64,
    },
    /// Neither was shown in time.
    #[error("in {limit_s} s it could not be shown whether it is worse: {waited_for}")]
    Undecided {
        /// The time that it had.
        limit_s: u32,
        /// What was missing.
        waited_for: String,
    },
    /// What the edge counted can not be.
    #[error("what was counted of {component} can not be: {why}")]
    Unreadable {
        /// Of which component.
        component: ComponentName,
        /// Why not.
        why: String,
    },
    /// What a component should say of itself could not be read for too long.
    #[error("{what} of {component} could not be read for {limit_s} s: {why}")]
    NotRead {
        /// Of which component.
        component: ComponentName,
        /// What.
        what: String,
        /// The time that it had.
        limit_s: u32,
        /// Why not.
        why: String,
    },
    /// A step failed each time that it was tried.
    #[error("{step} failed {times} times: {error}")]
    StepFailed {
        /// The step, in words.
        step: String,
        /// How often.
        times: u32,
        /// What the executor said last.
        error: String,
    },
    /// The old instance of an exclusive component did not stop in time.
    #[error("{component} of {serial} did not stop within {limit_ms} ms")]
    NotStopped {
        /// Which component.
        component: ComponentName,
        /// Of which version.
        serial: Serial,
        /// The limit.
        limit_ms: u64,
    },
    /// The hand-over of an exclusive component stood still for longer than requests may be held.
    #[error("the hand-over of {component} stood still for longer than requests may wait ({limit_ms} ms)")]
    HoldTooLong {
        /// Which component.
        component: ComponentName,
        /// The limit.
        limit_ms: u64,
    },
    /// The verdict was withdrawn.
    #[error("the verdict for {serial} was withdrawn")]
    Withdrawn {
        /// For which version.
        serial: Serial,
    },
    /// A halt came while requests were held, which can not stay so.
    #[error("a halt came while {component} was being handed over")]
    Halted {
        /// Which component.
        component: ComponentName,
    },
    /// The version before was asked for.
    #[error("a rollback to {to} was ordered")]
    Ordered {
        /// Back to which version.
        to: Serial,
    },
    /// Another version was approved in its place.
    #[error("{by} was approved in its place")]
    Superseded {
        /// By which version.
        by: Serial,
    },
}

/// Why a rollout does not begin, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Refusal {
    /// The approval was for another transition.
    #[error(
        "{target} was approved to replace {}, but {} runs; propose it again against what runs",
        shown(approved),
        shown(running)
    )]
    Replaces {
        /// The version that should run.
        target: Serial,
        /// What it was approved to replace.
        approved: Option<Digest>,
        /// What runs.
        running: Option<Digest>,
    },
    /// It is of another system.
    #[error("{target} is not of the system that runs here, {running}")]
    OtherSystem {
        /// The version that should run.
        target: Serial,
        /// What runs.
        running: Serial,
    },
    /// Two releases with one serial.
    #[error("another release is already running as {target}; a serial belongs to one release")]
    SameSerial {
        /// The serial.
        target: Serial,
    },
    /// The release does not say how it is put into this environment.
    #[error("{target} has no environment `{environment}`; add `[environments.{environment}]` to its manifest")]
    NoEnvironment {
        /// The version that should run.
        target: Serial,
        /// The environment.
        environment: EnvironmentName,
    },
    /// An exclusive component with several replicas, or none.
    #[error("{component} has a volume that only one may write, so it needs exactly one replica")]
    ExclusiveReplicas {
        /// The component.
        component: ComponentName,
    },
    /// A component that is exclusive in one of the two versions only.
    #[error(
        "{component} has an exclusive volume in only one of {from} and {to}; give the component with the other kind of volume another name"
    )]
    ExclusiveChanged {
        /// The component.
        component: ComponentName,
        /// What runs.
        from: Serial,
        /// What should run.
        to: Serial,
    },
    /// Two listeners of the edge on one address.
    #[error(
        "the edge would listen on port {port} for both {first} and {second}; give exclusive components ports of their own"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// One component.
        first: ComponentName,
        /// The other.
        second: ComponentName,
    },
    /// Flows in a circle: none of these could be told where the next one is.
    #[error("the flows of {0} form a circle; a component can only be told of others that started before it", names(.components))]
    FlowCircle {
        /// The components.
        components: Vec<ComponentName>,
    },
    /// More than one component with an irreversible migration.
    #[error(
        "{first} and {second} both have an irreversible migration; release them one after the other, so that each can still go back until its switch"
    )]
    TwoIrreversible {
        /// One component.
        first: ComponentName,
        /// The other.
        second: ComponentName,
    },
    /// A rollback to something else than the immediate predecessor.
    #[error("{target} is not the immediate predecessor of {running}; {}", match predecessor { Some(p) => format!("{p} is"), None => "there is none to go back to".to_owned() })]
    NotPredecessor {
        /// The version asked for.
        target: Serial,
        /// What runs.
        running: Serial,
        /// The immediate predecessor.
        predecessor: Option<Serial>,
    },
    /// A rollback past an irreversible migration.
    #[error(transparent)]
    Irreversible(PastIrreversible),
    /// As many versions run side by side as the manifest allows.
    #[error("{target} would be one more than the {most} versions that may run side by side ({}); retire one: `countersign versions` shows who uses which", serials(.running))]
    TooManyVersions {
        /// The version asked for.
        target: Serial,
        /// The bound.
        most: u32,
        /// What would stay.
        running: Vec<Serial>,
    },
    /// A version that stays is reached at the address for another component.
    #[error(
        "{listen} is where clients of {running} reach {other}, and the release asks for it for {component}; give {component} another address"
    )]
    ListenerTaken {
        /// The address.
        listen: SocketAddr,
        /// Who asks for it.
        component: ComponentName,
        /// Who has it.
        other: ComponentName,
        /// In which version.
        running: Serial,
    },
    /// A version that stays could not work on the state any more.
    #[error(
        "an irreversible migration of {component} would break {running}, which goes on beside it; retire {running} first, or make the migration reversible"
    )]
    BreaksBeside {
        /// Whose state.
        component: ComponentName,
        /// Which version would break.
        running: Serial,
    },
}

/// The way back leads past an irreversible migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error(
    "{to} can not take over from {from}: the migration `{migration}` of {component} is irreversible and {from} has taken requests since; \
     release a version that works on the migrated state, or restore the volume of {component} as it was before {from}{}, which loses what was written since",
    restore_point(.saved_at)
)]
pub struct PastIrreversible {
    /// What runs.
    pub from: Serial,
    /// The version before.
    pub to: Serial,
    /// The component whose state was migrated.
    pub component: ComponentName,
    /// The migration.
    pub migration: String,
    /// When the restore point was taken, if there is one.
    pub saved_at: Option<Timestamp>,
}

/// What a plan waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wait {
    /// The environment is halted.
    #[error("halted: no step forward until two people resume")]
    Halted,
    /// There is no current verdict.
    #[error("no current verdict: {why}")]
    NoVerdict {
        /// Why not.
        why: String,
    },
    /// The verdict was withdrawn; nothing begins, what runs goes on.
    #[error("the verdict for {serial} was withdrawn; nothing new starts, what runs goes on")]
    Withdrawn {
        /// For which version.
        serial: Serial,
    },
    /// An instance was asked to start.
    #[error("{instance} to start")]
    Start {
        /// Which.
        instance: InstanceId,
    },
    /// An instance runs and is not well yet.
    #[error("{instance} to become healthy, since {since} (limit {deadline_ms} ms)")]
    Healthy {
        /// Which.
        instance: InstanceId,
        /// Since when it runs.
        since: Timestamp,
        /// The deadline of its health check.
        deadline_ms: u32,
    },
    /// An instance is not well, and is given a moment before it is replaced.
    #[error("{instance} to recover: {why}")]
    Recover {
        /// Which.
        instance: InstanceId,
        /// What the last check said.
        why: String,
    },
    /// A component that others must know the address of, or find well, comes first.
    #[error("{component} waits for its peer {peer}")]
    Peer {
        /// Which waits.
        component: ComponentName,
        /// For which.
        peer: ComponentName,
    },
    /// Another instance of an exclusive component still runs.
    #[error("{instance} waits until {other} has ended: only one may write its volume")]
    OneWriter {
        /// Which waits.
        instance: InstanceId,
        /// For which.
        other: InstanceId,
    },
    /// An instance that keeps ending is started again later.
    #[error("{instance} ended {times} times; it is started again at {at}")]
    Backoff {
        /// Which.
        instance: InstanceId,
        /// How often.
        times: u32,
        /// When.
        at: Timestamp,
    },
    /// An instance takes nothing new and is to be told.
    #[error("{instance} to be told that it drains")]
    Drain {
        /// Which.
        instance: InstanceId,
    },
    /// An instance was asked to end.
    #[error("{instance} to end")]
    Stop {
        /// Which.
        instance: InstanceId,
    },
    /// What an ended instance left is being removed.
    #[error("{instance} to be removed")]
    Delete {
        /// Which.
        instance: InstanceId,
    },
    /// The edge has not taken the route table yet.
    #[error("the edge to take route table {generation}.{revision}; it has {has_generation}.{has_revision}")]
    Routes {
        /// Of the table that it should have.
        generation: u64,
        /// Of the table that it should have.
        revision: u64,
        /// Of the table that it has.
        has_generation: u64,
        /// Of the table that it has.
        has_revision: u64,
    },
    /// Requests that began on one version finish on it.
    #[error("{requests} requests in flight on {serial} to finish, until {until} at the latest")]
    InFlight {
        /// On which version.
        serial: Serial,
        /// How many.
        requests: u64,
        /// How long at most.
        until: Timestamp,
    },
    /// Volumes are being copied.
    #[error("a restore point of {component}")]
    RestorePoint {
        /// Of which component.
        component: ComponentName,
    },
    /// Volumes are being put back.
    #[error("the volume of {component} to be as it was before {before}")]
    Restore {
        /// Of which component.
        component: ComponentName,
        /// Before which version.
        before: Serial,
    },
    /// The new version is being watched.
    #[error("watching {serial} until {until}: {} requests, {} errors so far", tally.requests, tally.errors)]
    Watching {
        /// Which.
        serial: Serial,
        /// How long.
        until: Timestamp,
        /// What was counted.
        tally: Tally,
    },
    /// Clients are divided and the versions compared.
    #[error("{serial} has {share} % of clients: {}", words.join("; "))]
    Comparing {
        /// The new version.
        serial: Serial,
        /// Its share.
        share: u8,
        /// What it waits for.
        words: Vec<String>,
    },
    /// A step keeps failing.
    #[error("{step}, which failed {times} times: {error}")]
    Failing {
        /// The step, in words.
        step: String,
        /// How often.
        times: u32,
        /// What the executor said last.
        error: String,
    },
    /// An approved version waits until the one on its way is done.
    #[error("{serial} until the rollout of {running} is done")]
    Queued {
        /// Which waits.
        serial: Serial,
        /// For which.
        running: Serial,
    },
    /// Something runs that the records do not explain. It is left alone, and nothing is started beside it.
    #[error("a person: {instance} runs here, but nothing says that any version should")]
    Unexplained {
        /// Which.
        instance: InstanceId,
    },
    /// A version that was ordered to be retired still has clients.
    #[error("{serial} is not retired while it has clients: {}", words.join("; "))]
    Held {
        /// Which.
        serial: Serial,
        /// Who holds it.
        words: Vec<String>,
    },
    /// People report trouble with the new version.
    #[error(
        "somebody to look: {reporters} people report trouble with {serial}, and {hold} hold it; `countersign alarms` shows \
         what to acknowledge, and after {limit_s} s it goes back"
    )]
    Reported {
        /// Which version.
        serial: Serial,
        /// How many report.
        reporters: u32,
        /// How many hold it.
        hold: u32,
        /// For how long it may be held.
        limit_s: u32,
    },
    /// A version can not be brought back yet.
    #[error("{serial} is not brought back: {why}")]
    Return {
        /// Which.
        serial: Serial,
        /// Why not.
        why: String,
    },
    /// The rollout stands where neither way is safe.
    #[error("a person: {why}; {way_out}")]
    Person {
        /// What went wrong.
        why: BackReason,
        /// What can be done.
        way_out: PastIrreversible,
    },
}

fn shown(digest: &Option<Digest>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), |d| d.short())
}

fn evidence(times: &u64) -> String {
    if *times == 0 { ", which must never happen".to_owned() } else { format!(" ({times} to 1)") }
}

fn serials(serials: &[Serial]) -> String {
    serials.iter().map(Serial::to_string).collect::<Vec<_>>().join(", ")
}

fn names(components: &[ComponentName]) -> String {
    let mut text = String::new();
    for (n, component) in components.iter().enumerate() {
        if n > 0 {
            text.push_str(", ");
        }
        text.push_str(component.as_str());
    }
    text
}

fn restore_point(at: &Option<Timestamp>) -> impl fmt::Display + use<> {
    at.map_or_else(String::new, |at| format!(" (restore point of {at})"))
}

#[cfg(test)]
mod tests;
