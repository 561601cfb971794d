//! Admission: which requests go on to a component now, which wait for their turn, and which are refused before anything
//! of them is sent.
//!
//! It refuses to know versions: a refused request counts for none, so that no version is judged by a surge.

mod doors;
mod limit;
mod queue;
mod rates;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{HeaderMap, Method, StatusCode};
use model::{
    release::{OTHER_CLASS, PriorityClass, Surge},
    route::{ClassCounts, Shed, SurgeCounts},
};
use tokio::{sync::oneshot, time::timeout};

pub(crate) use doors::{Door, Doors};
use queue::{Arrival, Queue};
use rates::{ClientRates, Taken, take};

use crate::{counts::add_one, identity::Known, refusal::Refusal};

/// The longest that clients are asked to stay away, in seconds: a surge that lasts longer is asked about again.
const MAX_RETRY_AFTER_S: u64 = 30;
/// Refusals are spread over at least this many seconds, so that those refused together do not come back together.
const MIN_RETRY_SPREAD_S: u64 = 3;
/// The time over which recent refusals are counted, in seconds.
const LATELY_S: usize = 10;
/// A request whose client left goes on in the component for about as long as an unhurried answer takes; for so long
/// at most it counts as in flight there.
const MAX_LINGER: Duration = Duration::from_secs(5);

/// The admission of one component.
pub(crate) struct Admission {
    rules: Surge,
    began: Instant,
    queue: Mutex<Queue<oneshot::Sender<()>>>,
    total_full_ns: Mutex<u64>,
    clients: Option<ClientRates>,
    counters: Vec<ClassCounter>,
    pub(crate) connections_refused: AtomicU64,
    refusals: AtomicU64,
}

#[derive(Default)]
struct ClassCounter {
    admitted: AtomicU64,
    client: AtomicU64,
    total: AtomicU64,
    overload: AtomicU64,
    late: AtomicU64,
    lately: Mutex<Lately>,
}

/// Refusals in each of the last seconds: the second and how many.
#[derive(Default)]
struct Lately([(u64, u64); LATELY_S]);

impl Lately {
    fn add(&mut self, second: u64) {
        let slot = usize::try_from(second).unwrap_or(0) % LATELY_S;
        if let Some(slot) = self.0.get_mut(slot) {
            *slot = if slot.0 == second { (second, slot.1 + 1) } else { (second, 1) };
        }
    }

    /// In the last so many seconds before the end of this one.
    fn sum(&self, second: u64, seconds: u64) -> u64 {
        self.0.iter().filter(|(at, _)| at.saturating_add(seconds) > second).map(|(_, count)| count).sum()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is whole before anything could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Admission {
    /// By these rules.
    pub(crate) fn new(rules: &Surge) -> Arc<Self> {
        let classes = rules.classes.len() + 1;
        Arc::new(Self {
            began: Instant::now(),
            queue: Mutex::new(Queue::new(classes, u64::from(rules.queue_ms) * 1_000, 0)),
            total_full_ns: Mutex::new(0),
            clients: rules.client.map(|_| ClientRates::new()),
            counters: (0..classes).map(|_| ClassCounter::default()).collect(),
            connections_refused: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            rules: rules.clone(),
        })
    }

    /// The rules.
    pub(crate) const fn rules(&self) -> &Surge {
        &self.rules
    }

    /// The class of a request: the first that it matches.
    pub(crate) fn class(&self, method: &Method, path: &str, headers: &HeaderMap) -> usize {
        let found = self.rules.classes.iter().position(|class| is_of(class, method, path, headers));
        found.unwrap_or(self.rules.classes.len())
    }

    /// Whether the client, and all together, may ask for one more now.
    pub(crate) fn may_ask(&self, class: usize, known: &Known) -> Result<(), Refusal> {
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let (Some(rate), Some(clients)) = (self.rules.client, &self.clients)
            && let Taken::No(after_ns) = clients.take(known.accountable(), rate, now_ns)
        {
            if let Some(counter) = self.counters.get(class) {
                add_one(&counter.client);
            }
            let after_s = (after_ns / 1_000_000_000 + 1 + self.spread(2)).min(MAX_RETRY_AFTER_S);
            return Err(Refusal::ClientRate { after_s });
        }
        if let Some(rate) = self.rules.total {
            let mut full_ns = locked(&self.total_full_ns);
            // The last class may use half of the burst, the first all of it.
            let (lower, last) = (class.min(self.rules.classes.len()) as u64, self.rules.classes.len() as u64);
            let hundredths = 100 - 50 * lower / last.max(1);
            match take(rate, hundredths, *full_ns, now_ns) {
                Taken::Yes(then_ns) => *full_ns = then_ns,
                Taken::No(_) => {
                    drop(full_ns);
                    return Err(self.refuse(class, |counter| &counter.total));
                }
            }
        }
        Ok(())
    }

    /// Waits for the turn of a request.
    pub(crate) async fn enter(self: &Arc<Self>, class: usize) -> Result<Permit, Refusal> {
        let class = class.min(self.rules.classes.len());
        let mut turn = None;
        let (arrival, pushed_out) = locked(&self.queue).arrive(class, self.now_us(), || {
            let (tell, told) = oneshot::channel();
            turn = Some(told);
            tell
        });
        // Whoever is pushed out finds its sender gone.
        drop(pushed_out);
        match (arrival, turn) {
            (Arrival::Goes, _) => {}
            (Arrival::Waits, Some(told)) => {
                let mut turn = Turn { told, admission: self, class };
                match timeout(Duration::from_millis(u64::from(self.rules.queue_ms)), &mut turn.told).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) if self.is_late() => return Err(self.refuse(class, |counter| &counter.late)),
                    Ok(Err(_)) => return Err(self.refuse(class, |counter| &counter.overload)),
                    // The turn may have come at the same time; then it is given back when `turn` is dropped.
                    Err(_) => return Err(self.refuse(class, |counter| &counter.late)),
                }
            }
            (Arrival::Waits | Arrival::Refused, _) => return Err(self.refuse(class, |counter| &counter.overload)),
        }
        if let Some(counter) = self.counters.get(class) {
            add_one(&counter.admitted);
        }
        Ok(Permit { admission: Arc::clone(self), class, began: Instant::now(), held: true })
    }

    /// Whether a waiter whose sender is gone was late rather than pushed out: only a full queue pushes out.
    fn is_late(&self) -> bool {
        let queue = locked(&self.queue);
        (0..self.counters.len()).map(|class| queue.waiting(class)).sum::<usize>() + 1 < queue::MAX_WAITING
    }

    fn refuse(&self, class: usize, reason: fn(&ClassCounter) -> &AtomicU64) -> Refusal {
        let second = self.began.elapsed().as_secs();
        if let Some(counter) = self.counters.get(class) {
            add_one(reason(counter));
            locked(&counter.lately).add(second);
        }
        // So many were refused in the last second or two; as fast as answers come, they need so long to be served.
        let refused: u64 = self.counters.iter().map(|counter| locked(&counter.lately).sum(second, 2)).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of answers, at least 1")]
        let rate = locked(&self.queue).limit.rate_per_s().map_or(1, |rate| rate.max(1.0) as u64);
        let over = (refused / rate).clamp(MIN_RETRY_SPREAD_S, MAX_RETRY_AFTER_S);
        Refusal::Overload { after_s: 1 + self.spread(over - 1) }
    }

    /// A number up to `most`, others for others: multiples of the golden ratio modulo 1 fill it evenly.
    fn spread(&self, most: u64) -> u64 {
        let fraction = self.refusals.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        u64::try_from((u128::from(fraction) * u128::from(most + 1)) >> 64).unwrap_or(0)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn at_us(&self, when: Instant) -> u64 {
        u64::try_from(when.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    fn leave(&self, class: usize) {
        locked(&self.queue).leave(class, self.now_us(), |waiter| waiter.send(()).is_ok());
    }

    /// What was counted.
    pub(crate) fn row(&self, component: &model::ComponentName) -> SurgeCounts {
        let second = self.began.elapsed().as_secs();
        let (limit, in_flight, waiting) = {
            let queue = locked(&self.queue);
            let waiting: Vec<u64> = (0..self.counters.len()).map(|class| queue.waiting(class) as u64).collect();
            (queue.limit.now() as u64, queue.in_flight() as u64, waiting)
        };
        let names = self.rules.classes.iter().map(|class| class.name.as_str()).chain([OTHER_CLASS]);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let row = |((name, counter), waiting): ((&str, &ClassCounter), u64)| ClassCounts {
            class: name.to_owned(),
            admitted: load(&counter.admitted),
            waiting,
            shed: Shed {
                client: load(&counter.client),
                total: load(&counter.total),
                overload: load(&counter.overload),
                late: load(&counter.late),
            },
            shed_lately: locked(&counter.lately).sum(second, LATELY_S as u64),
        };
        SurgeCounts {
            component: component.clone(),
            limit,
            in_flight,
            connections_refused: load(&self.connections_refused),
            classes: names.zip(&self.counters).zip(waiting).map(row).collect(),
        }
    }
}

/// Whether a path means what it says. What a component may resolve to another path is of no class by its path, or anybody
/// could raise `/quotes` by asking for `/settlements/../quotes`.
fn is_plain(path: &str) -> bool {
    let has = |part: &str| path.as_bytes().windows(part.len()).any(|at| at.eq_ignore_ascii_case(part.as_bytes()));
    !["//", "/.", "\\", ";", "%2e", "%2f", "%5c", "%3b"].into_iter().any(has)
}

/// Whether a request is of a class.
fn is_of(class: &PriorityClass, method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let below = |start: &String| {
        path.strip_prefix(start.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || start.ends_with('/'))
    };
    (class.paths.is_empty() || is_plain(path) && class.paths.iter().any(below))
        && (class.methods.is_empty() || class.methods.iter().any(|one| one == method.as_str()))
        && class.header.as_ref().is_none_or(|header| {
            headers.get_all(header.name.as_str()).iter().any(|value| value.as_bytes() == header.value.as_bytes())
        })
}

/// A place in the queue. A client that leaves just as its turn comes gives the turn back.
struct Turn<'a> {
    told: oneshot::Receiver<()>,
    admission: &'a Admission,
    class: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.told.close();
        // After it was received this finds nothing.
        if self.told.try_recv().is_ok() {
            self.admission.leave(self.class);
        }
    }
}

/// The leave of one request to be in flight. Dropped without a word, its client has left, and the component goes on with it
/// for a while: whoever sends and resets must not make the edge send more than the component takes.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    class: usize,
    began: Instant,
    held: bool,
}

impl Permit {
    /// The head of the answer is here; the component could begin at `ready`, if the client kept it waiting.
    pub(crate) fn answered(mut self, status: StatusCode, ready: Option<Instant>) {
        let too_much = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        self.end(|queue, admission, class, began| {
            let (now_us, in_flight) = (admission.now_us(), queue.in_flight().saturating_sub(1));
            if too_much {
                queue.limit.overloaded(in_flight, now_us);
            } else {
                let since_us = ready.map_or(0, |ready| admission.at_us(ready)).max(admission.at_us(began));
                let began_us = admission.at_us(began);
                queue.limit.answered(class, began_us, now_us.saturating_sub(since_us), in_flight, now_us);
            }
        });
    }

    /// There will be none.
    pub(crate) fn unanswered(mut self) {
        self.end(|queue, admission, _, _| {
            queue.limit.overloaded(queue.in_flight().saturating_sub(1), admission.now_us());
        });
    }

    /// Nothing is to be learnt from it.
    pub(crate) fn done(mut self) {
        self.end(|_, _, _, _| {});
    }

    fn end(&mut self, learn: impl FnOnce(&mut Queue<oneshot::Sender<()>>, &Admission, usize, Instant)) {
        self.held = false;
        let mut queue = locked(&self.admission.queue);
        learn(&mut queue, &self.admission, self.class, self.began);
        queue.leave(self.class, self.admission.now_us(), |waiter| waiter.send(()).is_ok());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let base_us = locked(&self.admission.queue).limit.base_us(self.class).unwrap_or(0.0);
        let rest = Duration::from_secs_f64(base_us / 1e6).saturating_sub(self.began.elapsed()).min(MAX_LINGER);
        let (admission, class) = (Arc::clone(&self.admission), self.class);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !rest.is_zero() => {
                runtime.spawn(async move {
                    tokio::time::sleep(rest).await;
                    admission.leave(class);
                });
            }
            _ => admission.leave(class),
        }
    }
}

#[cfg(test)]
mod tests;
