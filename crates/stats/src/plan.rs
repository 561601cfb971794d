//! What an analysis is to decide by, said before the first tick: what is measured, which differences are harmless, and how
//! often it may be wrong. All of it is integers, in millionths, so that it has one form.
//!
//! It refuses to know how the numbers were chosen.

use serde::{Deserialize, Serialize};

use crate::real;

/// The usual chance to go back from a version that is not worse: one rollout in a hundred.
pub const ALPHA_PPM: u32 = 10_000;
/// The usual chance to promote a version that is exactly as bad as the margin for promotion: one in twenty.
pub const BETA_PPM: u32 = 50_000;
/// A difference that would be called one in a twentieth of all comparisons of equals at most holds the share where it is.
pub const HOLD_AT: f64 = 20.0;
/// The usual number of ticks over which a late fault is expected: an hour of seconds. It may go on for longer.
pub const HORIZON_TICKS: u32 = 3600;
/// Up to a quarter more failures and two in ten thousand on top are harmless.
pub const GO_BACK_MARGIN: Margin = Margin { ratio_ppm: 1_250_000, plus_ppm: 200 };
/// A version is promoted when it is clear that it fails less than twice as often, and five in ten thousand on top.
pub const PROMOTE_MARGIN: Margin = Margin { ratio_ppm: 2_000_000, plus_ppm: 500 };
/// The same for slow units: less than half again as many, and two in a hundred on top.
pub const SLOW_PROMOTE_MARGIN: Margin = Margin { ratio_ppm: 1_500_000, plus_ppm: 20_000 };
/// How many unit-ticks of the control a history usually counts for: about 100 s of 100 units.
pub const HISTORY_UNIT_TICKS: u32 = 10_000;
/// More measures than an edge counts flags, and a bound on what one tick costs.
pub const MAX_MEASURES: usize = 128;

const ONE_PPM: u32 = 1_000_000;
/// A margin beyond ten times as many would call everything harmless.
const MOST_RATIO_PPM: u32 = 10 * ONE_PPM;
/// Whoever calls half of all requests failing harmless wants no analysis.
const MOST_PLUS_PPM: u32 = ONE_PPM / 2;
/// Longer than any rollout: four months of ticks of a quarter of a second. It bounds what sums may come to.
const MOST_TICKS: u32 = 50_000_000;

/// What an analysis is to decide by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What is measured, in the order of the counts of each tick.
    pub measures: Vec<Measure>,
    /// The chance to go back from a version that is not worse by more than the margins, in millionths: over the whole
    /// rollout and all measures together.
    pub alpha_ppm: u32,
    /// The chance to call a version ready that is as bad as the margin for promotion in some measure, in millionths.
    pub beta_ppm: u32,
    /// Over so many ticks faults that begin late are expected. The analysis may go on for longer, and stays valid.
    pub horizon_ticks: u32,
}

/// One thing that is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Its part of alpha, in millionths: 0 for an invariant; those of all other measures add up to a million.
    pub weight_ppm: u32,
    /// What is asked of it.
    pub question: Question,
}

/// What is asked of a measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// A unit is flagged if a bad event happened to at least one of its requests. The chances compared are those of a
    /// request.
    Events {
        /// Requests of both versions that a million unit-ticks are expected to have. Wrong costs speed in the first
        /// ticks, not validity.
        requests_per_million_unit_ticks: u64,
        /// How often it happened to a request before, in millionths. Wrong costs speed, not validity.
        history_ppm: u32,
        /// For how many unit-ticks of the control that counts ([`HISTORY_UNIT_TICKS`] unless it is a guess).
        history_unit_ticks: u32,
        /// What is harmless.
        margin: Margin,
        /// What must be ruled out before promotion.
        promote: Margin,
        /// What a request's chance may be where there is no control to compare with (at a share of everything), in
        /// millionths. Without it such ticks say nothing.
        limit_ppm: Option<u32>,
    },
    /// A unit is flagged if at least a certain number of its requests were slower than a bound; the harmless difference is
    /// in the bounds already ([`crate::SlowCount`]). The chances compared are those of a unit.
    Slow {
        /// How often the control's units were flagged before, in millionths.
        history_ppm: u32,
        /// For how many unit-ticks of the control that counts.
        history_unit_ticks: u32,
        /// What must be ruled out before promotion.
        promote: Margin,
    },
    /// What may never happen: the first flag of the trial goes back. No statistics.
    Invariant,
}

/// A line between harmless and harmful: the new version's chance is `ratio` times the old one's and `plus` on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// In millionths; at least 1,000,000.
    pub ratio_ppm: u32,
    /// In millionths of requests (`Events`) or of units (`Slow`).
    pub plus_ppm: u32,
}

/// Why a plan can not be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing at all: then every version would be ready at once.
    #[error("the plan measures nothing")]
    Nothing,
    /// More than [`MAX_MEASURES`].
    #[error("the plan has `{0}` measures and may have {MAX_MEASURES}")]
    Measures(usize),
    /// The weights do not add up to one.
    #[error("the weights of the measures add up to `{0}` millionths, not to 1000000")]
    Weights(u64),
    /// A weight of nothing, or of an invariant.
    #[error("measure `{0}` needs a weight if it is compared, and none if it is an invariant")]
    Weight(usize),
    /// A chance outside what makes sense.
    #[error("`{field}` is `{found}` millionths and must be from `{least}` to `{most}`")]
    Chance {
        /// Which.
        field: &'static str,
        /// What it is.
        found: u32,
        /// At least.
        least: u32,
        /// At most.
        most: u32,
    },
    /// A number of ticks, units or requests that makes no sense.
    #[error("`{field}` is `{found}` and must be from 1 to `{most}`")]
    Number {
        /// Which.
        field: &'static str,
        /// What it is.
        found: u64,
        /// At most.
        most: u64,
    },
}

impl Plan {
    /// Whether it can be followed.
    ///
    /// # Errors
    /// The first number that makes no sense.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.measures.len() > MAX_MEASURES {
            return Err(PlanError::Measures(self.measures.len()));
        }
        within("alpha_ppm", self.alpha_ppm, 1, ONE_PPM / 2)?;
        within("beta_ppm", self.beta_ppm, 1, ONE_PPM / 2)?;
        number("horizon_ticks", self.horizon_ticks.into(), MOST_TICKS.into())?;
        let mut weights = 0_u64;
        for (index, measure) in self.measures.iter().enumerate() {
            if (measure.weight_ppm == 0) != (measure.question == Question::Invariant) {
                return Err(PlanError::Weight(index));
            }
            weights += u64::from(measure.weight_ppm);
            measure.question.check()?;
        }
        if self.measures.is_empty() {
            return Err(PlanError::Nothing);
        }
        // Invariants alone are ready once they were looked at, and need no part of alpha.
        let compares = self.measures.iter().any(|measure| measure.question != Question::Invariant);
        if compares && weights != u64::from(ONE_PPM) {
            return Err(PlanError::Weights(weights));
        }
        Ok(())
    }

    /// The e-value that goes back.
    pub(crate) fn go_back_at(&self) -> f64 {
        1.0 / real::ppm(self.alpha_ppm)
    }

    /// The e-value that each measure needs for promotion.
    pub(crate) fn promote_at(&self) -> f64 {
        1.0 / real::ppm(self.beta_ppm)
    }
}

impl Question {
    fn check(&self) -> Result<(), PlanError> {
        match self {
            Self::Events {
                requests_per_million_unit_ticks,
                history_ppm,
                history_unit_ticks,
                margin,
                promote,
                limit_ppm,
            } => {
                let (field, most) = ("requests_per_million_unit_ticks", 1_000_000 * crate::tick::MAX_REQUESTS);
                number(field, *requests_per_million_unit_ticks, most)?;
                within("history_ppm", *history_ppm, 0, ONE_PPM / 2)?;
                number("history_unit_ticks", (*history_unit_ticks).into(), u32::MAX.into())?;
                margin.check()?;
                promote.check()?;
                limit_ppm.map_or(Ok(()), |limit| within("limit_ppm", limit, 1, ONE_PPM / 2))
            }
            Self::Slow { history_ppm, history_unit_ticks, promote } => {
                within("history_ppm", *history_ppm, 0, ONE_PPM / 2)?;
                number("history_unit_ticks", (*history_unit_ticks).into(), u32::MAX.into())?;
                promote.check()
            }
            Self::Invariant => Ok(()),
        }
    }
}

impl Margin {
    /// Nothing is harmless.
    pub(crate) const NONE: Self = Self { ratio_ppm: ONE_PPM, plus_ppm: 0 };

    fn check(self) -> Result<(), PlanError> {
        within("ratio_ppm", self.ratio_ppm, ONE_PPM, MOST_RATIO_PPM)?;
        within("plus_ppm", self.plus_ppm, 0, MOST_PLUS_PPM)
    }

    /// The new version's chance on the line at this chance of the old one.
    pub(crate) fn at(self, control: f64) -> f64 {
        real::ppm(self.ratio_ppm) * control + real::ppm(self.plus_ppm)
    }
}

fn within(field: &'static str, found: u32, least: u32, most: u32) -> Result<(), PlanError> {
    if (least..=most).contains(&found) { Ok(()) } else { Err(PlanError::Chance { field, found, least, most }) }
}

fn number(field: &'static str, found: u64, most: u64) -> Result<(), PlanError> {
    if (1..=most).contains(&found) { Ok(()) } else { Err(PlanError::Number { field, found, most }) }
}
