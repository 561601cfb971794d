//! Whether two front ends on one PostgreSQL are as fast as one: the same number of writers on one, and shared by two, in
//! rounds that alternate, on a real server with `fsync` on. `cargo run --release -p sim --example front_ends`.

use std::{
    error::Error,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, PublicKey, Scheme, Signer as _},
    log::{Door, Log, Refusal, Submission},
    note::{NoteKeyType, NoteSigner},
};
use sim::postgres_server::PostgresServer;

const WRITERS: usize = 256;
const ROUNDS: usize = 4;
const STATEMENTS: usize = 6_000;
const PAYLOAD_BYTES: usize = 700;

/// Verifies each signature, as the door of a log of statements does.
struct Verifying(PublicKey);

impl Door for Verifying {
    fn check(&self, _: &Log, submission: &Submission) -> Result<(), Refusal> {
        submission.envelope.verify(&self.0).map_err(Refusal::new)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let key = PrivateKey::generate(Scheme::Ed25519)?;
    let log_key: Arc<PrivateKey> = Arc::new(PrivateKey::generate(Scheme::Ed25519)?);
    let server = PostgresServer::start()?;
    let url = server.new_database()?;
    let mut next = 0;
    let mut rates: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for front_ends in [1, 2] {
            let open = || -> Result<Log, Box<dyn Error>> {
                let signer = NoteSigner::new("bench.example", NoteKeyType::Ed25519, log_key.clone())?;
                let door = Arc::new(Verifying(key.key().clone()));
                Ok(Log::open(Arc::new(PostgresServer::store(&url)?), signer, door)?)
            };
            let logs = (0..front_ends).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
            let payload = |n: usize| format!("{n:0width$}", width = PAYLOAD_BYTES).into_bytes();
            let statements = (next..next + STATEMENTS)
                .map(|n| Envelope::seal("text/plain", payload(n), &key))
                .collect::<Result<Vec<_>, _>>()?;
            next += STATEMENTS;
            let (at, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let start = Instant::now();
            std::thread::scope(|scope| {
                for log in logs.iter().cycle().take(WRITERS) {
                    scope.spawn(|| {
                        while let Some(statement) = statements.get(at.fetch_add(1, Ordering::Relaxed)) {
                            let outcome = log.append(Submission::new(statement.clone()));
                            failed.fetch_add(usize::from(outcome.is_err()), Ordering::Relaxed);
                        }
                    });
                }
            });
            let rate = STATEMENTS as f64 / start.elapsed().as_secs_f64();
            let failed = failed.into_inner();
            writeln!(out, "round {round}, {front_ends} front ends: {rate:.0} a second, {failed} failed")?;
            if let Some(rates) = rates.get_mut(front_ends - 1) {
                rates.push(rate);
            }
        }
    }
    let mut medians = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    });
    medians.reverse();
    let [two, one] = medians;
    writeln!(out, "medians: one {one:.0}, two {two:.0}: {:.2} times as fast", two / one)?;
    Ok(())
}
