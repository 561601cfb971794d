//! A bet kept over ticks: several alternatives at once, from the start and from every later tick, with what is not staked
//! yet kept as cash. Its value is an e-process: under the null it is 20 or more in at most a twentieth of all rollouts,
//! however often one looks (Ville's inequality).
//!
//! It refuses to know what is bet on.

use serde::{Deserialize, Serialize};

use crate::{exact::Exact, real};

/// A mixture over alternatives and onsets. Invariant `never-more-than-given`: `cash` and what is staked add up to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mixture {
    /// What is not staked yet.
    cash: Exact,
    /// The logarithm of what each alternative has come to.
    ln_weights: Vec<Exact>,
}

impl Mixture {
    /// Stakes `at_once` on the alternatives, by the logarithms `ln_prior` of their shares of one.
    pub(crate) fn new(at_once: f64, ln_prior: &[f64]) -> Self {
        let ln_weights = ln_prior.iter().map(|share| Exact(real::ln(at_once) + share)).collect();
        Self { cash: Exact(1.0 - at_once), ln_weights }
    }

    /// How many alternatives there are.
    pub(crate) fn len(&self) -> usize {
        self.ln_weights.len()
    }

    /// Stakes up to `stake` of the cash anew, by `ln_prior`, and then takes one tick, whose e-value for each
    /// alternative is given by its logarithm.
    pub(crate) fn step(&mut self, stake: f64, ln_prior: &[f64], ln_e: impl Fn(usize) -> f64) {
        let stake = if stake < self.cash.0 { stake } else { self.cash.0 };
        self.cash.0 -= stake;
        let ln_stake = real::ln(stake);
        for (index, (weight, ln_share)) in self.ln_weights.iter_mut().zip(ln_prior).enumerate() {
            if stake > 0.0 {
                weight.0 = real::ln_sum(weight.0, ln_stake + ln_share);
            }
            weight.0 += ln_e(index);
        }
    }

    /// The logarithm of what each alternative has come to.
    pub(crate) fn ln_weights(&self) -> impl Iterator<Item = f64> {
        self.ln_weights.iter().map(|weight| weight.0)
    }

    /// What it has come to.
    pub(crate) fn value(&self) -> f64 {
        self.ln_weights.iter().fold(self.cash.0, |sum, weight| sum + real::exp(weight.0))
    }
}

#[cfg(test)]
mod tests;
