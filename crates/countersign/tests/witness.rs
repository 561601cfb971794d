//! The witness as a process of its own, killed in the middle of requests and started again: what it has cosigned stays
//! cosigned, and what it must not begin again it does not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ledger::{
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    merkle::CompactRange,
    note::{NoteKeyType, NoteSigner, VerifierKey},
    store::MemoryStore,
    witness::{Reply, cosign},
};
use model::Digest;

const ORIGIN: &str = "log.example/kills";
/// Enough for a debug build on a busy machine; what is waited for takes a fraction of a second.
const LIMIT: Duration = Duration::from_secs(20);
/// How often it is killed.
const KILLS: usize = 6;
/// Cosignatures in between: the kill comes while the next is being asked for.
const BETWEEN: u64 = 5;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_countersign"))
}

fn start(state: &Path, log: &VerifierKey, address: SocketAddr) -> Child {
    let mut child = program()
        .args(["witness", "--log", &log.to_string(), "--listen", &address.to_string(), "--state"])
        .arg(state)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + LIMIT;
    while request(address, "GET", "/health", b"").is_none() {
        assert!(Instant::now() < deadline, "the witness does not answer");
        assert_eq!(child.try_wait().unwrap(), None, "the witness ended by itself");
    }
    child
}

/// Status and body, or nothing from a witness that is not there or is killed meanwhile.
fn request(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.trim().parse().ok()?;
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some((head.get(9..12)?.parse().ok()?, body))
}

fn grow(log: &Log, key: &PrivateKey) {
    let payload = log.head().size().to_string().into_bytes();
    log.append(Submission::new(Envelope::seal("application/json", payload, key).unwrap())).unwrap();
}

/// The root that the log had at a size.
fn root_at(log: &Log, size: u64) -> Digest {
    let mut range = CompactRange::new();
    while range.size() < size {
        for entry in log.entries(range.size(), usize::try_from(size - range.size()).unwrap()).unwrap() {
            range.push_entry(&entry);
        }
    }
    range.root()
}

#[test]
fn a_witness_that_is_killed_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // The witness becomes a user of its own, if it is started as root, and goes through this folder.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let state = folder.path().join("witness");
    let made = program().args(["witness", "--new", "--state"]).arg(&state).output().unwrap();
    let witness: VerifierKey = String::from_utf8(made.stdout).unwrap().trim().parse().unwrap();
    let again = program().args(["witness", "--new", "--state"]).arg(&state).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("there is a key already"), "{again:?}");

    let renamed = program().args(["witness", "--name", "other.example", "--state"]).arg(&state).output().unwrap();
    assert!(String::from_utf8_lossy(&renamed.stderr).contains("this witness is called `witness.countersign.local`"));

    let key = PrivateKey::from_seed(Scheme::Ed25519, &[1; 32]).unwrap();
    let signer = NoteSigner::new(
        ORIGIN,
        NoteKeyType::Ed25519,
        Arc::new(PrivateKey::from_seed(Scheme::Ed25519, &[2; 32]).unwrap()),
    );
    let log = Log::open(Arc::new(MemoryStore::new()), signer.unwrap(), Arc::new(OpenDoor)).unwrap();
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let monitor = format!("/{}/checkpoint", Digest::of(ORIGIN.as_bytes()).hex());

    let cosigned = AtomicU64::new(0);
    for kill in 0..KILLS {
        let mut child = start(&state, log.vkey(), address);
        // What was answered before the kill is there after it, and is a tree of this log.
        let before = cosigned.load(Ordering::SeqCst);
        if before > 0 {
            let (status, note) = request(address, "GET", &monitor, b"").unwrap();
            assert_eq!(status, 200);
            let kept = SignedCheckpoint::open(&note, log.vkey()).unwrap();
            assert!(kept.size() >= before, "kill {kill}: {} entries were cosigned, {} are known", before, kept.size());
            assert_eq!(kept.root(), root_at(&log, kept.size()));
            assert!(kept.note().cosigned_at(&witness).unwrap().is_some());
        }
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    grow(&log, &key);
                    let send = |body: &[u8]| {
                        let answer = request(address, "POST", "/add-checkpoint", body).ok_or("killed")?;
                        Ok::<_, &str>(Reply { status: answer.0, body: answer.1 })
                    };
                    match cosign(&log, &witness, cosigned.load(Ordering::SeqCst), send) {
                        Ok((size, _)) => cosigned.store(size, Ordering::SeqCst),
                        Err(ledger::witness::CosignError::Transport(..)) => {}
                        Err(error) => panic!("kill {kill}: {error}"),
                    }
                }
            });
            let deadline = Instant::now() + LIMIT;
            while cosigned.load(Ordering::SeqCst) < before + BETWEEN && Instant::now() < deadline {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            ended.store(true, Ordering::SeqCst);
        });
        child.wait().unwrap();
        assert!(cosigned.load(Ordering::SeqCst) >= before + BETWEEN, "kill {kill}: nothing was cosigned any more");
    }

    // Its memory removed, it does not begin again.
    let record = state.join(format!("{}.checkpoint", Digest::of(ORIGIN.as_bytes()).hex()));
    std::fs::remove_file(&record).unwrap();
    let refused = program()
        .args(["witness", "--log", &log.vkey().to_string(), "--listen", &address.to_string(), "--state"])
        .arg(&state)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(6), "{complaint}");
    assert!(
        complaint.contains(" is gone, and this witness has cosigned that log") && complaint.contains("hint: "),
        "{complaint}"
    );
}
