//! `countersign witness`: cosign the checkpoints of logs, as a process in somebody else's hands.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use ledger::{
    keys::{PrivateKey, Scheme, Signer as _},
    note::{NoteKeyType, VerifierKey},
};

use crate::{
    fault::{Because as _, Fault, Kind},
    processes::witness,
    verbs::{Flags, line},
};

/// Cosign the checkpoints of logs (C2SP tlog-witness)
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The witness's own folder, for its key and what it has cosigned
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Its name, such as witness.example.net
    #[arg(long, default_value = "witness.countersign.local")]
    name: String,
    /// Make a key and print its verifier key for the founding file
    #[arg(long)]
    new: bool,
    /// Where to take checkpoints
    #[arg(long, default_value = "127.0.0.1:7075")]
    listen: SocketAddr,
    /// The verifier key of a log to cosign for; may be given several times. That of the charter in `--dir` if not given
    #[arg(long = "log", value_name = "VKEY")]
    logs: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let path = args.state.join("witness.key");
    if args.new {
        std::fs::create_dir_all(&args.state)
            .because(Kind::Usage, format!("`{}` can not be made", args.state.display()))?;
        let key = PrivateKey::generate(Scheme::Ed25519).because(Kind::Unavailable, "no key can be made")?;
        key.write_new(&path, "witness").because(Kind::Usage, format!("`{}` can not be written", path.display()))?;
        let vkey = VerifierKey::new(&args.name, NoteKeyType::Cosignature, key.key())
            .because(Kind::Usage, "the name can not name a key")?;
        return line(out, vkey);
    }
    let mut named = args.logs.clone();
    if named.is_empty() {
        let members =
            common.members().map_err(|f| f.hint("add `--log VKEY`: the charter names the log's verifier key"))?;
        named.push(members.charter().log.vkey.clone());
    }
    let logs = named
        .iter()
        .map(|l| l.parse().because(Kind::Usage, format!("`{l}` is not a verifier key")))
        .collect::<Result<Vec<VerifierKey>, _>>()?;
    line(out, format!("cosigning for {} logs on http://{}", logs.len(), args.listen))?;
    out.flush().because(Kind::Unavailable, "the output is closed")?;
    witness::run(&args.state, &args.name, args.listen, logs)
}
