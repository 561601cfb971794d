//! `countersign load`: drive a system as its users would, and say how it kept up.

mod compare;
mod page;
mod run;

use std::io::Write;

use super::Flags;
use crate::fault::Fault;

/// Drive a system with requests, and measure how it answers
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Run(run::Args),
    Compare(compare::Args),
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    match &args.what {
        What::Run(args) => run::run(args, common, out),
        What::Compare(args) => compare::run(args, common, out),
    }
}
