//! Entry bundles (C2SP tlog-tiles, "Log entries"): entries one after the other, each with its length as a big-endian
//! 16-bit number in front.
//!
//! It knows lengths, and refuses to know what an entry is.

/// The bytes end in the middle of an entry or of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bundle of entries is cut short")]
pub struct BundleError;

/// Splits a bundle into its entries. Any number of them, none included.
pub fn unbundle(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, BundleError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or(BundleError)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length).ok_or(BundleError)?;
        entries.push(entry.to_vec());
        bytes = rest;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
