//! An order to pay: who, whom, how much.

use crate::Amount;

/// The account that money comes from and goes to when it enters or leaves the desk; the only one that may be
/// overdrawn.
pub const BANK: &str = "bank";

/// A checked order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Chosen by whoever pays; the same key never books twice.
    pub key: String,
    /// The account that pays.
    pub from: String,
    /// The account that is paid.
    pub to: String,
    /// How much.
    pub amount: Amount,
    /// ISO 4217, such as `EUR`.
    pub currency: String,
}

impl Order {
    /// Checks every part; the message says which is wrong.
    pub fn new(key: &str, from: &str, to: &str, amount: &str, currency: &str) -> Result<Self, String> {
        if !is_key(key) {
            return Err("the idempotency key is 8 to 64 letters, digits, `-` or `_`".to_owned());
        }
        for (name, account) in [("from", from), ("to", to)] {
            if !is_account(account) {
                return Err(format!("`{name}` is not an account: 1 to 32 small letters, digits or `-`"));
            }
        }
        if from == to {
            return Err("`from` and `to` are the same account".to_owned());
        }
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err("`currency` is three capital letters, such as EUR".to_owned());
        }
        let amount = amount.parse()?;
        Ok(Self {
            key: key.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            amount,
            currency: currency.to_owned(),
        })
    }
}

/// Whether this can be an idempotency key.
pub fn is_key(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether this can be the name of an account.
pub fn is_account(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
