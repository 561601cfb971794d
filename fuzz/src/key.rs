//! Public keys, SSH signatures and private key files (OpenSSH's formats).

use std::io::Write as _;

use ledger::keys::{PrivateKey, PublicKey, Scheme, Signer as _};

use crate::{bytes::Choices, fixed};

/// A key has one form on the wire; no signature verifies that the key did not make.
pub fn run(data: &[u8]) {
    for scheme in [Scheme::Ed25519, Scheme::SshSig, Scheme::SkSshSig] {
        if let Ok(key) = PublicKey::from_wire(scheme, data) {
            assert_eq!(key.wire(), data, "a key has one form on the wire");
        }
        if let Ok(text) = std::str::from_utf8(data)
            && let Ok(key) = PublicKey::from_openssh(scheme, text)
        {
            let again = PublicKey::from_openssh(scheme, &key.to_openssh()).expect("what is printed can be read");
            assert_eq!((again.id(), again.raw()), (key.id(), key.raw()));
        }
    }
    signature(data);
    if data.starts_with(b"-----") {
        private(data);
    }
}

/// The bytes as a signature over a message, and a good signature changed by them.
fn signature(data: &[u8]) {
    const MESSAGE: &[u8] = b"a statement";
    for scheme in [Scheme::Ed25519, Scheme::SshSig] {
        let key = fixed::key(scheme, 4);
        let good = key.sign(MESSAGE).expect("the key is here");
        assert!(key.key().verify(MESSAGE, &good).is_ok());
        // SSHSIG knows two hashes, so one key has two signatures over one message: those and no others. The second is a
        // seed; it verifies as it is and not otherwise changed, for it is the fixed point of signing again.
        if key.key().verify(MESSAGE, data).is_ok() && data != good {
            assert_eq!(scheme, Scheme::SshSig, "one signature a message");
            assert!(data.windows(6).any(|w| w == b"sha256"), "the other hash");
        }
        let mut choices = Choices::new(data);
        let mut changed = good.clone();
        for _ in 0..1 + choices.byte() % 4 {
            let place = usize::from(choices.byte()) % changed.len();
            changed[place] ^= choices.byte();
        }
        if changed != good {
            assert!(key.key().verify(MESSAGE, &changed).is_err(), "a changed signature does not verify");
        }
        assert!(fixed::public(scheme, 5).verify(MESSAGE, &good).is_err(), "nor with another key");
    }
}

fn private(data: &[u8]) {
    // Made with mode 0600, without which it would be refused unread.
    let mut file = tempfile::NamedTempFile::new().expect("there is room for temporary files");
    file.write_all(data).expect("there is room for temporary files");
    // Nobody is asked for a passphrase: deriving a key from one takes as long as the file says.
    if let Ok(key) = PrivateKey::read(Scheme::Ed25519, file.path(), &mut || None) {
        let signature = key.sign(data).expect("the key is here");
        assert!(key.key().verify(data, &signature).is_ok(), "the halves belong together");
    }
}
