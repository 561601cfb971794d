//! A thread that sends: its pools of clients, each with a connection, and the moments at which they get requests.
//!
//! A request whose moment has come goes to a client that is free, to a new one, or, where there may be no more, to the first
//! that gets free; its latency counts from its moment in each case. One thread never waits for another.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use tokio::time::timeout_at;

use crate::{
    arrivals::Arrivals,
    book::{Book, Message},
    check::Wrong,
    draw::{self, Draw, Drawn},
    http1::Http1,
    http2::{self, Shared},
    pacer::Pacer,
    scenario::{Protocol, Request, Scenario},
    tally::{Failure, SLICE_NS},
    template::Values,
    transport::{Io, Target},
    websocket::{self, Session},
};

/// Requests whose moment has come are sent so many at a time before answers are looked at.
const BURST: u32 = 32;
/// Requests at a time on all connections of HTTP/2.
const STREAMS: usize = 10_000;

/// What a thread is to do.
pub(crate) struct Task {
    pub(crate) scenario: Arc<Scenario>,
    /// One, or two that are compared.
    pub(crate) targets: Vec<Target>,
    pub(crate) start: Instant,
    /// Which thread of how many.
    pub(crate) share: (u64, u64),
    pub(crate) stop: Arc<AtomicBool>,
}

/// A request that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) intended: Instant,
    pub(crate) slice: u32,
    pub(crate) arm: usize,
    pub(crate) kind: usize,
    drawn: Drawn,
    /// Whether no client was free, and none could be added.
    pub(crate) waited: bool,
}

/// Clients of one target, and what waits for them.
#[derive(Default)]
struct Pool {
    idle: RefCell<Vec<Rc<Slot>>>,
    queue: RefCell<VecDeque<Job>>,
    clients: Cell<usize>,
    most: usize,
}

/// Where a client that is free gets its next request.
#[derive(Default)]
struct Slot {
    job: Cell<Option<Job>>,
    waker: Cell<Option<Waker>>,
}

enum Connection {
    None,
    Http1(Http1<Io>),
    WebSocket(Session),
}

struct Worker {
    task: Task,
    /// A pool for requests, and one for each kind of session, an arm each.
    pools: Vec<Pool>,
    /// Which of an arm's pools a request is for.
    pool_of: Vec<usize>,
    /// Requests that are always the same, by arm and place.
    fixed: Vec<Option<Rc<[u8]>>>,
    shared: Vec<Rc<Shared>>,
    draw: RefCell<Draw>,
    until: Option<Instant>,
    book: RefCell<Book>,
}

/// Sends all of a thread's share. Runs until the last answer is there or given up.
pub(crate) fn run(task: Task, out: Sender<Message>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let worker = Rc::new(Worker::new(task, Book::new(out)));
    let sent = local.block_on(&runtime, async {
        worker.send_all().await?;
        worker.settle().await;
        Ok(())
    });
    worker.book.borrow_mut().close();
    sent
}

impl Worker {
    fn new(task: Task, mut book: Book) -> Self {
        let scenario = &task.scenario;
        let arms = task.targets.len();
        let threads = usize::try_from(task.share.1).unwrap_or(1).max(1);
        let most = match scenario.protocol {
            Protocol::Http1 => scenario.connections.div_ceil(threads),
            Protocol::Http2 => STREAMS,
        };
        let mut sessions = 0;
        let pool_of: Vec<usize> = scenario
            .requests
            .iter()
            .map(|request| {
                sessions += usize::from(request.websocket);
                if request.websocket { sessions } else { 0 }
            })
            .collect();
        let pools = (0..arms * (sessions + 1)).map(|_| Pool { most, ..Pool::default() }).collect();
        let fixed = task.targets.iter().flat_map(|target| {
            scenario.requests.iter().map(|request| {
                let is_fixed = request.path.is_fixed()
                    && request.body.is_fixed()
                    && request.headers.iter().all(|(_, value)| value.is_fixed());
                let values = Values { row: &[], number: 0, random: 0 };
                (is_fixed && !request.websocket).then(|| wire(request, &target.authority, &values).into())
            })
        });
        let fixed = fixed.collect();
        let connections = scenario.connections.min(http2::CONNECTIONS);
        let shared = (0..arms * connections).map(|_| Rc::default()).collect();
        book.open(arms, scenario.kinds.len());
        let until = match scenario.arrivals {
            Arrivals::Closed { seconds } => Some(task.start + Duration::from_secs_f64(seconds)),
            _ => None,
        };
        let draw = RefCell::new(Draw::new(Arc::clone(scenario)));
        Self { pools, pool_of, fixed, shared, draw, until, book: RefCell::new(book), task }
    }

    fn is_stopped(&self) -> bool {
        self.task.stop.load(Ordering::Relaxed)
    }

    fn job(&self, drawn: Drawn, arm: usize, at_ns: u64) -> Job {
        let kind = self.task.scenario.requests.get(drawn.request).map_or(0, |request| request.kind);
        let slice = u32::try_from(at_ns / SLICE_NS).unwrap_or(u32::MAX);
        Job { intended: self.task.start + Duration::from_nanos(at_ns), slice, arm, kind, drawn, waited: false }
    }

    /// Sends every request of the plan at its moment.
    async fn send_all(self: &Rc<Self>) -> std::io::Result<()> {
        let pacer = Pacer::new()?;
        pacer.until(self.task.start).await?;
        if self.until.is_some() {
            return self.send_closed(&pacer).await;
        }
        let arms = self.task.targets.len();
        let (mine, threads) = self.task.share;
        let scenario = Arc::clone(&self.task.scenario);
        let mut times = scenario.arrivals.times(draw::of_arrivals(scenario.seed)).peekable();
        let (mut number, mut before, mut burst, mut now) = (0_u64, 0_u64, 0_u32, Instant::now());
        while let Some(at) = times.next() {
            let drawn = self.draw.borrow_mut().next();
            // In the middle between this and the next, or as far from the last as that was from the one before it.
            let middle = times.peek().map_or_else(|| at + (at - before) / 2, |next| at.midpoint(*next));
            before = at;
            let is_mine = number % threads == mine;
            number += 1;
            if !is_mine {
                continue;
            }
            // Which of two is first is chance, and the same for whoever repeats the run.
            let first = usize::from(arms == 2 && drawn.random & 1 == 1);
            for turn in 0..arms {
                let at = if turn == 0 { at } else { middle };
                let job = self.job(drawn, if turn == 0 { first } else { 1 - first }, at);
                if job.intended > now {
                    pacer.until(job.intended).await?;
                    now = Instant::now();
                    burst = 0;
                } else {
                    burst += 1;
                    if burst.is_multiple_of(BURST) {
                        tokio::task::yield_now().await;
                        now = Instant::now();
                    }
                }
                if self.is_stopped() {
                    return Ok(());
                }
                self.book.borrow_mut().pass(job.slice);
                self.dispatch(job);
            }
        }
        Ok(())
    }

    /// Starts all clients, which go on by themselves, and waits for the end.
    async fn send_closed(self: &Rc<Self>, pacer: &Pacer) -> std::io::Result<()> {
        let threads = usize::try_from(self.task.share.1).unwrap_or(1);
        let mine = usize::try_from(self.task.share.0).unwrap_or_default();
        let all = self.task.scenario.connections;
        let clients = all / threads + usize::from(mine < all % threads);
        for _ in 0..clients {
            for arm in 0..self.task.targets.len() {
                if let Some(job) = self.another(arm) {
                    self.dispatch(job);
                }
            }
        }
        let Some(until) = self.until else { return Ok(()) };
        while Instant::now() < until && !self.is_stopped() {
            pacer.until(until.min(Instant::now() + Duration::from_millis(100))).await?;
            self.book.borrow_mut().pass(self.slice_now());
        }
        Ok(())
    }

    fn slice_now(&self) -> u32 {
        u32::try_from(Instant::now().saturating_duration_since(self.task.start).as_secs()).unwrap_or(u32::MAX)
    }

    /// The next request of a closed loop.
    fn another(&self, arm: usize) -> Option<Job> {
        let now = Instant::now();
        if self.until.is_none_or(|until| now >= until) || self.is_stopped() {
            return None;
        }
        let at = now.saturating_duration_since(self.task.start).as_nanos();
        let drawn = self.draw.borrow_mut().next();
        let mut job = self.job(drawn, arm, u64::try_from(at).unwrap_or(u64::MAX));
        job.intended = now;
        Some(job)
    }

    /// Waits until every request has its end; each has one by its time limit.
    async fn settle(&self) {
        let limit = Instant::now() + self.task.scenario.timeout + Duration::from_secs(1);
        while self.book.borrow().has_open() && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn pool(&self, arm: usize, request: usize) -> Option<&Pool> {
        let each = self.pools.len() / self.task.targets.len().max(1);
        self.pools.get(arm * each + self.pool_of.get(request).copied().unwrap_or_default())
    }

    fn dispatch(self: &Rc<Self>, mut job: Job) {
        let Some(pool) = self.pool(job.arm, job.drawn.request) else { return };
        self.book.borrow_mut().plan(&job);
        let idle = pool.idle.borrow_mut().pop();
        if let Some(slot) = idle {
            slot.job.set(Some(job));
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        } else if pool.clients.get() < pool.most {
            let place = pool.clients.get();
            pool.clients.set(place + 1);
            tokio::task::spawn_local(client(Rc::clone(self), place, job));
        } else {
            job.waited = true;
            pool.queue.borrow_mut().push_back(job);
        }
    }

    async fn exchange(&self, connection: &mut Connection, place: usize, job: &Job) -> Result<(), Failure> {
        let scenario = &self.task.scenario;
        let target = self.task.targets.get(job.arm).ok_or(Failure::Protocol)?;
        let request = scenario.requests.get(job.drawn.request).ok_or(Failure::Protocol)?;
        let row = scenario.rows.get(job.drawn.row).map(Vec::as_slice).unwrap_or_default();
        let values = Values { row, number: job.drawn.number, random: job.drawn.random };
        let keep = request.check.needs_body();
        let (status, body) = if request.websocket {
            let said = self.message(connection, target, request, &values).await?;
            (None, said)
        } else if scenario.protocol == Protocol::Http2 {
            let each = self.shared.len() / self.task.targets.len().max(1);
            let shared = self.shared.get(job.arm * each + place % each.max(1)).ok_or(Failure::Protocol)?;
            let (path, headers, body) = filled(request, &values);
            let request = http2::request(target, &request.method, &path, &headers, body)?;
            let (status, body) = http2::exchange(shared, target, request, keep).await?;
            (Some(status), body)
        } else {
            let fixed = self.fixed.get(job.arm * scenario.requests.len() + job.drawn.request).cloned().flatten();
            let bytes: Rc<[u8]> = fixed.unwrap_or_else(|| wire(request, &target.authority, &values).into());
            if request.fresh || !matches!(connection, Connection::Http1(_)) {
                *connection = Connection::Http1(Http1::new(target.connect().await?));
                self.book.borrow_mut().connections += 1;
            }
            let Connection::Http1(http1) = connection else { return Err(Failure::Protocol) };
            let answer = http1.exchange(&bytes, request.method == "HEAD", keep).await?;
            if !answer.lasts || request.fresh {
                *connection = Connection::None;
            }
            (Some(answer.status), answer.body)
        };
        match request.check.judge(status, &body) {
            None => Ok(()),
            Some(Wrong::Status) => Err(Failure::Status),
            Some(Wrong::Body) => Err(Failure::Body),
        }
    }

    async fn message(
        &self,
        connection: &mut Connection,
        target: &Target,
        request: &Request,
        values: &Values<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let (path, headers, body) = filled(request, values);
        if request.fresh || !matches!(connection, Connection::WebSocket(_)) {
            *connection = Connection::WebSocket(websocket::open(target, &path, &headers).await?);
            self.book.borrow_mut().connections += 1;
        }
        let Connection::WebSocket(session) = connection else { return Err(Failure::Protocol) };
        websocket::exchange(session, body).await
    }

    /// The next request for a client: what waits, or what comes while it is free.
    async fn next(&self, arm: usize, request: usize, slot: &Rc<Slot>, connection: &mut Connection) -> Job {
        let Some(pool) = self.pool(arm, request) else { return std::future::pending().await };
        let waiting = pool.queue.borrow_mut().pop_front();
        if let Some(job) = waiting {
            return job;
        }
        if let Some(job) = self.another(arm) {
            self.book.borrow_mut().plan(&job);
            return job;
        }
        pool.idle.borrow_mut().push(Rc::clone(slot));
        poll_fn(|cx| {
            if let Some(job) = slot.job.take() {
                return Poll::Ready(job);
            }
            slot.waker.set(Some(cx.waker().clone()));
            if let Connection::Http1(http1) = connection
                && http1.poll_ended(cx).is_ready()
            {
                *connection = Connection::None;
            }
            Poll::Pending
        })
        .await
    }
}

/// A client: a request after the other, each on its connection as long as that lasts.
async fn client(worker: Rc<Worker>, place: usize, first: Job) {
    let slot = Rc::new(Slot::default());
    let mut connection = Connection::None;
    let mut job = first;
    loop {
        worker.book.borrow_mut().begin(&job);
        let deadline = tokio::time::Instant::from_std(job.intended + worker.task.scenario.timeout);
        let outcome = timeout_at(deadline, worker.exchange(&mut connection, place, &job)).await;
        let outcome = outcome.unwrap_or(Err(Failure::Timeout));
        if outcome.is_err_and(|failure| !matches!(failure, Failure::Status | Failure::Body)) {
            connection = Connection::None;
        }
        worker.book.borrow_mut().end(&job, outcome);
        job = worker.next(job.arm, job.drawn.request, &slot, &mut connection).await;
    }
}

/// Path, headers and body.
type Filled = (String, Vec<(String, Vec<u8>)>, Vec<u8>);

fn filled(request: &Request, values: &Values<'_>) -> Filled {
    let fill = |template: &crate::template::Template| {
        let mut bytes = Vec::new();
        template.fill(values, &mut bytes);
        bytes
    };
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    // The scenario takes only paths of visible ASCII.
    (String::from_utf8(fill(&request.path)).unwrap_or_default(), headers, fill(&request.body))
}

/// A request as HTTP/1.1 writes it.
fn wire(request: &Request, authority: &str, values: &Values<'_>) -> Vec<u8> {
    let (path, headers, body) = filled(request, values);
    let mut bytes = format!("{} {path} HTTP/1.1\r\n", request.method).into_bytes();
    if !headers.iter().any(|(name, _)| name == "host") {
        bytes.extend_from_slice(format!("host: {authority}\r\n").as_bytes());
    }
    for (name, value) in &headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    if request.fresh {
        bytes.extend_from_slice(b"connection: close\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}
