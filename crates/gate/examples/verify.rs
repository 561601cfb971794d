//! Checks a bundle with the rooms of an auditor alone: `model`, `ledger` and `gate`. What it does is all of
//! `countersign verify`, and small enough to be read before it is believed.
//!
//! `cargo run --release -p gate --example verify -- FILE sha256:HASH-OF-THE-CHARTER`
//!
//! Ends with 0 if the bundle proves that the release was granted, 4 if it proves a refusal or an overtaken verdict, 5 if
//! it proves nothing, and 2 if it was asked wrongly. It writes nothing but its answer.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]

use std::{io::Read as _, process::ExitCode};

use gate::bundle::{FILE_LIMIT_BYTES, verify};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(Ok(charter)), None) =
        (arguments.next(), arguments.next().map(|hash| hash.parse()), arguments.next())
    else {
        eprintln!("usage: verify FILE sha256:HASH-OF-THE-CHARTER");
        return ExitCode::from(2);
    };
    let mut bytes = Vec::new();
    // One byte more than may be there, so that a file without end is not read to its end.
    let read = std::fs::File::open(&path).and_then(|f| f.take(FILE_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        eprintln!("`{path}` can not be read: {error}");
        return ExitCode::from(2);
    }
    match verify(&bytes, charter) {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(if report.is_granted() { 0 } else { 4 })
        }
        Err(error) => {
            eprint!("`{path}` proves nothing: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                eprint!(": {inner}");
                cause = inner.source();
            }
            eprintln!();
            ExitCode::from(5)
        }
    }
}
