//! Who may say what: a statement's signer against the charter.
//!
//! This is the check at the log's door and again at every reader's: key enrolled, role held, kind allowed to
//! the role, person or robot as the kind demands, header and claim about the same thing. It refuses to know
//! what follows from a claim.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{Digest, EnvironmentName, KeyId, PersonId, RobotId, RoleName, SystemName, Timestamp};

use crate::{
    keys::{PublicKey, Scheme},
    tick::{OpenTick, TickKeys},
};

use super::{
    payload::Statement,
    v1::{Charter, Claim, Key, KeyScheme, Kind, Speaker},
};

/// The role in which a founder signs the charter.
pub const FOUNDER_ROLE: &str = "founder";

/// The role in which recovery keys sign.
pub const RECOVERY_ROLE: &str = "recovery";

/// The role in which any member may cancel, beside the roles that the member holds.
pub const MEMBER_ROLE: &str = "member";

/// The longest that a statement may count, in seconds: a year, so that nothing signed is for ever.
pub const LONGEST_LIFE_S: u64 = 366 * 86_400;

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signatory {
    /// A person.
    Person(PersonId),
    /// A robot, with the people who control it.
    Robot {
        /// The robot.
        id: RobotId,
        /// Its controllers.
        controllers: Vec<PersonId>,
    },
    /// A recovery key, which is nobody's.
    Recovery,
}

impl Signatory {
    /// The people behind it: the person, or the robot's controllers; nobody behind a recovery key.
    pub fn persons(&self) -> &[PersonId] {
        match self {
            Self::Person(person) => std::slice::from_ref(person),
            Self::Robot { controllers, .. } => controllers,
            Self::Recovery => &[],
        }
    }
}

impl std::fmt::Display for Signatory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Person(id) => write!(f, "{id}"),
            Self::Robot { id, .. } => write!(f, "robot {id}"),
            Self::Recovery => f.write_str("a recovery key"),
        }
    }
}

/// Why a signer may not make a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntitlementError {
    /// A key in the charter is not an Ed25519 key in OpenSSH's form.
    #[error("`{0}` is not a public key of the form `ssh-ed25519 AAAA…`")]
    PublicKey(String),
    /// One key stands twice in the charter.
    #[error("the key {0} belongs to two holders; a key belongs to one for ever")]
    SharedKey(KeyId),
    /// The charter does not list the key.
    #[error("the charter lists no key {0}")]
    UnknownKey(KeyId),
    /// It was added, and its delay is not over.
    #[error("the key {0} was added to the charter and does not count yet")]
    NotYet(KeyId),
    /// The header names another charter.
    #[error("the statement is for another charter")]
    OtherCharter,
    /// The signer does not hold the role.
    #[error("{signer} does not hold the role `{role}`")]
    Role {
        /// Who.
        signer: String,
        /// Which role.
        role: RoleName,
    },
    /// The role may not say this.
    #[error("the role `{role}` may not make a statement of kind {kind}")]
    Kind {
        /// Which role.
        role: RoleName,
        /// Which kind.
        kind: Kind,
    },
    /// Only people, or only robots, may say this.
    #[error("{signer} may not make a statement of kind {kind}: only {who} may")]
    Speaker {
        /// Who.
        signer: String,
        /// Which kind.
        kind: Kind,
        /// Who may.
        who: &'static str,
    },
    /// The charter has no such environment.
    #[error("the charter has no environment `{0}`")]
    Environment(EnvironmentName),
    /// The charter has no such system.
    #[error("the charter has no system `{0}`")]
    System(SystemName),
    /// Header and claim disagree, or the header lacks what the claim needs.
    #[error("the header of the {0} does not name the system and environment that it is about")]
    Header(Kind),
    /// The robot acts elsewhere.
    #[error("robot {0} does not act in `{1}`")]
    RobotEnvironment(RobotId, EnvironmentName),
    /// Its time is over.
    #[error("the statement expired at {0}")]
    Expired(Timestamp),
    /// It would count for longer than anything may.
    #[error("the statement would count until {0}, longer than a year")]
    TooLong(Timestamp),
    /// The program is not one that the charter lists for the role.
    #[error("the charter does not list the program that signed for the role `{0}`")]
    Program(RoleName),
}

#[derive(Clone, Debug)]
struct Holder {
    signatory: Arc<Signatory>,
    public: PublicKey,
    roles: Vec<RoleName>,
    environments: Vec<EnvironmentName>,
}

/// A charter in force and its keys, ready to look up. Copies share it.
#[derive(Clone, Debug)]
pub struct Members(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    charter: Charter,
    /// The hash of the first charter's payload: it names the log.
    hash: Digest,
    digest: Digest,
    by_key: BTreeMap<KeyId, Holder>,
    /// Keys that stand in the charter and do not count yet.
    not_yet: BTreeSet<KeyId>,
    ticks: Option<TickKeys>,
    /// Those of the log's first charter, if this is another.
    root: Option<Members>,
}

/// The public key of a charter's entry, with its id.
pub fn public_key(key: &Key) -> Result<PublicKey, EntitlementError> {
    let scheme = match key.scheme {
        KeyScheme::Ed25519 => Scheme::Ed25519,
        KeyScheme::Sshsig => Scheme::SshSig,
        KeyScheme::SkSshsig => Scheme::SkSshSig,
    };
    PublicKey::from_openssh(scheme, &key.public).map_err(|_| EntitlementError::PublicKey(key.public.clone()))
}

impl Members {
    /// Reads the keys of the first charter of a log, whose payload has this hash.
    pub fn of(charter: Charter, hash: Digest) -> Result<Self, EntitlementError> {
        Self::read(charter, hash, BTreeSet::new(), None)
    }

    /// Reads the keys of another charter that is in force in the same log. Some do not count yet.
    pub(crate) fn amended(&self, charter: Charter, not_yet: BTreeSet<KeyId>) -> Result<Self, EntitlementError> {
        Self::read(charter, self.hash(), not_yet, Some(self.root().clone()))
    }

    fn read(
        charter: Charter,
        hash: Digest,
        not_yet: BTreeSet<KeyId>,
        root: Option<Self>,
    ) -> Result<Self, EntitlementError> {
        let mut by_key = BTreeMap::new();
        let mut add = |key: &Key, signatory: &Arc<Signatory>, roles: Vec<RoleName>, places: Vec<EnvironmentName>| {
            let public = public_key(key)?;
            let id = public.id();
            let holder = Holder { signatory: signatory.clone(), public, roles, environments: places };
            match by_key.insert(id, holder) {
                None => Ok(()),
                Some(_) => Err(EntitlementError::SharedKey(id)),
            }
        };
        for member in &charter.members {
            let signatory = Arc::new(Signatory::Person(member.id.clone()));
            for key in &member.keys {
                add(key, &signatory, member.roles.clone(), Vec::new())?;
            }
        }
        for robot in &charter.robots {
            let signatory = Signatory::Robot { id: robot.id.clone(), controllers: robot.controllers.clone() };
            add(&robot.key, &Arc::new(signatory), vec![robot.role.clone()], robot.environments.clone())?;
        }
        let recovery = Arc::new(Signatory::Recovery);
        for key in charter.recovery.iter().flat_map(|r| &r.keys) {
            add(key, &recovery, Vec::new(), Vec::new())?;
        }
        let (digest, ticks) = (charter.digest(), TickKeys::of(&charter));
        Ok(Self(Arc::new(Inner { charter, hash, digest, by_key, not_yet, ticks, root })))
    }

    /// The same, when these keys count.
    pub(crate) fn counting(&self, keys: &BTreeSet<KeyId>) -> Self {
        let mut inner = (*self.0).clone();
        inner.not_yet.retain(|key| !keys.contains(key));
        inner.root.get_or_insert_with(|| self.clone());
        Self(Arc::new(inner))
    }

    /// Those of the log's first charter, with which every reader begins.
    pub fn root(&self) -> &Self {
        self.0.root.as_ref().unwrap_or(self)
    }

    /// Whether these are the very same.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The charter in force.
    pub fn charter(&self) -> &Charter {
        &self.0.charter
    }

    /// The hash of the payload of the log's first charter, which every header names.
    pub fn hash(&self) -> Digest {
        self.0.hash
    }

    /// The digest of the charter in force, by which amendments name it.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Keys that stand in the charter and do not count yet.
    pub fn not_yet(&self) -> &BTreeSet<KeyId> {
        &self.0.not_yet
    }

    /// Opens the checkpoint of a tick with the charter's keys of log and witnesses; see [`crate::tick::open`].
    pub fn open_tick(&self, note: &str) -> Option<OpenTick> {
        self.0.ticks.as_ref()?.open(note)
    }

    fn enrolled(&self, id: KeyId) -> Result<&Holder, EntitlementError> {
        let holder = self.0.by_key.get(&id).ok_or(EntitlementError::UnknownKey(id))?;
        if self.0.not_yet.contains(&id) { Err(EntitlementError::NotYet(id)) } else { Ok(holder) }
    }

    /// An enrolled key that counts.
    pub fn key(&self, id: KeyId) -> Result<&PublicKey, EntitlementError> {
        self.enrolled(id).map(|h| &h.public)
    }

    /// Who holds a key that counts.
    pub fn holder(&self, id: KeyId) -> Result<&Signatory, EntitlementError> {
        self.enrolled(id).map(|h| &*h.signatory)
    }

    /// The same, shared.
    pub fn holder_arc(&self, id: KeyId) -> Result<Arc<Signatory>, EntitlementError> {
        self.enrolled(id).map(|h| h.signatory.clone())
    }

    /// Whether a key is still this holder's, and the holder still holds the role.
    pub fn holds(&self, id: KeyId, who: &Signatory, role: &RoleName) -> bool {
        self.enrolled(id).is_ok_and(|holder| match (&*holder.signatory, who) {
            (Signatory::Person(now), Signatory::Person(then)) => now == then && holder.roles.contains(role),
            (Signatory::Robot { id: now, .. }, Signatory::Robot { id: then, .. }) => {
                now == then && holder.roles.contains(role)
            }
            (Signatory::Recovery, Signatory::Recovery) => role.as_str() == RECOVERY_ROLE,
            _ => false,
        })
    }

    /// All enrolled keys.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, &Signatory)> {
        self.0.by_key.iter().map(|(id, holder)| (*id, &*holder.signatory))
    }

    /// Checks that the holder of `key` may make `statement`. The signature itself is checked before.
    pub fn entitle(&self, statement: &Statement, key: KeyId) -> Result<Arc<Signatory>, EntitlementError> {
        let holder = self.enrolled(key)?;
        let header = &statement.header;
        let kind = statement.claim.kind();
        let signer = || holder.signatory.to_string();
        if kind == Kind::Charter {
            return self.entitle_founder(statement, holder);
        }
        if header.charter != Some(self.0.hash) {
            return Err(EntitlementError::OtherCharter);
        }
        let (holds, may) = match &*holder.signatory {
            Signatory::Recovery => {
                (header.role.as_str() == RECOVERY_ROLE, matches!(kind, Kind::Amendment | Kind::Consent))
            }
            // Any member may cancel, in whatever role.
            Signatory::Person(_) if kind == Kind::Cancellation => {
                (header.role.as_str() == MEMBER_ROLE || holder.roles.contains(&header.role), true)
            }
            _ => (holder.roles.contains(&header.role), self.0.charter.may_say(&header.role, kind)),
        };
        if !holds {
            return Err(EntitlementError::Role { signer: signer(), role: header.role.clone() });
        }
        if !may {
            return Err(EntitlementError::Kind { role: header.role.clone(), kind });
        }
        let who = match (kind.speaker(), &*holder.signatory) {
            (Speaker::Person, Signatory::Robot { .. }) => Some("people"),
            (Speaker::Robot, Signatory::Person(_)) => Some("robots"),
            _ => None,
        };
        if let Some(who) = who {
            return Err(EntitlementError::Speaker { signer: signer(), kind, who });
        }
        self.check_place(statement)?;
        if let (Signatory::Robot { id, .. }, Some(environment)) = (&*holder.signatory, &header.environment)
            && !holder.environments.is_empty()
            && !holder.environments.contains(environment)
        {
            return Err(EntitlementError::RobotEnvironment(id.clone(), environment.clone()));
        }
        if let Signatory::Robot { .. } = &*holder.signatory
            && let Some(allowed) = self.0.charter.programs.get(&header.role)
            && !allowed.is_empty()
            && !header.program.is_some_and(|program| allowed.contains(&program))
        {
            return Err(EntitlementError::Program(header.role.clone()));
        }
        Ok(holder.signatory.clone())
    }

    /// Checks the expiry against a time, at the door.
    pub fn check_expiry(statement: &Statement, now: Timestamp) -> Result<(), EntitlementError> {
        let expires = statement.header.expires;
        if expires <= now {
            Err(EntitlementError::Expired(expires))
        } else if expires > now.plus_s(LONGEST_LIFE_S) && statement.claim.kind() != Kind::Charter {
            Err(EntitlementError::TooLong(expires))
        } else {
            Ok(())
        }
    }

    fn entitle_founder(&self, statement: &Statement, holder: &Holder) -> Result<Arc<Signatory>, EntitlementError> {
        let header = &statement.header;
        let founder = match &*holder.signatory {
            Signatory::Person(id) => self.0.charter.member(id).is_some_and(|m| m.founder),
            Signatory::Robot { .. } | Signatory::Recovery => false,
        };
        if !founder || header.role.as_str() != FOUNDER_ROLE {
            return Err(EntitlementError::Role { signer: holder.signatory.to_string(), role: header.role.clone() });
        }
        if header.charter.is_some() || statement.claim != Claim::Charter(Box::new(self.0.charter.clone())) {
            return Err(EntitlementError::OtherCharter);
        }
        Ok(holder.signatory.clone())
    }

    /// Header and claim name the same system and environment, and the charter has them.
    fn check_place(&self, statement: &Statement) -> Result<(), EntitlementError> {
        let header = &statement.header;
        let kind = statement.claim.kind();
        if let Some(system) = &header.system
            && self.0.charter.system(system).is_none()
        {
            return Err(EntitlementError::System(system.clone()));
        }
        if let Some(environment) = &header.environment
            && self.0.charter.environment(environment).is_none()
        {
            return Err(EntitlementError::Environment(environment.clone()));
        }
        let (system, environment) = match &statement.claim {
            Claim::Change(c) => (Need::Is(&c.system), Need::None),
            Claim::Build(c) => (Need::Is(c.serial.system()), Need::None),
            Claim::Evidence(_) | Claim::Exception(_) => (Need::Some, Need::None),
            Claim::Proposal(c) => (Need::Is(c.serial.system()), Need::Is(&c.environment)),
            Claim::Approval(c) => (Need::Some, Need::Is(&c.environment)),
            Claim::Rejection(_) => (Need::Some, Need::Some),
            Claim::Verdict(c) => (Need::Is(c.serial.system()), Need::Is(&c.environment)),
            Claim::Milestone(c) => (Need::Is(c.serial.system()), Need::Is(&c.environment)),
            Claim::Analysis(c) => (Need::Is(c.serial.system()), Need::Is(&c.environment)),
            Claim::Rollback(c) => (Need::Some, Need::Is(&c.environment)),
            Claim::Retirement(c) => (Need::Is(c.serial.system()), Need::Is(&c.environment)),
            Claim::Report(c) => (Need::Is(c.serial.system()), Need::Is(&c.environment)),
            Claim::Halt(c) => (Need::Any, c.environment.as_ref().map_or(Need::None, Need::Is)),
            Claim::ValueProposal(_) | Claim::ValueApproval(_) => (Need::Some, Need::Some),
            Claim::Resume(_)
            | Claim::Cancellation(_)
            | Claim::Alarm(_)
            | Claim::Acknowledgement(_)
            | Claim::Silence(_) => (Need::Any, Need::Any),
            Claim::Charter(_)
            | Claim::Tick(_)
            | Claim::KeyWithdrawal(_)
            | Claim::Erasure(_)
            | Claim::Amendment(_)
            | Claim::Consent(_) => (Need::None, Need::None),
        };
        if system.is_met(header.system.as_ref()) && environment.is_met(header.environment.as_ref()) {
            Ok(())
        } else {
            Err(EntitlementError::Header(kind))
        }
    }
}

/// What a header must name.
enum Need<'a, T> {
    None,
    Any,
    Some,
    Is(&'a T),
}

impl<T: PartialEq> Need<'_, T> {
    fn is_met(&self, found: Option<&T>) -> bool {
        match self {
            Self::None => found.is_none(),
            Self::Any => true,
            Self::Some => found.is_some(),
            Self::Is(wanted) => found == Some(wanted),
        }
    }
}

#[cfg(test)]
mod tests;
