//! What one thread does with one bundle: everything that depends on nothing but its entries and the signed tree.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use model::Digest;

use super::{Agreed, BUNDLE, Bundle, Flaw, Found, Part, Said, Sweep};
use crate::{
    Verified,
    check::Voucher,
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    merkle::leaf_hash,
    statement::{self, Members, Statement, v1::Claim},
    store::{StoreError, StoredCheckpoint},
    verified,
};

/// Signers have mostly seen what is a few entries before their own: 64 bundles back are kept at hand, a megabyte.
const RECENT: usize = 64;
/// A checkpoint can be cosigned after the audit that compared it: those over the last 4,096 entries that were verified
/// before are looked at again.
const LOOK_BACK: u64 = 4_096;
/// As many checkpoints as there can be over a bundle's sizes, and the one of the empty log.
const CHECKPOINTS: usize = BUNDLE as usize + 1;

/// The hashes of bundles that were looked at lately, by whichever thread.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Arc<Bundle>>>);

impl Recent {
    fn add(&self, bundle: &Arc<Bundle>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(bundle.clone());
    }

    fn find(&self, number: u64) -> Option<Arc<Bundle>> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|b| b.number() == number).cloned()
    }
}

/// What the threads of a sweep share.
pub(super) struct Hands<'a> {
    pub(super) recent: &'a Recent,
    /// Who is in force from which index on, as far as is known.
    pub(super) known: &'a Mutex<Arc<Known>>,
}

/// Who is in force from which index on, in order, as far as a sweep has come. A bundle further on is looked at by the last
/// of them; whoever puts the bundles in order sees whether that was right.
#[derive(Clone, Debug)]
pub(super) struct Known(pub(super) Vec<(u64, Members)>);

impl Known {
    /// Those for an index, with their number.
    pub(super) fn at(&self, index: u64) -> Option<(usize, &Members)> {
        let after = self.0.partition_point(|(from, _)| *from <= index);
        let at = after.checked_sub(1)?;
        self.0.get(at).map(|(_, members)| (at, members))
    }
}

/// Roots at sizes, the last one remembered: many statements in a row name the same.
struct Roots<'a> {
    sweep: &'a Sweep<'a>,
    own: Arc<Bundle>,
    recent: &'a Recent,
    last: Option<(u64, Option<Digest>)>,
}

impl Roots<'_> {
    /// The root of the tree at a size. `None` where it can not be known, as beyond the end.
    fn at(&mut self, size: u64) -> Result<Option<Digest>, StoreError> {
        if let Some((_, root)) = self.last.filter(|(known, _)| *known == size) {
            return Ok(root);
        }
        let number = size / BUNDLE;
        let skeleton = self.sweep.skeleton;
        let root = if number == self.own.number() && skeleton.fits(&self.own) {
            skeleton.root_at(size, Some(&self.own))
        } else if size.is_multiple_of(BUNDLE) || size > skeleton.size() {
            skeleton.root_at(size, None)
        } else {
            let bundle = match self.recent.find(number) {
                Some(bundle) => Some(bundle),
                None => {
                    let read = skeleton.bundle(self.sweep.source, number)?.map(Arc::new);
                    read.iter().for_each(|b| self.recent.add(b));
                    read
                }
            };
            bundle.and_then(|b| skeleton.root_at(size, Some(&b)))
        };
        self.last = Some((size, root));
        Ok(root)
    }
}

impl Sweep<'_> {
    /// Looks at a bundle.
    pub(super) fn look_at<T>(
        &self,
        number: u64,
        hands: &Hands<'_>,
        look: &(dyn Fn(&Verified<Statement>) -> T + Sync),
    ) -> Result<Part<T>, StoreError> {
        let known = hands.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let span = self.skeleton.span(number);
        let mut part = Part {
            first: span.start,
            end: span.end,
            said: Vec::new(),
            flaws: Vec::new(),
            checkpoints: 0,
            cosignatures: 0,
            witnessed: None,
            agreed: Agreed::default(),
            opened: span.start,
            is_shown: false,
            known: known.clone(),
        };
        let entries = self.read(&span, &mut part.flaws)?;
        let own = Arc::new(Bundle::new(number, entries.iter().map(|e| leaf_hash(&e.bytes)).collect()));
        let fits = self.compare(&own, &span, &mut part.flaws)?;
        if fits {
            hands.recent.add(&own);
        }
        part.is_shown = fits && self.is_signed;
        let mut roots = Roots { sweep: self, own, recent: hands.recent, last: None };
        for (index, entry) in span.clone().zip(&entries) {
            let is_known = index < self.verified;
            let Some((_, members)) = known.at(index) else { break };
            match self.open(index, entry, members, is_known, &mut part.flaws) {
                Some(said) => {
                    if !is_known {
                        seen(&said, &mut roots, &mut part)?;
                    }
                    part.opened = index.saturating_add(1);
                    let look = look(&said);
                    part.said.push(Said { entry: said, members: members.clone(), look });
                }
                None => break,
            }
        }
        if span.end > self.verified.saturating_sub(LOOK_BACK) {
            self.checkpoints(&mut roots, &mut part)?;
        }
        Ok(part)
    }

    /// The entries of a bundle. What can not be read is looked at one by one, so that a hole is named.
    fn read(&self, span: &std::ops::Range<u64>, flaws: &mut Vec<Flaw>) -> Result<Vec<Found>, StoreError> {
        let limit = usize::try_from(span.end - span.start).unwrap_or(BUNDLE as usize);
        let error = match self.source.entries(span.start, limit) {
            Ok(entries) if entries.len() >= limit => return Ok(entries),
            Ok(entries) => {
                flaws.push(Flaw::Missing(span.start + entries.len() as u64));
                return Ok(entries);
            }
            Err(error) => error,
        };
        let mut entries = Vec::new();
        for index in span.clone() {
            match self.source.entries(index, 1).ok().and_then(|mut found| found.pop()) {
                Some(entry) => entries.push(entry),
                None => {
                    // If a later one is there, this one is gone; otherwise nothing can be read, which is no finding.
                    let later =
                        (index + 1..span.end + 1).any(|i| self.source.entries(i, 1).is_ok_and(|e| !e.is_empty()));
                    if !later {
                        return Err(error);
                    }
                    flaws.push(Flaw::Missing(index));
                    return Ok(entries);
                }
            }
        }
        Ok(entries)
    }

    /// Compares a bundle with the tree, and with its stored tile. Whether it is the tree's.
    fn compare(&self, own: &Bundle, span: &std::ops::Range<u64>, flaws: &mut Vec<Flaw>) -> Result<bool, StoreError> {
        let fits = self.skeleton.fits(own);
        if fits && !self.source.is_local() {
            return Ok(true);
        }
        let width = usize::try_from(span.end - span.start).unwrap_or(BUNDLE as usize);
        let tile = self.source.tile(0, own.number(), width)?.unwrap_or_default();
        let stored: Vec<Digest> = crate::merkle::split_hashes(&tile).take(width).collect();
        if fits {
            if stored != own.leaves() {
                flaws.push(Flaw::Tile { level: 0, index: own.number(), over: span.clone() });
            }
            return Ok(true);
        }
        if !flaws.is_empty() {
            return Ok(false);
        }
        let stored = Bundle::new(own.number(), stored);
        let differs = own.leaves().iter().zip(stored.leaves()).position(|(a, b)| a != b);
        flaws.push(match differs.filter(|_| self.skeleton.fits(&stored)) {
            Some(at) => Flaw::Changed(span.start + at as u64),
            None => Flaw::ChangedAmong(span.clone()),
        });
        Ok(false)
    }

    /// Opens an entry: all of it, or, if that was done before, only to know again what it says.
    fn open(
        &self,
        index: u64,
        found: &Found,
        members: &Members,
        is_known: bool,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Verified<Statement>> {
        let envelope = match Envelope::from_entry(&found.bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                flaws.push(Flaw::Envelope(index, error));
                return None;
            }
        };
        let identity = envelope.identity();
        if found.stored_as.is_some_and(|name| name != identity) {
            flaws.push(Flaw::StoredAs(index));
        }
        let statement = if is_known {
            let by = members.holder_arc(envelope.signer()).map_err(statement::ReadError::Entitlement);
            by.and_then(|by| Ok((Statement::read_again(envelope.payload())?, by)))
        } else {
            statement::open(&envelope, members)
        };
        let (statement, by) = match statement {
            Ok(opened) => opened,
            Err(error) => {
                flaws.push(Flaw::Statement(index, error));
                return None;
            }
        };
        let is_charter = matches!(statement.claim, Claim::Charter(_));
        if is_charter && Digest::of(envelope.payload()) != members.hash() {
            flaws.push(Flaw::Charter(index));
            return None;
        }
        let tick = match &statement.claim {
            // Verified again also where the statement is known: a cosignature that does not hold up is passed over, so
            // which times count is known only by verifying them.
            Claim::Tick(tick) => members.open_tick(&tick.checkpoint),
            _ => None,
        };
        let known = verified::Known { identity: Some(identity), tick, by: Some(by) };
        Some(Verified::new(index, envelope.signer(), statement, known))
    }

    /// The checkpoints over this bundle's sizes, and their cosignatures.
    fn checkpoints<T>(&self, roots: &mut Roots<'_>, part: &mut Part<T>) -> Result<(), StoreError> {
        let first = if part.first == 0 { 0 } else { part.first.saturating_add(1) };
        let from = first.max(self.verified.saturating_sub(LOOK_BACK));
        for stored in self.source.checkpoints(from, CHECKPOINTS)? {
            if stored.size > part.end {
                break;
            }
            if !self.checkpoint(&stored, roots, part)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether this one is as it should be.
    fn checkpoint<T>(
        &self,
        stored: &StoredCheckpoint,
        roots: &mut Roots<'_>,
        part: &mut Part<T>,
    ) -> Result<bool, StoreError> {
        let size = stored.size;
        let mut checkpoint = match SignedCheckpoint::open(&stored.note, self.log) {
            Ok(checkpoint) => checkpoint,
            Err(source) => {
                part.flaws.push(Flaw::Checkpoint { size, source });
                return Ok(false);
            }
        };
        self.source.cosignatures(size)?.into_iter().for_each(|line| checkpoint.add(line));
        // Witnesses first: their word is worth more than the log's, and a rewritten log has signed again.
        for witness in self.witnesses.witnesses() {
            match checkpoint.note().cosigned_at(&witness.vkey) {
                Ok(Some(_)) => {
                    part.cosignatures += 1;
                    part.agreed.by_witness = size;
                }
                Ok(None) => {}
                Err(_) => {
                    let witness = Voucher::Witness(witness.vkey.name().to_owned());
                    part.flaws.push(Flaw::Rewritten { place: part.agreed.by_witness..size, witness });
                    return Ok(false);
                }
            }
        }
        let root = roots.at(size)?;
        if root.is_none() && checkpoint.size() == size {
            // The bundle there is damaged, which is said of it.
            return Ok(true);
        }
        if checkpoint.size() != size || Some(checkpoint.root()) != root {
            let place = part.agreed.by_log..size;
            part.flaws.push(Flaw::Rewritten { place, witness: Voucher::StoredCheckpoint });
            return Ok(false);
        }
        part.agreed.by_log = size;
        part.checkpoints += 1;
        if self.witnesses.is_witnessed() && self.witnesses.is_met_by(&checkpoint) {
            part.witnessed = Some((size, self.witnesses.times(&checkpoint).map_or(0, |t| t.len())));
        }
        Ok(true)
    }
}

/// Every statement names the checkpoint that its signer had seen, and every tick one that witnesses cosigned.
fn seen<T>(said: &Verified<Statement>, roots: &mut Roots<'_>, part: &mut Part<T>) -> Result<(), StoreError> {
    let index = said.index();
    let mut named = Vec::with_capacity(2);
    named.extend(said.value().header.seen.map(|s| (s.size, s.root, false)));
    if let Claim::Tick(_) = said.value().claim {
        match said.tick() {
            Some(tick) => named.push((tick.size, tick.root, true)),
            None => part.flaws.push(Flaw::Tick(index)),
        }
    }
    for (size, root, tick) in named {
        if size > index {
            part.flaws.push(Flaw::SeenLater { index, size });
            continue;
        }
        match roots.at(size)? {
            Some(there) if there == root => part.agreed.seen = part.agreed.seen.max(size),
            Some(_) => {
                let known = Some(part.agreed.seen).filter(|known| *known < size).unwrap_or_default();
                part.flaws.push(Flaw::Seen { index, place: known..size, tick });
            }
            // The bundle there is damaged, which is said of it.
            None => {}
        }
    }
    Ok(())
}
