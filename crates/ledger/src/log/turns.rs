//! The writer of a log that several processes serve from one store: the one whose turn it is orders what all of them let
//! in, and the others hand over and tell their callers what became of it.
//!
//! Nothing is decided by this process's clock or by what it remembers: the store says whose turn it is and refuses every
//! commit under an older one. A process that was paused for an hour finds that out at its next commit, reads the store
//! again, and goes on as a follower. *Invariant synced-before-answered* holds for both: a follower answers when it has
//! seen the statement under a stored head. A crash anywhere loses no statement that anybody has a receipt for; those
//! without one are handed over again or sent again, and keep their first index.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    AppendError,
    head::CatchUpError,
    queue::{Integrated, Queue, Request},
    seal::Sealer,
    writer::{BATCH_LIMIT, NotCommitted, Writer},
};
use crate::{
    dsse::Identity,
    store::{Changes, Offer, Shared, Store, StoreError},
};

/// How often whose turn it is is asked and said: half a second, a sixth of a turn, so that two failed attempts lose
/// nothing, and a free turn is taken well within five seconds.
const TURN_INTERVAL: Duration = Duration::from_millis(500);
/// While the store does not answer, between attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long a follower waits before it hands the same statement over again: the first may be lost with a crash of the
/// database, because nobody syncs it.
const OFFER_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Who waits longer is told to send again: twice what taking over a lost turn takes at most.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// 4,096 statements handed over and not answered, four full queues: more are told that the log is busy.
const WAITING_LIMIT: usize = 4096;
/// Names read at a time to find one's own statements among new ones.
const NAMES_AT_ONCE: usize = 4096;
/// A store that fails while the log is closed is asked again for so long; then whoever waits is told, and it ends.
const CLOSING_LIMIT: Duration = Duration::from_secs(2);
/// How long the listener sits in one wait: a fifth of a second, for that is how long closing the log may take.
const LISTEN_FOR: Duration = Duration::from_millis(200);

/// The writer with what it takes to share.
pub(super) struct Turns {
    writer: Writer,
    queue: Arc<Queue>,
    sealer: Sealer,
    /// Taken from the queue, and neither integrated nor handed over.
    pending: Vec<Request>,
    /// Handed over: callers by statement.
    waiting: HashMap<Identity, Vec<Request>>,
    /// Entries below were looked through for statements that wait.
    looked_through: u64,
    offered_at: Instant,
    turn_asked_at: Option<Instant>,
    /// There may be more offers than were read.
    more_offers: bool,
    /// Why the store does not do what it should, as long as that lasts.
    trouble: Option<AppendError>,
    /// Why the last commit of this round was not taken, though the store answers.
    not_taken: Option<AppendError>,
}

/// Tells the writer what the store tells; ends when the queue is closed.
pub(super) fn listen(store: &dyn Store, queue: &Queue) {
    let Some(shared) = store.shared() else { return };
    while !queue.is_closed() {
        match shared.wait(LISTEN_FOR) {
            Ok(changes) if changes.any() => queue.tell(changes),
            Ok(_) => {}
            // The writer meets the same trouble and says so; here it only must not spin. What was missed meanwhile is
            // found by asking.
            Err(_) => {
                std::thread::sleep(RETRY_PAUSE);
                queue.tell(Changes { head: true, offers: true, turn: true });
            }
        }
    }
}

impl Turns {
    pub(super) fn new(writer: Writer, queue: Arc<Queue>, sealer: Sealer) -> Self {
        Self {
            looked_through: writer.range.size(),
            writer,
            queue,
            sealer,
            pending: Vec::new(),
            waiting: HashMap::new(),
            offered_at: Instant::now(),
            turn_asked_at: None,
            more_offers: true,
            trouble: None,
            not_taken: None,
        }
    }

    /// Works until the queue is closed and everybody has an answer.
    pub(super) fn run(mut self) {
        let store = self.writer.store.clone();
        let Some(shared) = store.shared() else { return };
        let mut closing: Option<Instant> = None;
        loop {
            let room = BATCH_LIMIT.saturating_sub(self.pending.len());
            let patience = if self.trouble.is_some() {
                RETRY_PAUSE
            } else if self.more_offers && self.writer.head.may_order() {
                Duration::ZERO
            } else {
                TURN_INTERVAL
            };
            let mut taken = if self.trouble.is_some() {
                // Time first, because every arrival would only be one more try; then the arrivals all the same, because
                // those that nobody takes nobody gives up.
                let changes = self.queue.take(0, Some(patience)).changes;
                let mut taken = self.queue.take(room, Some(Duration::ZERO));
                taken.changes.head |= changes.head;
                taken.changes.offers |= changes.offers;
                taken.changes.turn |= changes.turn;
                taken
            } else {
                self.queue.take(room, Some(patience))
            };
            self.pending.append(&mut taken.requests);
            self.more_offers |= taken.changes.offers;
            self.work(shared, taken.changes);
            self.give_up_old();
            if self.queue.is_closed() {
                let since = *closing.get_or_insert_with(Instant::now);
                let unbegun = || self.writer.head.unbegun().map(|_| AppendError::Closed);
                let waits = self.trouble.clone().or_else(unbegun);
                if let Some(error) = waits.filter(|_| since.elapsed() >= CLOSING_LIMIT) {
                    self.refuse_all(&error);
                    break;
                }
                if taken.closed && self.pending.is_empty() && self.waiting.is_empty() {
                    break;
                }
                // Whoever waits still is answered or given up; nothing else comes that could wake this thread.
                if taken.closed || self.trouble.is_some() {
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
        self.queue.end();
        // If this fails, the turn ends by itself in a few seconds.
        drop(shared.end_turn());
    }

    /// One round: ask whose turn it is if that is due, then do what follows from it.
    fn work(&mut self, shared: &dyn Shared, changes: Changes) {
        let due = changes.turn || self.turn_asked_at.is_none_or(|at| at.elapsed() >= TURN_INTERVAL);
        // News of offers may be lost with a connection; what was missed is found by asking.
        self.more_offers |= due;
        let outcome = if due || self.trouble.is_some() { self.ask_turn(shared) } else { Ok(()) };
        let outcome = outcome.and_then(|()| {
            if self.writer.head.may_order() {
                self.sequence(shared)
            } else if self.writer.head.turn().is_ours() {
                // Somebody asks the witnesses whether this store is what it was; what came in waits.
                Ok(())
            } else {
                self.follow(shared, changes.head || due)
            }
        });
        match outcome {
            // A full disk is trouble as well: without a pause the same offers would be tried again and again.
            Ok(()) => self.trouble = self.not_taken.take(),
            Err(CatchUpError::SetBack(reason)) => {
                self.writer.head.stop_taking_in(reason.clone());
                self.refuse_all(&AppendError::SetBack(reason));
            }
            Err(error) => self.trouble = Some(reason_of(error)),
        }
    }

    fn ask_turn(&mut self, shared: &dyn Shared) -> Result<(), CatchUpError> {
        let before = self.writer.head.turn();
        let turn = shared.take_turn()?;
        self.turn_asked_at = Some(Instant::now());
        if turn.is_ours() && (turn != before || self.trouble.is_some()) {
            // Whoever had the turn before may have stored more, and so may this process, without hearing of it.
            self.writer.catch_up()?;
            self.looked_through = self.writer.range.size();
            self.more_offers = true;
            self.pending.extend(std::mem::take(&mut self.waiting).into_values().flatten());
        }
        self.writer.head.set_turn(turn);
        Ok(())
    }

    /// Orders what this process let in and what others handed over.
    fn sequence(&mut self, shared: &dyn Shared) -> Result<(), CatchUpError> {
        let mut requests = std::mem::take(&mut self.pending);
        let mut needless = Vec::new();
        if self.more_offers {
            let offers = match shared.handed_over(BATCH_LIMIT) {
                Ok(offers) => offers,
                Err(e) => {
                    self.pending = requests;
                    return Err(e.into());
                }
            };
            self.more_offers = offers.len() == BATCH_LIMIT;
            for Offer { identity, bytes, seal } in offers {
                if self.sealer.fits(identity, &bytes, seal) {
                    requests.push(Request::handed_over(identity, bytes));
                } else {
                    // Nobody whom the door let past made this one; it goes without an answer.
                    needless.push(identity);
                }
            }
        }
        match self.writer.integrate(requests) {
            Ok(known) => {
                needless.extend(known);
                // A commit removes what it commits; these need none.
                if needless.is_empty() { Ok(()) } else { Ok(shared.settle(&needless)?) }
            }
            Err(failed) => self.not_committed(failed),
        }
    }

    fn not_committed(&mut self, failed: NotCommitted) -> Result<(), CatchUpError> {
        let NotCommitted { requests, error, .. } = failed;
        // What others handed over is in their hands still.
        let ours = requests.into_iter().filter(Request::is_ours);
        self.more_offers = true;
        let store = match &error {
            AppendError::Store(store) => store.clone(),
            AppendError::SetBack(_) => {
                ours.for_each(|request| request.reply(Err(error.clone())));
                self.not_taken = Some(error);
                return Ok(());
            }
            _ => {
                ours.for_each(|request| request.reply(Err(error.clone())));
                self.not_taken = Some(error);
                return self.writer.catch_up();
            }
        };
        match &*store {
            StoreError::DiskFull | StoreError::ReadOnly => {
                ours.for_each(|request| request.reply(Err(error.clone())));
                self.not_taken = Some(error.clone());
                self.writer.catch_up()
            }
            // Whose turn it is, and what the store holds, is asked before the same statements are tried again.
            _ => {
                self.pending = ours.collect();
                self.turn_asked_at = None;
                self.trouble = Some(error.clone());
                Err(CatchUpError::Store(StoreError::Failed(store.into())))
            }
        }
    }

    /// Hands over what this process let in, and answers those whose statements have come in.
    fn follow(&mut self, shared: &dyn Shared, look: bool) -> Result<(), CatchUpError> {
        if look {
            let head = &self.writer.head;
            if head.catch_up(&*self.writer.store, &self.writer.tiles, self.writer.signer.vkey())?.is_none() {
                head.tell();
            }
            self.answer_those_that_came_in()?;
        }
        if !self.pending.is_empty() {
            self.hand_over_pending(shared)?;
        }
        if !self.waiting.is_empty() && self.offered_at.elapsed() >= OFFER_AGAIN_AFTER {
            let offers: Vec<Offer> =
                self.waiting.values().filter_map(|requests| requests.first()).map(|r| self.offer(r)).collect();
            self.offered_at = Instant::now();
            for some in offers.chunks(BATCH_LIMIT) {
                shared.hand_over(some)?;
            }
        }
        Ok(())
    }

    fn answer_those_that_came_in(&mut self) -> Result<(), CatchUpError> {
        let head = self.writer.head.get();
        while !self.waiting.is_empty() && self.looked_through < head.size() {
            let names = self.writer.store.identities(self.looked_through, NAMES_AT_ONCE)?;
            if names.is_empty() {
                break;
            }
            for identity in names {
                let index = self.looked_through;
                // Committed after the head that was read: the next look is for it.
                if index >= head.size() {
                    break;
                }
                for request in self.waiting.remove(&identity).into_iter().flatten() {
                    request.reply(Ok(Integrated { index, head: head.clone() }));
                }
                self.looked_through += 1;
            }
        }
        if self.waiting.is_empty() {
            self.looked_through = head.size();
        }
        Ok(())
    }

    fn hand_over_pending(&mut self, shared: &dyn Shared) -> Result<(), CatchUpError> {
        let names: Vec<Identity> = self.pending.iter().map(|r| r.identity).collect();
        let known = self.writer.store.find_all(&names)?;
        let head = self.writer.head.get();
        let mut offers = Vec::new();
        for (request, known) in std::mem::take(&mut self.pending).into_iter().zip(known) {
            match known {
                Some(index) if index < head.size() => {
                    request.reply(Ok(Integrated { index, head: head.clone() }));
                }
                _ if self.waiting.len() >= WAITING_LIMIT => request.reply(Err(AppendError::Busy)),
                known => {
                    if known.is_none() && !self.waiting.contains_key(&request.identity) {
                        offers.push(self.offer(&request));
                    }
                    self.waiting.entry(request.identity).or_default().push(request);
                }
            }
        }
        self.offered_at = Instant::now();
        Ok(shared.hand_over(&offers)?)
    }

    fn offer(&self, request: &Request) -> Offer {
        let Request { identity, bytes, .. } = request;
        Offer { identity: *identity, bytes: bytes.clone(), seal: self.sealer.seal(*identity, bytes) }
    }

    fn refuse_all(&mut self, error: &AppendError) {
        let waiting = std::mem::take(&mut self.waiting).into_values().flatten();
        waiting.chain(std::mem::take(&mut self.pending)).for_each(|request| request.reply(Err(error.clone())));
    }

    /// Nobody waits for ever: neither for a store that does not answer nor for a sequencer that does not come.
    fn give_up_old(&mut self) {
        let error = self.trouble.clone().unwrap_or(AppendError::NoSequencer);
        let is_old = |request: &mut Request| request.since.elapsed() >= ANSWER_LIMIT;
        self.pending.extract_if(.., is_old).for_each(|request| request.reply(Err(error.clone())));
        for requests in self.waiting.values_mut() {
            requests.extract_if(.., is_old).for_each(|request| request.reply(Err(error.clone())));
        }
        self.waiting.retain(|_, requests| !requests.is_empty());
    }
}

fn reason_of(error: CatchUpError) -> AppendError {
    let source = match error {
        CatchUpError::Store(StoreError::Failed(source)) => match source.downcast::<Arc<StoreError>>() {
            Ok(store) => return AppendError::Store(*store),
            Err(other) => StoreError::Failed(other),
        },
        CatchUpError::Store(store) => store,
        CatchUpError::SetBack(reason) => return AppendError::SetBack(reason),
        other => StoreError::Failed(other.into()),
    };
    AppendError::Store(Arc::new(source))
}
