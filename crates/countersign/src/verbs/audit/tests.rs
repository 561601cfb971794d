mod damage;

use std::{path::Path, sync::Arc};

use ledger::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    log::{Log, OpenDoor, Submission},
    merkle::{Edge, leaf_hash},
    note::{Note, NoteKeyType, NoteSigner},
    statement::{
        PAYLOAD_TYPE, Statement,
        v1::{Claim, Ruling},
    },
    store::{Batch, SqliteStore, Store},
};
use model::Digest;
use serde_json::Value;

use super::{Args, run};
use crate::{
    fault::{Fault, Kind},
    identity::RoleUser,
    verbs::{
        Flags,
        world::{World, arguments, printed, ran},
    },
};

fn audit(common: &Flags, given: &[&str]) -> (String, Result<(), Fault>) {
    ran(|out| run(&arguments::<Args>(given), &Flags { server: None, ..common.clone() }, out))
}

#[test]
fn a_log_that_is_whole_is_said_to_be() {
    let world = World::new();
    world.released(1, None, [None, None]);
    let size = world.view().facts().size();
    let (text, end) = audit(&world.common, &[]);
    end.unwrap_or_else(|f| panic!("{f}\n{text}"));
    assert!(
        text.ends_with(&format!(
            "audited {size} statements, 1 verdict recomputed, 1 witness operator; nothing is wrong\n"
        )),
        "{text}"
    );
    assert!(
        text.contains("note: \"no one person can\" does not hold: olga administers main; main keeps the keys of "),
        "{text}"
    );
    // The same through a server, by somebody who has only the charter.
    let text = printed(|out| run(&arguments::<Args>(&[]), &world.common, out));
    assert!(text.ends_with("1 verdict recomputed, 1 witness operator; nothing is wrong\n"), "{text}");
    let json = printed(|out| run(&arguments::<Args>(&[]), &World::json(&world.common), out));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["statements"].as_u64(), json["findings"].as_array().map(Vec::len)), (Some(size), Some(0)));
}

/// What somebody does who holds the database, the log's key and one person's: writes the history anew, consistently.
fn rewrite(world: &World, to: &Path, change: impl Fn(u64, Envelope) -> Envelope) {
    let store = SqliteStore::open_read_only(&world.path("log/log.sqlite3")).unwrap();
    let entries = store.entries(0, 256).unwrap();
    std::fs::create_dir_all(to).unwrap();
    let rewritten = SqliteStore::open(&to.join("log.sqlite3")).unwrap();
    let key = PrivateKey::read(Scheme::Ed25519, &world.common.layout().key(RoleUser::Log), &mut || None).unwrap();
    let origin = world.members.charter().log.origin.clone();
    let signer = NoteSigner::new(&origin, NoteKeyType::Ed25519, Arc::new(key)).unwrap();
    let log = Log::open(Arc::new(rewritten), signer, Arc::new(OpenDoor)).unwrap();
    for (index, entry) in entries.iter().enumerate() {
        let envelope = change(index as u64, Envelope::from_entry(&entry.bytes).unwrap());
        log.append(Submission::new(envelope)).unwrap();
    }
}

/// The statement with something else in it, signed by that person's key again.
fn resigned(envelope: &Envelope, key: &PrivateKey, edit: impl Fn(&mut Statement)) -> Envelope {
    let mut statement = Statement::from_bytes(envelope.payload()).unwrap();
    edit(&mut statement);
    Envelope::seal(PAYLOAD_TYPE, statement.to_bytes().unwrap(), key).unwrap()
}

/// The stolen log key alone makes a history in which the signature of the changed statement does not fit, and the
/// statements after it remember another one.
#[test]
fn a_rewritten_statement_is_found_and_named() {
    let world = World::new();
    let (release, ..) = world.released(1, None, [None, None]);
    let forged = world.path("forged");
    let thief = PrivateKey::generate(Scheme::Ed25519).unwrap();
    rewrite(&world, &forged, |index, envelope| {
        if index != release.build {
            return envelope;
        }
        let other = resigned(&envelope, &thief, |s| {
            if let Claim::Build(build) = &mut s.claim {
                build.sbom = Digest::of(b"another");
            }
        });
        // Under the builder's name, as the forger wants it read.
        Envelope::from_parts(PAYLOAD_TYPE, other.payload().to_vec(), envelope.signer(), other.signature().to_vec())
            .unwrap()
    });
    let (text, end) = audit(&world.common, &["--source", forged.to_str().unwrap()]);
    assert_eq!(end.unwrap_err().kind(), Kind::Untrue);
    assert!(
        text.contains(&format!("WRONG entry {} is not a statement of this log: the signature by ", release.build)),
        "{text}"
    );
    assert!(text.contains("WRONG no checkpoint of these entries is cosigned by the quorum of witnesses"), "{text}");
    assert!(text.contains("note: the verdicts were not recomputed"), "{text}");
}

/// With the builder's key as well every signature fits. What others had seen when they signed, the ticks with the
/// witness's cosignatures, a checkpoint kept elsewhere, the witness's own state and another copy each still tell.
#[test]
fn a_history_rewritten_with_every_key_at_hand_is_still_caught() {
    let world = World::new();
    let (release, ..) = world.released(1, None, [None, None]);
    let kept = world.path("kept.checkpoint");
    ledger::durable::write(&kept, &world.log().cosigned().unwrap().unwrap(), 0o600).unwrap();
    let followed = world.path("kept.follower");
    let (text, end) = audit(&world.common, &["--keep", followed.to_str().unwrap()]);
    end.unwrap_or_else(|f| panic!("{f}\n{text}"));
    let builder =
        PrivateKey::read(Scheme::Ed25519, &world.common.layout().key(RoleUser::Builder), &mut || None).unwrap();
    let forged = world.path("forged");
    rewrite(&world, &forged, |index, envelope| {
        if index != release.build {
            return envelope;
        }
        resigned(&envelope, &builder, |s| {
            if let Claim::Build(build) = &mut s.claim {
                build.sbom = Digest::of(b"another");
            }
        })
    });
    let source = forged.to_str().unwrap();
    let (text, end) = audit(&world.common, &["--source", source]);
    let fault = end.unwrap_err();
    assert_eq!(fault.kind(), Kind::Untrue);
    let (from, to) = (release.build, release.build);
    let seen = format!(
        "entries {from} to {to} are not those that its signer had seen when entry {} was signed: history was rewritten",
        to + 1
    );
    assert!(text.contains(&format!("WRONG {seen}\n")), "{text}");

    let last = world.view().facts().size() - 1;
    let by_checkpoint = format!(
        "entries 0 to {last} are not those that a checkpoint kept elsewhere vouches for: history was rewritten"
    );
    for given in
        [["--checkpoint", kept.to_str().unwrap()], ["--witness-state", world.path("witness").to_str().unwrap()]]
    {
        let (text, end) = audit(&world.common, &[&["--source", source][..], &given[..]].concat());
        assert_eq!(end.unwrap_err().kind(), Kind::Untrue);
        assert!(text.contains(&format!("WRONG {by_checkpoint}\n")), "{given:?}: {text}");
    }
    // A follower names the subtree, another copy the statement.
    let (text, _) = audit(&world.common, &["--source", source, "--checkpoint", followed.to_str().unwrap()]);
    assert!(text.contains("are not those that a checkpoint kept elsewhere vouches for"), "{text}");
    let (text, _) = audit(&world.common, &["--source", source, "--against", world.common.dir.to_str().unwrap()]);
    assert!(
        text.contains(&format!("WRONG entry {} is not the one in the other copy: here `build by ", release.build)),
        "{text}"
    );
    // The true log fits all of them.
    let (text, end) = audit(
        &world.common,
        &[
            "--checkpoint",
            kept.to_str().unwrap(),
            "--checkpoint",
            followed.to_str().unwrap(),
            "--witness-state",
            world.path("witness").to_str().unwrap(),
        ],
    );
    end.unwrap_or_else(|f| panic!("{f}\n{text}"));
}

#[test]
fn a_verdict_made_with_the_stolen_gate_key_is_found() {
    let world = World::new();
    let release = world.built(1, None);
    let proposal = world.proposed(&release);
    world.tick();
    let mut verdict = gate::decide(world.view().facts(), proposal).unwrap().verdict;
    verdict.ruling = Ruling::Granted { until: verdict.at.plus_s(3_600) };
    let index = world.say("gate", "gate", Claim::Verdict(Box::new(verdict)), true);
    let begun = world.happened(proposal, ledger::statement::v1::MilestoneKind::Begun);
    let (text, end) = audit(&world.common, &[]);
    assert_eq!(end.unwrap_err().kind(), Kind::Untrue);
    assert!(text.contains(&format!("WRONG the verdict at {index} says `proposal {proposal} granted until ")), "{text}");
    assert!(text.contains(&format!("`, and its statements say `proposal {proposal} refused (")), "{text}");
    assert!(
        text.contains(&format!(
            "WRONG the rollout that began at {begun} had no granted verdict on proposal {proposal}\n"
        )),
        "{text}"
    );
}

#[test]
fn a_log_that_shrank_and_a_foreign_checkpoint_are_told() {
    let world = World::new();
    world.built(1, None);
    let older = world.path("older");
    std::fs::create_dir_all(&older).unwrap();
    rewrite(&world, &older, |_, envelope| envelope);
    world.tick();
    let kept = world.path("kept.checkpoint");
    let head = world.log().head().unwrap();
    ledger::durable::write(&kept, &head, 0o600).unwrap();
    let size = SignedCheckpoint::open(&head, &world.members.charter().log.vkey.parse().unwrap()).unwrap().size();
    let (text, end) =
        audit(&world.common, &["--source", older.to_str().unwrap(), "--checkpoint", kept.to_str().unwrap()]);
    assert_eq!(end.unwrap_err().kind(), Kind::Untrue);
    assert!(
        text.contains(&format!(
            "WRONG the log has {} entries, but a checkpoint kept elsewhere vouches for {size}\n",
            size - 1
        )),
        "{text}"
    );

    let foreign = world.path("foreign.checkpoint");
    ledger::durable::write(&foreign, b"nothing of the kind\n", 0o600).unwrap();
    let (_, end) = audit(&world.common, &["--checkpoint", foreign.to_str().unwrap()]);
    assert_eq!(end.unwrap_err().kind(), Kind::Input);
    let (_, end) = audit(&world.common, &["--source", "/nonexistent/log"]);
    assert_eq!(end.unwrap_err().message(), "there is no log at `/nonexistent/log`");
    let (_, end) = audit(&world.common, &["--charter", &Digest::of(b"another").to_string()]);
    assert_eq!(end.unwrap_err().kind(), Kind::Untrue);
}

/// A copy that the log's key did not sign says nothing about the log, and the audit says that it was not compared.
#[test]
fn a_copy_that_the_log_did_not_sign_is_not_compared_and_takes_nothing_away() {
    let world = World::new();
    world.released(1, None, [None, None]);
    let forged = world.path("forged");
    rewrite(&world, &forged, |_, envelope| envelope);
    let at = forged.join("log.sqlite3");
    let (text, end) = audit(&world.common, &["--against", forged.to_str().unwrap()]);
    end.unwrap_or_else(|f| panic!("{f}\n{text}"));
    assert!(!text.contains("was not compared"), "the same log in another file: {text}");

    // The same entries, and a checkpoint by a key that is not the log's.
    let entries = SqliteStore::open_read_only(&at).unwrap().entries(0, 256).unwrap();
    std::fs::remove_dir_all(&forged).unwrap();
    std::fs::create_dir(&forged).unwrap();
    let thief = Arc::new(PrivateKey::generate(Scheme::Ed25519).unwrap());
    let origin = &world.members.charter().log.origin;
    let signer = NoteSigner::new(origin, NoteKeyType::Ed25519, thief).unwrap();
    let mut edge = Edge::new();
    entries.iter().for_each(|entry| edge.push(leaf_hash(&entry.bytes)));
    let mut note = Note::new(Checkpoint::new(origin, edge.size(), edge.compact().root()).to_string()).unwrap();
    note.add(signer.sign(note.text(), model::Timestamp::default()).unwrap());
    let note = note.to_string().into_bytes();
    let batch = Batch { entries, tiles: edge.take_changed(), note, ..Batch::default() };
    SqliteStore::open(&at).unwrap().commit(&batch).unwrap();
    let (text, end) = audit(&world.common, &["--against", forged.to_str().unwrap()]);
    end.unwrap_or_else(|f| panic!("{f}\n{text}"));
    assert!(text.contains("the other copy is not what the log signed, and was not compared: "), "{text}");
    assert!(text.ends_with("nothing is wrong\n"), "{text}");
    // As the log itself it is refused.
    let (text, end) = audit(&world.common, &["--source", forged.to_str().unwrap()]);
    assert_eq!(end.unwrap_err().kind(), Kind::Untrue, "{text}");
}

/// A verdict that no program here can recompute is not passed over.
#[test]
fn a_verdict_of_an_unknown_version_of_decide_is_named() {
    let world = World::new();
    world.released(1, None, [None, None]);
    let forged = world.path("forged");
    let gate = PrivateKey::read(Scheme::Ed25519, &world.common.layout().key(RoleUser::Gate), &mut || None).unwrap();
    let named = std::cell::Cell::new(None);
    rewrite(&world, &forged, |index, envelope| {
        let statement = Statement::from_bytes(envelope.payload()).unwrap();
        if !matches!(statement.claim, Claim::Verdict(_)) {
            return envelope;
        }
        named.set(Some(index));
        resigned(&envelope, &gate, |statement| {
            if let Claim::Verdict(verdict) = &mut statement.claim {
                verdict.decide = "99".to_owned();
            }
        })
    });
    let index = named.get().unwrap();
    let (text, end) = audit(&world.common, &["--source", forged.to_str().unwrap()]);
    assert_eq!(end.unwrap_err().kind(), Kind::Untrue, "{text}");
    let expected = format!("the verdict at {index} is by version 99 of `decide`, which can not be recomputed");
    assert!(text.contains(&expected), "{text}");
}
