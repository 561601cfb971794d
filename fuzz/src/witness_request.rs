//! Requests to a witness (C2SP tlog-witness): any bytes, and stories of true and false ones, against a model of what a
//! witness may cosign.

use std::{cell::OnceCell, path::Path, thread_local};

use ledger::{
    checkpoint::Checkpoint,
    log::Log,
    merkle::{CompactRange, leaf_hash},
    note::{Note, NoteKeyType},
    witness::{AddCheckpoint, Witness, WitnessedLog},
};
use model::Digest;

use crate::{bytes::Choices, fixed};

/// Entries of each of two logs under one key.
const SIZE: u64 = 80;
/// What the two have in common.
const FORK_AT: u64 = 40;
/// Requests in one story: each takes a synced write.
const STORY: usize = 6;

/// A history, of which there are two.
struct History {
    log: Log,
    roots: Vec<Digest>,
}

impl History {
    fn new(fork: u64) -> Self {
        let numbers: Vec<u64> = (0..FORK_AT).chain((FORK_AT..SIZE).map(|n| n + fork * SIZE)).collect();
        let mut range = CompactRange::new();
        let mut roots = vec![range.root()];
        for number in &numbers {
            range.push(leaf_hash(&fixed::statement(*number).canonical_bytes()));
            roots.push(range.root());
        }
        Self { log: fixed::log_of(numbers), roots }
    }

    fn root(&self, size: u64) -> Digest {
        self.roots[usize::try_from(size).expect("a log is small")]
    }
}

thread_local! {
    static HISTORIES: OnceCell<[History; 2]> = const { OnceCell::new() };
}

/// What the witness may have cosigned last.
#[derive(Default)]
struct Model {
    latest: Option<(u64, Digest)>,
}

/// Whatever is asked of it: it answers, it cosigns only what continues what it cosigned, and it remembers that.
pub fn run(data: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(request.to_bytes(), data, "a request has one form");
    }
    let folder = fixed::scratch();
    Witness::begin(folder.path()).expect("there is room for temporary files");
    let mut witness = Some(open(folder.path()));
    let mut model = Model::default();
    ask(witness.as_ref().expect("it is open"), &mut model, data, None);
    HISTORIES.with(|histories| {
        let histories = histories.get_or_init(|| [History::new(0), History::new(1)]);
        let mut choices = Choices::new(data);
        for _ in 0..STORY {
            if choices.is_done() {
                break;
            }
            if choices.byte() % 8 == 7 {
                // Dropped first: two may not use one folder.
                drop(witness.take());
                witness = Some(open(folder.path()));
            }
            story(witness.as_ref().expect("it is open"), &mut model, histories, &mut choices);
        }
    });
    drop(witness.take());
    remembers(&open(folder.path()), &model);
}

fn open(folder: &Path) -> Witness {
    let logs = vec![WitnessedLog::new(fixed::log_signer().vkey().clone()).expect("it is a log's key")];
    Witness::open(folder, fixed::witness_signer().clone(), logs).expect("its own record is whole")
}

/// One request that is right but for what the choices make wrong.
fn story(witness: &Witness, model: &mut Model, histories: &[History; 2], choices: &mut Choices<'_>) {
    let latest = model.latest.map_or(0, |(size, _)| size);
    let history = &histories[usize::from(choices.byte() % 2)];
    let new = choices.below(SIZE + 1);
    let old = if choices.byte() % 4 == 0 { choices.below(SIZE + 1) } else { latest };
    let good = if old <= new { history.log.consistency_proof(old, new).expect("both are in it") } else { Vec::new() };
    let mut proof = good.clone();
    match choices.byte() % 8 {
        0 => proof.push(choices.hash()),
        1 => drop(proof.pop()),
        2 if !proof.is_empty() => proof[0] = choices.hash(),
        _ => {}
    }
    let wrong = choices.byte() % 16;
    let text = Checkpoint::new(fixed::ORIGIN, new, history.root(new)).to_string();
    let note = match wrong {
        0 => note_by(&fixed::signer(fixed::ORIGIN, NoteKeyType::Ed25519, 9), &text),
        1 => {
            let other = fixed::signer("fuzz.example/other", NoteKeyType::Ed25519, 1);
            note_by(&other, &Checkpoint::new("fuzz.example/other", new, history.root(new)).to_string())
        }
        _ => fixed::signed(&text),
    };
    let request = AddCheckpoint::new(old, proof.clone(), note.into_bytes()).expect("it is a note");
    let (latest_size, latest_root) = model.latest.unwrap_or((0, history.root(0)));
    let expected = match wrong {
        0 => 403,
        1 => 404,
        _ if old > new => 400,
        _ if old != latest_size => 409,
        _ if latest_root == history.root(old) && proof == good => 200,
        _ => 422,
    };
    ask(witness, model, &request.to_bytes(), Some((expected, (new, history.root(new)))));
}

fn note_by(signer: &ledger::note::NoteSigner, text: &str) -> String {
    format!("{text}\n{}", signer.sign(text, fixed::NOW).expect("the key is here"))
}

/// Asks, and compares the answer with the model; `expected` is the status and the tree, where they are known.
fn ask(witness: &Witness, model: &mut Model, request: &[u8], expected: Option<(u16, (u64, Digest))>) {
    let response = witness.add_checkpoint(request, fixed::NOW);
    if let Some((status, _)) = expected {
        assert_eq!(response.status, status, "{}", String::from_utf8_lossy(&response.body));
    }
    match response.status {
        200 => {
            let note = AddCheckpoint::parse(request).expect("only a request is answered so").note().to_vec();
            let signed = ledger::checkpoint::SignedCheckpoint::open(&note, fixed::log_signer().vkey());
            let signed = signed.expect("only the log's own checkpoint is cosigned");
            assert!(fixed::is_signed_by_log(signed.note()));
            let before = model.latest.map_or(0, |(size, _)| size);
            assert!(signed.size() >= before, "a log never shrinks");
            assert!(signed.size() > before || model.latest.is_none_or(|(_, root)| root == signed.root()), "nor forks");
            let lines = [format!("{}\n", signed.note().text()).as_bytes(), &response.body].concat();
            let cosigned = Note::parse(&lines).expect("the answer is signature lines");
            assert_eq!(cosigned.cosigned_at(witness.vkey()), Ok(Some(fixed::NOW)));
            model.latest = Some((signed.size(), signed.root()));
        }
        409 => {
            let size = model.latest.map_or(0, |(size, _)| size);
            assert_eq!(response.body, format!("{size}\n").into_bytes());
        }
        422 => {
            if let Some(fork) = &response.fork {
                assert!(!fork.ours.is_empty() && fork.ours != fork.theirs, "both checkpoints are kept");
            }
        }
        400 | 403 | 404 => {}
        other => panic!("status {other} is for broken disks and clocks"),
    }
    remembers(witness, model);
}

fn remembers(witness: &Witness, model: &Model) {
    let latest = witness.latest(fixed::ORIGIN).map(|c| (c.size, c.root));
    assert_eq!(latest, model.latest, "it remembers what it cosigned");
}
