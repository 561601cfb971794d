//! One check against servers that answer well, badly, slowly or not at all; and what follows from many.

use std::{net::TcpListener, sync::mpsc};

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

/// Asks a server that does this with one connection.
fn asked(path: Option<&str>, serve: impl FnOnce(TcpStream) + Send + 'static) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let server = thread::spawn(move || serve(listener.accept().unwrap().0));
    let health = Health { path: path.map(str::to_owned), interval_ms: 1, timeout_ms: 300, deadline_ms: 1 };
    let answer = ask(&Question { source: Ipv4Addr::new(127, 0, 0, 3), target, health });
    server.join().unwrap();
    answer
}

/// Reads the request and writes this.
fn says(text: &'static str) -> impl FnOnce(TcpStream) + Send {
    move |mut stream| {
        let mut request = [0; 512];
        let length = stream.read(&mut request).unwrap();
        assert!(String::from_utf8_lossy(&request[..length]).starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert_eq!(stream.peer_addr().unwrap().ip(), Ipv4Addr::new(127, 0, 0, 3));
        stream.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn an_answer_is_judged_by_its_status() {
    let rows: [(&str, Result<(), &str>); 8] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Ok(())),
        ("HTTP/1.0 204\r\n\r\n", Ok(())),
        ("HTTP/1.1 299 Odd\r\n\r\n", Ok(())),
        ("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", Err("`/health` answered 302")),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Err("`/health` answered 503")),
        ("200 OK\n", Err("the answer is not HTTP")),
        ("HTTP/1.1 ok\r\n", Err("the answer is not HTTP")),
        ("", Err("the answer is not HTTP")),
    ];
    for (text, wanted) in rows {
        assert_eq!(asked(Some("/health"), says(text)), wanted.map_err(str::to_owned), "{text}");
    }
    assert_eq!(asked(None, drop), Ok(()));
}

#[test]
fn a_check_ends_within_its_time() {
    let begun = Instant::now();
    let (done, wait) = mpsc::channel::<()>();
    let silent = asked(Some("/health"), move |stream| {
        thread::spawn(move || {
            wait.recv().unwrap_err();
            drop(stream);
        });
    });
    assert_eq!(silent, Err("no answer within 300 ms".to_owned()));
    drop(done);
    // A byte at a time, for ever, and no end of the line.
    let dripping = asked(Some("/health"), |mut stream| while stream.write_all(b"H").is_ok() {});
    let why = dripping.unwrap_err();
    assert!(["the answer is not HTTP", "no answer within 300 ms"].contains(&why.as_str()), "{why}");
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let health = Health { path: None, interval_ms: 1, timeout_ms: 300, deadline_ms: 1 };
    let nobody = ask(&Question { source: Ipv4Addr::LOCALHOST, target: refused, health });
    assert!(nobody.unwrap_err().contains("refused"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn one_failure_is_none_and_three_are() {
    let bad = || Err("no".to_owned());
    let mut seen = Seen::default();
    assert_eq!(seen.state(at(1)), InstanceState::Starting { since: at(1) });
    seen.take(bad(), at(2), false);
    assert_eq!(seen.state(at(1)), InstanceState::Starting { since: at(1) });
    seen.take(Ok(()), at(3), false);
    seen.take(Ok(()), at(4), false);
    assert_eq!(seen.state(at(1)), InstanceState::Healthy { since: at(3) });
    for now in [5, 6] {
        seen.take(bad(), at(now), true);
        assert_eq!(seen.state(at(1)), InstanceState::Healthy { since: at(3) });
    }
    for now in [7, 8] {
        seen.take(bad(), at(now), true);
        assert_eq!(seen.state(at(1)), InstanceState::Unhealthy { since: at(7), why: "no".to_owned() });
    }
    seen.take(Ok(()), at(9), true);
    assert_eq!(seen.state(at(1)), InstanceState::Healthy { since: at(9) });
    // Never well within its deadline; well after it is well.
    let mut late = Seen::default();
    late.take(bad(), at(2), true);
    let why = "not well within its deadline: no".to_owned();
    assert_eq!(late.state(at(1)), InstanceState::Unhealthy { since: at(2), why });
    late.take(Ok(()), at(3), true);
    assert_eq!(late.state(at(1)), InstanceState::Healthy { since: at(3) });
}
