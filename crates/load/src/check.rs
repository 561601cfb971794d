//! Whether an answer is right: its status, words in it, values at JSON pointers (RFC 6901). A wrong answer counts as failed,
//! however fast it was.
//!
//! It refuses to know how the answer came.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// What a right answer is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Check {
    /// Statuses that are right; 200 to 399 if none is named. Not for WebSocket messages.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Text that the body has.
    #[serde(default)]
    pub contains: Option<String>,
    /// Text that the body does not have.
    #[serde(default)]
    pub lacks: Option<String>,
    /// Values by JSON pointer that the body has.
    #[serde(default)]
    pub json: std::collections::BTreeMap<String, Value>,
}

/// Why a check can not be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckError {
    /// Not a status.
    #[error("{0} is no HTTP status; they are 100 to 599")]
    Status(u16),
    /// Every answer would do.
    #[error("a check for an empty text finds it everywhere")]
    Empty,
    /// Not a pointer.
    #[error("`{0}` is no JSON pointer; one is empty or begins with `/`")]
    Pointer(String),
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Its status.
    Status,
    /// What it says.
    Body,
}

impl Check {
    /// Whether it can be made.
    pub fn validate(&self) -> Result<(), CheckError> {
        if let Some(status) = self.status.iter().find(|status| !(100..600).contains(*status)) {
            return Err(CheckError::Status(*status));
        }
        if self.contains.as_deref() == Some("") || self.lacks.as_deref() == Some("") {
            return Err(CheckError::Empty);
        }
        match self.json.keys().find(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            Some(pointer) => Err(CheckError::Pointer(pointer.clone())),
            None => Ok(()),
        }
    }

    /// Whether it reads bodies.
    pub fn needs_body(&self) -> bool {
        self.contains.is_some() || self.lacks.is_some() || !self.json.is_empty()
    }

    /// What is wrong with an answer, if something is. A message of a session has no status.
    pub fn judge(&self, status: Option<u16>, body: &[u8]) -> Option<Wrong> {
        let is_right = |status: &u16| match self.status.as_slice() {
            [] => (200..400).contains(status),
            named => named.contains(status),
        };
        if status.is_some_and(|status| !is_right(&status)) {
            return Some(Wrong::Status);
        }
        if !self.needs_body() {
            return None;
        }
        let has = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
        if self.contains.as_deref().is_some_and(|text| !has(text)) || self.lacks.as_deref().is_some_and(has) {
            return Some(Wrong::Body);
        }
        if self.json.is_empty() {
            return None;
        }
        let Ok(said) = serde_json::from_slice::<Value>(body) else { return Some(Wrong::Body) };
        let fits = self.json.iter().all(|(pointer, value)| said.pointer(pointer) == Some(value));
        (!fits).then_some(Wrong::Body)
    }
}

#[cfg(test)]
mod tests;
