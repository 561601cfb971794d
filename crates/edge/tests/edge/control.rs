//! The control socket, by its clients and by hand.

use std::path::PathBuf;

use edge::{Applied, BlockingEdgeClient, ClientError, ControlConfig, Edge, EdgeClient, EdgeConfig, Health, StartError};
use model::route::RouteState::Open;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::support::*;

async fn controlled(path: PathBuf) -> Result<Edge, StartError> {
    let control = Some(ControlConfig { path, mode: 0o600, steering_uids: vec![] });
    Edge::start(EdgeConfig { control, ..EdgeConfig::default() }).await
}

/// Sends bytes to the socket, gives the status and the body.
async fn raw(path: &PathBuf, request: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn put(body: &str) -> String {
    format!("PUT /table HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_edge_is_steered_and_read_over_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    let (edge, instance, listen) = (controlled(path.clone()).await.unwrap(), Instance::start().await, free_address());
    let client = EdgeClient::new(&path);
    assert_eq!(client.health().await.unwrap(), Health::Waiting);
    assert_eq!(client.table().await.unwrap(), None);
    let first = table(3, 1, vec![route(listen, Open, vec![backend(1, 1, &[instance.address])])]);
    assert_eq!(client.apply(&first).await.unwrap(), Applied::Switched);
    assert_eq!(client.apply(&first).await.unwrap(), Applied::Unchanged);
    assert_eq!(client.table().await.unwrap().as_ref(), Some(&first));
    assert_eq!(client.health().await.unwrap(), Health::Serving { generation: 3, revision: 1, listeners: 1 });
    get(listen, "/").await;
    assert_eq!(client.counts().await.unwrap(), edge.counts());
    assert_eq!(edge.counts().versions[0].requests, 1);
    assert!(
        client
            .metrics()
            .await
            .unwrap()
            .contains("countersign_edge_requests_total{component=\"web\",serial=\"paydesk-000001\"} 1\n")
    );
    match client.apply(&table(2, 9, vec![])).await {
        Err(ClientError::Older { error, hint }) => {
            assert_eq!(error, "the table has generation 2, and 3 is in force");
            assert_eq!(hint, "read the table in force and plan from it; whoever sent this one is behind the log");
        }
        other => panic!("{other:?}"),
    }
    let taken = std::net::TcpListener::bind(free_address()).unwrap();
    match client.apply(&table(4, 1, vec![route(taken.local_addr().unwrap(), Open, vec![])])).await {
        Err(ClientError::Wrong { error, .. }) => {
            assert!(error.contains("can not be listened on: Address already in use"), "{error}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_blocking_client_may_be_used_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    let edge = controlled(path.clone()).await.unwrap();
    let client = BlockingEdgeClient::new(&path);
    let asked = move || {
        assert_eq!(client.apply(&table(1, 1, vec![])).unwrap(), Applied::Switched);
        assert_eq!(client.table().unwrap(), Some(table(1, 1, vec![])));
        assert_eq!(client.health().unwrap(), Health::Serving { generation: 1, revision: 1, listeners: 0 });
        client.counts().unwrap()
    };
    assert_eq!(tokio::task::spawn_blocking(asked).await.unwrap(), edge.counts());
}

#[tokio::test]
async fn bad_requests_get_a_status_an_error_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    let edge = controlled(path.clone()).await.unwrap();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n");
    let large = "PUT /table HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Length: 5000000\r\n\r\n".to_owned();
    let hold = r#"{"generation":1,"revision":1,"routes":[{"listen":"127.0.0.1:1","component":"web","tls":null,"state":{"hold":{"limit_ms":1,"x":1}},"backends":[]}]}"#;
    let cases = [
        (put("not JSON"), 400, "not a route table: expected"),
        (put("{}"), 400, "not a route table: missing field `generation`"),
        (put(r#"{"generation":1,"revision":1,"routes":[],"more":1}"#), 400, "not a route table: unknown field `more`"),
        (
            put(r#"{"generation":1,"generation":2,"revision":1,"routes":[]}"#),
            400,
            "not a route table: duplicate field `generation`",
        ),
        (put(hold), 400, "not a route table: unknown field `x`"),
        (
            put(
                r#"{"generation":1,"revision":1,"routes":[{"listen":"127.0.0.1:0","component":"web","tls":null,"state":"open","backends":[]}]}"#,
            ),
            422,
            "the table can not be carried out: the route of `web` listens on port 0",
        ),
        (large, 413, "the table is larger than 4194304 bytes"),
        (get("/table"), 404, "no table is in force"),
        (get("/secrets"), 404, "`/secrets` is not served here"),
        (get("/counts").replace("GET", "DELETE"), 405, "`DELETE` is not served here"),
    ];
    for (request, status, error) in cases {
        let (got, body) = raw(&path, &request).await;
        let fault: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(got, status, "{request}");
        assert!(fault["error"].as_str().unwrap().starts_with(error), "{body}");
        assert!(!fault["hint"].as_str().unwrap().is_empty(), "{body}");
    }
    assert_eq!(edge.table(), None);
    assert_eq!(
        raw(&path, &put(r#"{"generation":1,"revision":1,"routes":[]}"#)).await,
        (200, r#"{"applied":"switched"}"#.to_owned())
    );
}

#[tokio::test]
async fn a_socket_is_taken_over_from_the_dead_and_from_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    drop(UnixListener::bind(&path).unwrap());
    let edge = controlled(path.clone()).await.unwrap();
    assert!(matches!(controlled(path.clone()).await, Err(StartError::AlreadyServed { .. })));
    edge.shutdown(PATIENCE).await;
    until("it serves no more", || async { EdgeClient::new(&path).health().await.is_err() }).await;
    assert!(matches!(EdgeClient::new(&path).health().await, Err(ClientError::Unreachable { .. })));
    controlled(path).await.unwrap();
    let file = folder.path().join("file");
    drop(std::fs::OpenOptions::new().create_new(true).write(true).open(&file).unwrap());
    assert!(matches!(controlled(file.clone()).await, Err(StartError::Control { .. })));
    assert!(file.exists());
}

#[tokio::test]
async fn an_edge_that_ends_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    let (edge, instance, listen) = (controlled(path.clone()).await.unwrap(), Instance::start().await, free_address());
    let client = EdgeClient::new(&path);
    client.apply(&table(1, 1, vec![route(listen, Open, vec![backend(1, 1, &[instance.address])])])).await.unwrap();
    let slow = tokio::spawn(async move { get(listen, "/wait").await });
    until("it waits", || async { instance.waiting() == 1 }).await;
    let ending = tokio::spawn(async move { edge.shutdown(PATIENCE).await });
    until("it is ending", || async { client.health().await.unwrap() == Health::Ending }).await;
    assert!(matches!(client.apply(&table(2, 1, vec![])).await, Err(ClientError::NotNow { .. })));
    instance.release();
    assert_eq!((slow.await.unwrap().text(), ending.await.unwrap().cut), ("waited", 0));
}
