//! What the tests of several modules need: a repository, a machine and a server of files on loopback.

#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]
#![expect(clippy::print_stderr, reason = "what is not checked on this machine is said")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    thread,
};

use model::Commit;

use crate::{
    fetch::Ecosystem,
    git::Mirror,
    image::ImageStore,
    sandbox::{self, Rules, SandboxLimits, SandboxPlan},
    toolchain::{ProgramDigests, Toolchain},
    workspace::{SandboxFailure, Site, Source, Workspace, WorkspaceError},
};

/// The user of sandboxes in these tests; no account has it.
pub(crate) const UID: u32 = 20_002;

/// A repository with one commit, and everything that building it needs.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) mirror: Mirror,
    pub(crate) store: ImageStore,
    pub(crate) site: Site,
    pub(crate) rules: Rules,
    pub(crate) port: u16,
    pub(crate) commit: Commit,
}

/// The tools of this machine, read once.
fn toolchain() -> &'static Toolchain {
    static FOUND: OnceLock<Toolchain> = OnceLock::new();
    FOUND.get_or_init(|| Toolchain::detect(&std::env::var_os("PATH").unwrap(), &mut ProgramDigests::default()).unwrap())
}

impl World {
    /// Explains and gives nothing where the tests can not make namespaces.
    pub(crate) fn new(port: u16, files: &[(&str, &str)]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("building needs the sandbox, which needs root: run the tests as root to check it");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let work = root.join("work");
        for (path, content) in files {
            let path = work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=Ada", "-c", "user.email=ada@paydesk.example"]).args(args).current_dir(&work);
            command.envs([("GIT_COMMITTER_DATE", "1700000000 +0000"), ("GIT_AUTHOR_DATE", "1700000000 +0000")]);
            let out = command.output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "-A"]);
        git(&["commit", "-q", "-m", "first"]);
        let commit = git(&["rev-parse", "HEAD"]).parse().unwrap();
        let mirror =
            Mirror::open(&root.join("mirror"), work.to_str().unwrap().parse().unwrap(), "main".parse().unwrap())
                .unwrap();
        mirror.fetch().unwrap();
        let site = Site {
            workspaces: root.join("ws"),
            logs: root.join("logs"),
            toolchain: toolchain().clone(),
            uid: UID,
            gid: UID,
            limits: SandboxLimits { time_s: 300, ..SandboxLimits::default() },
        };
        fs::create_dir_all(&site.workspaces).unwrap();
        fs::create_dir_all(&site.logs).unwrap();
        let rules = Rules {
            state: root.join("state"),
            root: root.clone(),
            uids: UID..=UID,
            mounts: site.toolchain.mounts.clone(),
            netns: None,
            registries: None,
        };
        let store = ImageStore::open(&root.join("images")).unwrap();
        Some(Self { dir, mirror, store, site, rules, port, commit })
    }

    /// Runs a plan for real.
    pub(crate) fn sandbox(
        &self,
        plan: &SandboxPlan,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<sandbox::Outcome, SandboxFailure> {
        Ok(sandbox::run(plan, &self.rules, on_line)?)
    }

    /// A workspace of the commit, with what this package manager fetches.
    pub(crate) fn prepare(&self, fetch: Ecosystem) -> Result<Workspace, WorkspaceError> {
        let registries = vec![format!("127.0.0.1:{}", self.port).parse().unwrap()];
        let source = Source { serial: None, commit: self.commit, name: "unit".into(), fetch, registries };
        Workspace::prepare(&self.mirror, &source, &self.site, &mut |p, l| self.sandbox(p, l), &mut |_| {})
    }
}

/// Serves these files over HTTP on a loopback port until the test ends.
pub(crate) fn serve(port: &TcpListener, files: BTreeMap<String, Vec<u8>>) {
    let (listener, files) = (port.try_clone().unwrap(), Arc::new(files));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let files = Arc::clone(&files);
            thread::spawn(move || answer(stream, &files));
        }
    });
}

/// A free port on loopback.
pub(crate) fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn answer(stream: TcpStream, files: &BTreeMap<String, Vec<u8>>) {
    let mut lines = BufReader::new(&stream).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (status, body) = files.get(path).map_or((404, &[][..]), |f| (200, f));
        let kind = if path.ends_with('/') { "text/html" } else { "application/octet-stream" };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        if (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(body)).is_err() {
            return;
        }
    }
}

/// A crate that this project depends on itself.
pub(crate) struct Crate {
    pub(crate) version: String,
    pub(crate) archive: Vec<u8>,
}

/// `itoa`, which needs nothing else, from the cache that Cargo keeps.
pub(crate) fn itoa() -> Crate {
    let home = std::env::var_os("CARGO_HOME")
        .map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"), PathBuf::from);
    let caches = fs::read_dir(home.join("registry/cache")).expect("Cargo keeps what it fetched for this project");
    let files = caches.flat_map(|c| fs::read_dir(c.unwrap().path()).unwrap()).map(|f| f.unwrap().path());
    let file = files
        .filter(|f| f.file_name().unwrap().to_str().unwrap().starts_with("itoa-1."))
        .max()
        .expect("serde_json depends on itoa");
    let version = file.file_stem().unwrap().to_str().unwrap().strip_prefix("itoa-").unwrap().to_owned();
    Crate { version, archive: fs::read(file).unwrap() }
}
