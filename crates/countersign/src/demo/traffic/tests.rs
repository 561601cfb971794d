//! The comparison finds what was lost, doubled, changed and invented, and says nothing of what is right.

use super::*;

fn paid(key: &str, answer: Answered) -> Paid {
    Paid { key: key.to_owned(), amount: "1.00".to_owned(), at: Instant::now(), answer }
}

fn row(key: &str, amount: &str) -> (String, String) {
    (key.to_owned(), amount.to_owned())
}

#[test]
fn books_that_agree_are_right() {
    let list =
        [paid("a", Answered::Booked), paid("b", Answered::Refused(500)), paid("c", Answered::Broken("cut".into()))];
    let books = judge(&list, &[row("a", "1.00")]);
    assert_eq!(books, Books { sent: 3, booked: 1, failed: 2, in_books: 1, wrong: Vec::new() });
    // Nobody knows of a request without an answer whether it is booked.
    assert!(judge(&list, &[row("a", "1.00"), row("c", "1.00")]).wrong.is_empty());
}

#[test]
fn every_difference_is_named() {
    let list = [
        paid("lost", Answered::Booked),
        paid("doubled", Answered::Booked),
        paid("changed", Answered::Booked),
        paid("refused", Answered::Refused(500)),
    ];
    let there = [
        row("doubled", "1.00"),
        row("doubled", "1.00"),
        row("changed", "9.00"),
        row("refused", "1.00"),
        row("new", "1.00"),
    ];
    assert_eq!(
        judge(&list, &there).wrong,
        [
            "lost was answered as booked and is not there",
            "doubled is booked 2 times",
            "changed is booked with 9.00 instead of 1.00",
            "refused was refused with 500 and is booked",
            "new is booked and nobody sent it",
        ]
    );
}

#[test]
fn a_client_counts_what_fails_and_does_not_send_it_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let keys: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = keys.clone();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            let key = head.lines().find_map(|l| l.strip_prefix("Idempotency-Key: ")).unwrap().to_owned();
            seen.lock().unwrap().push(key);
            // The first connection is cut without an answer.
            if number > 0 {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                    .unwrap();
            }
        }
    });
    let mut traffic = Traffic::new(address);
    traffic.start().unwrap();
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while traffic.list().len() < 12 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    traffic.stop();
    let list = traffic.list();
    assert!(list.len() >= 12);
    assert_eq!(list.iter().filter(|p| matches!(p.answer, Answered::Broken(_))).count(), 1);
    let sent: std::collections::BTreeSet<String> = keys.lock().unwrap().iter().cloned().collect();
    assert_eq!(sent.len(), keys.lock().unwrap().len(), "a payment was sent twice");
}
