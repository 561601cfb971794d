//! Each is asked once a tick, and an edge that does not answer is told of.

use std::{sync::mpsc, time::Instant};

use model::route::{ReadTarget, SeriesAnswer};

use super::*;

fn asked() -> Vec<Asked> {
    let target = ReadTarget { address: "10.9.1.2:80".parse().unwrap(), path: "/m".to_owned(), series: Vec::new() };
    vec![Asked { instance: "production.paydesk-000042.web.1".parse().unwrap(), target }]
}

fn reader(read: impl Fn(&ReadRequest) -> Result<Vec<ReadAnswer>, String> + Send + 'static) -> Reader {
    let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
    let own = Arc::clone(&shared);
    std::thread::spawn(move || ask_for_ever(&own, read, Ipv4Addr::LOCALHOST));
    Reader { shared }
}

fn next(reader: &Reader) -> Vec<Sweep> {
    let began = Instant::now();
    loop {
        let sweeps = reader.take();
        if !sweeps.is_empty() {
            return sweeps;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "nothing was read");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_asked_is_read_and_taken_once() {
    let (tell, told) = mpsc::channel();
    let reader = reader(move |request| {
        tell.send(request.clone()).unwrap();
        Ok(vec![ReadAnswer::Read(vec![SeriesAnswer::Samples(vec![1.0])])])
    });
    assert_eq!(reader.take(), []);
    reader.ask(asked(), 3_600_000);
    let sweeps = next(&reader);
    assert_eq!(sweeps.len(), 1);
    assert_eq!(sweeps[0].rows[0].0, asked()[0]);
    assert_eq!(reader.take(), [], "and not again before the tick is over");
    let request = told.recv().unwrap();
    assert_eq!((request.timeout_ms, request.source, request.targets.len()), (1_000, Some(Ipv4Addr::LOCALHOST), 1));
    drop(reader);
    assert!(told.recv().is_err(), "the thread ends with the reader");
}

#[test]
fn silence_and_nonsense_are_unreadable() {
    let silent = reader(|_| Err("the edge can not be reached".to_owned()));
    silent.ask(asked(), 1);
    let sweeps = next(&silent);
    assert_eq!(sweeps[0].rows[0].1, ReadAnswer::Unreadable("the edge can not be reached".to_owned()));
    let other = reader(|_| Ok(Vec::new()));
    other.ask(asked(), 1);
    assert_eq!(next(&other)[0].rows[0].1, ReadAnswer::Unreadable("the edge answered something else".to_owned()));
}

#[test]
fn looks_that_nobody_takes_do_not_pile_up() {
    let (tell, told) = mpsc::channel();
    let reader = reader(move |_| {
        let _over = tell.send(());
        Err(String::new())
    });
    reader.ask(asked(), 0);
    for _ in 0..3 * SWEEPS_LIMIT {
        told.recv().unwrap();
    }
    assert!(reader.take().len() <= SWEEPS_LIMIT);
}
