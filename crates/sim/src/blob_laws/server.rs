//! A real S3-compatible server for tests: `s3s-fs`, which `scripts/setup test` installs. It ends with the test.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use stores::s3::{S3Blobs, S3Place};

/// A program that was built without optimisation starts in far less.
const START_LIMIT: Duration = Duration::from_secs(20);
pub(super) const BUCKET: &str = "bodies";

/// A server over a folder.
pub(super) struct Server {
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// Starts one with an empty bucket.
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut server = Self { folder, address, child: None };
        server.start_again();
        server
    }

    /// Starts it again over what it kept.
    pub(super) fn start_again(&mut self) {
        let child = Command::new("s3s-fs")
            .args(["--host", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(["--access-key", "access", "--secret-key", "secret"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("no `s3s-fs` to test with ({e}); `scripts/setup test` installs it"));
        self.child = Some(child);
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(start.elapsed() < START_LIMIT, "the S3 server does not listen");
            std::thread::yield_now();
        }
    }

    /// Kills it, as `kill -9` does.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(super) fn place(&self, prefix: &str) -> S3Place {
        S3Place {
            bucket: BUCKET.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: format!("http://{}", self.address),
            region: "us-east-1".to_owned(),
            access_key: "access".to_owned(),
            secret_key: "secret".to_owned(),
            authorities: None,
            plain_http: false,
        }
    }

    pub(super) fn blobs(&self, prefix: &str) -> S3Blobs {
        S3Blobs::open(&self.place(prefix)).unwrap()
    }

    /// Where the server keeps what it was given.
    pub(super) fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
