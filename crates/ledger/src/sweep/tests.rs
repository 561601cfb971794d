//! What only a sweep does; what it finds in a log of real statements is tested where verdicts are counted as well.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{
    fixtures::{log_of, log_signer},
    statement::v1::{Charter, LogKey, Quorum},
    store::{MemoryStore, Store as _},
};

fn members() -> Members {
    let log = log_signer();
    let charter = Charter {
        demo: true,
        log: LogKey { origin: log.vkey().name().to_owned(), vkey: log.vkey().to_string() },
        witnesses: Vec::new(),
        witness_quorum: 0,
        members: Vec::new(),
        robots: Vec::new(),
        hosts: Vec::new(),
        roles: Vec::new(),
        conflicts: Vec::new(),
        systems: Vec::new(),
        environments: Vec::new(),
        amendment: Quorum { groups: Vec::new() },
        policy: String::new(),
        recovery: None,
        key_delay_s: 0,
        values: Vec::new(),
        silence: None,
        programs: std::collections::BTreeMap::new(),
    };
    Members::of(charter, model::Digest::of(b"charter")).unwrap()
}

fn sweep(
    store: &MemoryStore,
    size: u64,
    mut fold: impl FnMut(&Part<()>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let source = StoreSource(store);
    let skeleton = Skeleton::from_tiles(&source, size).unwrap().unwrap();
    let (members, log) = (members(), log_signer());
    Sweep {
        source: &source,
        members: &members,
        log: log.vkey(),
        witnesses: &WitnessPolicy::unwitnessed(),
        skeleton: &skeleton,
        is_signed: true,
        verified: 0,
        from: 0,
        threads: NonZeroUsize::new(3).unwrap(),
    }
    .run::<(), StoreError>(&|_| (), |part| fold(&part))
}

#[test]
fn bundles_come_in_order_each_once_and_with_their_checkpoints() {
    let size = 256 * 40 + 3;
    let (_, store) = log_of(size);
    let (mut next, mut checkpoints) = (0, 0);
    sweep(&store, size, |part| {
        assert_eq!(part.first, next);
        assert_eq!(part.flaws.iter().map(Flaw::kind).collect::<Vec<_>>(), [FlawKind::Statements], "not statements");
        next = part.end;
        checkpoints += part.checkpoints;
        Ok(())
    })
    .unwrap();
    assert_eq!(next, size);
    assert_eq!(checkpoints, store.checkpoints(0, 100_000).unwrap().len() as u64);
}

#[test]
fn an_error_of_the_caller_ends_it() {
    let (_, store) = log_of(256 * 40);
    let seen = AtomicU64::new(0);
    let end = sweep(&store, 256 * 40, |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::ReadOnly)
    });
    assert!(matches!(end, Err(StoreError::ReadOnly)));
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}
