use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use serde_json::json;

use crate::fixture::Desk;

#[test]
fn a_payment_goes_through_all_three() {
    let desk = Desk::start();
    let (status, booked) = desk.pay("order-0001", "bank", "alice", "12.50");
    assert_eq!(status, 201);
    assert_eq!(booked["amount"], "12.50");
    let (status, balance) = desk.get("/balance?account=alice");
    assert_eq!((status, &balance["balances"]["EUR"]), (200, &json!("12.50")));
    let (status, page) = desk.web.request("GET", "/", &[], "");
    assert_eq!(status, 200);
    assert!(page.contains("12.50 EUR") && page.contains("<footer>paydesk test-000001</footer>"), "{page}");
    for part in [&desk.web, &desk.payments, &desk.ledger] {
        let (status, health) = part.request("GET", "/health", &[], "");
        assert_eq!(status, 200);
        assert!(health.contains("test-000001"), "{health}");
    }
}

#[test]
fn the_form_pays_once() {
    let desk = Desk::start();
    for _ in 0..2 {
        let (status, _) = desk.web.request("POST", "/pay", &[], "key=form-00000001&from=bank&to=alice&amount=3.00");
        assert_eq!(status, 303);
    }
    assert_eq!(desk.get("/audit").1["payments"], 1);
    let (status, page) = desk.web.request("POST", "/pay", &[], "key=form-00000002&from=%3Cb%3E&to=alice&amount=3");
    assert_eq!(status, 422);
    assert!(page.contains("role=alert"), "{page}");
}

#[test]
fn the_same_key_at_the_same_time_pays_once() {
    let desk = Desk::start();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| desk.pay("order-0001", "bank", "alice", "1.00").0)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 7, "{statuses:?}");
    assert_eq!(desk.get("/audit").1["payments"], 1);
}

#[test]
fn bad_input_is_refused() {
    let desk = Desk::start();
    let key = [("Idempotency-Key", "order-0001")];
    let order = r#"{"from":"bank","to":"alice","amount":"1","currency":"EUR"}"#;
    for (headers, body, expected) in [
        (&key[..], "", 400),
        (&key[..], "[]", 400),
        (&key[..], r#"{"from":"bank","to":"alice","amount":1,"currency":"EUR"}"#, 400),
        (&[][..], order, 400),
        (&[("Idempotency-Key", "a b")][..], order, 400),
        (&key[..], r#"{"from":"alice","to":"bob","amount":"1","currency":"EUR"}"#, 422),
    ] {
        assert_eq!(desk.web.request("POST", "/payments", headers, body).0, expected, "{body}");
    }
    assert_eq!(desk.pay("order-0001", "bank", "alice", "1.00").0, 201);
    assert_eq!(desk.pay("order-0001", "bank", "alice", "2.00").0, 409);
    assert_eq!(desk.web.request("DELETE", "/payments", &[], "").0, 405);
    assert_eq!(desk.web.request("GET", "/nothing", &[], "").0, 404);
    assert_eq!(desk.get("/audit").1["payments"], 1);
}

#[test]
fn the_ledger_answers_only_with_the_token() {
    let desk = Desk::start();
    for headers in [&[][..], &[("Authorization", "Bearer not-the-real-token")][..]] {
        assert_eq!(desk.ledger.request("GET", "/audit", headers, "").0, 401);
        assert_eq!(desk.ledger.request("POST", "/payments", headers, "{}").0, 401);
    }
}

#[test]
fn a_killed_ledger_loses_nothing() {
    let mut desk = Desk::start();
    for n in 0..10 {
        assert_eq!(desk.pay(&format!("order-{n:04}"), "bank", "alice", "1.00").0, 201);
    }
    desk.kill_ledger();
    let again = thread::scope(|scope| {
        // Asked while there is no ledger, answered once there is one.
        let waiting = scope.spawn(|| desk.pay("order-0009", "bank", "alice", "1.00").0);
        let ledger = desk.start_ledger_again();
        (waiting.join().unwrap(), ledger)
    });
    assert_eq!(again.0, 200);
    assert_eq!(desk.pay("order-0010", "bank", "alice", "1.00").0, 201);
    let audit = desk.get("/audit").1;
    assert_eq!((&audit["payments"], &audit["sum"]), (&json!(11), &json!(0)));
}

#[test]
fn a_request_in_flight_is_answered_when_told_to_stop() {
    let mut desk = Desk::start();
    let mut connection = TcpStream::connect(desk.web.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // One whole request, so that the connection is known to be served, and the first half of another.
    connection.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut first = [0; 15];
    connection.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    connection.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    desk.web.terminate();
    connection.write_all(b"Host: a\r\n\r\n").unwrap();
    let mut rest = String::new();
    connection.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200 OK") && rest.contains("Connection: close"), "{rest}");
    assert!(desk.web.exited().success());
}

#[test]
fn chunks_and_kept_connections_are_understood() {
    let desk = Desk::start();
    let mut connection = TcpStream::connect(desk.web.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let order = r#"{"from":"bank","to":"alice","amount":"1","currency":"EUR"}"#;
    let (start, end) = order.split_at(20);
    let head = "POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: order-0001\r\n";
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{start}\r\n{:x}\r\n{end}\r\n0\r\n\r\n",
        start.len(),
        end.len()
    );
    let counted = format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{order}", order.len());
    connection.write_all(format!("{chunked}{counted}").as_bytes()).unwrap();
    let mut both = String::new();
    connection.read_to_string(&mut both).unwrap();
    assert!(both.starts_with("HTTP/1.1 201 Created") && both.contains("HTTP/1.1 200 OK"), "{both}");
}
