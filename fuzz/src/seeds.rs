//! The bytes that a run starts from: good ones of every kind, made from the code that writes them.
//!
//! A target that is started with `FUZZ_SEEDS=FOLDER` in its environment writes its own there before it reads a corpus;
//! `scripts/fuzz` does that for every run, so seeds are never older than the forms. What fuzzing found on its own is in
//! `corpus/`.

use std::{fs, path::Path};

use ledger::{
    checkpoint::Checkpoint,
    follow::{Follower, WitnessPolicy},
    keys::{Scheme, Signer as _},
    log::ENTRIES_LIMIT,
    merkle::TilePath,
    note::{NoteKeyType, NoteSigner},
    proof::Proof,
    witness::AddCheckpoint,
};

use crate::{
    bundle::form::{Body, Bundle, Entry, Form},
    fixed,
};

/// Every kind of statement, a line each: its name and its bytes.
const STATEMENTS: &str = include_str!("../../crates/ledger/src/statement/payload/golden.txt");
const MANIFESTS: [&str; 2] = [
    include_str!("../../examples/paydesk/countersign.toml"),
    include_str!("../../examples/thirdparty/countersign.toml"),
];

/// Writes the seeds of a target into the folder that the environment names, if it names one.
pub fn write(target: &str) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS") else { return };
    let of_target = all().into_iter().find(|(name, _)| *name == target);
    let (_, seeds) = of_target.expect("every target has seeds");
    for (number, seed) in seeds.iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{number:02}"));
        fs::write(&path, seed).unwrap_or_else(|e| panic!("can not write {}: {e}", path.display()));
    }
}

fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    vec![
        ("bundle", bundles()),
        ("checkpoint", checkpoints()),
        ("envelope", envelopes()),
        ("kept", kept()),
        ("key", keys()),
        ("manifest", MANIFESTS.iter().map(|m| m.as_bytes().to_vec()).chain(releases()).collect()),
        ("note", notes()),
        ("policy", policies()),
        ("proof", proofs()),
        ("statement", statements().iter().map(|s| s.as_bytes().to_vec()).collect()),
        ("submission", submissions()),
        ("tile", tiles()),
        ("witness_request", requests()),
    ]
}

fn statements() -> Vec<&'static str> {
    STATEMENTS.lines().filter_map(|line| line.split_once(": ")).map(|(_, bytes)| bytes).collect()
}

/// Whole and selected, with and without a body; the entries are no statements.
fn bundles() -> Vec<Vec<u8>> {
    let log = fixed::log_of(0..5);
    let entries = log.entries(0, ENTRIES_LIMIT).unwrap_or_default();
    let entry = |index: u64, bytes: &[u8], form| {
        let proof = if form == Form::Selected { log.inclusion_proof(index, 5).unwrap_or_default() } else { Vec::new() };
        Entry { index, proof, bytes: bytes.to_vec() }
    };
    let bundle = |form, bodies| Bundle {
        form,
        charter: model::Digest::of(fixed::ORIGIN.as_bytes()),
        verdict: 4,
        entries: (0..).zip(&entries).map(|(index, bytes)| entry(index, bytes, form)).collect(),
        bodies,
        note: String::from_utf8_lossy(&log.head().to_bytes()).into_owned(),
    };
    let body = Body::of([[7; 32].as_slice(), b"a body"].concat());
    let all = [bundle(Form::Whole, Vec::new()), bundle(Form::Selected, Vec::new()), bundle(Form::Whole, vec![body])];
    all.iter().map(|bundle| bundle.to_text().into_bytes()).collect()
}

fn checkpoints() -> Vec<Vec<u8>> {
    let log = fixed::log_of(0..5);
    let plain = log.head().checkpoint().clone();
    let extended = Checkpoint { extensions: vec!["an extension".to_owned()], ..plain.clone() };
    let texts = [plain.to_string(), extended.to_string()];
    let signed = texts.iter().map(|text| fixed::signed(text).into_bytes());
    signed.chain(texts.iter().map(|text| text.clone().into_bytes())).collect()
}

fn envelopes() -> Vec<Vec<u8>> {
    let own = fixed::statement(1).canonical_bytes();
    let text = String::from_utf8_lossy(&own).into_owned();
    let foreign = r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="},{"keyid":"x","sig":"AA==","cert":"-"}],"more":{}}"#;
    let spaced = text.replace(',', ", ").replace('=', "");
    // For `parts`: an id, a signature and a type with their lengths, and a payload.
    let parts = [&[7; 32][..], &[0, 64], &[9; 64], &[0, 10], b"text/plain", b"payload"].concat();
    vec![own, spaced.into_bytes(), foreign.as_bytes().to_vec(), parts]
}

/// Of a statement alone, and with bodies about a person and a change.
fn submissions() -> Vec<Vec<u8>> {
    let body = |text: &str| ledger::bodies::Body { salt: [7; 32], bytes: text.as_bytes().to_vec() };
    let about = ["person:ada", "change:17"].map(|subject| body("a reason").about(subject.parse().expect("it is one")));
    let envelope = fixed::statement(1);
    let written = [&about[..0], &about[..1], &about[..]];
    written.iter().filter_map(|bodies| crate::submission::form::write(&envelope, bodies).ok()).collect()
}

fn kept() -> Vec<Vec<u8>> {
    [1, 5, 7]
        .iter()
        .filter_map(|size| {
            let log = fixed::log_of(0..*size);
            let mut follower = Follower::new(log.vkey().clone(), WitnessPolicy::unwitnessed());
            let entries = log.entries(0, ENTRIES_LIMIT).ok()?;
            follower.advance(&entries, &log.head().to_bytes(), fixed::NOW).ok()?;
            Some(follower.to_bytes())
        })
        .collect()
}

fn keys() -> Vec<Vec<u8>> {
    let key = fixed::key(Scheme::SshSig, 4);
    let public = key.key().to_openssh();
    let signature = key.sign(b"a statement").unwrap_or_default();
    let folder = fixed::scratch();
    let path = folder.path().join("key");
    let private = key.write_new(&path, "a comment").ok().and_then(|()| fs::read(&path).ok()).unwrap_or_default();
    vec![key.key().wire(), format!("{public} a comment\n").into_bytes(), signature, private]
}

fn notes() -> Vec<Vec<u8>> {
    let text = "a text\nof two lines\n";
    let witness: &NoteSigner = fixed::witness_signer();
    let lines = witness.sign(text, fixed::NOW).map(|line| line.to_string()).unwrap_or_default();
    let both = format!("{}{lines}", fixed::signed(text));
    let keys = [fixed::log_signer(), witness].map(|signer| signer.vkey().to_string().into_bytes());
    let other = fixed::signer("other", NoteKeyType::Ed25519, 9).vkey().to_string().into_bytes();
    vec![
        fixed::signed(text).into_bytes(),
        both.into_bytes(),
        lines.into_bytes(),
        keys[0].clone(),
        keys[1].clone(),
        other,
    ]
}

/// Nothing but numbers is asked for there.
fn choices() -> Vec<Vec<u8>> {
    (0..12_u8)
        .map(|n| (0..200_u8).map(|i| if i == 0 { n % 3 } else { i.wrapping_mul(n.wrapping_add(3)) }).collect())
        .collect()
}

fn proofs() -> Vec<Vec<u8>> {
    let log = fixed::log_of(0..7);
    let mut seeds = choices();
    for index in [0, 3, 6] {
        let receipt = log.receipt(index).ok();
        let proof = receipt.and_then(|receipt| Proof::of_receipt(&receipt).ok());
        seeds.extend(proof.map(|proof| proof.to_bytes()));
    }
    seeds
}

fn policies() -> Vec<Vec<u8>> {
    let (log, witness) = (fixed::log_signer().vkey(), fixed::witness_signer().vkey());
    let two = format!(
        "log {log} https://log.example\nwitness a {witness} https://a.example\nwitness b {witness}\n\
         group g any a b # comment\ngroup h 1 g\nquorum h\n"
    );
    let none = format!("# nobody\nlog {log}\nquorum none\n");
    let network = format!("logs/v0\n\nvkey {log}\norigin other.example\nqpd 86400\ncontact mail\n");
    vec![two.into_bytes(), none.into_bytes(), network.into_bytes(), format!("log {log}\n").into_bytes()]
}

fn tiles() -> Vec<Vec<u8>> {
    let log = fixed::log_of(0..5);
    let resource = |path: TilePath| log.resource(path).ok().flatten().unwrap_or_default();
    let mut seeds = vec![
        resource(TilePath::Hashes { level: 0, index: 0, width: 5 }),
        resource(TilePath::Entries { index: 0, width: 2 }),
    ];
    let paths =
        ["checkpoint", "tile/0/x001/x234/067", "tile/2/000.p/7", "tile/entries/x001/000", "tile/entries/999.p/255"];
    seeds.extend(paths.iter().map(|path| path.as_bytes().to_vec()));
    seeds.extend(choices().into_iter().take(4));
    seeds
}

fn requests() -> Vec<Vec<u8>> {
    let log = fixed::log_of(0..7);
    let note = log.head().to_bytes();
    let mut seeds = choices();
    for old in [0, 3, 7] {
        let proof = log.consistency_proof(old, 7).unwrap_or_default();
        seeds.extend(AddCheckpoint::new(old, proof, note.clone()).map(|request| request.to_bytes()));
    }
    seeds
}

fn releases() -> Vec<Vec<u8>> {
    MANIFESTS
        .iter()
        .filter_map(|text| {
            let parsed = model::manifest::Manifest::parse(text).ok()?;
            let images = parsed.manifest.components.keys().map(|name| (name.clone(), model::Digest::of(b""))).collect();
            let serial = model::Serial::new(parsed.manifest.system.clone(), 1);
            let release = parsed.manifest.compose(serial, "00".repeat(20).parse().ok()?, &images).ok()?;
            release.to_bytes().ok()
        })
        .collect()
}
