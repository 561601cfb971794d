//! Three processes on free ports of loopback, with a folder of their own; all gone at the end of a test.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const TOKEN: &str = "a-token-for-tests-only";
const LIMIT: Duration = Duration::from_secs(10);

/// A folder that is deleted at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A running program.
pub struct Part {
    child: Child,
    pub address: SocketAddr,
}

impl Part {
    fn start(command: &mut Command) -> Self {
        let mut child = command.env("PAYDESK_BIND", "127.0.0.1").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok()).unwrap();
        // Whoever reads no further would stop a program that has much to say.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// One request on a connection of its own: status and body.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(LIMIT)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n");
        connection.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    pub fn exited(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "it did not stop");
            std::thread::yield_now();
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The whole desk.
pub struct Desk {
    pub web: Part,
    pub payments: Part,
    pub ledger: Part,
    folder: Folder,
}

impl Desk {
    pub fn start() -> Self {
        let folder = Folder::new();
        fs::write(folder.file("token"), format!("{TOKEN}\n")).unwrap();
        fs::create_dir(folder.file("values")).unwrap();
        fs::write(folder.file("values/settlement-account"), "DE89370400440532013000").unwrap();
        let ledger = start_ledger(&folder, 0);
        let payments = Part::start(
            program(env!("CARGO_BIN_EXE_paydesk-payments"))
                .env("PAYDESK_TOKEN_FILE", folder.file("token"))
                .env("COUNTERSIGN_PEER_LEDGER", ledger.address.to_string()),
        );
        let web = Part::start(
            program(env!("CARGO_BIN_EXE_paydesk-web")).env("COUNTERSIGN_PEER_PAYMENTS", payments.address.to_string()),
        );
        Self { web, payments, ledger, folder }
    }

    pub fn kill_ledger(&mut self) {
        self.ledger.child.kill().unwrap();
        self.ledger.child.wait().unwrap();
    }

    /// On the same port and file.
    pub fn start_ledger_again(&self) -> Part {
        start_ledger(&self.folder, self.ledger.address.port())
    }

    pub fn pay(&self, key: &str, from: &str, to: &str, amount: &str) -> (u16, Value) {
        let order = json!({ "from": from, "to": to, "amount": amount, "currency": "EUR" });
        let (status, body) = self.web.request("POST", "/payments", &[("Idempotency-Key", key)], &order.to_string());
        (status, serde_json::from_str(&body).unwrap())
    }

    pub fn get(&self, target: &str) -> (u16, Value) {
        let (status, body) = self.web.request("GET", target, &[], "");
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn start_ledger(folder: &Folder, port: u16) -> Part {
    Part::start(
        program(env!("CARGO_BIN_EXE_paydesk-ledger"))
            .env("PORT", port.to_string())
            .env("PAYDESK_TOKEN_FILE", folder.file("token"))
            .env("PAYDESK_LEDGER_FILE", folder.file("ledger.sqlite"))
            .env("PAYDESK_VALUES", folder.file("values")),
    )
}

fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.env("PORT", "0").env("COUNTERSIGN_SERIAL", "test-000001");
    command
}
