//! How fast a log appends, proves and checks here: `cargo bench -p ledger`. Compare only on one quiet machine.

use std::{error::Error, sync::Arc, time::Instant};

use ledger::{
    check::{Evidence, check_log},
    dsse::Envelope,
    follow::WitnessPolicy,
    keys::{PrivateKey, Scheme, Signer as _},
    log::{Door, Log, Refusal, Submission},
    note::{NoteKeyType, NoteSigner},
    store::SqliteStore,
};

/// Statements a measurement; a few seconds each on a slow disk.
const STATEMENTS: u64 = 4_000;
const PAYLOAD_BYTES: usize = 700;

/// Verifies each signature, as the door of a log of statements does.
struct Verifying(ledger::keys::PublicKey);

impl Door for Verifying {
    fn check(&self, _: &Log, submission: &Submission) -> Result<(), Refusal> {
        submission.envelope.verify(&self.0).map_err(Refusal::new)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let key = PrivateKey::generate(Scheme::Ed25519)?;
    for threads in [1, 8, 64] {
        let folder = tempfile::tempdir()?;
        let store = Arc::new(SqliteStore::open(&folder.path().join("log.db"))?);
        let signer =
            NoteSigner::new("bench.example", NoteKeyType::Ed25519, Arc::new(PrivateKey::generate(Scheme::Ed25519)?))?;
        let vkey = signer.vkey().clone();
        let log = Log::open(store.clone(), signer, Arc::new(Verifying(key.key().clone())))?;
        let envelopes: Vec<Envelope> = (0..STATEMENTS)
            .map(|n| Envelope::seal("text/plain", format!("{n:0width$}", width = PAYLOAD_BYTES).into_bytes(), &key))
            .collect::<Result<_, _>>()?;
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in envelopes.chunks(envelopes.len().div_ceil(threads)) {
                let log = &log;
                scope.spawn(move || part.iter().filter(|e| log.append(Submission::new((*e).clone())).is_err()).count());
            }
        });
        rate(&mut out, &format!("append, {threads} at once"), STATEMENTS, start)?;
        let start = Instant::now();
        for index in 0..STATEMENTS {
            log.receipt(index)?;
        }
        rate(&mut out, "receipts made", STATEMENTS, start)?;
        let start = Instant::now();
        let witnesses = WitnessPolicy::unwitnessed();
        let evidence = Evidence { log: &vkey, witnesses: &witnesses, checkpoints: &[], kept: None };
        let size = check_log(&*store, &evidence)?.range.size();
        rate(&mut out, "whole log checked", size, start)?;
    }
    Ok(())
}

fn rate(out: &mut dyn std::io::Write, what: &str, count: u64, start: Instant) -> std::io::Result<()> {
    let per_second = count as f64 / start.elapsed().as_secs_f64();
    writeln!(out, "{what}: {per_second:.0} a second ({count})")
}
