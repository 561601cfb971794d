use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    time::Instant,
};

use super::*;

/// A fault is known within this time (see `INTERVAL`), and a busy machine gets as long again.
const LIMIT: Duration = Duration::from_secs(10);

fn target(component: &str, address: SocketAddr, path: Option<&str>) -> Target {
    Target {
        system: "paydesk".parse().unwrap(),
        environment: "production".parse().unwrap(),
        component: component.parse().unwrap(),
        address,
        path: path.map(str::to_owned),
        timeout_ms: 300,
    }
}

/// Answers every connection with these bytes, until it is dropped.
fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // One that asks nothing has only connected.
            let mut asked = [0; 256];
            if matches!(stream.read(&mut asked), Ok(length) if length > 0) {
                drop(stream.write_all(answer));
            }
        }
    });
    address
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn who_answers_well_is_up_and_every_other_way_to_answer_is_told() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rows: [(&str, SocketAddr, Option<&str>, Option<&str>); 7] = [
        ("well", server(b"HTTP/1.1 204 No Content\r\n\r\n"), Some("/health"), None),
        ("open", silent.local_addr().unwrap(), None, None),
        ("ill", server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), Some("/health"), Some("`/health` answered 503")),
        ("other", server(b"SSH-2.0-OpenSSH\r\n"), Some("/health"), Some("the answer is not HTTP")),
        ("closes", server(b""), Some("/health"), Some("the answer is not HTTP")),
        ("silent", silent.local_addr().unwrap(), Some("/health"), Some("no answer within 300 ms")),
        ("gone", gone, Some("/health"), Some("refused")),
    ];
    let mut prober = Prober::start([10, 99]).unwrap();
    prober.set(rows.iter().map(|(name, address, path, _)| target(name, *address, *path)).collect());
    assert_eq!(prober.len(), rows.len());
    wait_until(|| lock(&prober.answers).values().all(|a| a.asked));
    let answers = lock(&prober.answers).clone();
    for (name, _, _, why) in rows {
        let answered = answers.iter().find(|(t, _)| t.component.as_str() == name).unwrap().1;
        match why {
            None => assert_eq!(answered.failures, 0, "{name}: {}", answered.why),
            Some(why) => {
                assert!(answered.failures >= FAILURES_LIMIT && answered.why.contains(why), "{name}: {}", answered.why);
            }
        }
    }
}

#[test]
fn a_component_that_comes_back_is_well_again_and_one_that_is_retired_is_forgotten() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut prober = Prober::start([10, 99]).unwrap();
    prober.set(vec![target("web", address, None)]);
    let failing = |prober: &Prober| prober.failing().values().any(|fails| *fails);
    wait_until(|| failing(&prober));
    let held = TcpListener::bind(address).unwrap();
    wait_until(|| !failing(&prober));
    drop(held);
    wait_until(|| failing(&prober));
    prober.set(Vec::new());
    assert!(!failing(&prober) && prober.len() == 0);
}

#[test]
fn an_agent_that_names_too_many_addresses_fills_nothing() {
    let mut prober = Prober::start([10, 99]).unwrap();
    let many = (0..6_000_u16).map(|n| target("web", SocketAddr::from(([127, 0, 0, 1], n + 1)), None)).collect();
    prober.set(many);
    assert_eq!(prober.len(), TARGETS_LIMIT);
}
