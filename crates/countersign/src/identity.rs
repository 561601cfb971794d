//! The numeric users and groups that roles and components run as.
//!
//! Fixed numbers, not names: nothing is added to `/etc/passwd`, no name service is asked (one that hangs would hang a
//! start), and a file's owner means the same on every host. It refuses to know what a role does and changes nothing;
//! [`crate::confine`] takes the number on, and `up` gives folders to it.
//!
//! Why from 2 200 000: ordinary installations give accounts numbers below 65 536 and hand out subordinate numbers in
//! `/etc/subuid` from 100 000, 65 536 for each account, so the first 32 accounts end below; and it is below 2^31, above
//! which some file systems and tools read a negative number. `systemd-nspawn --private-users=pick` may take a block
//! anywhere from 524 288 to 1 879 048 191; [`overlaps`] finds what the tables of a host can tell.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The first number that is ours, and the group that every role is in so that it can reach the sockets of others.
pub(crate) const BASE: u32 = 2_200_000;

/// The group of all roles: who may enter the folder of sockets. Each socket's own mode says who may connect.
pub(crate) const ROLES_GROUP: u32 = BASE;

/// The first number of components; instance `n` of a host runs as `COMPONENT_BASE + n`.
pub(crate) const COMPONENT_BASE: u32 = 2_210_000;

/// How many component numbers there are on one host: one for each address of its fabric.
pub(crate) const COMPONENT_COUNT: u32 = 65_536;

/// The first number of components that the tester starts, which never meet those of production.
pub(crate) const TESTED_BASE: u32 = 2_280_000;

/// The number after the last that is ours.
pub(crate) const END: u32 = TESTED_BASE + COMPONENT_COUNT;

/// A user and its groups, by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    /// User number: real, effective, saved and of files.
    pub(crate) uid: u32,
    /// Group number, the same four.
    pub(crate) gid: u32,
    /// Further groups; everything else is taken away.
    pub(crate) groups: Vec<u32>,
}

/// A process of `countersign up`, or a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleUser {
    /// Keeps the log.
    Log,
    /// Makes verdicts.
    Gate,
    /// Builds.
    Builder,
    /// Runs suites.
    Tester,
    /// Runs what a verdict names.
    Agent,
    /// Carries traffic.
    Edge,
    /// API and console.
    Front,
    /// Cosigns checkpoints.
    Witness,
    /// Raises alarms.
    Watch,
}

impl RoleUser {
    /// Every role, in the order of their numbers.
    pub(crate) const ALL: [Self; 9] = [
        Self::Log,
        Self::Gate,
        Self::Builder,
        Self::Tester,
        Self::Agent,
        Self::Edge,
        Self::Front,
        Self::Witness,
        Self::Watch,
    ];

    /// The user and group number. They never change: files of installed systems carry them.
    pub(crate) const fn uid(self) -> u32 {
        BASE + match self {
            Self::Log => 1,
            Self::Gate => 2,
            Self::Builder => 3,
            Self::Tester => 4,
            Self::Agent => 5,
            Self::Edge => 6,
            Self::Front => 7,
            Self::Witness => 8,
            Self::Watch => 9,
        }
    }

    /// The user with its own group and the group of all roles.
    pub(crate) fn user(self) -> User {
        User { uid: self.uid(), gid: self.uid(), groups: vec![ROLES_GROUP] }
    }

    /// The word for it, as in `countersign status`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Gate => "gate",
            Self::Builder => "builder",
            Self::Tester => "tester",
            Self::Agent => "agent",
            Self::Edge => "edge",
            Self::Front => "front",
            Self::Witness => "witness",
            Self::Watch => "watch",
        }
    }
}

impl fmt::Display for RoleUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose a number is, in words: `gate`, `component 12`, or nothing if it is not ours.
pub(crate) fn owner(uid: u32) -> Option<String> {
    if let Some(role) = RoleUser::ALL.into_iter().find(|role| role.uid() == uid) {
        return Some(role.name().to_owned());
    }
    match uid {
        COMPONENT_BASE..TESTED_BASE => Some(format!("component {}", uid - COMPONENT_BASE)),
        TESTED_BASE..END => Some(format!("component {} under test", uid - TESTED_BASE)),
        _ => None,
    }
}

/// Accounts (`name:x:uid:…`, `/etc/passwd`) and subordinate blocks (`name:first:count`, `/etc/subuid`) that overlap
/// `BASE..END`, in words. `up` prints them: such an account could own the files of a role. Lines that are not
/// understood are passed over, as the C library does.
pub(crate) fn overlaps(passwd: &str, subuid: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1).and_then(|text| text.parse::<u32>().ok()));
        if let (Some(name), Some(uid)) = (name, uid)
            && (BASE..END).contains(&uid)
        {
            found.push(format!("account `{name}` has the number {uid}"));
        }
    }
    for line in subuid.lines() {
        let mut fields = line.split(':');
        let (name, first, count) = (
            fields.next(),
            fields.next().and_then(|text| text.parse::<u64>().ok()),
            fields.next().and_then(|text| text.parse::<u64>().ok()),
        );
        if let (Some(name), Some(first), Some(count)) = (name, first, count)
            && first < u64::from(END)
            && first.saturating_add(count) > u64::from(BASE)
        {
            found.push(format!("account `{name}` may use {count} numbers from {first}"));
        }
    }
    found
}

#[cfg(test)]
mod tests;
