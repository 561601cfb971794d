//! Statements: what a log entry says, in frozen wire forms.
//!
//! A statement is an in-toto Statement v1 (`in-toto/attestation:spec/v1/statement.md`) whose predicate is a
//! header and a claim; the verdict's predicate is a SLSA verification summary with the same header beside it.
//! This module knows shapes and limits. It refuses to know policy: what follows from a claim is for `gate`.

pub mod v1;

mod entitlement;
mod payload;
#[cfg(test)]
pub(crate) use payload::samples;
mod read;
mod vouched;

pub use entitlement::{
    EntitlementError, FOUNDER_ROLE, LONGEST_LIFE_S, MEMBER_ROLE, Members, RECOVERY_ROLE, Signatory, public_key,
};
pub use payload::{PAYLOAD_TYPE, PayloadError, Statement, Subject};
pub use read::{ReadError, open};
pub use vouched::vouched;
