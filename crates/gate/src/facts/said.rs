//! One statement as facts keep it: what it says, who said it, and of its header what rules ask about.
//!
//! A log of a million statements is kept in memory by every process that decides, so names are shared with the charter
//! and not kept once a statement.

use std::{collections::BTreeSet, sync::Arc};

use ledger::statement::{
    Signatory,
    v1::{Charter, Header},
};
use model::{EnvironmentName, KeyId, RoleName, SystemName, Timestamp};

/// One statement with who said it and where it stands.
#[derive(Clone, Debug)]
pub struct Said<T> {
    /// Its log index.
    pub index: u64,
    /// The key that signed it.
    pub key: KeyId,
    /// Who that is.
    pub by: Arc<Signatory>,
    /// Of its header what rules ask about.
    pub header: Heading,
    /// What it says.
    pub claim: T,
}

/// Of a statement's header what rules ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The role that the signer exercised.
    pub role: RoleName,
    /// The system that it is about, if it is about one.
    pub system: Option<SystemName>,
    /// The environment that it is about, if it is about one.
    pub environment: Option<EnvironmentName>,
    /// After this it counts for nothing new.
    pub expires: Timestamp,
}

/// The names of a charter, each kept once.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    roles: BTreeSet<RoleName>,
    systems: BTreeSet<SystemName>,
    environments: BTreeSet<EnvironmentName>,
}

impl Names {
    pub(super) fn of(charter: &Charter) -> Self {
        Self {
            roles: charter.roles.iter().map(|r| r.name.clone()).collect(),
            systems: charter.systems.iter().map(|s| s.name.clone()).collect(),
            environments: charter.environments.iter().map(|e| e.name.clone()).collect(),
        }
    }

    /// The heading of a statement, in the charter's copies of its names.
    pub(super) fn heading(&self, header: &Header) -> Heading {
        Heading {
            role: shared(&self.roles, &header.role),
            system: header.system.as_ref().map(|name| shared(&self.systems, name)),
            environment: header.environment.as_ref().map(|name| shared(&self.environments, name)),
            expires: header.expires,
        }
    }
}

fn shared<N: Ord + Clone>(known: &BTreeSet<N>, name: &N) -> N {
    known.get(name).unwrap_or(name).clone()
}
