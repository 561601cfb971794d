//! `countersign witness`: cosign the checkpoints of logs, as a process in somebody else's hands.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use ledger::{
    keys::{PrivateKey, Scheme, Signer as _},
    note::{NoteKeyType, VerifierKey},
    witness::{LogListError, Witness, WitnessedLog, merge, parse_list},
};

use crate::{
    fault::{Because as _, Fault, Kind},
    processes::witness,
    verbs::{Flags, line},
};

const DEFAULT_NAME: &str = "witness.countersign.local";
/// Beside the key.
const NAME_FILE: &str = "witness.name";

/// Cosign the checkpoints of logs (C2SP tlog-witness)
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The witness's own folder, for its key and what it has cosigned
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Its name, such as witness.example.net, which stays with its key; witness.countersign.local if not given to `--new`
    #[arg(long)]
    name: Option<String>,
    /// Make a key and print its verifier key for the founding file
    #[arg(long)]
    new: bool,
    /// Where to take checkpoints
    #[arg(long, default_value = "127.0.0.1:7075")]
    listen: SocketAddr,
    /// The verifier key of a log to cosign for, and its origin after a space if that is not the key's name; may be given
    /// several times. That of the charter in `--dir` if no log is named
    #[arg(long = "log", value_name = "VKEY [ORIGIN]")]
    logs: Vec<String>,
    /// A file with more logs: lines `log <vkey>`, or a list of the witness network (`logs/v0`)
    #[arg(long = "logs", value_name = "FILE")]
    list: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let path = args.state.join("witness.key");
    if args.new {
        if path.exists() {
            return Err(Fault::new(Kind::Usage, format!("there is a key already: `{}`", path.display()))
                .hint("a witness keeps one key; name another folder for another witness"));
        }
        let name = args.name.as_deref().unwrap_or(DEFAULT_NAME);
        let key = PrivateKey::generate(Scheme::Ed25519).because(Kind::Unavailable, "no key can be made")?;
        let vkey = VerifierKey::new(name, NoteKeyType::Cosignature, key.key())
            .because(Kind::Usage, "the name can not name a key")?;
        // The list of what was cosigned, and the name, are written before the key, so that no key is ever without them.
        Witness::begin(&args.state).because(Kind::Usage, format!("`{}` can not be made", args.state.display()))?;
        let written = ledger::durable::write(&args.state.join(NAME_FILE), format!("{name}\n").as_bytes(), 0o600);
        written.because(Kind::Usage, format!("`{}` can not be written", args.state.display()))?;
        key.write_new(&path, "witness").because(Kind::Usage, format!("`{}` can not be written", path.display()))?;
        return line(out, vkey);
    }
    let name = name(args)?;
    let logs = logs(args, common)?;
    let count = super::show::plural(logs.len(), "log");
    line(out, format!("cosigning for {count} on http://{}", args.listen))?;
    out.flush().because(Kind::Unavailable, "the output is closed")?;
    witness::run(&args.state, &name, args.listen, logs)
}

/// The name that was given to the key when it was made. An Ed25519 cosignature does not commit to the name, so one key
/// under two names would be two cosigners with one voice (tlog-cosignature, "Ed25519 signed message").
fn name(args: &Args) -> Result<String, Fault> {
    let path = args.state.join(NAME_FILE);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        Fault::from_error(Kind::Usage, e)
            .context(format!("`{}` can not be read", path.display()))
            .hint("make a witness with `countersign witness --new`")
    })?;
    let name = text.trim_end();
    match &args.name {
        Some(other) if other != name => {
            Err(Fault::new(Kind::Usage, format!("this witness is called `{name}`, not `{other}`"))
                .hint("a key keeps its name; make another witness in another folder"))
        }
        _ => Ok(name.to_owned()),
    }
}

fn logs(args: &Args, common: &Flags) -> Result<Vec<WitnessedLog>, Fault> {
    let mut logs = Vec::new();
    if let Some(path) = &args.list {
        let shown = format!("`{}`", path.display());
        let bytes = std::fs::read(path).because(Kind::Usage, format!("{shown} can not be read"))?;
        logs = parse_list(&bytes).because(Kind::Input, format!("{shown} is not a list of logs"))?;
    }
    let mut named = args.logs.clone();
    if named.is_empty() && args.list.is_none() {
        let members =
            common.members().map_err(|f| f.hint("add `--log VKEY`: the charter names the log's verifier key"))?;
        named.push(members.charter().log.vkey.clone());
    }
    for text in &named {
        let (vkey, origin) = text.split_once(' ').map_or((text.as_str(), None), |(vkey, origin)| (vkey, Some(origin)));
        let vkey: VerifierKey = vkey.parse().because(Kind::Usage, format!("`{vkey}` is not a verifier key"))?;
        let log: Result<WitnessedLog, LogListError> = match origin {
            Some(origin) => WitnessedLog::named(origin, vkey),
            None => WitnessedLog::new(vkey),
        };
        logs.push(log.because(Kind::Usage, format!("`{text}` is not a log"))?);
    }
    Ok(merge(logs))
}
