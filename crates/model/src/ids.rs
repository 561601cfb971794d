//! The one registry of names and ids. A new kind of name is one line in `names!`.
//!
//! Names are short, lower case and printable, so that they can stand in a path, an address, a unit name
//! and a log line without quoting, and two names cannot differ only by something that the eye does not see.

use std::{fmt, str::FromStr};

use crate::Digest;
use crate::digest::as_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a name or an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("a {what} can not be empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// Longer than the limit.
    #[error("`{text}` is too long for a {what}: at most {limit} characters")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// What was given, cut to the limit.
        text: String,
        /// The limit.
        limit: usize,
    },
    /// A character that the kind of name does not allow.
    #[error("`{text}` is not a {what}: {rule}")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// What was given.
        text: String,
        /// What is allowed.
        rule: &'static str,
    },
}

/// 48 characters: a name stands in host names (63), Linux interface aliases and file names with room to spare.
const NAME_LIMIT: usize = 48;
/// Test case ids are file, class and function joined; real ones reach 300 characters.
const CASE_LIMIT: usize = 512;

fn check_name(what: &'static str, text: &str) -> Result<(), IdError> {
    let rule = "use lower-case letters, digits and single hyphens, starting with a letter";
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > NAME_LIMIT {
        return Err(IdError::TooLong { what, text: text.chars().take(NAME_LIMIT).collect(), limit: NAME_LIMIT });
    }
    let fits = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--");
    if fits { Ok(()) } else { Err(IdError::Character { what, text: text.to_owned(), rule }) }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check_name($what, text)?;
                Ok(Self(text.into()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        as_text!($name);
    )*};
}

names! {
    /// A system: everything that is released together.
    SystemName, "system name";
    /// A way of building from source.
    BuildName, "build name";
    /// A component of a system.
    ComponentName, "component name";
    /// A network zone.
    ZoneName, "zone name";
    /// An environment, such as `staging` or `production`.
    EnvironmentName, "environment name";
    /// A suite of test cases.
    SuiteName, "suite name";
    /// A declared volume of a component.
    VolumeName, "volume name";
    /// A secret, by reference.
    SecretName, "secret name";
    /// A person's pseudonym in the charter. Never a name or an address: a log can not forget.
    PersonId, "person id";
    /// A robot in the charter.
    RobotId, "robot id";
    /// A role in the charter.
    RoleName, "role name";
    /// A host in the charter.
    HostName, "host name";
    /// A guarded value in the charter.
    ValueName, "value name";
}

/// A requirement, as trackers write them: `PAY-142`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequirementId(std::sync::Arc<str>);

impl RequirementId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequirementId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let what = "requirement id";
        let rule = "use upper-case letters and digits, a hyphen and a number, as in `PAY-142`";
        if text.is_empty() {
            return Err(IdError::Empty { what });
        }
        if text.len() > NAME_LIMIT {
            return Err(IdError::TooLong { what, text: text.chars().take(NAME_LIMIT).collect(), limit: NAME_LIMIT });
        }
        let fits = text.split_once('-').is_some_and(|(project, number)| {
            project.starts_with(|c: char| c.is_ascii_uppercase())
                && project.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        });
        if fits { Ok(Self(text.into())) } else { Err(IdError::Character { what, text: text.to_owned(), rule }) }
    }
}

/// A test case within a suite, as its report names it: class and name joined by ` › `.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseId(std::sync::Arc<str>);

impl CaseId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands for the case in a leaf of the log, which never learns test names: the digest of the id.
    pub fn pseudonym(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl FromStr for CaseId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let what = "test case id";
        if text.trim().is_empty() {
            return Err(IdError::Empty { what });
        }
        if text.len() > CASE_LIMIT {
            return Err(IdError::TooLong { what, text: text.chars().take(NAME_LIMIT).collect(), limit: CASE_LIMIT });
        }
        if text.chars().any(char::is_control) {
            return Err(IdError::Character {
                what,
                text: text.escape_default().to_string(),
                rule: "control characters are not allowed",
            });
        }
        Ok(Self(text.into()))
    }
}

/// A key: the SHA-256 of its public key in SSH wire form (RFC 4253 section 6.6), the digest that
/// `ssh-keygen -l` prints in base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

impl KeyId {
    /// The id of the key with this SSH wire form.
    pub fn of_wire(wire: &[u8]) -> Self {
        Self(Digest::of(wire))
    }

    /// The digest.
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// The first 12 hex digits, for people.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl FromStr for KeyId {
    type Err = crate::DigestError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

macro_rules! shown {
    ($($ty:ident),*) => {$(
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        as_text!($ty);
    )*};
}
shown!(RequirementId, CaseId, KeyId);
