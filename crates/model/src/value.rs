//! Guarded values as text: what each format asks of them, and what an approver should know of one.
//!
//! A value is parsed once and kept in one spelling, so that what people compare, what is committed to and what a
//! component reads are the same bytes. Whether an account or an address belongs to whom it should is nothing that a
//! checksum tells; this room refuses to know banks, chains and networks.

mod bic;
mod bitcoin;
mod ethereum;
mod likeness;

use std::fmt;

use iban::{Iban, IbanLike as _, ParseIbanError};
use serde::{Deserialize, Serialize};

pub use likeness::{Alike, Likeness};

/// 1,024 bytes: a line that people compare by eye; the longest address, an `https` one, is rarely over 200.
pub const VALUE_LIMIT_BYTES: usize = 1_024;
/// 40 digits: more than any sum of money in its smallest unit has.
const DECIMAL_LIMIT: usize = 40;

/// What a guarded value must look like. Its wire names stand in charters and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A line of text.
    Text,
    /// A decimal number.
    Decimal,
    /// An `https` address.
    Url,
    /// An international bank account number (ISO 13616).
    Iban,
    /// A business identifier code (ISO 9362).
    Bic,
    /// A Bitcoin address: Base58Check, Bech32 (BIP 173) or Bech32m (BIP 350).
    Bitcoin,
    /// An Ethereum address with its checksum (EIP-55).
    Ethereum,
}

impl Format {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "a line of text",
            Self::Decimal => "a decimal number",
            Self::Url => "an https address",
            Self::Iban => "an IBAN (ISO 13616)",
            Self::Bic => "a BIC (ISO 9362)",
            Self::Bitcoin => "a Bitcoin address",
            Self::Ethereum => "an Ethereum address (EIP-55)",
        }
    }

    /// A value of this format that stands in its standard as an example, for systems under test: no money goes there.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Text => "for tests",
            Self::Decimal => "1",
            Self::Url => "https://example.invalid/",
            Self::Iban => "DE89370400440532013000",
            Self::Bic => "TESTDEF0XXX",
            Self::Bitcoin => "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            Self::Ethereum => "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        }
    }
}

/// Why a text is not a value of its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nothing there.
    #[error("a value can not be empty")]
    Empty,
    /// Longer than the limit.
    #[error("a value has at most {VALUE_LIMIT_BYTES} bytes, and this has {0}")]
    TooLong(usize),
    /// A character that can not be seen, or that is no part of a line.
    #[error(
        "the value has the character U+{code:04X} at place {place}, which nobody sees or which does not belong there"
    )]
    Character {
        /// Its code point.
        code: u32,
        /// Where, from 1.
        place: usize,
    },
    /// Not in the form of its format; what is wrong, in words.
    #[error("`{text}` is not {}: {why}", .format.name())]
    Form {
        /// What was given.
        text: String,
        /// What it should be.
        format: Format,
        /// What is wrong.
        why: String,
    },
    /// The checksum says that it was mistyped or changed.
    #[error("`{text}` is not {}: its checksum is wrong, so at least one character is", .format.name())]
    Checksum {
        /// What was given.
        text: String,
        /// What it should be.
        format: Format,
    },
    /// Right, and not in the one spelling in which it is kept.
    #[error("write it as `{0}`: a guarded value has one spelling")]
    Spelling(String),
}

/// A value in its one spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    format: Format,
    text: String,
    notes: Vec<String>,
}

impl Value {
    /// Reads a value. Spaces in an IBAN and the case of a Bech32 address are taken as people write them, and kept in
    /// the one spelling of their standards.
    ///
    /// # Errors
    /// What is wrong with it; never more of it than what was given.
    pub fn parse(format: Format, text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(ValueError::Empty);
        }
        if text.len() > VALUE_LIMIT_BYTES {
            return Err(ValueError::TooLong(text.len()));
        }
        if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !is_seen(*c)) {
            return Err(ValueError::Character { code: u32::from(c), place: at + 1 });
        }
        let (text, notes) = match format {
            Format::Text => line(text)?,
            Format::Decimal => decimal(text)?,
            Format::Url => https(text)?,
            Format::Iban => account(text)?,
            Format::Bic => bic::parse(text)?,
            Format::Bitcoin => bitcoin::parse(text)?,
            Format::Ethereum => ethereum::parse(text)?,
        };
        Ok(Self { format, text, notes })
    }

    /// Reads a value that is kept: it must be in its one spelling.
    ///
    /// # Errors
    /// As [`Value::parse`], and if it is spelled otherwise.
    pub fn parse_kept(format: Format, text: &str) -> Result<Self, ValueError> {
        let value = Self::parse(format, text)?;
        if value.text == text { Ok(value) } else { Err(ValueError::Spelling(value.text)) }
    }

    /// The one spelling: what is committed to and what a component reads.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// What was checked and what is worth knowing, in words for who approves it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// As people compare it: an IBAN in groups of four.
    pub fn shown(&self) -> String {
        match self.format {
            Format::Iban => self.text.parse::<Iban>().map_or_else(|_| self.text.clone(), |iban| iban.to_string()),
            _ => self.text.clone(),
        }
    }
}

impl fmt::Debug for Value {
    /// Values are kept beside the log; they are not printed by the way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({}, {} bytes)", self.format.name(), self.text.len())
    }
}

fn form(format: Format, text: &str, why: impl Into<String>) -> ValueError {
    ValueError::Form { text: text.to_owned(), format, why: why.into() }
}

/// Letters, digits, punctuation and the plain space. What turns the direction of writing, joins, or takes no place is
/// none of these; nor is what is written from right to left, beside which digits and points change places.
fn is_seen(c: char) -> bool {
    c == ' '
        || c.is_ascii_graphic()
        || (c.is_alphanumeric() && !is_blank(c) && !is_from_right(c))
        || matches!(c, '’' | '–' | '—' | '“' | '”' | '„' | '€' | '£' | '¥' | '§' | '°')
}

/// Letters without a shape: the fillers of Hangul (Unicode 16, DerivedCoreProperties, Default_Ignorable_Code_Point).
const fn is_blank(c: char) -> bool {
    matches!(c, '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{17B4}' | '\u{17B5}')
}

/// The blocks that Unicode keeps for scripts from right to left (DerivedBidiClass, default classes R and AL).
const fn is_from_right(c: char) -> bool {
    matches!(
        c,
        '\u{0590}'..='\u{08FF}'
            | '\u{FB1D}'..='\u{FDFF}'
            | '\u{FE70}'..='\u{FEFF}'
            | '\u{10800}'..='\u{10FFF}'
            | '\u{1E800}'..='\u{1EFFF}'
    )
}

fn line(text: &str) -> Result<(String, Vec<String>), ValueError> {
    if text.trim() != text {
        return Err(form(Format::Text, text, "it begins or ends with a space"));
    }
    if text.contains("  ") {
        return Err(form(Format::Text, text, "it has two spaces in a row, which look like one"));
    }
    let foreign: Vec<String> =
        text.chars().filter(|c| !c.is_ascii()).map(|c| format!("{c} (U+{:04X})", u32::from(c))).collect();
    let notes = if foreign.is_empty() {
        Vec::new()
    } else {
        vec![format!("has characters beyond ASCII, which can look like others: {}", foreign.join(", "))]
    };
    Ok((text.to_owned(), notes))
}

fn decimal(text: &str) -> Result<(String, Vec<String>), ValueError> {
    let wrong = |why: &str| Err(form(Format::Decimal, text, why));
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || part.is_some_and(|p| !is_digits(p)) {
        return wrong("digits, and after a point more digits, without separators of thousands");
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return wrong("it begins with a zero");
    }
    if digits.len() > DECIMAL_LIMIT {
        return wrong("it has too many digits");
    }
    let grouped: Vec<String> =
        whole.as_bytes().rchunks(3).rev().map(|g| String::from_utf8_lossy(g).into_owned()).collect();
    let sign = if text.starts_with('-') { "-" } else { "" };
    let part = part.map(|p| format!(".{p}")).unwrap_or_default();
    Ok((text.to_owned(), vec![format!("in groups: {sign}{}{part}", grouped.join(" "))]))
}

/// An address in the one spelling of the WHATWG URL Standard, which is what clients resolve.
fn https(text: &str) -> Result<(String, Vec<String>), ValueError> {
    let wrong = |why: &str| form(Format::Url, text, why);
    if !text.is_ascii() || text.contains(['\\', ' ']) {
        return Err(wrong("write it in ASCII: a host beyond ASCII as `xn--…`, other characters as `%20`"));
    }
    let url = url::Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if url.scheme() != "https" {
        return Err(wrong("it does not begin with `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it names a user before `@`, which reads like a host and is none"));
    }
    if url.fragment().is_some() {
        return Err(wrong("what stands behind `#` is sent to nobody"));
    }
    if url.as_str() != text {
        return Err(ValueError::Spelling(url.as_str().to_owned()));
    }
    let host = url.host_str().unwrap_or_default();
    let mut notes = vec![format!("host {host}, port {}", url.port_or_known_default().unwrap_or_default())];
    if host.split('.').any(|label| label.starts_with("xn--")) {
        notes.push("the host is written in another script than it looks: compare it letter by letter".to_owned());
    }
    if matches!(url.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_))) {
        notes.push("the host is a bare address and no name".to_owned());
    }
    Ok((text.to_owned(), notes))
}

/// ISO 13616: country, two check digits (ISO 7064, mod 97-10) and an account number of the country's length and form.
fn account(text: &str) -> Result<(String, Vec<String>), ValueError> {
    let plain: String = text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
    let iban: Iban = plain.parse().map_err(|error| match error {
        ParseIbanError::InvalidBaseIban { source: iban::ParseBaseIbanError::InvalidChecksum } => {
            ValueError::Checksum { text: text.to_owned(), format: Format::Iban }
        }
        ParseIbanError::InvalidBaseIban { .. } => {
            form(Format::Iban, text, "two letters, two digits, and up to 30 letters and digits")
        }
        ParseIbanError::UnknownCountry(base) => {
            form(Format::Iban, text, format!("the registry has no country `{}`", base.country_code()))
        }
        ParseIbanError::InvalidBban(base) => {
            let country = base.country_code();
            form(Format::Iban, text, format!("accounts of `{country}` have another length or form"))
        }
    })?;
    let mut notes = vec![format!(
        "country {}, {} characters, check digits {:02} are right",
        iban.country_code(),
        plain.len(),
        iban.check_digits()
    )];
    notes.extend(iban.bank_identifier().map(|bank| format!("bank {bank}")));
    Ok((iban.electronic_str().to_owned(), notes))
}

#[cfg(test)]
mod tests;
