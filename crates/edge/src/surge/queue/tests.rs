//! A component of so many servers, driven through the queue in simulated time.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::*;

/// A generator of random numbers that is the same at each run (`splitmix64`, Steele et al., OOPSLA 2014).
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { class: usize },
    Answered { request: usize },
}

struct Request {
    class: usize,
    came_us: u64,
    began_us: u64,
}

/// What a phase of the load gave, by class: latencies of answers in microseconds, and refusals.
#[derive(Default)]
struct Seen {
    took_us: [Vec<u64>; 2],
    refused: [u64; 2],
}

impl Seen {
    fn p99(&mut self, class: usize) -> u64 {
        let took = &mut self.took_us[class];
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }
}

/// A component that answers `servers` at once, each after about `service_us`; the others wait inside it.
struct Simulation {
    queue: Queue<usize>,
    dice: Dice,
    servers: usize,
    service_us: f64,
    /// How much a single time differs: 0 for never, 1 for exponential times.
    spread: f64,
    requests: Vec<Request>,
    busy: usize,
    inside: std::collections::VecDeque<usize>,
    events: BinaryHeap<Reverse<(u64, usize, Event)>>,
    now_us: u64,
    arrivals: usize,
}

impl Simulation {
    fn new(servers: usize, service_us: f64, spread: f64) -> Self {
        Self {
            queue: Queue::new(2, 100_000, 0),
            dice: Dice(7),
            servers,
            service_us,
            spread,
            requests: Vec::new(),
            busy: 0,
            inside: std::collections::VecDeque::new(),
            events: BinaryHeap::new(),
            now_us: 0,
            arrivals: 0,
        }
    }

    fn capacity_per_s(&self) -> f64 {
        self.servers as f64 * 1e6 / self.service_us
    }

    fn start(&mut self) {
        while self.busy < self.servers {
            let Some(request) = self.inside.pop_front() else { return };
            self.busy += 1;
            let random = self.dice.exponential(self.service_us);
            let took = self.service_us * (1.0 - self.spread) + random * self.spread;
            self.events.push(Reverse((self.now_us + took as u64, request, Event::Answered { request })));
        }
    }

    fn begin(&mut self, request: usize) {
        self.requests[request].began_us = self.now_us;
        self.inside.push_back(request);
        self.start();
    }

    /// So many requests a second of each class for so long.
    fn run(&mut self, per_s: [f64; 2], for_us: u64) -> Seen {
        let mut seen = Seen::default();
        let until = self.now_us + for_us;
        for (class, rate) in per_s.into_iter().enumerate() {
            let mut at = self.now_us as f64;
            loop {
                at += self.dice.exponential(1e6 / rate.max(1e-9));
                if at >= until as f64 {
                    break;
                }
                self.arrivals += 1;
                self.events.push(Reverse((at as u64, self.arrivals, Event::Arrives { class })));
            }
        }
        while let Some(Reverse((at, _, event))) = self.events.peek().copied() {
            if at >= until {
                break;
            }
            self.events.pop();
            self.now_us = at;
            match event {
                Event::Arrives { class } => {
                    let request = self.requests.len();
                    self.requests.push(Request { class, came_us: at, began_us: at });
                    match self.queue.arrive(class, at, || request) {
                        (Arrival::Goes, _) => self.begin(request),
                        (Arrival::Waits, _) => {}
                        (Arrival::Refused, _) => seen.refused[class] += 1,
                    }
                }
                Event::Answered { request } => {
                    let Request { class, came_us, began_us } = self.requests[request];
                    self.busy -= 1;
                    seen.took_us[class].push(at - came_us);
                    self.start();
                    let in_flight = self.queue.in_flight() - 1;
                    self.queue.limit.answered(class, began_us, at - began_us, in_flight, at);
                    let mut told = Vec::new();
                    self.queue.leave(class, at, |next| {
                        told.push(next);
                        true
                    });
                    told.into_iter().for_each(|next| self.begin(next));
                }
            }
        }
        self.now_us = until;
        seen
    }
}

/// The surge of the promise: ten times of what the component takes, of which what matters is two fifths of its capacity.
fn surge(servers: usize, service_us: f64, spread: f64) {
    let mut sim = Simulation::new(servers, service_us, spread);
    let capacity = sim.capacity_per_s();
    let what = format!("{servers} servers of {service_us} us, spread {spread}");
    // What a component takes is learnt within a second.
    let _learning = sim.run([0.4 * capacity, 0.2 * capacity], 1_000_000);
    let mut calm = sim.run([0.4 * capacity, 0.2 * capacity], 10_000_000);
    assert_eq!(calm.refused, [0, 0], "{what}: nothing is refused in the calm");
    let mut hot = sim.run([0.4 * capacity, 9.6 * capacity], 30_000_000);
    let answered = hot.took_us.iter().map(Vec::len).sum::<usize>() as f64 / 30.0;
    assert_eq!(hot.refused[0], 0, "{what}: what matters is not refused");
    assert!(hot.refused[1] > 0, "{what}");
    assert!(answered >= 0.9 * capacity, "{what}: {answered} of {capacity} a second");
    let (before, during) = (calm.p99(0), hot.p99(0));
    assert!(during as f64 <= 1.5 * before as f64, "{what}: p99 {before} us in the calm and {during} us in the surge");
    let _within = sim.run([0.4 * capacity, 0.2 * capacity], 1_000_000);
    let mut after = sim.run([0.4 * capacity, 0.2 * capacity], 5_000_000);
    assert_eq!(after.refused, [0, 0], "{what}: a second later nothing is refused");
    let after = after.p99(0);
    assert!(after as f64 <= 1.2 * before as f64, "{what}: p99 {before} us before and {after} us after");
}

#[test]
fn what_matters_keeps_its_time_at_ten_times_the_capacity() {
    for (servers, spread) in [(8, 0.0), (8, 0.3), (8, 1.0), (100, 0.3)] {
        surge(servers, 20_000.0, spread);
    }
    surge(20, 2_000.0, 0.3);
}

#[test]
fn a_component_that_slows_down_or_speeds_up_is_followed() {
    let mut sim = Simulation::new(20, 10_000.0, 0.3);
    let capacity = sim.capacity_per_s();
    sim.run([0.2 * capacity, 4.0 * capacity], 5_000_000);
    // Half of the servers are gone.
    sim.servers = 10;
    sim.run([0.2 * capacity, 4.0 * capacity], 10_000_000);
    let less = sim.run([0.2 * capacity, 4.0 * capacity], 10_000_000);
    assert_eq!(less.refused[0], 0);
    assert!(sim.queue.limit.now() <= 16, "{}", sim.queue.limit.now());
    // Each answer takes twice as long, which is no waiting.
    sim.service_us *= 2.0;
    sim.run([0.1 * capacity, 4.0 * capacity], 20_000_000);
    let slow = sim.run([0.1 * capacity, 4.0 * capacity], 10_000_000);
    let answered = slow.took_us.iter().map(Vec::len).sum::<usize>() as f64 / 10.0;
    assert!(answered >= 0.9 * sim.capacity_per_s(), "{answered} of {}", sim.capacity_per_s());
    // And all is as before.
    (sim.servers, sim.service_us) = (20, 10_000.0);
    sim.run([0.2 * capacity, 4.0 * capacity], 10_000_000);
    let back = sim.run([0.2 * capacity, 4.0 * capacity], 10_000_000);
    let answered = back.took_us.iter().map(Vec::len).sum::<usize>() as f64 / 10.0;
    assert!(answered >= 0.9 * capacity, "{answered} of {capacity}");
}

#[test]
fn a_component_that_answers_nothing_is_given_little_and_then_more_again() {
    let mut queue: Queue<()> = Queue::new(1, 100_000, 0);
    for at in 0..2_000u64 {
        queue.limit.overloaded(0, at * 5_000);
    }
    assert_eq!(queue.limit.now(), 1, "something always goes through");
    for at in 2_000..4_000u64 {
        queue.limit.came(queue.limit.now(), true);
        queue.limit.answered(0, at * 5_000, 5_000, 0, at * 5_000);
    }
    assert!(queue.limit.now() > 10, "{}", queue.limit.now());
}

#[test]
fn turns_go_by_class_and_what_is_late_has_none() {
    let mut queue: Queue<&str> = Queue::new(3, 1_000, 0);
    let most = queue.limit.now();
    for _ in 0..most {
        assert_eq!(queue.arrive(2, 0, || "never").0, Arrival::Goes);
    }
    assert_eq!(queue.arrive(2, 0, || "late").0, Arrival::Waits);
    assert_eq!(queue.arrive(2, 500, || "low").0, Arrival::Waits);
    // What matters more goes on beside them, up to twice the limit.
    for _ in 0..most {
        assert_eq!(queue.arrive(1, 500, || "never").0, Arrival::Goes);
    }
    assert_eq!(queue.arrive(1, 600, || "left").0, Arrival::Waits);
    assert_eq!(queue.arrive(1, 600, || "middle").0, Arrival::Waits);
    assert_eq!(queue.arrive(0, 700, || "high").0, Arrival::Waits);
    let mut told = Vec::new();
    for left in 0..2 * most {
        let class = if left < most { 1 } else { 2 };
        queue.leave(class, 1_200, |one| {
            told.push(one);
            one != "left"
        });
    }
    assert_eq!(told, ["high", "left", "middle", "low"]);
    assert_eq!(queue.in_flight(), 3);
}

#[test]
fn a_full_queue_gives_up_the_newest_of_the_lowest_class() {
    let mut queue: Queue<usize> = Queue::new(3, 1_000_000, 0);
    for class in [2, 1, 0] {
        while queue.has_room(class) {
            queue.arrive(class, 0, || 0);
        }
    }
    assert_eq!(queue.arrive(2, 0, || 0).0, Arrival::Waits);
    for number in 1..MAX_WAITING {
        assert_eq!(queue.arrive(2, 0, || number).0, Arrival::Waits);
    }
    assert_eq!(queue.arrive(2, 0, || 0), (Arrival::Refused, None), "its own class is not better");
    assert_eq!(queue.arrive(1, 0, || 0), (Arrival::Waits, Some(MAX_WAITING - 1)));
    assert_eq!(queue.arrive(0, 0, || 0), (Arrival::Waits, Some(MAX_WAITING - 2)));
    assert_eq!((0..3).map(|class| queue.waiting(class)).collect::<Vec<_>>(), [1, 1, MAX_WAITING - 2]);
}
