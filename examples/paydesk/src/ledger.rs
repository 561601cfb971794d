//! The program `paydesk-ledger`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match paydesk_ledger::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("paydesk-ledger: {e}");
            ExitCode::FAILURE
        }
    }
}
