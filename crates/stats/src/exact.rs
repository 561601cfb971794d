//! A number that is written as its bits, in 16 hexadecimal digits, so that whoever reads it continues with the same number.
//!
//! It refuses to know what the number is. Decimal digits would do as well with a careful reader; not every JSON reader is.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A finite number, written exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exact(pub(crate) f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0.to_bits()))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let bits = digits.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        match bits.map(f64::from_bits) {
            Some(number) if number.is_finite() => Ok(Self(number)),
            _ => Err(D::Error::custom(format_args!(
                "`{text}` is not a finite number in 16 lower-case hexadecimal digits"
            ))),
        }
    }
}
