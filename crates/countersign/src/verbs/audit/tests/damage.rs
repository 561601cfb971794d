//! A log with a past, damaged at random places in every way: the audit names the exact place.

use std::path::PathBuf;

use ledger::{
    checkpoint::Checkpoint,
    dsse::Envelope,
    keys::{PrivateKey, Scheme, Signer},
    merkle::{Edge, leaf_hash},
    note::{Note, NoteSignature},
    reader::keys_of,
    statement::{
        Members, PAYLOAD_TYPE, Statement,
        v1::{Analysis, AnalysisAnswer, Claim, Header, Kind, Ruling, Seen},
    },
    store::{Batch, MemoryStore, Store, StoreError, StoredCheckpoint, StoredEntry},
    sweep::{BUNDLE, Found, Source, StoreSource},
};
use model::{Digest, Timestamp};
use sim::history::{key_of, log_signer, witness_signer, write};

use super::super::{
    evidence::{Pieces, read_kept},
    examine::Examination,
    report::{Finding, Report},
};
use crate::{fault::Fault, progress::Count};

/// Four bundles, of three systems.
const STATEMENTS: u64 = 800;

struct Past {
    store: MemoryStore,
    members: Members,
    entries: Vec<StoredEntry>,
    statements: Vec<Statement>,
}

impl Past {
    fn new() -> Self {
        let store = MemoryStore::new();
        let members = write(&store, STATEMENTS, 3, |_| {}).unwrap().members;
        let entries = store.entries(0, 10_000).unwrap();
        let said = |e: &StoredEntry| Statement::from_bytes(Envelope::from_entry(&e.bytes).unwrap().payload()).unwrap();
        let statements = entries.iter().map(said).collect();
        Self { store, members, entries, statements }
    }

    /// Somewhere behind the first bundle, another place for each name.
    fn place(&self, name: &str) -> usize {
        let drawn = u64::from_be_bytes(*Digest::of(name.as_bytes()).as_bytes().first_chunk().unwrap());
        300 + usize::try_from(drawn).unwrap_or(usize::MAX) % (self.entries.len() - 400)
    }

    /// The first statement of a kind from a place on.
    fn next(&self, kind: Kind, from: usize) -> usize {
        from + self.statements[from..].iter().position(|s| s.claim.kind() == kind).unwrap()
    }

    /// The log up to a place and one more entry, hashed, signed and cosigned: by whoever holds those keys.
    fn forged(&self, at: usize, last: Envelope) -> MemoryStore {
        let mut entries = self.entries[..at].to_vec();
        entries.push(StoredEntry { identity: last.identity(), bytes: last.canonical_bytes() });
        signed(&entries)
    }

    fn resigned(&self, at: usize, who: &str, edit: impl FnOnce(&mut Header, &mut Claim)) -> MemoryStore {
        let mut statement = self.statements[at].clone();
        edit(&mut statement.header, &mut statement.claim);
        let envelope = Envelope::seal(PAYLOAD_TYPE, statement.to_bytes().unwrap(), &key_of(who).unwrap()).unwrap();
        self.forged(at, envelope)
    }

    fn audit(&self, source: &dyn Source) -> Report {
        self.examine(source, None, None).unwrap()
    }

    fn examine(&self, source: &dyn Source, keep: Option<&PathBuf>, every: Option<u64>) -> Result<Report, Fault> {
        let (log, witnesses) = keys_of(self.members.charter()).unwrap();
        let kept = keep.and_then(|path| read_kept(path, &log).unwrap());
        let examined = Examination {
            source,
            members: &self.members,
            log: &log,
            witnesses: &witnesses,
            pieces: &Pieces::default(),
            against: None,
            kept,
            keep: keep.map(|path| (path.as_path(), every.unwrap_or(u64::MAX))),
            evidence: None,
            documents: &|_| None,
            progress: &Count::new("audited", false),
        };
        examined.run().map(|(report, ..)| report)
    }
}

fn signed(entries: &[StoredEntry]) -> MemoryStore {
    let store = MemoryStore::new();
    let mut edge = Edge::new();
    entries.iter().for_each(|e| edge.push(leaf_hash(&e.bytes)));
    let mut note =
        Note::new(Checkpoint::new(sim::history::ORIGIN, edge.size(), edge.compact().root()).to_string()).unwrap();
    note.add(log_signer().unwrap().sign(note.text(), Timestamp::default()).unwrap());
    let batch = Batch {
        entries: entries.to_vec(),
        tiles: edge.take_changed(),
        note: note.to_string().into_bytes(),
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    let witness = witness_signer().unwrap();
    let line = witness.sign(note.text(), Timestamp::from_unix(2_000_000_000)).unwrap();
    store.add_cosignature(edge.size(), witness.vkey().name(), &line.to_string()).unwrap();
    store
}

type Edit<'a, T> = Box<dyn Fn(&mut T) + Sync + 'a>;

/// A copy of which somebody changed what it hands out.
struct Tampered<'a> {
    store: &'a MemoryStore,
    entry: Edit<'a, (u64, Found)>,
    ends: u64,
    fails_from: u64,
    tile: Edit<'a, ((u8, u64), Vec<u8>)>,
    checkpoint: Edit<'a, StoredCheckpoint>,
    cosignature: Edit<'a, (u64, Vec<NoteSignature>)>,
}

impl<'a> Tampered<'a> {
    fn new(store: &'a MemoryStore) -> Self {
        Self {
            store,
            entry: Box::new(|_| {}),
            ends: u64::MAX,
            fails_from: u64::MAX,
            tile: Box::new(|_| {}),
            checkpoint: Box::new(|_| {}),
            cosignature: Box::new(|_| {}),
        }
    }
}

impl Source for Tampered<'_> {
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let mut head = StoreSource(self.store).head()?;
        head.iter_mut().for_each(|c| (self.checkpoint)(c));
        Ok(head)
    }
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<Found>, StoreError> {
        if from >= self.fails_from && self.head()?.is_some_and(|head| from < head.size) {
            return Err(StoreError::Failed("the disk is gone".into()));
        }
        let found = StoreSource(self.store).entries(from, limit)?;
        let numbered = (from..self.ends).zip(found).map(|mut numbered| {
            (self.entry)(&mut numbered);
            numbered.1
        });
        Ok(numbered.collect())
    }
    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let tile = StoreSource(self.store).tile(level, index, width)?;
        Ok(tile.map(|bytes| {
            let mut tile = ((level, index), bytes);
            (self.tile)(&mut tile);
            tile.1
        }))
    }
    fn checkpoints(&self, from_size: u64, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let mut found = StoreSource(self.store).checkpoints(from_size, limit)?;
        found.iter_mut().for_each(|c| (self.checkpoint)(c));
        Ok(found)
    }
    fn cosignatures(&self, size: u64) -> Result<Vec<NoteSignature>, StoreError> {
        let mut found = (size, StoreSource(self.store).cosignatures(size)?);
        (self.cosignature)(&mut found);
        Ok(found.1)
    }
    fn is_local(&self) -> bool {
        true
    }
}

fn first(report: &Report) -> (Option<u64>, Option<u64>, &str) {
    let first = report.findings.first().expect("something is wrong");
    (first.index, first.up_to, &first.what)
}

#[test]
fn whatever_is_changed_in_a_copy_is_named_by_its_place() {
    let past = Past::new();
    let report = past.audit(&StoreSource(&past.store));
    assert_eq!(report.findings, []);
    assert!(report.verdicts > 50 && report.checkpoints > 50 && report.cosignatures > 50, "{report:?}");
    assert_eq!(report.witness_operators, 1);

    let at = past.place("bytes");
    let other = past.entries[at + 1].bytes.clone();
    let mut copy = Tampered::new(&past.store);
    copy.entry = Box::new(|(index, found)| {
        if *index == at as u64 {
            found.bytes.clone_from(&other);
        }
    });
    let report = past.audit(&copy);
    let what = format!("entry {at} was changed: it does not hash to what the signed tree has there");
    assert_eq!(first(&report), (Some(at as u64), None, what.as_str()));

    let at = past.place("a bit");
    let mut copy = Tampered::new(&past.store);
    copy.entry = Box::new(|(index, found)| {
        if *index == at as u64 {
            found.bytes[100] ^= 1;
        }
    });
    assert_eq!(first(&past.audit(&copy)).0, Some(at as u64));
    // Where the stored hashes were changed too, only the bundle is known.
    let bundle = at as u64 / BUNDLE;
    copy.tile = Box::new(move |((level, index), bytes)| {
        if (*level, *index) == (0, bundle) {
            bytes[0] ^= 1;
        }
    });
    let (from, to, _) = first(&past.audit(&copy));
    assert_eq!((from, to), (Some(bundle * BUNDLE), Some(bundle * BUNDLE + BUNDLE - 1)));
    // And where the hashes above were changed, the entries still lead to the signed root.
    let mut copy = Tampered::new(&past.store);
    copy.tile = Box::new(|((level, _), bytes)| {
        if *level == 1 {
            bytes[40] ^= 1;
        }
    });
    let report = past.audit(&copy);
    assert!(first(&report).2.starts_with("the stored hashes at level 1, tile 0 are not those of the entries 0 to "));
    assert_eq!(report.findings.len(), 1);

    let at = past.place("a tile");
    let tile = at as u64 / BUNDLE;
    let mut copy = Tampered::new(&past.store);
    copy.tile = Box::new(move |((level, index), bytes)| {
        if (*level, *index) == (0, tile) {
            bytes[9] ^= 1;
        }
    });
    let report = past.audit(&copy);
    assert_eq!((first(&report).0, report.findings.len()), (Some(tile * BUNDLE), 1));

    let at = past.place("the end");
    let mut copy = Tampered::new(&past.store);
    copy.ends = at as u64;
    assert_eq!(first(&past.audit(&copy)), (Some(at as u64), None, format!("entry {at} is missing").as_str()));
}

#[test]
fn checkpoints_and_cosignatures_that_do_not_fit_name_the_stretch() {
    let past = Past::new();
    let sizes: Vec<u64> = past.store.checkpoints(0, 10_000).unwrap().iter().map(|c| c.size).collect();
    // One that covers more than a tick.
    let at = (sizes.len() / 2..).find(|at| sizes[*at] - sizes[at - 1] > 1).unwrap();
    let (before, size, after) = (sizes[at - 1], sizes[at], sizes[at + 1]);
    let other = past.store.checkpoints(after, 1).unwrap().pop().unwrap().note;
    let mut copy = Tampered::new(&past.store);
    copy.checkpoint = Box::new(|c| {
        if c.size == size {
            c.note.clone_from(&other);
        }
    });
    // Its cosignature is of another text than the note that stands there now, and comes first.
    let (from, to, what) = (Some(before), Some(size - 1), "witness `witness.example` vouches for");
    let report = past.audit(&copy);
    let found = first(&report);
    assert_eq!((found.0, found.1), (from, to));
    assert!(found.2.contains(what), "{}", found.2);
    copy.cosignature = Box::new(|(at, lines)| {
        if *at == size {
            lines.clear();
        }
    });
    let report = past.audit(&copy);
    let found = first(&report);
    assert_eq!((found.0, found.1), (from, to));
    assert!(found.2.contains("a stored checkpoint vouches for"), "{}", found.2);
    copy.checkpoint = Box::new(|c| {
        if c.size == size {
            c.note = b"nothing of the kind".to_vec();
        }
    });
    assert!(first(&past.audit(&copy)).2.starts_with(&format!("the checkpoint for {size} entries is not the log's: ")));
}

#[test]
fn nothing_is_read_by_the_word_of_a_head_that_the_log_did_not_sign() {
    let past = Past::new();
    let mut copy = Tampered::new(&past.store);
    copy.checkpoint = Box::new(|c| {
        c.size = 1 << 50;
        c.note = b"log.example\n1125899906842624\n".to_vec();
    });
    copy.entry = Box::new(|_| panic!("an entry was read"));
    copy.tile = Box::new(|_| panic!("a tile was read"));
    let report = past.audit(&copy);
    assert!(first(&report).2.starts_with("the checkpoint for 1125899906842624 entries is not the log's: "));
    assert_eq!((report.findings.len(), report.statements), (1, 0));
}

#[test]
fn what_a_forger_with_the_keys_of_log_and_witness_appends_is_named() {
    let past = Past::new();
    let expect = |name: &str, at: usize, store: &MemoryStore, what: &str| {
        let report = past.audit(&StoreSource(store));
        let found = first(&report);
        assert_eq!(found.0, Some(at as u64), "{name}: {}", found.2);
        assert!(found.2.contains(what), "{name}: {}", found.2);
    };
    let envelope = |at: usize| Envelope::from_entry(&past.entries[at].bytes).unwrap();

    let at = past.place("signature");
    let true_one = envelope(at);
    let mut signature = true_one.signature().to_vec();
    let last = signature.len() - 20;
    signature[last] ^= 1;
    let bad = Envelope::from_parts(PAYLOAD_TYPE, true_one.payload().to_vec(), true_one.signer(), signature).unwrap();
    expect("signature", at, &past.forged(at, bad), "the signature by ");

    let at = past.next(Kind::Build, past.place("form"));
    let mut payload = envelope(at).payload().to_vec();
    payload.push(b' ');
    let bad = Envelope::seal(PAYLOAD_TYPE, payload, &key_of("builder").unwrap()).unwrap();
    expect("form", at, &past.forged(at, bad), "the build does not fit its form");

    let at = past.next(Kind::Evidence, past.place("stranger"));
    let stranger = PrivateKey::from_seed(Scheme::Ed25519, &[77; 32]).unwrap();
    let bad = Envelope::seal(PAYLOAD_TYPE, envelope(at).payload().to_vec(), &stranger).unwrap();
    expect("stranger", at, &past.forged(at, bad), &format!("the charter lists no key {}", stranger.key().id()));

    let at = past.next(Kind::Evidence, past.place("entitlement"));
    expect(
        "entitlement",
        at,
        &past.resigned(at, "builder", |_, _| {}),
        "robot builder does not hold the role `tester`",
    );
    let at = past.next(Kind::Evidence, past.place("who says what"));
    let store = past.resigned(at, "builder", |header, _| header.role = "builder".parse().unwrap());
    expect("who says what", at, &store, "the role `builder` may not make a statement of kind evidence");

    let at = past.place("order");
    let mut entries = past.entries[..at].to_vec();
    entries.push(past.entries[0].clone());
    let report = past.audit(&Twice { whole: &past, entries });
    assert_eq!(first(&report).0, Some(at as u64));
    assert!(first(&report).2.contains("is not where a charter stands"), "{}", first(&report).2);
    let at = past.place("duplicate");
    let twice = past.next(Kind::Approval, 100);
    let mut entries = past.entries[..at].to_vec();
    entries.push(past.entries[twice].clone());
    let report = past.audit(&Twice { whole: &past, entries });
    assert_eq!(first(&report).0, Some(at as u64));
    assert!(first(&report).2.contains(&format!("is the statement that stands at {twice} already")));

    let at = past.place("seen later");
    let at = past.next(Kind::Build, at);
    let later = Seen { size: at as u64 + 5, root: Digest::of(b"root") };
    let store = past.resigned(at, "builder", |header, _| header.seen = Some(later));
    expect("seen later", at, &store, "which is later than itself");
    let at = past.next(Kind::Build, past.place("seen other"));
    let size = past.statements[at].header.seen.unwrap().size;
    let store = past.resigned(at, "builder", |h, _| h.seen = Some(Seen { size, root: Digest::of(b"root") }));
    let report = past.audit(&StoreSource(&store));
    assert!(first(&report).2.contains(&format!("are not those that its signer had seen when entry {at} was signed")));
    let at = past.next(Kind::Tick, past.place("tick"));
    let store = past.resigned(at, "gate", |_, claim| {
        if let Claim::Tick(tick) = claim {
            tick.checkpoint = tick.checkpoint.lines().take(5).map(|l| format!("{l}\n")).collect();
        }
    });
    expect("tick", at, &store, "carries a checkpoint that the log and its witnesses did not sign");

    let at = past.next(Kind::Verdict, past.place("verdict"));
    let store = past.resigned(at, "gate", |_, claim| {
        if let Claim::Verdict(verdict) = claim {
            verdict.ruling = match verdict.ruling {
                Ruling::Granted { .. } => Ruling::Refused { reasons: Vec::new() },
                Ruling::Refused { .. } => Ruling::Granted { until: verdict.at.plus_s(60) },
            };
        }
    });
    expect("verdict", at, &store, "`, and its statements say `proposal ");
    // One that names statements from long before is computed over those.
    let at = past.next(Kind::Verdict, past.place("an old verdict"));
    let store = past.resigned(at, "gate", |_, claim| {
        if let Claim::Verdict(verdict) = claim {
            verdict.size = 40;
        }
    });
    expect("an old verdict", at, &store, "there is no proposal at log index ");
}

/// A store that holds one statement twice, which stores themselves refuse.
struct Twice<'a> {
    whole: &'a Past,
    entries: Vec<StoredEntry>,
}

impl Twice<'_> {
    fn tree(&self) -> (Edge, Vec<u8>) {
        let mut edge = Edge::new();
        self.entries.iter().for_each(|e| edge.push(leaf_hash(&e.bytes)));
        let text = Checkpoint::new(sim::history::ORIGIN, edge.size(), edge.compact().root()).to_string();
        let mut note = Note::new(text).unwrap();
        note.add(log_signer().unwrap().sign(note.text(), Timestamp::default()).unwrap());
        note.add(witness_signer().unwrap().sign(note.text(), Timestamp::from_unix(2_000_000_000)).unwrap());
        (edge, note.to_string().into_bytes())
    }
}

impl Source for Twice<'_> {
    fn head(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        assert!(self.entries.len() < self.whole.entries.len());
        Ok(Some(StoredCheckpoint { size: self.entries.len() as u64, note: self.tree().1 }))
    }
    fn entries(&self, from: u64, limit: usize) -> Result<Vec<Found>, StoreError> {
        let from = usize::try_from(from).unwrap();
        let found = self.entries.iter().skip(from).take(limit);
        Ok(found.map(|e| Found { bytes: e.bytes.clone(), stored_as: Some(e.identity) }).collect())
    }
    fn tile(&self, level: u8, index: u64, _: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let changed = self.tree().0.take_changed();
        Ok(changed.into_iter().find(|t| (t.level, t.index) == (level, index)).map(|t| t.bytes))
    }
    fn checkpoints(&self, from_size: u64, _: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        Ok(self.head()?.into_iter().filter(|c| c.size >= from_size).collect())
    }
    fn cosignatures(&self, _: u64) -> Result<Vec<NoteSignature>, StoreError> {
        Ok(Vec::new())
    }
    fn is_local(&self) -> bool {
        true
    }
}

#[test]
fn an_audit_that_was_ended_goes_on_and_an_old_one_does_the_new_part_alone() {
    let past = Past::new();
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("kept");
    let (log, _) = keys_of(past.members.charter()).unwrap();
    let whole = past.audit(&StoreSource(&past.store));
    // The disk goes away in the middle, as at a kill: what was kept by then stays.
    let mut copy = Tampered::new(&past.store);
    copy.fails_from = 3 * BUNDLE;
    assert!(past.examine(&copy, Some(&keep), Some(BUNDLE)).is_err());
    let kept = read_kept(&keep, &log).unwrap();
    let before = kept.expect("the first bundle is counted").range.size();
    let report = past.examine(&StoreSource(&past.store), Some(&keep), Some(BUNDLE)).unwrap();
    assert_eq!((report.audited_before, report.findings.len()), (before, 0));
    assert!(before >= BUNDLE && report.verdicts < whole.verdicts, "{before}");

    // The log grows; only what is new is verified, and what is old is compared.
    let grown = past.entries.len() - 100;
    let short = signed(&past.entries[..grown]);
    let (_, kept, _) = {
        let (log, witnesses) = keys_of(past.members.charter()).unwrap();
        Examination {
            source: &StoreSource(&short),
            members: &past.members,
            log: &log,
            witnesses: &witnesses,
            pieces: &Pieces::default(),
            against: None,
            kept: None,
            keep: None,
            evidence: None,
            documents: &|_| None,
            progress: &Count::new("audited", false),
        }
        .run()
        .unwrap()
    };
    super::super::examine::write_kept(&keep, &kept.unwrap()).unwrap();
    let report = past.examine(&StoreSource(&past.store), Some(&keep), None).unwrap();
    assert_eq!((report.audited_before, report.findings.len()), (grown as u64, 0));
    assert!(report.verdicts < 30, "{}", report.verdicts);
    let at = past.place("an old entry");
    let mut copy = Tampered::new(&past.store);
    copy.entry = Box::new(|(index, found)| {
        if *index == at as u64 {
            found.bytes[90] ^= 1;
        }
    });
    let report = past.examine(&copy, Some(&keep), None).unwrap();
    assert_eq!(first(&report).0, Some((at.min(grown)) as u64));

    // Another history under the same key: refused, and both checkpoints are kept beside.
    let mut other = past.entries.clone();
    other.swap(600, 601);
    let forked = signed(&other);
    let report = past.examine(&StoreSource(&forked), Some(&keep), None).unwrap();
    assert!(report.findings.iter().any(|f| f.what.contains("a checkpoint kept elsewhere vouches for")), "{report:?}");
    let evidence = std::fs::read_to_string(report.evidence.first().unwrap()).unwrap();
    let head = String::from_utf8(forked.head().unwrap().unwrap().note).unwrap();
    assert!(evidence.contains(&head) && evidence.contains(&format!("\n{grown}\n")), "{evidence}");
    let fork = ledger::follow::Fork::parse(evidence.as_bytes()).unwrap();
    let shown = fork.judge(&log).unwrap();
    assert!(matches!(shown, ledger::follow::Finding::Rewritten { at, .. } if at == grown as u64), "{shown:?}");
    // Where the evidence has no place, the finding stays.
    let (log, witnesses) = keys_of(past.members.charter()).unwrap();
    let nowhere = folder.path().join("kept/below a file");
    let report = Examination {
        source: &StoreSource(&forked),
        members: &past.members,
        log: &log,
        witnesses: &witnesses,
        pieces: &Pieces::default(),
        against: None,
        kept: read_kept(&keep, &log).unwrap(),
        keep: Some((&keep, u64::MAX)),
        evidence: Some(&nowhere),
        documents: &|_| None,
        progress: &Count::new("audited", false),
    };
    let (report, ..) = report.run().unwrap();
    assert!(report.findings.iter().any(|f| f.what.contains("a checkpoint kept elsewhere vouches for")), "{report:?}");
    assert!(report.remarks.iter().any(|r| r.contains("keep both checkpoints yourself")), "{report:?}");
    // So is one that was set back.
    let back = signed(&past.entries[..grown - 1]);
    let report = past.examine(&StoreSource(&back), Some(&keep), None).unwrap();
    assert!(first(&report).2.contains(&format!("but a checkpoint kept elsewhere vouches for {grown}")), "{report:?}");
    assert_eq!(report.evidence.len(), 1);
}

#[test]
fn what_an_agent_says_to_follow_from_its_counts_is_computed_again() {
    let past = Past::new();
    let whole = past.audit(&StoreSource(&past.store));
    assert!(whole.analyses > 10 && whole.findings.is_empty(), "{} {:?}", whole.analyses, whole.findings);
    let at = past.next(Kind::Analysis, past.place("an answer"));
    let expect = |name: &str, at: usize, store: &MemoryStore, what: &str| {
        let found = past.audit(&StoreSource(store)).findings;
        let is_it = |f: &Finding| f.index == Some(at as u64) && f.what.contains(what);
        assert!(found.iter().any(is_it), "{name}: {found:?}");
    };
    let lie = |edit: fn(&mut Analysis)| {
        past.resigned(at, "agent", |_, claim| {
            let Claim::Analysis(analysis) = claim else { panic!("{claim:?}") };
            edit(analysis);
        })
    };
    expect("an answer", at, &lie(|a| a.answer = AnalysisAnswer::NotYet), "from its ticks follows `promote`");
    expect("an integer", at, &lie(|a| a.ticks[3].counts[0][1] = 40), "from its ticks follows `go back`");
    expect("a statement left out", at, &lie(|a| a.first = 20), "the next one is 0");
    expect("chosen clients", at, &lie(|a| a.salt = Digest::of(b"chosen")), "somebody may have chosen");
}
