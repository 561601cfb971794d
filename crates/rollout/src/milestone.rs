//! Milestones: what of a rollout belongs in the log, short and machine-readable.
//!
//! They are kept with the progress until the caller says that the log has them, so a crash between the two loses
//! none and, by their numbers, doubles none.

use model::{ComponentName, Digest, Serial};
use serde::{Deserialize, Serialize};

use crate::{
    comparison::{Metric, Saying},
    instance::InstanceId,
    reason::{BackReason, PastIrreversible},
    watch::Tally,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Milestone {
    /// A rollout began.
    Started {
        /// Of which version.
        serial: Serial,
        /// In place of which.
        replaces: Option<Serial>,
        /// Instances that it will have.
        instances: u64,
    },
    /// The new set, but for exclusive components, is well.
    Healthy {
        /// Of which version.
        serial: Serial,
        /// How many instances.
        instances: u64,
    },
    /// The edge holds the requests of a component.
    Held {
        /// Of which component.
        component: ComponentName,
    },
    /// A restore point was taken.
    Saved {
        /// Of which component.
        component: ComponentName,
        /// Before which version.
        before: Serial,
    },
    /// The new instance of an exclusive component is well.
    HandedOver {
        /// Which component.
        component: ComponentName,
        /// Requests that wait for it now.
        held: u64,
    },
    /// The edge sends all requests to the new set.
    Switched {
        /// To which version.
        serial: Serial,
        /// The generation of the route table.
        generation: u64,
        /// The revision of the route table.
        revision: u64,
    },
    /// A share of clients, or a larger one, has the new version.
    Stepped {
        /// Which version.
        serial: Serial,
        /// The share in percent; 0 if it is the cohort alone.
        share: u8,
        /// What was counted of it before.
        tally: Tally,
    },
    /// What was counted while two versions were compared.
    Compared(Box<Compared>),
    /// The new version gets no requests to be judged by.
    Quiet {
        /// Which version.
        serial: Serial,
    },
    /// So many people report trouble with it that it is held until somebody has seen that.
    Reported {
        /// Which version.
        serial: Serial,
    },
    /// The watch is over and found nothing wrong.
    Watched {
        /// Which version.
        serial: Serial,
        /// What was counted.
        tally: Tally,
        /// Whether that was enough to judge by.
        judged: bool,
    },
    /// A set has finished its requests.
    Drained {
        /// Which version.
        serial: Serial,
        /// Which component, if only one.
        component: Option<ComponentName>,
        /// Requests that did not finish in time.
        cut: u64,
    },
    /// The old set is gone and the rollout done.
    Retired {
        /// Which version went.
        serial: Option<Serial>,
        /// Which runs.
        runs: Serial,
    },
    /// It goes back.
    GoingBack {
        /// From which version.
        serial: Serial,
        /// Why.
        reason: BackReason,
    },
    /// The volumes of a component are again as they were.
    Restored {
        /// Which component.
        component: ComponentName,
        /// Before which version.
        before: Serial,
    },
    /// It went back: the failed version is gone.
    WentBack {
        /// From which version.
        serial: Serial,
        /// What runs again.
        runs: Option<Serial>,
        /// Why.
        reason: BackReason,
    },
    /// It can neither go on nor back by itself.
    Stuck {
        /// Which version.
        serial: Serial,
        /// What went wrong.
        reason: BackReason,
        /// What can be done.
        way_out: PastIrreversible,
    },
    /// A version that ran beside the latest one is gone: nobody was its client.
    Gone {
        /// Which.
        serial: Serial,
    },
    /// A retired version runs again, beside the latest one.
    BroughtBack {
        /// Which.
        serial: Serial,
    },
    /// A retired version was to run again, and did not become well.
    NotBroughtBack {
        /// Which.
        serial: Serial,
    },
    /// An instance of what runs ended by itself and is started again.
    Restarted {
        /// Which.
        instance: InstanceId,
        /// How often by now.
        times: u32,
    },
}

/// Some ticks of a comparison, and what follows from all up to the last of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// The new version.
    pub serial: Serial,
    /// The release that it is compared with.
    pub other: Digest,
    /// Names the comparison.
    pub salt: Digest,
    /// Of which component.
    pub component: ComponentName,
    /// What is counted.
    pub metrics: Vec<Metric>,
    /// What it is judged by, in the same order.
    pub plan: stats::Plan,
    /// The number of the first of these ticks, from 0.
    pub first: u64,
    /// The ticks.
    pub ticks: Vec<CountedTick>,
    /// What follows.
    pub answer: Saying,
    /// How long answers took by then.
    #[serde(default)]
    pub times: Vec<Times>,
}

/// The time to an answer at one quantile, in both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Which, in parts of a million.
    pub quantile_ppm: u32,
    /// Of the new version, in microseconds.
    pub trial_us: u64,
    /// Of the old version, in microseconds.
    pub control_us: u64,
}

/// One tick of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountedTick {
    /// The share of clients that had the new version, in percent.
    pub share: u8,
    /// Requests of the new version.
    pub requests: u64,
    /// Requests of the old version.
    pub other_requests: u64,
    /// A row a metric: units of the new version, of those flagged, units of the old version, of those flagged.
    pub counts: Vec<[u32; 4]>,
}

/// A milestone and its number, by which the log's writer knows one that it has already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbered {
    /// Counts the milestones of one system in one environment from 0.
    pub number: u64,
    /// What happened.
    pub milestone: Milestone,
}

/// Milestones that the log does not have yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    next: u64,
    waiting: Vec<Numbered>,
}

/// A rollout has some twenty milestones; restarts come at most once a minute and instance. A thousand is days without a
/// log. Beyond it restarts are no longer noted; everything else always is.
const OUTBOX_LIMIT: usize = 1_000;

impl Outbox {
    /// Those that wait, oldest first.
    pub fn waiting(&self) -> &[Numbered] {
        &self.waiting
    }

    /// Forgets those up to this number: the log has them.
    pub fn logged(&mut self, number: u64) {
        self.waiting.retain(|n| n.number > number);
    }

    pub(crate) fn note(&mut self, milestone: Milestone) {
        if self.waiting.len() >= OUTBOX_LIMIT && matches!(milestone, Milestone::Restarted { .. }) {
            return;
        }
        self.waiting.push(Numbered { number: self.next, milestone });
        self.next = self.next.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
