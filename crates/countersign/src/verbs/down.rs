//! `countersign down`: end the processes of this host.

use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};

use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
    supervise,
    verbs::{Flags, line},
};

/// End the processes of this host, and the components that it runs
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the components running; nothing routes to them until the next `up`
    #[arg(long)]
    leave_components: bool,
}

/// Longer than the supervisor gives its processes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    match supervise::holder(&layout) {
        None => line(out, "nothing was running")?,
        Some(pid) => {
            kill(pid, Signal::SIGTERM).because(Kind::Unavailable, format!("process {pid} can not be ended"))?;
            let deadline = Instant::now() + TIMEOUT;
            while supervise::holder(&layout).is_some() {
                if Instant::now() > deadline {
                    return Err(Fault::new(Kind::Unavailable, format!("process {pid} does not end")));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            line(out, "the processes have ended")?;
        }
    }
    if args.leave_components || !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let hash = charter_file::read(&layout, None)?.members.hash();
    let program = std::env::current_exe().because(Kind::Internal, "the program does not know its own path")?;
    // What a sandbox was doing has ended with its executor; its cgroups have not. The tester's fabric stays between runs.
    for (role, what) in supervise::EXECUTORS {
        let status = Command::new(&program)
            .args(["executor", role.name(), what, "--purge", "--charter", &hash.to_string(), "--dir"])
            .arg(&common.dir)
            .status()
            .because(Kind::Unavailable, format!("the {what} of the {role} can not be ended"))?;
        if !status.success() {
            return Err(Fault::new(Kind::Unavailable, format!("not everything of the {role}'s {what} could be ended")));
        }
    }
    line(out, "the components have ended; their volumes are kept")
}
