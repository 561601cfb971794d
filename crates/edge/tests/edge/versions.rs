//! Versions side by side: each is reached by its own name, no name leads to another version, and whoever uses one is seen.

use edge::{Edge, Limits};
use hyper::{Method, StatusCode};
use model::route::{Named, Names, Protocol, Route, RouteState, VersionClients};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::*;

const OLD: &str = "paydesk-000001.research.example";
const NEW: &str = "paydesk-000002.research.example";
const LEASE: &str = "/.well-known/countersign/lease";

fn named(host: &str, ordinal: u64, closing: bool) -> Named {
    Named { host: host.to_owned(), serial: serial(ordinal), closing, lease_s: 600 }
}

fn by_name(mut route: Route, versions: Vec<Named>) -> Route {
    route.names = Some(Names { plain: vec!["research.example".to_owned()], versions });
    route
}

/// Version 2 is the latest, version 1 beside it has two names.
async fn side_by_side() -> (Edge, std::net::SocketAddr, [Instance; 2]) {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = (started(Limits::default()).await, free_address());
    let backends = vec![backend(2, 1, &[new.address]), backend(1, 0, &[old.address])];
    let names = vec![named(OLD, 1, false), named(NEW, 2, false), named("2026-10.research.example", 1, false)];
    edge.apply(table(1, 1, vec![by_name(route(listen, RouteState::Open, backends), names)])).await.unwrap();
    (edge, listen, [old, new])
}

async fn ask(listen: std::net::SocketAddr, host: &str) -> (StatusCode, String) {
    let answer = talk(listen, format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(StatusCode::IM_A_TEAPOT);
    let serial = answer.lines().find_map(|line| line.strip_prefix("x-countersign-serial: ")).unwrap_or_default();
    (status, serial.to_owned())
}

fn clients(edge: &Edge, ordinal: u64) -> VersionClients {
    edge.clients().versions.into_iter().find(|row| row.serial == serial(ordinal)).unwrap()
}

#[tokio::test]
async fn two_versions_answer_at_the_same_time_each_by_its_name() {
    let (edge, listen, _instances) = side_by_side().await;
    let old = (StatusCode::OK, "paydesk-000001".to_owned());
    let new = (StatusCode::OK, "paydesk-000002".to_owned());
    for round in 0..3 {
        for (host, expected) in [
            (OLD, &old),
            ("2026-10.research.example:8088", &old),
            ("PAYDESK-000001.Research.Example.", &old),
            (NEW, &new),
            ("research.example", &new),
            ("127.0.0.1:8088", &new),
            ("localhost", &new),
        ] {
            assert_eq!(&ask(listen, host).await, expected, "{host} in round {round}");
        }
    }
    assert_eq!((tally(&edge, 1), tally(&edge, 2)), ((9, 0, 0), (12, 0, 0)));
    check_sums(&edge);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_no_version() {
    let (edge, listen, _instances) = side_by_side().await;
    for host in
        ["paydesk-000003.research.example", "paydesk-000001.evil.example", "latest", "x", "2026-11.research.example"]
    {
        assert_eq!(ask(listen, host).await, (StatusCode::MISDIRECTED_REQUEST, String::new()), "{host}");
    }
    // The request's target wins over the field.
    let both =
        format!("GET http://paydesk-000009.research.example/ HTTP/1.1\r\nHost: {OLD}\r\nConnection: close\r\n\r\n");
    assert!(talk(listen, both.as_bytes()).await.starts_with("HTTP/1.1 421 "));
    assert_eq!((tally(&edge, 1), tally(&edge, 2)), ((0, 0, 0), (0, 0, 0)));
    assert_eq!((clients(&edge, 1).last_seen, clients(&edge, 2).last_seen), (None, None));
    check_sums(&edge);
}

#[tokio::test]
async fn who_asks_for_a_version_that_closes_is_seen() {
    let (edge, listen, [old, new]) = side_by_side().await;
    let before = edge.clients();
    let backends = vec![backend(2, 1, &[new.address]), backend(1, 0, &[old.address])];
    let closing = vec![named(OLD, 1, true), named(NEW, 2, false)];
    edge.apply(table(1, 2, vec![by_name(route(listen, RouteState::Open, backends), closing)])).await.unwrap();
    assert_eq!((edge.clients().generation, edge.clients().revision), (1, 2));
    assert_eq!(clients(&edge, 1).last_seen, None);
    assert_eq!(ask(listen, OLD).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(clients(&edge, 1).last_seen.is_some_and(|seen| seen >= before.now));
    assert_eq!(ask(listen, NEW).await.0, StatusCode::OK);
    // A name that left the table is nobody's.
    assert_eq!(ask(listen, "2026-10.research.example").await.0, StatusCode::MISDIRECTED_REQUEST);
    check_sums(&edge);
}

#[tokio::test]
async fn a_web_socket_by_name_stays_whatever_the_weights() {
    let (edge, listen, [old, new]) = side_by_side().await;
    let mut socket = TcpStream::connect(listen).await.unwrap();
    let asks = format!("GET /socket HTTP/1.1\r\nHost: {OLD}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    socket.write_all(asks.as_bytes()).await.unwrap();
    assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 101 "));
    assert_eq!((clients(&edge, 1).sessions, clients(&edge, 1).connections), (1, 1));
    // A limit for sessions on versions that take nothing new is none of its: its version takes requests by name.
    let backends = vec![backend(2, 1, &[new.address]), backend(1, 0, &[old.address])];
    let mut drains = by_name(route(listen, RouteState::Open, backends), vec![named(OLD, 1, false)]);
    drains.drain_ms = Some(1);
    edge.apply(table(1, 2, vec![drains])).await.unwrap();
    for word in [&b"one"[..], b"two"] {
        socket.write_all(word).await.unwrap();
        let mut back = vec![0; word.len()];
        timeout(PATIENCE, socket.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(back, word);
    }
    assert_eq!(edge.counts().cut, []);
    drop(socket);
    until("it ended", || async { clients(&edge, 1).sessions == 0 }).await;
}

#[tokio::test]
async fn plain_tcp_without_a_server_name_reaches_the_latest() {
    let (old, new) = (Instance::start().await, Instance::start().await);
    let (edge, listen) = (started(Limits::default()).await, free_address());
    let backends = vec![backend(2, 1, &[new.address]), backend(1, 0, &[old.address])];
    let mut tcp = by_name(route(listen, RouteState::Open, backends), vec![named(OLD, 1, false), named(NEW, 2, false)]);
    tcp.protocol = Protocol::Tcp;
    edge.apply(table(1, 1, vec![tcp])).await.unwrap();
    assert!(talk(listen, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.contains("hello"));
    until("it is counted", || async { tally(&edge, 2) == (1, 0, 0) }).await;
    assert_eq!(tally(&edge, 1), (0, 0, 0));
}

async fn lease(listen: std::net::SocketAddr, host: &str, method: Method, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} {LEASE} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let answer = talk(listen, request.as_bytes()).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_lease_keeps_a_version_named_and_bounded() {
    let (edge, listen, _instances) = side_by_side().await;
    let sheet = r#"{"name":"month-end sheet","for_s":60}"#;
    let (status, answer) = lease(listen, OLD, Method::POST, sheet).await;
    assert_eq!((status, &answer["serial"]), (201, &json!("paydesk-000001")), "{answer}");
    let row = clients(&edge, 1);
    assert_eq!((row.leases.len(), row.leases[0].name.as_str(), row.connections), (1, "month-end sheet", 0));
    assert!(row.leases[0].identity.starts_with("address:127."), "{row:?}");
    assert!(row.last_seen.is_some());
    assert_eq!(clients(&edge, 2).leases, []);
    // Renewing is not another one.
    assert_eq!(lease(listen, OLD, Method::POST, r#"{"name":"month-end sheet"}"#).await.0, 201);
    assert_eq!(clients(&edge, 1).leases.len(), 1);
    let (_, own) = lease(listen, OLD, Method::GET, "").await;
    assert_eq!(own["leases"].as_array().map(Vec::len), Some(1), "{own}");

    for (host, body, status) in [
        (OLD, r#"{"name":"x","for_s":601}"#, 422),
        (OLD, r#"{"name":"x","for_s":0}"#, 422),
        (OLD, r#"{"name":"","for_s":1}"#, 422),
        (OLD, "{\"name\":\"a\\nb\"}", 422),
        (OLD, r#"{"name":"x","why":1}"#, 400),
        (OLD, "", 400),
        ("research.example", sheet, 409),
        ("paydesk-000007.research.example", sheet, 421),
    ] {
        assert_eq!(lease(listen, host, Method::POST, body).await.0, status, "{host} {body}");
    }
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(2_000));
    assert_eq!(lease(listen, OLD, Method::POST, &large).await.0, 400);
    assert_eq!(lease(listen, OLD, Method::PUT, sheet).await.0, 405);
    assert_eq!(clients(&edge, 1).leases.len(), 1);
    assert_eq!(lease(listen, OLD, Method::DELETE, r#"{"name":"month-end sheet"}"#).await.0, 200);
    assert_eq!(clients(&edge, 1).leases, []);
    // Nothing of it reached a component.
    assert_eq!((tally(&edge, 1), tally(&edge, 2)), ((0, 0, 0), (0, 0, 0)));
}

#[tokio::test]
async fn without_names_the_path_of_leases_is_the_components_own() {
    let old = Instance::start().await;
    let (_edge, listen) = edge_to(Limits::default(), vec![backend(1, 1, &[old.address])]).await;
    assert_eq!(get(listen, LEASE).await.text(), "hello");
}

#[tokio::test]
async fn names_that_could_mean_two_versions_are_refused() {
    let (edge, listen) = (started(Limits::default()).await, free_address());
    for hosts in [
        vec!["a.example", "a.example"],
        vec!["A.example"],
        vec!["127.0.0.1"],
        vec![""],
        vec!["a..b"],
        vec!["research.example"],
    ] {
        let names = hosts.iter().map(|host| named(host, 1, false)).collect();
        let wrong = table(1, 1, vec![by_name(route(listen, RouteState::Open, vec![]), names)]);
        edge.apply(wrong).await.expect_err(&format!("{hosts:?}"));
    }
    assert_eq!(edge.table(), None);
}

/// A lease is kept or refused: while the version goes, it is refused, and the asking is seen.
#[tokio::test]
async fn no_lease_is_given_at_a_version_that_is_closing() {
    let (edge, listen, [old, new]) = side_by_side().await;
    let backends = vec![backend(2, 1, &[new.address]), backend(1, 0, &[old.address])];
    let closing = vec![named(OLD, 1, true), named(NEW, 2, false)];
    edge.apply(table(1, 2, vec![by_name(route(listen, RouteState::Open, backends), closing)])).await.unwrap();
    let (status, answer) = lease(listen, OLD, Method::POST, r#"{"name":"month-end sheet","for_s":60}"#).await;
    assert_eq!(status, 503, "{answer}");
    let seen = edge.clients();
    assert!(seen.versions.iter().all(|version| version.leases.is_empty()));
    assert!(seen.versions.iter().any(|version| version.last_seen.is_some()), "{seen:?}");
}
