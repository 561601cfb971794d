//! Whose e-mail addresses are whose: `identities.json`, which stands beside the log because a log can not forget.
//!
//! The charter has a salted digest of each member's; what does not fit it counts for nobody. The file is replaced as a whole,
//! so that a crash leaves the old one or the new one. It refuses to know commits.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::Path};

use ledger::{durable, statement::v1::Charter};
use model::PersonId;

use crate::{
    fault::{Because as _, Fault, Kind},
    founding::Identity,
};

/// The addresses of people, as the file of this host has them.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    all: BTreeMap<PersonId, Identity>,
    /// Which file was read: device, inode and when it was last written, in nanoseconds.
    file: Option<(u64, u64, i64)>,
}

impl Addresses {
    /// Nobody's, for who never asks.
    pub fn none() -> Self {
        Self { all: BTreeMap::new(), file: None }
    }

    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let file = file_of(path);
        let bytes = std::fs::read(path).because(Kind::Unavailable, format!("`{}` can not be read", path.display()))?;
        let all = parse(&bytes).map_err(|fault| fault.context(format!("`{}` does not hold up", path.display())))?;
        Ok(Self { all, file })
    }

    /// Whether there is another file by now.
    pub fn is_old(&self, path: &Path) -> bool {
        let now = file_of(path);
        now.is_some() && now != self.file
    }

    /// Those that count by a charter: what it commits to otherwise does not. Who has left is still known by them.
    pub fn by(&self, charter: &Charter) -> BTreeMap<PersonId, Identity> {
        let fits =
            |id: &PersonId, identity: &Identity| charter.member(id).is_none_or(|m| is_theirs(identity, m.identity));
        self.all.iter().filter(|(id, identity)| fits(id, identity)).map(|(id, i)| (id.clone(), i.clone())).collect()
    }

    /// The members whose addresses are not here.
    pub fn missing(&self, charter: &Charter) -> Vec<PersonId> {
        let has = |id: &PersonId, digest| self.all.get(id).is_some_and(|identity| is_theirs(identity, digest));
        charter.members.iter().filter(|m| !has(&m.id, m.identity)).map(|m| m.id.clone()).collect()
    }

    /// Takes more in, which `charter` must commit to. Whose they are.
    pub fn add(&mut self, bytes: &[u8], charter: &Charter) -> Result<Vec<PersonId>, Fault> {
        let more = parse(bytes)?;
        for (id, identity) in &more {
            let member = charter.member(id).ok_or_else(|| {
                Fault::new(Kind::Refused, format!("the charter in force has no `{id}`"))
                    .hint("wait until the amendment that brings the person is in force: `countersign charter show`")
            })?;
            if identity.commitment()? != member.identity {
                let words = format!("the addresses of `{id}` are not those that the charter commits to");
                return Err(Fault::new(Kind::Untrue, words)
                    .hint("use the file that was made with the digest in the amendment, or amend the digest"));
            }
        }
        let who = more.keys().cloned().collect();
        self.all.extend(more);
        Ok(who)
    }

    /// Writes the file, which belongs afterwards to whom it belonged before.
    pub fn write(&self, path: &Path) -> Result<(), Fault> {
        let owner = std::fs::metadata(path).ok().map(|meta| (meta.uid(), meta.gid()));
        let bytes = text(&self.all)?;
        // Its owner's before it has the name: whoever is killed between leaves the old file, and not one that its owner
        // can not read.
        let new = path.with_extension("new");
        let failed = || format!("`{}` can not be written", path.display());
        durable::write(&new, &bytes, 0o600).because(Kind::Unavailable, failed())?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&new, Some(uid), Some(gid))
                .because(Kind::Unavailable, format!("`{}` can not be given back to its owner", path.display()))?;
        }
        durable::replace(&new, path).because(Kind::Unavailable, failed())
    }
}

/// The file's text: a pseudonym each, with salt and addresses.
pub fn text(all: &BTreeMap<PersonId, Identity>) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec_pretty(all).because(Kind::Internal, "the identities can not be written")
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<PersonId, Identity>, Fault> {
    serde_json::from_slice(bytes).because(Kind::Input, "these are no identities")
}

fn is_theirs(identity: &Identity, digest: model::Digest) -> bool {
    identity.commitment().is_ok_and(|commitment| commitment == digest)
}

fn file_of(path: &Path) -> Option<(u64, u64, i64)> {
    let meta = std::fs::metadata(path).ok()?;
    let written = meta.mtime().checked_mul(1_000_000_000)?.checked_add(meta.mtime_nsec())?;
    Some((meta.dev(), meta.ino(), written))
}

#[cfg(test)]
mod tests;
