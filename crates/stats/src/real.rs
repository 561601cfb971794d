//! Logarithms and exponentials that give the same bits on every platform: the `libm` crate's, never the system's. The four
//! operations and comparisons are exact by IEEE 754 already.
//!
//! It refuses to know what the numbers are.

/// A millionth, the unit of everything in a plan.
const PPM: f64 = 1e6;

/// Beyond this an exponential would overflow; nothing asks whether evidence is stronger than e to the 700.
const MOST_LN: f64 = 700.0;

/// The natural logarithm.
pub(crate) fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// The exponential, at most e to the 700.
pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(if x > MOST_LN { MOST_LN } else { x })
}

/// ln(exp(a) + exp(b)) without overflow.
pub(crate) fn ln_sum(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    high + libm::log1p(libm::exp(low - high))
}

/// The chance of at least one event where `mean` are expected (Poisson): 1 - exp(-mean).
pub(crate) fn at_least_one(mean: f64) -> f64 {
    -libm::expm1(-mean)
}

/// How many events are expected where the chance of at least one is `chance`: the reverse of [`at_least_one`].
pub(crate) fn mean_of(chance: f64) -> f64 {
    -libm::log1p(-chance)
}

/// A number of millionths as a number.
pub(crate) fn ppm(millionths: u32) -> f64 {
    f64::from(millionths) / PPM
}

/// A count as a number. Exact, because counts are limited to 2^53 ([`crate::tick::MAX_REQUESTS`], [`crate::tick::MAX_UNITS`]).
#[expect(clippy::cast_precision_loss, reason = "sums of counts stay below 2^53, which a tick is refused for otherwise")]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

/// A non-negative number rounded up to an integer, at most `u64::MAX`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what is said"
)]
pub(crate) fn up(x: f64) -> u64 {
    libm::ceil(x) as u64
}
