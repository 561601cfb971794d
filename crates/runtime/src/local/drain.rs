//! Telling an instance that it drains: a signal to its first process and a request to its port, as its release says.
//!
//! Nothing is written: an instance may be told twice, and one that has ended needs not be told.

use std::time::Duration;

use model::release::{DrainSignal, Health};
use nix::sys::signal::Signal;
use rollout::instance::InstanceId;

use super::{Local, health, record::Phase};
use crate::driver::{Doing as _, DriverError, failed};

/// How long the answer may take. The executor does nothing else meanwhile; who drains has to say yes, not to be done.
const LIMIT: Duration = Duration::from_secs(1);

impl Local {
    /// Tells it.
    pub(super) fn drain(&mut self, id: &InstanceId) -> Result<(), DriverError> {
        let Some(record) = self.records.get(id) else { return Ok(()) };
        let (Phase::Running(running), Some(drain)) = (&record.phase, &record.spec.component.drain) else {
            return Ok(());
        };
        if let (Some(signal), Some(init)) = (drain.signal, &running.init) {
            let signal = of(signal);
            let what = || format!("`{id}` can not be told that it drains");
            if !init.runs().doing(what)? {
                return Ok(());
            }
            // The kernel drops a signal for which the first process of a pid namespace has no handler.
            if !init.minds(signal).doing(what)? {
                return Err(failed(what(), format!("it has no handler for {signal}")));
            }
            init.signal(signal).doing(what)?;
        }
        let Some(path) = &drain.path else { return Ok(()) };
        let timeout_ms = u32::try_from(LIMIT.as_millis()).unwrap_or(u32::MAX);
        let health = Health { path: Some(path.clone()), timeout_ms, ..record.spec.component.health.clone() };
        let question = health::Question { source: self.fabric.health_address(), target: self.address(record), health };
        health::tell(&question).map_err(|why| failed(format!("`{id}` can not be told that it drains"), why))
    }
}

const fn of(signal: DrainSignal) -> Signal {
    match signal {
        DrainSignal::Sighup => Signal::SIGHUP,
        DrainSignal::Sigquit => Signal::SIGQUIT,
        DrainSignal::Sigusr1 => Signal::SIGUSR1,
        DrainSignal::Sigusr2 => Signal::SIGUSR2,
        DrainSignal::Sigwinch => Signal::SIGWINCH,
    }
}
