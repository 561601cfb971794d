//! Seeing that `watch` lives: the gate says in the log when it is silent, because nobody else of this host may say alarms.
//!
//! It reads one heartbeat and keeps nothing: whether the alarm is firing is read from the log.

use std::path::PathBuf;

use gate::alarms::Condition;
use ledger::statement::v1::{Alarm, AlarmAbout, AlarmKind, Claim, Kind as Says};
use model::{HostName, RoleName};

use crate::{
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    processes::Start,
    say::{About, Speaker},
    status::heartbeat::Pulse,
    view::View,
};

/// The alarm of a process that is silent on a host.
pub(crate) fn silent(role: RoleUser, start: &Start) -> Result<Condition, Fault> {
    let process: RoleName = role.name().parse().because(Kind::Internal, "the role's name does not parse")?;
    let about = AlarmAbout { process: Some(process), host: Some(start.settings.host.clone()), ..AlarmAbout::default() };
    Ok(Condition::of(AlarmKind::HeartbeatMissed, about))
}

/// Whether `watch` lives, and what was said of it.
pub(super) struct Sentinel {
    folder: Option<PathBuf>,
    /// The gate's own role, and the host.
    role: RoleName,
    host: HostName,
    pulse: Pulse,
    condition: Condition,
    /// The log index of what was said last, until it is read back.
    said: Option<u64>,
}

impl Sentinel {
    pub(super) fn new(start: &Start, role: RoleName) -> Result<Self, Fault> {
        let path = start.layout.heartbeat(RoleUser::Watch);
        let folder = path.parent().map(PathBuf::from);
        Ok(Self {
            folder: folder.filter(|folder| folder.exists()),
            role,
            host: start.settings.host.clone(),
            pulse: Pulse::new(path),
            condition: silent(RoleUser::Watch, start)?,
            said: None,
        })
    }

    /// What the gate must be able to read for it.
    pub(super) fn reads(&self) -> Option<PathBuf> {
        self.folder.clone()
    }

    /// Looks, and says what has changed.
    pub(super) fn look(&mut self, view: &View, speaker: &Speaker) -> Result<(), Fault> {
        if self.folder.is_none() || self.said.is_some_and(|index| view.facts().size() <= index) {
            return Ok(());
        }
        // By the charter in force: an amendment may bring a `watch` to this host, and take one away.
        let charter = view.facts().members().charter();
        let is_there = charter.robots.iter().any(|r| r.role.as_str() == RoleUser::Watch.name() && r.host == self.host);
        if !charter.may_say(&self.role, Says::Alarm) {
            return Ok(());
        }
        let firing = is_there && self.pulse.is_silent();
        let known = view.facts().fires(&self.condition).is_some();
        if firing == known || !firing && is_there && !self.pulse.is_settled() {
            return Ok(());
        }
        let claim = Alarm { what: self.condition.what, about: self.condition.about.clone(), firing };
        let about = About { seen: view.seen(), ..About::default() };
        let said = speaker.say(view.log(), Claim::Alarm(claim), about, &[])?;
        self.said = Some(said.index);
        Ok(())
    }
}
