//! The executors: the only processes with privileges. Each does one kind of work for one role, over a socket that
//! only that role may connect to, and checks every plan itself.
//!
//! They write mounts, namespaces, cgroups and what `runtime` and `build` keep; both converge after a crash.

mod ground;

use std::{
    fs::Permissions,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::Arc,
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rollout::step::Step;
use runtime::{
    local::{Keep, Local, LocalConfig, Tools},
    protocol::{self, Request},
};

use self::ground::Ground;
use crate::{
    charter_file::CharterFile,
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    identity::{self, RoleUser},
    layout::Layout,
    settings::Settings,
};

/// The name of the socket of an executor that runs components.
pub const COMPONENTS: &str = "components";

/// Where the executor of a role listens.
pub fn socket(layout: &Layout, role: RoleUser, what: &str) -> PathBuf {
    layout.run(role).join(what)
}

/// The driver of a role: the agent's for production, the tester's for suites, each with its own fabric and folders.
pub fn driver(layout: &Layout, settings: &Settings, role: RoleUser) -> Result<Local, Fault> {
    let state = layout.executor(role);
    let is_agent = role == RoleUser::Agent;
    // The tester's components are started from the same images and keep nothing: their volumes are its own.
    let config = LocalConfig {
        state_dir: state.join("state"),
        images_dir: layout.images(),
        volumes_dir: if is_agent { layout.volumes() } else { state.join("volumes") },
        restore_dir: if is_agent { layout.restore_points() } else { state.join("restore-points") },
        secrets_dir: if is_agent { layout.secrets() } else { layout.test_secrets() },
        fabric: if is_agent { settings.fabric } else { settings.tester_fabric() },
        scope: format!("cs-{}-{role}", scope_of(layout)),
        first_uid: if is_agent { identity::COMPONENT_BASE } else { identity::TESTED_BASE },
        tools: Tools::default(),
        clock: Arc::new(SystemClock),
    };
    Local::open(config).map_err(|e| Fault::new(Kind::Unavailable, e.chain()).context("the driver does not open"))
}

/// Tells the installations of one host apart: eight hex digits of the folder's path.
pub fn scope_of(layout: &Layout) -> String {
    let path = layout.root().canonicalize().unwrap_or_else(|_| layout.root().to_owned());
    let mut short = model::Digest::of(path.to_string_lossy().as_bytes()).short();
    short.truncate(8);
    short
}

/// Ends every component of a role and removes what they leave, but not what they have written.
pub fn purge(layout: &Layout, settings: &Settings, role: RoleUser) -> Result<(), Fault> {
    driver(layout, settings, role)?
        .purge(Keep::Volumes)
        .map_err(|e| Fault::new(Kind::Unavailable, e.chain()).context("not everything could be removed"))
}

/// Serves the role's component executor until it is ended. In production nothing is started that the log gives no ground
/// for, whatever the agent says.
pub fn run_components(layout: &Layout, settings: &Settings, role: RoleUser, charter: CharterFile) -> Result<(), Fault> {
    must_be_root()?;
    let mut ground = match role {
        RoleUser::Agent => Some(Ground::new(layout, settings, charter.members)?),
        _ => None,
    };
    let mut local = driver(layout, settings, role)?;
    local.prepare().map_err(|e| Fault::new(Kind::Unavailable, e.chain()).context("the fabric can not be made"))?;
    let blobs = layout.images().join("blobs/sha256");
    let mut check = |request: &Request| {
        if let Some(ground) = &mut ground {
            ground.follow(matches!(request, Request::Execute(Step::Start(_))));
        }
        match request {
            Request::Execute(Step::Start(spec)) => {
                let path = blobs.join(spec.release.hex());
                let document = std::fs::read(&path)
                    .map_err(|e| format!("the release document {} can not be read: {e}", spec.release))?;
                runtime::plan::check(spec, &document).map_err(|e| e.to_string())?;
                match &mut ground {
                    Some(ground) => ground.bears(spec, stays_beside(spec, &document)),
                    None => make_up_secrets(layout, spec),
                }
            }
            // Production is never removed as a whole by a process, and nobody tests in it.
            Request::Purge(_) | Request::ClientNetns { .. } if role == RoleUser::Agent => {
                Err("the agent may not ask for this".to_owned())
            }
            _ => Ok(()),
        }
    };
    let listener = listen(layout, role, COMPONENTS)?;
    tie_to_supervisor()?;
    loop {
        let stream = accept(&listener, role)?;
        if let Err(error) = protocol::serve(stream, &mut local, &mut check) {
            tracing::warn!("the {role}'s connection broke off: {error}");
        }
    }
}

/// Whether the release document says that this version goes on beside the release that replaces it.
fn stays_beside(spec: &rollout::instance::InstanceSpec, document: &[u8]) -> bool {
    let release = model::release::Release::from_bytes(document);
    release.is_ok_and(|r| r.environment(&spec.id.environment).is_some_and(|e| e.versions.is_some()))
}

/// A system under test gets secrets of its own: those in the folder for tests, and made-up ones where there is none.
fn make_up_secrets(layout: &Layout, spec: &rollout::instance::InstanceSpec) -> Result<(), String> {
    for name in spec.component.secrets.values() {
        let path = layout.test_secrets().join(name.as_str());
        if path.exists() {
            continue;
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| format!("no random bytes for the secret `{name}`: {e}"))?;
        ledger::durable::write(&path, hex::encode(bytes).as_bytes(), 0o600)
            .map_err(|e| format!("the secret `{name}` can not be made up: {e}"))?;
    }
    Ok(())
}

/// Privileges are what an executor is for.
pub fn must_be_root() -> Result<(), Fault> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(Fault::new(Kind::Unavailable, "mounts, namespaces and cgroups need root")
            .hint("start `countersign up` as root"))
    }
}

/// A socket that one role's user may connect to.
pub fn listen(layout: &Layout, role: RoleUser, what: &str) -> Result<UnixListener, Fault> {
    let path = socket(layout, role, what);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => {
            return Err(Fault::from_error(Kind::Unavailable, e).context("the executor's socket can not be replaced"));
        }
    }
    let listener =
        UnixListener::bind(&path).because(Kind::Unavailable, format!("`{}` can not be listened on", path.display()))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))
        .because(Kind::Unavailable, "the socket's mode can not be set")?;
    chown(&path, Some(role.uid()), Some(role.uid()))
        .because(Kind::Unavailable, "the socket can not be given to its role")?;
    Ok(listener)
}

/// The next connection by that role's user or by root; others are closed at once.
pub fn accept(listener: &UnixListener, role: RoleUser) -> Result<UnixStream, Fault> {
    loop {
        let (stream, _) = listener.accept().because(Kind::Unavailable, "the socket can not be used")?;
        match getsockopt(&stream, PeerCredentials) {
            Ok(peer) if peer.uid() == role.uid() || peer.uid() == 0 => return Ok(stream),
            Ok(peer) => {
                let who = identity::owner(peer.uid()).unwrap_or_else(|| format!("user {}", peer.uid()));
                tracing::warn!("{who} is not the {role} and may not use its executor");
            }
            Err(error) => tracing::warn!("an unknown peer may not use the {role}'s executor: {error}"),
        }
    }
}

/// The supervisor's death ends the executor too.
pub fn tie_to_supervisor() -> Result<(), Fault> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)
        .because(Kind::Unavailable, "the executor can not be tied to its supervisor")
}
