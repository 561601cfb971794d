//! The witness over HTTP, asked as the specification says and as it does not.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use ledger::{
    merkle::empty_root,
    note::{Note, NoteSignature},
};
use model::{Digest, Timestamp};

use super::*;

const ORIGIN: &str = "log.example/one";

fn signer(name: &str, kind: NoteKeyType, number: u8) -> NoteSigner {
    let key = PrivateKey::from_seed(Scheme::Ed25519, &[number; 32]).unwrap();
    NoteSigner::new(name, kind, Arc::new(key)).unwrap()
}

/// A witness of one log, on loopback.
fn serve(folder: &Path) -> SocketAddr {
    serve_with(folder, LIMITS)
}

fn serve_with(folder: &Path, limits: PublicLimits) -> SocketAddr {
    Witness::begin(folder).unwrap();
    let log = WitnessedLog::new(signer(ORIGIN, NoteKeyType::Ed25519, 1).vkey().clone()).unwrap();
    let witness = Witness::open(folder, signer("w.example", NoteKeyType::Cosignature, 2), vec![log]).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(serve_public(listener, router(witness), limits)).unwrap();
    });
    address
}

/// Sends requests over one connection; status, head in lower case and body of each.
fn ask(address: SocketAddr, requests: &[(&str, &str, &[u8])]) -> Vec<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answers = Vec::new();
    for (method, path, body) in requests {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        // Who is refused for the size of a request may hang up while it is still being sent.
        let sent = stream.write_all(body);
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap_or_else(|e| panic!("{method} {path}: {e}, {sent:?}"));
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        answers.push((head[9..12].parse().unwrap(), head, String::from_utf8(body).unwrap()));
    }
    answers
}

fn checkpoint(size: u64, root: Digest) -> String {
    let text = ledger::checkpoint::Checkpoint::new(ORIGIN, size, root).to_string();
    let mut note = Note::new(text.clone()).unwrap();
    note.add(signer(ORIGIN, NoteKeyType::Ed25519, 1).sign(&text, Timestamp::default()).unwrap());
    note.to_string()
}

#[test]
fn the_protocol_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path());
    let leaf = ledger::merkle::leaf_hash(b"x");
    let one = checkpoint(1, leaf);
    let first = format!("old 0\n\n{one}");
    let again = format!("old 1\n\n{one}");
    let other = format!("old 1\n\n{}", checkpoint(1, ledger::merkle::leaf_hash(b"y")));
    let monitor = format!("/{}/checkpoint", Digest::of(ORIGIN.as_bytes()).hex());
    let post = |body| ("POST", "/add-checkpoint", body);
    let requests: [(&str, &str, &[u8]); 12] = [
        ("GET", &monitor, b""),
        ("GET", "/", b""),
        post(format!("old 0\n\n{}", checkpoint(0, empty_root())).leak().as_bytes()),
        post(first.as_bytes()),
        post(first.as_bytes()),
        post(again.as_bytes()),
        post(other.as_bytes()),
        post(b"rubbish"),
        post(first.replace(ORIGIN, "unknown.example").leak().as_bytes()),
        ("GET", "/add-checkpoint", b""),
        ("GET", &monitor, b""),
        ("GET", "/", b""),
    ];
    // All over one connection: it is kept alive.
    let answers = ask(address, &requests);
    let statuses: Vec<u16> = answers.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [404, 200, 200, 200, 409, 200, 422, 400, 404, 405, 200, 200]);
    let (_, head, body) = &answers[4];
    assert!(head.contains("content-type: text/x.tlog.size\r\n"), "{head}");
    assert_eq!(body, "1\n");
    let (_, _, lines) = &answers[5];
    let mut note = Note::parse(one.as_bytes()).unwrap();
    NoteSignature::parse_lines(lines).unwrap().into_iter().for_each(|line| note.add(line));
    assert!(note.cosigned_at(signer("w.example", NoteKeyType::Cosignature, 2).vkey()).unwrap().is_some());
    let (_, head, monitored) = &answers[10];
    assert!(head.contains("content-type: text/plain; charset=utf-8\r\n"), "{head}");
    assert_eq!(*monitored, note.to_string(), "log's signature and cosignature");
    assert!(
        answers[1].2.lines().nth(1).unwrap().ends_with("-  -                     log.example/one"),
        "{}",
        answers[1].2
    );
    assert!(answers[11].2.starts_with("witness w.example+"), "{}", answers[11].2);
    let line = answers[11].2.lines().nth(1).unwrap();
    assert!(line.starts_with("           1  ") && line.ends_with("  log.example/one"), "{line}");
    let forks = std::fs::read_dir(folder.path().join("forks")).unwrap().count();
    assert_eq!(forks, 1, "both checkpoints of the 422 are kept");
}

#[test]
fn a_request_that_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path());
    let answers = ask(address, &[("POST", "/add-checkpoint", &vec![b'x'; REQUEST_LIMIT_BYTES + 1])]);
    assert_eq!(answers[0].0, 413);
    let answers = ask(address, &[("POST", "/add-checkpoint", &vec![b'x'; REQUEST_LIMIT_BYTES])]);
    assert_eq!(answers[0].0, 400);
}

#[test]
fn who_says_nothing_does_not_keep_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let limits = PublicLimits { connections: 2, head_timeout: Duration::from_millis(200) };
    let address = serve_with(folder.path(), limits);
    let mut silent: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    silent[0].write_all(b"GET /hea").unwrap();
    let answers = ask(address, &[("GET", "/health", b"")]);
    assert_eq!(answers[0].0, 200, "after the silent ones were hung up on");
    silent[0].set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    silent[0].read_to_end(&mut rest).unwrap();
}
