//! `countersign demo`: a payments system from its first commit to countersigned production, attacked and audited.
//!
//! It plays the people, a client and the attackers; everything else is the product: its verbs are run as programs of
//! their own, and what happened is read from the log. It judges nothing by itself but whether each step did what it
//! says. It writes one folder, which is gone at its end unless it is told to stay; a crash leaves that folder and what
//! runs from it, which `countersign down --dir FOLDER/countersign` ends.

mod forger;
mod history;
mod people;
mod places;
mod program;
pub mod registry;
mod stage;
mod steps;
mod teller;
mod traces;
mod traffic;
mod watcher;

use std::{
    io::Write,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::fault::{Because as _, Fault, Kind};

pub use self::steps::knock;
use self::{stage::Stage, teller::Teller};

/// What the demo is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder to play in: one that is not there yet, or empty. A new one under `/tmp` if not given.
    pub dir: Option<PathBuf>,
    /// The folder that holds `paydesk` and `paydesk-history`.
    pub examples: PathBuf,
    /// Leave everything running at the end.
    pub stay: bool,
}

/// Plays all steps. An error means that a step did not do what it says, or could not be played.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<(), Fault> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Fault::new(
            Kind::Unavailable,
            "the demo builds in sandboxes and starts containers, which needs root",
        )
        .hint("run it as root, on a machine or in a virtual machine that is yours: `sudo make demo`"));
    }
    let history = history::History::read(&options.examples)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone())
            .because(Kind::Unavailable, "signals can not be waited for")?;
    }
    let mut teller = Teller::new(out, interrupted.clone());
    let mut stage = Stage::new(options, interrupted)?;
    let played = steps::play(&mut stage, &history, &mut teller);
    if let Err(fault) = &played {
        // What can not be printed must not keep us from removing what runs.
        if let Err(error) = teller.failed(fault, &stage.outputs()) {
            tracing::warn!("{}", error.message());
        }
    }
    let stays = options.stay && played.is_ok();
    let cleaned = if stays { Ok(()) } else { stage.clean() };
    if played.is_ok() {
        teller.ended(&stage, stays)?;
    }
    match (played, cleaned) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(fault), Ok(())) => Err(fault),
        (Ok(()), Err(fault)) => Err(fault.context("every step did what it says, but not everything could be removed")),
        (Err(fault), Err(left)) => Err(fault.hint(format!("and not everything could be removed: {}", left.message()))),
    }
}
