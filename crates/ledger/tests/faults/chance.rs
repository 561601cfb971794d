//! Chance from a seed that is printed and can be given again.

use std::time::{Duration, SystemTime};

/// Pseudo-random numbers (xorshift64).
pub struct Chance(u64);

impl Chance {
    /// From the seed in this variable of the environment, or from the clock.
    pub fn new(variable: &str) -> Self {
        let given = std::env::var(variable).ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos())
        });
        println!("to repeat: {variable}={seed}");
        Self::of(seed)
    }

    /// From this seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Self(seed | 1);
        // Neighbouring seeds begin alike.
        for _ in 0..8 {
            chance.number();
        }
        chance
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below this one.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.number() >> 16) % limit
    }

    /// A duration below this one.
    pub fn duration_below(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(limit.as_micros()).unwrap()))
    }
}
