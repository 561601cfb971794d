//! Switches: no request fails, none is counted wrongly, generations never go back, refused tables change nothing.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use edge::{Applied, ApplyError, Edge, EdgeConfig, Health, Limits};
use hyper::{Method, StatusCode};
use model::route::RouteState::{Closed, Hold, Open};
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_under_load_fail_nothing_and_the_counts_are_exact() {
    let (mut old, mut spare) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[old.address, spare.address])]).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..16_u64)
        .map(|n| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut client = Client::connect(listen).await;
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    let (method, path, body) = match (n + sent) % 3 {
                        0 => (Method::POST, "/echo", "a payment"),
                        1 => (Method::GET, "/zeros/40000", ""),
                        _ => (Method::GET, "/", ""),
                    };
                    // One connection for the whole test: a switch that closed it would fail here.
                    let got = client.send(method, path, body).await.unwrap();
                    assert_eq!(got.status, StatusCode::OK, "{got:?}");
                    assert!(got.serial().starts_with("paydesk-0000"));
                    match path {
                        "/echo" => assert_eq!(got.text(), body),
                        "/" => assert_eq!(got.text(), "hello"),
                        _ => assert_eq!(got.body.len(), 40_000),
                    }
                    sent += 1;
                    served.fetch_add(1, Ordering::Relaxed);
                }
                sent
            })
        })
        .collect();
    for version in 2..=21 {
        let before = served.load(Ordering::Relaxed);
        until("100 more requests", || async { served.load(Ordering::Relaxed) >= before + 100 }).await;
        let new = [Instance::start().await, Instance::start().await];
        let both = vec![
            backend(version - 1, 0, &[old.address, spare.address]),
            backend(version, 3, &[new[0].address, new[1].address]),
        ];
        let applied = edge.apply(table(version, 1, vec![route(listen, Open, both)])).await.unwrap();
        assert_eq!(applied, Applied::Switched);
        until("the old version is drained", || async { counted(&edge, version - 1).in_flight == 0 }).await;
        // Stopped at once, with all its connections: what is drained must be sent nothing any more.
        let [first, second] = new;
        std::mem::replace(&mut old, first).stop().await;
        std::mem::replace(&mut spare, second).stop().await;
        let alone = vec![backend(version, 3, &[old.address, spare.address])];
        edge.apply(table(version, 2, vec![route(listen, Open, alone)])).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for client in clients {
        sent += client.await.unwrap();
    }
    until("all are counted", || async { edge.counts().versions.iter().all(|row| row.in_flight == 0) }).await;
    let counts = edge.counts();
    assert_eq!((counts.generation, counts.revision, counts.held), (21, 2, 0));
    assert_eq!(counts.versions.iter().map(|row| row.requests).sum::<u64>(), sent);
    assert_eq!(counts.versions.iter().map(|row| row.errors).sum::<u64>(), 0);
    assert_eq!(counts.versions.iter().flat_map(|row| &row.latency_us).map(|(_, n)| n).sum::<u64>(), sent);
    assert!(counts.versions.iter().all(|row| row.requests > 0 && row.clients == 1), "{counts:?}");
    let component = &counts.components[0];
    assert_eq!((component.requests, component.turned_away, component.moved), (sent, 0, 0));
    check_sums(&edge);
}

#[tokio::test]
async fn requests_in_flight_finish_on_the_version_they_started_on() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[old.address])]).await;
    let slow = tokio::spawn(async move { get(listen, "/wait").await });
    until("the request waits", || async { old.waiting() == 1 }).await;
    assert_eq!(tally(&edge, 1), (0, 0, 1));
    let both = vec![backend(1, 0, &[old.address]), backend(2, 1, &[new.address])];
    edge.apply(table(1, 2, vec![route(listen, Open, both)])).await.unwrap();
    for _ in 0..5 {
        assert_eq!(get(listen, "/").await.serial(), "paydesk-000002");
    }
    assert_eq!(tally(&edge, 1), (0, 0, 1));
    old.release();
    let got = slow.await.unwrap();
    assert_eq!((got.serial(), got.text()), ("paydesk-000001", "waited"));
    assert_eq!(tally(&edge, 1), (1, 0, 0));
    assert_eq!(tally(&edge, 2), (5, 0, 0));
}

#[tokio::test]
async fn tables_are_taken_in_order_only() {
    let instance = Instance::start().await;
    let (edge, listen) = (started(Limits::default()).await, free_address());
    let to = |generation, revision, weight| {
        table(generation, revision, vec![route(listen, Open, vec![backend(1, weight, &[instance.address])])])
    };
    let steps = [
        (to(5, 3, 1), "Ok(Switched)"),
        (to(5, 3, 1), "Ok(Unchanged)"),
        (to(4, 9, 1), "Err(LowerGeneration { given: 4, in_force: 5 })"),
        (to(5, 2, 1), "Err(LowerRevision { generation: 5, given: 2, in_force: 3 })"),
        (to(5, 3, 2), "Err(OtherTable { generation: 5, revision: 3 })"),
        (to(5, 4, 2), "Ok(Switched)"),
        (to(6, 1, 1), "Ok(Switched)"),
        (to(5, 5, 1), "Err(LowerGeneration { given: 5, in_force: 6 })"),
    ];
    for (table, wanted) in steps {
        assert_eq!(format!("{:?}", edge.apply(table).await), wanted);
    }
    let in_force = edge.table().unwrap();
    assert_eq!((in_force.generation, in_force.revision), (6, 1));
}

#[tokio::test]
async fn a_table_that_can_not_be_carried_out_whole_changes_nothing() {
    let instance = Instance::start().await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    let (taken, fresh) = (std::net::TcpListener::bind(free_address()).unwrap(), free_address());
    let routes = vec![route(fresh, Open, vec![]), route(taken.local_addr().unwrap(), Open, vec![])];
    let error = edge.apply(table(2, 1, routes)).await.unwrap_err();
    assert!(matches!(&error, ApplyError::Bind { listen, .. } if *listen == taken.local_addr().unwrap()));
    assert_eq!(error.to_string(), format!("the address `{}` can not be listened on", taken.local_addr().unwrap()));
    assert_eq!(error.hint(), "another program listens there; stop it or choose another address");
    assert_eq!(get(listen, "/").await.serial(), "paydesk-000001");
    assert!(TcpStream::connect(fresh).await.is_err(), "the other new listener must be gone again");
    let twice = edge.apply(table(2, 1, vec![route(fresh, Open, vec![]), route(fresh, Closed, vec![])])).await;
    assert!(matches!(twice, Err(ApplyError::Table(_))));
    assert_eq!(edge.counts().generation, 1);
    drop(taken);
}

#[tokio::test]
async fn listeners_come_and_go_and_what_they_have_is_finished() {
    let instance = Instance::start().await;
    let backends = || vec![backend(1, 1, &[instance.address])];
    let (edge, stays) = edge_to(Limits::default(), backends()).await;
    let goes = free_address();
    let both = || vec![route(stays, Open, backends()), route(goes, Open, backends())];
    edge.apply(table(1, 2, both())).await.unwrap();
    let mut kept = Client::connect(stays).await;
    kept.get("/").await.unwrap();
    let slow = tokio::spawn(async move { get(goes, "/wait").await });
    until("the request waits", || async { instance.waiting() == 1 }).await;
    edge.apply(table(1, 3, vec![route(stays, Open, backends())])).await.unwrap();
    until("the listener is closed", || async { TcpStream::connect(goes).await.is_err() }).await;
    instance.release();
    assert_eq!(slow.await.unwrap().text(), "waited");
    assert_eq!(kept.get("/").await.unwrap().status, StatusCode::OK, "on a connection from before");
    edge.apply(table(1, 4, both())).await.unwrap();
    assert_eq!(get(goes, "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn shares_follow_weights() {
    let (nine, one, none) = (Instance::start().await, Instance::start().await, Instance::start().await);
    let backends = vec![backend(1, 9, &[nine.address]), backend(2, 1, &[one.address]), backend(3, 0, &[none.address])];
    let (edge, listen) = edge_to(Limits::default(), backends).await;
    let mut client = Client::connect(listen).await;
    for _ in 0..200 {
        client.get("/").await.unwrap();
    }
    assert!(counted(&edge, 1).requests.abs_diff(180) <= 2, "{:?}", edge.counts());
    assert_eq!(counted(&edge, 1).requests + counted(&edge, 2).requests, 200);
    assert_eq!(counted(&edge, 3).requests, 0);
}

#[tokio::test]
async fn a_closed_route_and_one_without_versions_answer_503() {
    let (edge, listen) = (started(Limits::default()).await, free_address());
    edge.apply(table(1, 1, vec![route(listen, Closed, vec![])])).await.unwrap();
    let got = get(listen, "/").await;
    assert_eq!((got.status, got.header("retry-after"), got.serial()), (StatusCode::SERVICE_UNAVAILABLE, "1", ""));
    assert_eq!(got.text(), "this service is closed for now\nhint: try again later\n");
    edge.apply(table(1, 2, vec![route(listen, Open, vec![backend(1, 0, &[free_address()])])])).await.unwrap();
    assert_eq!(get(listen, "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(edge.counts().components[0].turned_away, 2);
    check_sums(&edge);
}

#[tokio::test]
async fn a_table_is_kept_before_it_is_in_force_and_a_restarted_edge_goes_on_from_it() {
    let instance = Instance::start().await;
    let listen = free_address();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let full = Arc::new(AtomicBool::new(false));
    let (keep, is_full) = (Arc::clone(&kept), Arc::clone(&full));
    let keeper: edge::Keeper = Arc::new(move |table| {
        if is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        keep.lock().unwrap().push(table.clone());
        Ok(())
    });
    let config = EdgeConfig { keeper: Some(keeper), ..EdgeConfig::default() };
    let edge = Edge::start(config.clone()).await.unwrap();
    assert_eq!(edge.health().await, Health::Waiting);
    let first = table(7, 1, vec![route(listen, Open, vec![backend(1, 1, &[instance.address])])]);
    edge.apply(first.clone()).await.unwrap();
    full.store(true, Ordering::SeqCst);
    let refused = edge.apply(table(8, 1, vec![])).await;
    assert!(matches!(refused, Err(ApplyError::Keep(_))));
    assert_eq!(get(listen, "/").await.status, StatusCode::OK, "what could not be kept changed nothing");
    assert_eq!(edge.shutdown(PATIENCE).await.cut, 0);
    drop(edge);
    assert_eq!(*kept.lock().unwrap(), std::slice::from_ref(&first));
    let edge = Edge::start(EdgeConfig { restored: Some(first), ..config }).await.unwrap();
    assert_eq!(edge.health().await, Health::Serving { generation: 7, revision: 1, listeners: 1 });
    assert_eq!(get(listen, "/").await.status, StatusCode::OK);
    assert!(matches!(edge.apply(table(6, 9, vec![])).await, Err(ApplyError::LowerGeneration { .. })));
    assert_eq!(kept.lock().unwrap().len(), 1, "what was restored is not kept again");
}

#[tokio::test]
async fn a_restored_table_is_tried_until_it_can_be_carried_out() {
    let blocker = std::net::TcpListener::bind(free_address()).unwrap();
    let listen = blocker.local_addr().unwrap();
    let restored = table(7, 2, vec![route(listen, Closed, vec![])]);
    let edge = Edge::start(EdgeConfig { restored: Some(restored), ..EdgeConfig::default() }).await.unwrap();
    assert!(
        matches!(edge.health().await, Health::Restoring { generation: 7, revision: 2, why } if why.contains("in use"))
    );
    assert!(matches!(edge.apply(table(6, 1, vec![])).await, Err(ApplyError::LowerGeneration { in_force: 7, .. })));
    drop(blocker);
    until("it is in force", || async { matches!(edge.health().await, Health::Serving { .. }) }).await;
    assert_eq!(get(listen, "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_edge_that_ends_finishes_what_it_has_within_the_limit() {
    let instance = Instance::start().await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    let slow = tokio::spawn(async move { get(listen, "/wait").await });
    until("the request waits", || async { instance.waiting() == 1 }).await;
    let (ending, release) = (edge.clone(), async {
        until("it accepts no more", || async { TcpStream::connect(listen).await.is_err() }).await;
        assert!(matches!(edge.apply(table(2, 1, vec![])).await, Err(ApplyError::Ending)));
        instance.release();
    });
    let (finished, ()) = tokio::join!(ending.shutdown(PATIENCE), release);
    assert_eq!(finished.cut, 0);
    assert_eq!(slow.await.unwrap().text(), "waited");
}

#[tokio::test]
async fn an_edge_that_ends_cuts_what_does_not_finish_and_turns_away_what_is_held() {
    let instance = Instance::start().await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    let held_at = free_address();
    let routes = vec![
        route(listen, Open, vec![backend(1, 1, &[instance.address])]),
        route(held_at, Hold { limit_ms: 60_000 }, vec![]),
    ];
    edge.apply(table(1, 2, routes)).await.unwrap();
    let hung = tokio::spawn(async move { Client::connect(listen).await.get("/hang").await });
    let held = tokio::spawn(async move { get(held_at, "/").await });
    until("both wait", || async { edge.counts().held == 1 && counted(&edge, 1).in_flight == 1 }).await;
    assert_eq!(edge.shutdown(Duration::from_millis(200)).await.cut, 1);
    assert_eq!(held.await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(hung.await.unwrap().is_err());
    assert_eq!(tally(&edge, 1), (1, 0, 0));
}
