//! What the agent knows, and the leave that follows from it: the log as it was read and verified, the stops that were
//! handed over directly, and whether the log is believed at all.
//!
//! It refuses to know what runs and what a step is. It keeps nothing but what [`View`] and [`Stops`] keep.

use std::sync::Arc;

use gate::{
    Current, CurrentError, DecideError, Decision, Facts, Return, ReturnError, current, decide_with, may_return,
};
use model::{Digest, EnvironmentName, SystemName, Timestamp};

use super::stops::Stops;
use crate::{
    fault::{Fault, Kind},
    view::View,
};

/// The log, and what is known beside it.
pub(crate) struct Known {
    view: View,
    stops: Arc<Stops>,
    /// The facts with the stops that the log does not have, the log size that they are of, and the version of the stops.
    stopped: Option<Facts>,
    weighed: Option<(u64, u64)>,
    /// Why the log is not believed any more, if it is not. It stays so until a person restarts the agent.
    distrust: Option<String>,
}

impl Known {
    pub(super) const fn new(view: View, stops: Arc<Stops>) -> Self {
        Self { view, stops, stopped: None, weighed: None, distrust: None }
    }

    /// Reads what is new in the log, unless it is not believed any more.
    pub(super) fn refresh(&mut self) -> Result<(), Fault> {
        if self.distrust.is_some() {
            return Ok(());
        }
        let refreshed = self.view.refresh().map(drop);
        if refreshed.is_ok() && self.view.facts().size() > 0 {
            self.stops.follow(self.view.facts().members(), true);
        }
        self.stops.compare(self.view.reader());
        self.weigh();
        match refreshed {
            Err(fault) if fault.kind() == Kind::Untrue => {
                self.doubt(fault.message());
                Ok(())
            }
            other => other,
        }
    }

    fn doubt(&mut self, words: String) {
        tracing::error!("the log is not believed any more: {words}");
        self.distrust = Some(words);
    }

    /// Weighs the stops that came or went since, so that what follows is decided with them.
    pub(super) fn weigh(&mut self) {
        self.stops.follow(self.view.facts().members(), false);
        let size = self.view.facts().size();
        if self.weighed == Some((size, self.stops.version())) {
            return;
        }
        let (version, stopped) = self.stops.weigh(self.view.facts());
        match stopped.transpose() {
            Ok(facts) => self.stopped = facts,
            // A stop that can not be weighed stops everything.
            Err(error) => self.doubt(format!("a stop can not be weighed: {error}")),
        }
        self.weighed = Some((size, version));
    }

    /// Writes the stops into the log.
    pub(super) fn write_stops(&self) -> Result<(), Fault> {
        self.stops.write_into_log(self.view.log(), self.view.facts())
    }

    /// What is decided with: the log's facts, and the stops as if they came next.
    pub(super) fn facts(&self) -> &Facts {
        self.stopped.as_ref().unwrap_or_else(|| self.view.facts())
    }

    /// The log as it was read.
    pub(super) const fn view(&self) -> &View {
        &self.view
    }

    /// The stops.
    pub(super) fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Why the log is not believed, if it is not.
    pub(super) fn distrust(&self) -> Option<&str> {
        self.distrust.as_deref()
    }

    /// Permission for one step: the verdict recomputed on a checkpoint that is fresh now, with every stop.
    pub(super) fn permission(&self, max_age_s: u64, proposal: u64, now: Timestamp) -> Result<Current, CurrentError> {
        if let Some(words) = &self.distrust {
            return Err(CurrentError::NotBelieved(words.clone()));
        }
        let checkpoint = self.view.reader().fresh(now, max_age_s)?;
        self.both(|facts| current(self.view.policy(), facts, &checkpoint, proposal, now))
    }

    /// Leave to go back, from the log alone and with every stop.
    pub(super) fn may_return(
        &self,
        system: &SystemName,
        environment: &EnvironmentName,
        to: Digest,
    ) -> Result<Return, ReturnError> {
        self.both(|facts| may_return(self.view.policy(), facts, system, environment, to))
    }

    /// The decision with every stop, or the log's own where that alone says no.
    pub(super) fn decide(&self, proposal: u64) -> Result<Decision, DecideError> {
        let decision = decide_with(self.view.policy(), self.facts(), proposal)?;
        if self.stopped.is_some() && decision.is_granted() {
            return decide_with(self.view.policy(), self.view.facts(), proposal);
        }
        Ok(decision)
    }

    /// A yes of the log alone and of the log with the stops. A withdrawn key makes void what it said, which may have been
    /// what spoke against a step: no stop may allow more.
    fn both<T, E>(&self, ask: impl Fn(&Facts) -> Result<T, E>) -> Result<T, E> {
        let answer = ask(self.facts())?;
        if self.stopped.is_some() {
            ask(self.view.facts())?;
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
