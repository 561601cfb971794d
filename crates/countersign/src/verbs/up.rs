//! `countersign up`: start the processes of this host and keep them running.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
    identity, supervise,
    verbs::{Flags, line},
};

/// Start the processes of this host and keep them running
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Return as soon as the processes answer, and leave them running
    #[arg(long)]
    detach: bool,
    /// The hash of the charter, to refuse any other; the one in the folder if not given
    #[arg(long)]
    charter: Option<model::Digest>,
}

/// How long the processes have to answer.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    let charter = charter_file::read(&layout, args.charter)?;
    let hash = charter.members.hash();
    let duties = gate::duties::check(charter.members.charter()).because(Kind::Refused, "the charter is refused")?;
    if let Some(pid) = supervise::holder(&layout) {
        return Err(Fault::new(
            Kind::Refused,
            format!("`{}` is in use by another `countersign up` (process {pid})", common.dir.display()),
        )
        .hint("`countersign status` shows it, `countersign down` ends it"));
    }
    line(out, format!("charter {hash}"))?;
    if charter.members.charter().demo {
        line(out, "this charter is marked demo: its keys were made in one place, and it protects nothing")?;
    }
    if !duties.hold() {
        line(out, &duties.promise)?;
    }
    // Accounts are a matter of the host: where they can not be read there is nothing to compare.
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let blocks = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    for overlap in identity::overlaps(&accounts, &blocks) {
        line(out, format!("{overlap}, which Countersign uses for its own: it could read what is a role's"))?;
    }
    if !supervise::watches(&layout) {
        line(out, "no robot of this host has the role `watch`: nobody raises alarms")?;
    }
    if !nix::unistd::geteuid().is_root() {
        line(out, "not started by root: the processes share one user, and nothing can be built, tested or run here")?;
    }
    if args.detach {
        return detach(common, hash, out);
    }
    supervise::lay_out(&layout)?;
    let _lock = supervise::lock(&layout)?;
    line(out, "started; end with Ctrl-C or `countersign down`")?;
    out.flush().because(Kind::Unavailable, "the output is closed")?;
    supervise::run(&layout, hash)
}

fn detach(common: &Flags, hash: model::Digest, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    supervise::lay_out(&layout)?;
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(layout.output("up"))
        .because(Kind::Unavailable, "the output of `up` can not be written")?;
    let err = log.try_clone().because(Kind::Unavailable, "the output can not be shared")?;
    let program = std::env::current_exe().because(Kind::Internal, "the program does not know its own path")?;
    let dir = common.dir.canonicalize().because(Kind::Usage, "the folder can not be found")?;
    let mut child = Command::new("setsid")
        .arg(program)
        .args(["up", "--dir"])
        .arg(&dir)
        .args(["--charter", &hash.to_string()])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(err)
        .spawn()
        .because(Kind::Unavailable, "`up` can not be started in the background")?;
    let front = common.front()?;
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let answer = front.ask_blocking(hyper::Method::GET, "/log/cosigned", Vec::new(), Duration::from_secs(2));
        if answer.is_ok_and(|a| a.status.is_success()) {
            return line(out, format!("started; front is at {front}"));
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Fault::new(Kind::Unavailable, format!("`up` ended at once: {status}"))
                .hint(format!("see `{}`", layout.output("up").display())));
        }
        if Instant::now() > deadline {
            return Err(Fault::new(
                Kind::Unavailable,
                format!("the processes do not answer after {} s", READY_TIMEOUT.as_secs()),
            )
            .hint("`countersign status` shows what each waits for; are the witnesses running?"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
