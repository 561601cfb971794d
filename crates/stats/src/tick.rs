//! What was counted in one tick: the only thing that an analysis learns.
//!
//! It refuses to know who counted. Counts that can not be are refused before they change anything.

use serde::{Deserialize, Serialize};

use crate::plan::{Measure, Question};

/// Units of both versions together in one tick at most: far above the edge's 100, and sums of them stay exact.
pub const MAX_UNITS: u32 = 1_000_000;
/// Requests of a version in one tick at most: a million a second for a quarter of an hour.
pub const MAX_REQUESTS: u64 = 1_000_000_000;

/// Counts of one tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tick {
    /// Requests of the new version that were compared.
    pub trial_requests: u64,
    /// Requests of the old version that were compared.
    pub control_requests: u64,
    /// One for each measure of the plan, in its order.
    pub counts: Vec<Counts>,
}

/// How many units each version had in a tick and how many of them were flagged. A unit is an equal share of the traffic (a
/// hundredth of the users, or a replica); it is flagged if the event happened in it at least once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Units of the new version, whether or not each had a request.
    pub trial_units: u32,
    /// Of those, flagged.
    pub trial_flagged: u32,
    /// Units of the old version.
    pub control_units: u32,
    /// Of those, flagged.
    pub control_flagged: u32,
}

/// Why a tick was refused. The analysis is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TickError {
    /// Another number of counts than of measures.
    #[error("the tick has `{found}` counts where the plan has `{expected}` measures")]
    Length {
        /// Measures of the plan.
        expected: usize,
        /// Counts of the tick.
        found: usize,
    },
    /// More flagged than there are.
    #[error("in the counts of measure `{measure}` more units are flagged than there are")]
    Flagged {
        /// The measure's place in the plan.
        measure: usize,
    },
    /// Failures where nothing was asked.
    #[error("in the counts of measure `{measure}` units of a version without a request are flagged")]
    WithoutRequests {
        /// The measure's place in the plan.
        measure: usize,
    },
    /// More than [`MAX_UNITS`] units.
    #[error("the counts of measure `{measure}` have more than {MAX_UNITS} units")]
    Units {
        /// The measure's place in the plan.
        measure: usize,
    },
    /// More than [`MAX_REQUESTS`] requests.
    #[error("the tick has more than {MAX_REQUESTS} requests of a version")]
    Requests,
    /// More ticks than sums can hold exactly.
    #[error("the analysis has taken as many ticks as it can count exactly")]
    Full,
}

impl Tick {
    /// Whether these counts can be.
    pub(crate) fn check(&self, measures: &[Measure]) -> Result<(), TickError> {
        if self.counts.len() != measures.len() {
            return Err(TickError::Length { expected: measures.len(), found: self.counts.len() });
        }
        if self.trial_requests > MAX_REQUESTS || self.control_requests > MAX_REQUESTS {
            return Err(TickError::Requests);
        }
        for (measure, (counts, planned)) in self.counts.iter().zip(measures).enumerate() {
            if counts.trial_flagged > counts.trial_units || counts.control_flagged > counts.control_units {
                return Err(TickError::Flagged { measure });
            }
            if u64::from(counts.trial_units) + u64::from(counts.control_units) > u64::from(MAX_UNITS) {
                return Err(TickError::Units { measure });
            }
            // What may never be is seen without anybody asking anything.
            let needs_requests = planned.question != Question::Invariant;
            let unasked = (counts.trial_flagged > 0 && self.trial_requests == 0)
                || (counts.control_flagged > 0 && self.control_requests == 0);
            if needs_requests && unasked {
                return Err(TickError::WithoutRequests { measure });
            }
        }
        Ok(())
    }
}

impl Counts {
    /// Whether both versions have units, so that they can be compared.
    pub(crate) fn comparable(&self) -> bool {
        self.trial_units > 0 && self.control_units > 0
    }
}
