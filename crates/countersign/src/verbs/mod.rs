//! The verbs, one file each, and what they share: where to look, who speaks and how to print.

pub mod about;
pub mod acknowledge;
pub mod alarms;
pub mod approve;
pub mod attest;
pub mod attestations;
pub mod audit;
pub mod bundle;
pub mod charter;
pub mod check;
pub mod demo;
pub mod down;
pub mod erase;
pub mod except;
pub mod export;
pub mod halt;
pub mod import;
pub mod init;
pub mod load;
pub mod log;
pub mod proof;
pub mod propose;
pub mod reject;
pub mod release;
pub mod report;
pub mod resume;
pub mod retire;
pub mod rollback;
pub mod ship;
pub mod silence;
pub mod status;
pub mod trace;
pub mod up;
pub mod value;
pub mod verify;
pub mod versions;
pub mod why;
pub mod withdraw;
pub mod witness;

mod compared;
mod deliver;
mod documents;
mod find;
mod follow;
mod people;
pub mod show;
#[cfg(test)]
pub(crate) mod world;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use ledger::keys::{AgentError, KeyFileError, PrivateKey, PublicKey, Scheme, Signer, SshAgent};
use ledger::statement::{MEMBER_ROLE, Members, RECOVERY_ROLE, Signatory, v1::Kind as Says};
use model::RoleName;
use serde::Serialize;

use crate::{
    charter_file,
    fault::{Because as _, Fault, Kind},
    http::Target,
    layout::{DEFAULT_DIR, Layout},
    log_client::LogClient,
    say::Speaker,
    settings::Settings,
    view::View,
};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// The folder of this host's Countersign
    #[arg(long, global = true, default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// Where `front` listens, such as http://127.0.0.1:7070; from the folder's settings if not given
    #[arg(long, global = true)]
    pub server: Option<String>,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// The key to sign with: a private key file; the public half of one in ssh-agent or in a security key; or `agent` for
    /// the only suitable one in ssh-agent
    #[arg(long, global = true)]
    pub key: Option<String>,
}

impl Flags {
    /// The layout of the folder.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.dir)
    }

    /// The address of `front`.
    pub fn front(&self) -> Result<Target, Fault> {
        match &self.server {
            Some(text) => Target::parse(text),
            None => {
                let settings = Settings::read(&self.layout())?;
                Ok(settings.joined()?.unwrap_or(Target::Tcp(settings.front)))
            }
        }
    }

    /// The members of the charter in the folder.
    pub fn members(&self) -> Result<Members, Fault> {
        Ok(charter_file::read(&self.layout(), None)?.members)
    }

    /// The members of the charter in the folder, if they know the signer; otherwise those in force, if the log answers: an
    /// amendment may have brought the signer.
    pub fn members_with_signer(&self) -> Result<Members, Fault> {
        let first = self.members()?;
        let is_known = self.signer(&first).is_ok_and(|signer| first.holder(signer.key().id()).is_ok());
        if is_known {
            return Ok(first);
        }
        Ok(self.view().map_or(first, |view| view.facts().members().clone()))
    }

    /// A view of the log through `front`, up to date.
    pub fn view(&self) -> Result<View, Fault> {
        let mut view = View::new(LogClient::through_front(self.front()?), self.members()?)?;
        view.refresh()?;
        Ok(view)
    }

    /// The person's signer, for a role that may say a kind.
    pub fn speaker(&self, members: &Members, kind: ledger::statement::v1::Kind, life_s: u64) -> Result<Speaker, Fault> {
        let signer = self.signer(members)?;
        let key = signer.key().id();
        let who = members.holder(key).map_err(|e| {
            Fault::from_error(Kind::Refused, e).hint("sign with a key that the charter lists for you (`--key`)")
        })?;
        let role = role_for(members, who, kind)?;
        Ok(Speaker::new(signer, members.hash(), role).living(life_s))
    }

    /// The same in one of the roles that guard a value, where the person holds one that may say it.
    pub fn guardian(
        &self,
        members: &Members,
        rule: &ledger::statement::v1::ValueRule,
        kind: ledger::statement::v1::Kind,
        life_s: u64,
    ) -> Result<Speaker, Fault> {
        let signer = self.signer(members)?;
        let charter = members.charter();
        let mut guards = rule.guardians.groups.iter().map(|group| &group.role);
        let role = match members.holder(signer.key().id()) {
            Ok(Signatory::Person(id)) => guards.find(|role| {
                charter.may_say(role, kind) && charter.member(id).is_some_and(|member| member.roles.contains(role))
            }),
            _ => None,
        };
        match role {
            Some(role) => Ok(Speaker::new(signer, members.hash(), role.clone()).living(life_s)),
            None => self.speaker(members, kind, life_s),
        }
    }

    fn signer(&self, members: &Members) -> Result<Arc<dyn Signer>, Fault> {
        match self.key.as_deref() {
            Some("agent") => agent_signer(members),
            Some(path) => file_signer(Path::new(path)),
            None if std::env::var_os("SSH_AUTH_SOCK").is_some() => agent_signer(members),
            None => Err(Fault::new(Kind::Usage, "no key to sign with")
                .hint("name one with `--key ~/.ssh/id_ed25519`, or start ssh-agent and add yours")),
        }
    }
}

/// What signs with the key in a file: the file itself, or ssh-agent where the file is a public key (as in git's
/// `user.signingKey`) or stands for a key in hardware.
pub fn file_signer(path: &Path) -> Result<Arc<dyn Signer>, Fault> {
    if path.extension().is_some_and(|extension| extension == "pub") {
        let line = std::fs::read_to_string(path)
            .because(Kind::Usage, format!("the public key `{}` can not be read", path.display()))?;
        let key = PublicKey::of_person(&line)
            .because(Kind::Usage, format!("the key `{}` can not be used", path.display()))?;
        return signer_of_agent(&key);
    }
    match PrivateKey::read(Scheme::SshSig, path, &mut ask_passphrase) {
        Ok(key) => Ok(Arc::new(key)),
        Err(KeyFileError::InHardware { key, .. }) => signer_of_agent(&key),
        Err(e) => Err(e).because(Kind::Usage, format!("the key `{}` can not be used", path.display())),
    }
}

fn signer_of_agent(key: &PublicKey) -> Result<Arc<dyn Signer>, Fault> {
    let agent = SshAgent::from_environment().because(Kind::Usage, "the key signs by ssh-agent, and there is none")?;
    let signer = agent.signer(key.id()).map_err(|e| {
        let kind = if matches!(e, AgentError::NoKey(_)) { Kind::Usage } else { Kind::Unavailable };
        Fault::from_error(kind, e).context("ssh-agent does not sign").hint("add the key with `ssh-add`")
    })?;
    Ok(Arc::new(signer))
}

/// Keys with a passphrase are for ssh-agent, which asks for it in its own way and keeps it out of our memory.
fn ask_passphrase() -> Option<zeroize::Zeroizing<String>> {
    None
}

fn agent_signer(members: &Members) -> Result<Arc<dyn Signer>, Fault> {
    let agent = SshAgent::from_environment().because(Kind::Usage, "there is no ssh-agent")?;
    let keys = agent.keys().because(Kind::Unavailable, "ssh-agent does not list its keys")?;
    let mut fitting = keys.iter().map(|(key, _)| key.id()).filter(|id| members.holder(*id).is_ok());
    let id = fitting.next().ok_or_else(|| {
        Fault::new(Kind::Refused, "ssh-agent holds no key that the charter lists")
            .hint("`ssh-add` yours, or name a file with `--key`")
    })?;
    if fitting.next().is_some() {
        return Err(Fault::new(Kind::Usage, "ssh-agent holds several keys that the charter lists")
            .hint("name the public half of the one to use, such as `--key ~/.ssh/id_ed25519_sk.pub`"));
    }
    Ok(Arc::new(agent.signer(id).because(Kind::Unavailable, "ssh-agent does not sign")?))
}

/// The first of a signer's roles that may say a kind.
fn role_for(members: &Members, who: &Signatory, kind: ledger::statement::v1::Kind) -> Result<RoleName, Fault> {
    let charter = members.charter();
    let roles: Vec<&RoleName> = match who {
        Signatory::Person(id) => charter.member(id).into_iter().flat_map(|m| &m.roles).collect(),
        Signatory::Robot { id, .. } => charter.robots.iter().filter(|r| &r.id == id).map(|r| &r.role).collect(),
        Signatory::Recovery => return RECOVERY_ROLE.parse().because(Kind::Internal, "a built-in role does not parse"),
    };
    if let (Says::Cancellation, Signatory::Person(_)) = (kind, who) {
        return MEMBER_ROLE.parse().because(Kind::Internal, "a built-in role does not parse");
    }
    roles.iter().find(|r| charter.may_say(r, kind)).map(|r| (*r).clone()).ok_or_else(|| {
        let may: Vec<&str> = charter.roles.iter().filter(|r| r.says.contains(&kind)).map(|r| r.name.as_str()).collect();
        Fault::new(Kind::Refused, format!("{who} holds no role that may say `{kind}`"))
            .hint(format!("the charter lets {} say it", may.join(", ")))
    })
}

/// Prints one document as JSON.
pub fn print_json<T: Serialize>(out: &mut dyn Write, value: &T) -> Result<(), Fault> {
    serde_json::to_writer_pretty(&mut *out, value).because(Kind::Internal, "the answer is not JSON")?;
    line(out, "")
}

/// Prints one line.
pub fn line(out: &mut dyn Write, words: impl std::fmt::Display) -> Result<(), Fault> {
    writeln!(out, "{words}").because(Kind::Unavailable, "the output is closed")
}
