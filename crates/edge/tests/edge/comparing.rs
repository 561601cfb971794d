//! Two versions compared: clients stay where they belong, and the sum over the ticks is what the clients saw.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use edge::{ControlConfig, Edge, EdgeClient, EdgeConfig, Limits};
use hyper::StatusCode;
use model::{
    Digest,
    route::{Backend, Flag, RouteState::Open, Split, TickRow, unit},
};

use crate::support::*;

/// What a clock that may stand still for a while on a busy machine never takes.
const NEVER_US: u64 = 3_600_000_000;

fn both(old: &Instance, new: &Instance) -> Vec<Backend> {
    vec![backend(1, 1, &[old.address]), backend(2, 1, &[new.address])]
}

async fn comparing(split: Split, backends: Vec<Backend>) -> (Edge, SocketAddr) {
    let (edge, listen) = (started(Limits::default()).await, free_address());
    compare(&edge, listen, 1, split, backends).await;
    (edge, listen)
}

async fn compare(edge: &Edge, listen: SocketAddr, revision: u64, split: Split, backends: Vec<Backend>) {
    let mut route = route(listen, Open, backends);
    route.split = Some(split);
    edge.apply(table(1, revision, vec![route])).await.unwrap();
}

/// Waits until ticks have ended that began after now, and gives all rows.
async fn ended(edge: &Edge) -> Vec<TickRow> {
    let from = edge.ticks(0).next;
    until("two more ticks", || async { edge.ticks(0).next >= from + 2 }).await;
    let ticks = edge.ticks(0);
    assert!(ticks.rows.iter().enumerate().all(|(n, row)| row.tick == n as u64), "{ticks:?}");
    ticks.rows
}

/// Loopback addresses, of which each client has one.
fn client_address(n: u8) -> IpAddr {
    IpAddr::from([127, 250, (std::process::id() % 250) as u8, n])
}

fn unit_of(address: IpAddr) -> u8 {
    unit(&Digest::of(b"a comparison"), &format!("address:{address}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sum_over_the_ticks_is_what_the_clients_saw() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let flags = vec![
        Flag::Failed,
        Flag::Slower { control_us: NEVER_US, trial_us: NEVER_US, count: 1 },
        Flag::Slower { control_us: 0, trial_us: NEVER_US, count: 1 },
    ];
    let (edge, listen) = comparing(split(40, flags), both(&old, &new)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (1..=16)
        .map(|n| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let address = client_address(n);
                let wanted = if unit_of(address) < 40 { "paydesk-000002" } else { "paydesk-000001" };
                let (mut requests, mut failed) = (0_u64, 0_u64);
                let mut client = Client::connect_from(address, listen).await;
                while !stop.load(Ordering::Relaxed) {
                    if requests % 25 == 24 {
                        client = Client::connect_from(address, listen).await;
                    }
                    let fails = requests % 7 == 3;
                    let got = client.get(if fails { "/fail" } else { "/" }).await.unwrap();
                    assert_eq!((got.serial(), got.status.is_server_error()), (wanted, fails));
                    requests += 1;
                    failed += u64::from(fails);
                }
                (wanted == "paydesk-000002", requests, failed)
            })
        })
        .collect();
    until("many ticks", || async { edge.ticks(0).next >= 12 }).await;
    stop.store(true, Ordering::Relaxed);
    let (mut trial, mut control) = ((0, 0), (0, 0));
    for client in clients {
        let (is_trial, requests, failed) = client.await.unwrap();
        let sum = if is_trial { &mut trial } else { &mut control };
        *sum = (sum.0 + requests, sum.1 + failed);
    }
    let rows = ended(&edge).await;
    let sum = |of: fn(&TickRow) -> (u64, u64)| rows.iter().map(of).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(sum(|row| (row.trial.requests, row.trial.failed)), trial);
    assert_eq!(sum(|row| (row.control.requests, row.control.failed)), control);
    assert!(trial.1 > 0 && control.1 > 0, "{trial:?} {control:?}");
    let units: Vec<u8> = (1..=16).map(|n| unit_of(client_address(n))).collect();
    let distinct = |is: fn(&u8) -> bool| {
        units.iter().filter(|unit| is(unit)).collect::<std::collections::HashSet<_>>().len() as u32
    };
    let (trial_units, control_units) = (distinct(|unit| *unit < 40), distinct(|unit| *unit >= 40));
    for row in &rows {
        let [failed, never, always] = &*row.flags else { panic!("{row:?}") };
        assert!(row.flags.iter().all(|flag| (flag.trial_units, flag.control_units) == (40, 60)), "{row:?}");
        // A unit is flagged once, however often it failed.
        assert!(failed.trial_flagged <= trial_units && failed.control_flagged <= control_units, "{row:?}");
        assert_eq!(
            (failed.trial_flagged > 0, failed.control_flagged > 0),
            (row.trial.failed > 0, row.control.failed > 0)
        );
        assert_eq!((never.trial_flagged, never.control_flagged, always.trial_flagged), (0, 0, 0), "{row:?}");
        assert_eq!(always.control_flagged > 0, row.control.requests > 0, "{row:?}");
    }
    assert!(edge.counts().versions.iter().all(|row| row.quantiles_us.len() == 6), "{:?}", edge.counts());
    check_sums(&edge);
}

#[tokio::test]
async fn a_share_that_grows_moves_only_those_that_it_takes_in() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = comparing(split(0, vec![Flag::Failed]), both(&old, &new)).await;
    let mut clients = Vec::new();
    for n in 20..60 {
        clients.push((unit_of(client_address(n)), Client::connect_from(client_address(n), listen).await));
    }
    for (revision, share) in [(2, 0), (3, 5), (4, 30), (5, 80), (6, 100), (7, 30)] {
        compare(&edge, listen, revision, split(share, vec![Flag::Failed]), both(&old, &new)).await;
        for (unit, client) in &mut clients {
            let wanted = if *unit < share { "paydesk-000002" } else { "paydesk-000001" };
            assert_eq!(client.get("/").await.unwrap().serial(), wanted, "unit {unit} of {share}");
        }
    }
    // Another comparison is another lottery.
    let other = Split { salt: Digest::of(b"another"), ..split(50, vec![]) };
    compare(&edge, listen, 8, other, both(&old, &new)).await;
    let mut moved = 0;
    for (unit, client) in &mut clients {
        moved += u32::from((client.get("/").await.unwrap().serial() == "paydesk-000002") != (*unit < 50));
    }
    assert!((5..35).contains(&moved), "{moved} of 40");
}

#[tokio::test]
async fn a_request_counts_where_it_began_unless_its_unit_has_changed_sides_and_no_tick_spans_two_tables() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let long = |share| Split { tick_ms: 60_000, silence_ms: 60_000, ..split(share, vec![Flag::Failed]) };
    let (edge, listen) = comparing(long(0), both(&old, &new)).await;
    let asked = tokio::spawn(async move { get(listen, "/wait").await });
    until("it waits", || async { old.waiting() == 1 }).await;
    let stays = tokio::spawn(async move { get(listen, "/fail").await });
    assert_eq!(stays.await.unwrap().status, StatusCode::INTERNAL_SERVER_ERROR);
    // In the same comparison all units change sides, and ticks become short: another comparison by its ticks.
    compare(&edge, listen, 2, split(100, vec![Flag::Failed]), both(&old, &new)).await;
    old.release();
    assert_eq!(asked.await.unwrap().serial(), "paydesk-000001");
    let rows = ended(&edge).await;
    assert!(rows.iter().all(|row| (row.revision, row.control.requests, row.trial.requests) == (2, 0, 0)), "{rows:?}");
    // The same sides, another table: what was in flight counts in the new tick, what had ended in the old is not told.
    let slow = tokio::spawn(async move { get(listen, "/wait").await });
    new.release();
    assert_eq!(slow.await.unwrap().serial(), "paydesk-000002");
    let rows = ended(&edge).await;
    assert_eq!(rows.iter().map(|row| row.trial.requests).sum::<u64>(), 1);
    compare(&edge, listen, 3, split(100, vec![Flag::Failed]), both(&old, &new)).await;
    let rows = ended(&edge).await;
    assert!(rows.iter().all(|row| row.generation == 1 && [2, 3].contains(&row.revision)), "{rows:?}");
    assert!(rows.windows(2).all(|two| two[0].revision <= two[1].revision));
    // Without a comparison there are no more ticks.
    edge.apply(table(1, 4, vec![route(listen, Open, both(&old, &new))])).await.unwrap();
    let next = edge.ticks(0).next;
    get(listen, "/").await;
    tokio::time::timeout(std::time::Duration::from_millis(200), std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(edge.ticks(0).next, next);
}

#[tokio::test]
async fn a_trial_that_can_not_be_reached_fails_its_units_and_its_clients_are_served() {
    let old = Instance::start().await;
    let backends = vec![backend(1, 1, &[old.address]), backend(2, 1, &[free_address()])];
    let (edge, listen) = comparing(split(100, vec![Flag::Failed]), backends).await;
    for _ in 0..5 {
        let got = get(listen, "/").await;
        assert_eq!((got.status, got.serial()), (StatusCode::OK, "paydesk-000001"));
    }
    let rows = ended(&edge).await;
    assert_eq!(rows.iter().map(|row| row.trial.failed).sum::<u64>(), 5);
    assert_eq!(rows.iter().map(|row| row.control.requests).sum::<u64>(), 0, "who comes from elsewhere is not compared");
    assert_eq!(edge.counts().components[0].moved, 5);
    check_sums(&edge);
    // Nor is anybody whose version takes nothing at all.
    let gone = vec![backend(1, 1, &[old.address]), backend(2, 0, &[free_address()])];
    compare(&edge, listen, 2, split(100, vec![Flag::Failed]), gone).await;
    assert_eq!(get(listen, "/").await.serial(), "paydesk-000001");
    let rows = ended(&edge).await;
    assert_eq!(rows.iter().map(|row| row.control.requests + row.trial.requests).sum::<u64>(), 5);
}

#[tokio::test]
async fn answers_that_never_end_or_never_come_are_failures() {
    let (broken, _) = raw_instance(|mut stream, _| async move {
        use tokio::io::AsyncWriteExt;
        let _head = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let old = Instance::start().await;
    let (edge, listen) = (started(Limits { answer_timeout_ms: 100, ..Limits::default() }).await, free_address());
    let backends = vec![backend(1, 1, &[old.address]), backend(2, 1, &[broken])];
    compare(&edge, listen, 1, split(100, vec![Flag::Failed]), backends).await;
    assert!(Client::connect(listen).await.get("/").await.is_err());
    let (hangs, _) = raw_instance(|mut stream, _| async move {
        let _head = read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let backends = vec![backend(1, 1, &[old.address]), backend(2, 1, &[hangs])];
    let rows = ended(&edge).await;
    assert_eq!(rows.iter().map(|row| row.trial.failed).sum::<u64>(), 1);
    compare(&edge, listen, 2, split(100, vec![Flag::Failed]), backends).await;
    assert_eq!(get(listen, "/").await.status, StatusCode::GATEWAY_TIMEOUT);
    let rows = ended(&edge).await;
    assert_eq!(rows.iter().map(|row| row.trial.failed).sum::<u64>(), 2);
    assert_eq!(rows.iter().map(|row| row.control.requests).sum::<u64>(), 0);
}

#[tokio::test]
async fn when_nobody_asks_all_go_back_until_the_next_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    let control = Some(ControlConfig { path: path.clone(), mode: 0o600, steering_uids: vec![] });
    let edge = Edge::start(EdgeConfig { control, ..EdgeConfig::default() }).await.unwrap();
    let (old, new, listen) = (Instance::start().await, Instance::start().await, free_address());
    let impatient = || Split { silence_ms: 1_500, ..split(100, vec![Flag::Failed]) };
    compare(&edge, listen, 1, impatient(), both(&old, &new)).await;
    // Only who may steer counts as somebody; reading in process does not.
    let client = EdgeClient::new(&path);
    until("it was asked for longer than that", || async {
        let ticks = client.ticks(0).await.unwrap();
        assert!(ticks.silenced.is_empty());
        ticks.next >= 45
    })
    .await;
    assert_eq!(get(listen, "/").await.serial(), "paydesk-000002");
    let mut kept = Client::connect(listen).await;
    let silenced = || async { get(listen, "/").await.serial() == "paydesk-000001" };
    until("all are sent back", silenced).await;
    assert_eq!(edge.ticks(0).silenced, [impatient().salt]);
    let next = edge.ticks(0).next;
    kept.get("/").await.unwrap();
    // To ask again does not bring them back: whoever compares says so with a table.
    let ticks = client.ticks(0).await.unwrap();
    assert_eq!(ticks.silenced, [impatient().salt]);
    assert_eq!(kept.get("/").await.unwrap().serial(), "paydesk-000001");
    assert_eq!(edge.ticks(0).next, next, "nothing is compared meanwhile");
    compare(&edge, listen, 2, impatient(), both(&old, &new)).await;
    assert_eq!(kept.get("/").await.unwrap().serial(), "paydesk-000002");
}

#[tokio::test]
async fn another_edge_says_that_it_is_another() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, _) = comparing(split(50, vec![Flag::Failed]), both(&old, &new)).await;
    let rows = ended(&edge).await;
    let before = edge.ticks(0);
    assert!(edge.ticks(before.next).rows.iter().all(|row| row.tick >= before.next));
    assert!(rows.len() >= 2);
    let (other, _) = comparing(split(50, vec![Flag::Failed]), both(&old, &new)).await;
    until("a tick", || async { other.ticks(0).next >= 1 }).await;
    // Whoever goes on counting from the edge before gets all, and sees that it is another.
    let after = other.ticks(1_000_000);
    assert_ne!(after.start, before.start);
    assert_eq!(after.rows.first().map(|row| row.tick), Some(0));
}
