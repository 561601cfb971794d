//! Bodies: streamed both ways, limited in size and silence, and counted rightly when one side leaves.

use std::time::Duration;

use edge::Limits;
use hyper::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::*;

const MIB: usize = 1024 * 1024;

fn quick() -> Limits {
    Limits {
        answer_timeout_ms: 200,
        header_timeout_ms: 200,
        idle_timeout_ms: 200,
        max_body_bytes: 100_000,
        ..Limits::default()
    }
}

async fn one(limits: Limits) -> (edge::Edge, std::net::SocketAddr, Instance) {
    let instance = Instance::start().await;
    let (edge, listen) = edge_to(limits, vec![backend(1, 1, &[instance.address])]).await;
    (edge, listen, instance)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_stream_both_ways() {
    let (edge, listen, _instance) = one(Limits { max_body_bytes: 64 * MIB as u64, ..Limits::default() }).await;
    let mut client = Client::connect(listen).await;
    assert_eq!(client.get(&format!("/zeros/{}", 48 * MIB)).await.unwrap().body.len(), 48 * MIB);
    assert_eq!(client.send_zeros("/count", 48 * MIB).await.unwrap().text(), (48 * MIB).to_string());
    assert_eq!(client.send_zeros("/echo", 24 * MIB).await.unwrap().body.len(), 24 * MIB);
    let sized = vec![7_u8; 8 * MIB];
    assert_eq!(client.send(Method::PUT, "/echo", sized.clone()).await.unwrap().body, sized);
    assert_eq!(tally(&edge, 1), (4, 0, 0));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let (edge, listen, _instance) = one(quick()).await;
    assert_eq!(
        Client::connect(listen).await.send(Method::POST, "/count", vec![0; 100_000]).await.unwrap().text(),
        "100000"
    );
    let declared = talk(listen, b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n").await;
    assert!(declared.starts_with("HTTP/1.1 413 "), "{declared}");
    assert!(
        declared.contains("\r\nconnection: close\r\n") && declared.ends_with("have the limit raised\n"),
        "{declared}"
    );
    let found = Client::connect(listen).await.send_zeros("/count", 100_001).await.unwrap();
    assert_eq!(found.status, StatusCode::PAYLOAD_TOO_LARGE);
    until("nothing is in flight", || async { tally(&edge, 1).2 == 0 }).await;
    assert_eq!(tally(&edge, 1), (2, 0, 0), "a client's fault is no error of the version");
    assert_eq!(edge.counts().components[0].rejected, 1);
    check_sums(&edge);
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let (edge, listen, _instance) = one(quick()).await;
    assert_eq!(talk(listen, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await, "", "a head that never ends");
    assert_eq!(talk(listen, b"").await, "", "a connection that says nothing");
    let stalled = talk(listen, b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(stalled.starts_with("HTTP/1.1 408 "), "{stalled}");
    until("nothing is in flight", || async { tally(&edge, 1).2 == 0 }).await;
    assert_eq!(tally(&edge, 1), (1, 0, 0));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let (edge, listen, _instance) = one(quick()).await;
    let mut client = TcpStream::connect(listen).await.unwrap();
    client.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("it is in flight", || async { tally(&edge, 1).2 == 1 }).await;
    until("it is cut", || async { tally(&edge, 1) == (1, 0, 0) }).await;
    let mut rest = Vec::new();
    // What was sent before, and then the end; a reset is an end too.
    let _ended = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_does_not_answer_in_time_is_an_error() {
    let (edge, listen, _instance) = one(quick()).await;
    let got = get(listen, "/hang").await;
    assert_eq!((got.status, got.serial()), (StatusCode::GATEWAY_TIMEOUT, "paydesk-000001"));
    assert_eq!(tally(&edge, 1), (1, 1, 0));
}

#[tokio::test]
async fn a_long_upload_that_goes_on_is_not_too_slow() {
    let (edge, listen, _instance) = one(Limits { idle_timeout_ms: 2_000, ..quick() }).await;
    let mut client = TcpStream::connect(listen).await.unwrap();
    client
        .write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n")
        .await
        .unwrap();
    // Three times the limit for the answer, which counts from the end of the body.
    let mut ticks = tokio::time::interval(Duration::from_millis(60));
    for _ in 0..10 {
        ticks.tick().await;
        client.write_all(b"x").await.unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("10"), "{answer}");
    assert_eq!(tally(&edge, 1), (1, 0, 0));
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let (_edge, listen, _instance) = one(quick()).await;
    let mut client = TcpStream::connect(listen).await.unwrap();
    client
        .write_all(
            b"PUT /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        )
        .await
        .unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"four").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n4"), "{answer}");
}

#[tokio::test]
async fn errors_of_the_version_are_counted_once_each() {
    let (edge, listen, _instance) = one(quick()).await;
    let mut client = Client::connect(listen).await;
    assert_eq!(client.get("/fail").await.unwrap().status, StatusCode::INTERNAL_SERVER_ERROR);
    client.get("/").await.unwrap();
    assert_eq!(tally(&edge, 1), (2, 1, 0));
}

#[tokio::test]
async fn answers_that_break_off_or_stall_are_errors_that_the_client_sees() {
    let answers: [(&[u8], bool); 4] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", true),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
    ];
    for (answer, closes) in answers {
        let (address, _) = raw_instance(move |mut stream: TcpStream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            if !closes {
                read_head(&mut stream).await;
            }
        })
        .await;
        let (edge, listen) = edge_to(quick(), vec![backend(1, 1, &[address])]).await;
        assert!(Client::connect(listen).await.get("/").await.is_err(), "{answer:?}");
        until("it is counted", || async { tally(&edge, 1) == (1, 1, 0) }).await;
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_whole() {
    let (address, _) = raw_instance(|mut stream: TcpStream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await.unwrap();
    })
    .await;
    let (edge, listen) = edge_to(quick(), vec![backend(1, 1, &[address])]).await;
    let mut client = Client::connect(listen).await;
    assert_eq!(client.get("/").await.unwrap().text(), "until the end");
    assert_eq!(client.get("/").await.unwrap().text(), "until the end", "the client's connection goes on");
    assert_eq!(tally(&edge, 1), (2, 0, 0));
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"",
    ] {
        let (address, _) = raw_instance(move |mut stream: TcpStream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        })
        .await;
        let (edge, listen) = edge_to(quick(), vec![backend(1, 1, &[address])]).await;
        assert_eq!(get(listen, "/").await.status, StatusCode::BAD_GATEWAY, "{answer:?}");
        assert_eq!(tally(&edge, 1), (1, 1, 0));
    }
}

#[tokio::test]
async fn clients_that_leave_midway_are_requests_but_no_errors() {
    let (edge, listen, instance) = one(Limits::default()).await;
    let requests: [&[u8]; 4] = [
        b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nten bytes.",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ];
    for (n, request) in (0..).zip(requests) {
        let mut client = TcpStream::connect(listen).await.unwrap();
        client.write_all(request).await.unwrap();
        until("it is in flight", || async { tally(&edge, 1).2 == 1 }).await;
        drop(client);
        until("it is counted", || async { tally(&edge, 1) == (n + 1, 0, 0) }).await;
    }
    assert_eq!(get(listen, "/").await.status, StatusCode::OK);
    check_sums(&edge);
    instance.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let (edge, listen, instance) = one(Limits { max_connections: 2, ..Limits::default() }).await;
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(async move { get(listen, "/wait").await })).collect();
    until("two wait", || async { instance.waiting() == 2 }).await;
    let third = tokio::spawn(async move { get(listen, "/").await });
    // The third is connected, to the kernel's queue, but takes no part before one of the two ends.
    let _connected = TcpStream::connect(listen).await.unwrap();
    assert_eq!(edge.counts().components[0].requests, 2);
    instance.release();
    for one in waiting {
        assert_eq!(one.await.unwrap().text(), "waited");
    }
    assert_eq!(third.await.unwrap().text(), "hello");
}
