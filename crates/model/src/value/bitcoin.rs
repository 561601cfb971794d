//! Bitcoin addresses: Base58Check (version byte, hash, four bytes of double SHA-256), Bech32 for witness version 0
//! (BIP 173) and Bech32m for those after it (BIP 350).

use bech32::{Fe32, segwit};
use sha2::{Digest as _, Sha256};

use super::{Format, ValueError, form};

/// Version byte, hash and checksum.
const BASE58_BYTES: usize = 25;
const CHECKSUM_BYTES: usize = 4;
/// A witness program of Taproot is a public key (BIP 341).
const TAPROOT_BYTES: usize = 32;

pub(super) fn parse(text: &str) -> Result<(String, Vec<String>), ValueError> {
    let lower = text.to_ascii_lowercase();
    if ["bc1", "tb1", "bcrt1"].iter().any(|prefix| lower.starts_with(prefix)) {
        return witness(text, lower);
    }
    base58(text)
}

fn base58(text: &str) -> Result<(String, Vec<String>), ValueError> {
    let wrong = |why: &str| form(Format::Bitcoin, text, why);
    let bytes = bs58::decode(text)
        .into_vec()
        .map_err(|_| wrong("it has characters that are not in Base58, which leaves out 0, O, I and l"))?;
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>().filter(|_| bytes.len() == BASE58_BYTES)
    else {
        return Err(wrong("it is too long or too short"));
    };
    let digest = Sha256::digest(Sha256::digest(body));
    if !digest.starts_with(checksum) {
        return Err(ValueError::Checksum { text: text.to_owned(), format: Format::Bitcoin });
    }
    let note = match body.first() {
        Some(0x00) => "main network, pays to a key (P2PKH)",
        Some(0x05) => "main network, pays to a script (P2SH)",
        Some(0x6f | 0xc4) => "TEST NETWORK: what is paid here has no worth",
        _ => return Err(wrong("its version byte is of no Bitcoin network")),
    };
    Ok((text.to_owned(), vec!["the Base58Check checksum is right".to_owned(), note.to_owned()]))
}

fn witness(text: &str, lower: String) -> Result<(String, Vec<String>), ValueError> {
    if text != lower && text != text.to_ascii_uppercase() {
        return Err(form(Format::Bitcoin, text, "Bech32 is in small letters, or all in capitals"));
    }
    let (hrp, version, program) = match segwit::decode(&lower) {
        Ok(decoded) => decoded,
        Err(error) => return Err(refused(text, &error)),
    };
    let kind = match (version, program.len()) {
        (Fe32::Q, 20) => "pays to a key (P2WPKH), Bech32 checksum right",
        (Fe32::Q, _) => "pays to a script (P2WSH), Bech32 checksum right",
        (Fe32::P, TAPROOT_BYTES) => "Taproot (P2TR), Bech32m checksum right",
        _ => {
            let why = "its witness version has no rules yet, so that anybody could spend what is paid there";
            return Err(form(Format::Bitcoin, text, why));
        }
    };
    let network =
        if hrp.is_valid_on_mainnet() { "main network" } else { "TEST NETWORK: what is paid here has no worth" };
    Ok((lower, vec![network.to_owned(), kind.to_owned()]))
}

fn refused(text: &str, error: &segwit::DecodeError) -> ValueError {
    use bech32::primitives::decode::{SegwitHrpstringError, UncheckedHrpstringError};
    match &error.0 {
        SegwitHrpstringError::Checksum(_) => ValueError::Checksum { text: text.to_owned(), format: Format::Bitcoin },
        SegwitHrpstringError::Unchecked(UncheckedHrpstringError::Char(_)) => {
            form(Format::Bitcoin, text, "it has characters that are not in Bech32, which leaves out 1, b, i and o")
        }
        other => form(Format::Bitcoin, text, other.to_string()),
    }
}
