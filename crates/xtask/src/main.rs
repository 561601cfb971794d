//! Chores of this repository that are programs: `cargo xtask check`.
//!
//! It is not shipped, no room depends on it, and it knows nothing of what Countersign does: only how its house is kept.

use std::{io, process::ExitCode};

mod check;

const USAGE: &str = "usage: cargo xtask check [--fast]

  check          format, clippy, cargo-deny, shell scripts, dependency edges and house rules
  check --fast   without those that compile or need tools: edges, rules and format
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let speed = match arguments.as_slice() {
        ["check"] => check::Speed::Full,
        ["check", "--fast"] => check::Speed::Fast,
        _ => return tell(io::stderr(), USAGE, ExitCode::from(2)),
    };
    match check::run(speed, &mut io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => tell(io::stderr(), &format!("xtask: {error:#}\n"), ExitCode::from(2)),
    }
}

/// Prints, and fails whatever `code` says if that is not possible.
fn tell(mut to: impl io::Write, text: &str, code: ExitCode) -> ExitCode {
    match to.write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
