use std::{convert::Infallible, fs};

use proptest::prelude::*;

use super::*;
use crate::{
    fixtures::{ORIGIN, fill, log_of, log_signer, statement, witness_signer},
    follow::WitnessPolicy,
    log::Log,
    merkle::{CompactRange, leaf_hash},
};

const NOW: Timestamp = Timestamp::from_unix(1_000);

fn open(folder: &Path) -> Witness {
    Witness::begin(folder).unwrap();
    opened(folder, vec![WitnessedLog::new(log_signer().vkey().clone()).unwrap()]).unwrap()
}

fn opened(folder: &Path, logs: Vec<WitnessedLog>) -> Result<Witness, OpenWitnessError> {
    Witness::open(folder, witness_signer("w.example", 9), logs)
}

fn ask(log: &Log, old: u64) -> AddCheckpoint {
    let head = log.head();
    let proof = if old == 0 { Vec::new() } else { log.consistency_proof(old, head.size()).unwrap() };
    AddCheckpoint::new(old, proof, head.to_bytes()).unwrap()
}

fn send(witness: &Witness, request: &AddCheckpoint) -> (u16, String) {
    let response = witness.add_checkpoint(&request.to_bytes(), NOW);
    (response.status, String::from_utf8(response.body).unwrap())
}

/// A checkpoint that the log's key signed over a tree of these numbers.
fn signed_tree(numbers: impl Iterator<Item = u64>) -> (SignedCheckpoint, CompactRange) {
    let mut range = CompactRange::new();
    numbers.for_each(|n| range.push_entry(&statement(n).canonical_bytes()));
    (SignedCheckpoint::sign(range.size(), range.root(), &log_signer()).unwrap(), range)
}

#[test]
fn it_cosigns_what_continues_and_remembers_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = log_of(0);
    let mut old = 0;
    for size in [0, 1, 5, 256, 300] {
        fill(&log, log.head().size(), size);
        let witness = open(folder.path());
        let (status, body) = send(&witness, &ask(&log, old));
        assert_eq!(status, 200, "{body}");
        let mut cosigned = (*log.head()).clone();
        crate::note::NoteSignature::parse_lines(&body).unwrap().into_iter().for_each(|s| cosigned.add(s));
        assert_eq!(cosigned.note().cosigned_at(witness.vkey()), Ok(Some(NOW)));
        assert_eq!(witness.latest(ORIGIN).unwrap(), *log.head().checkpoint());
        old = size;
    }
    let again = open(folder.path());
    assert_eq!(send(&again, &ask(&log, 300)).0, 200, "the same checkpoint again, as for an idle log");
    let note = again.latest_note(ORIGIN).unwrap();
    SignedCheckpoint::open(&note, log.vkey()).unwrap();
    assert_eq!(again.latest("other"), None);
    assert_eq!(again.monitored(&Digest::of(ORIGIN.as_bytes()).hex()), Some(note));
    assert_eq!(again.monitored(&Digest::of(ORIGIN.as_bytes()).hex().to_uppercase()), None);
    assert_eq!(again.status(), [LogStatus { origin: ORIGIN.to_owned(), latest: Some((300, NOW)) }]);
}

/// The statuses of C2SP tlog-witness, in the order in which they are checked.
#[test]
fn refusals_by_status() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path());
    let (log, _) = log_of(5);
    let good = String::from_utf8(ask(&log, 0).to_bytes()).unwrap();
    let post = |body: &str| {
        let response = witness.add_checkpoint(body.as_bytes(), NOW);
        (response.status, response.content_type, String::from_utf8(response.body).unwrap())
    };
    for malformed in [
        "",
        "old\n\n",
        "junk",
        &good.replace("old 0", "old 00"),
        &good.replace("old 0", "old -1"),
        &good.replace("old 0\n", "old 0\n!!\n"),
        &good.replace("\n\n", "\n"),
    ] {
        assert_eq!(post(malformed).0, 400, "{malformed}");
    }
    assert_eq!(post(&good.replace(ORIGIN, "other.example")).0, 404);
    assert_eq!(post(&good.replace("\n5\n", "\n6\n")).0, 403, "a signature of the trusted key that does not verify");
    let unsigned = good.replace(&format!("\u{2014} {ORIGIN}"), "\u{2014} somebody.else");
    assert_eq!(post(&unsigned).0, 403, "no signature of the trusted key");
    assert_eq!(post(&good.replace("old 0", "old 6")).0, 400, "old size above the checkpoint's");
    assert_eq!(post(&good.replace("old 0", "old 3")), (409, "text/x.tlog.size", "0\n".to_owned()));
    let with_proof = good.replace("old 0\n", "old 0\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n");
    assert_eq!(post(&with_proof).0, 422, "a proof where none is needed");
    let not_empty = SignedCheckpoint::sign(0, leaf_hash(b"x"), &log_signer()).unwrap();
    let request = AddCheckpoint::new(0, Vec::new(), not_empty.to_bytes()).unwrap();
    assert_eq!(send(&witness, &request).0, 422, "size zero with another root than that of nothing");
    assert_eq!(witness.latest(ORIGIN), None, "none of it was remembered");
    assert_eq!(post(&good).0, 200);
    assert_eq!(post(&good), (409, "text/x.tlog.size", "5\n".to_owned()));
    let sixty_four = format!(
        "old 5\n{}\n{}",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n".repeat(64),
        good.split_once("\n\n").unwrap().1
    );
    assert_eq!(post(&sixty_four).0, 400);
}

#[test]
fn strangers_make_no_evidence_against_an_honest_log() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path());
    let (log, _) = log_of(5);
    assert_eq!(send(&witness, &ask(&log, 0)).0, 200);
    for n in 0..4_u8 {
        // A stranger's line makes the note another one each time; the proof proves nothing.
        let mut note = log.head().note().clone();
        note.add(witness_signer("stranger.example", n + 20).sign(log.head().note().text(), NOW).unwrap());
        let request = AddCheckpoint::new(5, vec![model::Digest::of(&[n])], note.to_string().into_bytes()).unwrap();
        let response = witness.add_checkpoint(&request.to_bytes(), NOW);
        assert_eq!((response.status, response.fork), (422, None));
    }
    assert!(!folder.path().join("forks").exists(), "one tree is no fork");
    let (smaller, _) = log_of(3);
    for n in 0..4_u8 {
        let mut note = smaller.head().note().clone();
        note.add(witness_signer("stranger.example", n + 20).sign(smaller.head().note().text(), NOW).unwrap());
        let request = AddCheckpoint::new(1, Vec::new(), note.to_string().into_bytes()).unwrap();
        assert_eq!(witness.add_checkpoint(&request.to_bytes(), NOW).status, 409);
    }
    assert_eq!(fs::read_dir(folder.path().join("forks")).unwrap().count(), 1, "one pair is one piece of evidence");
}

#[test]
fn a_fork_is_refused_and_both_checkpoints_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path());
    let (log, _) = log_of(5);
    assert_eq!(send(&witness, &ask(&log, 0)).0, 200);
    let (other, _) = signed_tree(100..105);
    let request = AddCheckpoint::new(5, Vec::new(), other.to_bytes()).unwrap();
    let response = witness.add_checkpoint(&request.to_bytes(), NOW);
    assert_eq!(response.status, 422);
    let fork = response.fork.unwrap();
    assert!(fork.is_proof(log.vkey()));
    witness.add_checkpoint(&request.to_bytes(), NOW);
    let kept: Vec<_> = fs::read_dir(folder.path().join("forks")).unwrap().collect();
    assert_eq!(kept.len(), 1, "the same pair is one piece of evidence");
    assert_eq!(fs::read(kept[0].as_ref().unwrap().path()).unwrap(), fork.to_bytes());
    assert_eq!(witness.latest(ORIGIN).unwrap(), *log.head().checkpoint());

    let (rewritten, _) = log_of(4);
    fill(&rewritten, 100, 104);
    assert_eq!(send(&witness, &ask(&rewritten, 5)).0, 422, "a longer log with another beginning");
    fill(&log, 5, 8);
    assert_eq!(send(&witness, &ask(&log, 5)).0, 200);
}

#[test]
fn a_clock_that_went_back_is_not_signed_with() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path());
    let (log, _) = log_of(1);
    assert_eq!(send(&witness, &ask(&log, 0)).0, 200);
    let response = witness.add_checkpoint(&ask(&log, 1).to_bytes(), Timestamp::from_unix(999));
    assert_eq!(response.status, 503);
    assert_eq!(witness.add_checkpoint(&ask(&log, 1).to_bytes(), NOW).status, 200);
}

#[test]
fn nothing_leaves_that_is_not_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("witness");
    let witness = open(&inner);
    let (log, _) = log_of(2);
    assert_eq!(send(&witness, &ask(&log, 0)).0, 200);
    fill(&log, 2, 4);
    // The folder is gone, as after a mount was lost: the record can not be written.
    durable::replace(&inner, &folder.path().join("away")).unwrap();
    let (status, body) = send(&witness, &ask(&log, 2));
    assert_eq!(status, 503, "{body}");
    assert!(!body.contains('\u{2014}'), "no signature");
    assert_eq!(witness.latest(ORIGIN).unwrap().size, 2);
    durable::replace(&folder.path().join("away"), &inner).unwrap();
    assert_eq!(send(&witness, &ask(&log, 2)).0, 200);
}

#[test]
fn a_damaged_record_stops_it_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = log_of(3);
    let witness = open(folder.path());
    assert_eq!(send(&witness, &ask(&log, 0)).0, 200);
    let twice = opened(folder.path(), Vec::new()).map(|_| ()).unwrap_err();
    assert_eq!(twice.to_string(), "the folder of the witness is in use");
    drop(witness);
    let path = record_path(folder.path());
    let good = fs::read_to_string(&path).unwrap();
    for bad in ["".to_owned(), good.replace("\n3\n", "\n2\n"), good.lines().take(5).map(|l| format!("{l}\n")).collect()]
    {
        crate::durable::write(&path, bad.as_bytes(), 0o600).unwrap();
        let log = WitnessedLog::new(log_signer().vkey().clone()).unwrap();
        let refused = opened(folder.path(), vec![log]);
        assert!(matches!(refused.map(|_| ()), Err(OpenWitnessError::Record(_))), "{bad}");
    }
    crate::durable::write(&path, good.as_bytes(), 0o600).unwrap();
    assert_eq!(open(folder.path()).latest(ORIGIN).unwrap().size, 3);
    let log_key = Witness::open(folder.path(), log_signer(), Vec::new()).map(|_| ());
    assert!(matches!(log_key, Err(OpenWitnessError::Key)));
}

#[test]
fn a_record_that_is_gone_is_not_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = log_of(3);
    let logs = || vec![WitnessedLog::new(log_signer().vkey().clone()).unwrap()];
    let never = opened(folder.path(), logs()).map(|_| ()).unwrap_err();
    assert!(never.to_string().ends_with("of the logs that this witness has cosigned is not there"), "{never}");
    let witness = open(folder.path());
    drop(witness);
    let witness = open(folder.path());
    assert_eq!(witness.status(), [LogStatus { origin: ORIGIN.to_owned(), latest: None }], "nothing cosigned yet");
    assert_eq!(send(&witness, &ask(&log, 0)).0, 200);
    drop(witness);
    let record = record_path(folder.path());
    durable::replace(&record, &folder.path().join("away")).unwrap();
    let gone = opened(folder.path(), logs()).map(|_| ()).unwrap_err();
    assert!(
        gone.to_string().ends_with(&format!("of the log `{ORIGIN}` is gone, and this witness has cosigned that log")),
        "{gone}"
    );
    opened(folder.path(), Vec::new()).map(|_| ()).unwrap();
    // The list is not begun again either, by whoever makes the folder once more.
    Witness::begin(folder.path()).unwrap();
    assert!(matches!(opened(folder.path(), logs()).map(|_| ()), Err(OpenWitnessError::Gone { .. })));
    durable::replace(&folder.path().join("away"), &record).unwrap();
    assert_eq!(open(folder.path()).latest(ORIGIN).unwrap().size, 3);
}

/// A log with an origin that is no key's name, two trusted keys, extension lines, and lines of strangers.
#[test]
fn any_log_of_the_specification_is_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    Witness::begin(folder.path()).unwrap();
    let origin = "go.sum database tree";
    let signer = |name: &str, number| {
        NoteSigner::new(
            name,
            NoteKeyType::Ed25519,
            std::sync::Arc::new(crate::fixtures::key(crate::keys::Scheme::Ed25519, number)),
        )
        .unwrap()
    };
    let (old, new, stranger) = (signer("sum.old", 31), signer("sum.new", 32), signer("sum.old", 33));
    let named = |s: &NoteSigner| WitnessedLog::named(origin, s.vkey().clone()).unwrap();
    let logs = vec![named(&old), WitnessedLog::new(log_signer().vkey().clone()).unwrap(), named(&new)];
    let witness = opened(folder.path(), logs).unwrap();
    let mut range = CompactRange::new();
    let mut note = |signers: &[&NoteSigner], extension: &str| {
        range.push_entry(b"an entry");
        let text = format!("{}{extension}", Checkpoint::new(origin, range.size(), range.root()));
        let mut note = crate::note::Note::new(text.clone()).unwrap();
        signers.iter().for_each(|s| note.add(s.sign(&text, NOW).unwrap()));
        (text, note.to_string())
    };
    let post = |old: u64, note: &str, proof: &[Digest]| {
        let request = AddCheckpoint::new(old, proof.to_vec(), note.as_bytes().to_vec()).unwrap();
        send(&witness, &request)
    };
    let (text, first) = note(&[&stranger, &new], "an extension line\nand another\n");
    let (status, body) = post(0, &first, &[]);
    assert_eq!(status, 200, "{body}");
    let mut cosigned = crate::note::Note::new(text.clone()).unwrap();
    crate::note::NoteSignature::parse_lines(&body).unwrap().into_iter().for_each(|s| cosigned.add(s));
    assert_eq!(cosigned.cosigned_at(witness.vkey()), Ok(Some(NOW)), "extension lines are cosigned with the rest");
    let kept = String::from_utf8(witness.latest_note(origin).unwrap()).unwrap();
    assert!(kept.starts_with(&text));
    assert!(
        kept.contains("\u{2014} sum.new ") && kept.contains("\u{2014} w.example ") && !kept.contains("sum.old"),
        "{kept}"
    );

    let before = crate::merkle::leaf_hash(b"an entry");
    let (_, by_nobody) = note(&[&stranger], "");
    assert_eq!(post(1, &by_nobody, &[before]).0, 403);
    let (_, both) = note(&[&old, &new], "");
    // From 1 to 3: the sibling of the first leaf, then the third.
    assert_eq!(post(1, &both, &[before, before]).0, 200);
    let spoiled = both.replace("\n3\n", "\n2\n");
    assert_eq!(post(3, &spoiled, &[]).0, 403);
    let (text, _) = note(&[&old], "");
    let mut half = crate::note::Note::new(text.clone()).unwrap();
    half.add(old.sign(&text, NOW).unwrap());
    half.add(new.sign("something else\n", NOW).unwrap());
    assert_eq!(post(3, &half.to_string(), &[]).0, 403, "one trusted key's signature is right and another's is wrong");
    assert_eq!(witness.latest(origin).unwrap().size, 3);
    assert_eq!(witness.latest(ORIGIN), None, "the other log is another log");
    let (log, _) = log_of(2);
    assert_eq!(send(&witness, &ask(&log, 0)).0, 200);
}

/// Many requests at once: whatever was answered with a cosignature is one line of trees, and what is kept is the largest.
#[test]
fn requests_at_once_never_roll_back() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path());
    let (log, _) = log_of(0);
    let mut requests: Vec<(u64, u64, AddCheckpoint)> = Vec::new();
    for n in 0..24_u64 {
        fill(&log, n, n + 1);
        // From the size before, so that it goes on whoever comes first, and from an earlier one.
        for old in [n, n / 3 * 2] {
            requests.push((old, n + 1, ask(&log, old)));
        }
    }
    let cosigned = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for half in 0..4 {
            let (witness, requests, cosigned) = (&witness, &requests, &cosigned);
            scope.spawn(move || {
                for (old, size, request) in requests.iter().skip(half).chain(requests) {
                    if send(witness, request).0 == 200 {
                        cosigned.lock().unwrap().push((*old, *size));
                    }
                }
            });
        }
    });
    let mut steps = cosigned.into_inner().unwrap();
    steps.sort_unstable();
    assert!(steps.len() > 2, "{steps:?}");
    for pair in steps.windows(2) {
        assert!(pair[0].1 <= pair[1].0 || pair[0] == pair[1], "each step begins where the one before ended: {steps:?}");
    }
    let last = steps.last().unwrap().1;
    assert_eq!(witness.latest(ORIGIN).unwrap().size, last);
    drop(witness);
    assert_eq!(open(folder.path()).latest(ORIGIN).unwrap().size, last);
}

fn record_path(folder: &Path) -> PathBuf {
    let mut names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    names.find(|p| p.extension().is_some_and(|e| e == "checkpoint")).unwrap()
}

fn post(witness: &Witness) -> impl FnMut(&[u8]) -> Result<Reply, Infallible> {
    |body| {
        let response = witness.add_checkpoint(body, NOW);
        Ok(Reply { status: response.status, body: response.body })
    }
}

#[test]
fn the_log_asks_learns_the_size_and_keeps_the_cosignature() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path());
    let (log, _) = log_of(3);
    assert_eq!(cosign(&log, witness.vkey(), 0, post(&witness)).unwrap(), (3, NOW));
    fill(&log, 3, 300);
    assert_eq!(cosign(&log, witness.vkey(), 0, post(&witness)).unwrap(), (300, NOW), "from a wrong guess");
    assert_eq!(cosign(&log, witness.vkey(), 300, post(&witness)).unwrap(), (300, NOW), "again");
    let key = crate::follow::WitnessKey { vkey: witness.vkey().clone(), operator: "w".to_owned() };
    let policy = WitnessPolicy::new(vec![key], 1).unwrap();
    assert_eq!(log.cosigned(|c| policy.is_met_by(c)).unwrap().unwrap().size(), 300);
}

#[test]
fn the_log_is_told_when_the_witness_knows_better() {
    let folder = tempfile::tempdir().unwrap();
    let witness = open(folder.path());
    let (log, _) = log_of(10);
    cosign(&log, witness.vkey(), 0, post(&witness)).unwrap();
    let (set_back, _) = log_of(7);
    let error = cosign(&set_back, witness.vkey(), 0, post(&witness)).unwrap_err();
    assert_eq!(error.to_string(), "witness `w.example` has cosigned 10 entries, this log has 7: the log was set back");
    let (rewritten, _) = log_of(4);
    fill(&rewritten, 100, 110);
    let error = cosign(&rewritten, witness.vkey(), 0, post(&witness)).unwrap_err();
    assert_eq!(error.to_string(), "witness `w.example` refuses: the log does not continue what it cosigned before");
}

#[test]
fn answers_that_are_no_answers() {
    let (log, _) = log_of(2);
    let witness = witness_signer("w.example", 9);
    let stranger = witness_signer("s.example", 10);
    let vkey = witness.vkey();
    let answer = |status: u16, body: String| {
        cosign(&log, vkey, 0, |_| Ok::<_, Infallible>(Reply { status, body: body.clone().into_bytes() })).unwrap_err()
    };
    let head = log.head();
    let sign = |signer: &NoteSigner, text: &str| signer.sign(text, NOW).unwrap().to_string();
    assert!(matches!(answer(200, String::new()), CosignError::Cosignature(_, None)));
    assert!(matches!(answer(200, "junk".to_owned()), CosignError::Cosignature(_, Some(_))));
    assert!(matches!(answer(200, sign(&stranger, head.note().text())), CosignError::Cosignature(_, None)));
    assert!(matches!(answer(200, sign(&witness, "another\n")), CosignError::Cosignature(_, Some(_))));
    assert!(
        matches!(answer(500, "oh\u{1b}[2J".to_owned()), CosignError::Refused { status: 500, text, .. } if text == "oh[2J")
    );
    assert!(matches!(answer(409, "1\n".to_owned()), CosignError::Refused { status: 409, .. }), "not for ever");
    assert!(matches!(answer(409, "x\n".to_owned()), CosignError::Refused { status: 409, .. }));
    let unreachable = cosign(&log, vkey, 0, |_| Err::<Reply, _>("down")).unwrap_err();
    assert!(matches!(unreachable, CosignError::Transport(_, "down")));
    assert!(log.cosigned(|_| true).unwrap().is_none());
}

proptest! {
    #[test]
    fn any_request_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "old [0-9]{1,20}\n(\\PC{0,44}\n){0,3}\n\\PC{0,40}\n\n\u{2014} \\PC{0,40}\n") {
        if let Ok(request) = AddCheckpoint::parse(text.as_bytes()) {
            prop_assert_eq!(AddCheckpoint::parse(&request.to_bytes()).unwrap(), request);
        }
        prop_assert!(AddCheckpoint::parse(&bytes).is_err());
    }
}
