//! Running one plan to its end: `runc` is started, its output is kept, its limits are watched, and whatever is left
//! of it is ended.
//!
//! A crash of this process while a command runs leaves its container running, with no mount or socket that others
//! see; `sweep` ends it at the next start.

use std::{
    fs::File,
    io::{self, PipeReader, Read, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{stat::Mode, statvfs::statvfs},
};

use super::{
    Outcome, Phase, PlanError, Rules, SandboxPlan, cgroup,
    relay::Relays,
    stage::{self, Listening, open_below},
};

/// Between two looks at the limits.
const LOOK_MS: u16 = 100;
/// A line for the callback; longer ones are cut there, not in the log.
const LINE_LIMIT_BYTES: usize = 4096;
/// Lines that wait for a slow reader before the command has to wait.
const LINES_WAITING: usize = 1024;
/// After its first process ended, a container has nothing more to say than what is in the pipe.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Why a plan was not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The plan is refused.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Only root makes namespaces and mounts.
    #[error("the sandbox needs root: start `countersign up` as root")]
    NotRoot,
    /// A path is not there, is a link, or leads out of the allowed folder.
    #[error("can not open `{path}`, which must exist below the allowed folder with no link on the way")]
    Open {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not the command's own folder.
    #[error("`{path}` belongs to user {owner}, but the command is to run as user {uid}")]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user of the plan.
        uid: u32,
    },
    /// Not a network namespace of its own.
    #[error("`{0}` is not a network namespace, or it is the host's own")]
    Netns(PathBuf),
    /// The surroundings could not be made.
    #[error("can not {doing}")]
    Prepare {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The engine is not there.
    #[error("`runc` can not be started: install it, for example with `apt-get install runc`")]
    Engine(#[source] io::Error),
    /// The engine refused.
    #[error("`{program}` could not be started in the sandbox: {complaint}")]
    Start {
        /// The program.
        program: String,
        /// What the engine says.
        complaint: String,
    },
    /// The log could not be written.
    #[error("can not write the log `{path}`")]
    Log {
        /// The log.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something of it does not end.
    #[error("processes of the sandbox can not be ended")]
    Leftover(#[source] io::Error),
    /// Nobody waits for it any more.
    #[error("whoever wanted `{0}` to run has gone away, so it was ended")]
    Abandoned(String),
    /// The thread of the sandbox broke down.
    #[error("the thread of the sandbox ended without an answer")]
    Thread,
}

/// Whoever waits for a sandbox, as its thread sees them.
struct Caller {
    tell: SyncSender<Event>,
    gone: Arc<AtomicBool>,
}

enum Event {
    Listening(Vec<Listening>),
    Line(String),
}

/// Checks a plan against the rules and runs it; every line of output goes to the log and to `on_line`. Blocks until
/// the command has ended and nothing of it is left.
pub fn run(plan: &SandboxPlan, rules: &Rules, on_line: &mut dyn FnMut(&str)) -> Result<Outcome, SandboxError> {
    run_while(plan, rules, on_line, &|| true)
}

/// Like [`run`], but ends the command as soon as nobody waits for it any more.
pub(super) fn run_while(
    plan: &SandboxPlan,
    rules: &Rules,
    on_line: &mut dyn FnMut(&str),
    is_awaited: &dyn Fn() -> bool,
) -> Result<Outcome, SandboxError> {
    plan.check(rules)?;
    if !nix::unistd::geteuid().is_root() {
        return Err(SandboxError::NotRoot);
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let log = File::from(open_below(&rules.root, &plan.log, flags, Mode::from_bits_truncate(0o640))?);
    let owned = std::os::unix::fs::fchown(&log, Some(plan.uid), Some(plan.gid));
    owned.map_err(|source| SandboxError::Log { path: plan.log.clone(), source })?;

    let (tell, told) = sync_channel(LINES_WAITING);
    let gone = Arc::new(AtomicBool::new(false));
    let caller = Caller { tell, gone: Arc::clone(&gone) };
    let id = format!("{}.{}", plan.name, std::process::id());
    let bundle = rules.state.join(&id);
    let (staged, ruled) = (plan.clone(), rules.clone());
    let thread = thread::spawn(move || staged_run(&staged, &ruled, id, log, &caller));
    let mut relays = None;
    loop {
        let event = told.recv_timeout(Duration::from_millis(u64::from(LOOK_MS)));
        if !is_awaited() {
            gone.store(true, Ordering::SeqCst);
        }
        match event {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Ok(Event::Line(line)) => on_line(&line),
            Ok(Event::Listening(listening)) => {
                if let Phase::Fetch { allow } = &plan.phase {
                    // Started from this thread, which is in the host's network namespace.
                    relays = Some(Relays::start(listening, allow.clone()));
                }
            }
        }
    }
    let outcome = thread.join().map_err(|_| SandboxError::Thread)?;
    let denied = relays.map(Relays::stop).unwrap_or_default();
    // What was mounted there went with the thread; the empty folder is all that is left.
    std::fs::remove_dir(&bundle).ok();
    outcome.map(|outcome| Outcome { denied, ..outcome })
}

/// The part that runs in the namespaces.
fn staged_run(
    plan: &SandboxPlan,
    rules: &Rules,
    id: String,
    log: File,
    caller: &Caller,
) -> Result<Outcome, SandboxError> {
    let (places, listening) = stage::set(plan, rules, &id)?;
    caller.tell.send(Event::Listening(listening)).map_err(|_| SandboxError::Thread)?;
    let engine = Engine { state: places.bundle.join("runc"), log: places.bundle.join("runc.log"), id };
    let result = engine.run(plan, &places.bundle, &places.cgroup, log, caller);
    let ended = cgroup::end(&places.cgroup);
    engine.delete();
    cgroup::remove(&places.cgroup);
    ended.map_err(SandboxError::Leftover)?;
    result
}

struct Engine {
    state: PathBuf,
    log: PathBuf,
    id: String,
}

impl Engine {
    fn command(&self) -> Command {
        let mut command = Command::new("runc");
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("--root").arg(&self.state).arg("--log").arg(&self.log).args(["--log-format", "json"]);
        command.stdin(Stdio::null());
        command
    }

    fn run(
        &self,
        plan: &SandboxPlan,
        bundle: &Path,
        group: &str,
        log: File,
        caller: &Caller,
    ) -> Result<Outcome, SandboxError> {
        let started = Instant::now();
        let (output, writer) = io::pipe().map_err(SandboxError::Engine)?;
        let copy = writer.try_clone().map_err(SandboxError::Engine)?;
        let mut command = self.command();
        command.args(["run", "--keep", "--bundle"]).arg(bundle).arg(&self.id).stdout(copy).stderr(writer);
        let mut child = command.spawn().map_err(SandboxError::Engine)?;
        // The command holds the writing ends; without closing them the pipe would never end.
        drop(command);
        let mut kept = Kept::new(plan, log, &caller.tell);
        let watched = watch(plan, group, &mut child, output, &mut kept, &caller.gone);
        if watched.is_err() {
            cgroup::end(group).ok();
            child.kill().ok();
        }
        let status = child.wait().map_err(SandboxError::Engine)?;
        let stopped = watched?;
        kept.finish()?;
        if let Some(complaint) = self.complaint()
            && !stopped.timed_out
            && !stopped.disk_full
        {
            let program = plan.command.first().cloned().unwrap_or_default();
            return Err(SandboxError::Start { program, complaint });
        }
        Ok(Outcome {
            exit: status.code().unwrap_or(128 + 9),
            oom: cgroup::oom_kills(group) > 0,
            timed_out: stopped.timed_out,
            disk_full: stopped.disk_full,
            dropped_bytes: kept.dropped_bytes,
            denied: Vec::new(),
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            log: plan.log.clone(),
        })
    }

    /// What the engine itself complained of. A command that ends with an error leaves none.
    fn complaint(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.log).ok()?;
        let lines = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
        let errors =
            lines.filter(|l| l.get("level").and_then(|v| v.as_str()).is_some_and(|v| v == "error" || v == "fatal"));
        let messages: Vec<String> = errors.filter_map(|l| Some(l.get("msg")?.as_str()?.to_owned())).collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }

    fn delete(&self) {
        let mut command = self.command();
        command.args(["delete", "--force", &self.id]).stdout(Stdio::null()).stderr(Stdio::null());
        // One that never came to be can not be deleted; its group was emptied already.
        command.status().ok();
    }
}

#[derive(Default)]
struct Stopped {
    timed_out: bool,
    disk_full: bool,
}

fn watch(
    plan: &SandboxPlan,
    group: &str,
    child: &mut Child,
    mut output: PipeReader,
    kept: &mut Kept<'_>,
    gone: &AtomicBool,
) -> Result<Stopped, SandboxError> {
    let started = Instant::now();
    let mut stopped = Stopped::default();
    let mut buffer = vec![0; 64 << 10];
    let mut looked = Instant::now();
    let mut ended_at = None;
    loop {
        let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::from(LOOK_MS)).unwrap_or(0);
        if ready > 0 {
            let n = output.read(&mut buffer).map_err(SandboxError::Engine)?;
            if n == 0 {
                return Ok(stopped);
            }
            kept.take(buffer.get(..n).unwrap_or_default())?;
        }
        if ready > 0 && looked.elapsed() < Duration::from_millis(u64::from(LOOK_MS)) {
            continue;
        }
        looked = Instant::now();
        if ended_at.is_none() && child.try_wait().map_err(SandboxError::Engine)?.is_some() {
            ended_at = Some(Instant::now());
        }
        if ended_at.is_some_and(|at| at.elapsed() > DRAIN_LIMIT) {
            return Ok(stopped);
        }
        if gone.load(Ordering::SeqCst) {
            return Err(SandboxError::Abandoned(plan.command.first().cloned().unwrap_or_default()));
        }
        let too_long = started.elapsed() > Duration::from_secs(plan.limits.time_s.into());
        let full = free_mib(&plan.workspace).is_some_and(|free| free < u64::from(plan.limits.disk_floor_mib));
        if ended_at.is_none() && (too_long || full) {
            stopped.timed_out |= too_long;
            stopped.disk_full |= full && !too_long;
            cgroup::end(group).map_err(SandboxError::Leftover)?;
            // The engine may be before making the container; then its end is the container's.
            child.kill().ok();
        }
    }
}

fn free_mib(path: &Path) -> Option<u64> {
    let stat = statvfs(path).ok()?;
    Some((stat.blocks_available() * stat.fragment_size()) >> 20)
}

/// Output on its way to the log and, line by line, to the callback.
struct Kept<'a> {
    log: File,
    path: &'a Path,
    left_bytes: u64,
    dropped_bytes: u64,
    line: Vec<u8>,
    tell: &'a SyncSender<Event>,
}

impl<'a> Kept<'a> {
    fn new(plan: &'a SandboxPlan, log: File, tell: &'a SyncSender<Event>) -> Self {
        let left_bytes = u64::from(plan.limits.output_mib) << 20;
        Self { log, path: &plan.log, left_bytes, dropped_bytes: 0, line: Vec::new(), tell }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        let fits = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(bytes.len());
        let (fits, over) = bytes.split_at_checked(fits).unwrap_or((bytes, &[]));
        self.log.write_all(fits).map_err(|source| SandboxError::Log { path: self.path.to_path_buf(), source })?;
        self.left_bytes -= fits.len() as u64;
        self.dropped_bytes += over.len() as u64;
        for b in fits {
            if *b == b'\n' {
                self.send()?;
            } else if self.line.len() < LINE_LIMIT_BYTES {
                self.line.push(*b);
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), SandboxError> {
        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        self.tell.send(Event::Line(line)).map_err(|_| SandboxError::Thread)
    }

    fn finish(&mut self) -> Result<(), SandboxError> {
        if !self.line.is_empty() {
            self.send()?;
        }
        if self.dropped_bytes > 0 {
            let note = format!("\n[{} more bytes of output were dropped]\n", self.dropped_bytes);
            self.log
                .write_all(note.as_bytes())
                .map_err(|source| SandboxError::Log { path: self.path.to_path_buf(), source })?;
        }
        self.log.sync_all().map_err(|source| SandboxError::Log { path: self.path.to_path_buf(), source })
    }
}
