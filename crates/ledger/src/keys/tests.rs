use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::{durable, fixtures::key};

fn nobody() -> Option<Zeroizing<String>> {
    None
}

fn ssh_keygen(arguments: &[&str], folder: &Path, input: &[u8]) -> (bool, String) {
    let mut child = Command::new("ssh-keygen")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ssh-keygen is part of every system that signs commits");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), text)
}

fn unarmoured(text: &str) -> Vec<u8> {
    dearmored(text).unwrap()
}

/// RFC 8032 section 7.1, test 2.
#[test]
fn raw_signatures_are_rfc_8032() {
    let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let key = PrivateKey::from_seed(Scheme::Ed25519, &seed.try_into().unwrap()).unwrap();
    assert_eq!(
        hex::encode(key.key().raw().unwrap()),
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    );
    let signature = key.sign(&[0x72]).unwrap();
    assert!(hex::encode(&signature).starts_with("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"));
    key.key().verify(&[0x72], &signature).unwrap();
    assert!(matches!(key.key().verify(&[0x73], &signature), Err(VerifyError::Mismatch(_))));
    assert!(matches!(key.key().verify(&[0x72], &signature[1..]), Err(VerifyError::Length(63))));
}

#[test]
fn public_keys_go_round_in_every_form() {
    let public = key(Scheme::SshSig, 1).key().clone();
    assert_eq!(PublicKey::from_wire(Scheme::SshSig, &public.wire()).unwrap(), public);
    assert_eq!(
        PublicKey::from_openssh(Scheme::SshSig, &format!("{} ada@desk\n", public.to_openssh())).unwrap(),
        public
    );
    assert_eq!(public.with_scheme(Scheme::Ed25519).unwrap().id(), public.id(), "one key, one id");
    assert_ne!(public.with_scheme(Scheme::Ed25519).unwrap(), public);
    for scheme in [Scheme::Ed25519, Scheme::SshSig, Scheme::SkSshSig] {
        assert_eq!(scheme.to_string().parse::<Scheme>().unwrap(), scheme);
    }
}

#[test]
fn the_key_id_is_the_fingerprint_that_ssh_keygen_prints() {
    let folder = tempfile::tempdir().unwrap();
    let public = key(Scheme::SshSig, 1).key().clone();
    durable::write(&folder.path().join("k.pub"), public.to_openssh().as_bytes(), 0o600).unwrap();
    let (_, text) = ssh_keygen(&["-l", "-f", "k.pub"], folder.path(), b"");
    let fingerprint = BASE64_STANDARD.encode(public.id().digest().as_bytes());
    assert!(text.contains(&format!("SHA256:{}", fingerprint.trim_end_matches('='))), "{text}");
}

#[test]
fn unusable_public_keys_are_refused_with_the_reason() {
    let refused = |line: &str| PublicKey::from_openssh(Scheme::SshSig, line).unwrap_err().to_string();
    assert_eq!(refused(""), "`` is not a public key line: it starts with `ssh-ed25519` and base64");
    assert_eq!(
        refused("ssh-rsa AAAAB3NzaC1yc2E= x"),
        "`ssh-rsa` keys are not accepted: make one with `ssh-keygen -t ed25519`, or with `-t ed25519-sk` on a security key"
    );
    assert_eq!(
        refused("hello world"),
        "`hello world` is not a public key line: it starts with `ssh-ed25519` and base64"
    );
    let identity = {
        let mut raw = [0; 32];
        raw[0] = 1;
        raw
    };
    assert!(
        matches!(PublicKey::from_raw(Scheme::Ed25519, &identity), Err(KeyError::Weak(_))),
        "a point of small order"
    );
    let mut longer = key(Scheme::SshSig, 1).key().wire();
    longer.push(0);
    assert!(matches!(PublicKey::from_wire(Scheme::SshSig, &longer), Err(KeyError::Wire(_))));
}

#[test]
fn ssh_keygen_accepts_what_we_sign() {
    let folder = tempfile::tempdir().unwrap();
    let key = key(Scheme::SshSig, 7);
    durable::write(&folder.path().join("allowed"), format!("ada {}\n", key.key().to_openssh()).as_bytes(), 0o600)
        .unwrap();
    durable::write(&folder.path().join("message.sig"), armored(&key.sign(b"a statement").unwrap()).as_bytes(), 0o600)
        .unwrap();
    let verify = ["-Y", "verify", "-f", "allowed", "-I", "ada", "-n", NAMESPACE, "-s", "message.sig"];
    let (good, text) = ssh_keygen(&verify, folder.path(), b"a statement");
    assert!(good, "{text}");
    let (good, _) = ssh_keygen(&verify, folder.path(), b"another statement");
    assert!(!good);
}

#[test]
fn we_accept_what_ssh_keygen_signs_and_nothing_that_was_signed_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let (made, text) = ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "k", "-C", "ada"], folder.path(), b"");
    assert!(made, "{text}");
    let line = fs::read_to_string(folder.path().join("k.pub")).unwrap();
    let public = PublicKey::from_openssh(Scheme::SshSig, &line).unwrap();
    let sign = |namespace: &str, hash: &str| {
        let (signed, text) = ssh_keygen(
            &["-q", "-Y", "sign", "-f", "k", "-n", namespace, "-O", &format!("hashalg={hash}")],
            folder.path(),
            b"msg",
        );
        assert!(signed, "{text}");
        unarmoured(&text)
    };
    for hash in ["sha256", "sha512"] {
        let blob = sign(NAMESPACE, hash);
        public.verify(b"msg", &blob).unwrap();
        assert!(matches!(public.verify(b"other", &blob), Err(VerifyError::Mismatch(_))));
        let stranger = key(Scheme::SshSig, 9);
        assert!(matches!(stranger.key().verify(b"msg", &blob), Err(VerifyError::SshSig(SshSigError::OtherKey))));
        assert!(public.with_scheme(Scheme::Ed25519).unwrap().verify(b"msg", &blob).is_err(), "one scheme a key");
    }
    let for_git = sign("git", "sha512");
    assert!(
        matches!(public.verify(b"msg", &for_git), Err(VerifyError::SshSig(SshSigError::Namespace { made, .. })) if made == "git")
    );
    let read = PrivateKey::read(Scheme::SshSig, &folder.path().join("k"), &mut nobody).unwrap();
    assert_eq!(read.key(), &public);
}

#[test]
fn every_changed_byte_of_a_blob_is_refused() {
    let key = key(Scheme::SshSig, 3);
    let blob = key.sign(b"msg").unwrap();
    key.key().verify(b"msg", &blob).unwrap();
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert!(key.key().verify(b"msg", &changed).is_err(), "byte {at}");
        assert!(key.key().verify(b"msg", &blob[..at]).is_err(), "cut at {at}");
    }
    let longer = [blob, vec![0]].concat();
    assert!(key.key().verify(b"msg", &longer).is_err());
}

#[test]
fn key_files_are_written_closed_and_ssh_keygen_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("robot");
    let key = PrivateKey::generate(Scheme::Ed25519).unwrap();
    key.write_new(&path, "builder").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(key.write_new(&path, "builder"), Err(KeyFileError::Write(..))), "never replaced");
    let (read, text) = ssh_keygen(&["-y", "-f", "robot"], folder.path(), b"");
    assert!(read && text.starts_with(&key.key().to_openssh()), "{text}");
    let again = PrivateKey::read(Scheme::Ed25519, &path, &mut nobody).unwrap();
    assert_eq!(again.key(), key.key());
    assert!(
        !format!("{again:?}").contains(&hex::encode(again.key().raw().unwrap())[..8])
            || format!("{again:?}").starts_with("PrivateKey(PublicKey(")
    );
}

#[test]
fn key_files_that_can_not_be_trusted_are_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k");
    let read = |path: &Path| PrivateKey::read(Scheme::SshSig, path, &mut nobody).unwrap_err();
    assert!(matches!(read(&path), KeyFileError::Read(..)));
    key(Scheme::SshSig, 1).write_new(&path, "").unwrap();
    for mode in [0o640, 0o604, 0o660, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let text = read(&path).to_string();
        assert!(text.contains(&format!("mode {mode:04o}")) && text.contains("chmod 600"), "{text}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    PrivateKey::read(Scheme::SshSig, &path, &mut nobody).unwrap();
    let junk = folder.path().join("junk");
    crate::durable::write(
        &junk,
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        0o600,
    )
    .unwrap();
    assert!(matches!(read(&junk), KeyFileError::Format(..)));
    let (made, _) = ssh_keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", "ec"], folder.path(), b"");
    assert!(made);
    assert!(matches!(read(&folder.path().join("ec")), KeyFileError::Kind(_)));
}

#[test]
fn a_passphrase_is_asked_for_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (made, text) =
        ssh_keygen(&["-q", "-t", "ed25519", "-a", "1", "-N", "open sesame", "-f", "k"], folder.path(), b"");
    assert!(made, "{text}");
    let path = folder.path().join("k");
    let read = |phrase: Option<&str>| {
        PrivateKey::read(Scheme::SshSig, &path, &mut || phrase.map(|p| Zeroizing::new(p.to_owned())))
    };
    assert!(matches!(read(None), Err(KeyFileError::NeedsPassphrase(_))));
    assert!(matches!(read(Some("wrong")), Err(KeyFileError::WrongPassphrase(_))));
    let line = fs::read_to_string(folder.path().join("k.pub")).unwrap();
    assert_eq!(read(Some("open sesame")).unwrap().key(), &PublicKey::from_openssh(Scheme::SshSig, &line).unwrap());
}

/// A real agent, ended by its id when the test is over.
struct RealAgent {
    folder: tempfile::TempDir,
    child: std::process::Child,
}

impl RealAgent {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-agent comes with ssh-keygen");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(std::time::Instant::now() < deadline, "ssh-agent does not listen");
            std::thread::yield_now();
        }
        Self { folder, child }
    }

    fn client(&self) -> SshAgent {
        SshAgent::at(self.folder.path().join("agent"))
    }

    fn ssh_add(&self, arguments: &[&str]) {
        let status = Command::new("ssh-add")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SSH_AUTH_SOCK", self.folder.path().join("agent"))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_real_agent_signs_for_us() {
    let agent = RealAgent::start();
    let key = key(Scheme::SshSig, 5);
    assert!(agent.client().keys().unwrap().is_empty());
    assert!(matches!(agent.client().signer(key.key().id()), Err(AgentError::NoKey(_))));
    key.write_new(&agent.folder.path().join("k"), "ada@desk").unwrap();
    let (made, _) = ssh_keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", "ec"], agent.folder.path(), b"");
    assert!(made);
    agent.ssh_add(&["-q", "k", "ec"]);
    let held = agent.client().keys().unwrap();
    assert_eq!(held, [(key.key().clone(), "ada@desk".to_owned())], "only keys that we can use");
    let signer = agent.client().signer(key.key().id()).unwrap();
    let signature = signer.sign(b"a statement").unwrap();
    key.key().verify(b"a statement", &signature).unwrap();
    agent.ssh_add(&["-q", "-D"]);
    assert!(matches!(signer.sign(b"more"), Err(SignError::Agent(AgentError::Refused))));
}

#[test]
fn an_agent_that_is_not_there_or_talks_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = SshAgent::at(folder.path().join("none"));
    assert!(matches!(nowhere.keys(), Err(AgentError::Io(..))));
    for answer in
        [&[0_u8, 0, 0, 0][..], &[0xff; 8], &[0, 0, 0, 1, 99], &[0, 0, 0, 5, 12, 0, 0, 0, 9], &[0, 0, 0, 9, 12]]
    {
        let path = folder.path().join(format!("s{}", answer.len() * 7 + usize::from(answer[3])));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let served = std::thread::spawn({
            let answer = answer.to_vec();
            move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = [0; 5];
                std::io::Read::read_exact(&mut stream, &mut question).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        assert!(matches!(SshAgent::at(path).keys(), Err(AgentError::Protocol)), "{answer:?}");
        served.join().unwrap();
    }
}

proptest! {
    #[test]
    fn parsers_take_anything(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,120}") {
        let key = key(Scheme::SshSig, 1);
        prop_assert!(key.key().verify(b"msg", &bytes).is_err());
        drop(PublicKey::from_wire(Scheme::Ed25519, &bytes));
        drop(PublicKey::from_openssh(Scheme::Ed25519, &text));
        drop(PublicKey::from_openssh(Scheme::Ed25519, &format!("ssh-ed25519 {}", BASE64_STANDARD.encode(&bytes))));
        let with_magic = [b"SSHSIG\0\0\0\x01".to_vec(), bytes].concat();
        prop_assert!(key.key().verify(b"msg", &with_magic).is_err());
    }
}
