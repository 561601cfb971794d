//! A real PostgreSQL for tests: made in a folder that is thrown away, reached over a Unix socket alone, with `fsync` on.
//!
//! It is looked for where Debian keeps it and then on `PATH`. Root can not run one, so under root it runs as `postgres`
//! or `nobody`. The kernel ends it when the test dies, whatever way that is.

use std::{
    io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use stores::postgres::{Address, PostgresStore};

/// A minute: two seconds on a quiet machine, and builds on all cores beside it.
const START_LIMIT: Duration = Duration::from_secs(60);
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A server that ends with this value.
#[derive(Debug)]
pub struct PostgresServer {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    child: Child,
    databases: AtomicUsize,
}

impl PostgresServer {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// If there is no PostgreSQL here, or it does not start; a test must fail then.
    pub fn start() -> io::Result<Self> {
        let binaries = binaries()?;
        let folder = tempfile::Builder::new().prefix("countersign-postgres").tempdir_in("/tmp")?;
        let user = user()?;
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let made = as_user(user, &binaries.join("initdb"))
            .args(["--auth=trust", "--username=log", "--no-sync", "--encoding=UTF8", "--no-locale", "-D"])
            .arg(folder.path().join("data"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))));
        }
        let child = spawn(&binaries, folder.path(), user)?;
        let server = Self { folder, binaries, child, databases: AtomicUsize::new(0) };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    /// The URL of a new, empty database.
    ///
    /// # Errors
    /// If the server does not make one.
    pub fn new_database(&self) -> io::Result<String> {
        let name = format!("log{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.run("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// A store in the database behind a URL.
    ///
    /// # Errors
    /// What the address or the store says.
    pub fn store(url: &str) -> io::Result<PostgresStore> {
        let address = Address::parse(url).map_err(io::Error::other)?;
        PostgresStore::open(address).map_err(io::Error::other)
    }

    /// Runs statements in the database behind a URL, past every store, as an intruder would.
    ///
    /// # Errors
    /// What the server says.
    pub fn run_at(&self, url: &str, sql: &str) -> io::Result<String> {
        self.run(url.split(['/', '?']).nth(3).unwrap_or_default(), sql)
    }

    /// Kills the server without warning, as a power cut would but for what the kernel has, and starts it again.
    ///
    /// # Errors
    /// If it does not start again.
    pub fn crash(&mut self) -> io::Result<()> {
        let pid = self.child.id().to_string();
        // SIGQUIT is what PostgreSQL calls an immediate shutdown: no checkpoint, recovery at the next start.
        Command::new("kill").args(["-QUIT", &pid]).status()?;
        self.child.wait()?;
        self.child = spawn(&self.binaries, self.folder.path(), user()?)?;
        self.wait_until_it_answers()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=log", self.folder.path().display())
    }

    fn run(&self, database: &str, sql: &str) -> io::Result<String> {
        let done = Command::new(self.binaries.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "log", "-h"])
            .arg(self.folder.path())
            .args(["-d", database, "-c", sql])
            .output()?;
        if !done.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    fn wait_until_it_answers(&self) -> io::Result<()> {
        let start = Instant::now();
        loop {
            match self.run("postgres", "SELECT 1") {
                Ok(_) => return Ok(()),
                Err(e) if start.elapsed() > START_LIMIT => {
                    let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
                    return Err(io::Error::other(format!("the server does not start: {e}; {said}")));
                }
                Err(_) => std::thread::sleep(LOOK_PAUSE),
            }
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-QUIT", &pid]).status());
        drop(self.child.wait());
    }
}

fn spawn(binaries: &Path, folder: &Path, user: Option<(u32, u32)>) -> io::Result<Child> {
    let said = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("said"))?;
    as_user(user, &binaries.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "fsync=on", "-c", "synchronous_commit=on"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        .spawn()
}

/// Runs a program as somebody who may run a server, tied to this process.
fn as_user(user: Option<(u32, u32)>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if let Some((uid, gid)) = user {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// Whom to become, if this is root.
fn user() -> io::Result<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> io::Result<Option<u32>> {
        let said = Command::new("id").args(arguments).stderr(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().parse().ok())
    };
    if id(&["-u"])? != Some(0) {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Some(uid), Some(gid)) = (id(&["-u", name])?, id(&["-g", name])?) {
            return Ok(Some((uid, gid)));
        }
    }
    Err(io::Error::other("neither `postgres` nor `nobody` is a user here"))
}

/// The folder with `initdb`, the newest version first.
fn binaries() -> io::Result<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| {
            let version = entry.file_name().to_string_lossy().parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, path)| path.join("initdb").is_file())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).find(|path| path.join("initdb").is_file());
    let newest = found.pop().map(|(_, path)| path).or(on_path);
    newest.ok_or_else(|| io::Error::other("there is no PostgreSQL here: install the package `postgresql`"))
}
