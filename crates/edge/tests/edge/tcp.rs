//! Plain TCP: carried as it is, counted while it is open, left on its version at a switch, and cut and listed at the limit.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use edge::{ApplyError, Edge, Limits};
use model::route::{
    Backend, Flag, Identity, Protocol, Route,
    RouteState::{Closed, Hold, Open},
    VersionClients, unit,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::*;

/// An acceptor that answers each message with its name before it.
async fn acceptor(name: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    raw_instance(move |mut stream, _| async move {
        let mut buffer = [0; 1024];
        while let Ok(size @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&[name.as_bytes(), &buffer[..size]].concat()).await.is_err() {
                return;
            }
        }
        // The initiator has said all that it had to say.
        let _gone = stream.write_all(b" logout").await;
    })
    .await
}

fn tcp(listen: SocketAddr, backends: Vec<Backend>) -> Route {
    Route { protocol: Protocol::Tcp, ..route(listen, Open, backends) }
}

async fn carrying(limits: Limits, backends: Vec<Backend>) -> (Edge, SocketAddr) {
    let (edge, listen) = (started(limits).await, free_address());
    edge.apply(table(1, 1, vec![tcp(listen, backends)])).await.unwrap();
    (edge, listen)
}

async fn exchange(stream: &mut TcpStream, word: &str, wanted: &str) {
    stream.write_all(word.as_bytes()).await.unwrap();
    let mut back = vec![0; wanted.len()];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&back), wanted);
}

async fn rest(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut rest = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().map(|_| rest)
}

fn clients(edge: &Edge, ordinal: u64) -> VersionClients {
    edge.clients().versions.into_iter().find(|row| row.serial == serial(ordinal)).unwrap()
}

#[tokio::test]
async fn a_session_stays_on_its_version_until_it_ends_and_half_an_end_is_half_an_end() {
    let ((old, _), (new, _)) = (acceptor("old ").await, acceptor("new ").await);
    let (edge, listen) = carrying(Limits::default(), vec![backend(1, 1, &[free_address(), old])]).await;
    let mut session = TcpStream::connect(listen).await.unwrap();
    exchange(&mut session, "8=FIX.4.4", "old 8=FIX.4.4").await;
    let both = vec![backend(1, 0, &[old]), backend(2, 1, &[new])];
    edge.apply(table(1, 2, vec![tcp(listen, both)])).await.unwrap();
    let mut later = TcpStream::connect(listen).await.unwrap();
    exchange(&mut later, "A", "new A").await;
    exchange(&mut session, "35=0", "old 35=0").await;
    assert_eq!((tally(&edge, 1), tally(&edge, 2)), ((0, 0, 1), (0, 0, 1)));
    let row = clients(&edge, 1);
    assert_eq!((row.connections, row.sessions, row.clients), (1, 1, 1));
    assert_eq!((row.seen[0].identity.as_str(), row.seen[0].sessions), ("address:127.0.0.1", 1));
    // Even off the table, without a limit.
    edge.apply(table(1, 3, vec![tcp(listen, vec![backend(2, 1, &[new])])])).await.unwrap();
    exchange(&mut session, "35=0", "old 35=0").await;
    session.shutdown().await.unwrap();
    assert_eq!(rest(&mut session).await.unwrap(), " logout");
    until("it is counted", || async { tally(&edge, 1) == (1, 0, 0) }).await;
    let row = clients(&edge, 1);
    assert_eq!((row.connections, row.sessions, row.clients), (0, 0, 1));
    assert_eq!(edge.counts().cut, []);
    drop(later);
    until("that too", || async { tally(&edge, 2) == (1, 0, 0) }).await;
    check_sums(&edge);
}

#[tokio::test]
async fn at_the_limit_sessions_are_cut_and_listed_and_none_before() {
    let ((old, _), (new, _)) = (acceptor("old ").await, acceptor("new ").await);
    let (edge, listen) = carrying(Limits::default(), vec![backend(1, 1, &[old])]).await;
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let mut session = TcpStream::connect(listen).await.unwrap();
        exchange(&mut session, "A", "old A").await;
        sessions.push(session);
    }
    let draining = |revision, drain_ms, weight| {
        let backends = vec![backend(1, weight, &[old]), backend(2, 1 - weight, &[new])];
        table(1, revision, vec![Route { drain_ms: Some(drain_ms), ..tcp(listen, backends) }])
    };
    // A switch and back before the limit: the clock of the first is forgotten.
    edge.apply(draining(2, 60_000, 0)).await.unwrap();
    edge.apply(draining(3, 1, 1)).await.unwrap();
    for session in &mut sessions {
        exchange(session, "B", "old B").await;
    }
    let began = std::time::Instant::now();
    edge.apply(draining(4, 1_500, 0)).await.unwrap();
    exchange(&mut sessions[0], "C", "old C").await;
    // A table in between does not give them the time again.
    edge.apply(draining(5, 1_500, 0)).await.unwrap();
    for session in &mut sessions {
        assert_eq!(rest(session).await.unwrap(), "");
    }
    assert!(began.elapsed() >= std::time::Duration::from_millis(1_500), "cut before its time");
    until("all are counted", || async { tally(&edge, 1) == (20, 0, 0) }).await;
    let cut = edge.counts().cut;
    assert_eq!((cut.len(), cut[0].serial.clone(), cut[0].sessions), (1, serial(1), 20));
    assert!(cut[0].since <= cut[0].last && clients(&edge, 1).sessions == 0, "{cut:?}");
    let mut later = TcpStream::connect(listen).await.unwrap();
    exchange(&mut later, "D", "new D").await;
}

#[tokio::test]
async fn a_reset_is_a_reset_on_the_other_side_and_counts_if_it_was_the_instances() {
    let (resets, _) = raw_instance(|mut stream, n| async move {
        let _first = stream.read_u8().await;
        if n == 0 {
            stream.set_zero_linger().unwrap();
            return;
        }
        // Says what it sees of the client's end.
        let seen = stream.read_u8().await.unwrap_err().kind();
        assert_eq!(seen, ErrorKind::ConnectionReset);
    })
    .await;
    let (edge, listen) = carrying(Limits::default(), vec![backend(1, 1, &[resets])]).await;
    let mut session = TcpStream::connect(listen).await.unwrap();
    session.write_all(b"A").await.unwrap();
    assert_eq!(rest(&mut session).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    until("it is counted", || async { tally(&edge, 1) == (1, 1, 0) }).await;
    let mut session = TcpStream::connect(listen).await.unwrap();
    session.write_all(b"A").await.unwrap();
    until("it is open", || async { tally(&edge, 1).2 == 1 }).await;
    session.set_zero_linger().unwrap();
    drop(session);
    until("a client that breaks off is no failure", || async { tally(&edge, 1) == (2, 1, 0) }).await;
}

#[tokio::test]
async fn clients_that_vanish_stall_or_send_garbage_cost_a_connection_and_no_more() {
    let (echo, _) = acceptor("").await;
    // It never reads.
    let (deaf, accepted) = raw_instance(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let limits = Limits { idle_timeout_ms: 200, upgraded_idle_timeout_ms: 300, ..Limits::default() };
    let (edge, listen) = carrying(limits, vec![backend(1, 1, &[echo])]).await;
    // Opens and never sends.
    let mut silent = TcpStream::connect(listen).await.unwrap();
    assert_eq!(rest(&mut silent).await.unwrap(), "");
    // Sends without end and never reads: its buffers and ours fill, and its writes stall.
    let mut greedy = TcpStream::connect(listen).await.unwrap();
    let garbage = vec![0xff; 64 * 1024];
    let stalled = async { while greedy.write_all(&garbage).await.is_ok() {} };
    timeout(PATIENCE, stalled).await.expect("never cut");
    // Half closes at once.
    let mut half = TcpStream::connect(listen).await.unwrap();
    half.shutdown().await.unwrap();
    assert_eq!(rest(&mut half).await.unwrap(), " logout");
    // Vanishes at once.
    for _ in 0..50 {
        drop(TcpStream::connect(listen).await.unwrap());
    }
    until("all are counted", || async { tally(&edge, 1) == (53, 0, 0) }).await;
    // An instance that accepts and never answers.
    edge.apply(table(1, 2, vec![tcp(listen, vec![backend(2, 1, &[deaf])])])).await.unwrap();
    let mut asks = TcpStream::connect(listen).await.unwrap();
    asks.write_all(b"A").await.unwrap();
    assert_eq!(rest(&mut asks).await.unwrap(), "");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    until("it is counted", || async { tally(&edge, 2) == (1, 0, 0) }).await;
    assert!(edge.clients().versions.iter().all(|row| (row.connections, row.sessions) == (0, 0)));
    check_sums(&edge);
}

#[tokio::test]
async fn a_route_that_holds_lets_connections_wait_and_one_that_is_closed_ends_them() {
    let (echo, _) = acceptor("").await;
    let (edge, listen) = (started(Limits::default()).await, free_address());
    let held = Route { protocol: Protocol::Tcp, ..route(listen, Hold { limit_ms: 60_000 }, vec![]) };
    edge.apply(table(1, 1, vec![held])).await.unwrap();
    let mut session = TcpStream::connect(listen).await.unwrap();
    session.write_all(b"A").await.unwrap();
    until("it waits", || async { edge.counts().held == 1 }).await;
    edge.apply(table(1, 2, vec![tcp(listen, vec![backend(1, 1, &[echo])])])).await.unwrap();
    let mut back = [0; 1];
    timeout(PATIENCE, session.read_exact(&mut back)).await.unwrap().unwrap();
    edge.apply(table(1, 3, vec![tcp(listen, vec![backend(1, 1, &[free_address()])])])).await.unwrap();
    let mut refused = TcpStream::connect(listen).await.unwrap();
    assert_eq!(rest(&mut refused).await.unwrap(), "");
    edge.apply(table(1, 4, vec![Route { protocol: Protocol::Tcp, ..route(listen, Closed, vec![]) }])).await.unwrap();
    let mut closed = TcpStream::connect(listen).await.unwrap();
    assert_eq!(rest(&mut closed).await.unwrap(), "");
    exchange(&mut session, "B", "B").await;
    // The end of the edge ends it.
    assert_eq!(edge.shutdown(std::time::Duration::from_millis(100)).await.cut, 1);
    assert_eq!(rest(&mut session).await.unwrap(), "");
    let counts = edge.counts();
    assert_eq!((counts.components[0].turned_away, counts.components[0].requests, counts.held), (1, 3, 0));
    check_sums(&edge);
}

#[tokio::test]
async fn connections_are_compared_by_address() {
    let ((old, _), (new, _)) = (acceptor("old ").await, acceptor("new ").await);
    let (edge, listen) = (started(Limits::default()).await, free_address());
    let mut compared = tcp(listen, vec![backend(1, 1, &[old]), backend(2, 1, &[new])]);
    compared.split = Some(split(50, vec![Flag::Failed]));
    edge.apply(table(1, 1, vec![compared])).await.unwrap();
    let net = (std::process::id() % 250) as u8;
    for (is_trial, name) in [(true, "new "), (false, "old ")] {
        let is_there = |ip: &IpAddr| (unit(&split(50, vec![]).salt, &format!("address:{ip}")) < 50) == is_trial;
        let ip = (1..=250).map(|n| IpAddr::from([127, 252, net, n])).find(is_there).unwrap();
        for _ in 0..5 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(ip, 0)).unwrap();
            let mut session = socket.connect(listen).await.unwrap();
            exchange(&mut session, "A", &format!("{name}A")).await;
        }
    }
    until("all have ended", || async { tally(&edge, 1).2 + tally(&edge, 2).2 == 0 }).await;
    let from = edge.ticks(0).next;
    until("two more ticks", || async { edge.ticks(0).next >= from + 2 }).await;
    let rows = edge.ticks(0).rows;
    assert_eq!(
        rows.iter().map(|row| (row.trial.requests, row.control.requests)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (5, 5)
    );
    // Over plain TCP there are no fields to know anybody by.
    let by_cookie = Route { identity: vec![Identity::Cookie { name: "at".to_owned() }], ..tcp(listen, vec![]) };
    assert!(matches!(edge.apply(table(1, 2, vec![by_cookie])).await, Err(ApplyError::Table(_))));
}
