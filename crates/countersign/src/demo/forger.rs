//! What attackers do, with the keys that they are said to have stolen: a verdict that nobody decided, an image that
//! nobody built, and a log that tells another past.
//!
//! It writes into the folders of a demo only.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme, Signer},
    log::{Log, OpenDoor, Submission},
    note::{NoteKeyType, NoteSigner},
    statement::{
        PAYLOAD_TYPE, Statement,
        v1::{Claim, EvidenceOutcome, Proposal, Ruling, Verdict},
    },
    store::{SqliteStore, Store as _},
};
use model::{Clock as _, Digest, release::Release};

use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    layout::Layout,
    say::{About, Speaker},
    view::View,
};

/// A forged verdict says that it counts this long.
const VERDICT_S: u64 = 86_400;
/// Entries that are read and written at a time.
const PART: usize = 64;

/// Reads a key as root can.
fn stolen(layout: &Layout, role: RoleUser) -> Result<Arc<PrivateKey>, Fault> {
    let path = layout.key(role);
    let key = PrivateKey::read(Scheme::Ed25519, &path, &mut || None);
    Ok(Arc::new(key.because(Kind::Unavailable, format!("`{}` can not be read", path.display()))?))
}

/// Signs, with the gate's own key, a verdict that a release is granted, and has the log take it. Returns its log index.
pub fn verdict(layout: &Layout, view: &View, index: u64, proposal: &Proposal, release: Digest) -> Result<u64, Fault> {
    let role = RoleUser::Gate.name().parse().because(Kind::Internal, "the role's name does not parse")?;
    let speaker = Speaker::new(stolen(layout, RoleUser::Gate)?, view.reader().members().hash(), role);
    let now = SystemClock.now();
    let claim = Verdict {
        environment: proposal.environment.clone(),
        proposal: index,
        release,
        serial: proposal.serial.clone(),
        ruling: Ruling::Granted { until: now.plus_s(VERDICT_S) },
        size: view.facts().size(),
        rests_on: vec![index],
        decide: gate::DECIDE_VERSION.to_owned(),
        policy: Digest::of(view.reader().members().charter().policy.as_bytes()),
        at: now,
        unwitnessed: false,
    };
    let about = About {
        system: Some(proposal.serial.system().clone()),
        environment: Some(proposal.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    Ok(speaker.say(view.log(), Claim::Verdict(Box::new(claim)), about, &[])?.index)
}

/// Puts an image and a release document that names it into the folder of images, as its owner could: the image is that
/// of a component with other settings. Returns the digest of the release.
pub fn slip_in(layout: &Layout, honest: Digest, component: &str) -> Result<Digest, Fault> {
    let blobs = layout.images().join("blobs/sha256");
    let read = |digest: Digest| {
        let path = blobs.join(digest.hex());
        std::fs::read(&path).because(Kind::Unavailable, format!("`{}` can not be read", path.display()))
    };
    let mut release = Release::from_bytes(&read(honest)?).because(Kind::Untrue, "the release does not hold up")?;
    let slot = release.components.iter_mut().find(|c| c.name.as_str() == component);
    let slot = slot.ok_or_else(|| Fault::new(Kind::Internal, format!("the release has no component `{component}`")))?;
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&read(slot.image)?).because(Kind::Input, "the image's manifest is not JSON")?;
    let object =
        manifest.as_object_mut().ok_or_else(|| Fault::new(Kind::Input, "the image's manifest is not an object"))?;
    object.insert("annotations".to_owned(), serde_json::json!({ "org.opencontainers.image.title": "slipped in" }));
    let manifest = serde_json::to_vec(&manifest).because(Kind::Internal, "the image's manifest can not be written")?;
    slot.image = put(&blobs, &manifest)?;
    put(&blobs, &release.to_bytes().because(Kind::Internal, "the release can not be written")?)
}

fn put(blobs: &Path, bytes: &[u8]) -> Result<Digest, Fault> {
    let digest = Digest::of(bytes);
    let path = blobs.join(digest.hex());
    ledger::durable::write(&path, bytes, 0o644)
        .because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
    Ok(digest)
}

/// Rewrites one statement of evidence so that the suite passed, and everything after it so that the log is consistent
/// again: hashes, tiles, a checkpoint with the log's own key. Even the statement's signature is right, as the tester's
/// key is said to be stolen too. The honest log is kept; its file is returned.
pub fn rewrite(layout: &Layout, origin: &str, index: u64) -> Result<PathBuf, Fault> {
    let home = layout.home(RoleUser::Log);
    let honest = home.join("honest");
    std::fs::create_dir_all(&honest).because(Kind::Unavailable, "no folder for the honest log")?;
    carry(&home, &honest)?;
    let forged = home.join("forged");
    std::fs::create_dir_all(&forged).because(Kind::Unavailable, "no folder for the other log")?;
    {
        let from =
            SqliteStore::open_read_only(&honest.join(FILE)).because(Kind::Unavailable, "the log can not be read")?;
        let key: Arc<dyn Signer> = stolen(layout, RoleUser::Log)?;
        let signer =
            NoteSigner::new(origin, NoteKeyType::Ed25519, key).because(Kind::Internal, "the log's key can not sign")?;
        let to = SqliteStore::open(&forged.join(FILE)).because(Kind::Unavailable, "no other log can be made")?;
        let to = Log::open(Arc::new(to), signer, Arc::new(OpenDoor))
            .because(Kind::Unavailable, "no other log can be made")?;
        let mut at = 0;
        loop {
            let part = from.entries(at, PART).because(Kind::Unavailable, "the log can not be read")?;
            if part.is_empty() {
                break;
            }
            let mut batch = Vec::with_capacity(part.len());
            for entry in part {
                let envelope =
                    Envelope::from_entry(&entry.bytes).because(Kind::Untrue, format!("entry {at} is damaged"))?;
                batch.push(Submission::new(if at == index { passed(layout, &envelope)? } else { envelope }));
                at += 1;
            }
            for taken in to.append_all(batch) {
                taken.because(Kind::Unavailable, "the other log takes nothing")?;
            }
        }
    }
    carry(&forged, &home)?;
    Ok(honest.join(FILE))
}

/// Puts the honest log back.
pub fn restore(layout: &Layout, honest: &Path) -> Result<(), Fault> {
    let folder = honest.parent().ok_or_else(|| Fault::new(Kind::Internal, "the honest log is in no folder"))?;
    carry(folder, &layout.home(RoleUser::Log))
}

/// The log's file.
const FILE: &str = "log.sqlite3";

/// Moves a log from one folder to another, with its write-ahead log, in place of what is there, and gives it to the
/// log's user.
fn carry(from: &Path, to: &Path) -> Result<(), Fault> {
    let uid = RoleUser::Log.uid();
    for suffix in ["", "-wal", "-shm"] {
        let (source, target) = (from.join(format!("{FILE}{suffix}")), to.join(format!("{FILE}{suffix}")));
        let words = || format!("`{}` can not be put in place", target.display());
        if target.exists() {
            std::fs::remove_file(&target).because(Kind::Unavailable, words())?;
        }
        if source.exists() {
            #[expect(clippy::disallowed_methods, reason = "an attacker does not care for a crash")]
            std::fs::rename(&source, &target).because(Kind::Unavailable, words())?;
            std::os::unix::fs::chown(&target, Some(uid), Some(uid)).because(Kind::Unavailable, words())?;
        }
    }
    Ok(())
}

/// The same evidence, but everything passed.
fn passed(layout: &Layout, envelope: &Envelope) -> Result<Envelope, Fault> {
    let mut statement =
        Statement::from_bytes(envelope.payload()).because(Kind::Untrue, "the statement can not be read")?;
    let Claim::Evidence(evidence) = &mut statement.claim else {
        return Err(Fault::new(Kind::Internal, "what is to be rewritten is not evidence"));
    };
    evidence.outcome = EvidenceOutcome::Passed;
    evidence.reasons.clear();
    evidence.totals.passed += evidence.totals.failed;
    evidence.totals.failed = 0;
    let payload = statement.to_bytes().because(Kind::Internal, "the statement can not be written")?;
    Envelope::seal(PAYLOAD_TYPE, payload, &*stolen(layout, RoleUser::Tester)?)
        .because(Kind::Internal, "the statement can not be signed")
}
