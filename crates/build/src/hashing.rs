//! Digests of what is too large to be held in memory.

use std::io::{self, Read};

use model::Digest;
use sha2::{Digest as _, Sha256};

/// The digest of everything that a reader gives, by any of the SHA-2 family.
pub(crate) fn of<H: sha2::Digest>(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut hash = H::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().to_vec()),
            Ok(n) => hash.update(buffer.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The SHA-256 of everything that a reader gives.
pub(crate) fn sha256(from: impl Read) -> io::Result<Digest> {
    let hash = of::<Sha256>(from)?;
    let bytes = <[u8; 32]>::try_from(hash.as_slice()).map_err(io::Error::other)?;
    Ok(Digest::from_bytes(bytes))
}

/// Passes bytes on and keeps their number and SHA-256.
pub(crate) struct Counted<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: io::Write> Counted<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, hash: Sha256::new(), bytes: 0 }
    }

    /// The digest of what was written so far.
    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }

    /// The number of bytes written so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it wrote to, the digest and the number of bytes.
    pub(crate) fn finish(self) -> (W, Digest, u64) {
        (self.to, Digest::from_bytes(self.hash.finalize().into()), self.bytes)
    }
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hash.update(bytes.get(..n).unwrap_or_default());
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
