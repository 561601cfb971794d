//! Amounts: whole cents, never a floating-point number.

use std::{fmt, str::FromStr};

/// One payment moves at most a million.
pub const AMOUNT_MAX_CENTS: i64 = 100_000_000;

/// More than nothing and at most `AMOUNT_MAX_CENTS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount(i64);

impl Amount {
    /// In cents.
    pub fn cents(self) -> i64 {
        self.0
    }

    /// From cents.
    pub fn from_cents(cents: i64) -> Option<Self> {
        (1..=AMOUNT_MAX_CENTS).contains(&cents).then_some(Self(cents))
    }
}

impl FromStr for Amount {
    type Err = &'static str;

    /// `12`, `12.5` and `12.50`; no sign, no space, at most two decimals.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "an amount is written like 12.50";
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "00"));
        let is_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(decimals) || whole.len() > 9 || decimals.len() > 2 {
            return Err(FORM);
        }
        let cents = format!("{whole}{decimals:0<2}").parse().map_err(|_| FORM)?;
        Self::from_cents(cents).ok_or("an amount is more than nothing and at most a million")
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0))
    }
}

/// Cents as a decimal number; also for balances, which may be negative.
pub fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}
