//! Charters after the first: edits, what a charter must be for anybody to follow it, and which one is in force where.
//!
//! A log is named by the hash of its first charter for ever. The charter in force is a fold over the log: whoever reads
//! the same entries comes to the same charter, with nobody's word for it. That is why what makes an amendment void stands
//! here, below policy: readers that disagree about it would read two different logs. It refuses to know policies and what
//! the rules of a release are.

mod edits;
mod history;
mod structure;

pub use edits::{DiffError, EditError, apply, diff};
pub use history::{Charters, Consented, Delay, Hindrance, Put, RefusedAct, State};
pub use structure::{StructureError, can_be_amended, check_structure};
