//! Ethereum addresses with their checksum in upper and lower case (EIP-55): a letter is a capital where the digit of
//! the Keccak-256 of the small letters at its place is 8 or more.

use sha3::{Digest as _, Keccak256};

use super::{Format, ValueError, form};

/// 20 bytes as hex.
const DIGITS: usize = 40;

pub(super) fn parse(text: &str) -> Result<(String, Vec<String>), ValueError> {
    let wrong = |why: &str| form(Format::Ethereum, text, why);
    let digits = text.strip_prefix("0x").ok_or_else(|| wrong("it does not begin with `0x`"))?;
    if digits.len() != DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong("40 digits of 0-9 and a-f after `0x`"));
    }
    let lower = digits.to_ascii_lowercase();
    if checksummed(&lower) != digits {
        if digits == lower || digits == digits.to_ascii_uppercase() {
            let why = "all its letters are of one case, so it carries no checksum; ask for it in the form of EIP-55";
            return Err(wrong(why));
        }
        return Err(ValueError::Checksum { text: text.to_owned(), format: Format::Ethereum });
    }
    if lower.bytes().all(|b| b == b'0') {
        return Err(wrong("it is the zero address: what is paid there is lost"));
    }
    Ok((text.to_owned(), vec!["the EIP-55 checksum is right".to_owned()]))
}

fn checksummed(lower: &str) -> String {
    let hash = hex::encode(Keccak256::digest(lower.as_bytes()));
    let raised = |(c, h): (char, u8)| if h >= b'8' { c.to_ascii_uppercase() } else { c };
    lower.chars().zip(hash.bytes()).map(raised).collect()
}
