//! What `stats` does with a stream.

use stats::{
    ALPHA_PPM, Analysis, BETA_PPM, Counts, GO_BACK_MARGIN, HISTORY_UNIT_TICKS, Measure, PROMOTE_MARGIN, Plan,
    PlanError, Question, Tick, TickError,
};

use super::{
    SECONDS,
    stream::{Slot, Source, Stream, UNITS, Units},
    world::P0,
};

/// How the ticks are made of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// Slots a tick.
    pub slots: usize,
    /// A unit that was flagged is not counted for so many ticks, so that what lasts no longer counts once.
    pub rest: usize,
    /// Whether a unit's failure counts by the request, as if requests were independent: to show what that costs.
    pub by_request: bool,
}

/// Why a simulation can not be analysed.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The plan.
    #[error("the simulated plan can not be followed")]
    Plan(#[source] PlanError),
    /// A tick.
    #[error("a simulated tick was refused")]
    Tick(#[source] TickError),
}

/// The usual plan for failures alone, for the traffic of a source.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small figures"
)]
pub fn plan(source: &Source, ticks: Ticks) -> Plan {
    let units = match source.units {
        Units::Users => f64::from(UNITS),
        Units::Replicas => 1.0 / source.share,
    };
    let seconds = ticks.slots as f64 / source.slots as f64;
    let requests = if ticks.by_request { 1.0 } else { source.rps * seconds / units };
    let question = Question::Events {
        requests_per_million_unit_ticks: (requests * 1e6).round() as u64,
        history_ppm: (P0 * 1e6).round() as u32,
        history_unit_ticks: HISTORY_UNIT_TICKS * if ticks.by_request { 10 } else { 1 },
        margin: GO_BACK_MARGIN,
        promote: PROMOTE_MARGIN,
        limit_ppm: None,
    };
    Plan {
        measures: vec![Measure { weight_ppm: 1_000_000, question }],
        alpha_ppm: ALPHA_PPM,
        beta_ppm: BETA_PPM,
        horizon_ticks: (SECONDS * source.slots / ticks.slots) as u32,
    }
}

/// Counts the ticks of a stream.
#[derive(Clone, Debug)]
pub struct Counter {
    ticks: Ticks,
    /// For each unit, for how many ticks it still rests.
    resting: [u8; 128],
}

impl Counter {
    /// Nothing rests.
    #[must_use]
    pub fn new(ticks: Ticks) -> Self {
        Self { ticks, resting: [0; 128] }
    }

    /// The tick of these slots.
    pub fn count(&mut self, rows: &[Slot]) -> Tick {
        let mut tick = Tick { trial_requests: 0, control_requests: 0, counts: Vec::new() };
        let (mut flagged, mut failed) = (0_u128, (0, 0));
        let (mut trial_units, mut all_units) = (0, 0);
        for row in rows {
            tick.trial_requests += u64::from(row.trial.requests);
            tick.control_requests += u64::from(row.control.requests);
            flagged |= row.trial.units | row.control.units;
            failed = (failed.0 + row.trial.failed, failed.1 + row.control.failed);
            (trial_units, all_units) = (row.trial_units, row.all_units);
        }
        let counts = if self.ticks.by_request {
            let units = |requests: u64| u32::try_from(requests).unwrap_or(u32::MAX);
            Counts {
                trial_units: units(tick.trial_requests),
                trial_flagged: failed.0,
                control_units: units(tick.control_requests),
                control_flagged: failed.1,
            }
        } else {
            self.by_unit(flagged, trial_units, all_units)
        };
        tick.counts.push(counts);
        tick
    }

    fn by_unit(&mut self, flagged: u128, trial_units: u32, all_units: u32) -> Counts {
        let mut counts = Counts::default();
        if self.ticks.rest == 0 {
            let trial = u128::MAX >> (128 - trial_units);
            counts.trial_units = trial_units;
            counts.trial_flagged = (flagged & trial).count_ones();
            counts.control_units = all_units - trial_units;
            counts.control_flagged = (flagged & !trial).count_ones();
            return counts;
        }
        for (unit, resting) in (0_u32..all_units).zip(&mut self.resting) {
            if *resting > 0 {
                *resting -= 1;
                continue;
            }
            let bad = u32::from(flagged >> unit & 1 == 1);
            if bad == 1 {
                *resting = u8::try_from(self.ticks.rest).unwrap_or(u8::MAX);
            }
            if unit < trial_units {
                counts.trial_units += 1;
                counts.trial_flagged += bad;
            } else {
                counts.control_units += 1;
                counts.control_flagged += bad;
            }
        }
        counts
    }
}

/// After how many slots it goes back, if it does.
///
/// # Errors
/// If the simulation makes counts that can not be.
pub fn goes_back(plan: &Plan, ticks: Ticks, stream: &Stream) -> Result<Option<usize>, GateError> {
    let mut analysis = Analysis::new(plan.clone()).map_err(GateError::Plan)?;
    let mut counter = Counter::new(ticks);
    for (number, rows) in stream.rows.chunks(ticks.slots).enumerate() {
        analysis.step(&counter.count(rows)).map_err(GateError::Tick)?;
        if analysis.went_back() {
            return Ok(Some((number + 1) * ticks.slots));
        }
    }
    Ok(None)
}

/// After how many slots it would promote, if it does within the hour.
///
/// # Errors
/// If the simulation makes counts that can not be.
pub fn promotes(plan: &Plan, ticks: Ticks, stream: &Stream) -> Result<Option<usize>, GateError> {
    let mut analysis = Analysis::new(plan.clone()).map_err(GateError::Plan)?;
    let mut counter = Counter::new(ticks);
    for (number, rows) in stream.rows.chunks(ticks.slots).enumerate() {
        analysis.step(&counter.count(rows)).map_err(GateError::Tick)?;
        if analysis.is_ready() {
            return Ok(Some((number + 1) * ticks.slots));
        }
    }
    Ok(None)
}
