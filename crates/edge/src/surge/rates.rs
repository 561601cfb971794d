//! How much clients ask: the generic cell rate algorithm (ITU-T I.371 annex A), which is a bucket of tokens kept as one
//! number, the time at which the bucket will be full.
//!
//! Pure: times come in as nanoseconds. It refuses to know who a client is.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use model::release::RequestRate;

/// Clients that share a place in the table.
const WAYS: usize = 8;
/// Places; with the above, 65,536 clients are told apart in a MiB. What is forgotten of the others is what least of them
/// asked: see [`ClientRates::take`].
const PLACES: usize = 8_192;

/// The time at which a bucket is full, after a request that was let through or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is, by then.
    Yes(u64),
    /// After so many nanoseconds it would have been.
    No(u64),
}

/// Takes one from a bucket of which only so many hundredths may be used.
pub(crate) fn take(rate: RequestRate, hundredths: u64, full_ns: u64, now_ns: u64) -> Taken {
    let each_ns = 1_000_000_000 / u64::from(rate.per_s.max(1));
    let usable = (u64::from(rate.burst) * hundredths / 100).max(1);
    let missing_ns = full_ns.saturating_sub(now_ns);
    let most_ns = each_ns.saturating_mul(usable - 1);
    if missing_ns > most_ns {
        return Taken::No(missing_ns - most_ns);
    }
    Taken::Yes(full_ns.max(now_ns).saturating_add(each_ns))
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// A keyed digest of the client; 0 for none.
    client: u64,
    full_ns: u64,
}

/// A bucket for each of many clients, in memory that does not grow.
///
/// A table whose places each hold some clients and not a sketch: a sketch (count-min) makes a client pay for others that
/// fall into the same cells, and whoever owns many addresses can choose to. Here a client that finds its place full takes
/// the bucket that is nearest to full again, so that those who ask for most stay limited, and the error is only ever to
/// let through. The digest is keyed, so that nobody can choose a place.
pub(crate) struct ClientRates {
    keys: RandomState,
    places: Vec<Mutex<[Bucket; WAYS]>>,
}

impl ClientRates {
    pub(crate) fn new() -> Self {
        Self { keys: RandomState::new(), places: (0..PLACES).map(|_| Mutex::default()).collect() }
    }

    /// Takes one for a client.
    pub(crate) fn take(&self, client: &str, rate: RequestRate, now_ns: u64) -> Taken {
        let digest = self.keys.hash_one(client).max(1);
        let at = usize::try_from(digest % (PLACES as u64)).unwrap_or(0);
        let Some(place) = self.places.get(at) else { return Taken::Yes(now_ns) };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let known = place.iter_mut().find(|bucket| bucket.client == digest);
        if let Some(bucket) = known {
            let taken = take(rate, 100, bucket.full_ns, now_ns);
            if let Taken::Yes(full_ns) = taken {
                bucket.full_ns = full_ns;
            }
            return taken;
        }
        let taken = take(rate, 100, 0, now_ns);
        if let (Taken::Yes(full_ns), Some(bucket)) = (taken, place.iter_mut().min_by_key(|bucket| bucket.full_ns)) {
            *bucket = Bucket { client: digest, full_ns };
        }
        taken
    }
}

#[cfg(test)]
mod tests;
