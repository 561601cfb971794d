//! Steps: what a plan asks the executors to do. Each can be done again without harm.

use model::{ComponentName, EnvironmentName, Serial, route::RouteTable};
use serde::{Deserialize, Serialize};

use crate::instance::{InstanceId, InstanceSpec};

/// One step. Doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Start an instance; done when it runs and `/proc` says that it runs as asked (well or not). One that
    /// has ended stays ended: it is deleted before it is started again, so that a step done twice is done once.
    Start(Box<InstanceSpec>),
    /// Tell it, as its release says, that it takes nothing new and will be stopped; done when it was told, or has ended.
    Drain(InstanceId),
    /// Ask it to end, and end it after its stop timeout; done when it has ended.
    Stop(InstanceId),
    /// Remove what an ended instance leaves: mounts, network, cgroup, files. Its volumes stay.
    Delete(InstanceId),
    /// Copy the volumes of a component while none of its instances runs. A copy of before the same version, from an
    /// earlier attempt, is replaced once the new one is whole; its time is when this one was taken.
    SaveRestorePoint {
        /// In which environment.
        environment: EnvironmentName,
        /// Of which component.
        component: ComponentName,
        /// Before which version first runs.
        before: Serial,
    },
    /// Put the volumes back as they were before this version; what is there now is kept beside.
    Restore {
        /// In which environment.
        environment: EnvironmentName,
        /// Of which component.
        component: ComponentName,
        /// Before which version first ran.
        before: Serial,
    },
    /// Give the edge a route table.
    Route(RouteTable),
}
