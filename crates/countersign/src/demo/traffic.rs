//! A client that pays all the time, through the public address, and keeps its own list of what it was told.
//!
//! It sends each payment once and never again: a request that fails is counted and stays failed. Afterwards its list
//! is compared with the books. It writes nothing.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::fault::{Because as _, Fault, Kind};

/// Clients that pay at the same time, each on a connection that it keeps.
const CLIENTS: usize = 4;
/// Between an answer and the next payment of a client: some 40 payments a second in all, which leaves the machine to
/// those who build.
const PAUSE: Duration = Duration::from_millis(80);
/// The edge may hold requests ten seconds while a ledger hands over; whoever waits longer has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// An answer is a payment or a page of them.
const BODY_BYTES: usize = 4 << 20;
/// A demo sends some ten thousand; each is kept in memory until the end.
const PAYMENTS_MAX: usize = 200_000;
/// As many as the example hands out at once.
const PAGE: usize = 500;

/// A payment as the client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// Its idempotency key.
    pub key: String,
    /// The amount, such as `12.50`.
    pub amount: String,
    /// When the answer came.
    pub at: Instant,
    /// What was answered.
    pub answer: Answered,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Booked: 201.
    Booked,
    /// Another status, so not booked.
    Refused(u16),
    /// No answer: nobody knows.
    Broken(String),
}

/// The client.
pub struct Traffic {
    address: SocketAddr,
    list: Arc<Mutex<Vec<Paid>>>,
    stopping: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    runs: usize,
}

/// What a comparison with the books showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Requests that were sent.
    pub sent: usize,
    /// Of those, answered with 201.
    pub booked: usize,
    /// Of those, answered otherwise or not at all.
    pub failed: usize,
    /// Payments in the books.
    pub in_books: usize,
    /// What is wrong, in words; empty if every payment that was answered is there once, and no other.
    pub wrong: Vec<String>,
}

impl Traffic {
    /// A client of this address, which does not pay yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, list: Arc::default(), stopping: Arc::default(), clients: Vec::new(), runs: 0 }
    }

    /// Begins to pay, unless it does already.
    pub fn start(&mut self) -> Result<(), Fault> {
        if !self.clients.is_empty() {
            return Ok(());
        }
        self.stopping.store(false, Ordering::SeqCst);
        self.runs += 1;
        for client in 0..CLIENTS {
            let (address, run) = (self.address, self.runs);
            let (list, stopping) = (self.list.clone(), self.stopping.clone());
            let thread = std::thread::Builder::new()
                .name("client".to_owned())
                .spawn(move || pay(address, run, client, &list, &stopping))
                .because(Kind::Unavailable, "no thread for a client")?;
            self.clients.push(thread);
        }
        Ok(())
    }

    /// Ends after the answers that are still to come.
    pub fn stop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            if client.join().is_err() {
                tracing::warn!("a client ended by a panic");
            }
        }
    }

    /// What was sent so far.
    pub fn list(&self) -> Vec<Paid> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that failed, between two moments.
    pub fn failed(&self, from: Instant, to: Instant) -> Vec<Paid> {
        let mut failed = self.list();
        failed.retain(|p| p.answer != Answered::Booked && p.at >= from && p.at <= to);
        failed
    }

    /// How many were booked since a moment.
    pub fn booked_since(&self, from: Instant) -> usize {
        self.list().iter().filter(|p| p.answer == Answered::Booked && p.at >= from).count()
    }

    /// One question of its own, such as `GET /health`.
    pub fn ask(&self, path: &str) -> Result<Value, Fault> {
        let mut line =
            Line::open(self.address).because(Kind::Unavailable, format!("{} does not answer", self.address))?;
        let (status, body) =
            line.ask("GET", path, &[], b"").because(Kind::Unavailable, format!("{} broke off", self.address))?;
        if status != 200 {
            return Err(Fault::new(Kind::Unavailable, format!("{}{path} answered {status}", self.address)));
        }
        serde_json::from_slice(&body).because(Kind::Unavailable, format!("{}{path} is not JSON", self.address))
    }

    /// Compares the list with the books, while nobody pays.
    pub fn compare(&self) -> Result<Books, Fault> {
        let mut there: Vec<(String, String)> = Vec::new();
        let mut after = 0;
        loop {
            let page = self.ask(&format!("/payments?after={after}&limit={PAGE}"))?;
            let rows = page.get("payments").and_then(Value::as_array).cloned().unwrap_or_default();
            let Some(last) = rows.last().and_then(|p| p.get("id")).and_then(Value::as_i64) else { break };
            after = last;
            let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            there.extend(rows.iter().map(|row| (text(row, "key"), text(row, "amount"))));
            if there.len() > PAYMENTS_MAX {
                return Err(Fault::new(Kind::Unavailable, "the books hold more payments than were sent"));
            }
        }
        let mut books = judge(&self.list(), &there);
        let audit = self.ask("/audit")?;
        let number = |name: &str| audit.get(name).and_then(Value::as_i64);
        for name in ["sum", "duplicates", "unbalanced", "overdrawn"] {
            if number(name) != Some(0) {
                books.wrong.push(format!("the ledger's own audit says {name}: {:?}", number(name)));
            }
        }
        if number("payments").and_then(|n| usize::try_from(n).ok()) != Some(there.len()) {
            books.wrong.push(format!(
                "the ledger's audit counts {:?} payments and lists {}",
                number("payments"),
                there.len()
            ));
        }
        Ok(books)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Compares a list with the keys and amounts in the books.
fn judge(list: &[Paid], there: &[(String, String)]) -> Books {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, amount) in there {
        found.entry(key).or_default().push(amount);
    }
    let mut books = Books { sent: list.len(), in_books: there.len(), ..Books::default() };
    for paid in list {
        let rows = found.remove(paid.key.as_str()).unwrap_or_default();
        let key = &paid.key;
        if rows.len() > 1 {
            books.wrong.push(format!("{key} is booked {} times", rows.len()));
        }
        if let Some(other) = rows.iter().find(|a| **a != paid.amount) {
            books.wrong.push(format!("{key} is booked with {other} instead of {}", paid.amount));
        }
        match &paid.answer {
            Answered::Booked => {
                books.booked += 1;
                if rows.is_empty() {
                    books.wrong.push(format!("{key} was answered as booked and is not there"));
                }
            }
            Answered::Refused(status) => {
                books.failed += 1;
                if !rows.is_empty() {
                    books.wrong.push(format!("{key} was refused with {status} and is booked"));
                }
            }
            Answered::Broken(_) => books.failed += 1,
        }
    }
    books.wrong.extend(found.keys().map(|key| format!("{key} is booked and nobody sent it")));
    books
}

/// One client: pays, waits, pays.
fn pay(address: SocketAddr, run: usize, client: usize, list: &Mutex<Vec<Paid>>, stopping: &AtomicBool) {
    let mut line = None;
    for number in 0.. {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let key = format!("demo-{run}-{client}-{number}");
        let amount = format!("{}.{:02}", 1 + number % 90, number % 100);
        let order =
            serde_json::json!({ "from": "bank", "to": format!("shop-{client}"), "amount": amount, "currency": "EUR" });
        let answer = send(&mut line, address, &key, order.to_string().as_bytes());
        let paid = Paid { key, amount, at: Instant::now(), answer };
        {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            if list.len() >= PAYMENTS_MAX {
                return;
            }
            list.push(paid);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Sends a payment once, on the connection that is there or a new one.
fn send(line: &mut Option<Line>, address: SocketAddr, key: &str, order: &[u8]) -> Answered {
    let mut open = match line.take().map_or_else(|| Line::open(address), Ok) {
        Ok(open) => open,
        Err(e) => return Answered::Broken(format!("no connection: {e}")),
    };
    match open.ask("POST", "/payments", &[("Idempotency-Key", key), ("Content-Type", "application/json")], order) {
        Ok((status, _)) => {
            *line = (!open.ends).then_some(open);
            if status == 201 { Answered::Booked } else { Answered::Refused(status) }
        }
        Err(e) => Answered::Broken(e.to_string()),
    }
}

/// A connection that is kept (HTTP/1.1, RFC 9112). Bodies have a length: neither the example nor the edge in front of
/// it sends others.
struct Line {
    stream: BufReader<TcpStream>,
    /// Whether the other side closes it after its last answer.
    ends: bool,
}

impl Line {
    fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), ends: false })
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: paydesk\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)?;
        let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
        let status =
            self.head_line()?.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| wrong("no status"))?;
        let mut length = None;
        loop {
            let header = self.head_line()?;
            if header.is_empty() {
                break;
            }
            let Some((name, value)) = header.split_once(':') else { return Err(wrong("no header")) };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            }
            self.ends |= name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close");
        }
        let length = length.filter(|l| *l <= BODY_BYTES).ok_or_else(|| wrong("no length, or too much"))?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok((status, answer))
    }

    fn head_line(&mut self) -> std::io::Result<String> {
        const LINE_BYTES: u64 = 8 * 1024;
        let mut line = String::new();
        let read = (&mut self.stream).take(LINE_BYTES).read_line(&mut line)?;
        if read == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "the connection was closed without an answer",
            ));
        }
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests;
