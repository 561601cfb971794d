//! TLS in front: both protocols, new certificates with a new table, and bad ones refused.

use std::{net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use edge::{ApplyError, Edge, Limits};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::route::{RouteState::Open, RouteTable, TlsFiles};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::*;

/// Makes a certificate for `shop.example`, its files, and what trusts it.
fn certificate(folder: &Path, name: &str) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let path = |end: &str| folder.join(format!("{name}.{end}")).to_str().unwrap().to_owned();
    let files = TlsFiles { certificates: path("pem"), key: path("key"), clients: None };
    put(&files.certificates, made.cert.pem());
    put(&files.key, made.signing_key.serialize_pem());
    (files, made.cert.der().clone())
}

#[expect(clippy::disallowed_methods, reason = "files of a test need not survive a crash")]
fn put(path: &str, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).unwrap();
}

fn with_tls(revision: u64, listen: SocketAddr, instance: &Instance, files: TlsFiles) -> RouteTable {
    let mut route = route(listen, Open, vec![backend(1, 1, &[instance.address])]);
    route.tls = Some(files);
    table(1, revision, vec![route])
}

async fn connect(
    listen: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(listen).await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn secured() -> (Edge, SocketAddr, Instance, tempfile::TempDir, CertificateDer<'static>) {
    let (folder, instance, listen) = (tempfile::tempdir().unwrap(), Instance::start().await, free_address());
    let (files, trusted) = certificate(folder.path(), "first");
    let edge = started(Limits::default()).await;
    edge.apply(with_tls(1, listen, &instance, files)).await.unwrap();
    (edge, listen, instance, folder, trusted)
}

#[tokio::test]
async fn http_1_and_2_are_served_over_tls() {
    let (edge, listen, _instance, _folder, trusted) = secured().await;
    let request = || Request::get("https://shop.example/head").header("cookie", "a=1").header("cookie", "b=2");
    let stream = connect(listen, &trusted, b"h2").await.unwrap();
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let answer = sender.send_request(request().body(Full::new(Bytes::new())).unwrap()).await.unwrap();
    assert_eq!(
        (answer.version(), answer.headers()["x-countersign-serial"].to_str().unwrap()),
        (Version::HTTP_2, "paydesk-000001")
    );
    let seen = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(seen.starts_with("GET /head HTTP/1.1\n"), "{seen}");
    for line in ["host: shop.example", "x-forwarded-proto: https", "cookie: a=1; b=2"] {
        assert!(seen.lines().any(|one| one == line), "`{line}` is not in\n{seen}");
    }
    // Many at once on one connection, with bodies both ways.
    let echoes = (0..50).map(|n| {
        let body = Full::new(Bytes::from(vec![n; 40_000]));
        let sent = sender.send_request(Request::post("https://shop.example/echo").body(body).unwrap());
        async move { assert_eq!(sent.await.unwrap().into_body().collect().await.unwrap().to_bytes(), vec![n; 40_000]) }
    });
    let mut all = tokio::task::JoinSet::new();
    echoes.for_each(|echo| drop(all.spawn(echo)));
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
    let conflicting = request().header("host", "other.example").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(sender.send_request(conflicting).await.unwrap().status(), 400);
    let stream = connect(listen, &trusted, b"http/1.1").await.unwrap();
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let answer = sender
        .send_request(Request::get("/head").header("host", "shop.example").body(Full::new(Bytes::new())).unwrap())
        .await
        .unwrap();
    let seen = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(seen.contains("x-forwarded-proto: https"), "{seen}");
    assert_eq!((tally(&edge, 1), counted(&edge, 1).clients), ((52, 0, 0), 1));
    check_sums(&edge);
}

#[tokio::test]
async fn http_2_streams_finish_when_the_edge_ends_and_resets_are_no_errors() {
    let (edge, listen, instance, _folder, trusted) = secured().await;
    let stream = connect(listen, &trusted, b"h2").await.unwrap();
    let (sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let ask = |path: &str| {
        let request = Request::get(format!("https://shop.example{path}")).body(Full::new(Bytes::new())).unwrap();
        let mut sender = sender.clone();
        tokio::spawn(async move {
            sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        })
    };
    let reset = ask("/hang");
    until("it is in flight", || async { tally(&edge, 1).2 == 1 }).await;
    reset.abort();
    until("it is counted", || async { tally(&edge, 1) == (1, 0, 0) }).await;
    let slow = ask("/wait");
    until("it waits", || async { instance.waiting() == 1 }).await;
    let ending = edge.clone();
    let ending = tokio::spawn(async move { ending.shutdown(PATIENCE).await });
    until("it accepts no more", || async { TcpStream::connect(listen).await.is_err() }).await;
    instance.release();
    assert_eq!(slow.await.unwrap(), "waited");
    assert_eq!(ending.await.unwrap().cut, 0);
}

#[tokio::test]
async fn an_http_2_client_that_does_not_read_is_cut_off() {
    let (folder, instance, listen) = (tempfile::tempdir().unwrap(), Instance::start().await, free_address());
    let (files, trusted) = certificate(folder.path(), "first");
    let edge = started(Limits { idle_timeout_ms: 200, ..Limits::default() }).await;
    edge.apply(with_tls(1, listen, &instance, files)).await.unwrap();
    let stream = connect(listen, &trusted, b"h2").await.unwrap();
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(driver);
    // The client reads frames and answers pings, but leaves the body where it is, so that its window closes.
    let answer = sender
        .send_request(Request::get("https://shop.example/endless").body(Full::new(Bytes::new())).unwrap())
        .await
        .unwrap();
    assert_eq!(tally(&edge, 1), (0, 0, 1));
    until("it is cut", || async { tally(&edge, 1) == (1, 0, 0) }).await;
    drop(answer);
    driving.abort();
}

#[tokio::test]
async fn a_new_table_brings_new_certificates() {
    let (edge, listen, instance, folder, first) = secured().await;
    let (files, second) = certificate(folder.path(), "second");
    edge.apply(with_tls(2, listen, &instance, files)).await.unwrap();
    assert!(connect(listen, &first, b"h2").await.is_err());
    assert!(connect(listen, &second, b"h2").await.is_ok());
}

#[tokio::test]
async fn bad_certificates_are_refused_and_change_nothing() {
    let (edge, listen, instance, folder, trusted) = secured().await;
    let (good, _) = certificate(folder.path(), "good");
    let (other, _) = certificate(folder.path(), "other");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        put(&path, text);
        path
    };
    let (junk, missing) =
        (file("junk", "not a certificate"), folder.path().join("missing").to_str().unwrap().to_owned());
    let broken = file("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let cases = [
        (missing.clone(), good.key.clone(), format!("`{missing}` can not be read")),
        (junk.clone(), good.key.clone(), format!("`{junk}` has no certificate in PEM form")),
        (good.certificates.clone(), junk.clone(), format!("`{junk}` has no private key in PEM form")),
        (
            good.certificates.clone(),
            other.key.clone(),
            format!(
                "the certificate in `{}` and the key in `{}` can not be used together",
                good.certificates, other.key
            ),
        ),
        (
            broken.clone(),
            good.key.clone(),
            format!("the certificate in `{broken}` and the key in `{}` can not be used together", good.key),
        ),
    ];
    for (certificates, key, wanted) in cases {
        match edge.apply(with_tls(2, listen, &instance, TlsFiles { certificates, key, clients: None })).await {
            Err(error @ ApplyError::Tls { .. }) => {
                assert_eq!(error.to_string(), format!("the listener `{listen}` can not have TLS"));
                assert_eq!(std::error::Error::source(&error).unwrap().to_string(), wanted);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(edge.counts().revision, 1);
    assert!(connect(listen, &trusted, b"http/1.1").await.is_ok());
}

#[tokio::test]
async fn plain_http_on_a_tls_listener_gets_nothing() {
    let (edge, listen, _instance, _folder, _trusted) = secured().await;
    assert!(!talk(listen, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.contains("HTTP/1.1 200"));
    assert_eq!(edge.counts().components[0].requests, 0);
}
