//! How far a rollout is, as the one value that survives a crash.
//!
//! The caller stores it durably after each plan and *before* it does any of the plan's steps; then a crash at any
//! moment costs nothing but doing a step again. It holds both releases whole, so that going back never depends on
//! finding a document elsewhere. This is the wire form, version 1: names and order of fields never change.

use std::{collections::BTreeMap, net::SocketAddr};

use model::{
    CanonicalError, ComponentName, Digest, EnvironmentName, Serial, SystemName, Timestamp, from_json_strict,
    release::Channel, route::Route, to_json,
};
use serde::{Deserialize, Serialize};

use crate::{
    beside::Beside,
    comparison::{Asked, Comparison, Phase},
    instance::{InstanceId, Observed, ObservedInstance},
    intent::Version,
    milestone::Outbox,
    reason::{BackReason, PastIrreversible},
    scene::has_ended,
    watch::Baseline,
};

/// How far the rollout of one system in one environment is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The version of this form; see [`Progress::from_bytes`].
    form: u32,
    /// The environment.
    pub environment: EnvironmentName,
    /// The system.
    pub system: SystemName,
    /// Where it stands.
    pub state: State,
    /// The route table that the edge was last given.
    pub issued: Issued,
    /// Instances that ended by themselves, and how often.
    pub restarts: Vec<Restarts>,
    /// Where instances were told that their peers are, when they were last asked to start.
    pub told: Vec<Told>,
    /// Instances that were told that they drain, or could not be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warned: Vec<InstanceId>,
    /// Steps that keep failing, by what they are in words.
    pub failing: BTreeMap<String, Failing>,
    /// What happened and is not in the log yet.
    pub outbox: Outbox,
    /// Versions that go on beside the latest one, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Beside>,
    /// The version of each channel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<Channel, Digest>,
    /// Since when the latest version is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_since: Option<Timestamp>,
    /// The last proposal by which a version was brought back, so that it is not brought back twice.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub returned: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_none_yet(index: &u64) -> bool {
    *index == 0
}

/// Why bytes are not a progress.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Not the wire form.
    #[error("the stored progress of a rollout can not be read")]
    Form(#[from] CanonicalError),
    /// Of a form that this program does not know.
    #[error("the stored progress of a rollout has form {0}, which this version does not know")]
    Unknown(u32),
}

/// The form written by this program.
const FORM: u32 = 1;

impl Progress {
    /// Nothing was ever released here.
    pub fn nothing(environment: EnvironmentName, system: SystemName) -> Self {
        Self::at(environment, system, State::Idle { current: None, predecessor: None, last: None })
    }

    /// This version runs here: for a host whose stored progress was lost, from what the log says.
    pub fn running(environment: EnvironmentName, version: Version) -> Self {
        let system = version.release.system.clone();
        Self::at(environment, system, State::Idle { current: Some(Box::new(version)), predecessor: None, last: None })
    }

    fn at(environment: EnvironmentName, system: SystemName, state: State) -> Self {
        let issued = Issued { generation: 0, revision: 0, routes: Vec::new() };
        Self {
            form: FORM,
            environment,
            system,
            state,
            issued,
            restarts: Vec::new(),
            told: Vec::new(),
            warned: Vec::new(),
            failing: BTreeMap::new(),
            outbox: Outbox::default(),
            beside: Vec::new(),
            channels: BTreeMap::new(),
            live_since: None,
            returned: 0,
        }
    }

    /// The bytes to store.
    ///
    /// # Errors
    /// If the value has no JSON form, which none of its parts allows.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ProgressError> {
        Ok(to_json(self)?)
    }

    /// Reads exactly those bytes.
    ///
    /// # Errors
    /// If they are anything else. The caller must not go on with an empty progress then: it would not know what runs.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProgressError> {
        let progress: Self = from_json_strict(bytes)?;
        if progress.form == FORM { Ok(progress) } else { Err(ProgressError::Unknown(progress.form)) }
    }

    /// The version that serves when nothing is on its way, else the one that the rollout replaces.
    pub fn current(&self) -> Option<&Version> {
        match &self.state {
            State::Idle { current, .. } => current.as_deref(),
            State::Forward { transition, .. } | State::Back { transition, .. } => transition.from.as_ref(),
            State::Stuck { transition, .. } => Some(&transition.to),
        }
    }

    /// Where to ask the edge for ticks from, while two versions are compared.
    pub fn next_tick(&self) -> Option<u64> {
        self.comparing().map(|(comparison, _)| comparison.next_tick())
    }

    /// What components are to be asked now, of the instances that are there.
    pub fn to_read(&self, observed: &Observed) -> Vec<Asked> {
        let State::Forward { transition, stage: Forward::Comparing { .. } } = &self.state else { return Vec::new() };
        let is_up = |i: &&ObservedInstance| i.id.environment == self.environment && !has_ended(i);
        let seen: Vec<&ObservedInstance> = observed.instances.iter().filter(is_up).collect();
        transition.comparison.as_ref().map(|c| c.targets(transition, &seen)).unwrap_or_default()
    }

    /// The comparison on its way, and who has the new version.
    pub fn comparing(&self) -> Option<(&Comparison, Phase)> {
        match &self.state {
            State::Forward { transition, stage: Forward::Comparing { phase, .. } } => {
                Some((transition.comparison.as_deref()?, *phase))
            }
            _ => None,
        }
    }

    /// The version with this digest, if it is one that it has to do with: what runs, what is on its way, and what ran
    /// before.
    pub fn version(&self, digest: Digest) -> Option<&Version> {
        let known: [Option<&Version>; 3] = match &self.state {
            State::Idle { current, predecessor, .. } => [current.as_deref(), predecessor.as_deref(), None],
            State::Forward { transition, .. } | State::Back { transition, .. } | State::Stuck { transition, .. } => {
                [Some(&transition.to), transition.from.as_ref(), transition.predecessor.as_ref()]
            }
        };
        let beside = self.beside.iter().map(|b| &b.version);
        known.into_iter().flatten().chain(beside).find(|version| version.digest == digest)
    }
}

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum State {
    /// Nothing is on its way.
    Idle {
        /// What runs.
        current: Option<Box<Version>>,
        /// The only version that a rollback may go to, if `current` replaced one.
        predecessor: Option<Box<Version>>,
        /// How the last rollout ended.
        last: Option<Ended>,
    },
    /// A new version is on its way.
    Forward {
        /// From what to what.
        transition: Box<Transition>,
        /// How far.
        stage: Forward,
    },
    /// It goes back to the version before.
    Back {
        /// From what to what it was going.
        transition: Box<Transition>,
        /// Why it goes back.
        why: BackReason,
        /// How far.
        stage: Back,
    },
    /// The new version failed its watch past an irreversible migration. Both sets are kept; a person decides.
    Stuck {
        /// From what to what.
        transition: Box<Transition>,
        /// What went wrong.
        why: BackReason,
        /// What can be done.
        way_out: PastIrreversible,
    },
}

/// From what to what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// What ran before; nothing at the first release.
    pub from: Option<Version>,
    /// What shall run.
    pub to: Version,
    /// What the predecessor was before this began; it is again after going back.
    pub predecessor: Option<Version>,
    /// What the new version had been asked when this began.
    pub baseline: Vec<Baseline>,
    /// What the version before had been asked then, if the two are to be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// The two compared, once clients are divided between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Box<Comparison>>,
    /// How the new version ran beside the old one before; it goes on so after going back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was_beside: Option<Box<Beside>>,
}

/// What a version had been asked at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The moment.
    pub at: Timestamp,
    /// Each of its components.
    pub counts: Vec<Baseline>,
}

/// How far a rollout is on its way forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Forward {
    /// The new set is being started beside the old one, but for exclusive components.
    StartingNew,
    /// Exclusive components hand over, one after the other.
    HandingOver {
        /// Those that have.
        handed: Vec<ComponentName>,
        /// The one that does.
        component: ComponentName,
        /// When its requests began to be held.
        held_since: Timestamp,
        /// How far.
        stage: HandOver,
    },
    /// The edge is given the routes to the new set. From here on requests may change state.
    Switching {
        /// Since when.
        since: Timestamp,
    },
    /// Clients are divided between the two sets, which are compared.
    Comparing {
        /// Who has the new version.
        phase: Phase,
        /// Since when.
        since: Timestamp,
        /// When the first phase began.
        begun: Timestamp,
    },
    /// All requests go to the new set; the old one stands by.
    Watching {
        /// Since when.
        since: Timestamp,
    },
    /// The watch is over; the old set finishes what it is doing.
    Draining {
        /// Since when.
        since: Timestamp,
        /// Whether there were enough requests to judge by.
        judged: bool,
    },
    /// The old set is stopped and removed.
    Retiring {
        /// Whether there were enough requests to judge by.
        judged: bool,
    },
}

/// How far one exclusive component has handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HandOver {
    /// The edge shall hold requests.
    Holding,
    /// It does; the old instance finishes those that it has.
    Draining {
        /// Since when.
        since: Timestamp,
    },
    /// The old instance shall end.
    Stopping {
        /// Since when.
        since: Timestamp,
    },
    /// Its volumes are copied.
    Saving {
        /// Since when; an older copy is of an earlier attempt.
        since: Timestamp,
    },
    /// The new instance shall start and become well.
    Starting,
}

/// How far a rollout is on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Back {
    /// The edge is given the routes to the old set.
    Routing {
        /// Exclusive components that must be handed back, in this order.
        returns: Vec<Return>,
    },
    /// An exclusive component is handed back.
    HandingBack {
        /// The one that is.
        current: Return,
        /// Those that will be.
        rest: Vec<Return>,
        /// How far.
        stage: HandBack,
    },
    /// The new set finishes what it is doing.
    Draining {
        /// Since when.
        since: Timestamp,
    },
    /// The new set is stopped and removed.
    Removing,
}

/// An exclusive component that must be handed back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Return {
    /// Which.
    pub component: ComponentName,
    /// Where the new version left it.
    pub left: Left,
}

/// Where the new version left an exclusive component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Left {
    /// The new instance was never started: the state is untouched.
    Untouched,
    /// It was started but never given a request: the state goes back to the restore point and nothing is lost.
    Unopened,
    /// It was given requests: the state stays as it is, which the old version can use (its migrations are reversible).
    Opened,
}

/// How far one exclusive component has been handed back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HandBack {
    /// The edge shall hold requests.
    Holding,
    /// It does; the new instance finishes those that it has.
    Draining {
        /// Since when.
        since: Timestamp,
    },
    /// The new instance shall end.
    Stopping,
    /// The volumes are put back as they were.
    Restoring,
    /// The old instance shall start and become well.
    Starting,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ended {
    /// The new version runs alone.
    Done {
        /// Whether there were enough requests to judge it by; if not, only health checks spoke for it.
        judged: bool,
    },
    /// The version before runs alone again.
    WentBack {
        /// The version that failed.
        serial: Serial,
        /// Its digest.
        digest: Digest,
        /// The generation of the attempt; the same digest is tried again only with a higher one.
        generation: u64,
        /// Why.
        why: BackReason,
    },
}

/// The route table that the edge was last given. Invariant `generation-grows` of [`model::route::RouteTable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Its generation.
    pub generation: u64,
    /// Its revision.
    pub revision: u64,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// How often an instance ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restarts {
    /// Which.
    pub instance: InstanceId,
    /// How often since it last ran well for long.
    pub times: u32,
    /// The end that was counted last.
    pub ended: Timestamp,
    /// Not before this time again.
    pub again: Timestamp,
}

/// Where an instance was told that its peers are. It is not told again while it runs, so if one of them moves it has to
/// be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Which.
    pub instance: InstanceId,
    /// As in [`crate::instance::InstanceSpec::peers`].
    pub peers: BTreeMap<String, Vec<SocketAddr>>,
}

/// A step that keeps failing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// How often in a row.
    pub times: u32,
    /// Whether the rollout on its way can not succeed without it.
    pub blocks: bool,
    /// What the executor said last.
    pub error: String,
}

#[cfg(test)]
mod tests;
