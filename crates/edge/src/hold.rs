//! Choosing where a request goes: it waits while the route holds, takes a version by weight, and is counted there before
//! anything is sent.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use crate::{
    counts::{ComponentCounter, Counts, InFlight, add_one},
    identity::Known,
    instance::Instance,
    listener::Listener,
    refusal::Refusal,
    surge::Permit,
    table::{Asked, Choice, InForce, VersionInForce},
};
use model::route::{Protocol, RouteState};

/// A route as it was when the request was counted on one of its versions.
pub(crate) struct Chosen {
    route: Arc<InForce>,
    version: usize,
    pub(crate) in_flight: InFlight,
}

impl Chosen {
    /// An instance of the version that has not been tried, one that did not refuse lately if there is one.
    pub(crate) fn instance(&self, tried: &[Arc<Instance>]) -> Option<Arc<Instance>> {
        self.route.versions.get(self.version)?.next_instance(tried)
    }
}

/// What one request has waited for, over all its tries: how long it has been held, and its place among those who go on.
#[derive(Default)]
pub(crate) struct Held {
    since: Option<Instant>,
    pub(crate) entry: Entry,
}

impl Held {
    /// Whether it was held at all.
    pub(crate) const fn was(&self) -> bool {
        self.since.is_some()
    }
}

/// How a request gets past the admission of its component.
#[derive(Default)]
pub(crate) struct Entry {
    /// Its class.
    pub(crate) class: usize,
    /// Once it is past it, until it is answered.
    pub(crate) permit: Option<Permit>,
}

/// A place among the held requests. A client that leaves meanwhile drops it unreleased.
struct Place<'a> {
    counts: &'a Counts,
    component: Arc<ComponentCounter>,
    /// Only a request that is on no version is counted as abandoned.
    counts_abandoned: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.counts.give_hold_place();
        if self.counts_abandoned {
            add_one(&self.component.abandoned);
        }
    }
}

/// Chooses a version that has an instance which was not tried yet, and counts the request there. `first` says that the
/// request is on no version yet.
pub(crate) async fn choose(
    listener: &Listener,
    host: Option<&str>,
    known: &Known,
    tried: &[Arc<Instance>],
    held: &mut Held,
    first: bool,
) -> Result<Chosen, Refusal> {
    let mut place = None;
    let outcome = wait_and_choose(listener, host, known, tried, held, first, &mut place).await;
    if let Some(place) = &mut place {
        place.counts_abandoned = false;
    }
    outcome
}

async fn wait_and_choose<'a>(
    listener: &'a Listener,
    host: Option<&str>,
    known: &Known,
    tried: &[Arc<Instance>],
    held: &mut Held,
    first: bool,
    place: &mut Option<Place<'a>>,
) -> Result<Chosen, Refusal> {
    let mut changes = None;
    loop {
        let epoch = listener.epoch.load(Ordering::SeqCst);
        let route = listener.route.load_full();
        let asked = route.asked(host).ok_or(Refusal::UnknownName)?;
        if let Asked::Version(by_name) = &asked
            && by_name.closing
        {
            by_name.counter.clients.was_asked_for(listener.counts.watch.now());
            return Err(Refusal::Retiring);
        }
        let limit_ms = match (route.state, &asked) {
            (RouteState::Closed, Asked::Plain) => return Err(Refusal::Closed),
            (RouteState::Open, _) | (_, Asked::Version(_)) => {
                if let (Some(admission), None, Protocol::Http) = (&route.admission, &held.entry.permit, route.protocol)
                {
                    // It counts for no version before its turn has come, and the route may be another by then.
                    held.entry.permit = Some(admission.enter(held.entry.class).await?);
                    continue;
                }
                let choice = match &asked {
                    Asked::Plain => route.choose_for(known, &listener.turn, tried, first),
                    Asked::Version(by_name) => route.choose_named(by_name.version, tried),
                };
                let choice = choice.ok_or(Refusal::NoVersion)?;
                let Choice { version, compared } = choice;
                let counter = route.versions.get(version).map(VersionInForce::counter).ok_or(Refusal::NoVersion)?;
                let in_flight = InFlight::begin(counter, compared);
                // Invariant `counted-before-sent`: either the route is still the one in force now that the request is
                // counted, or whoever reads the counts after the switch might not have seen it, and it must choose again.
                if listener.epoch.load(Ordering::SeqCst) == epoch {
                    return Ok(Chosen { route, version, in_flight });
                }
                in_flight.withdraw();
                continue;
            }
            (RouteState::Hold { limit_ms }, Asked::Plain) => limit_ms,
        };
        // What waits for the route takes no place of those who go on.
        if let Some(permit) = held.entry.permit.take() {
            permit.done();
        }
        // Subscribed before the route is read again, so that no change is missed.
        let Some(changes) = &mut changes else {
            changes = Some(listener.changes());
            continue;
        };
        if place.is_none() {
            if !listener.counts.take_hold_place(listener.limits.max_held) {
                return Err(Refusal::HoldFull);
            }
            *place = Some(Place {
                counts: &listener.counts,
                component: Arc::clone(&route.component),
                counts_abandoned: first,
            });
        }
        let until = *held.since.get_or_insert_with(Instant::now) + Duration::from_millis(u64::from(limit_ms));
        match timeout_at(until, changes.changed()).await {
            Err(_) => return Err(Refusal::HoldTooLong),
            // The listener, which this borrows, has the sender.
            Ok(Err(_)) => return Err(Refusal::Closed),
            Ok(Ok(())) => {}
        }
    }
}
