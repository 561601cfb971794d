//! A real PostgreSQL for tests: made in a folder that is thrown away, with `fsync` on, reached over a Unix socket alone, or
//! over TCP on this machine as well, with and without TLS.
//!
//! It is looked for where Debian keeps it and then on `PATH`. Root can not run one, so under root it runs as `postgres`
//! or `nobody`. The kernel ends it when the test dies, whatever way that is.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use stores::postgres::{Address, PostgresStore};

use crate::tls::ServerCertificate;

/// A minute: two seconds on a quiet machine, and builds on all cores beside it.
const START_LIMIT: Duration = Duration::from_secs(60);
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Where the server's socket is found by default; it has no meaning where no address is listened on.
const USUAL_PORT: u16 = 5432;
/// Over the socket who may reach it is believed; over TCP a password is asked for, which is never sent in plain text.
const WHO_MAY: &str = "local all all trust\nhost all all all scram-sha-256\n";
/// The password of `log` over TCP.
const PASSWORD: &str = "not a secret: a test's";

/// A server that ends with this value.
#[derive(Debug)]
pub struct PostgresServer {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    child: Child,
    databases: AtomicUsize,
    /// The port of 127.0.0.1 and ::1, if it listens there.
    port: Option<u16>,
}

impl PostgresServer {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// If there is no PostgreSQL here, or it does not start; a test must fail then.
    pub fn start() -> io::Result<Self> {
        Self::start_listening(None)
    }

    /// The same, which also listens on this machine's `localhost` with this certificate, and asks for a password there.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_over_tcp(certificate: &ServerCertificate) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let server = Self::start_listening(Some((port, certificate)))?;
        server.run("postgres", &format!("ALTER ROLE log PASSWORD '{}'", PASSWORD.replace('\'', "''")))?;
        Ok(server)
    }

    fn start_listening(tcp: Option<(u16, &ServerCertificate)>) -> io::Result<Self> {
        let binaries = binaries()?;
        let folder = tempfile::Builder::new().prefix("countersign-postgres").tempdir_in("/tmp")?;
        let user = user()?;
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        // The users of roles reach the socket in it; what is below `data` is the server's alone.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let made = as_user(user, &binaries.join("initdb"))
            .args(["--auth=trust", "--username=log", "--no-sync", "--encoding=UTF8", "--no-locale", "-D"])
            .arg(folder.path().join("data"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .output()?;
        if !made.status.success() {
            return Err(io::Error::other(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))));
        }
        if let Some((_, certificate)) = tcp {
            let data = folder.path().join("data");
            let files = [
                ("server.crt", certificate.chain.as_str()),
                ("server.key", certificate.key.as_str()),
                ("pg_hba.conf", WHO_MAY),
            ];
            for (name, text) in files {
                let path = data.join(name);
                #[expect(clippy::disallowed_methods, reason = "a test's file needs to outlive nothing")]
                fs::write(&path, text)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
                if let Some((uid, gid)) = user {
                    chown(&path, Some(uid), Some(gid))?;
                }
            }
        }
        let port = tcp.map(|(port, _)| port);
        let child = spawn(&binaries, folder.path(), user, port)?;
        let server = Self { folder, binaries, child, databases: AtomicUsize::new(0), port };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    /// The password that is asked for over TCP.
    pub const fn password() -> &'static str {
        PASSWORD
    }

    /// The same database over TCP, by the server's name or address on this machine, with what its URL says more, such as
    /// `sslmode=verify-full`.
    ///
    /// # Errors
    /// If it does not listen there.
    pub fn over_tcp(&self, url: &str, host: &str, parameters: &str) -> io::Result<String> {
        let port = self.port.ok_or_else(|| io::Error::other("the server listens on no address"))?;
        let database = url.split(['/', '?']).nth(3).unwrap_or_default();
        Ok(format!("postgres://log@{host}:{port}/{database}?{parameters}"))
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

    /// The URL of a copy of a database to which nobody is connected, as a backup would bring it back.
    ///
    /// # Errors
    /// If the server does not make one.
    pub fn copy(&self, url: &str) -> io::Result<String> {
        let from = url.split(['/', '?']).nth(3).unwrap_or_default();
        let name = format!("log{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE {from}"))?;
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
        self.child = spawn(&self.binaries, self.folder.path(), user()?, self.port)?;
        self.wait_until_it_answers()
    }

    fn url(&self, database: &str) -> String {
        let port = self.port.map(|port| format!("&port={port}")).unwrap_or_default();
        format!("postgres:///{database}?host={}&user=log{port}", self.folder.path().display())
    }

    fn run(&self, database: &str, sql: &str) -> io::Result<String> {
        let done = Command::new(self.binaries.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "log"])
            .args(["-p", &self.port.unwrap_or(USUAL_PORT).to_string(), "-h"])
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

fn spawn(binaries: &Path, folder: &Path, user: Option<(u32, u32)>, port: Option<u16>) -> io::Result<Child> {
    let network = match port {
        Some(port) => format!("listen_addresses=localhost -c port={port} -c ssl=on"),
        None => "listen_addresses=".to_owned(),
    };
    let said = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("said"))?;
    as_user(user, &binaries.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .arg("-c")
        .args(network.split(' '))
        .args(["-c", "fsync=on", "-c", "synchronous_commit=on"])
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
