use std::process::{Command, Stdio};

use ledger::keys::{
    AgentError, KeyError, KeyFileError, NAMESPACE, PrivateKey, PublicKey, Scheme, SecurityKeyError, SignError,
    Signer as _, SshAgent, SshSigError, VerifyError, armored, dearmored,
};

use super::*;

const MESSAGE: &[u8] = b"a statement";
const KINDS: [Algorithm; 2] = [Algorithm::SkEd25519, Algorithm::SkEcdsaP256];

fn device(algorithm: Algorithm) -> SecurityKey {
    SecurityKey::new(algorithm, 3, APPLICATION).unwrap()
}

fn public(device: &SecurityKey) -> PublicKey {
    PublicKey::from_wire(Scheme::SkSshSig, &device.wire()).unwrap()
}

/// Whether this machine's `ssh-keygen` takes a blob as this key's.
fn openssh_accepts(key: &PublicKey, blob: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: String| {
        ledger::durable::write(&folder.path().join(name), text.as_bytes(), 0o600).unwrap();
    };
    put("allowed", format!("ada {}\n", key.to_openssh()));
    put("message.sig", armored(blob));
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-f", "allowed", "-I", "ada", "-n", NAMESPACE, "-s", "message.sig"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(MESSAGE).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn what_a_touched_security_key_signs_counts_here_and_for_openssh() {
    for kind in KINDS {
        let device = device(kind);
        let key = public(&device);
        let blob = device.sshsig(NAMESPACE, MESSAGE, &Says::default());
        key.verify(MESSAGE, &blob).unwrap();
        assert!(openssh_accepts(&key, &blob), "{kind}: OpenSSH does not take what the simulated key makes");
        assert!(matches!(key.verify(b"another", &blob), Err(VerifyError::Mismatch(id)) if id == key.id()));
        assert_eq!(PublicKey::of_person(&format!("{} ada@desk", key.to_openssh())).unwrap(), key);
        assert_eq!((key.scheme(), key.algorithm(), key.raw()), (Scheme::SkSshSig, kind, None));
        assert!(key.to_pem().is_none(), "what hardware signs is more than the message");
    }
}

/// Row by row: what is wrong, what we say, and whether OpenSSH takes it, which is asked for each. `ssh-keygen -Y verify` does
/// not ask for a touch (sshd does), and we do.
#[test]
fn what_a_security_key_says_otherwise_is_refused() {
    for kind in KINDS {
        let device = device(kind);
        let key = public(&device);
        let good = || Says::default();
        let refused = |blob: &[u8], openssh: bool| {
            assert_eq!(openssh_accepts(&key, blob), openssh);
            key.verify(MESSAGE, blob).unwrap_err()
        };

        let untouched = device.sshsig(NAMESPACE, MESSAGE, &Says { flags: 0, ..good() });
        assert!(matches!(refused(&untouched, true), VerifyError::SecurityKey(SecurityKeyError::NotTouched)));
        let verified_only = device.sshsig(NAMESPACE, MESSAGE, &Says { flags: 4, ..good() });
        assert!(matches!(refused(&verified_only, true), VerifyError::SecurityKey(SecurityKeyError::NotTouched)));

        let elsewhere =
            device.sshsig(NAMESPACE, MESSAGE, &Says { application: "https://bank.example".into(), ..good() });
        assert!(matches!(refused(&elsewhere, false), VerifyError::Mismatch(_)), "another application");
        let for_git = device.sshsig("git", MESSAGE, &good());
        assert!(
            matches!(refused(&for_git, false), VerifyError::SshSig(SshSigError::Namespace { made, .. }) if made == "git")
        );

        // The flag and the counter are signed, so neither can be put in afterwards.
        let mut touched_later = untouched.clone();
        let flags = touched_later.len() - 5;
        touched_later[flags] = TOUCHED;
        assert!(matches!(refused(&touched_later, false), VerifyError::Mismatch(_)));
        let mut counted_on = device.sshsig(NAMESPACE, MESSAGE, &good());
        *counted_on.last_mut().unwrap() += 1;
        assert!(matches!(refused(&counted_on, false), VerifyError::Mismatch(_)));

        let other = SecurityKey::new(kind, 4, APPLICATION).unwrap();
        let others = other.sshsig(NAMESPACE, MESSAGE, &good());
        assert!(matches!(refused(&others, false), VerifyError::SshSig(SshSigError::OtherKey)));
        let renamed = SecurityKey { application: "ssh:other".into(), ..device.clone() };
        assert!(
            matches!(
                refused(&renamed.sshsig(NAMESPACE, MESSAGE, &good()), false),
                VerifyError::SshSig(SshSigError::OtherKey)
            ),
            "another application is another key"
        );
    }
}

#[test]
fn neither_kind_of_signature_passes_for_the_other() {
    let file = PrivateKey::from_seed(Scheme::SshSig, &[9; 32]).unwrap();
    let plain = file.sign(MESSAGE).unwrap();
    for kind in KINDS {
        let device = device(kind);
        let key = public(&device);
        let hard = device.sshsig(NAMESPACE, MESSAGE, &Says::default());
        assert!(matches!(key.verify(MESSAGE, &plain), Err(VerifyError::SshSig(SshSigError::OtherKey))));
        assert!(matches!(file.key().verify(MESSAGE, &hard), Err(VerifyError::SshSig(SshSigError::OtherKey))));
        // The key in the blob is changed, the signature is not.
        let fields = strings(&[NAMESPACE.as_bytes(), b"", b"sha256", Digest::of(MESSAGE).as_bytes()]);
        let data = [b"SSHSIG".as_slice(), &fields].concat();
        let typed = |raw: &[u8]| strings(&[b"ssh-ed25519", raw]);
        let swapped = wrapped(&key.wire(), NAMESPACE, &typed(&[1; 64]));
        assert!(matches!(key.verify(MESSAGE, &swapped), Err(VerifyError::SshSig(SshSigError::Algorithm { .. }))));
        let swapped = wrapped(&file.key().wire(), NAMESPACE, &device.signature(&data, &Says::default()));
        assert!(matches!(
            file.key().verify(MESSAGE, &swapped),
            Err(VerifyError::SshSig(SshSigError::Algorithm { .. }))
        ));
        // A key has one scheme by its kind, whatever a charter says of it.
        for scheme in [Scheme::Ed25519, Scheme::SshSig] {
            assert!(matches!(PublicKey::from_wire(scheme, &device.wire()), Err(KeyError::OtherScheme { .. })));
            assert!(key.with_scheme(scheme).is_err());
        }
    }
    assert!(matches!(
        PublicKey::from_wire(Scheme::SkSshSig, &file.key().wire()),
        Err(KeyError::OtherScheme { algorithm: Algorithm::Ed25519, .. })
    ));
    // A signature over the plain message by the same private half, without what the device puts around it.
    let device = device(Algorithm::SkEd25519);
    let Inside::Ed25519(inside) = &device.inside else { unreachable!("made so above") };
    let fields = strings(&[NAMESPACE.as_bytes(), b"", b"sha256", Digest::of(MESSAGE).as_bytes()]);
    let raw = inside.sign(&[b"SSHSIG".as_slice(), &fields].concat()).to_bytes();
    let mut forged = strings(&[b"sk-ssh-ed25519@openssh.com", &raw]);
    forged.extend([TOUCHED, 0, 0, 0, 7]);
    let forged = wrapped(&device.wire(), NAMESPACE, &forged);
    assert!(matches!(public(&device).verify(MESSAGE, &forged), Err(VerifyError::Mismatch(_))));
}

#[test]
fn every_changed_byte_of_a_blob_is_refused() {
    for kind in KINDS {
        let device = device(kind);
        let key = public(&device);
        let good = device.sshsig(NAMESPACE, MESSAGE, &Says::default());
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(key.verify(MESSAGE, &changed).is_err(), "{kind}: byte {at}");
            assert!(key.verify(MESSAGE, &good[..at]).is_err(), "{kind}: cut at {at}");
        }
        assert!(key.verify(MESSAGE, &[good, vec![0]].concat()).is_err());
    }
}

#[test]
fn keys_that_are_not_what_they_say_are_refused() {
    for (application, good) in [("ssh:", true), ("ssh:countersign", true), ("", false), ("https://bank.example", false)]
    {
        for kind in KINDS {
            let device = SecurityKey::new(kind, 3, application).unwrap();
            let read = PublicKey::of_person_wire(&device.wire());
            assert_eq!(read.is_ok(), good, "{application}");
            assert!(good || matches!(read, Err(KeyError::Application(_))));
        }
    }
    // The same point written shorter would be a second id of one key.
    let device = device(Algorithm::SkEcdsaP256);
    let Inside::P256(inside) = &device.inside else { unreachable!("made so above") };
    let point = inside.verifying_key().to_sec1_point(true);
    let short = strings(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point.as_bytes(), b"ssh:"]);
    assert!(matches!(PublicKey::of_person_wire(&short), Err(KeyError::Wire(Algorithm::SkEcdsaP256))));
    let none = strings(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", &[4; 65], b"ssh:"]);
    assert!(matches!(PublicKey::of_person_wire(&none), Err(KeyError::Weak(_))), "not on the curve");
    let curve = strings(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp384", &[4; 65], b"ssh:"]);
    assert!(matches!(PublicKey::of_person_wire(&curve), Err(KeyError::Wire(_))));
    let line = public(&device).to_openssh().replace("sk-ecdsa-sha2-nistp256@openssh.com ", "ssh-ed25519 ");
    assert!(matches!(PublicKey::of_person(&line), Err(KeyError::Line(_))), "the word in front says another kind");
}

#[test]
fn an_agent_signs_with_it_for_us_and_for_ssh_keygen() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let device = device(kind);
        let key = public(&device);
        let agent = Agent::start(&socket, device, true).unwrap();
        let client = SshAgent::at(socket.clone());
        assert_eq!(client.keys().unwrap(), [(key.clone(), "a security key".to_owned())]);
        let blob = client.signer(key.id()).unwrap().sign(MESSAGE).unwrap();
        key.verify(MESSAGE, &blob).unwrap();
        assert!(openssh_accepts(&key, &blob));

        // The person's own tool makes the same.
        let line = folder.path().join("k.pub");
        ledger::durable::write(&line, key.to_openssh().as_bytes(), 0o600).unwrap();
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
            .arg(&line)
            .env("SSH_AUTH_SOCK", &socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(MESSAGE).unwrap();
        let made = child.wait_with_output().unwrap();
        assert!(made.status.success());
        key.verify(MESSAGE, &dearmored(&String::from_utf8(made.stdout).unwrap()).unwrap()).unwrap();
        assert_eq!(agent.signed(), 2);
    }
}

#[test]
fn nobody_touches_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let device = device(Algorithm::SkEd25519);
    let key = public(&device);
    let agent = Agent::start(&socket, device, false).unwrap();
    let signer = SshAgent::at(socket).signer(key.id()).unwrap();
    assert!(matches!(signer.sign(MESSAGE), Err(SignError::Agent(AgentError::Refused))));
    assert_eq!(agent.signed(), 0);
}

/// The file that `ssh-keygen -t ed25519-sk` makes holds the public key and a handle: the agent is asked instead.
#[test]
fn the_file_of_a_security_key_is_told_from_a_private_key() {
    for kind in KINDS {
        let key = public(&device(kind));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id_sk");
        let inner = strings(&[b"none", b"none", b""]);
        let bytes = [
            b"openssh-key-v1\0".as_slice(),
            &inner,
            &[0, 0, 0, 1],
            &strings(&[&key.wire(), b"a handle, which we do not read"]),
        ]
        .concat();
        let block = armored(&bytes).replace("SSH SIGNATURE", "OPENSSH PRIVATE KEY");
        ledger::durable::write(&path, block.as_bytes(), 0o600).unwrap();
        let read = PrivateKey::read(Scheme::SshSig, &path, &mut || None).unwrap_err();
        assert!(read.to_string().contains("`ssh-add`"), "{read}");
        assert!(matches!(read, KeyFileError::InHardware { key: read, .. } if *read == key));
    }
}
