//! What a bundle proves, in words: each line is something that was computed, and what was not is said too.

use std::{collections::BTreeSet, fmt};

use ledger::statement::v1::{Ruling, Verdict};
use model::{Digest, KeyId, PersonId, RoleName, Timestamp};

use super::{form::Form, verify::ruling};
use crate::duties::Duties;

/// What was found in a bundle that holds up.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is in it.
    pub form: Form,
    /// That it can not be erased.
    pub notice: &'static str,
    /// How many entries it has.
    pub entries: usize,
    /// How many bodies.
    pub bodies: usize,
    /// The charter that it was checked against.
    pub charter: Digest,
    /// Whether the charter's keys were made in one place.
    pub demo: bool,
    /// The roles of robots whose programs the charter in force for the verdict does not list.
    pub any_program: BTreeSet<RoleName>,
    /// Whether the charter keeps duties apart.
    pub duties: Duties,
    /// The log.
    pub origin: String,
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// The checkpoint's time: since when the quorum of witnesses has known it, or the last tick's.
    pub time: Option<Timestamp>,
    /// When each operator of witnesses cosigned it.
    pub witnesses: Vec<(String, Timestamp)>,
    /// How many operators must have.
    pub witness_quorum: u32,
    /// The log index of the verdict.
    pub index: u64,
    /// Who said it.
    pub gate: String,
    /// The verdict, as it was said and as it was computed again.
    pub verdict: Verdict,
    /// Whose approvals count.
    pub approvers: Vec<Approver>,
    /// Who wrote or proposed it; none of them counts.
    pub contributors: BTreeSet<PersonId>,
    /// The answer over everything that stood before the verdict, where the verdict is a yes over less than that and it
    /// was not a yes any more when it came into the log.
    pub overtaken: Option<Now>,
    /// The answer over everything up to the checkpoint.
    pub now: Now,
}

/// An approval that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// Who.
    pub person: PersonId,
    /// In which role.
    pub role: RoleName,
    /// With which key.
    pub key: KeyId,
    /// The log index of the approval.
    pub index: u64,
}

/// What the statements up to the checkpoint say, those after the verdict included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Now {
    /// Still yes, until then.
    Granted(Timestamp),
    /// No, by these rules: it was withdrawn, has run out or was replaced, or was refused from the start.
    Refused(Vec<String>),
    /// There is no proposal any more: its signer's key was withdrawn.
    NoAnswer,
    /// The bundle does not have the statements that would tell. The gate's last verdict on the proposal that is in it,
    /// if that is a later one: where it stands, and what it says.
    Unknown(Option<(u64, String)>),
}

impl Now {
    pub(super) fn of(verdict: &Verdict) -> Self {
        match &verdict.ruling {
            Ruling::Granted { until } => Self::Granted(*until),
            Ruling::Refused { reasons } => Self::Refused(reasons.iter().map(|r| r.rule.clone()).collect()),
        }
    }
}

impl Report {
    /// Whether the verdict is a yes, and still was one over everything that stood before it in the log.
    pub const fn is_granted(&self) -> bool {
        matches!(self.verdict.ruling, Ruling::Granted { .. }) && self.overtaken.is_none()
    }

    /// Whether outside witnesses vouch for the checkpoint.
    pub const fn is_witnessed(&self) -> bool {
        self.witness_quorum > 0
    }

    /// What is proven, and by what.
    pub const fn proves(&self) -> &'static str {
        match self.form {
            Form::Whole => {
                "every statement up to the checkpoint is here, since together they make its tree: nothing was left out. \
                 The verdict follows from those that it was made over, and what came later is in the line `as of`"
            }
            Form::Selected => {
                "the statements here are in the log, and the verdict follows from them; what is not here, such as a \
                 rejection or a halt, could speak against it, and that nothing does is the word of the gate's signed \
                 verdict and of every auditor who read the whole log"
            }
        }
    }

    fn approvals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for a in &self.approvers {
            writeln!(f, "approved by {} as {}, at {}, with the key {}", a.person, a.role, a.index, a.key)?;
        }
        let people: Vec<&str> = self.contributors.iter().map(PersonId::as_str).collect();
        writeln!(f, "written or proposed by {}: nobody of them counts as an approver", people.join(", "))
    }

    fn checkpoint(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checkpoint of {} entries, signed by the log {}", self.size, self.origin)?;
        if !self.is_witnessed() {
            return writeln!(
                f,
                "unwitnessed: the charter asks for no witness, so whoever holds the log's key could show others \
                 another log, and the time is only the robots' own"
            );
        }
        let (have, need) = (self.witnesses.len(), self.witness_quorum);
        writeln!(f, "cosigned by the witnesses of {have} operators; the charter asks for {need}")?;
        self.witnesses.iter().try_for_each(|(operator, time)| writeln!(f, "  {operator} at {time}"))
    }

    fn later(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time.map_or_else(|| "no time is known".to_owned(), |time| time.to_string());
        write!(f, "as of log size {}, {time}: ", self.size)?;
        match &self.now {
            Now::Granted(until) => writeln!(f, "granted until {until}")?,
            Now::Refused(rules) => writeln!(f, "refused ({})", rules.join(", "))?,
            Now::NoAnswer => writeln!(f, "no answer, since the proposal is void")?,
            Now::Unknown(None) => writeln!(f, "not known, since the bundle has only what the verdict was made from")?,
            Now::Unknown(Some((index, said))) => writeln!(f, "the gate said later, at {index}: {said}")?,
        }
        let proposal = self.verdict.proposal;
        writeln!(f, "later statements can have withdrawn it; with the log at hand, `countersign why {proposal}` tells")
    }
}

/// In words, that the charter does not say which programs may speak for these roles; nothing if it does for all.
pub fn any_program<'a>(roles: impl IntoIterator<Item = &'a RoleName>) -> Option<String> {
    let names: Vec<&str> = roles.into_iter().map(RoleName::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "any program: the charter lists no digests for {}, so whatever has their keys speaks for them",
            names.join(", ")
        )
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = &self.verdict;
        let (form, count) = (self.form.name(), self.entries);
        writeln!(f, "the verdict at {} on {} into {}: {}", self.index, v.serial, v.environment, ruling(v))?;
        writeln!(f, "release {}", v.release)?;
        writeln!(
            f,
            "said by {} over {} statements; computed again from them here, by decide {}: the same in every field",
            self.gate, v.size, v.decide
        )?;
        if let Some(overtaken) = &self.overtaken {
            let rules = if let Now::Refused(rules) = overtaken { rules.join(", ") } else { "no proposal".to_owned() };
            writeln!(
                f,
                "OVERTAKEN: what came into the log after those {} statements and before the verdict refuses it ({rules})",
                v.size
            )?;
        }
        self.approvals(f)?;
        self.checkpoint(f)?;
        writeln!(f, "charter {}", self.charter)?;
        if self.demo {
            writeln!(f, "DEMO: all keys of this charter were made in one place, and prove nothing about persons")?;
        }
        if let Some(words) = any_program(&self.any_program) {
            writeln!(f, "{words}")?;
        }
        if !self.duties.hold() {
            writeln!(f, "{}", self.duties.promise)?;
        }
        writeln!(f, "{form} bundle of {count} entries and {} bodies: {}", self.bodies, self.proves())?;
        self.later(f)?;
        writeln!(f, "{}", self.notice)
    }
}
