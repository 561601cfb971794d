//! Tries: a request goes on to another instance when nothing of it was sent, and is never sent twice when that could do
//! harm.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use edge::Limits;
use hyper::{Method, StatusCode};
use model::route::RouteState::Open;
use tokio::io::AsyncWriteExt;

use crate::support::*;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_dead_instance_beside_a_live_one_costs_no_request() {
    let live = Instance::start().await;
    let (edge, listen) =
        edge_to(Limits::default(), vec![backend(1, 1, &[free_address(), live.address, free_address()])]).await;
    let mut client = Client::connect(listen).await;
    for n in 0..30 {
        let (method, body) = if n % 2 == 0 { (Method::POST, "a payment") } else { (Method::GET, "") };
        let got = client.send(method, "/echo", body).await.unwrap();
        assert_eq!((got.status, got.text()), (StatusCode::OK, body));
    }
    assert_eq!(tally(&edge, 1), (30, 0, 0));
    let retried = edge.counts().components[0].retried;
    assert!((1..=30).contains(&retried), "an instance that refused is asked last for a while: {retried}");
    check_sums(&edge);
}

#[tokio::test]
async fn a_dead_version_hands_on_to_another_and_counts_an_error() {
    let live = Instance::start().await;
    let backends = vec![backend(1, 1, &[free_address()]), backend(2, 1, &[live.address])];
    let (edge, listen) = edge_to(Limits::default(), backends).await;
    let mut client = Client::connect(listen).await;
    for _ in 0..10 {
        let got = client.send(Method::POST, "/echo", "a payment").await.unwrap();
        assert_eq!((got.serial(), got.text()), ("paydesk-000002", "a payment"));
    }
    let moved = edge.counts().components[0].moved;
    assert!((4..=6).contains(&moved), "{moved}");
    assert_eq!(tally(&edge, 1), (moved, moved, 0));
    assert_eq!(tally(&edge, 2), (10, 0, 0));
    check_sums(&edge);
}

#[tokio::test]
async fn a_version_of_weight_0_is_no_way_out() {
    let old = Instance::start().await;
    let backends =
        vec![backend(1, 0, &[old.address]), backend(2, 1, &[free_address(), free_address(), free_address()])];
    let (edge, listen) = edge_to(Limits::default(), backends).await;
    let got = get(listen, "/").await;
    assert_eq!((got.status, got.serial()), (StatusCode::BAD_GATEWAY, "paydesk-000002"));
    assert_eq!(
        got.text(),
        "no instance of this service can be reached\nhint: `countersign status` shows what runs and its health\n"
    );
    assert_eq!((tally(&edge, 1), tally(&edge, 2)), ((0, 0, 0), (1, 1, 0)));
    check_sums(&edge);
}

/// Answers the first request on each connection; the next closes it after its head was read.
async fn forgetful(counter: Arc<AtomicUsize>) -> std::net::SocketAddr {
    let talk = move |mut stream, _| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            counter.fetch_add(1, Ordering::SeqCst);
            stream.write_all(HELLO).await.unwrap();
            if !read_head(&mut stream).await.is_empty() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    raw_instance(talk).await.0
}

#[tokio::test]
async fn an_idle_connection_that_closes_is_no_error_for_a_request_that_may_be_sent_twice() {
    let received = Arc::new(AtomicUsize::new(0));
    let (edge, listen) =
        edge_to(Limits::default(), vec![backend(1, 1, &[forgetful(Arc::clone(&received)).await])]).await;
    let mut client = Client::connect(listen).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.unwrap().text(), "hello");
    }
    assert_eq!(tally(&edge, 1), (10, 0, 0));
    let retried = edge.counts().components[0].retried;
    assert_eq!(received.load(Ordering::SeqCst) as u64, 10 + retried);
    check_sums(&edge);
}

#[tokio::test]
async fn what_must_not_be_sent_twice_is_not() {
    let received = Arc::new(AtomicUsize::new(0));
    let (edge, listen) =
        edge_to(Limits::default(), vec![backend(1, 1, &[forgetful(Arc::clone(&received)).await])]).await;
    let mut client = Client::connect(listen).await;
    assert_eq!(client.send(Method::POST, "/", "a payment").await.unwrap().status, StatusCode::OK);
    let got = client.send(Method::POST, "/", "a payment").await.unwrap();
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
    assert!(got.text().contains("may have been acted on"));
    assert_eq!((received.load(Ordering::SeqCst), edge.counts().components[0].retried), (2, 0));
    assert_eq!(tally(&edge, 1), (2, 1, 0));
}

#[tokio::test]
async fn connections_that_the_instance_closed_while_idle_are_seen_before_anything_is_sent() {
    let instance = Instance::start().await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    let mut client = Client::connect(listen).await;
    for _ in 0..20 {
        assert_eq!(client.send(Method::POST, "/echo", "a payment").await.unwrap().text(), "a payment");
    }
    assert_eq!(instance.connections.load(Ordering::SeqCst), 1, "connections are used again");
    let address = instance.address;
    instance.stop().await;
    let again = Instance::start_at(address).await;
    // The end of the old connection is known to the kernel since `stop` returned, or the edge is refused and tries anew.
    assert_eq!(client.get("/").await.unwrap().status, StatusCode::OK);
    assert_eq!(tally(&edge, 1), (21, 0, 0));
    again.stop().await;
}

#[tokio::test]
async fn a_get_that_kills_instances_does_not_kill_them_all() {
    let talk = |mut stream, _| async move {
        read_head(&mut stream).await;
    };
    let (first, one) = raw_instance(talk).await;
    let (second, two) = raw_instance(talk).await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[first, second])]).await;
    assert_eq!(get(listen, "/").await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(one.load(Ordering::SeqCst) + two.load(Ordering::SeqCst), 1);
    assert_eq!(tally(&edge, 1), (1, 1, 0));
}

#[tokio::test]
async fn instances_of_a_version_that_is_drained_are_not_kept_waiting_by_idle_connections() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (ended_sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let (kept, _) = raw_instance(move |mut stream, _| {
        let ended = ended_sender.clone();
        async move {
            while !read_head(&mut stream).await.is_empty() {
                stream.write_all(HELLO).await.unwrap();
            }
            ended.send(()).unwrap();
        }
    })
    .await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[kept])]).await;
    assert_eq!(get(listen, "/").await.text(), "hello");
    edge.apply(table(1, 2, vec![route(listen, Open, vec![backend(1, 0, &[kept]), backend(2, 1, &[new.address])])]))
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, ended.recv()).await.unwrap().unwrap();
    old.stop().await;
}
