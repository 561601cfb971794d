use std::collections::BTreeSet;

use ledger::{
    dsse::Envelope,
    follow::WitnessPolicy,
    proof::Proof,
    statement::{Statement, v1::Claim},
    store::{SqliteStore, Store as _},
};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::verbs::world::{arguments, printed, ran};

/// A log in a file, and its statements as JSON.
struct Log {
    folder: TempDir,
    charter: String,
    statements: Vec<Statement>,
    texts: Vec<String>,
}

impl Log {
    fn new(statements: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("log.sqlite3")).unwrap();
        let written = sim::history::write(&store, statements, 2, |_| {}).unwrap();
        let entries = store.entries(0, 10_000).unwrap();
        let payloads = entries.iter().map(|e| Envelope::from_entry(&e.bytes).unwrap().payload().to_vec());
        let texts: Vec<String> = payloads.map(|p| String::from_utf8(p).unwrap()).collect();
        let statements = texts.iter().map(|t| Statement::from_bytes(t.as_bytes()).unwrap()).collect();
        Self { folder, charter: written.members.hash().to_string(), statements, texts }
    }

    fn flags(&self) -> Flags {
        Flags { dir: self.folder.path().to_owned(), server: None, format: Format::Json, key: None }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn given<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--charter", &self.charter], more].concat()
    }

    fn ask(&self, name: &str, more: &[&str]) -> Value {
        let args = arguments::<Args>(&self.given(&[&[name], more].concat()));
        serde_json::from_str(&printed(|out| run(&args, &self.flags(), out))).unwrap()
    }

    fn keep(&self) -> String {
        let kept = self.path("kept");
        let args = arguments::<audit::Args>(&self.given(&["--keep", &kept]));
        printed(|out| audit::run(&args, &self.flags(), out));
        kept
    }

    /// Whether a statement, or one that it refers to, holds the text: the slow way, which knows nothing of names.
    fn holds(&self, index: usize, text: &str, depth: usize) -> bool {
        let refers: Vec<u64> = match &self.statements[index].claim {
            Claim::Build(c) => vec![c.change],
            Claim::Evidence(c) => vec![c.change],
            Claim::Proposal(c) => vec![c.change, c.build],
            Claim::Approval(c) => vec![c.proposal],
            Claim::Rejection(c) => vec![c.proposal],
            Claim::Verdict(c) => vec![c.proposal],
            Claim::Milestone(c) => vec![c.proposal],
            Claim::Analysis(c) => vec![c.proposal],
            _ => Vec::new(),
        };
        // What a proposal replaces is its own business, not that of what refers to it.
        let own = match (&self.statements[index].claim, depth) {
            (Claim::Proposal(c), 1..) if c.replaces.is_some_and(|r| text.contains(&r.to_string())) => false,
            // A change does not spell its serial: it is its system and number.
            (Claim::Change(c), _) if *text == format!("\"{}\"", model::Serial::new(c.system.clone(), c.ordinal)) => {
                true
            }
            _ => self.texts[index].contains(text),
        };
        own || refers.iter().any(|r| self.holds(usize::try_from(*r).unwrap(), text, depth + 1))
    }

    fn slowly(&self, text: &str) -> Vec<u64> {
        (0..self.texts.len()).filter(|i| self.holds(*i, text, 0)).map(|i| i as u64).collect()
    }
}

fn indices(answer: &Value) -> Vec<u64> {
    answer["statements"].as_array().unwrap().iter().map(|s| s["index"].as_u64().unwrap()).collect()
}

#[test]
fn every_statement_about_a_name_is_found_with_its_proof() {
    let log = Log::new(260);
    let size = log.texts.len() as u64;
    let mut names: BTreeSet<(String, String)> = BTreeSet::new();
    for statement in &log.statements {
        match &statement.claim {
            Claim::Build(c) => {
                names.insert((c.release.to_string(), format!("\"{}\"", c.release)));
                names.insert((c.serial.to_string(), format!("\"{}\"", c.serial)));
                names.insert((c.images[0].image.to_string(), format!("\"{}\"", c.images[0].image)));
            }
            Claim::Change(c) => {
                let requirement = c.commits[0].requirements[0].to_string();
                names.insert((c.commit.to_string(), format!("\"{}\"", c.commit)));
                names.insert((requirement.clone(), format!("\"{requirement}\"")));
            }
            _ => {}
        }
    }
    let kept = log.keep();
    let mut asked = 0;
    // Two systems alternate, so every seventh is of each, and of each sort.
    for (name, text) in names.iter().step_by(7) {
        let slowly = log.slowly(text);
        let with_index = log.ask(name, &["--keep", &kept]);
        assert_eq!(indices(&with_index), slowly, "{name}");
        assert_eq!(with_index["complete"]["by_kept_audit"].as_u64(), Some(size));
        asked += 1;
    }
    assert!(asked > 5, "{asked}");

    // The same without an index; and every statement comes with what proves it.
    let (name, text) = names.first().unwrap();
    let proofs = log.path("proofs");
    let answer = log.ask(name, &["--proofs", &proofs]);
    assert_eq!(indices(&answer), log.slowly(text));
    assert_eq!((&answer["complete"]["entries"], &answer["complete"]["by_kept_audit"]), (&size.into(), &0.into()));
    assert_eq!(answer["complete"]["witness_operators"], 1);
    let vkey = sim::history::log_signer().unwrap().vkey().clone();
    for index in indices(&answer) {
        let read = |end: &str| std::fs::read(format!("{proofs}/{index}.{end}")).unwrap();
        let proof = Proof::parse(&read("tlog-proof")).unwrap();
        proof.verify(&read("dsse.json"), &vkey, &WitnessPolicy::unwitnessed()).unwrap();
    }
    // A person's list has what the person signed and had a part in.
    let dora = indices(&log.ask("dora", &["--keep", &kept]));
    assert_eq!(dora.len(), log.texts.iter().filter(|t| t.contains("\"dora\"")).count());
    assert_eq!(indices(&log.ask("10.0.0.1:8001", &["--keep", &kept])), log.slowly("\"10.0.0.1:8001\""));
}

#[test]
fn none_is_an_answer_with_the_same_grounds_and_a_kept_index_is_not_believed_beyond_its_digest() {
    let log = Log::new(120);
    let nothing = Digest::of(b"nobody said anything of this").to_string();
    let args = arguments::<Args>(&log.given(&[&nothing]));
    let text = printed(|out| run(&args, &Flags { format: Format::Text, ..log.flags() }, out));
    let size = log.texts.len();
    assert!(text.starts_with(&format!("0 statements about digest {nothing}, key {nothing}, and none is missing:\n")));
    assert!(text.contains(&format!("each of the {size} entries under the root sha256:")), "{text}");
    assert!(text.ends_with("1 witness operator cosigned it; the charter asks for 1\n"), "{text}");

    let kept = log.keep();
    let before = log.ask("ada", &["--keep", &kept]);
    assert_eq!(before["complete"]["by_kept_audit"].as_u64(), Some(size as u64));
    // Somebody leaves one statement out of the index.
    let path = format!("{kept}.index");
    let index = std::fs::read_to_string(&path).unwrap();
    let line = index.lines().find(|l| l.starts_with("person ada\t")).unwrap();
    let shorter = line.rsplit_once(' ').unwrap().0;
    ledger::durable::write(Path::new(&path), index.replace(line, shorter).as_bytes(), 0o600).unwrap();
    let after = log.ask("ada", &["--keep", &kept]);
    assert_eq!(indices(&after), indices(&before));
    assert_eq!(after["complete"]["by_kept_audit"], 0, "it was read again");

    let (_, end) = ran(|out| run(&arguments::<Args>(&log.given(&["17"])), &log.flags(), out));
    assert_eq!(end.unwrap_err().message(), "`17` is an index, not a name");
}

/// The log has grown since the audit that kept the index: what is new is read, and nothing else is read again.
#[test]
fn an_index_that_is_older_than_the_log_is_completed_from_what_is_new() {
    let (before, log) = (Log::new(120), Log::new(260));
    let (old, size) = (before.texts.len(), log.texts.len());
    assert!(old < size && before.texts == log.texts[..old], "the same log, earlier");
    let kept = before.keep();
    for name in ["dora", "ada"] {
        let (then, now) = (indices(&before.ask(name, &["--keep", &kept])), log.ask(name, &["--keep", &kept]));
        assert_eq!(now["complete"]["by_kept_audit"].as_u64(), Some(old as u64));
        assert_eq!(now["complete"]["entries"].as_u64(), Some(size as u64));
        let now = indices(&now);
        assert!(now.starts_with(&then) && now.len() > then.len(), "{name}: {then:?} and then {now:?}");
        assert_eq!(now, indices(&log.ask(name, &[])), "{name}: the same as without an index");
    }
}
