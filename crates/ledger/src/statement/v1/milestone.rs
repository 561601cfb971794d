//! Milestones: what an agent did and saw during a rollout and after it.

use std::net::SocketAddr;

use model::{ComponentName, Digest, EnvironmentName, Serial};
use serde::{Deserialize, Serialize};

/// One step of a rollout that is done, or what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release.
    pub release: Digest,
    /// Its serial.
    pub serial: Serial,
    /// The release that it replaces or went back to.
    pub other: Option<Digest>,
    /// The log index of the proposal that the verdict was about.
    pub proposal: u64,
    /// What.
    pub what: MilestoneKind,
    /// The component that it is about, if it is about one.
    pub component: Option<ComponentName>,
    /// Requests that the new version answered by then, where that is part of it.
    pub requests: u64,
    /// Of those, failed.
    pub errors: u64,
    /// Where it runs, for `live`.
    pub placed: Vec<Placed>,
}

/// An instance's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The component.
    pub component: ComponentName,
    /// The image that was seen to run.
    pub image: Digest,
    /// Its address; for an exposed component's row without an image of its own, where clients reach it.
    pub address: SocketAddr,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MilestoneKind {
    /// A verdict was recomputed and a rollout begun.
    Begun,
    /// The new set runs and is well.
    Healthy,
    /// The edge holds the requests of a component.
    Held,
    /// A restore point of a component's state was taken.
    Saved,
    /// An exclusive component was handed over.
    HandedOver,
    /// The edge sends clients to the new set.
    Switched,
    /// The watch ended well.
    Watched,
    /// The old set has finished its requests.
    Drained,
    /// The new set is what runs; the old one is gone.
    Live,
    /// It goes back.
    GoingBack,
    /// A component's state is again as it was at its restore point.
    Restored,
    /// It can neither go on nor back by itself: a person decides.
    Stuck,
    /// An instance of what runs ended by itself and is started again.
    Restarted,
    /// It went back: an instance was not well.
    WentBackUnhealthy,
    /// It went back: too many failed requests.
    WentBackErrors,
    /// It went back: a step could not be done.
    WentBackFailed,
    /// It went back: the verdict was withdrawn or a person said so.
    WentBackWithdrawn,
    /// The new set gets no requests that it could be judged by.
    Quiet,
    /// A share of clients, or a larger one, is sent to the new set.
    Stepped,
    /// It went back: it was worse than the version before.
    WentBackWorse,
    /// It went back: in the time that it had, neither was shown.
    WentBackUndecided,
    /// What runs is not what was started.
    Drifted,
    /// What was asked for was not done, as it had no verdict.
    Refused,
    /// A version that ran beside the latest one is gone: nobody was its client.
    Retired,
    /// A retired version runs again, beside the latest one.
    BroughtBack,
    /// A retired version was to run again, and did not become well.
    NotBroughtBack,
    /// So many people report trouble with it that it goes no further until somebody has seen that.
    Reported,
}

impl MilestoneKind {
    /// Whether it says that a release was gone back from.
    pub const fn is_back(self) -> bool {
        matches!(
            self,
            Self::WentBackUnhealthy
                | Self::WentBackErrors
                | Self::WentBackFailed
                | Self::WentBackWithdrawn
                | Self::WentBackWorse
                | Self::WentBackUndecided
        )
    }

    /// Whether nothing more comes of a rollout.
    pub const fn is_end(self) -> bool {
        self.is_back() || matches!(self, Self::Live | Self::Stuck)
    }
}
