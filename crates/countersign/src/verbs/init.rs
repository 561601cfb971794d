//! `countersign init`: make a charter, collect the founders' signatures, make this host's robot keys.
//!
//! Private keys of people are never read here but to sign once. A crash leaves a draft that `init` can be given again.

mod demo;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use ledger::{
    dsse::Envelope,
    durable,
    keys::{PrivateKey, Scheme, Signer},
    note::{NoteKeyType, VerifierKey},
    statement::{
        FOUNDER_ROLE, PAYLOAD_TYPE, Statement,
        v1::{Charter, Claim, Header, Nonce},
    },
};
use model::{Clock as _, HostName, RobotId};

use crate::{
    charter_file,
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    founding::{Founding, MadeKeys},
    identity::RoleUser,
    layout::Layout,
    settings::Settings,
    verbs::{Flags, file_signer, line},
};

/// Make a charter and collect the founders' signatures
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The founding file: people, robots, systems, environments (`--example` prints one)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sign", "example"])]
    founding: Option<PathBuf>,
    /// Sign the draft in the folder with `--key`
    #[arg(long)]
    sign: bool,
    /// Print a founding file to start from
    #[arg(long)]
    example: bool,
    /// Mark the charter as a demo; without `--founding`, make everybody's keys here and sign for them
    #[arg(long)]
    demo: bool,
    /// With `--demo`: the system
    #[arg(long, default_value = "mysystem")]
    system: model::SystemName,
    /// With `--demo`: the git remote, a URL or a bare repository on this host
    #[arg(long)]
    remote: Option<String>,
    /// With `--demo`: the protected branch
    #[arg(long, default_value = "main")]
    branch: String,
}

/// A founding file with everything in it.
const EXAMPLE: &str = include_str!("init/example.toml");

/// A charter's signature counts as long as the charter: there is nothing that could renew it.
const CHARTER_LIFE_S: u64 = 100 * 366 * 86_400;

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    if args.example {
        return line(out, EXAMPLE.trim_end());
    }
    let layout = common.layout();
    if args.sign {
        let key = common
            .key
            .as_ref()
            .ok_or_else(|| Fault::new(Kind::Usage, "no key to sign with").hint("add `--key FILE`"))?;
        return sign(&layout, &*file_signer(Path::new(key))?, out);
    }
    if let (true, None, Some(remote)) = (args.demo, &args.founding, &args.remote) {
        return demo::make(&layout, &demo::About { system: &args.system, remote, branch: &args.branch }, out);
    }
    let Some(path) = &args.founding else {
        if args.demo {
            return Err(Fault::new(Kind::Usage, "no git remote to build from")
                .hint("add `--remote PATH_OR_URL`, and `--system NAME`"));
        }
        return Err(Fault::new(Kind::Usage, "nothing to make a charter of").hint(
            "`countersign init --example > founding.toml`, fill it in, then `countersign init --founding founding.toml`; \
             or see a whole system at work with `countersign demo`",
        ));
    };
    let text = std::fs::read_to_string(path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    draft(&layout, &Founding::parse(&text)?, folder, args.demo, out)
}

/// Makes the draft, this host's keys and its settings.
pub fn draft(
    layout: &Layout,
    founding: &Founding,
    folder: &Path,
    demo: bool,
    out: &mut dyn Write,
) -> Result<(), Fault> {
    if layout.charter().exists() {
        return Err(Fault::new(Kind::Refused, format!("`{}` has a charter already", layout.root().display()))
            .hint("a charter changes only by amendment; use another `--dir` for another log"));
    }
    let host: HostName = founding
        .hosts
        .keys()
        .next()
        .cloned()
        .ok_or_else(|| Fault::new(Kind::Input, "the founding file names no host"))?;
    std::fs::create_dir_all(layout.root().join("keys"))
        .because(Kind::Unavailable, format!("`{}` can not be made", layout.root().display()))?;
    let keys = MadeKeys {
        log_vkey: VerifierKey::new(&founding.origin, NoteKeyType::Ed25519, own_key(layout, RoleUser::Log)?.key())
            .because(Kind::Input, "the origin can not name a key")?
            .to_string(),
        robots: robot_keys(layout, founding)?,
    };
    let log_vkey = keys.log_vkey.clone();
    let (charter, identities) = founding.charter(folder, &keys, demo)?;
    let can_be_amended = ledger::charter::can_be_amended(&charter, |_| true);
    let duties = gate::duties::check(&charter).because(Kind::Refused, "this charter would be refused")?;
    ledger::reader::keys_of(&charter).because(Kind::Input, "the charter's keys of log and witnesses do not hold up")?;

    let identities =
        serde_json::to_vec_pretty(&identities).because(Kind::Internal, "the identities can not be written")?;
    write(&layout.identities(), &identities, 0o600)?;
    let settings = serde_json::to_vec_pretty(&Settings::of_host(host))
        .because(Kind::Internal, "the settings can not be written")?;
    if !layout.settings().exists() {
        write(&layout.settings(), &settings, 0o644)?;
    }
    let payload = payload(charter)?;
    write(&layout.charter_draft(), &payload, 0o644)?;
    line(out, format!("draft {} of a charter; every founder signs it with", model::Digest::of(&payload)))?;
    line(out, format!("  countersign init --sign --dir {} --key FILE", layout.root().display()))?;
    line(out, format!("the log's verifier key, for its witnesses: {log_vkey}"))?;
    line(out, &duties.promise)?;
    if !can_be_amended {
        line(out, "nobody could amend this charter: a person proposes, and the quorum of others consents")?;
    }
    Ok(())
}

/// Signs the draft as a founder. When the last has signed, the charter is there.
pub fn sign(layout: &Layout, signer: &dyn Signer, out: &mut dyn Write) -> Result<(), Fault> {
    let path = layout.charter_draft();
    let payload = std::fs::read(&path).map_err(|e| {
        Fault::from_error(Kind::Usage, e)
            .context(format!("there is no draft at `{}`", path.display()))
            .hint("make one with `countersign init --founding FILE`")
    })?;
    let members = charter_file::members_of(&payload, None)?;
    let who = members
        .holder(signer.key().id())
        .map_err(|e| Fault::from_error(Kind::Refused, e).hint("sign with a founder's key"))?
        .clone();
    let envelope =
        Envelope::seal(PAYLOAD_TYPE, payload, signer).because(Kind::Unavailable, "the charter can not be signed")?;
    ledger::statement::open(&envelope, &members).because(Kind::Refused, format!("{who} can not sign the charter"))?;
    let partial = layout.root().join("charter.partial.jsonl");
    let mut text = std::fs::read_to_string(&partial).unwrap_or_default();
    let line_of = String::from_utf8(envelope.canonical_bytes()).because(Kind::Internal, "the envelope is not text")?;
    if !text.lines().any(|l| l == line_of) {
        text.push_str(&line_of);
        text.push('\n');
    }
    write(&partial, text.as_bytes(), 0o644)?;
    let signed: std::collections::BTreeSet<_> = text
        .lines()
        .filter_map(|l| Envelope::parse(l.as_bytes()).ok())
        .filter_map(|e| members.holder(e.signer()).ok().cloned())
        .flat_map(|s| s.persons().to_vec())
        .collect();
    let missing: Vec<&str> =
        members.charter().founders().filter(|m| !signed.contains(&m.id)).map(|m| m.id.as_str()).collect();
    line(out, format!("{who} has signed the charter {}", members.hash()))?;
    if missing.is_empty() {
        write(&layout.charter(), text.as_bytes(), 0o644)?;
        line(out, "every founder has signed; `countersign up` starts it")
    } else {
        line(out, format!("still to sign: {}", missing.join(", ")))
    }
}

fn payload(charter: Charter) -> Result<Vec<u8>, Fault> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| Fault::new(Kind::Unavailable, format!("no random bytes: {e}")))?;
    let header = Header {
        charter: None,
        role: FOUNDER_ROLE.parse().because(Kind::Internal, "the founder's role does not parse")?,
        system: None,
        environment: None,
        seen: None,
        nonce: Nonce::from_bytes(nonce),
        expires: SystemClock.now().plus_s(CHARTER_LIFE_S),
        program: None,
    };
    Statement { header, claim: Claim::Charter(Box::new(charter)) }
        .to_bytes()
        .because(Kind::Internal, "the charter can not be written")
}

/// This host's key of a role: the one that is there, or a new one.
fn own_key(layout: &Layout, role: RoleUser) -> Result<Arc<PrivateKey>, Fault> {
    let path = layout.key(role);
    if path.exists() {
        let key = PrivateKey::read(Scheme::Ed25519, &path, &mut || None)
            .because(Kind::Unavailable, format!("the key `{}` can not be used", path.display()))?;
        return Ok(Arc::new(key));
    }
    let key = PrivateKey::generate(Scheme::Ed25519).because(Kind::Unavailable, "no key can be made")?;
    key.write_new(&path, role.name()).because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
    Ok(Arc::new(key))
}

/// The keys of the robots that this host runs.
fn robot_keys(layout: &Layout, founding: &Founding) -> Result<BTreeMap<RobotId, String>, Fault> {
    let mut keys = BTreeMap::new();
    for (id, robot) in founding.robots.iter().filter(|(_, r)| r.key.is_none()) {
        let role = RoleUser::ALL.into_iter().find(|r| r.name() == robot.role.as_str()).ok_or_else(|| {
            Fault::new(
                Kind::Input,
                format!("the robot `{id}` has the role `{}`, which no process here has", robot.role),
            )
            .hint("give its public key (`key = \"ssh-ed25519 …\"`)")
        })?;
        keys.insert(id.clone(), own_key(layout, role)?.key().to_openssh());
    }
    Ok(keys)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Fault> {
    durable::write(path, bytes, mode).because(Kind::Unavailable, format!("`{}` can not be written", path.display()))
}
