//! The supervisor of one machine: makes the folders, starts the processes, starts again what ends, stops it all.
//!
//! It holds no key and knows nothing of what the processes do. It writes only folders and their owners; a crash ends
//! its processes with it (each asks the kernel for that) and leaves components running.

mod stand_in;

use std::{
    fs::{File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use model::Digest;
use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use self::stand_in::StandIn;
use crate::{
    executor,
    fault::{Because as _, Fault, Kind},
    identity::{ROLES_GROUP, RoleUser},
    layout::Layout,
    processes::workshop,
    settings::Settings,
};

/// The roles that `up` starts, in this order.
pub const STARTED: [RoleUser; 8] = [
    RoleUser::Log,
    RoleUser::Gate,
    RoleUser::Edge,
    RoleUser::Agent,
    RoleUser::Builder,
    RoleUser::Tester,
    RoleUser::Front,
    RoleUser::Watch,
];

/// Those of them that a host can start which follows the log of another one, each with the role whose key it must have.
pub const JOINED: [(RoleUser, RoleUser); 3] =
    [(RoleUser::Edge, RoleUser::Agent), (RoleUser::Agent, RoleUser::Agent), (RoleUser::Builder, RoleUser::Builder)];

/// The executors: the role, what it does, and the hidden verb that starts it.
pub const EXECUTORS: [(RoleUser, &str); 4] = [
    (RoleUser::Agent, executor::COMPONENTS),
    (RoleUser::Tester, executor::COMPONENTS),
    (RoleUser::Builder, workshop::SANDBOX),
    (RoleUser::Tester, workshop::SANDBOX),
];

/// The bits of a mode that are set here, without the kind of file.
const MODE_MASK: u32 = 0o7777;
/// How often the supervisor looks at its processes.
const LOOK: Duration = Duration::from_millis(100);
/// How long a process has to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause before a process is started again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest such pause, so that a mended cause is noticed within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A process that ran this long is well again.
const SETTLED: Duration = Duration::from_secs(30);

/// Makes every folder with its owner and mode. Safe to do again.
pub fn lay_out(layout: &Layout) -> Result<(), Fault> {
    let is_root = nix::unistd::geteuid().is_root();
    let folder = |path: &Path, owner: Option<RoleUser>, group: u32, mode: u32| {
        std::fs::create_dir_all(path).because(Kind::Unavailable, format!("`{}` can not be made", path.display()))?;
        let found =
            std::fs::metadata(path).because(Kind::Unavailable, format!("`{}` can not be looked at", path.display()))?;
        // What is right already is left alone: the log's folder may be on a disk that can not be written now.
        let owner = owner.map_or(0, RoleUser::uid);
        if is_root && (found.uid(), found.gid()) != (owner, group) {
            chown(path, Some(owner), Some(group))
                .because(Kind::Unavailable, format!("`{}` can not be given away", path.display()))?;
        } else if found.mode() & MODE_MASK == mode {
            return Ok(());
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode))
            .because(Kind::Unavailable, format!("the mode of `{}` can not be set", path.display()))
    };
    folder(layout.root(), None, 0, 0o755)?;
    for part in ["keys", "run", "status", "output", "executor"] {
        folder(&layout.root().join(part), None, 0, 0o755)?;
    }
    for role in STARTED {
        let own = role.uid();
        folder(&layout.home(role), Some(role), own, 0o700)?;
        // Set-group-id: sockets made in it belong to the group of all roles.
        folder(&layout.run(role), Some(role), ROLES_GROUP, 0o2750)?;
        if let Some(status) = layout.status(role).parent() {
            folder(status, Some(role), ROLES_GROUP, 0o2755)?;
        }
    }
    for (role, _) in EXECUTORS {
        folder(&layout.executor(role), None, 0, 0o711)?;
    }
    // Written by the builder, read by every role.
    for part in ["", "blobs", "blobs/sha256"] {
        folder(&layout.images().join(part), Some(RoleUser::Builder), ROLES_GROUP, 0o2755)?;
    }
    folder(&layout.volumes(), None, 0, 0o711)?;
    folder(&layout.restore_points(), None, 0, 0o700)?;
    folder(&layout.secrets(), None, 0, 0o700)?;
    folder(&layout.test_secrets(), None, 0, 0o700)?;
    if is_root {
        for role in STARTED {
            let key = layout.key(role);
            if key.exists() {
                chown(&key, Some(role.uid()), Some(role.uid()))
                    .because(Kind::Unavailable, format!("`{}` can not be given to its role", key.display()))?;
            }
        }
        // Certificates and their keys are for the edge alone.
        let certificates = layout.root().join("certificates");
        if certificates.exists() {
            give(&certificates, RoleUser::Edge)?;
            // The agent reads which there are; the keys in it keep the modes that they have.
            std::fs::set_permissions(&certificates, Permissions::from_mode(0o755))
                .because(Kind::Unavailable, "the folder of certificates can not be opened to the agent")?;
        }
        let identities = layout.identities();
        if identities.exists() {
            chown(&identities, Some(RoleUser::Builder.uid()), Some(RoleUser::Builder.uid()))
                .because(Kind::Unavailable, "the identities can not be given to the builder")?;
        }
    }
    Ok(())
}

/// A folder and the files in it become a role's own.
fn give(folder: &Path, role: RoleUser) -> Result<(), Fault> {
    let own = |path: &Path| {
        chown(path, Some(role.uid()), Some(role.uid()))
            .because(Kind::Unavailable, format!("`{}` can not be given away", path.display()))
    };
    own(folder)?;
    for entry in
        std::fs::read_dir(folder).because(Kind::Unavailable, format!("`{}` can not be read", folder.display()))?
    {
        own(&entry.because(Kind::Unavailable, format!("`{}` can not be read", folder.display()))?.path())?;
    }
    Ok(())
}

/// Takes the folder for this `up`, so that there is one at a time.
pub fn lock(layout: &Layout) -> Result<Flock<File>, Fault> {
    let path = layout.lock();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o644)
        .open(&path)
        .because(Kind::Unavailable, format!("`{}` can not be opened", path.display()))?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        Fault::new(Kind::Refused, format!("`{}` is in use by another `countersign up`", layout.root().display()))
            .hint("`countersign status` shows it, `countersign down` ends it")
    })?;
    lock.set_len(0).because(Kind::Unavailable, "the lock can not be written")?;
    writeln!(lock, "{}", std::process::id()).because(Kind::Unavailable, "the lock can not be written")?;
    Ok(lock)
}

/// The process id of the `up` that holds the folder, if one does.
pub fn holder(layout: &Layout) -> Option<Pid> {
    let file = OpenOptions::new().read(true).write(true).open(layout.lock()).ok()?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_) => None,
        Err(_) => std::fs::read_to_string(layout.lock()).ok()?.trim().parse().ok().map(Pid::from_raw),
    }
}

/// One process that is kept running.
struct Kept {
    name: String,
    args: Vec<String>,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    due: Instant,
}

impl Kept {
    fn new(name: String, args: Vec<String>) -> Self {
        let now = Instant::now();
        Self { name, args, child: None, started: now, pause: FIRST_PAUSE, due: now }
    }

    fn look(&mut self, layout: &Layout) -> Result<(), Fault> {
        let now = Instant::now();
        if let Some(child) = &mut self.child {
            let ended =
                child.try_wait().because(Kind::Unavailable, format!("the {} can not be waited for", self.name))?;
            let Some(status) = ended else { return Ok(()) };
            tracing::warn!("{} ended: {status}", self.name);
            self.child = None;
            self.pause =
                if self.started.elapsed() > SETTLED { FIRST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
            self.due = now + self.pause;
        }
        if now < self.due {
            return Ok(());
        }
        let output = layout.output(&self.name);
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(&output)
            .because(Kind::Unavailable, format!("`{}` can not be opened", output.display()))?;
        let err = out.try_clone().because(Kind::Unavailable, "the output can not be shared")?;
        let program = std::env::current_exe().because(Kind::Internal, "the program does not know its own path")?;
        let child = Command::new(program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(std::env::vars().filter(|(name, _)| PASSED_ON.contains(&name.as_str())))
            .spawn()
            .because(Kind::Unavailable, format!("the {} can not be started", self.name))?;
        self.child = Some(child);
        self.started = now;
        Ok(())
    }

    fn end(&mut self, signal: Signal) {
        if let Some(child) = &self.child
            && let Ok(pid) = i32::try_from(child.id())
            && let Err(error) = kill(Pid::from_raw(pid), signal)
        {
            tracing::debug!(%error, "{} is gone already", self.name);
        }
    }

    fn is_gone(&mut self) -> bool {
        match &mut self.child {
            None => true,
            Some(child) => matches!(child.try_wait(), Ok(Some(_)) | Err(_)),
        }
    }
}

/// Environment variables that the processes get: what they print, and where the toolchain is.
const PASSED_ON: [&str; 4] = ["RUST_LOG", "CARGO_HOME", "RUSTUP_HOME", "HOME"];

/// Keeps every process running until SIGTERM or SIGINT, then ends them. `ready` is called once all were started.
pub fn run(layout: &Layout, charter: Digest) -> Result<(), Fault> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).because(Kind::Unavailable, "signals can not be waited for")?;
    let dir = layout.root().to_string_lossy().into_owned();
    let args = |words: &[&str]| {
        let tail = ["--dir", &dir, "--charter", &charter.to_string()].map(str::to_owned);
        words.iter().map(|w| (*w).to_owned()).chain(tail).collect::<Vec<_>>()
    };
    let mut kept: Vec<Kept> = Vec::new();
    let is_joined = Settings::read(layout)?.joined()?.is_some();
    let has_key = |role: &RoleUser| JOINED.iter().any(|(joined, by)| joined == role && layout.key(*by).exists());
    let is_here = |role: &RoleUser| !is_joined || has_key(role);
    if !STARTED.iter().any(is_here) {
        return Err(Fault::new(Kind::Usage, "this host follows the log of another one and has no robot's key")
            .hint("put the key of its agent into `keys/agent.key`, or that of its builder into `keys/builder.key`"));
    }
    for (role, what) in EXECUTORS.into_iter().filter(|(role, _)| is_here(role)) {
        kept.push(Kept::new(format!("{role}-{what}"), args(&["executor", role.name(), what])));
    }
    for role in STARTED.into_iter().filter(|role| is_here(role) && (*role != RoleUser::Watch || watches(layout))) {
        kept.push(Kept::new(role.name().to_owned(), args(&["process", role.name()])));
    }
    let watch = RoleUser::Watch.name();
    let mut stand_in =
        (!is_joined && watches(layout)).then(|| StandIn::new(layout, args(&["process", watch, "--stand-in"])));
    let outcome = loop {
        if signals.pending().next().is_some() {
            break Ok(());
        }
        if let Err(fault) = kept.iter_mut().try_for_each(|k| k.look(layout)) {
            break Err(fault);
        }
        if let Some(Err(fault)) = stand_in.as_mut().map(|s| s.look(layout)) {
            break Err(fault);
        }
        std::thread::sleep(LOOK);
    };
    kept.extend(stand_in.map(StandIn::into_kept));
    end_all(&mut kept);
    outcome
}

/// Whether this host has a key for `watch`: a charter without that robot raises no alarms.
pub fn watches(layout: &Layout) -> bool {
    layout.key(RoleUser::Watch).exists()
}

/// Roles first and executors last, so that nothing is asked of an executor that is gone.
fn end_all(kept: &mut [Kept]) {
    kept.reverse();
    for process in kept.iter() {
        tracing::info!("ending {}", process.name);
    }
    for process in kept.iter_mut() {
        process.end(Signal::SIGTERM);
    }
    let deadline = Instant::now() + END_TIMEOUT;
    while Instant::now() < deadline && !kept.iter_mut().all(Kept::is_gone) {
        std::thread::sleep(LOOK);
    }
    for process in kept.iter_mut().filter(|p| p.child.is_some()) {
        if !process.is_gone() {
            tracing::warn!("{} did not end by itself", process.name);
            process.end(Signal::SIGKILL);
        }
    }
}
