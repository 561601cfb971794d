//! The times that answers took in the last minute, for quantiles.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::limits::{RECENT_MAX_US, RECENT_SLOT, RECENT_SLOTS};

/// What is reported, in parts of a million.
const QUANTILES_PPM: [u32; 6] = [500_000, 750_000, 900_000, 950_000, 990_000, 999_000];
/// Values are kept to so many significant digits.
const DIGITS: u8 = 2;

/// Times in slots of a few seconds; a version without traffic has none.
#[derive(Default)]
pub(crate) struct Recent {
    slots: VecDeque<(Instant, Histogram<u32>)>,
}

impl Recent {
    /// An answer took so long.
    pub(crate) fn took(&mut self, time: Duration, now: Instant) {
        if self.slots.back().is_none_or(|(began, _)| now.saturating_duration_since(*began) >= RECENT_SLOT) {
            self.forget(now);
            // The bounds are fixed and right; without a histogram there are no quantiles, and nothing else suffers.
            let Ok(slot) = Histogram::new_with_max(RECENT_MAX_US, DIGITS) else { return };
            self.slots.push_back((now, slot));
        }
        if let Some((_, slot)) = self.slots.back_mut() {
            slot.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Drops what is older than a minute.
    pub(crate) fn forget(&mut self, now: Instant) {
        let is_old = |began: &Instant| now.saturating_duration_since(*began) >= RECENT_SLOT * RECENT_SLOTS;
        while self.slots.pop_front_if(|(began, _)| is_old(began)).is_some() {}
    }

    /// The quantiles in microseconds; none without answers.
    pub(crate) fn quantiles_us(&mut self, now: Instant) -> Vec<(u32, u64)> {
        self.forget(now);
        let Ok(mut all) = Histogram::<u64>::new_with_max(RECENT_MAX_US, DIGITS) else { return Vec::new() };
        for (_, slot) in &self.slots {
            for value in slot.iter_recorded() {
                all.saturating_record_n(value.value_iterated_to(), u64::from(value.count_at_value()));
            }
        }
        if all.is_empty() {
            return Vec::new();
        }
        QUANTILES_PPM.iter().map(|ppm| (*ppm, all.value_at_quantile(f64::from(*ppm) / 1e6))).collect()
    }
}

#[cfg(test)]
mod tests;
