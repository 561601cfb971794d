//! Bringing a person into the charter: an entry in the edited file, and the addresses that it commits to beside the log.
//!
//! The addresses are written first: a crash leaves a file of addresses that no charter names, which is of no use to anybody.

use std::{io::Write, path::Path};

use ledger::{
    durable,
    statement::v1::{Kind as Says, Member},
};
use model::{PersonId, RoleName};

use super::file;
use crate::{
    addresses::{self, Addresses},
    fault::{Because as _, Fault, Kind},
    founding::{Identity, of_person, public_key},
    layout::Layout,
    verbs::line,
    view::View,
};

/// Who is brought.
#[derive(Debug, clap::Args)]
pub(super) struct Person {
    /// The edited file
    file: std::path::PathBuf,
    /// The person's pseudonym; the log never forgets, so it never learns a name
    name: PersonId,
    /// A public key: `ssh-ed25519 AAAA…`, or the path of a `.pub` file
    #[arg(long = "public-key", value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// An e-mail address that the person commits under
    #[arg(long = "email", value_name = "ADDRESS", required = true)]
    emails: Vec<String>,
    /// A role
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<RoleName>,
}

/// Adds a member to an edited file, and writes the addresses beside it.
pub(super) fn add(person: &Person, out: &mut dyn Write) -> Result<(), Fault> {
    let Person { file: path, name, keys, emails, roles } = person;
    let mut charter = file::read(path)?;
    if charter.member(name).is_some() {
        return Err(Fault::new(Kind::Refused, format!("`{}` has a member `{name}`", path.display()))
            .hint("edit the entry there; a pseudonym is one person's for ever"));
    }
    if let Some(role) = roles.iter().find(|role| !charter.roles.iter().any(|r| r.name == **role)) {
        let known: Vec<&str> = charter.roles.iter().map(|r| r.name.as_str()).collect();
        return Err(Fault::new(Kind::Usage, format!("the charter has no role `{role}`"))
            .hint(format!("it has {}", known.join(", "))));
    }
    let here = Path::new(".");
    let keys = keys.iter().map(|key| Ok(of_person(&public_key(here, key)?))).collect::<Result<Vec<_>, Fault>>()?;
    let identity = Identity::new(emails)?;
    let is_developer = roles.iter().any(|role| charter.may_say(role, Says::Proposal));
    let (id, roles) = (name.clone(), roles.clone());
    charter.members.push(Member { id, keys, roles, identity: identity.commitment()?, founder: false });
    let text = file::write(&charter)?;

    let beside = path.with_file_name(format!("{name}.identity.json"));
    durable::write_new(&beside, &addresses::text(&[(name.clone(), identity)].into())?, 0o600)
        .because(Kind::Usage, format!("`{}` can not be made", beside.display()))?;
    durable::write(path, text.as_bytes(), 0o644)
        .because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
    line(out, format!("`{}` has {name} now; propose it as any other edit", path.display()))?;
    let whose = if is_developer { "whose commits are refused without it" } else { "for the day that they commit" };
    line(
        out,
        format!(
            "`{}` has the addresses, {whose}: keep it from others, and once the amendment is in force give it to the \
             builder's host, where root says `countersign charter identities {name}.identity.json`",
            beside.display()
        ),
    )
}

/// Takes addresses in on the builder's host, which the charter in force must commit to.
pub(super) fn take_in(view: &View, layout: &Layout, path: &Path, out: &mut dyn Write) -> Result<(), Fault> {
    let bytes = std::fs::read(path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
    let identities = layout.identities();
    let mut all = Addresses::read(&identities).map_err(|fault| fault.hint("run this as root on the builder's host"))?;
    let charter = view.facts().members().charter();
    let who =
        all.add(&bytes, charter).map_err(|fault| fault.context(format!("`{}` is not taken in", path.display())))?;
    all.write(&identities)?;
    let names: Vec<&str> = who.iter().map(PersonId::as_str).collect();
    line(out, format!("the builder knows {} by what they commit under; it starts again to read it", names.join(", ")))?;
    let missing: Vec<String> = all.missing(charter).iter().map(ToString::to_string).collect();
    if !missing.is_empty() {
        line(out, format!("it does not know {}: their files are missing here", missing.join(", ")))?;
    }
    Ok(())
}
