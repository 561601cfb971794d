//! Heads: what goes on to instances and back to clients, and what is refused.

use edge::{Edge, Limits};
use hyper::StatusCode;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::*;

/// An edge before an instance that shows the heads it gets.
async fn one() -> (Edge, SocketAddr, Instance) {
    let instance = Instance::start().await;
    let (edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[instance.address])]).await;
    (edge, listen, instance)
}

/// Sends a head, closes, and gives what the instance saw.
async fn seen(listen: SocketAddr, head: &str) -> String {
    let answer = talk(listen, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1."), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    body.to_owned()
}

#[tokio::test]
async fn an_instance_learns_who_asks_from_the_edge_alone() {
    let (_edge, listen, _instance) = one().await;
    let body = seen(
        listen,
        "GET /head?a=1 HTTP/1.1\r\nHost: shop.example:81\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\
         X-Forwarded-For: 7.7.7.7\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Port: 1\r\nProxy-Authorization: x\r\nKeep-Alive: 5\r\nTE: trailers\r\nExpect: 100-continue\r\nCookie: a=1\r\nCookie: b=2\r\nX-Kept: yes\r\n\r\n",
    )
    .await;
    let mut lines: Vec<_> = body.lines().collect();
    assert_eq!(lines.remove(0), "GET /head?a=1 HTTP/1.1");
    lines.sort_unstable();
    // Clients on the loopback have 127.0.0.1 or the address that they connect to.
    let client = lines.iter().find_map(|line| line.strip_prefix("x-forwarded-for: ")).unwrap();
    assert!(client.starts_with("127."), "{client}");
    let forwarded = format!("forwarded: for={client};proto=http");
    let from = format!("x-forwarded-for: {client}");
    assert_eq!(
        lines,
        ["cookie: a=1; b=2", &forwarded, "host: shop.example:81", &from, "x-forwarded-proto: http", "x-kept: yes"]
    );
}

#[tokio::test]
async fn a_client_learns_the_version_and_nothing_of_the_hop() {
    let (_edge, listen, _instance) = one().await;
    let got = get(listen, "/head").await;
    assert_eq!(got.serial(), "paydesk-000001");
    assert_eq!(got.headers.get_all("x-countersign-serial").iter().count(), 1);
    for gone in ["connection", "x-hop", "keep-alive"] {
        assert!(!got.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(got.header("x-kept"), "1");
}

#[tokio::test]
async fn hosts_and_targets_are_what_the_rules_say() {
    let (_edge, listen, _instance) = one().await;
    let absolute =
        seen(listen, "GET http://real.example/head HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n").await;
    assert!(absolute.starts_with("GET /head HTTP/1.1\n") && absolute.contains("host: real.example\n"), "{absolute}");
    let old = seen(listen, "GET /head HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("GET /head HTTP/1.1\n") && old.contains(&format!("host: {listen}\n")), "{old}");
    let kept = seen(listen, "GET /head HTTP/1.1\r\nHost: a\r\nConnection: close, host\r\n\r\n").await;
    assert!(kept.contains("host: a\n"), "{kept}");
}

#[tokio::test]
async fn malformed_requests_are_refused_and_reach_no_instance() {
    let (edge, listen, instance) = one().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(200));
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", "400"),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "400"),
        ("NO SPACES HERE HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "400"),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (&long, "431"),
        (&large, "431"),
        (&many, "431"),
    ];
    for (request, status) in cases {
        let answer = talk(listen, request.as_bytes()).await;
        let shown = &request[..request.len().min(90)];
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) || answer.starts_with(&format!("HTTP/1.0 {status} ")),
            "{shown:?} got {answer:?}"
        );
    }
    assert_eq!(instance.connections.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(edge.counts().components[0].rejected, 5);
    check_sums(&edge);
}

#[tokio::test]
async fn no_request_can_be_smuggled_past_the_edge() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&got);
    let (address, _) = raw_instance(move |mut stream: TcpStream, _| {
        let heard = Arc::clone(&heard);
        async move {
            loop {
                let mut message = read_head(&mut stream).await;
                if message.is_empty() {
                    return;
                }
                while message.contains("chunked") && !message.ends_with("0\r\n\r\n") {
                    message += &read_head(&mut stream).await;
                }
                heard.lock().unwrap().push(message);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await;
    let (_edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[address])]).await;
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for order in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", hidden.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}", hidden.len()),
    ] {
        got.lock().unwrap().clear();
        let answer =
            talk(listen, format!("POST /seen HTTP/1.1\r\nHost: a\r\n{order}\r\n\r\n{hidden}").as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "the connection ends after such a request: {answer}");
        let got = got.lock().unwrap();
        assert_eq!(got.len(), 1, "{got:?}");
        assert!(got[0].starts_with("POST /seen ") && !got[0].contains("hidden"), "{got:?}");
        let lower = got[0].to_ascii_lowercase();
        assert!(!(lower.contains("content-length") && lower.contains("transfer-encoding")), "{got:?}");
    }
}

#[tokio::test]
async fn chunks_that_do_not_parse_break_the_request_off() {
    let (edge, listen, _instance) = one().await;
    for chunk in ["zz\r\nhello\r\n0\r\n\r\n", "5 \x01\r\nhello\r\n0\r\n\r\n", "FFFFFFFFFFFFFFFFF\r\n"] {
        let request = format!("POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        let answer = talk(listen, request.as_bytes()).await;
        assert!(!answer.contains(" 200 "), "{chunk:?} got {answer:?}");
    }
    until("nothing is in flight", || async { tally(&edge, 1).2 == 0 }).await;
    assert_eq!(tally(&edge, 1).1, 0, "a client's fault is no error of the version");
    check_sums(&edge);
}

#[tokio::test]
async fn requests_in_a_row_on_one_connection_are_answered_in_order() {
    let (edge, listen, _instance) = one().await;
    let row = "GET /zeros/3 HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = talk(listen, row.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert!(answers.find("abc").unwrap() < answers.find("hello").unwrap());
    assert_eq!(tally(&edge, 1), (3, 0, 0));
}

#[tokio::test]
async fn a_head_request_has_no_body_and_its_connection_goes_on() {
    let (edge, listen, instance) = one().await;
    let mut client = Client::connect(listen).await;
    for _ in 0..3 {
        let got = client.send(hyper::Method::HEAD, "/", "").await.unwrap();
        assert_eq!((got.status, got.header("content-length"), got.body.len()), (StatusCode::OK, "5", 0));
    }
    assert_eq!(instance.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(tally(&edge, 1), (3, 0, 0));
}
