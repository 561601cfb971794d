//! Samples of what a component counted in a tick, so that instances of both versions are asked about equally many things
//! whatever share of clients they have.
//!
//! It refuses to know what was counted. Which things are drawn follows from the name of the comparison, the counter, the
//! tick and the instance, so that it is the same again after a crash.

use model::Digest;

/// A sample of more finds something bad in every tick, or takes longer than it is worth.
const LARGEST: u64 = 1_000;
/// About a third of samples should find something bad: seldom enough to see more of it, and often enough to see it soon.
const FOUND_PERCENT: u64 = 35;

/// What draws are made from: one tick of one counter.
pub(super) struct Seed {
    pub(super) salt: Digest,
    pub(super) name: Digest,
    pub(super) of: Digest,
    pub(super) tick: u64,
}

/// The draws of one instance in one tick.
pub(super) struct Draws(u64);

/// How large a sample should be where so many of so many were bad.
pub(super) fn best(bad: u64, of: u64) -> u64 {
    // One more of each, so that what never happened is not taken to be impossible.
    let largest =
        u128::from(of.saturating_add(1)) * u128::from(FOUND_PERCENT) / 100 / u128::from(bad.saturating_add(1));
    u64::try_from(largest).unwrap_or(LARGEST).clamp(1, LARGEST)
}

/// How large it is in a tick in which the instances of both versions had so many things each: the size at most that makes
/// most of the side that can say less. It reads no outcome, only how much there was.
pub(super) fn size(at_most: u64, trial: &[u64], control: &[u64]) -> u64 {
    let mut best = (0_u128, 0);
    for size in trial.iter().chain(control).map(|of| at_most.min(*of)) {
        let able = |side: &[u64]| side.iter().filter(|of| **of >= size).count();
        let worth = able(trial).min(able(control)) as u128 * u128::from(size);
        best = best.max((worth, size));
    }
    if best.0 == 0 { 0 } else { best.1 }
}

impl Seed {
    pub(super) fn of(&self, instance: &str) -> Draws {
        let parts =
            [self.salt.as_bytes().as_slice(), self.name.as_bytes(), self.of.as_bytes(), &self.tick.to_be_bytes()];
        let digest = Digest::of(&[parts.concat().as_slice(), instance.as_bytes()].concat());
        Draws(digest.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }
}

impl Draws {
    /// Whether a sample of this size, drawn without putting back, has a bad one in it.
    pub(super) fn finds(mut self, of: u64, bad: u64, size: u64) -> bool {
        let bad = bad.min(of);
        (0..size.min(of)).any(|drawn| self.below(of - drawn) < bad)
    }

    /// A number below a limit, all alike but for one part in 2^64 / limit.
    fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests;
