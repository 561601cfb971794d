use load::{
    machine::Machine,
    report::{Own, Quantiles},
    tally::Failure,
};
use model::Timestamp;

use super::*;

fn report() -> Report {
    let latency_us = Quantiles { p50: 800.0, p90: 1_500.0, p99: 4_000.0, p999: 30_000.0, max: 2_500_000.0 };
    let kind = KindReport {
        name: "quote <script>".into(),
        planned: 6_000,
        right: 5_990,
        failed: vec![(Failure::Timeout, 10)],
        latency_us,
    };
    Report {
        target: "http://127.0.0.1:8080/".into(),
        began: Timestamp::from_unix(1_800_000_000),
        seconds: 3.0,
        offered: 2_000.0,
        answered: 1_996.7,
        closed: false,
        all: KindReport { name: "all".into(), ..kind.clone() },
        kinds: vec![kind],
        each_second: (0..3).map(|at| Second { at, planned: 2_000, failed: 3, latency_us }).collect(),
        own: Own { threads: 1, busy: 0.4, ..Own::default() },
        machine: Machine {
            processor: "A processor".into(),
            processors: 2,
            memory_mib: 1_024,
            kernel: "6.1".into(),
            load: 0.5,
        },
        does_not_count: Vec::new(),
    }
}

/// The text of a page that is well-formed.
fn text(page: &str) -> String {
    let mut reader = quick_xml::Reader::from_str(page);
    let mut text = String::new();
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => return text,
            quick_xml::events::Event::Text(part) => text.push_str(&part),
            _ => {}
        }
    }
}

#[test]
fn every_figure_is_there_and_nothing_of_it_is_markup() {
    let page = page(&report());
    let text = text(&page);
    for words in ["2000 requests a second: 10 failed, p99 4.00 ms", "10 no answer in time", "2.50 s", "A processor"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!page.contains("<script") && page.matches("<polyline").count() == 5);
}

#[test]
fn a_run_that_does_not_count_says_so_first() {
    let page = page(&Report { does_not_count: vec!["it was suspended".into()], ..report() });
    assert!(page.contains("<h1>This run does not count</h1><p>it was suspended</p>"), "{page}");
}

#[test]
fn a_run_of_nothing_has_a_page() {
    let empty = Report { each_second: Vec::new(), kinds: Vec::new(), ..report() };
    assert!(text(&page(&empty)).contains("Second by second"));
}
