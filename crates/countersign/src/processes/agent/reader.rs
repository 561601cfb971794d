//! What components say of themselves, asked through the edge tick by tick, on a thread of its own: a component that hangs
//! must not hold up a halt.
//!
//! It refuses to know what is asked and what follows. What was asked and not taken yet is lost with the process; components
//! say totals, so the next look has it too.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use edge::BlockingEdgeClient;
use model::route::{ReadAnswer, ReadRequest};
use rollout::comparison::{Asked, Sweep};

use crate::fault::{Because as _, Fault, Kind};

/// Looks that wait to be taken; a round takes a quarter of a second, and one that starts a container some seconds.
const SWEEPS_LIMIT: usize = 64;
/// The longest that a component may take to say what it has counted.
const TIMEOUT_MS: u32 = 1_000;

/// Asks for as long as it is kept.
pub(super) struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    every: Duration,
    sweeps: VecDeque<Sweep>,
    is_over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Begins with nothing to ask.
    pub(super) fn start(edge: PathBuf, source: Ipv4Addr) -> Result<Self, Fault> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let own = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || {
                let edge = BlockingEdgeClient::new(edge);
                ask_for_ever(&own, |request| edge.read_components(request).map_err(|error| error.to_string()), source);
            })
            .because(Kind::Unavailable, "no thread to read what components say")?;
        Ok(Self { shared })
    }

    /// Asks these from now on, once a tick.
    pub(super) fn ask(&self, asked: Vec<Asked>, tick_ms: u32) {
        let mut state = self.shared.state();
        state.every = Duration::from_millis(tick_ms.into());
        if state.asked != asked {
            state.asked = asked;
            self.shared.changed.notify_all();
        }
    }

    /// What was said since this was last called.
    pub(super) fn take(&self) -> Vec<Sweep> {
        self.shared.state().sweeps.drain(..).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
    }
}

fn ask_for_ever(shared: &Shared, read: impl Fn(&ReadRequest) -> Result<Vec<ReadAnswer>, String>, source: Ipv4Addr) {
    loop {
        let state = shared.state();
        let Ok(state) = shared.changed.wait_while(state, |s| s.asked.is_empty() && !s.is_over) else { return };
        if state.is_over {
            return;
        }
        let (asked, every) = (state.asked.clone(), state.every);
        drop(state);
        let tick_ms = u32::try_from(every.as_millis()).unwrap_or(u32::MAX);
        let targets = asked.iter().map(|a| a.target.clone()).collect();
        let request = ReadRequest { source: Some(source), timeout_ms: tick_ms.min(TIMEOUT_MS), targets };
        let sweep = sweep(asked, read(&request));
        let mut state = shared.state();
        if state.sweeps.len() >= SWEEPS_LIMIT {
            state.sweeps.pop_front();
        }
        state.sweeps.push_back(sweep);
        // Others to ask wait for the tick too, so that nobody is asked more often.
        let waited = shared.changed.wait_timeout_while(state, every, |s| !s.is_over);
        if waited.is_err() {
            return;
        }
    }
}

/// What was said, and of whom nothing.
fn sweep(asked: Vec<Asked>, said: Result<Vec<ReadAnswer>, String>) -> Sweep {
    let answers: Vec<ReadAnswer> = match said {
        Ok(answers) if answers.len() == asked.len() => answers,
        Ok(_) => asked.iter().map(|_| ReadAnswer::Unreadable("the edge answered something else".to_owned())).collect(),
        Err(error) => asked.iter().map(|_| ReadAnswer::Unreadable(error.clone())).collect(),
    };
    Sweep { rows: asked.into_iter().zip(answers).collect() }
}

#[cfg(test)]
mod tests;
