//! One hour of traffic of two versions: requests and failures by slots of a quarter of a second or a second, and in which
//! units of the traffic the failures were.

use rand::{Rng, RngExt, SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, Poisson};

use super::{SECONDS, world::World};

/// Units that the traffic is divided into where they are shares of the users.
pub const UNITS: u32 = 100;

/// Where traffic comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// Requests a second, of both versions.
    pub rps: f64,
    /// The trial's share of them.
    pub share: f64,
    /// What happens.
    pub world: World,
    /// Slots a second: 1 or 4.
    pub slots: usize,
    /// How units are made.
    pub units: Units,
}

/// How units are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Hundredths of the users, by a hash.
    Users,
    /// Replicas, each with as much traffic as the whole trial.
    Replicas,
}

/// One slot of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests.
    pub requests: u32,
    /// Of those, failed.
    pub failed: u32,
    /// The units in which one failed, a bit each.
    pub units: u128,
}

/// One slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The new version.
    pub trial: Counted,
    /// The old version, all of it.
    pub control: Counted,
    /// A part of the old version as large as the trial, which Kayenta compares with.
    pub baseline: Counted,
    /// Units of the trial and of both.
    pub trial_units: u32,
    /// Units of both versions.
    pub all_units: u32,
}

/// An hour of traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Slots a second.
    pub slots: usize,
    /// All slots.
    pub rows: Vec<Slot>,
}

/// Poisson's distribution, which nothing comes from where nothing is expected.
#[derive(Clone, Copy, Debug)]
struct Rate(Option<Poisson<f64>>);

impl Rate {
    fn new(mean: f64) -> Self {
        Self((mean > 0.0).then(|| Poisson::new(mean).ok()).flatten())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a second")]
    fn draw(self, rng: &mut impl Rng) -> u32 {
        self.0.map_or(0, |poisson| poisson.sample(rng) as u32)
    }
}

/// What one group of clients does in a slot: requests that go well, and that fail.
#[derive(Clone, Copy, Debug)]
struct Group {
    well: Rate,
    failed: Rate,
}

impl Group {
    fn new(requests: f64, p: f64) -> Self {
        Self { well: Rate::new(requests * (1.0 - p)), failed: Rate::new(requests * p) }
    }

    /// A slot of it, its failures in units from `first` on, `units` of them.
    fn draw(self, rng: &mut impl Rng, retries: u32, first: u32, units: u32) -> Counted {
        let (well, failed) = (self.well.draw(rng), self.failed.draw(rng));
        let mut counted = Counted { requests: well + failed * (1 + retries), failed: failed * (1 + retries), units: 0 };
        counted.fail(rng, failed, first, units);
        counted
    }
}

impl Counted {
    /// Failures of different clients, each in some unit.
    fn fail(&mut self, rng: &mut impl Rng, failed: u32, first: u32, units: u32) {
        for _ in 0..failed {
            self.units |= 1 << (first + rng.random_range(0..units));
        }
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.units |= other.units;
    }
}

impl Source {
    /// Hour number `run` of the series `seed`.
    #[must_use]
    pub fn stream(&self, seed: u64, run: u64) -> Stream {
        let mut stream = Stream { slots: self.slots, rows: Vec::new() };
        self.fill(seed, run, &mut stream);
        stream
    }

    /// The same into a stream that is there, so that its memory is used again.
    pub fn fill(&self, seed: u64, run: u64, stream: &mut Stream) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(run);
        stream.slots = self.slots;
        stream.rows.clear();
        let start = rng.random_range(300..3000);
        let mut groups = None;
        let mut bursts = Bursts::new(self);
        for slot in 0..SECONDS * self.slots {
            let second = slot / self.slots;
            let share = self.world.share(second).unwrap_or(self.share);
            let (trial_units, all_units) = self.units(share);
            let (trial, baseline, rest) = *match &mut groups {
                Some(groups) if self.world.is_steady() || slot % self.slots > 0 => groups,
                groups => groups.insert(self.groups(second, start, share)),
            };
            let retries = self.world.retries();
            let control_units = all_units - trial_units;
            let mut row = Slot { trial_units, all_units, ..Slot::default() };
            row.trial = trial.draw(&mut rng, retries, 0, trial_units);
            row.baseline = baseline.draw(&mut rng, retries, trial_units, control_units);
            row.control = row.baseline;
            row.control.add(rest.draw(&mut rng, retries, trial_units, control_units));
            bursts.happen(&mut rng, &mut row);
            stream.rows.push(row);
        }
    }

    fn groups(&self, second: usize, start: usize, share: f64) -> (Group, Group, Group) {
        let (p0, p1) = self.world.rates(second, start);
        #[expect(clippy::cast_precision_loss, reason = "1 or 4")]
        let requests = self.rps / self.slots as f64;
        let baseline = share.min(1.0 - share);
        let rest = 1.0 - share - baseline;
        (Group::new(requests * share, p1), Group::new(requests * baseline, p0), Group::new(requests * rest, p0))
    }

    /// Units of the trial and of both.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 100")]
    fn units(&self, share: f64) -> (u32, u32) {
        match self.units {
            Units::Users => ((f64::from(UNITS) * share).round() as u32, UNITS),
            Units::Replicas => (1, (1.0 / share).round() as u32),
        }
    }
}

/// What each replica does by itself now and then.
struct Bursts {
    /// The chance that one begins in a slot.
    begins: f64,
    /// Failures a slot while it lasts.
    errors: Rate,
    /// How many slots it lasts.
    lasts: usize,
    /// For each replica, for how many slots it still lasts.
    left: Vec<usize>,
}

impl Bursts {
    #[expect(clippy::cast_precision_loss, reason = "a few slots and replicas")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a hundred replicas")]
    fn new(source: &Source) -> Self {
        let World::Bursts { per_hour, errors, seconds } = source.world else {
            return Self { begins: 0.0, errors: Rate::new(0.0), lasts: 0, left: Vec::new() };
        };
        let lasts = seconds * source.slots;
        Self {
            begins: per_hour / (SECONDS * source.slots) as f64,
            errors: Rate::new(errors / lasts as f64),
            lasts,
            left: vec![0; (1.0 / source.share).round() as usize],
        }
    }

    fn happen(&mut self, rng: &mut impl Rng, row: &mut Slot) {
        let per_replica = row.all_units / u32::try_from(self.left.len().max(1)).unwrap_or(1);
        for (replica, left) in (0_u32..).zip(&mut self.left) {
            if *left == 0 && rng.random::<f64>() < self.begins {
                *left = self.lasts;
            }
            if *left > 0 {
                *left -= 1;
                let errors = self.errors.draw(rng);
                let first = replica * per_replica;
                let mut burst = Counted { requests: errors, failed: errors, units: 0 };
                burst.fail(rng, errors, first, per_replica);
                if replica == 0 {
                    row.trial.add(burst);
                } else {
                    row.control.add(burst);
                    if replica == 1 {
                        row.baseline.add(burst);
                    }
                }
            }
        }
    }
}

impl Stream {
    /// Requests and failures of the trial up to each second, from none on.
    #[must_use]
    pub fn trial_sums(&self) -> Vec<(f64, f64)> {
        let mut sum = (0.0, 0.0);
        let seconds = self.rows.chunks(self.slots).map(|rows| {
            for row in rows {
                sum = (sum.0 + f64::from(row.trial.requests), sum.1 + f64::from(row.trial.failed));
            }
            sum
        });
        std::iter::once((0.0, 0.0)).chain(seconds).collect()
    }

    /// Failures of the trial in the first so many slots.
    #[must_use]
    pub fn failed(&self, slots: usize) -> f64 {
        self.rows.iter().take(slots).map(|row| f64::from(row.trial.failed)).sum()
    }
}
