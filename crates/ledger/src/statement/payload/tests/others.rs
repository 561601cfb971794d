//! Statements of every kind as other people's tools see them: Python's `securesystemslib`, `in-toto-attestation` and
//! `sigstore-models` (examples/others/check.py), and OpenSSH's `ssh-keygen`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::super::samples::{all, verdict};
use crate::{
    dsse::{Envelope, pae},
    fixtures::{PAYLOAD_TYPE, key},
    keys::{NAMESPACE, PublicKey, Scheme, Signer as _, armored},
    sigstore,
    statement::v1::Ruling,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Runs the checking script over a folder; what it printed, and whether it was content.
fn check(folder: &Path) -> (bool, String) {
    let python = root().join("target/tools/others/bin/python");
    assert!(python.exists(), "{} is missing; run `scripts/setup test`", python.display());
    let output = Command::new(python).arg(root().join("examples/others/check.py")).arg(folder).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    crate::durable::write(path, text.as_ref(), 0o644).unwrap();
}

fn write_key(folder: &Path, key: &PublicKey) {
    let keys = folder.join("keys");
    crate::durable::create_folder(&keys, 0o755).unwrap();
    write(&keys.join(format!("{}.pem", key.id().digest().hex())), key.to_pem().unwrap());
}

#[test]
fn python_libraries_accept_what_robots_sign_and_refuse_what_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let robot = key(Scheme::Ed25519, 1);
    write_key(folder.path(), robot.key());
    let samples = all();
    for (name, statement) in &samples {
        let envelope = Envelope::seal(PAYLOAD_TYPE, statement.to_bytes().unwrap(), &robot).unwrap();
        let name = name.replace(' ', "-");
        write(&folder.path().join(format!("{name}.dsse.json")), envelope.canonical_bytes());
        write(&folder.path().join(format!("{name}.sigstore.json")), sigstore::bundle(&envelope));
    }
    let (content, text) = check(folder.path());
    let count = samples.len();
    assert!(content, "{text}");
    assert!(
        text.contains(&format!("securesystemslib: {count} envelopes verified, {count} refused with a changed byte")),
        "{text}"
    );
    assert!(text.contains(&format!("in-toto-attestation: {count} statements")), "{text}");
    assert!(text.contains(&format!("sigstore-models, cryptography: {count} bundles verified")), "{text}");
    assert!(text.contains("SLSA verification summaries: 1 pass all seven steps, 1 are refused"), "{text}");

    // The script can say no: another key under the same id, and a bundle that is not its envelope's.
    write(
        &folder.path().join("keys").join(format!("{}.pem", robot.key().id().digest().hex())),
        key(Scheme::Ed25519, 2).key().to_pem().unwrap(),
    );
    let (content, text) = check(folder.path());
    assert!(!content && text.contains("not verified"), "{text}");
}

#[test]
fn openssh_accepts_what_people_sign_and_refuses_what_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let person = key(Scheme::SshSig, 7);
    let allowed = folder.path().join("allowed_signers");
    write(&allowed, format!("ben namespaces=\"{NAMESPACE}\" {}\n", person.key().to_openssh()));
    let statement = verdict(Ruling::Refused { reasons: Vec::new() });
    let envelope = Envelope::seal(PAYLOAD_TYPE, statement.to_bytes().unwrap(), &person).unwrap();
    let signature = folder.path().join("statement.pae.sig");
    write(&signature, armored(envelope.signature()));
    let verify = |message: &[u8], namespace: &str| {
        let path = folder.path().join("statement.pae");
        write(&path, message);
        let status = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "ben", "-n", namespace, "-f"])
            .arg(&allowed)
            .arg("-s")
            .arg(&signature)
            .stdin(fs::File::open(&path).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    };
    let mut message = pae(PAYLOAD_TYPE, envelope.payload());
    assert!(verify(&message, NAMESPACE));
    assert!(!verify(&message, "git"), "a signature for statements is none for git");
    message[60] ^= 1;
    assert!(!verify(&message, NAMESPACE));
}
