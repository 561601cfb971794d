//! Files that a table names: certificates, keys, key sets.

use std::{fs::File, io, path::Path};

/// A certificate or key file, in bytes: chains of four with large keys are below 20 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The whole file, if it is no larger than such files are.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}
