//! Surges: what matters goes on, the rest is told when to come back, and no version is judged by what never reached it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use edge::{ApplyError, Edge, Limits};
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use model::{
    release::{PriorityClass, RequestRate, Surge},
    route::{Protocol, RouteState, SurgeCounts},
};
use tokio::{io::AsyncReadExt, net::TcpListener, net::TcpStream, sync::Semaphore, task::JoinSet};

use crate::support::*;

fn settlement_first() -> Surge {
    let class = PriorityClass {
        name: "settlement".to_owned(),
        paths: vec!["/settlements".to_owned()],
        methods: Vec::new(),
        header: None,
    };
    Surge { classes: vec![class], queue_ms: 200, ..Surge::default() }
}

/// What the work of a request takes, or a client between two requests.
async fn wait_as_work_takes(takes: Duration) {
    tokio::time::sleep(takes).await;
}

/// A server that answers `at_once` requests at a time, each after `takes`; the others wait inside it.
async fn of_capacity(at_once: usize, takes: Duration) -> SocketAddr {
    let listener = TcpListener::bind(free_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let places = Arc::new(Semaphore::new(at_once));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let places = Arc::clone(&places);
            let service = service_fn(move |_: Request<Incoming>| {
                let places = Arc::clone(&places);
                async move {
                    let _place = places.acquire().await.unwrap();
                    wait_as_work_takes(takes).await;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"done"))))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn surging(surge: Surge, instance: SocketAddr) -> (Edge, SocketAddr) {
    let (edge, listen) = (started(Limits::default()).await, free_address());
    let mut route = route(listen, RouteState::Open, vec![backend(1, 1, &[instance])]);
    route.surge = Some(surge);
    edge.apply(table(1, 1, vec![route])).await.unwrap();
    (edge, listen)
}

fn row(edge: &Edge) -> SurgeCounts {
    edge.counts().surges.into_iter().next().unwrap()
}

/// Clients of their own that ask again and again for so long: answers 200 and others.
async fn ask(listen: SocketAddr, path: &'static str, clients: usize, lasts: Duration) -> (usize, usize) {
    let until = Instant::now() + lasts;
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        asking.spawn(async move {
            let (mut client, mut good, mut refused) = (Client::connect(listen).await, 0, 0);
            while Instant::now() < until {
                let got = client.get(path).await.unwrap();
                if got.status == StatusCode::OK {
                    good += 1;
                    continue;
                }
                assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
                let after_s: u64 = got.header("retry-after").parse().unwrap();
                assert!((1..=30).contains(&after_s));
                assert_eq!(got.serial(), "", "no version refused it");
                refused += 1;
                wait_as_work_takes(Duration::from_millis(2)).await;
            }
            (good, refused)
        });
    }
    asking.join_all().await.into_iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_matters_is_served_while_the_rest_is_refused_and_then_all_is_again() {
    let (at_once, takes) = (8, Duration::from_millis(20));
    let (edge, listen) = surging(settlement_first(), of_capacity(at_once, takes).await).await;
    let lasts = Duration::from_secs(3);
    // Eighty quotes at once for eight places, and two settlements among them.
    let (quotes, settlements) =
        tokio::join!(ask(listen, "/quotes", 80, lasts), ask(listen, "/settlements/7", 2, lasts));
    assert_eq!(settlements.1, 0, "no settlement is refused");
    assert!(settlements.0 > 0 && quotes.0 > 0, "{settlements:?} {quotes:?}");
    assert!(quotes.1 > quotes.0, "most quotes are refused: {quotes:?}");
    // What was refused is no request and no error of the version.
    let (requests, errors, _) = tally(&edge, 1);
    assert_eq!((requests as usize, errors), (settlements.0 + quotes.0, 0));
    let row = row(&edge);
    let [settlement, other] = &row.classes[..] else { panic!("{row:?}") };
    assert_eq!((settlement.class.as_str(), other.class.as_str()), ("settlement", "other"));
    assert_eq!((settlement.admitted as usize, settlement.shed_lately), (settlements.0, 0));
    assert_eq!((other.shed.overload + other.shed.late) as usize, quotes.1);
    assert!(other.shed_lately > 0);
    assert!(row.limit < 32, "the edge learnt what it takes: {row:?}");
    let metrics = edge.metrics();
    assert!(
        metrics.contains(
            "countersign_edge_surge_shed_total{component=\"web\",class=\"settlement\",reason=\"overload\"} 0"
        )
    );
    check_sums(&edge);
    // By itself.
    let after = ask(listen, "/quotes", 2, Duration::from_millis(300)).await;
    assert_eq!(after.1, 0, "{after:?}");
    until("nobody is in flight", || async { edge.counts().surges[0].in_flight == 0 }).await;
}

#[tokio::test]
async fn one_client_that_asks_too_much_is_told_so_and_the_others_are_served() {
    let instance = Instance::start().await;
    let client = Some(RequestRate { per_s: 1, burst: 5 });
    let (edge, listen) = surging(Surge { client, ..settlement_first() }, instance.address).await;
    let mut flooder = Client::connect(listen).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(flooder.get("/").await.unwrap().status);
    }
    let refused = statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    assert!((10..=15).contains(&refused), "{statuses:?}");
    // A new connection is no new client, and a cookie of its own making neither.
    let again = Client::connect(listen).await.get_with("/", &[("cookie", "countersign=00")]).await.unwrap();
    assert_eq!(again.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(again.header("retry-after").parse::<u64>().unwrap() >= 1);
    let mut other = Client::connect_from([127, 9, 9, 9].into(), listen).await;
    assert_eq!(other.get("/").await.unwrap().status, StatusCode::OK);
    assert_eq!(row(&edge).classes[1].shed.client as usize, refused + 1);
    assert_eq!(row(&edge).classes[1].shed_lately, 0, "that one asks for too much is no overload");
    check_sums(&edge);
}

#[tokio::test]
async fn connections_of_one_address_and_of_all_are_limited_also_over_plain_tcp() {
    for protocol in [Protocol::Http, Protocol::Tcp] {
        let instance = Instance::start().await;
        let (edge, listen) = (started(Limits::default()).await, free_address());
        let mut route = route(listen, RouteState::Open, vec![backend(1, 1, &[instance.address])]);
        route.surge = Some(Surge { client_connections: Some(3), queue_ms: 100, ..Surge::default() });
        route.protocol = protocol;
        edge.apply(table(1, 1, vec![route])).await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = Client::connect(listen).await;
            assert_eq!(client.get("/").await.unwrap().status, StatusCode::OK);
            clients.push(client);
        }
        let mut fourth = TcpStream::connect(listen).await.unwrap();
        assert!(matches!(fourth.read(&mut [0; 8]).await, Ok(0) | Err(_)), "it is closed at once");
        assert_eq!(row(&edge).connections_refused, 1);
        let mut other = Client::connect_from([127, 9, 9, 8].into(), listen).await;
        assert_eq!(other.get("/").await.unwrap().status, StatusCode::OK);
        drop(clients);
        until("there is room again", || async {
            let mut client = Client::over(TcpStream::connect(listen).await.unwrap()).await;
            client.get("/").await.is_ok_and(|got| got.status == StatusCode::OK)
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_that_is_held_takes_no_place_and_goes_on_in_its_turn() {
    let instance = Instance::start().await;
    let (edge, listen) = surging(settlement_first(), instance.address).await;
    let held = |revision| {
        let hold = RouteState::Hold { limit_ms: 60_000 };
        let mut route = route(listen, hold, vec![backend(1, 1, &[instance.address])]);
        route.surge = Some(settlement_first());
        table(1, revision, vec![route])
    };
    edge.apply(held(2)).await.unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        asking.spawn(async move { get(listen, "/settlements").await.status });
    }
    until("all are held", || async { edge.counts().held == 40 }).await;
    assert_eq!(row(&edge).in_flight, 0);
    let mut open = held(3);
    open.routes[0].state = RouteState::Open;
    edge.apply(open).await.unwrap();
    assert!(asking.join_all().await.into_iter().all(|status| status == StatusCode::OK));
    assert_eq!(row(&edge).classes[0].admitted, 40);
    check_sums(&edge);
}

#[tokio::test]
async fn rules_that_let_nobody_through_or_have_no_sense_are_refused_with_the_table() {
    let edge = started(Limits::default()).await;
    let none = Some(RequestRate { per_s: 0, burst: 1 });
    let mut twice = settlement_first();
    twice.classes.push(twice.classes[0].clone());
    for surge in [
        Surge { client: none, ..Surge::default() },
        Surge { connections: Some(0), ..Surge::default() },
        Surge { queue_ms: 10_001, ..Surge::default() },
        twice,
    ] {
        let mut route = route(free_address(), RouteState::Open, vec![]);
        route.surge = Some(surge);
        let refused = edge.apply(table(1, 1, vec![route])).await.unwrap_err();
        assert!(matches!(refused, ApplyError::Table(edge::TableError::Surge { .. })), "{refused:?}");
    }
}
