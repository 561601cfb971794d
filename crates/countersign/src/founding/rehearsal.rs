//! A founding file tried out before any key is made: the charter that it would make, with keys that nobody has.
//!
//! Who may do what depends on whose keys are the same and on nothing else about them, so equal words make equal keys. It
//! reads the policy that the file names, and no key.

use std::{collections::BTreeMap, path::Path};

use ledger::{
    keys::{PrivateKey, Scheme, Signer as _},
    note::{NoteKeyType, VerifierKey},
    statement::v1::Charter,
};
use model::Digest;

use super::{Founding, MadeKeys};
use crate::{
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
};

impl Founding {
    /// The charter that the file asks for, with made-up keys.
    pub fn rehearsed(mut self, folder: &Path) -> Result<Charter, Fault> {
        for (id, person) in &mut self.people {
            for key in &mut person.keys {
                *key = public(&named(key, id.as_str()), Scheme::SshSig)?;
            }
        }
        let log = key("the log", Scheme::Ed25519)?;
        let mut robots = BTreeMap::new();
        for (id, robot) in &mut self.robots {
            match &mut robot.key {
                Some(key) => *key = public(&named(key, id.as_str()), Scheme::Ed25519)?,
                None if robot.role.as_str() == RoleUser::Log.name() => {
                    robots.insert(id.clone(), log.key().to_openssh());
                }
                None => {
                    robots.insert(id.clone(), public(&format!("robot {id}"), Scheme::Ed25519)?);
                }
            }
        }
        let vkey = |name: &str, of: &str, kind: NoteKeyType| -> Result<String, Fault> {
            let key = key(of, Scheme::Ed25519)?;
            Ok(VerifierKey::new(name, kind, key.key()).because(Kind::Input, "a name can not name a key")?.to_string())
        };
        for witness in &mut self.witnesses {
            witness.vkey = vkey(&witness.name, &named(&witness.vkey, &witness.name), NoteKeyType::Cosignature)?;
        }
        let keys = MadeKeys { log_vkey: vkey(&self.origin, "the log", NoteKeyType::Ed25519)?, robots };
        Ok(self.charter(folder, &keys, true)?.0)
    }
}

/// What a key is made from: the words of the file, which for two holders are the same only if the key would be; a gap to be
/// filled in is everybody's own.
fn named(words: &str, holder: &str) -> String {
    if words.contains('…') { format!("{words} of {holder}") } else { words.to_owned() }
}

fn key(of: &str, scheme: Scheme) -> Result<PrivateKey, Fault> {
    PrivateKey::from_seed(scheme, Digest::of(of.as_bytes()).as_bytes())
        .ok_or_else(|| Fault::new(Kind::Internal, "no key can be made up"))
}

fn public(of: &str, scheme: Scheme) -> Result<String, Fault> {
    Ok(key(of, scheme)?.key().to_openssh())
}
