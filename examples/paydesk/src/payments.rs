//! The program `paydesk-payments`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match paydesk_payments::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("paydesk-payments: {e}");
            ExitCode::FAILURE
        }
    }
}
