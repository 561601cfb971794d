//! The program `paydesk-web`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match paydesk_web::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("paydesk-web: {e}");
            ExitCode::FAILURE
        }
    }
}
