//! The `ledger` room.
pub mod statement;
