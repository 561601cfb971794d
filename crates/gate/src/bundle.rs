//! Bundles: one file with everything that it takes to check one verdict, without a network, a server or any state.
//!
//! A bundle carries entries of the log, byte for byte, a checkpoint that the log signed and the witnesses cosigned, and
//! the place of a verdict. Who checks it gives the hash of the charter and believes nothing else: signatures, places in
//! the tree, witnesses, persons and the verdict itself are computed again from the entries. docs/bundle.md has the form,
//! field by field.
//!
//! It knows bytes and statements, and refuses to know files, logs and clocks: reading and writing the file is for
//! whoever calls.

mod form;
mod report;
mod select;
mod verify;

pub use form::{
    BODY_LIMIT, BODY_LIMIT_BYTES, Body, Bundle, BundleError, ENTRY_LIMIT, Entry, FILE_LIMIT_BYTES, Form, VERSION,
};
pub use report::{Approver, Now, Report, any_program};
pub use select::{SelectError, select};
pub(crate) use verify::fold;
pub use verify::{VerifyError, verify};

#[cfg(test)]
mod tests;
