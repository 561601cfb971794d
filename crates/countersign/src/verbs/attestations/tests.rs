use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
};

use super::{Args, run};
use crate::{
    fault::Kind,
    identity::RoleUser,
    verbs::world::{World, arguments, printed, ran},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn keep(path: &Path, text: impl AsRef<[u8]>) {
    ledger::durable::write(path, text.as_ref(), 0o644).unwrap();
}

fn named(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<PathBuf> = names.filter(|p| p.to_str().unwrap().ends_with(ending)).collect();
    found.sort();
    found
}

/// What `ssh-keygen` says to a person's signature, as README.txt in the folder tells to ask.
fn ssh_verifies(folder: &Path, signature: &Path, person: &str) -> bool {
    let message = signature.with_extension("");
    Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", "statement.v1@countersign", "-I", person, "-f"])
        .arg(folder.join("allowed_signers"))
        .arg("-s")
        .arg(signature)
        .stdin(std::fs::File::open(message).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// A release of the real log, exported, and read by everything that README.txt names.
#[test]
fn a_release_is_exported_for_tools_that_know_nothing_of_it() {
    let world = World::new();
    let (release, ..) = world.released(1, None, [None, None]);
    let folder = world.path("attestations");
    let words = ["paydesk-000001", "--out", folder.to_str().unwrap()];
    let builder =
        PrivateKey::read(Scheme::Ed25519, &world.common.layout().key(RoleUser::Builder), &mut || None).unwrap();
    let text = printed(|out| run(&arguments::<Args>(&words), &world.common, out));
    let statements = named(&folder, ".dsse.json");
    assert!(text.starts_with(&format!("{} statements in ", statements.len())), "{text}");
    assert!(
        statements.len() >= 10,
        "change, build, two evidence, proposal, two approvals, verdict, milestones: {statements:?}"
    );
    let build = folder.join(format!("{:06}-build-builder.dsse.json", release.build));
    let build = Envelope::from_entry(&std::fs::read(build).unwrap()).unwrap();
    assert_eq!(build.signer(), ledger::keys::Signer::key(&builder).id());
    let lines = std::fs::read_to_string(folder.join("statements.intoto.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), statements.len());

    // One bundle a signer; those of people say in their names that they are not raw Ed25519.
    assert_eq!(named(&folder, ".sigstore.json").len(), statements.len());
    assert_eq!(named(&folder, ".sshsig.sigstore.json").len(), 2);
    let signatures = named(&folder, ".pae.sig");
    for (signature, person) in signatures.iter().zip(["ben", "cem"]) {
        assert!(signature.to_str().unwrap().ends_with(&format!("-approval-{person}.pae.sig")), "{signatures:?}");
        assert!(ssh_verifies(&folder, signature, person));
        assert!(!ssh_verifies(&folder, signature, "ada"));
    }
    std::fs::copy(signatures[0].with_extension(""), signatures[1].with_extension("")).unwrap();
    assert!(!ssh_verifies(&folder, &signatures[1], "cem"), "another person's words");

    // Every proof is checked by the policy file that lies beside it.
    for proof in named(&folder, ".tlog-proof") {
        let entry = proof.with_extension("dsse.json");
        let policy = folder.join("policy.txt");
        let paths = [&proof, &entry, &policy].map(|p| p.to_str().unwrap().to_owned());
        let words = ["check", &paths[0], &paths[1], "--policy", &paths[2]];
        printed(|out| super::super::proof::run(&arguments(&words), &world.common, out));
    }

    let python = root().join("target/tools/others/bin/python");
    assert!(python.exists(), "{} is missing; run `scripts/setup test`", python.display());
    let output = Command::new(python).arg(root().join("examples/others/check.py")).arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let robots = statements.len() - 2;
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{robots} envelopes verified, {robots} refused with a changed byte")), "{said}");
    assert!(said.contains(&format!("{robots} bundles verified")), "{said}");
    assert!(said.contains("summaries: 1 pass all seven steps, 0 are refused"), "{said}");

    let again = ran(|out| run(&arguments::<Args>(&words), &world.common, out)).1.unwrap_err();
    assert_eq!(again.kind(), Kind::Usage, "a folder that is there stays");
    let nothing = arguments::<Args>(&["paydesk-000009", "--out", "elsewhere"]);
    assert_eq!(ran(|out| run(&nothing, &world.common, out)).1.unwrap_err().kind(), Kind::Usage);

    // The provenance that the build names goes along, if it is the one.
    let blob = world.path("images/blobs/sha256").join(model::Digest::of(b"provenance 1").hex());
    keep(&blob, "provenance 1");
    let second = world.path("second");
    let words = ["paydesk-000001", "--out", second.to_str().unwrap()];
    printed(|out| run(&arguments::<Args>(&words), &world.common, out));
    assert_eq!(std::fs::read(&named(&second, ".provenance.dsse.json")[0]).unwrap(), b"provenance 1");
    keep(&blob, "provenance 2");
    let third = world.path("third");
    let words = ["paydesk-000001", "--out", third.to_str().unwrap()];
    assert_eq!(ran(|out| run(&arguments::<Args>(&words), &world.common, out)).1.unwrap_err().kind(), Kind::Untrue);
}
