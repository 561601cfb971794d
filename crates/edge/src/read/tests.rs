//! Components that answer, and all the ways in which they do not.

use model::route::SeriesAnswer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// Something that answers every connection with these bytes, so many times over, and then closes it or stays.
async fn component(answer: Vec<u8>, times: usize, stays: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _read = stream.read(&mut head).await;
                for _ in 0..times {
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
                if stays {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

fn http(status: &str, media_type: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

async fn said(address: SocketAddr) -> ReadAnswer {
    let target = ReadTarget { address, path: "/metrics".to_owned(), series: vec!["a_total".parse().unwrap()] };
    read(ReadRequest { source: None, timeout_ms: 300, targets: vec![target] }).await.unwrap().remove(0)
}

async fn refused(answer: Vec<u8>, times: usize, stays: bool) -> String {
    match said(component(answer, times, stays).await).await {
        ReadAnswer::Unreadable(why) => why,
        read @ ReadAnswer::Read(_) => panic!("{read:?}"),
    }
}

#[tokio::test]
async fn numbers_come_back_whatever_others_do() {
    let good = component(http("200 OK", "text/plain", "a_total 7\n"), 1, true).await;
    assert_eq!(said(good).await, ReadAnswer::Read(vec![SeriesAnswer::Samples(vec![7.0])]));
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na_tot\r\n5\r\nal 8\n\r\n0\r\n\r\n".to_vec();
    let chunked = component(chunked, 1, false).await;
    let silent = component(Vec::new(), 1, true).await;
    let target = |address| ReadTarget { address, path: "/m".to_owned(), series: vec!["a_total".parse().unwrap()] };
    let targets = [silent, good, chunked].map(target).to_vec();
    let answers = read(ReadRequest { source: None, timeout_ms: 300, targets }).await.unwrap();
    assert_eq!(answers[0], ReadAnswer::Unreadable("no answer within 300 ms".to_owned()));
    assert_eq!(answers[1], ReadAnswer::Read(vec![SeriesAnswer::Samples(vec![7.0])]));
    assert_eq!(answers[2], ReadAnswer::Read(vec![SeriesAnswer::Samples(vec![8.0])]));
}

#[tokio::test]
async fn what_does_not_answer_as_it_should_is_unreadable() {
    assert_eq!(refused(http("500 No", "text/plain", "a_total 7\n"), 1, false).await, "`/metrics` answered 500");
    assert_eq!(refused(http("302 Found", "text/plain", ""), 1, false).await, "`/metrics` answered 302");
    let open = http("200 OK", "application/openmetrics-text; version=1.0.0", "a_total 7\n");
    assert_eq!(refused(open, 1, false).await, "the metrics do not end with `# EOF`");
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b"a_total 7\n".repeat(120_000)].concat();
    assert_eq!(refused(endless, 1, true).await, "`/metrics` answered more than 1048576 bytes");
    for garbage in
        [b"\x16\x03\x01\x02".to_vec(), Vec::new(), b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\na".to_vec()]
    {
        assert!(!refused(garbage, 1, false).await.is_empty());
    }
    let trickle = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\na_tot".to_vec();
    assert_eq!(refused(trickle, 1, true).await, "no answer within 300 ms");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(matches!(said(closed).await, ReadAnswer::Unreadable(_)));
}

#[tokio::test]
async fn more_than_may_be_asked_is_refused() {
    let target = ReadTarget { address: "127.0.0.1:1".parse().unwrap(), path: "/".to_owned(), series: Vec::new() };
    let many = ReadRequest { source: None, timeout_ms: 1, targets: vec![target.clone(); MAX_READ_TARGETS + 1] };
    assert_eq!(read(many).await.unwrap_err(), "513 addresses, more than 512");
    let series = (0..=MAX_READ_SERIES).map(|n| format!("a{n}").parse().unwrap()).collect();
    let many = ReadRequest { source: None, timeout_ms: 1, targets: vec![ReadTarget { series, ..target }] };
    assert_eq!(read(many).await.unwrap_err(), "65 series of 127.0.0.1:1, more than 64");
}
