//! The folder of exported statements: what each file is called and what is in it.

use std::path::{Path, PathBuf};

use ledger::{
    dsse::{Envelope, pae},
    durable,
    keys::{NAMESPACE, Scheme, armored},
    log::Receipt,
    proof::Proof,
    sigstore,
    statement::{Members, Signatory, v1},
};
use model::Digest;

use crate::fault::{Because as _, Fault, Kind};

const README: &str = r#"What was said about a release, for tools that know nothing of Countersign.

A statement NAME is a DSSE envelope with an in-toto Statement v1 in it, signed by one key.

NAME.dsse.json            The envelope, byte for byte the entry of the log. securesystemslib (PyPI) reads it, and
                          in-toto-attestation (PyPI) the statement in it.
statements.intoto.jsonl   All of them, one a line (an in-toto bundle).
NAME.tlog-proof           Proof that the entry is in the log, with the witnesses' cosignatures (C2SP tlog-proof).
                          The leaf is NAME.dsse.json.
policy.txt                The log and the witnesses to check it by (C2SP tlog-policy):
                          countersign proof check NAME.tlog-proof NAME.dsse.json --policy policy.txt

Robots sign with raw Ed25519 over the DSSE encoding, as other tools do:

keys/HEX.pem              The key with the id sha256:HEX.
NAME.sigstore.json        A Sigstore bundle v0.3 with one signature and the id of the key as a hint. sigstore-models
                          (PyPI) parses it and cryptography (PyPI) verifies the signature. It has no certificate and no
                          entry of a Sigstore log, so clients that insist on these refuse it: sigstore (PyPI, 4.5.1) says
                          "expected certificate in bundle".

People sign with their SSH keys. The signature in the envelope is an SSHSIG blob over the DSSE encoding; for OpenSSH:

NAME.pae                  What was signed.
NAME.pae.sig              The signature.
allowed_signers           Whose keys are whose:
                          ssh-keygen -Y verify -f allowed_signers -I PERSON -n statement.v1@countersign \
                              -s NAME.pae.sig < NAME.pae
NAME.sshsig.sigstore.json The same as a Sigstore bundle, to be carried along. Verifiers of raw Ed25519 refuse it: its
                          signature is the SSHSIG blob. Use the two files above.

NAME.provenance.dsse.json SLSA provenance of the images, signed by the builder.

examples/others/check.py in Countersign's repository checks all of it but the SSH signatures and the proofs.

These files say who signed what and that it is in the log. Whether a key may say that, and whether something was said
later, only the charter and the whole log tell: `countersign audit`.
"#;

/// A folder that is being filled.
pub(super) struct Files {
    folder: PathBuf,
    written: Vec<String>,
    lines: Vec<u8>,
}

/// What a statement's files begin with: `000017-approval-ben`.
pub(super) fn stem(index: u64, kind: v1::Kind, who: &Signatory) -> String {
    let who = match who {
        Signatory::Person(id) => id.as_str(),
        Signatory::Robot { id, .. } => id.as_str(),
        Signatory::Recovery => "recovery",
    };
    format!("{index:06}-{kind}-{who}")
}

impl Files {
    pub(super) fn new(folder: &Path) -> Result<Self, Fault> {
        for folder in [folder.to_owned(), folder.join("keys")] {
            durable::create_folder(&folder, 0o755)
                .because(Kind::Usage, format!("`{}` can not be made", folder.display()))?;
        }
        Ok(Self { folder: folder.to_owned(), written: Vec::new(), lines: Vec::new() })
    }

    pub(super) fn put(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), Fault> {
        let path = self.folder.join(name);
        durable::write_new(&path, bytes.as_ref(), 0o644)
            .because(Kind::Usage, format!("`{}` can not be written", path.display()))?;
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Robots' keys in PEM, people's for ssh-keygen.
    pub(super) fn keys(&mut self, members: &Members) -> Result<(), Fault> {
        let mut allowed = String::new();
        for (id, who) in members.keys() {
            let key = members.key(id).because(Kind::Input, "a key of the charter does not hold up")?;
            match key.scheme() {
                Scheme::Ed25519 => {
                    let pem = key.to_pem().ok_or_else(|| Fault::new(Kind::Internal, "a robot's key is in hardware"))?;
                    self.put(&format!("keys/{}.pem", id.digest().hex()), pem)?;
                }
                Scheme::SshSig | Scheme::SkSshSig => {
                    allowed.push_str(&format!("{who} namespaces=\"{NAMESPACE}\" {}\n", key.to_openssh()));
                }
            }
        }
        self.put("allowed_signers", allowed)
    }

    pub(super) fn statement(
        &mut self,
        stem: &str,
        envelope: &Envelope,
        receipt: &Receipt,
        members: &Members,
    ) -> Result<(), Fault> {
        let bytes = envelope.canonical_bytes();
        self.lines.extend_from_slice(&bytes);
        self.lines.push(b'\n');
        self.put(&format!("{stem}.dsse.json"), &bytes)?;
        let proof = Proof::of_receipt(receipt).because(Kind::Internal, "the receipt is not a proof")?;
        self.put(&format!("{stem}.tlog-proof"), proof.to_bytes())?;
        let key = members.key(envelope.signer()).because(Kind::Untrue, "an entry is signed by an unknown key")?;
        match key.scheme() {
            Scheme::Ed25519 => self.put(&format!("{stem}.sigstore.json"), sigstore::bundle(envelope)),
            Scheme::SshSig | Scheme::SkSshSig => {
                self.put(&format!("{stem}.sshsig.sigstore.json"), sigstore::bundle(envelope))?;
                self.put(&format!("{stem}.pae"), pae(envelope.payload_type(), envelope.payload()))?;
                self.put(&format!("{stem}.pae.sig"), armored(envelope.signature()))
            }
        }
    }

    /// The provenance that a build names, if this host has it and it is the one.
    pub(super) fn provenance(&mut self, stem: &str, digest: Digest, images: &Path) -> Result<(), Fault> {
        match std::fs::read(images.join("blobs/sha256").join(digest.hex())) {
            Ok(bytes) if Digest::of(&bytes) == digest => self.put(&format!("{stem}.provenance.dsse.json"), bytes),
            Ok(_) => Err(Fault::new(Kind::Untrue, format!("the provenance {digest} was changed"))),
            // Images may be on another host; the build statement has the digest all the same.
            Err(_) => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<Vec<String>, Fault> {
        let lines = std::mem::take(&mut self.lines);
        self.put("statements.intoto.jsonl", lines)?;
        self.put("README.txt", README)?;
        Ok(self.written)
    }
}
