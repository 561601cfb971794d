//! Money and names as everything else passes them on: parsed once, at the door. Does no input or output.

mod amount;
mod order;

pub use amount::{AMOUNT_MAX_CENTS, Amount, decimal};
pub use order::{BANK, Order, is_account, is_key};
