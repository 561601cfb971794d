//! Upgraded connections: carried across switches, counted as in flight until they end.

use std::time::Duration;

use edge::Limits;
use hyper::StatusCode;
use model::route::RouteState::Open;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::*;

const ASK: &[u8] = b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";

async fn exchange(stream: &mut TcpStream, word: &[u8]) {
    stream.write_all(word).await.unwrap();
    let mut back = vec![0; word.len()];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, word);
}

async fn upgraded(listen: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(listen).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in ["connection: upgrade", "upgrade: websocket", "x-countersign-serial: paydesk-000001"] {
        assert!(head.contains(line), "{head}");
    }
    stream
}

#[tokio::test]
async fn a_web_socket_lives_through_a_switch_and_counts_until_it_ends() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[free_address(), old.address])]).await;
    let mut socket = upgraded(listen).await;
    exchange(&mut socket, b"before").await;
    edge.apply(table(
        1,
        2,
        vec![route(listen, Open, vec![backend(1, 0, &[old.address]), backend(2, 1, &[new.address])])],
    ))
    .await
    .unwrap();
    assert_eq!(get(listen, "/").await.serial(), "paydesk-000002");
    exchange(&mut socket, b"after").await;
    assert_eq!(tally(&edge, 1), (0, 0, 1));
    drop(socket);
    until("it ended", || async { tally(&edge, 1) == (1, 0, 0) }).await;
    check_sums(&edge);
}

#[tokio::test]
async fn a_web_socket_is_cut_and_listed_when_its_time_is_over() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[old.address])]).await;
    let mut socket = upgraded(listen).await;
    exchange(&mut socket, b"before").await;
    let clients = edge.clients().versions;
    assert_eq!((clients[0].connections, clients[0].sessions), (1, 1), "{clients:?}");
    let mut drained = route(listen, Open, vec![backend(1, 0, &[old.address]), backend(2, 1, &[new.address])]);
    drained.drain_ms = Some(1_500);
    edge.apply(table(1, 2, vec![drained])).await.unwrap();
    exchange(&mut socket, b"after").await;
    assert_eq!(edge.counts().cut, []);
    let mut nothing = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut nothing)).await.unwrap().unwrap();
    until("it is counted", || async { tally(&edge, 1) == (1, 0, 0) }).await;
    let cut = edge.counts().cut;
    assert_eq!((cut.len(), cut[0].sessions, cut[0].serial.clone()), (1, 1, serial(1)));
    let clients = edge.clients().versions;
    assert_eq!((clients[0].connections, clients[0].sessions, clients[0].clients), (0, 0, 1), "{clients:?}");
    check_sums(&edge);
}

#[tokio::test]
async fn an_instance_may_decline() {
    let instance = Instance::start().await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    let answer =
        talk(listen, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    assert_eq!(tally(&edge, 1), (1, 0, 0));
}

#[tokio::test]
async fn other_protocols_are_not_let_through() {
    let instance = Instance::start().await;
    let (_edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    for protocol in ["h2c", "tcp", "websocket, h2c"] {
        let request = format!(
            "GET /head HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMA\r\n\r\n"
        );
        let answer = talk(listen, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
    }
}

#[tokio::test]
async fn silence_and_the_end_of_the_edge_end_it() {
    let instance = Instance::start().await;
    let limits = Limits { upgraded_idle_timeout_ms: 100, ..Limits::default() };
    let (edge, listen) = edge_to(limits, vec![backend(1, 1, &[instance.address])]).await;
    let mut silent = upgraded(listen).await;
    let mut nothing = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut nothing)).await.unwrap().unwrap();
    until("it is counted", || async { tally(&edge, 1) == (1, 0, 0) }).await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    let mut open = upgraded(listen).await;
    exchange(&mut open, b"hello").await;
    assert_eq!(edge.shutdown(Duration::from_millis(100)).await.cut, 1);
    timeout(PATIENCE, open.read_to_end(&mut nothing)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_upgrade_that_nobody_takes_is_answered() {
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[free_address()])]).await;
    let mut stream = TcpStream::connect(listen).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with(&format!("HTTP/1.1 {}", StatusCode::BAD_GATEWAY)));
    assert_eq!(tally(&edge, 1), (1, 1, 0));
}
