//! A real S3-compatible server for tests: `s3s-fs`, which `scripts/setup test` installs. It ends with this value.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use stores::s3::{S3Blobs, S3Place};

/// A program that was built without optimisation starts in far less.
const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// The bucket that it has.
pub const BUCKET: &str = "bodies";
/// The key that gets in.
pub const ACCESS_KEY: &str = "access";
/// What goes with the key.
pub const SECRET_KEY: &str = "secret";

/// A server over a folder.
#[derive(Debug)]
pub struct S3Server {
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl S3Server {
    /// Starts one with an empty bucket.
    ///
    /// # Errors
    /// If there is no `s3s-fs` here, or it does not start; a test must fail then.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join(BUCKET))?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut server = Self { folder, address, child: None };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it again over what it kept.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again(&mut self) -> io::Result<()> {
        // Tied to this process, so that a test that dies leaves nobody behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "s3s-fs"])
            .args(["--host", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let child = self.child.insert(child);
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if child.try_wait()?.is_some() {
                return Err(io::Error::other("no `s3s-fs` to test with; `scripts/setup test` installs it"));
            }
            if start.elapsed() > START_LIMIT {
                return Err(io::Error::other("the S3 server does not listen"));
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Where it listens, without TLS.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A place in its bucket.
    pub fn place(&self, prefix: &str) -> S3Place {
        S3Place {
            bucket: BUCKET.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: format!("http://{}", self.address),
            region: "us-east-1".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            authorities: None,
            plain_http: false,
        }
    }

    /// Blobs in its bucket.
    ///
    /// # Errors
    /// What the store says.
    pub fn blobs(&self, prefix: &str) -> io::Result<S3Blobs> {
        S3Blobs::open(&self.place(prefix)).map_err(io::Error::other)
    }

    /// Where it keeps what it was given.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    /// How many objects it keeps.
    ///
    /// # Errors
    /// If its folder can not be read.
    pub fn objects(&self) -> io::Result<usize> {
        fn below(folder: &Path) -> io::Result<usize> {
            let mut found = 0;
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                found += if path.is_dir() { below(&path)? } else { 1 };
            }
            Ok(found)
        }
        below(&self.bucket())
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}
