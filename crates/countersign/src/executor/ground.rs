//! The ground on which the agent's executor starts anything: the log, read and verified by the executor itself.
//!
//! It refuses to know what the agent says of verdicts. The last checkpoint is remembered beside what the executor keeps, where
//! no role can write, so that a log that was set back is noticed after a restart; and so is what had ground, so that a host
//! comes up without its log. A crash leaves the ones before.

mod memory;

use std::time::{Duration, Instant};

use gate::{Read, Starts, Wanted};
use ledger::{durable, follow::StaleError, statement::Members};
use model::Clock as _;
use rollout::instance::InstanceSpec;

use self::memory::Memory;
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    layout::Layout,
    settings::Settings,
    view::View,
};

/// A log syncs a batch of statements in well under this, and a start must not wait for one that hangs.
const LOG_PATIENCE: Duration = Duration::from_secs(1);
/// After the log did not answer, this long is spent without it.
const LOG_PAUSE: Duration = Duration::from_secs(2);
/// Between two looks that nothing asks for: what is new is little then, when something is to be started.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The log, and what was found out from it.
pub(super) struct Ground {
    view: View,
    starts: Starts,
    memory: Memory,
    looked: Option<Instant>,
    /// When the log last did not answer.
    away: Option<Instant>,
    /// Why the log is not believed, if it is not. It stays so until the executor is started again.
    distrust: Option<String>,
}

impl Ground {
    /// Nothing is read yet: the log may not be there before its own process is.
    pub(super) fn new(layout: &Layout, settings: &Settings, members: Members) -> Result<Self, Fault> {
        let folder = layout.executor(RoleUser::Agent).join("log");
        durable::create_folder(&folder, 0o700)
            .because(Kind::Unavailable, format!("`{}` can not be made", folder.display()))?;
        let log = settings.log_client(layout)?.waiting(LOG_PATIENCE);
        let view = View::with_memory(log, members, &folder)?;
        let memory = Memory::open(folder.join("started.json"));
        Ok(Self { view, starts: Starts::default(), memory, looked: None, away: None, distrust: None })
    }

    /// Reads what is new, if it is time or something is to be started. What can not be read shows when it is asked about.
    pub(super) fn follow(&mut self, is_start: bool) {
        let is_away = self.away.is_some_and(|since| since.elapsed() < LOG_PAUSE);
        let is_early = !is_start && self.looked.is_some_and(|at| at.elapsed() < LOOK_INTERVAL);
        if is_away || is_early || self.distrust.is_some() {
            return;
        }
        self.looked = Some(Instant::now());
        match self.view.refresh() {
            Ok(_) => {
                self.away = None;
                self.forget();
            }
            Err(fault) if fault.kind() == Kind::Untrue => {
                tracing::error!("the executor does not believe the log any more: {}", fault.message());
                self.distrust = Some(fault.message());
            }
            Err(fault) => {
                tracing::debug!("the executor can not read the log: {}", fault.message());
                self.away = Some(Instant::now());
            }
        }
    }

    /// Takes out of the memory what the log gives no ground for any more.
    fn forget(&mut self) {
        let now = SystemClock.now();
        let facts = self.view.facts();
        if facts.size() == 0 {
            return;
        }
        let read = Read { policy: self.view.policy(), facts, statements: self.view.statements() };
        let (reader, starts) = (self.view.reader(), &mut self.starts);
        self.memory.retain(|wanted| {
            let rule = facts.members().charter().environment(&wanted.environment);
            rule.is_some_and(|rule| starts.may(read, reader.fresh(now, rule.max_age_s), wanted, now).is_ok())
        });
    }

    /// Whether an instance may be started, and if not why. `stays` says that its release goes on beside the next one.
    pub(super) fn bears(&mut self, spec: &InstanceSpec, stays: bool) -> Result<(), String> {
        let wanted = Wanted {
            system: spec.system().clone(),
            environment: spec.id.environment.clone(),
            release: spec.release,
            stays,
            values: spec.values.iter().map(|value| (value.name.clone(), value.commitment)).collect(),
        };
        let facts = self.view.facts();
        // Since this executor began, no log was there: what the one before it started goes on.
        if facts.size() == 0 && self.memory.has(&wanted) {
            tracing::warn!("{}: the log is away, and it had ground when the log was read last", spec.id);
            return Ok(());
        }
        let Some(rule) = facts.members().charter().environment(&wanted.environment) else {
            return Err(format!("the charter has no environment `{}`", wanted.environment));
        };
        let now = SystemClock.now();
        // A log that is not believed gives no new ground; what runs goes on, as where there is no log.
        let checkpoint = match &self.distrust {
            None => self.view.reader().fresh(now, rule.max_age_s),
            Some(_) => Err(StaleError::None),
        };
        let read = Read { policy: self.view.policy(), facts, statements: self.view.statements() };
        match self.starts.may(read, checkpoint, &wanted, now) {
            Ok(footing) => {
                tracing::debug!("{}: {footing:?}", spec.id);
                self.memory.add(&wanted);
                Ok(())
            }
            Err(error) => {
                let fault = Fault::from_error(Kind::Refused, error).context("the log gives no ground for this start");
                let distrust = self.distrust.iter().map(|words| format!("; the log is not believed: {words}"));
                Err(format!("{}{}", fault.message(), distrust.collect::<String>()))
            }
        }
    }
}
