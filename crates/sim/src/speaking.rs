//! What simulated components say of themselves when they are asked for their metrics: two counters and a figure, and the
//! ways in which they say them wrongly.

use std::{collections::BTreeMap, net::SocketAddr};

use model::{
    Digest,
    route::{ReadAnswer, SeriesAnswer},
};
use rollout::{
    comparison::{Asked, Sweep},
    instance::InstanceId,
};

/// The counter of what was bad.
pub const REJECTED: &str = "payments_rejected_total";
/// The counter of all.
pub const PAYMENTS: &str = "payments_total";
/// What must be nothing.
pub const IMBALANCE: &str = "imbalance_cents";

/// What instances of one version say.
#[derive(Clone, Debug)]
pub struct Speech {
    /// What each of them did since it was asked before.
    pub payments: u64,
    /// Of ten thousand of those, how many were bad.
    pub rejected_bp: u64,
    /// The figure.
    pub imbalance: f64,
    /// What is wrong with how it is said.
    pub broken: Option<Broken>,
}

/// A way of saying it wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No answer.
    Silent,
    /// An answer without the series.
    Missing,
    /// A number that a counter can not be, below nothing.
    Negative,
    /// A number that is not whole.
    Part,
    /// Counters go down, though nothing started again.
    Down,
    /// Something else than what was asked for.
    Other,
}

/// All of them.
pub const BROKEN: [Broken; 6] =
    [Broken::Silent, Broken::Missing, Broken::Negative, Broken::Part, Broken::Down, Broken::Other];

/// All instances.
#[derive(Clone, Debug, Default)]
pub struct Speakers {
    /// By the ordinal of a version; who is not here says that all is well.
    pub speeches: BTreeMap<u64, Speech>,
    /// Nobody asks.
    pub unasked: bool,
    said: BTreeMap<InstanceId, (SocketAddr, u64, u64)>,
    times: u64,
}

impl Default for Speech {
    fn default() -> Self {
        Self { payments: 40, rejected_bp: 200, imbalance: 0.0, broken: None }
    }
}

impl Speakers {
    /// Asks these.
    pub fn ask(&mut self, asked: Vec<Asked>) -> Vec<Sweep> {
        if asked.is_empty() || self.unasked {
            return Vec::new();
        }
        self.times += 1;
        let rows = asked.into_iter().map(|asked| {
            let answer = self.answer(&asked);
            (asked, answer)
        });
        vec![Sweep { rows: rows.collect() }]
    }

    fn answer(&mut self, asked: &Asked) -> ReadAnswer {
        let speech = self.speeches.get(&asked.instance.serial.ordinal()).cloned().unwrap_or_default();
        let times = self.times;
        let new = (asked.target.address, 0, 0);
        let said = self.said.entry(asked.instance.clone()).or_insert(new);
        // A start gives another address, and its counters begin anew.
        if said.0 != asked.target.address {
            *said = new;
        }
        // An instance is asked for counters and for the figure in turn; what it did is counted once.
        if asked.target.series.iter().any(|s| s.name() == PAYMENTS) {
            let drawn = |n: &u64| {
                let digest = Digest::of(format!("{} {times} {n}", asked.instance).as_bytes());
                let number = digest.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                number % 10_000 < speech.rejected_bp
            };
            said.1 += (0..speech.payments).filter(drawn).count() as u64;
            said.2 += speech.payments;
        }
        let (rejected, payments) = if speech.broken == Some(Broken::Down) {
            (0, 1_000_000_u64.saturating_sub(times))
        } else {
            (said.1, said.2)
        };
        if speech.broken == Some(Broken::Silent) {
            return ReadAnswer::Unreadable("no answer within 1000 ms".to_owned());
        }
        if speech.broken == Some(Broken::Other) {
            return ReadAnswer::Read(Vec::new());
        }
        #[expect(clippy::cast_precision_loss, reason = "a simulation counts to some thousands")]
        let each = asked.target.series.iter().map(|series| match (series.name(), speech.broken) {
            (_, Some(Broken::Missing)) => SeriesAnswer::Unreadable("is not there".to_owned()),
            (REJECTED, Some(Broken::Negative)) => SeriesAnswer::Samples(vec![-1.0]),
            (PAYMENTS, Some(Broken::Part)) => SeriesAnswer::Samples(vec![payments as f64 + 0.5]),
            (REJECTED, _) => SeriesAnswer::Samples(vec![rejected as f64]),
            (PAYMENTS, _) => SeriesAnswer::Samples(vec![payments as f64]),
            (IMBALANCE, _) => SeriesAnswer::Samples(vec![0.0, speech.imbalance]),
            _ => SeriesAnswer::Unreadable("is not there".to_owned()),
        });
        ReadAnswer::Read(each.collect())
    }
}
