//! What stands in the way of an amendment, and what may be said about one at all.

use std::collections::{BTreeMap, BTreeSet};

use model::{Digest, KeyId, PersonId, RoleName, Timestamp};

use super::{Charters, Owner, Put, State, keys, owners};
use crate::{
    charter::{EditError, StructureError, apply, can_be_amended, check_structure},
    quorum::{Tally, tally},
    statement::{
        Signatory, Statement, public_key,
        v1::{Amendment, Charter, Claim, Kind},
    },
};

/// Why an amendment can not come into force.
#[derive(Debug, thiserror::Error)]
pub enum Hindrance {
    /// It edits another charter than the one in force.
    #[error("it edits the charter {from}, and {now} is in force: propose it again")]
    Stale {
        /// Which one it edits.
        from: Digest,
        /// The one in force.
        now: Digest,
    },
    /// Its edits do not fit.
    #[error("its edits do not fit the charter in force")]
    Edits(#[from] EditError),
    /// Its edits make something else than it says.
    #[error("its edits make the charter {made}, and it says {said}")]
    Becomes {
        /// What they make.
        made: Digest,
        /// What it says.
        said: Digest,
    },
    /// What it makes is no charter.
    #[error("what it makes can not be in force")]
    Structure(#[from] StructureError),
    /// A key changes hands.
    #[error("the key {key} belongs to {owner} for ever")]
    Hands {
        /// The key.
        key: KeyId,
        /// Whose it is.
        owner: String,
    },
    /// A withdrawn key comes back.
    #[error("the key {0} was withdrawn and does not come back: give the person a new one")]
    Returned(KeyId),
    /// Nobody could change the charter after it.
    #[error(
        "after it the persons whose keys count now could not change the charter any more: let old keys stay until new ones count"
    )]
    Last,
    /// Its proposer's key was withdrawn.
    #[error("the key that signed it was withdrawn")]
    Withdrawn,
    /// Its time is over.
    #[error("it ended at {0}: propose it again")]
    Expired(Timestamp),
    /// The charter has no recovery keys.
    #[error("the charter has no recovery keys")]
    NoRecovery,
}

/// Why somebody may not say something about an amendment: it could have no effect.
#[derive(Debug, thiserror::Error)]
pub enum RefusedAct {
    /// There is no such amendment.
    #[error("there is no amendment at log index {0}")]
    None(u64),
    /// It is of another result.
    #[error("the amendment at {amendment} makes the charter {becomes}, and the consent is to another")]
    OtherResult {
        /// Which one.
        amendment: u64,
        /// What it makes.
        becomes: Digest,
    },
    /// It does not wait for consents any more.
    #[error("the amendment at {0} does not wait for consents any more")]
    NotOpen(u64),
    /// Its own proposer.
    #[error("{0} proposed it: whoever proposes an amendment does not count")]
    Proposer(String),
    /// Once is enough.
    #[error("{0} has consented to it already")]
    Twice(String),
    /// Recovery and members do not mix.
    #[error("an amendment by {by} takes consents by {by} alone")]
    Mixed {
        /// Who put it up.
        by: &'static str,
    },
    /// Only what recovery keys put up is cancelled.
    #[error(
        "the amendment at {0} was put up by a member: it needs the quorum, and whoever is against it does not consent"
    )]
    NotRecovery(u64),
    /// It can not come into force.
    #[error("the amendment can not come into force")]
    Hindered(#[from] Hindrance),
}

/// An amendment that could come into force, weighed.
pub(super) struct Ready {
    pub(super) charter: Charter,
    pub(super) tally: Tally,
    /// The consents that count.
    pub(super) by: BTreeSet<u64>,
}

impl Charters {
    /// The latest that any tick of the log proves, if one holds up.
    fn time(&self) -> Option<Timestamp> {
        self.time.latest().map(|(latest, _)| latest)
    }

    /// Whether something that ends then counts now. Before the first tick there is no time; where no tick holds up nothing
    /// counts.
    fn is_live(&self, expires: Timestamp) -> bool {
        !self.time.is_told() || self.time().is_some_and(|now| now < expires)
    }

    /// What an amendment makes of the charter in force.
    pub fn result(&self, amendment: &Amendment, is_recovery: bool) -> Result<Charter, Hindrance> {
        let members = self.members();
        let now = members.digest();
        if amendment.from != now {
            return Err(Hindrance::Stale { from: amendment.from, now });
        }
        let old = members.charter();
        let charter = apply(old, &amendment.edits)?;
        let made = charter.digest();
        if made != amendment.becomes {
            return Err(Hindrance::Becomes { made, said: amendment.becomes });
        }
        check_structure(&charter)?;
        let was: BTreeSet<KeyId> = keys(old).filter_map(|k| public_key(k).ok()).map(|k| k.id()).collect();
        for (key, owner) in owners(&charter) {
            if let Some(first) = self.owners.get(&key).filter(|first| **first != owner) {
                return Err(Hindrance::Hands { key, owner: first.to_string() });
            }
            if !was.contains(&key) && self.void_from.contains_key(&key) {
                return Err(Hindrance::Returned(key));
            }
        }
        // Who is left must be able to change it again, with keys that count when it comes into force.
        let waits = !is_recovery && old.key_delay_s > 0;
        let counts = |person: &PersonId| {
            let keys = charter.member(person).into_iter().flat_map(|m| &m.keys).filter_map(|k| public_key(k).ok());
            keys.map(|k| k.id()).any(|id| {
                let is_old = members.key(id).is_ok();
                !self.void_from.contains_key(&id)
                    && (is_old || is_recovery || !waits && !members.not_yet().contains(&id))
            })
        };
        if can_be_amended(&charter, counts) { Ok(charter) } else { Err(Hindrance::Last) }
    }

    /// What stands in the way of an amendment that waits for consents; `None` if nothing does.
    pub fn hindrance(&self, put: &Put) -> Option<Hindrance> {
        self.possible(put).err()
    }

    fn possible(&self, put: &Put) -> Result<Charter, Hindrance> {
        if put.is_recovery() {
            let recovery = self.members().charter().recovery.as_ref().ok_or(Hindrance::NoRecovery)?;
            let is_one = |k| public_key(k).is_ok_and(|k| k.id() == put.key);
            if !recovery.keys.iter().any(is_one) {
                return Err(Hindrance::NoRecovery);
            }
        } else if self.is_void(put.key, put.index) {
            return Err(Hindrance::Withdrawn);
        }
        if !self.is_live(put.expires) {
            return Err(Hindrance::Expired(put.expires));
        }
        self.result(&put.amendment, put.is_recovery())
    }

    /// How far the consents to an amendment go, and which of them count.
    pub fn tally(&self, put: &Put) -> (Tally, BTreeSet<u64>) {
        if put.is_recovery() { self.tally_recovery(put) } else { self.tally_members(put) }
    }

    fn tally_members(&self, put: &Put) -> (Tally, BTreeSet<u64>) {
        let members = self.members();
        let mut spoke: BTreeMap<PersonId, BTreeSet<RoleName>> = BTreeMap::new();
        let mut by = BTreeSet::new();
        for consent in &put.consents {
            let counts = members.holds(consent.key, &consent.by, &consent.role)
                && members.charter().may_say(&consent.role, Kind::Consent)
                && !self.is_void(consent.key, consent.index)
                && self.is_live(consent.expires);
            let Signatory::Person(person) = &*consent.by else { continue };
            if counts && !put.by.persons().contains(person) {
                spoke.entry(person.clone()).or_default().insert(consent.role.clone());
                by.insert(consent.index);
            }
        }
        (tally(&members.charter().amendment, &spoke), by)
    }

    /// Different keys, the proposer's among them: each is in another place, and none is in anybody's daily use.
    fn tally_recovery(&self, put: &Put) -> (Tally, BTreeSet<u64>) {
        let recovery = self.members().charter().recovery.as_ref();
        let listed: BTreeSet<KeyId> = recovery
            .into_iter()
            .flat_map(|r| &r.keys)
            .filter_map(|k| public_key(k).ok())
            .map(|k| k.id())
            .filter(|id| self.members().key(*id).is_ok())
            .collect();
        let live = put.consents.iter().filter(|c| listed.contains(&c.key) && self.is_live(c.expires));
        let (mut signed, mut by) = (BTreeSet::new(), BTreeSet::new());
        for consent in live {
            signed.insert(consent.key);
            by.insert(consent.index);
        }
        signed.extend(Some(put.key).filter(|key| listed.contains(key)));
        let needed = recovery.map_or(u32::MAX, |r| r.count);
        let counted = u32::try_from(signed.len()).unwrap_or(u32::MAX);
        (Tally { needed, counted, persons: BTreeSet::new() }, by)
    }

    pub(super) fn ready(&self, put: &Put) -> Result<Ready, Hindrance> {
        let charter = self.possible(put)?;
        let (tally, by) = self.tally(put);
        Ok(Ready { charter, tally, by })
    }

    /// Whether a statement about an amendment could have an effect: what could not is refused at the log's door. The signer
    /// may say it by [`Charters::members`].
    pub fn check(&self, key: KeyId, statement: &Statement) -> Result<(), RefusedAct> {
        let Ok(by) = self.members().holder(key) else { return Ok(()) };
        match &statement.claim {
            Claim::Amendment(amendment) => {
                self.result(amendment, matches!(by, Signatory::Recovery))?;
                Ok(())
            }
            Claim::Consent(consent) => {
                let put = self.put(consent.amendment).ok_or(RefusedAct::None(consent.amendment))?;
                let (amendment, becomes) = (put.index, put.amendment.becomes);
                if consent.becomes != becomes {
                    return Err(RefusedAct::OtherResult { amendment, becomes });
                }
                if put.state != State::Open {
                    return Err(RefusedAct::NotOpen(amendment));
                }
                if put.is_recovery() != matches!(by, Signatory::Recovery) {
                    let by = if put.is_recovery() { "recovery keys" } else { "members" };
                    return Err(RefusedAct::Mixed { by });
                }
                let is_proposer = match by {
                    Signatory::Recovery => put.key == key,
                    other => other.persons().iter().any(|p| put.by.persons().contains(p)),
                };
                if is_proposer {
                    return Err(RefusedAct::Proposer(by.to_string()));
                }
                let again = put.consents.iter().any(|c| {
                    let same = if put.is_recovery() { c.key == key } else { *c.by == *by };
                    same && c.role == statement.header.role && !self.is_void(c.key, c.index) && self.is_live(c.expires)
                });
                if again {
                    return Err(RefusedAct::Twice(by.to_string()));
                }
                self.possible(put)?;
                Ok(())
            }
            Claim::Cancellation(cancellation) => match self.put(cancellation.of) {
                Some(put) if !put.is_recovery() => Err(RefusedAct::NotRecovery(put.index)),
                Some(put) if !matches!(put.state, State::Open | State::Waiting { .. }) => {
                    Err(RefusedAct::NotOpen(put.index))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl Charters {
    /// Whose a key is for ever, in words; `None` if no charter in force ever listed it.
    pub fn owner(&self, key: KeyId) -> Option<String> {
        self.owners.get(&key).map(Owner::to_string)
    }
}
