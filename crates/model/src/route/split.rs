//! Two versions compared on live traffic: which clients go to which, and what is counted of both, tick by tick.
//!
//! It refuses to know what the counts mean: that is the rollout's, which says beforehand what shall be counted.

use serde::{Deserialize, Serialize};

use crate::{ComponentName, Digest, Serial};

/// Clients are divided into this many units by a hash; a share is a number of units.
pub const UNITS: u8 = 100;
/// What [`Split::flags`] holds at most.
pub const MAX_FLAGS: usize = 64;

/// A comparison of two versions behind one route. While it stands, it says where a request goes, and the weights of the
/// backends only which versions may take requests at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Names the comparison. A client keeps its [`unit`] for as long as the comparison lasts, and has another one in the
    /// next.
    pub salt: Digest,
    /// The new version.
    pub trial: Serial,
    /// The version that it is compared with.
    pub control: Serial,
    /// Units below this number go to the trial.
    pub share: u8,
    /// Clients that go to the trial whatever their unit. They are counted for the version but not compared, because they
    /// were not chosen at random.
    pub cohort: Vec<CohortRule>,
    /// Milliseconds without anybody asking for ticks after which all go to the control, until the next table: whoever
    /// compares is not there to go back.
    pub silence_ms: u32,
    /// The length of a tick in milliseconds.
    pub tick_ms: u32,
    /// What is asked of each unit in each tick.
    pub flags: Vec<Flag>,
}

/// Who belongs to a cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CohortRule {
    /// The client with this verified identity: SHA-256 of its text, as [`Identity`](super::Identity) gives it
    /// (`token:alice`). Cookies and addresses prove nothing and match nobody.
    Named(Digest),
    /// Clients whose signed token has this claim with this value.
    Claim {
        /// The claim.
        name: String,
        /// Its value; of a list, one of its elements.
        value: String,
    },
}

/// The two versions of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Arm {
    /// The new version.
    Trial,
    /// The version that it is compared with.
    Control,
}

/// The unit of a client: the first eight bytes of SHA-256(salt ‖ identity), big-endian, modulo [`UNITS`]. The identity is
/// a text as [`Identity`](super::Identity) gives it.
pub fn unit(salt: &Digest, identity: &str) -> u8 {
    let text = [salt.as_bytes(), identity.as_bytes()].concat();
    let first = Digest::of(&text).as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // A remainder by 100 fits.
    u8::try_from(first % u64::from(UNITS)).unwrap_or(0)
}

impl Split {
    /// What names the comparison of two releases that was begun under this generation, the log index of a proposal or of an
    /// order to go back. It follows from these alone, so that nobody chooses which clients get the new version.
    pub fn salt_of(control: &Digest, trial: &Digest, generation: u64) -> Digest {
        Digest::of(format!("comparison {control} {trial} {generation}").as_bytes())
    }

    /// Where the clients of a unit go.
    pub const fn arm(&self, unit: u8) -> Arm {
        if unit < self.share { Arm::Trial } else { Arm::Control }
    }

    /// The version of an arm.
    pub const fn version(&self, arm: Arm) -> &Serial {
        match arm {
            Arm::Trial => &self.trial,
            Arm::Control => &self.control,
        }
    }
}

/// One yes-or-no question about one unit in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Flag {
    /// Whether a request failed: an answer 5xx, no connection, or no whole answer. Tries of the edge on several instances
    /// of a version are one request; a client that tries again is not told from one that asks twice, but both fall into
    /// its unit.
    Failed,
    /// Whether at least so many requests took longer than a bound, from the choice of the version to the answer's head
    /// (over plain TCP to the connection, without an answer to the end).
    Slower {
        /// The bound for the control, in microseconds.
        control_us: u64,
        /// The bound for the trial, in microseconds.
        trial_us: u64,
        /// So many requests.
        count: u32,
    },
}

/// The ticks that an edge still remembers, from the one that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticks {
    /// Differs each time an edge starts: its ticks count from 0 again, and nothing counted before is counted twice.
    pub start: u64,
    /// Ask from here next time.
    pub next: u64,
    /// Finished ticks, oldest first. If there are more than fit in an answer, `next` is where the rest begins.
    pub rows: Vec<TickRow>,
    /// Comparisons in force whose clients all go to the control by now, because nobody asked for ticks for
    /// [`Split::silence_ms`]. It lasts until the next table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silenced: Vec<Digest>,
}

/// What was counted in one tick of one comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TickRow {
    /// Counts the finished ticks of this edge; never used twice.
    pub tick: u64,
    /// The component.
    pub component: ComponentName,
    /// The comparison.
    pub salt: Digest,
    /// The table that was in force during the whole tick; a tick in which the split changed is not reported.
    pub generation: u64,
    /// Its revision.
    pub revision: u64,
    /// Of the trial.
    pub trial: TickTotals,
    /// Of the control.
    pub control: TickTotals,
    /// One row a flag, in the order of [`Split::flags`].
    pub flags: Vec<FlagCounts>,
}

/// Requests of compared clients that ended in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TickTotals {
    /// Requests.
    pub requests: u64,
    /// Of those, failed.
    pub failed: u64,
}

/// How many units each version had in a tick and how many of them were flagged: the four integers that an analysis reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagCounts {
    /// Units of the trial: the share, whether or not each had a request.
    pub trial_units: u32,
    /// Of those, flagged.
    pub trial_flagged: u32,
    /// Units of the control.
    pub control_units: u32,
    /// Of those, flagged.
    pub control_flagged: u32,
}

#[cfg(test)]
mod tests;
