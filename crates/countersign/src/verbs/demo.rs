//! `countersign demo`: see a whole system go from commits to countersigned production, be attacked and audited.
//!
//! What it does is in [`crate::demo`]; this file reads the flags.

use std::{io::Write, path::PathBuf};

use crate::{demo, fault::Fault, layout::DEFAULT_DIR, verbs::Flags};

/// Play a whole system's way from its first commit to countersigned production, attacks included
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave everything running at the end
    #[arg(long)]
    stay: bool,
    /// The folder of the examples; that of the sources which this program was built from if not given
    #[arg(long, value_name = "DIR")]
    examples: Option<PathBuf>,
    /// Only try to reach an executor, as the demo's attacker does
    #[arg(long, value_name = "SOCKET", hide = true)]
    knock: Option<PathBuf>,
}

/// Where the examples were when this program was built.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    if let Some(socket) = &args.knock {
        return demo::knock(socket);
    }
    let examples = args.examples.clone().unwrap_or_else(|| PathBuf::from(EXAMPLES));
    // The demo never plays in the folder of a real installation.
    let dir = (common.dir != *DEFAULT_DIR).then(|| common.dir.clone());
    demo::run(&demo::Options { dir, examples, stay: args.stay }, out)
}
