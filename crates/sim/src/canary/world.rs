//! Worlds that a canary may meet: how often requests of either version fail, second by second, and what else happens.

use super::SECONDS;

/// How often the old version fails in most worlds.
pub const P0: f64 = 0.001;

/// What happens to the traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum World {
    /// The trial fails with this chance from the start; at [`P0`] nothing is wrong.
    Steady(f64),
    /// The trial fails with the second chance from the first second on.
    Late(usize, f64),
    /// Both versions fail three in a hundred requests for two minutes, once.
    Incident,
    /// Both versions drift together, down to a third and up to three times.
    Drift,
    /// Both fail three in a thousand where one in a thousand was usual.
    Worse,
    /// The trial fails a bit more often, by less than is harmless.
    Harmless,
    /// The trial is exactly as bad as is harmless at most: a quarter more and two in ten thousand.
    Margin,
    /// Each client that failed tries twice more at once, and fails again.
    Retries,
    /// Each replica by itself, so many times an hour, fails about so many requests within so many seconds. Both versions
    /// have replicas of the size of the trial; the trial has one.
    Bursts {
        /// How often an hour.
        per_hour: f64,
        /// How many requests.
        errors: f64,
        /// For how many seconds.
        seconds: usize,
    },
    /// The trial's share goes from 1 to 5, 10, 25 and 50 %, twelve minutes each.
    Ramp,
}

impl World {
    /// The worlds in which nothing is wrong with the trial, each with its name.
    pub const NULLS: [(&'static str, Self); 10] = [
        ("stationary", Self::Steady(P0)),
        ("shared incident, 3 % for 2 min", Self::Incident),
        ("baseline drifts x1/3..x3", Self::Drift),
        ("baseline 0.3 %, expected 0.1 %", Self::Worse),
        ("harmless +15 %", Self::Harmless),
        ("exactly at the margin", Self::Margin),
        ("client retries x3, not told apart", Self::Retries),
        ("bursts of a replica, 1 an hour x 20", Self::Bursts { per_hour: 1.0, errors: 20.0, seconds: 1 }),
        ("bursts of a replica, 6 an hour x 20", Self::Bursts { per_hour: 6.0, errors: 20.0, seconds: 1 }),
        ("ramp 1-5-10-25-50 %", Self::Ramp),
    ];

    /// The chances of a request of the old and of the new version to fail, where `start` is when an incident begins.
    #[must_use]
    pub fn rates(self, second: usize, start: usize) -> (f64, f64) {
        match self {
            Self::Steady(p1) => (P0, p1),
            Self::Late(from, p1) => (P0, if second >= from { p1 } else { P0 }),
            Self::Incident => {
                let p = if (start..start + 120).contains(&second) { 0.03 } else { P0 };
                (p, p)
            }
            Self::Drift => {
                #[expect(clippy::cast_precision_loss, reason = "seconds of an hour")]
                let part = second as f64 / SECONDS as f64;
                let p = P0 * (1.585 * (2.0 * std::f64::consts::PI * part).sin()).exp2();
                (p, p)
            }
            Self::Worse => (0.003, 0.003),
            Self::Harmless => (P0, 1.15 * P0),
            Self::Margin => (P0, 1.25 * P0 + 2e-4),
            Self::Retries | Self::Bursts { .. } | Self::Ramp => (P0, P0),
        }
    }

    /// The trial's share of the traffic, if it is not the cell's.
    #[must_use]
    pub fn share(self, second: usize) -> Option<f64> {
        match self {
            Self::Ramp => [0.01, 0.05, 0.10, 0.25, 0.50].get(second / 720).copied(),
            _ => None,
        }
    }

    /// How often a client that failed tries again at once.
    #[must_use]
    pub fn retries(self) -> u32 {
        if self == Self::Retries { 2 } else { 0 }
    }

    /// Whether rates are the same all the time.
    #[must_use]
    pub fn is_steady(self) -> bool {
        !matches!(self, Self::Late(..) | Self::Incident | Self::Drift | Self::Ramp)
    }
}
