//! What runs in one environment, and what ran there at any time before.
//!
//! What runs is a stack: a release that goes live is laid upon what it replaces, and going back takes it off. Each
//! state of the stack shares what lies below with the states before it, so that a state of long ago is found without
//! folding the milestones again, and what runs now costs nothing to ask.

use std::collections::BTreeMap;

use ledger::statement::v1::{Milestone, MilestoneKind};
use model::{Digest, Serial};

/// What runs in an environment, by the agent's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The release.
    pub release: Digest,
    /// Its serial.
    pub serial: Serial,
    /// The proposal under which it came.
    pub proposal: u64,
    /// The log index of the milestone.
    pub index: u64,
    /// What it replaced.
    pub before: Option<Digest>,
    /// Whether it runs again because it was gone back to. Going back is one step: from here on it takes a release.
    pub returned: bool,
}

/// A place in the stack. What lies below it never changes; that something was taken out further down is noted there.
#[derive(Clone, Debug)]
struct Node {
    live: Live,
    below: Option<usize>,
    /// Some node further down, chosen so that any depth is reached in a logarithmic number of steps: a skew-binary
    /// skip list (E. W. Myers, "An applicative random-access stack", 1983).
    far_below: Option<usize>,
    /// How many nodes lie below, those taken out included.
    depth: usize,
    /// The log index of the milestone by which it was taken out from under others.
    gone: Option<u64>,
}

/// Every state of one stack.
///
/// *Invariants:* a node is made after what lies below it, so nodes higher up have higher numbers (*upwards*); a node that
/// has left the stack never comes back (*once*), so of the nodes of a proposal only the last can be in it.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    nodes: Vec<Node>,
    /// The log indices of the milestones that changed the top, each with the top from then on.
    tops: Vec<(u64, Option<usize>)>,
    by_proposal: BTreeMap<u64, usize>,
    by_release: BTreeMap<Digest, Vec<usize>>,
    /// Of each release, the places in `tops` from which on it was on top.
    tops_of: BTreeMap<Digest, Vec<usize>>,
}

/// A time in which a release ran without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch<'a> {
    /// How it came.
    pub live: &'a Live,
    /// The log index of the milestone from which on it ran: of its own, or of that which what came after it went back.
    pub begin: u64,
    /// The log index of the milestone by which something else ran; none while it runs.
    pub end: Option<u64>,
}

/// What ran at one time, newest first.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    history: Option<&'a History>,
    top: Option<usize>,
    /// How many statements the log had.
    size: u64,
}

impl History {
    /// Takes the next milestone that stands.
    pub(super) fn apply(&mut self, index: u64, m: &Milestone) {
        let top = self.top();
        let known = self.by_proposal.get(&m.proposal).copied().filter(|at| self.holds(*at, top, u64::MAX));
        if m.what == MilestoneKind::Live {
            // Going back to the predecessor ends with that one live again: the stack shrinks to it, and what it
            // replaced is what it replaced the first time.
            let again = known.and_then(|at| self.nodes.get(at)).map(|n| &n.live).filter(|l| l.release == m.release);
            let is_below = known.is_some() && known != top;
            let live = Live {
                release: m.release,
                serial: m.serial.clone(),
                proposal: m.proposal,
                index,
                before: again.map_or(m.other, |l| l.before),
                returned: is_below || again.is_some_and(|l| l.returned),
            };
            let below = known.map_or(top, |at| self.standing_below(at));
            self.put(index, live, below);
        } else if let Some(at) = known.filter(|_| m.what.is_back()) {
            if Some(at) == top {
                self.take_top(index, at);
            } else if let Some(node) = self.nodes.get_mut(at) {
                node.gone = Some(index);
            }
        }
    }

    /// What runs now.
    pub(super) fn now(&self) -> Stack<'_> {
        Stack { history: Some(self), top: self.top(), size: u64::MAX }
    }

    /// What ran when the log had so many statements.
    pub(super) fn before(&self, size: u64) -> Stack<'_> {
        let later = self.tops.partition_point(|(index, _)| *index < size);
        let top = later.checked_sub(1).and_then(|at| self.tops.get(at)).and_then(|(_, top)| *top);
        Stack { history: Some(self), top, size }
    }

    fn top(&self) -> Option<usize> {
        self.tops.last().and_then(|(_, top)| *top)
    }

    /// What was on top went back by itself: what it stood upon runs again.
    fn take_top(&mut self, index: u64, at: usize) {
        let below = self.standing_below(at);
        match below.and_then(|b| self.nodes.get(b)).map(|node| node.live.clone()) {
            Some(live) if !live.returned => {
                let further = below.and_then(|b| self.standing_below(b));
                self.put(index, Live { returned: true, ..live }, further);
            }
            _ => self.set_top(index, below),
        }
    }

    fn put(&mut self, index: u64, live: Live, below: Option<usize>) {
        let far = |at: Option<usize>| at.and_then(|at| self.nodes.get(at)).and_then(|node| node.far_below);
        let height = |at: Option<usize>| at.and_then(|at| self.nodes.get(at)).map_or(0, |node| node.depth + 1);
        let (one, two) = (far(below), far(far(below)));
        let is_even = height(below) - height(one) == height(one) - height(two);
        let far_below = if below.is_some() && is_even { two } else { below };
        let at = self.nodes.len();
        self.by_proposal.insert(live.proposal, at);
        self.by_release.entry(live.release).or_default().push(at);
        let depth = height(below);
        self.nodes.push(Node { live, below, far_below, depth, gone: None });
        self.set_top(index, Some(at));
    }

    fn set_top(&mut self, index: u64, top: Option<usize>) {
        if let Some(release) = top.and_then(|at| self.nodes.get(at)).map(|node| node.live.release) {
            self.tops_of.entry(release).or_default().push(self.tops.len());
        }
        self.tops.push((index, top));
    }

    /// When a release ran, oldest first. What an agent says twice of the same proposal is one time.
    pub(super) fn stretches(&self, release: Digest) -> Vec<Stretch<'_>> {
        let mut found: Vec<Stretch<'_>> = Vec::new();
        for place in self.tops_of.get(&release).into_iter().flatten() {
            let Some((begin, Some(at))) = self.tops.get(*place).copied() else { continue };
            let Some(live) = self.nodes.get(at).map(|node| &node.live) else { continue };
            let end = self.tops.get(place + 1).map(|(index, _)| *index);
            match found.last_mut() {
                Some(last) if last.end == Some(begin) && last.live.proposal == live.proposal => {
                    last.end = end;
                }
                _ => found.push(Stretch { live, begin, end }),
            }
        }
        found
    }

    /// The next node down that has not been taken out.
    fn standing_below(&self, at: usize) -> Option<usize> {
        let mut at = self.nodes.get(at)?.below;
        while let Some(node) = at.and_then(|at| self.nodes.get(at)).filter(|node| node.gone.is_some()) {
            at = node.below;
        }
        at
    }

    /// Whether a node is in the stack with this top, when the log had so many statements.
    fn holds(&self, wanted: usize, top: Option<usize>, size: u64) -> bool {
        let Some(node) = self.nodes.get(wanted).filter(|n| n.gone.is_none_or(|gone| gone >= size)) else {
            return false;
        };
        let mut at = top;
        while let Some((number, here)) = at.and_then(|at| Some((at, self.nodes.get(at)?))) {
            if here.depth <= node.depth {
                return number == wanted;
            }
            let far = here.far_below.and_then(|far| self.nodes.get(far)).filter(|far| far.depth >= node.depth);
            at = if far.is_some() { here.far_below } else { here.below };
        }
        false
    }
}

impl<'a> Stack<'a> {
    /// Nothing ran.
    pub(super) const fn empty() -> Self {
        Self { history: None, top: None, size: 0 }
    }

    /// What runs.
    pub fn first(self) -> Option<&'a Live> {
        self.iter().next()
    }

    /// What runs, what it replaced, and so on.
    pub fn iter(self) -> impl Iterator<Item = &'a Live> {
        self.from(self.top)
    }

    /// The newest that is of a release, and what lies below it; nothing if the release is not there.
    pub fn from_release(self, release: Digest) -> impl Iterator<Item = &'a Live> {
        self.from(self.find(release))
    }

    /// Whether a release is there.
    pub fn holds(self, release: Digest) -> bool {
        self.find(release).is_some()
    }

    /// Whether what came under a proposal is there.
    pub fn holds_proposal(self, proposal: u64) -> bool {
        let Some(history) = self.history else { return false };
        let last = history.by_proposal.get(&proposal).is_some_and(|at| history.holds(*at, self.top, self.size));
        // *Once*: only in a state of the past can it be another node than the last.
        last || (self.size != u64::MAX && self.iter().any(|live| live.proposal == proposal))
    }

    fn find(self, release: Digest) -> Option<usize> {
        let (history, top) = (self.history?, self.top?);
        let nodes = history.by_release.get(&release)?;
        // *Upwards*: the one with the highest number is the newest, and none above the top's is below it.
        let until = nodes.partition_point(|at| *at <= top);
        nodes.get(..until)?.iter().rev().copied().find(|at| history.holds(*at, Some(top), self.size))
    }

    fn from(self, top: Option<usize>) -> impl Iterator<Item = &'a Live> {
        let nodes: &'a [Node] = self.history.map_or(&[], |history| &history.nodes);
        std::iter::successors(top.and_then(|at| nodes.get(at)), |node| node.below.and_then(|at| nodes.get(at)))
            .filter(move |node| node.gone.is_none_or(|gone| gone >= self.size))
            .map(|node| &node.live)
    }
}
