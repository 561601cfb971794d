//! Appends numbered statements to the log in a file, for ever, and says of each when it is in: `<number> <index>`.
//!
//! `append <file> [<first number>]`. For trying out what a kill at any moment leaves; `tests/killed.rs` does that.

use std::{error::Error, io::Write as _, path::PathBuf, sync::Arc};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    store::SqliteStore,
};

/// Statements handed over at a time, so that commits of more than one entry are cut short too.
const AT_ONCE: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("which file?")?);
    let mut next: u64 = match arguments.next() {
        Some(first) => first.to_string_lossy().parse()?,
        None => 0,
    };
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[7; 32]).ok_or("no key")?;
    let log_key = PrivateKey::from_seed(Scheme::Ed25519, &[8; 32]).ok_or("no key")?;
    let signer = NoteSigner::new("killed.example", NoteKeyType::Ed25519, Arc::new(log_key))?;
    let log = Log::open(Arc::new(SqliteStore::open(&path)?), signer, Arc::new(OpenDoor))?;
    let mut out = std::io::stdout().lock();
    loop {
        let numbers = next..next + AT_ONCE;
        let batch = numbers
            .clone()
            .map(|n| Envelope::seal("text/plain", n.to_string().into_bytes(), &key).map(Submission::new));
        for (number, receipt) in numbers.zip(log.append_all(batch.collect::<Result<_, _>>()?)) {
            writeln!(out, "{number} {}", receipt?.index)?;
            out.flush()?;
        }
        next += AT_ONCE;
    }
}
