//! Serials: what a person reads off a running component to find the change that made it.

use std::{fmt, str::FromStr};

use crate::digest::as_text;
use crate::{IdError, SystemName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `paydesk-000042`: the system and the ordinal of the change in the log, so building again gives the same one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Serial {
    system: SystemName,
    ordinal: u64,
}

/// Why a text is not a serial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SerialError {
    /// Not of the form `system-000042`.
    #[error("`{0}` is not a serial: write the system, a hyphen and at least six digits, as in `paydesk-000042`")]
    Form(String),
    /// The part in front is not a system name.
    #[error(transparent)]
    System(#[from] IdError),
}

impl Serial {
    /// The serial of the `ordinal`th change of a system; the first is 1.
    pub const fn new(system: SystemName, ordinal: u64) -> Self {
        Self { system, ordinal }
    }

    /// The system.
    pub const fn system(&self) -> &SystemName {
        &self.system
    }

    /// The ordinal of the change.
    pub const fn ordinal(&self) -> u64 {
        self.ordinal
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:06}", self.system, self.ordinal)
    }
}

impl FromStr for Serial {
    type Err = SerialError;
    fn from_str(text: &str) -> Result<Self, SerialError> {
        let form = || SerialError::Form(text.to_owned());
        let (system, digits) = text.rsplit_once('-').ok_or_else(form)?;
        let canonical = digits.len() == 6 || (digits.len() > 6 && !digits.starts_with('0'));
        if !canonical || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(form());
        }
        let ordinal = digits.parse().map_err(|_| form())?;
        Ok(Self { system: system.parse()?, ordinal })
    }
}

as_text!(Serial);
