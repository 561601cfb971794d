//! Who goes next: requests in flight up to the limit, and those that wait for their turn, by class.
//!
//! Pure: times come in as microseconds. It refuses to know what a request is; `T` is whatever is told of its turn.
//!
//! Priority is strict: a share for the lower classes would be taken from settlement just when there is too little. What
//! would not have its turn in time is refused when it comes, and not after it has waited, so that its client can go
//! elsewhere and the queue stays short (CoDel's reason: Nichols, Jacobson, ACM Queue 10(5), 2012).

use std::collections::VecDeque;

use super::limit::AdaptiveLimit;

/// Requests that wait at most, of all classes: each holds a connection and a few KiB.
pub(crate) const MAX_WAITING: usize = 4_096;

/// The state of one component's admission.
pub(crate) struct Queue<T> {
    pub(crate) limit: AdaptiveLimit,
    /// Requests in flight by class.
    in_flight: Vec<usize>,
    waiting: Vec<VecDeque<Waiter<T>>>,
    queue_us: u64,
}

struct Waiter<T> {
    told: T,
    deadline_us: u64,
}

/// What becomes of a request that comes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It goes on at once.
    Goes,
    /// It waits.
    Waits,
    /// It is refused.
    Refused,
}

impl<T> Queue<T> {
    /// For so many classes, the most important first, each of which waits so long at most.
    pub(crate) fn new(classes: usize, queue_us: u64, now_us: u64) -> Self {
        let waiting = (0..classes).map(|_| VecDeque::new()).collect();
        Self { limit: AdaptiveLimit::new(classes, now_us), in_flight: vec![0; classes], waiting, queue_us }
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// Whether one more of a class may go on. What matters more does not wait until what matters less has been answered: it
    /// goes on as long as it and what matters as much are fewer than the limit, and up to twice the limit are there in all.
    fn has_room(&self, class: usize) -> bool {
        let (limit, all) = (self.limit.now(), self.in_flight());
        let as_much: usize = self.in_flight.iter().take(class + 1).sum();
        all < limit || as_much < limit && all < limit.saturating_mul(2) && class + 1 < self.in_flight.len()
    }

    fn begin(&mut self, class: usize) {
        if let Some(count) = self.in_flight.get_mut(class) {
            *count += 1;
        }
    }

    /// Requests of a class that wait.
    pub(crate) fn waiting(&self, class: usize) -> usize {
        self.waiting.get(class).map_or(0, VecDeque::len)
    }

    /// A request comes. `told` is made only if it waits; whoever is pushed out for it comes back with it.
    pub(crate) fn arrive(&mut self, class: usize, now_us: u64, told: impl FnOnce() -> T) -> (Arrival, Option<T>) {
        self.forget_late(now_us);
        let ahead: usize = self.waiting.iter().take(class + 1).map(VecDeque::len).sum();
        if ahead == 0 && self.has_room(class) {
            self.begin(class);
            let all = self.in_flight();
            self.limit.came(all, all >= self.limit.now());
            return (Arrival::Goes, None);
        }
        self.limit.came(self.in_flight(), true);
        if !self.is_in_time(ahead) {
            return (Arrival::Refused, None);
        }
        let mut pushed_out = None;
        if self.waiting.iter().map(VecDeque::len).sum::<usize>() >= MAX_WAITING {
            let Some(lower) = self.waiting.iter_mut().skip(class + 1).rev().find(|queue| !queue.is_empty()) else {
                return (Arrival::Refused, None);
            };
            pushed_out = lower.pop_back().map(|waiter| waiter.told);
        }
        let deadline_us = now_us.saturating_add(self.queue_us);
        let Some(queue) = self.waiting.get_mut(class) else { return (Arrival::Refused, pushed_out) };
        queue.push_back(Waiter { told: told(), deadline_us });
        (Arrival::Waits, pushed_out)
    }

    /// Whether the turn comes in time, with so many before it, as fast as answers came lately.
    fn is_in_time(&self, ahead: usize) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let (before, queue_us) = (ahead as f64 + 1.0, self.queue_us as f64);
        self.limit.rate_per_s().is_none_or(|rate| before * 1e6 <= queue_us * rate.max(f64::MIN_POSITIVE))
    }

    /// A request of a class is no longer in flight. `tell` tells others of their turn, and says whether they are still there.
    pub(crate) fn leave(&mut self, class: usize, now_us: u64, mut tell: impl FnMut(T) -> bool) {
        if let Some(count) = self.in_flight.get_mut(class) {
            *count = count.saturating_sub(1);
        }
        self.forget_late(now_us);
        while let Some(next) = self.waiting.iter().position(|queue| !queue.is_empty())
            && self.has_room(next)
        {
            let told = self.waiting.get_mut(next).and_then(VecDeque::pop_front).map(|waiter| waiter.told);
            if told.is_some_and(&mut tell) {
                self.begin(next);
            }
        }
    }

    fn forget_late(&mut self, now_us: u64) {
        for queue in &mut self.waiting {
            // All of a class wait equally long, so the oldest is late first.
            while queue.front().is_some_and(|waiter| waiter.deadline_us <= now_us) {
                queue.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests;
