//! Which request is sent next, with which values: by chance from the scenario's seed, so that every thread, both versions of a
//! comparison and whoever repeats the run draw the same.

use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _, rngs::ChaCha8Rng};

use crate::scenario::Scenario;

/// What was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// The request's place in the scenario.
    pub(crate) request: usize,
    /// Its row of data.
    pub(crate) row: usize,
    /// Which of all requests it is.
    pub(crate) number: u64,
    /// Something else for each.
    pub(crate) random: u64,
}

#[derive(Debug)]
pub(crate) struct Draw {
    scenario: Arc<Scenario>,
    random: ChaCha8Rng,
    /// Sums of weights.
    sums: Vec<u64>,
    number: u64,
}

/// Chance for arrivals: another stream than that of requests, so that neither moves the other.
pub(crate) fn of_arrivals(seed: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(1);
    random
}

impl Draw {
    pub(crate) fn new(scenario: Arc<Scenario>) -> Self {
        let mut sum = 0;
        let sums = scenario.requests.iter().map(|request| {
            sum += u64::from(request.weight);
            sum
        });
        let sums = sums.collect();
        Self { random: ChaCha8Rng::seed_from_u64(scenario.seed), scenario, sums, number: 0 }
    }

    pub(crate) fn next(&mut self) -> Drawn {
        let number = self.number;
        self.number += 1;
        let (choice, random) = (self.random.next_u64(), self.random.next_u64());
        let count = self.scenario.requests.len().max(1);
        let request = if self.scenario.recorded {
            usize::try_from(number).unwrap_or(usize::MAX) % count
        } else {
            // The high bits of the product are even over the weights, to a part in 2^64 of them.
            let all = self.sums.last().copied().unwrap_or(1);
            let at = u64::try_from((u128::from(choice) * u128::from(all)) >> 64).unwrap_or_default();
            self.sums.partition_point(|sum| *sum <= at)
        };
        let rows = u64::try_from(self.scenario.rows.len().max(1)).unwrap_or(1);
        Drawn { request, row: usize::try_from(number % rows).unwrap_or_default(), number, random }
    }
}

#[cfg(test)]
mod tests;
