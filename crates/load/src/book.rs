//! What a thread writes down of its requests, and hands on a second at a time once all of the second have ended.
//!
//! It refuses to know what a request is.

use std::{
    collections::BTreeMap,
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use crate::{
    tally::{Failure, Tally, nanoseconds},
    worker::Job,
};

/// What a thread says.
#[derive(Debug)]
pub(crate) enum Message {
    /// All of a second have ended: a tally for each arm and kind.
    Slice { slice: u32, tallies: Vec<Tally> },
    /// All have ended.
    Done(Box<Done>),
}

/// What a thread says of itself.
#[derive(Debug)]
pub(crate) struct Done {
    /// From when a request was meant to be sent to when a client took it, where one was free.
    pub(crate) late: Histogram<u64>,
    /// Requests for which no client was free.
    pub(crate) waited: u64,
    /// Connections made.
    pub(crate) connections: u64,
    /// Processor time of the thread.
    pub(crate) cpu: Duration,
}

#[derive(Debug)]
struct Open {
    left: u64,
    tallies: Vec<Tally>,
}

#[derive(Debug)]
pub(crate) struct Book {
    out: Sender<Message>,
    kinds: usize,
    tallies: usize,
    open: BTreeMap<u32, Open>,
    /// Seconds before this are over.
    passed: u32,
    late: Histogram<u64>,
    waited: u64,
    pub(crate) connections: u64,
}

impl Book {
    pub(crate) fn new(out: Sender<Message>) -> Self {
        Self {
            out,
            kinds: 0,
            tallies: 0,
            open: BTreeMap::new(),
            passed: 0,
            late: nanoseconds(),
            waited: 0,
            connections: 0,
        }
    }

    pub(crate) fn open(&mut self, arms: usize, kinds: usize) {
        (self.kinds, self.tallies) = (kinds, arms * kinds);
    }

    pub(crate) fn has_open(&self) -> bool {
        self.open.values().any(|open| open.left > 0)
    }

    fn tally(&mut self, job: &Job) -> Option<(&mut u64, &mut Tally)> {
        let (at, tallies) = (job.arm * self.kinds + job.kind, self.tallies);
        let empty = || Open { left: 0, tallies: vec![Tally::default(); tallies] };
        let open = self.open.entry(job.slice).or_insert_with(empty);
        Some((&mut open.left, open.tallies.get_mut(at)?))
    }

    /// A request is to be sent.
    pub(crate) fn plan(&mut self, job: &Job) {
        if let Some((left, tally)) = self.tally(job) {
            *left += 1;
            tally.counts.planned += 1;
        }
    }

    /// A client has it.
    pub(crate) fn begin(&mut self, job: &Job) {
        if job.waited {
            self.waited += 1;
        } else {
            let _recorded = self.late.record(since(job.intended).max(1));
        }
    }

    /// It has ended.
    pub(crate) fn end(&mut self, job: &Job, outcome: Result<(), Failure>) {
        let latency = since(job.intended);
        let Some((left, tally)) = self.tally(job) else { return };
        *left -= 1;
        tally.end(outcome, latency);
        if *left == 0 && job.slice < self.passed {
            self.hand_on(job.slice);
        }
    }

    /// No more requests come for seconds before this one.
    pub(crate) fn pass(&mut self, slice: u32) {
        if slice <= self.passed {
            return;
        }
        self.passed = slice;
        let ended = |(at, open): (&u32, &Open)| (*at < slice && open.left == 0).then_some(*at);
        let over: Vec<u32> = self.open.iter().filter_map(ended).collect();
        for slice in over {
            self.hand_on(slice);
        }
    }

    fn hand_on(&mut self, slice: u32) {
        if let Some(Open { tallies, .. }) = self.open.remove(&slice) {
            // Nobody listens any more once the run is given up.
            let _sent = self.out.send(Message::Slice { slice, tallies });
        }
    }

    /// Hands everything on. What has no end is missing from its counts, and so counts against the run.
    pub(crate) fn close(&mut self) {
        let all: Vec<u32> = self.open.keys().copied().collect();
        for slice in all {
            self.hand_on(slice);
        }
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let done = Done {
            late: self.late.clone(),
            waited: self.waited,
            connections: self.connections,
            cpu: Duration::new(
                u64::try_from(cpu.tv_sec).unwrap_or_default(),
                u32::try_from(cpu.tv_nsec).unwrap_or_default(),
            ),
        };
        let _sent = self.out.send(Message::Done(Box::new(done)));
    }
}

fn since(moment: Instant) -> u64 {
    u64::try_from(Instant::now().saturating_duration_since(moment).as_nanos()).unwrap_or(u64::MAX)
}
