//! How many requests at once a component answers without letting them wait, learnt from its answers.
//!
//! Pure: times come in as microseconds. It refuses to know who asks and what waits.
//!
//! The law is that of TCP Vegas (Brakmo, Peterson: TCP Vegas, SIGCOMM 1994), as Netflix' `concurrency-limits` has it for
//! requests: with a limit `L` and answers that take `r` times as long as unhurried ones, `L (1 - 1/r)` of them only wait
//! inside the component, and the limit goes where few do. Vegas rather than Netflix' `Gradient2`, whose idea of unhurried
//! grows with each minute of overload; rather than DAGOR (SoCC 2018), which needs each service to report how long
//! requests waited in it; and rather than Breakwater (OSDI 2020), which needs clients that take credits. The time of an
//! unhurried answer is kept for each class, because in a surge the mix of classes is another, and is measured again in
//! the middle of it by letting in less for a moment, as BBR does (Cardwell et al., ACM Queue 14(5), 2016).

/// Where the limit starts. Few servers take fewer at once, and what takes more shows it within a second.
const FIRST_LIMIT: f64 = 16.0;
/// The limit never goes below: something must go through for an answer to say that the component is well again.
const MIN_LIMIT: f64 = 1.0;
/// The limit never goes above: each request holds a connection, and the edge has no more descriptors.
const MAX_LIMIT: f64 = 8_192.0;
/// The shortest time over which answers are looked at: some of a server's scheduling rounds.
const WINDOW_US: u64 = 100_000;
/// And the fewest answers: the mean of fewer says little.
const WINDOW_SAMPLES: u64 = 20;
/// Answers are collected until their mean is known this well (its standard error, as a share of it), because times differ
/// from request to request and a limit that follows chance lets too little in.
const WANTED_ERROR: f64 = 0.06;
/// But no longer than this, or a component that slows down would be told too late.
const WINDOW_ENOUGH_US: u64 = 1_000_000;
/// A window that took this long without enough answers says nothing of one load.
const WINDOW_MAX_US: u64 = 10_000_000;
/// Below this share of the limit waiting inside the component, it may get more.
const FEW_WAIT: f64 = 0.08;
/// Above this share, it gets less. High enough that a component is not idle between an answer and the next request.
const MANY_WAIT: f64 = 0.16;
/// And never less than this many, for components that take few at once.
const FEW_WAIT_MIN: f64 = 0.5;
/// As above.
const MANY_WAIT_MIN: f64 = 1.0;
/// Until the first sign of waiting the limit doubles with each window, so that a large component is not held back.
const FAST_GROWTH: f64 = 2.0;
/// After it, by this share, and one at least.
const SLOW_GROWTH: f64 = 0.05;
/// One window takes away no more than this leaves: a pause of the component is not a new component.
const MOST_DECREASE: f64 = 0.8;
/// Unless answers took more than this many times as long as unhurried ones, surely: then there is no doubt, and each answer
/// until then would be late.
const NO_DOUBT: f64 = 1.5;
/// What it leaves then.
const MOST_DECREASE_THEN: f64 = 0.4;
/// How many standard errors make it sure.
const SURE: f64 = 3.0;
/// A component that gives no answer to more than this share has too much.
const OVERLOADED_SHARE: f64 = 0.1;
/// How much of the limit is let in while unhurried answers are measured: below where anything waits.
const PROBE_SHARE: f64 = 0.6;
/// How often that is, while there is always more to do than goes in: it costs about two parts in a hundred of a second.
const PROBE_INTERVAL_US: u64 = 5_000_000;
/// Soon again if the last measure was another than thought.
const PROBE_AGAIN_US: u64 = 500_000;
/// Another, by this share.
const PROBE_DIFFERENT: f64 = 0.1;
/// A probe that takes longer is given up.
const PROBE_MAX_US: u64 = 2_000_000;
/// How fast the idea of an unhurried answer follows windows in which nothing can have waited.
const CALM_WEIGHT: f64 = 0.2;
/// And how fast others that took even less: slower, because the least of many means is less than the truth.
const BELOW_WEIGHT: f64 = 0.05;

/// The limit and what it follows from.
pub(crate) struct AdaptiveLimit {
    limit: f64,
    /// Whether it ever had to go down.
    met: bool,
    /// The time of an unhurried answer, by class.
    base_us: Vec<Option<f64>>,
    window: Window,
    probe: Probe,
    /// When the next probe is due.
    probe_due_us: u64,
    /// Answers a second in the last window.
    rate_per_s: Option<f64>,
}

#[derive(Clone, Copy)]
enum Probe {
    None,
    /// Until no more are in flight than the probe lets in.
    Emptying {
        since_us: u64,
    },
    /// Requests that were let in since then are measured.
    Measuring {
        since_us: u64,
    },
}

/// Answers, the sum of their times and that of the squares.
#[derive(Clone, Copy, Default)]
struct Times {
    count: u64,
    sum: f64,
    squares: f64,
}

impl Times {
    fn mean(&self) -> f64 {
        self.sum / number(self.count.max(1))
    }

    fn variance(&self) -> f64 {
        (self.squares / number(self.count.max(1)) - self.mean() * self.mean()).max(0.0)
    }
}

struct Window {
    began_us: u64,
    /// By class.
    answers: Vec<Times>,
    overloaded: u64,
    /// Whether as many as allowed were in flight.
    reached: bool,
    most_in_flight: usize,
}

impl Window {
    fn new(classes: usize, began_us: u64) -> Self {
        Self { began_us, answers: vec![Times::default(); classes], overloaded: 0, reached: false, most_in_flight: 0 }
    }

    fn count(&self) -> u64 {
        self.answers.iter().map(|times| times.count).sum()
    }

    /// Those of each class that has answers.
    fn times(&self) -> impl Iterator<Item = (usize, &Times)> {
        self.answers.iter().enumerate().filter(|(_, times)| times.count > 0)
    }

    /// How many times as long as unhurried ones answers took, and the standard error of that.
    fn ratio(&self, base_us: &[Option<f64>]) -> (f64, f64) {
        let (mut ratio, mut variance) = (0.0, 0.0);
        for (class, times) in self.times() {
            let base = base_us.get(class).copied().flatten().unwrap_or_else(|| times.mean()).max(1.0);
            ratio += times.sum / base;
            variance += number(times.count) * times.variance() / (base * base);
        }
        let count = number(self.count().max(1));
        (ratio / count, variance.sqrt() / count)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds of hours are far below 2^53")]
const fn number(count: u64) -> f64 {
    count as f64
}

impl AdaptiveLimit {
    /// A limit for so many classes.
    pub(crate) fn new(classes: usize, now_us: u64) -> Self {
        Self {
            limit: FIRST_LIMIT,
            met: false,
            base_us: vec![None; classes],
            window: Window::new(classes, now_us),
            probe: Probe::None,
            probe_due_us: 0,
            rate_per_s: None,
        }
    }

    /// Requests that may be in flight now.
    pub(crate) fn now(&self) -> usize {
        let share = if matches!(self.probe, Probe::None) { 1.0 } else { PROBE_SHARE };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 8,192")]
        let whole = (self.limit * share).round().clamp(MIN_LIMIT, MAX_LIMIT) as usize;
        whole
    }

    /// Answers a second, once there were some.
    pub(crate) const fn rate_per_s(&self) -> Option<f64> {
        self.rate_per_s
    }

    /// How long an unhurried answer of a class takes, in microseconds.
    pub(crate) fn base_us(&self, class: usize) -> Option<f64> {
        self.base_us.get(class).copied().flatten()
    }

    /// So many are in flight after a request came; `reached` if it or another has to wait.
    pub(crate) fn came(&mut self, in_flight: usize, reached: bool) {
        self.window.most_in_flight = self.window.most_in_flight.max(in_flight);
        self.window.reached |= reached;
    }

    /// A request was answered, `took_us` after it was let in at `began_us`; so many are still in flight.
    pub(crate) fn answered(&mut self, class: usize, began_us: u64, took_us: u64, in_flight: usize, now_us: u64) {
        match self.probe {
            Probe::Emptying { .. } => {}
            // What was let in before says nothing of what is let in now.
            _ if began_us < self.window.began_us => {}
            Probe::None | Probe::Measuring { .. } => {
                if let Some(times) = self.window.answers.get_mut(class) {
                    times.count += 1;
                    times.sum += number(took_us);
                    times.squares += number(took_us) * number(took_us);
                }
            }
        }
        self.look(in_flight, now_us);
    }

    /// A request was not answered, or with a word for too much (503, 504).
    pub(crate) fn overloaded(&mut self, in_flight: usize, now_us: u64) {
        self.window.overloaded += 1;
        self.look(in_flight, now_us);
    }

    fn look(&mut self, in_flight: usize, now_us: u64) {
        match self.probe {
            Probe::Emptying { since_us } => {
                if in_flight <= self.now() {
                    self.probe = Probe::Measuring { since_us: now_us };
                    self.window = Window::new(self.base_us.len(), now_us);
                } else if now_us.saturating_sub(since_us) > PROBE_MAX_US {
                    self.end_probe(now_us, PROBE_INTERVAL_US);
                }
                return;
            }
            Probe::Measuring { since_us } => {
                let late = now_us.saturating_sub(since_us) > PROBE_MAX_US;
                if self.window.count() >= self.wanted() && (late || self.is_known()) {
                    self.measured(now_us);
                } else if late {
                    self.end_probe(now_us, PROBE_INTERVAL_US);
                }
                return;
            }
            Probe::None => {}
        }
        let lasted = now_us.saturating_sub(self.window.began_us);
        let seen = self.window.count() + self.window.overloaded;
        if lasted > WINDOW_MAX_US && seen < self.wanted() {
            self.window = Window::new(self.base_us.len(), now_us);
        } else if lasted >= WINDOW_US && seen >= self.wanted() && (lasted >= WINDOW_ENOUGH_US || self.is_known()) {
            let window = std::mem::replace(&mut self.window, Window::new(self.base_us.len(), now_us));
            self.rate_per_s = Some(number(seen) * 1e6 / number(lasted.max(1)));
            self.judge(&window, now_us);
        }
    }

    /// Whether the answers of this window say enough.
    fn is_known(&self) -> bool {
        let (ratio, error) = self.window.ratio(&self.base_us);
        error <= WANTED_ERROR * ratio || ratio - SURE * error > NO_DOUBT
    }

    /// Answers that make a window: half of what is in flight at once, so that a window sees the limit's own effect.
    fn wanted(&self) -> u64 {
        (self.now() as u64 / 2).max(WINDOW_SAMPLES)
    }

    fn judge(&mut self, window: &Window, now_us: u64) {
        let answers = window.count();
        if number(window.overloaded) > OVERLOADED_SHARE * number(answers + window.overloaded) {
            self.met = true;
            self.set(self.limit * MOST_DECREASE);
            return;
        }
        let calm = !window.reached && window.most_in_flight.saturating_mul(3) <= self.now();
        let (ratio, error) = window.ratio(&self.base_us);
        for (class, times) in window.times() {
            let Some(base) = self.base_us.get_mut(class) else { continue };
            let known = *base.get_or_insert(times.mean());
            if calm {
                *base = Some(known + CALM_WEIGHT * (times.mean() - known));
            } else if times.mean() < known {
                *base = Some(known + BELOW_WEIGHT * (times.mean() - known));
            }
        }
        if !window.reached {
            return;
        }
        // What waits, and what of it can not be chance.
        let of_limit = |ratio: f64| self.limit * (1.0 - 1.0 / ratio.max(1.0));
        let (waiting, surely) = (of_limit(ratio), of_limit(ratio - error));
        let few = (self.limit * FEW_WAIT).max(FEW_WAIT_MIN);
        let many = (self.limit * MANY_WAIT).max(MANY_WAIT_MIN);
        if surely > many {
            self.met = true;
            // What does not wait, and as many as should.
            let least = if ratio - SURE * error > NO_DOUBT { MOST_DECREASE_THEN } else { MOST_DECREASE };
            self.set((self.limit - surely + many).max(self.limit * least));
        } else if waiting < few {
            let grown =
                if self.met { self.limit + (self.limit * SLOW_GROWTH).max(1.0) } else { self.limit * FAST_GROWTH };
            self.set(grown);
        }
        // Not while more waits than should: a probe would take waiting for service.
        if now_us >= self.probe_due_us && self.met && surely <= many {
            self.probe = Probe::Emptying { since_us: now_us };
        }
    }

    fn measured(&mut self, now_us: u64) {
        let (common, error) = self.window.ratio(&self.base_us);
        let mut different = (common - 1.0).abs() > PROBE_DIFFERENT.max(error);
        // What slows one class down mostly slows all, and the lower ones may have no answers in a probe.
        for (class, base) in self.base_us.iter_mut().enumerate() {
            if self.window.answers.get(class).is_none_or(|times| times.count < WINDOW_SAMPLES) {
                *base = base.map(|base| base * common);
            }
        }
        for (class, times) in self.window.times() {
            let Some(base) = self.base_us.get_mut(class) else { continue };
            if times.count >= WINDOW_SAMPLES {
                let known = base.unwrap_or_else(|| times.mean());
                different |= (times.mean() - known).abs() > PROBE_DIFFERENT * known;
                *base = Some(times.mean());
            }
        }
        self.end_probe(now_us, if different { PROBE_AGAIN_US } else { PROBE_INTERVAL_US });
    }

    fn end_probe(&mut self, now_us: u64, next_us: u64) {
        self.probe = Probe::None;
        self.probe_due_us = now_us.saturating_add(next_us);
        self.window = Window::new(self.base_us.len(), now_us);
    }

    const fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(MIN_LIMIT, MAX_LIMIT);
    }
}
