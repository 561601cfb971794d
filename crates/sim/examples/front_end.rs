//! One of several front ends of a log in PostgreSQL: appends numbered statements for ever, and says of each when it is in:
//! `<number> <index>`. `front_end <url> <first number>`. For trying out what a kill at any moment leaves; the tests in
//! `sim` do that.

use std::{error::Error, io::Write as _, sync::Arc};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
};
use stores::postgres::{Address, PostgresStore};

/// Statements handed over at a time, so that commits of more than one entry are cut short too.
const AT_ONCE: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = Address::parse(&arguments.next().ok_or("which database?")?)?;
    let mut next: u64 = arguments.next().ok_or("from which number on?")?.parse()?;
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[1; 32]).ok_or("no key")?;
    let log_key = PrivateKey::from_seed(Scheme::Ed25519, &[200; 32]).ok_or("no key")?;
    let signer = NoteSigner::new("laws.example/log", NoteKeyType::Ed25519, Arc::new(log_key))?;
    let log = Log::open(Arc::new(PostgresStore::open(address)?), signer, Arc::new(OpenDoor))?;
    let mut out = std::io::stdout().lock();
    loop {
        let numbers = next..next + AT_ONCE;
        let sealed = numbers.clone().map(|n| {
            let payload = format!(r#"{{"statement":{n}}}"#).into_bytes();
            Envelope::seal("application/vnd.in-toto+json", payload, &key).map(Submission::new)
        });
        for (number, receipt) in numbers.zip(log.append_all(sealed.collect::<Result<_, _>>()?)) {
            writeln!(out, "{number} {}", receipt?.index)?;
            out.flush()?;
        }
        next += AT_ONCE;
    }
}
