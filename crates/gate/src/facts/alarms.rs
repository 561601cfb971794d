//! Alarms: which are firing, who has seen them, and which silences are in force over them.
//!
//! An alarm is one condition; that it began stands also when its signer's key was withdrawn since, that it is over only
//! while the key does. A silence hides nothing here: it says what is not sent out, and everything else is still raised.

use std::collections::BTreeMap;

use ledger::statement::{
    Signatory,
    v1::{Acknowledgement, Alarm, AlarmAbout, AlarmKind, Charter, Kind, Silence, Speaker},
};
use model::{EnvironmentName, PersonId, RoleName, SystemName, Timestamp};

use super::{
    Facts,
    said::{Heading, Said},
};

/// What an alarm is about and says: two alarms of the same condition are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// What it says.
    pub what: AlarmKind,
    /// The system, if it is about one.
    pub system: Option<SystemName>,
    /// The environment, if it is about one.
    pub environment: Option<EnvironmentName>,
    /// What it is about.
    pub about: AlarmAbout,
}

impl Condition {
    /// An alarm about Countersign as a whole.
    pub fn of(what: AlarmKind, about: AlarmAbout) -> Self {
        Self { what, system: None, environment: None, about }
    }

    /// The same in an environment of a system.
    #[must_use]
    pub fn within(mut self, system: &SystemName, environment: &EnvironmentName) -> Self {
        self.system = Some(system.clone());
        self.environment = Some(environment.clone());
        self
    }
}

/// An alarm that is firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// What it says of what.
    pub condition: Condition,
    /// The log index of the statement that began it.
    pub index: u64,
    /// Who has seen it, with the log index of that person's word.
    pub acknowledged: Option<(PersonId, u64)>,
    /// The log index of a silence in force over it.
    pub silenced: Option<u64>,
}

/// Why a silence hides nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceRefusal {
    /// The charter allows none.
    #[error("the charter allows no silences")]
    NotAllowed,
    /// It names no kind of alarm.
    #[error("it names no kind of alarm")]
    Nothing,
    /// A kind that no silence may hide, whatever the charter says.
    #[error("alarms of the kind `{0}` can not be silenced at all")]
    Never(AlarmKind),
    /// A kind that the charter does not list.
    #[error("the charter lets nobody silence alarms of the kind `{0}`")]
    Kind(AlarmKind),
    /// Said in a role whose own acts it would hide, or that does not conflict with theirs.
    #[error(
        "`{role}` may not silence `{kind}`: it would hide what `{hidden}` does, and the charter does not keep the two apart"
    )]
    Role {
        /// The role that it was said in.
        role: RoleName,
        /// The role whose acts it would hide.
        hidden: RoleName,
        /// The kind of alarm.
        kind: AlarmKind,
    },
    /// It would last for longer than the charter allows.
    #[error("it would last until {ends}, longer than the {longest_s} s that the charter allows")]
    TooLong {
        /// When it would end.
        ends: Timestamp,
        /// How long one may last.
        longest_s: u64,
    },
    /// No tick covers it yet, so that nobody knows when it began.
    #[error("it begins with the next tick")]
    NotTimed,
    /// Its signer's key was withdrawn, or is not of that role any more.
    #[error("its signer's key was withdrawn, or its signer does not hold the role any more")]
    Void,
    /// Somebody ended it.
    #[error("{by} ended it with statement {index}")]
    Cancelled {
        /// Who.
        by: PersonId,
        /// The log index of that.
        index: u64,
    },
    /// Its time is over.
    #[error("it ended at {0}")]
    Over(Timestamp),
}

/// One silence and whether it hides anything now.
#[derive(Clone, Debug)]
pub struct Silencing<'a> {
    /// The silence.
    pub said: &'a Said<Silence>,
    /// Until when it hides, or why it does not.
    pub until: Result<Timestamp, SilenceRefusal>,
}

/// What an alarm of a kind reports on: who says such things must not be the one who silences it.
pub const fn reports_on(kind: AlarmKind) -> &'static [Kind] {
    match kind {
        // What runs and how it got there.
        AlarmKind::ProbeFailed
        | AlarmKind::NoTraffic
        | AlarmKind::TroubleReported
        | AlarmKind::WentBack
        | AlarmKind::FlowDenied
        | AlarmKind::ImportantShed => {
            &[Kind::Build, Kind::Proposal, Kind::Approval, Kind::Milestone, Kind::Rollback, Kind::Retirement]
        }
        AlarmKind::Drift => &[Kind::Build, Kind::Approval, Kind::Milestone],
        AlarmKind::VerdictWithdrawn => &[Kind::Approval, Kind::Verdict, Kind::Milestone, Kind::Evidence],
        AlarmKind::Emergency => &[Kind::Proposal, Kind::Approval],
        AlarmKind::StopNotLogged => &[Kind::Approval, Kind::Verdict, Kind::Milestone],
        AlarmKind::LogStale | AlarmKind::Fork => &[Kind::Tick, Kind::Verdict],
        // The process itself, see `hidden_roles`.
        AlarmKind::HeartbeatMissed => &[],
        AlarmKind::ValueProposed | AlarmKind::ValueInForce | AlarmKind::ValueRefused => {
            &[Kind::ValueProposal, Kind::ValueApproval]
        }
        AlarmKind::AmendmentProposed | AlarmKind::RecoveryProposed | AlarmKind::AmendmentByWithdrawnKey => {
            &[Kind::Amendment, Kind::Consent]
        }
        AlarmKind::Silenced => &[Kind::Silence],
    }
}

/// The roles whose acts an alarm of this kind reports on, and so those with which a role that silences it must conflict.
pub fn hidden_roles<'a>(charter: &'a Charter, kind: AlarmKind, about: &AlarmAbout) -> Vec<&'a RoleName> {
    if kind == AlarmKind::HeartbeatMissed {
        let robots = || charter.roles.iter().filter(|r| r.says.iter().any(|k| k.speaker() == Speaker::Robot));
        // A process without a role of its own (log, edge, front) hides what any robot does.
        let own = about.process.as_ref().filter(|process| robots().any(|r| r.name == **process));
        return robots().map(|r| &r.name).filter(|name| own.is_none_or(|own| own == *name)).collect();
    }
    let acts = reports_on(kind);
    charter.roles.iter().filter(|r| r.says.iter().any(|k| acts.contains(k))).map(|r| &r.name).collect()
}

/// Whether a charter lets a role silence these alarms, whatever the time.
pub fn may_silence(charter: &Charter, role: &RoleName, silence: &Silence) -> Result<(), SilenceRefusal> {
    let Some(rule) = &charter.silence else { return Err(SilenceRefusal::NotAllowed) };
    if silence.what.is_empty() {
        return Err(SilenceRefusal::Nothing);
    }
    for kind in &silence.what {
        if AlarmKind::NEVER_SILENT.contains(kind) {
            return Err(SilenceRefusal::Never(*kind));
        }
        if !rule.kinds.contains(kind) {
            return Err(SilenceRefusal::Kind(*kind));
        }
        let apart = |hidden: &RoleName| {
            let pairs = |(a, b): &(RoleName, RoleName)| (a == role && b == hidden) || (b == role && a == hidden);
            charter.conflicts.iter().any(pairs)
        };
        if let Some(hidden) = hidden_roles(charter, *kind, &silence.about).into_iter().find(|hidden| !apart(hidden)) {
            return Err(SilenceRefusal::Role { role: role.clone(), hidden: hidden.clone(), kind: *kind });
        }
    }
    Ok(())
}

/// Whether something is within the scope of a silence: what the silence leaves open is any.
fn covers(silence: &Said<Silence>, condition: &Condition) -> bool {
    fn fits<T: PartialEq>(scope: Option<&T>, found: Option<&T>) -> bool {
        scope.is_none_or(|scope| found == Some(scope))
    }
    let (scope, about) = (&silence.claim.about, &condition.about);
    silence.claim.what.contains(&condition.what)
        && fits(silence.header.system.as_ref(), condition.system.as_ref())
        && fits(silence.header.environment.as_ref(), condition.environment.as_ref())
        && fits(scope.component.as_ref(), about.component.as_ref())
        && fits(scope.process.as_ref(), about.process.as_ref())
        && fits(scope.host.as_ref(), about.host.as_ref())
        && fits(scope.value.as_ref(), about.value.as_ref())
        && fits(scope.statement.as_ref(), about.statement.as_ref())
}

/// The conditions that are firing, each with the log index that began it.
pub(super) type Firings = BTreeMap<Condition, u64>;

/// Takes one alarm. `stands` is whether its signer's key does.
pub(super) fn take(firings: &mut Firings, index: u64, header: &Heading, alarm: &Alarm, stands: bool) {
    let condition = Condition {
        what: alarm.what,
        system: header.system.clone(),
        environment: header.environment.clone(),
        about: alarm.about.clone(),
    };
    if alarm.firing {
        firings.entry(condition).or_insert(index);
    } else if stands {
        firings.remove(&condition);
    }
}

impl Facts {
    /// An alarm, as it was said.
    pub fn alarm(&self, index: u64) -> Option<&Said<Alarm>> {
        self.alarms.get(index)
    }

    /// All alarms as they were said, oldest first.
    pub fn alarms(&self) -> impl DoubleEndedIterator<Item = &Said<Alarm>> {
        self.alarms.iter()
    }

    /// The acknowledgements of an alarm that stand.
    pub fn acknowledgements(&self, alarm: u64) -> impl DoubleEndedIterator<Item = &Said<Acknowledgement>> {
        self.standing(self.acknowledgements.by(&self.acknowledgements_of, &alarm))
    }

    /// Whether an alarm of this condition is firing, and since which log index.
    pub fn fires(&self, condition: &Condition) -> Option<u64> {
        self.firings.get(condition).copied()
    }

    /// Every alarm that is firing, with who has seen it and what silences it. `now` is the asker's clock: it can only end a
    /// silence sooner than the log's own time does.
    pub fn firing(&self, now: Timestamp) -> Vec<Firing> {
        let silences = self.silences_in_force(now);
        let firing = |(condition, index): (&Condition, &u64)| Firing {
            condition: condition.clone(),
            index: *index,
            acknowledged: self.acknowledged(*index),
            silenced: silences.iter().find(|s| covers(s, condition)).map(|s| s.index),
        };
        self.firings.iter().map(firing).collect()
    }

    /// Who has seen an alarm first; whose own act it is about does not count.
    pub fn acknowledged(&self, alarm: u64) -> Option<(PersonId, u64)> {
        let about = self.alarm(alarm).and_then(|said| said.claim.about.statement);
        let own = about.and_then(|index| self.person_of(index));
        let seen = |a: &Said<Acknowledgement>| {
            let person = a.by.persons().first()?;
            (Some(person) != own).then(|| (person.clone(), a.index))
        };
        self.acknowledgements(alarm).find_map(seen)
    }

    /// The person who made a statement that an alarm can be about, if it was a person.
    fn person_of(&self, index: u64) -> Option<&PersonId> {
        let by = (self.value_proposals.get(index).map(|said| &said.by))
            .or_else(|| self.value_approvals.get(index).map(|said| &said.by))
            .or_else(|| self.proposals.get(index).map(|said| &said.by))
            .or_else(|| self.silences.get(index).map(|said| &said.by))
            .or_else(|| self.charters.put(index).map(|put| &put.by))?;
        if let Signatory::Person(person) = &**by { Some(person) } else { None }
    }

    /// The log index of a silence in force over a condition.
    pub fn silenced(&self, condition: &Condition, now: Timestamp) -> Option<u64> {
        self.silences_in_force(now).into_iter().find(|s| covers(s, condition)).map(|s| s.index)
    }

    /// Every silence that was ever said, with whether it hides anything now.
    pub fn silences(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = Silencing<'_>> {
        self.silences.iter().map(move |said| Silencing { said, until: self.silence_until(said, now) })
    }

    fn silences_in_force(&self, now: Timestamp) -> Vec<&Said<Silence>> {
        self.silences.iter().filter(|said| self.silence_until(said, now).is_ok()).collect()
    }

    /// Until when a silence hides alarms, or why it does not. It begins with the first tick that covers it, so that nobody
    /// can make it longer by dating it, and it is over when either the log's time or `now` says so.
    fn silence_until(&self, said: &Said<Silence>, now: Timestamp) -> Result<Timestamp, SilenceRefusal> {
        let charter = self.members().charter();
        // By the charter that it was said under and by the one in force.
        may_silence(self.members_at(said.index).charter(), &said.header.role, &said.claim)?;
        may_silence(charter, &said.header.role, &said.claim)?;
        if !self.stands(said) || !self.still_holds(said) {
            return Err(SilenceRefusal::Void);
        }
        if let Some(end) = self.cancellations(said.index).find(|c| c.index > said.index)
            && let Some(by) = end.by.persons().first()
        {
            return Err(SilenceRefusal::Cancelled { by: by.clone(), index: end.index });
        }
        let longest_s = charter.silence.as_ref().map_or(0, |rule| rule.longest_s);
        let Some(began) = self.covered(said.index) else { return Err(SilenceRefusal::NotTimed) };
        if said.claim.ends > began.latest.plus_s(longest_s) {
            return Err(SilenceRefusal::TooLong { ends: said.claim.ends, longest_s });
        }
        let ends = said.claim.ends.min(began.earliest.plus_s(longest_s));
        let time = self.time().map_or(now, |time| time.earliest.max(now));
        if time >= ends { Err(SilenceRefusal::Over(ends)) } else { Ok(ends) }
    }

    /// The alarms again from the beginning: a key was withdrawn, and with it what it said to be over.
    pub(super) fn tell_alarms_again(&mut self) {
        let mut firings = Firings::new();
        for said in self.alarms.iter() {
            take(&mut firings, said.index, &said.header, &said.claim, self.stands(said));
        }
        self.firings = firings;
    }
}

#[cfg(test)]
mod tests;
