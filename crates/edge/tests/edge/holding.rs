//! Holding: requests wait for a hand-over, within limits of time and number, and each is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use edge::Limits;
use hyper::{Method, StatusCode};
use model::route::RouteState::{Closed, Hold, Open};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use crate::support::*;

const LONG: model::route::RouteState = Hold { limit_ms: 60_000 };

#[tokio::test]
async fn held_requests_go_on_to_whatever_version_takes_over() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[old.address])]).await;
    // One that is in flight is not held: it is waited for.
    let in_flight = tokio::spawn(async move { get(listen, "/wait").await });
    until("it waits", || async { old.waiting() == 1 }).await;
    edge.apply(table(1, 2, vec![route(listen, LONG, vec![backend(1, 1, &[old.address])])])).await.unwrap();
    let mut held = JoinSet::new();
    for n in 0..20 {
        held.spawn(async move {
            Client::connect(listen).await.send(Method::POST, "/echo", format!("payment {n}")).await.unwrap()
        });
    }
    until("all are held", || async { edge.counts().held == 20 }).await;
    old.release();
    assert_eq!(in_flight.await.unwrap().serial(), "paydesk-000001");
    assert_eq!(tally(&edge, 1), (1, 0, 0), "nothing is in flight on the old version while requests are held");
    old.stop().await;
    // A hold that is renewed goes on holding.
    edge.apply(table(1, 3, vec![route(listen, LONG, vec![])])).await.unwrap();
    assert_eq!(edge.counts().held, 20);
    edge.apply(table(1, 4, vec![route(listen, Open, vec![backend(2, 1, &[new.address])])])).await.unwrap();
    while let Some(got) = held.join_next().await {
        let got = got.unwrap();
        assert_eq!((got.status, got.serial()), (StatusCode::OK, "paydesk-000002"));
        assert!(got.text().starts_with("payment "));
    }
    assert_eq!((tally(&edge, 2), counted(&edge, 2).held, edge.counts().held), ((20, 0, 0), 20, 0));
    check_sums(&edge);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_hand_overs_under_load_fail_nothing() {
    // One instance, one address: as a component with a volume of its own is switched, and restarted.
    let mut instance = Instance::start().await;
    let address = instance.address;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[address])]).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for n in 0..8 {
        let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            let mut client = Client::connect(listen).await;
            while !stop.load(Ordering::Relaxed) {
                let payment = format!("payment {n} {}", served.fetch_add(1, Ordering::Relaxed));
                let got = client.send(Method::POST, "/echo", payment.clone()).await.unwrap();
                assert_eq!((got.status, got.text()), (StatusCode::OK, payment.as_str()));
            }
        });
    }
    for round in 1..=20_u64 {
        let before = served.load(Ordering::Relaxed);
        until("40 more requests", || async { served.load(Ordering::Relaxed) >= before + 40 }).await;
        // Every other round restarts the same version.
        let (old, new) = (round.div_ceil(2), (round + 1).div_ceil(2));
        edge.apply(table(round, 2, vec![route(listen, LONG, vec![backend(old, 1, &[address])])])).await.unwrap();
        until("nothing is in flight", || async { edge.counts().versions.iter().all(|row| row.in_flight == 0) }).await;
        instance.stop().await;
        instance = Instance::start_at(address).await;
        edge.apply(table(round, 3, vec![route(listen, Open, vec![backend(new, 1, &[address])])])).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let counts = edge.counts();
    assert_eq!(counts.versions.iter().map(|row| row.requests).sum::<u64>(), served.load(Ordering::Relaxed));
    assert_eq!(counts.versions.iter().map(|row| row.errors).sum::<u64>(), 0);
    assert!(counts.versions.iter().map(|row| row.held).sum::<u64>() > 0);
    check_sums(&edge);
}

#[tokio::test]
async fn a_request_is_held_no_longer_than_the_limit() {
    let (edge, listen) = (started(Limits::default()).await, free_address());
    edge.apply(table(1, 1, vec![route(listen, Hold { limit_ms: 150 }, vec![])])).await.unwrap();
    let began = Instant::now();
    let got = get(listen, "/").await;
    assert!(began.elapsed().as_millis() >= 150);
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(got.text(), "this service is being switched, and it took too long\nhint: try again in a moment\n");
    assert_eq!((edge.counts().held, edge.counts().components[0].turned_away), (0, 1));
    check_sums(&edge);
}

#[tokio::test]
async fn no_more_requests_are_held_than_the_limit() {
    let edge = Arc::new(started(Limits { max_held: 3, ..Limits::default() }).await);
    let listen = free_address();
    edge.apply(table(1, 1, vec![route(listen, LONG, vec![])])).await.unwrap();
    let mut held = JoinSet::new();
    for _ in 0..3 {
        held.spawn(get(listen, "/"));
    }
    until("three are held", || async { edge.counts().held == 3 }).await;
    let got = get(listen, "/").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.text(), "too many requests wait while this service is switched\nhint: try again in a moment\n");
    edge.apply(table(1, 2, vec![route(listen, Closed, vec![])])).await.unwrap();
    while let Some(got) = held.join_next().await {
        assert_eq!(got.unwrap().text(), "this service is closed for now\nhint: try again later\n");
    }
    assert_eq!((edge.counts().held, edge.counts().components[0].turned_away), (0, 4));
    check_sums(&edge);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_held_gives_its_place_back() {
    let (edge, listen) = (started(Limits { max_held: 1, ..Limits::default() }).await, free_address());
    edge.apply(table(1, 1, vec![route(listen, LONG, vec![])])).await.unwrap();
    for times in 1..=3 {
        let mut client = TcpStream::connect(listen).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        until("it is held", || async { edge.counts().held == 1 }).await;
        drop(client);
        until("it is gone", || async { edge.counts().held == 0 && edge.counts().components[0].abandoned == times })
            .await;
    }
    assert_eq!(edge.counts().components[0].turned_away, 0);
    check_sums(&edge);
}

#[tokio::test]
async fn a_request_that_meets_an_ended_instance_is_held_with_the_others() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let gone = free_address();
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[gone])]).await;
    // The route goes to an address where nothing listens; the next table holds; the one after has the new version.
    assert_eq!(get(listen, "/").await.status, StatusCode::BAD_GATEWAY);
    edge.apply(table(1, 2, vec![route(listen, LONG, vec![backend(1, 1, &[gone])])])).await.unwrap();
    let held = tokio::spawn(async move { get(listen, "/").await });
    until("it is held", || async { edge.counts().held == 1 }).await;
    edge.apply(table(1, 3, vec![route(listen, Open, vec![backend(1, 1, &[gone]), backend(2, 1, &[new.address])])]))
        .await
        .unwrap();
    assert_eq!(held.await.unwrap().serial(), "paydesk-000002");
    check_sums(&edge);
    old.stop().await;
}
