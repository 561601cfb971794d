//! The signed-rank test, exact at every size: the chance that random signs give a sum of ranks at least or at most as high.
//!
//! It refuses to know what the scores mean. Their order counts, not their size.

use serde::{Deserialize, Serialize};

/// More blocks than a run has, and few enough that all signs of them are counted in 64 bits.
pub const MOST_BLOCKS: usize = 62;

/// A chance: so many of 2^`signs` ways to give signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// How many ways.
    pub ways: u64,
    /// How many signs there are to give.
    pub signs: u32,
}

impl Chance {
    /// Whether it is at most this part in millionths, divided by `among`.
    pub fn is_within(self, ppm: u64, among: u64) -> bool {
        let ways = u128::from(self.ways) * 1_000_000 * u128::from(among);
        ways <= u128::from(ppm) << self.signs
    }

    /// The same as a number, for people.
    pub fn as_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "it is shown, not decided by")]
        let ways = self.ways as f64;
        libm::ldexp(ways, -i32::try_from(self.signs).unwrap_or(i32::MAX))
    }
}

impl PartialOrd for Chance {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Chance {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (mine, others) = (u128::from(self.ways) << other.signs, u128::from(other.ways) << self.signs);
        mine.cmp(&others).then(self.signs.cmp(&other.signs))
    }
}

/// What the signs of the scores say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The chance of a sum of positive ranks at least this high.
    pub at_least: Chance,
    /// The chance of one at most this high.
    pub at_most: Chance,
    /// How far the sum is above the middle, in half ranks; 0 is where the Hodges-Lehmann estimate is 0 (Hodges and Lehmann
    /// 1963).
    pub above_middle: i64,
}

/// Ranks the scores by size and asks how likely their signs are. Equal sizes share their middle rank; zeros are ranked and
/// then left out (Pratt 1959). Given the sizes, the chances are exact: all 2^n ways are counted, by dynamic programming over
/// the sum. Scores beyond [`MOST_BLOCKS`] are left out.
pub fn signed_rank(scores: &[i128]) -> Ranked {
    let mut sorted: Vec<i128> = scores.iter().take(MOST_BLOCKS).copied().collect();
    sorted.sort_by_key(|score| score.unsigned_abs());
    // Twice the rank, so that a middle rank is a number.
    let mut ranked: Vec<(i128, usize)> = Vec::with_capacity(sorted.len());
    for same in sorted.chunk_by(|a, b| a.unsigned_abs() == b.unsigned_abs()) {
        let before = ranked.len();
        let double = 2 * before + same.len() + 1;
        ranked.extend(same.iter().map(|score| (*score, double)));
    }
    ranked.retain(|(score, _)| *score != 0);
    let total: usize = ranked.iter().map(|(_, double)| double).sum();
    let observed: usize = ranked.iter().filter(|(score, _)| *score > 0).map(|(_, double)| double).sum();
    let mut ways = vec![0_u64; total + 1];
    if let Some(none) = ways.first_mut() {
        *none = 1;
    }
    let mut reached = 0;
    for (_, double) in &ranked {
        for sum in (0..=reached).rev() {
            let add = ways.get(sum).copied().unwrap_or(0);
            if let Some(to) = ways.get_mut(sum + double) {
                *to += add;
            }
        }
        reached += double;
    }
    let signs = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
    let chance = |ways: u64| Chance { ways, signs };
    let half = |sum: usize| i64::try_from(sum).unwrap_or(i64::MAX);
    Ranked {
        at_least: chance(ways.iter().skip(observed).sum()),
        at_most: chance(ways.iter().take(observed + 1).sum()),
        above_middle: 2 * half(observed) - half(total),
    }
}
