//! Tables: the statements of one kind in the order of the log, and indexes from what they are about to where they stand.

use std::{collections::BTreeMap, ops::Range};

use super::said::Said;

/// The statements of one kind.
///
/// *Invariant in-order:* rows are only added, each with a higher log index than the one before.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    rows: Vec<Said<T>>,
}

/// Rows of a table by one thing that they are about, in the order of the log.
#[derive(Clone, Debug)]
pub(super) struct Index<K> {
    rows: BTreeMap<K, Vec<usize>>,
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row and returns where it stands. The caller takes the log's entries *in-order*.
    pub(super) fn add(&mut self, said: Said<T>) -> usize {
        self.rows.push(said);
        self.rows.len() - 1
    }

    /// The row with this log index.
    pub(super) fn get(&self, index: u64) -> Option<&Said<T>> {
        let at = self.rows.binary_search_by_key(&index, |said| said.index).ok()?;
        self.rows.get(at)
    }

    /// The row at a place that an index names.
    pub(super) fn row(&self, at: usize) -> Option<&Said<T>> {
        self.rows.get(at)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Said<T>> {
        self.rows.iter()
    }

    /// The rows with log indices in a range.
    pub(super) fn within(&self, range: Range<u64>) -> &[Said<T>] {
        let from = self.rows.partition_point(|said| said.index < range.start);
        let to = self.rows.partition_point(|said| said.index < range.end).max(from);
        self.rows.get(from..to).unwrap_or_default()
    }

    /// The rows that an index has for a key.
    pub(super) fn by<'a, K: Ord>(
        &'a self,
        index: &'a Index<K>,
        key: &K,
    ) -> impl DoubleEndedIterator<Item = &'a Said<T>> + use<'a, T, K> {
        let found: &[usize] = index.rows.get(key).map(Vec::as_slice).unwrap_or_default();
        found.iter().filter_map(|at| self.rows.get(*at))
    }
}

impl<K: Ord> Index<K> {
    pub(super) const fn new() -> Self {
        Self { rows: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, key: K, at: usize) {
        self.rows.entry(key).or_default().push(at);
    }
}
