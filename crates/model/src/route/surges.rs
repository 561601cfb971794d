//! What the edge counted of requests that it let wait or refused, because more was asked than is allowed or can be taken.

use serde::{Deserialize, Serialize};

use crate::ComponentName;

/// The state of one component's admission, and what was counted since the edge started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurgeCounts {
    /// The component.
    pub component: ComponentName,
    /// Requests that its instances are given at once now.
    pub limit: u64,
    /// Requests that they have now and did not answer yet.
    pub in_flight: u64,
    /// Connections refused because one address had as many as it may, or all together had.
    pub connections_refused: u64,
    /// One row a class, the most important first; the last is [`OTHER_CLASS`](crate::release::OTHER_CLASS).
    pub classes: Vec<ClassCounts>,
}

/// What was counted of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCounts {
    /// Its name.
    pub class: String,
    /// Requests let through.
    pub admitted: u64,
    /// Requests that wait now.
    pub waiting: u64,
    /// Requests refused, by reason.
    pub shed: Shed,
    /// Requests of this class refused in the last ten seconds because the component can not take more or the total is
    /// used up; not those of clients that asked for too much.
    pub shed_lately: u64,
}

/// Requests refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shed {
    /// The client asked for more than one may (429).
    pub client: u64,
    /// All together asked for more than they may (503).
    pub total: u64,
    /// At once, because its turn would not come in time, or for a request of a higher class (503).
    pub overload: u64,
    /// Its turn did not come in time (503).
    pub late: u64,
}
