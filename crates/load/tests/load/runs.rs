use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hdrhistogram::serialization::{Deserializer, interval_log};
use load::{
    run::{Run, Settings, run},
    scenario::{self, Scenario},
    tally::Failure,
};
use model::Timestamp;

use crate::servers::{self, Server};

fn settings(server: &Server, threads: usize) -> Settings {
    Settings {
        target: scenario::target(&format!("http://{}", server.address)).unwrap(),
        threads,
        now: Timestamp::from_unix(1_800_000_000),
        stop: Arc::default(),
    }
}

fn of(server: &Server, threads: usize, text: &str) -> Run {
    let scenario = Scenario::parse(text, Path::new(".")).unwrap();
    run(scenario, &settings(server, threads), |_| {}).unwrap()
}

fn failed(run: &Run) -> Vec<(Failure, u64)> {
    run.report.all.failed.clone()
}

#[test]
fn every_request_of_the_plan_is_sent_once_and_counted_once() {
    let server = servers::http(Duration::ZERO);
    for threads in [1, 2] {
        let before = server.seen.requests.load(Ordering::Relaxed);
        let run = of(
            &server,
            threads,
            "[[arrivals]]\nrate = 300\nseconds = 2\n[[request]]\nname = 'a'\nweight = 2\npath = '/a?n={{number}}'\n\
             [[request]]\nname = 'b'\npath = '/b'\nbody = '{\"state\": \"{{random}}\"}'\ncheck = { contains = 'state' }\n",
        );
        let all = &run.report.all;
        assert_eq!((all.planned, all.right), (600, 600), "{:?}", failed(&run));
        assert_eq!(server.seen.requests.load(Ordering::Relaxed) - before, 600);
        assert_eq!(run.report.kinds.iter().map(|k| k.planned).sum::<u64>(), 600);
        assert!(run.report.kinds[0].planned > run.report.kinds[1].planned);
        assert_eq!(run.report.each_second.iter().map(|s| s.planned).collect::<Vec<_>>(), [300, 300]);
        assert!((run.report.offered - 300.0).abs() < 1e-9);
        // Each of another number.
        let texts = std::mem::take(&mut *server.seen.texts.lock().unwrap());
        let mut numbers: Vec<_> = texts.iter().filter(|t| t.starts_with("/a")).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }
}

#[test]
fn a_server_that_stands_still_can_not_hide_it() {
    let server = servers::http(Duration::from_millis(300));
    // One connection: a generator that waits for the answer before would see one slow answer of 1 500.
    let run =
        of(&server, 1, "connections = 1\n[[arrivals]]\nrate = 500\nseconds = 3\n[[request]]\nname = 'a'\npath = '/'\n");
    let latency = run.report.all.latency_us;
    // Some 150 requests were to be sent while it stood still: a tenth of all.
    assert!(latency.p99 > 200_000.0, "{latency:?}");
    assert!(latency.max > 290_000.0, "{latency:?}");
    assert_eq!(run.report.all.right, 1_500);
    // And it says that one connection was too few.
    assert!(
        run.report.does_not_count.iter().any(|r| r.contains("raise `connections`")),
        "{:?}",
        run.report.does_not_count
    );
}

#[test]
fn wrong_answers_fail_however_fast_they_are() {
    let server = servers::http(Duration::ZERO);
    let run = of(
        &server,
        1,
        "timeout_ms = 500\n[[arrivals]]\nrate = 100\nseconds = 1\n[[request]]\nname = 'wrong'\npath = '/wrong'\n\
         check = { json = { \"/state\" = \"fine\" } }\n[[request]]\nname = 'error'\npath = '/error'\n\
         [[request]]\nname = 'never'\npath = '/never'\n[[request]]\nname = 'fine'\npath = '/'\n\
         check = { json = { \"/state\" = \"fine\" } }\n",
    );
    let kind = |name: &str| run.report.kinds.iter().find(|k| k.name == name).unwrap().clone();
    for (name, failure) in [("wrong", Failure::Body), ("error", Failure::Status), ("never", Failure::Timeout)] {
        let kind = kind(name);
        assert_eq!(kind.failed, [(failure, kind.planned)], "{name}");
        assert_eq!(kind.right, 0);
    }
    assert!(kind("never").latency_us.p50 >= 499_000.0, "{:?}", kind("never"));
    assert!((kind("fine").failed_part()).abs() < 1e-9, "{:?}", kind("fine"));
}

#[test]
fn http2_shares_a_few_connections() {
    let server = servers::http(Duration::ZERO);
    let run = of(
        &server,
        1,
        "protocol = 'http/2'\n[[arrivals]]\nrate = 400\nseconds = 1\n[[request]]\nname = 'a'\npath = '/'\nbody = 'x{{number}}'\n\
         headers = { x-user = 'u{{number}}' }\ncheck = { contains = 'x' }\n",
    );
    assert_eq!(run.report.all.right, 400, "{:?}", failed(&run));
    assert!(server.seen.connections.load(Ordering::Relaxed) <= 4);
    assert!(server.seen.texts.lock().unwrap().iter().any(|t| t == "/ Some(\"u399\") x399"));
}

#[test]
fn messages_of_sessions_are_requests() {
    let server = servers::sessions();
    let run = of(
        &server,
        1,
        "connections = 8\n[[arrivals]]\nrate = 400\nseconds = 1\n[[request]]\nname = 'tick'\npath = '/feed'\nwebsocket = true\n\
         body = 'bid {{number}}'\ncheck = { contains = 'bid' }\n",
    );
    assert_eq!(run.report.all.right, 400, "{:?}", failed(&run));
    assert!(server.seen.connections.load(Ordering::Relaxed) <= 8);
}

#[test]
fn a_fresh_connection_is_one_for_each_request() {
    let server = servers::http(Duration::ZERO);
    let text = |fresh| {
        format!(
            "[[arrivals]]\nrate = 200\nseconds = 1\n[[request]]\nname = 'a'\npath = '/'\nfresh_connection = {fresh}\n"
        )
    };
    let kept = of(&server, 1, &text(false));
    assert!(kept.report.own.connections < 100, "{:?}", kept.report.own);
    let fresh = of(&server, 1, &text(true));
    assert_eq!(fresh.report.own.connections, 200);
    assert_eq!(fresh.report.all.right, 200, "{:?}", failed(&fresh));
}

#[test]
fn servers_that_are_gone_or_hang_up_fail_every_request() {
    let server = servers::hangs_up();
    let text = "[[arrivals]]\nrate = 100\nseconds = 1\n[[request]]\nname = 'a'\npath = '/'\n";
    let run = of(&server, 1, text);
    assert_eq!(run.report.all.right, 0);
    assert_eq!(failed(&run), [(Failure::Closed, 100)]);
    let settings = settings(&server, 1);
    drop(server);
    let scenario = Scenario::parse(text, Path::new(".")).unwrap();
    let gone = load::run::run(scenario, &settings, |_| {}).unwrap();
    assert_eq!(failed(&gone), [(Failure::Connect, 100)]);
}

#[test]
fn a_closed_loop_sends_as_fast_as_there_are_answers() {
    let server = servers::http(Duration::ZERO);
    let run = of(
        &server,
        1,
        "connections = 4\n[[arrivals]]\nclosed = true\nseconds = 1\n[[request]]\nname = 'a'\npath = '/'\n",
    );
    let all = &run.report.all;
    assert!(run.report.closed && all.planned > 200, "{all:?}");
    assert_eq!(all.right, all.planned, "{:?}", failed(&run));
    assert_eq!(server.seen.requests.load(Ordering::Relaxed), all.planned);
    assert!(run.report.own.connections <= 4);
}

#[test]
fn a_run_that_is_stopped_does_not_count() {
    let server = servers::http(Duration::ZERO);
    let settings = settings(&server, 1);
    let text = "[[arrivals]]\nrate = 100\nseconds = 600\n[[request]]\nname = 'a'\npath = '/'\n";
    let scenario = Scenario::parse(text, Path::new(".")).unwrap();
    let stop = Arc::clone(&settings.stop);
    let run = run(scenario, &settings, |_| stop.store(true, Ordering::Relaxed)).unwrap();
    assert!(run.report.all.planned < 1_000);
    assert!(run.report.does_not_count.iter().any(|r| r.contains("before its plan")), "{:?}", run.report.does_not_count);
}

#[test]
fn its_log_is_read_by_the_library_of_others() {
    let server = servers::http(Duration::ZERO);
    let run = of(&server, 1, "[[arrivals]]\nrate = 100\nseconds = 2\n[[request]]\nname = 'a, b'\npath = '/'\n");
    let mut log = Vec::new();
    run.write_hdr(&mut log).unwrap();
    let mut counts = Vec::new();
    for entry in interval_log::IntervalLogIterator::new(&log) {
        let interval_log::LogEntry::Interval(line) = entry.unwrap() else { continue };
        assert_eq!(line.tag().unwrap().as_str(), "a--b");
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, line.encoded_histogram()).unwrap();
        let histogram: hdrhistogram::Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        counts.push((line.start_timestamp().as_secs(), histogram.len()));
    }
    assert_eq!(counts, [(0, 100), (1, 100)]);
}
