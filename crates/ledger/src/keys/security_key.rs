//! What a FIDO security key signs, and what it says beside it (openssh-portable `PROTOCOL.u2f`, "SSH U2F signatures").
//!
//! A security key signs `SHA-256(application) ‖ flags ‖ counter ‖ SHA-256(message)`. The first flag says that somebody
//! touched it, and without that nothing counts here. The counter is signed and not compared with earlier ones: many keys
//! count for all their uses together, some do not count at all, and statements come into the log in another order than they
//! were signed in. It refuses to know whose key it is.

use model::Digest;
use p256::ecdsa;

use super::wire;

/// The flag of user presence: the key was touched for this signature.
const USER_PRESENT: u8 = 0x01;
/// A number of P-256 has 32 bytes.
const NUMBER_BYTES: usize = 32;

/// Why what a security key says does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecurityKeyError {
    /// Not a signature, flags and a counter.
    #[error("not what a security key signs: a signature, flags and a counter")]
    Malformed,
    /// Nobody touched it (`ssh-keygen -O no-touch-required`).
    #[error("the security key was not touched for it; use a key that asks for a touch")]
    NotTouched,
}

/// What stands behind the type of a signature: `string signature, byte flags, uint32 counter`.
pub(super) struct Said<'a> {
    pub(super) signature: &'a [u8],
    flags: u8,
    counter: u32,
}

impl<'a> Said<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SecurityKeyError> {
        let mut reader = wire::Reader::new(bytes);
        let (Some(signature), Some(flags), Some(counter), true) =
            (reader.string(), reader.byte(), reader.u32(), reader.is_empty())
        else {
            return Err(SecurityKeyError::Malformed);
        };
        if flags & USER_PRESENT == 0 {
            return Err(SecurityKeyError::NotTouched);
        }
        Ok(Self { signature, flags, counter })
    }

    /// The bytes that the key signed.
    pub(super) fn signed_data(&self, application: &str, message: &[u8]) -> Vec<u8> {
        let mut out = Digest::of(application.as_bytes()).as_bytes().to_vec();
        out.push(self.flags);
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(Digest::of(message).as_bytes());
        out
    }
}

/// The two numbers of an ECDSA signature: `mpint r, mpint s` (RFC 5656 section 3.1.2), each in its shortest form.
pub(super) fn ecdsa_pair(bytes: &[u8]) -> Result<ecdsa::Signature, SecurityKeyError> {
    let mut reader = wire::Reader::new(bytes);
    let (Some(r), Some(s), true) = (number(&mut reader), number(&mut reader), reader.is_empty()) else {
        return Err(SecurityKeyError::Malformed);
    };
    // Zero and what is not below the order of the group is refused here.
    ecdsa::Signature::from_scalars(r, s).map_err(|_| SecurityKeyError::Malformed)
}

/// A positive `mpint` of at most 256 bits (RFC 4251 section 5): the highest bit is a sign, so a zero byte may stand in front,
/// and only where it is needed.
fn number(reader: &mut wire::Reader<'_>) -> Option<[u8; NUMBER_BYTES]> {
    let bytes = reader.string()?;
    let digits = match bytes {
        [0, next, ..] if next & 0x80 != 0 => bytes.get(1..)?,
        [first, ..] if *first != 0 && first & 0x80 == 0 => bytes,
        _ => return None,
    };
    let mut out = [0; NUMBER_BYTES];
    let start = NUMBER_BYTES.checked_sub(digits.len())?;
    out.get_mut(start..)?.copy_from_slice(digits);
    Some(out)
}
