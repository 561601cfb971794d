//! `countersign init --demo`: everybody's keys made in one place, to try things out. The charter says so for ever.

use std::{io::Write, path::Path};

use ledger::{
    keys::{PrivateKey, Scheme, Signer as _},
    note::{NoteKeyType, VerifierKey},
};
use model::SystemName;

use super::{draft, sign};
use crate::{
    fault::{Because as _, Fault, Kind},
    founding::Founding,
    layout::Layout,
    verbs::{file_signer, line},
};

/// The people of a demo charter and their roles; those with `true` sign it.
const PEOPLE: [(&str, &str, bool); 6] = [
    ("ada", "developer", false),
    ("ben", "developer", false),
    ("cora", "release-manager", true),
    ("dan", "release-manager", true),
    ("olga", "operator", false),
    ("pim", "operator", false),
];

/// The witness's name and where it listens.
const WITNESS: (&str, &str) = ("witness.countersign.local", "127.0.0.1:7075");

/// What the demo charter is about.
pub(super) struct About<'a> {
    pub(super) system: &'a SystemName,
    pub(super) remote: &'a str,
    pub(super) branch: &'a str,
}

/// Makes everybody's keys, the charter and all signatures.
pub(super) fn make(layout: &Layout, about: &About<'_>, out: &mut dyn Write) -> Result<(), Fault> {
    let people = layout.root().join("people");
    let witness = layout.root().join("witness");
    for folder in [layout.root(), &people, &witness] {
        std::fs::create_dir_all(folder)
            .because(Kind::Unavailable, format!("`{}` can not be made", folder.display()))?;
    }
    let mut members = String::new();
    for (name, role, founder) in PEOPLE {
        let key = make_key(&people.join(name), name, Scheme::SshSig)?;
        members.push_str(&format!(
            "[people.{name}]\nkeys = [\"{}\"]\nemails = [\"{name}@example.org\"]\nroles = [\"{role}\"]\nfounder = {founder}\n",
            key.key().to_openssh()
        ));
    }
    let (name, address) = WITNESS;
    let key = make_key(&witness.join("witness.key"), "witness", Scheme::Ed25519)?;
    let vkey = VerifierKey::new(name, NoteKeyType::Cosignature, key.key())
        .because(Kind::Internal, "the witness has no name")?;
    let text = format!(
        r#"origin = "demo.countersign.local/{system}"
witness_quorum = 1
[[witnesses]]
name = "{name}"
operator = "this-host"
vkey = "{vkey}"
url = "http://{address}"
{members}
[robots]
gate = {{ role = "gate", controllers = ["pim"], host = "main" }}
builder = {{ role = "builder", controllers = ["olga"], host = "main" }}
tester = {{ role = "tester", controllers = ["pim"], host = "main" }}
agent = {{ role = "agent", controllers = ["olga"], host = "main" }}
watch = {{ role = "watch", controllers = ["pim"], host = "main" }}
[hosts.main]
administrators = ["olga"]
[systems.{system}]
remote = {remote:?}
branch = {branch:?}
[[environments]]
name = "production"
quorum = {{ release-manager = 2 }}
resume = {{ release-manager = 2 }}
[amendment]
release-manager = 2
"#,
        system = about.system,
        remote = about.remote,
        branch = about.branch,
    );
    draft(layout, &Founding::parse(&text)?, layout.root(), true, out)?;
    for (person, _, _) in PEOPLE.iter().filter(|(_, _, founder)| *founder) {
        sign(layout, &*file_signer(&people.join(person))?, out)?;
    }
    let dir = layout.root().display();
    line(out, "")?;
    line(
        out,
        format!("everybody's keys are in {}: this charter is marked demo and protects nothing", people.display()),
    )?;
    line(out, "next, in this order:")?;
    line(out, format!("  countersign witness --state {} --dir {dir} &", witness.display()))?;
    line(out, format!("  countersign up --dir {dir} --detach"))?;
    line(
        out,
        format!(
            "  commit as ada@example.org or ben@example.org, signed with {}/ada or ben, and push",
            people.display()
        ),
    )
}

fn make_key(path: &Path, comment: &str, scheme: Scheme) -> Result<PrivateKey, Fault> {
    let key = PrivateKey::generate(scheme).because(Kind::Unavailable, "no key can be made")?;
    key.write_new(path, comment).map_err(|e| {
        Fault::from_error(Kind::Refused, e)
            .context(format!("`{}` can not be written", path.display()))
            .hint("this folder has been used before; take another `--dir`")
    })?;
    let public = format!("{} {comment}\n", key.key().to_openssh());
    ledger::durable::write(&path.with_extension("pub"), public.as_bytes(), 0o644)
        .because(Kind::Unavailable, "a public key can not be written")?;
    Ok(key)
}
