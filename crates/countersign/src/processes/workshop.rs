//! What builder and tester have in common: mirrors of the remotes, workspaces, the toolchain and the sandbox's executor.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use build::{
    git::{Branch, Mirror, Remote},
    sandbox::{self, Rules, SandboxLimits, SandboxPlan},
    toolchain::{ProgramDigests, Toolchain},
    workspace::{RunSandbox, Site},
};
use ledger::statement::v1::SystemRule;

use super::Start;
use crate::{
    confine::{Confinement, Sockets},
    executor,
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    layout::Layout,
};

/// The name of the socket of an executor that runs sandboxes.
pub const SANDBOX: &str = "sandbox";

/// Reading every tool's file takes the executor some seconds on a cold disk.
const TOOLS_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks for what it found.
const TOOLS_LOOK: Duration = Duration::from_millis(50);

/// The sandbox's limits: both cores and a quarter of the memory of a small machine.
const LIMITS: SandboxLimits = SandboxLimits {
    cpu_percent: 400,
    memory_mib: 6144,
    tmp_mib: 1024,
    pids: 2048,
    time_s: 1800,
    output_mib: 16,
    disk_floor_mib: 512,
};

/// A role's workshop.
pub struct Workshop {
    home: PathBuf,
    socket: PathBuf,
    prefix: String,
    /// Where workspaces are and what is mounted into them.
    pub site: Site,
}

impl Workshop {
    /// What a role with a workshop may do: run git, reach remotes, and nothing else.
    pub fn confinement(start: &Start, systems: &[SystemRule]) -> Confinement {
        let mut confinement = Confinement::nothing().with_programs();
        confinement.sockets = Sockets::TcpAndUdp;
        confinement.connect_tcp = None;
        confinement.read.push(start.layout.executor(start.role));
        if start.role == RoleUser::Builder {
            confinement.write.push(start.layout.images());
            // One that only makes what another noticed has none.
            confinement.read.extend(Some(start.layout.identities()).filter(|_| start.settings.log.is_none()));
            // The bill of materials names the packages of shared libraries, where the machine has a database of them.
            confinement.read.extend(Some(PathBuf::from("/var/lib/dpkg")).filter(|p| p.exists()));
        } else {
            confinement.read.push(start.layout.images());
        }
        // A remote that is a folder of this host is read where it is.
        let folders = systems.iter().map(|s| s.remote.strip_prefix("file://").unwrap_or(&s.remote));
        confinement.read.extend(folders.map(PathBuf::from).filter(|p| p.is_absolute() && p.exists()));
        confinement
    }

    /// Opens it, after the process has confined itself. The toolchain is the one that the executor has found.
    pub fn open(start: &Start) -> Result<Self, Fault> {
        let home = start.layout.home(start.role);
        let path = toolchain_file(&start.layout, start.role);
        let bytes = wait_for_tools(&path)?;
        let toolchain: Toolchain =
            serde_json::from_slice(&bytes).because(Kind::Unavailable, "the list of tools can not be read")?;
        for folder in ["workspaces", "logs", "mirrors"] {
            ledger::durable::create_folder(&home.join(folder), 0o700)
                .because(Kind::Unavailable, format!("`{}` can not be made", home.join(folder).display()))?;
        }
        let uid = nix::unistd::geteuid().as_raw();
        let gid = nix::unistd::getegid().as_raw();
        let site =
            Site { workspaces: home.join("workspaces"), logs: home.join("logs"), toolchain, uid, gid, limits: LIMITS };
        let prefix = prefix(&start.layout, start.role);
        Ok(Self { socket: executor::socket(&start.layout, start.role, SANDBOX), home, prefix, site })
    }

    /// The mirror of a system's protected branch.
    pub fn mirror(&self, system: &SystemRule) -> Result<Mirror, Fault> {
        let remote: Remote =
            system.remote.parse().because(Kind::Input, "the charter's remote can not be fetched from")?;
        let branch: Branch = system.branch.parse().because(Kind::Input, "the charter's branch is not a branch")?;
        Mirror::open(&self.home.join("mirrors").join(system.name.as_str()), remote, branch)
            .because(Kind::Unavailable, "the mirror can not be opened")
    }

    /// A way to run plans, and where workspaces are.
    pub fn runner(&self) -> Box<RunSandbox<'static>> {
        let socket = self.socket.clone();
        let prefix = self.prefix.clone();
        Box::new(move |plan, on_line| {
            let mut stream = UnixStream::connect(&socket)?;
            let plan = SandboxPlan { name: format!("{prefix}{}", plan.name), ..plan.clone() };
            Ok(sandbox::ask(&mut stream, &plan, on_line)?)
        })
    }
}

/// Starts the names of a role's sandboxes: two roles, or two folders on one host, never use the same name.
fn prefix(layout: &Layout, role: RoleUser) -> String {
    format!("cs-{}-{role}-", executor::scope_of(layout))
}

/// The executor starts beside us and looks at every tool first.
fn wait_for_tools(path: &Path) -> Result<Vec<u8>, Fault> {
    let deadline = Instant::now() + TOOLS_TIMEOUT;
    loop {
        match std::fs::read(path) {
            Ok(bytes) => return Ok(bytes),
            Err(e) if Instant::now() > deadline => {
                return Err(Fault::from_error(Kind::Unavailable, e)
                    .context("the sandbox's executor has not said which tools there are")
                    .hint("it needs root and `runc`; see its output"));
            }
            Err(_) => std::thread::sleep(TOOLS_LOOK),
        }
    }
}

fn toolchain_file(layout: &Layout, role: RoleUser) -> PathBuf {
    layout.executor(role).join("toolchain.json")
}

/// Ends every sandbox of a role whose executor is gone, and removes what it left.
pub fn purge(layout: &Layout, role: RoleUser) -> Result<(), Fault> {
    let state = sandbox_state(layout, role);
    if !state.exists() {
        return Ok(());
    }
    sandbox::sweep(&state).because(Kind::Unavailable, format!("what the {role}'s sandbox left can not be removed"))
}

fn sandbox_state(layout: &Layout, role: RoleUser) -> PathBuf {
    layout.executor(role).join("sandbox")
}

/// Serves the role's sandbox executor until it is ended: finds the tools, says which, and runs plans within its rules.
pub fn run_executor(layout: &Layout, role: RoleUser) -> Result<(), Fault> {
    executor::must_be_root()?;
    let path = search_path();
    let mut known = ProgramDigests::default();
    let toolchain = Toolchain::detect(&path, &mut known).because(Kind::Unavailable, "the tools can not be read")?;
    let bytes =
        serde_json::to_vec_pretty(&toolchain).because(Kind::Internal, "the list of tools can not be written")?;
    let file = toolchain_file(layout, role);
    ledger::durable::write(&file, &bytes, 0o644).because(Kind::Unavailable, "the list of tools can not be written")?;
    let state = sandbox_state(layout, role);
    ledger::durable::create_folder(&state, 0o700).because(Kind::Unavailable, "the sandbox's folder can not be made")?;
    let root = layout.home(role).canonicalize().because(Kind::Unavailable, "the role's folder can not be found")?;
    let state = state.canonicalize().because(Kind::Unavailable, "the sandbox's folder can not be found")?;
    sandbox::sweep(&state).because(Kind::Unavailable, "what an earlier executor left can not be removed")?;
    let rules = Rules {
        root,
        state,
        uids: role.uid()..=role.uid(),
        mounts: toolchain.mounts,
        netns: (role == RoleUser::Tester).then(|| Path::new("/run/netns").to_owned()),
        registries: None,
    };
    let listener = executor::listen(layout, role, SANDBOX)?;
    executor::tie_to_supervisor()?;
    loop {
        let stream = executor::accept(&listener, role)?;
        if let Err(error) = sandbox::serve(&stream, &rules) {
            tracing::warn!("the {role}'s connection broke off: {error}");
        }
    }
}

/// The distribution's programs, and the Rust toolchain where rustup puts it.
fn search_path() -> std::ffi::OsString {
    let mut path = std::ffi::OsString::new();
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cargo"));
    for folder in cargo.into_iter().chain(home) {
        path.push(folder.join("bin"));
        path.push(":");
    }
    path.push("/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
    path
}
