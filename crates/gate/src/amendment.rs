//! What an amendment changes, in plain words: what it would allow that was not allowed before, and what it takes away.
//!
//! The words are made of the two charters and of nothing else, so that everybody who has the log makes the same text, now
//! and in ten years. They say who could newly complete each quorum, by trying the people there are. It judges nothing.

mod parts;
mod quorums;

use ledger::{
    charter::{Charters, Put, State, apply},
    statement::v1::Charter,
};
use model::Digest;

/// What differs between two charters, each a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// What could be done that could not be done before.
    pub allows: Vec<String>,
    /// What could be done before and no more.
    pub takes: Vec<String>,
    /// What is merely another.
    pub changes: Vec<String>,
}

impl Differences {
    /// Between the charter in force and another.
    pub fn between(from: &Charter, to: &Charter) -> Self {
        let mut found = Self::default();
        quorums::compare(from, to, &mut found);
        parts::compare(from, to, &mut found);
        found
    }

    /// How many lines there are.
    const fn len(&self) -> usize {
        self.allows.len() + self.takes.len() + self.changes.len()
    }

    /// Whether nothing differs.
    pub const fn is_empty(&self) -> bool {
        self.allows.is_empty() && self.takes.is_empty() && self.changes.is_empty()
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("it would newly allow:", &self.allows),
            ("it would take away:", &self.takes),
            ("it would change:", &self.changes),
        ];
        if self.is_empty() {
            return f.write_str("it would change nothing\n");
        }
        for (head, lines) in parts.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(f, "{head}")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}

/// The charter that an amendment edits and the one that it makes, as far as the log tells.
pub fn charters_of(charters: &Charters, put: &Put) -> Option<(Charter, Charter)> {
    let edited = charters.history().iter().rfind(|(_, members)| members.digest() == put.amendment.from);
    let from = edited?.1.charter().clone();
    let to = apply(&from, &put.amendment.edits).ok()?;
    (to.digest() == put.amendment.becomes).then_some((from, to))
}

/// What whoever consents to an amendment is shown. `None` if there is none at this index, or if its edits fit no charter.
pub fn amendment_shown(charters: &Charters, index: u64) -> Option<String> {
    let put = charters.put(index)?;
    let (from, to) = charters_of(charters, put)?;
    let differences = Differences::between(&from, &to);
    let by = &put.by;
    Some(format!(
        "amendment {index} by {by}\nof the charter {}\nbecomes {}\n{differences}",
        put.amendment.from, put.amendment.becomes
    ))
}

/// The digest that a consent carries: what is shown is what is signed.
pub fn amendment_shown_digest(charters: &Charters, index: u64) -> Option<Digest> {
    amendment_shown(charters, index).map(|text| Digest::of(text.as_bytes()))
}

/// How far an amendment has come, in one line.
pub fn amendment_state(charters: &Charters, put: &Put) -> String {
    match &put.state {
        State::Open => match charters.hindrance(put) {
            Some(hindrance) => format!("can not come into force: {}", chain(&hindrance)),
            None => {
                let (tally, _) = charters.tally(put);
                let left = tally.needed.saturating_sub(tally.counted);
                let who = if put.is_recovery() { "recovery keys" } else { "persons" };
                format!("{} of {} {who} have agreed; {left} more needed", tally.counted, tally.needed)
            }
        },
        State::Waiting { delay, .. } => match delay.until {
            Some((until, _)) => format!("by recovery keys, and in force from {until} on unless a member cancels it"),
            None => format!(
                "by recovery keys, and in force {} s after the next tick unless a member cancels it",
                delay.asked_s
            ),
        },
        State::InForce { from, .. } => format!("in force from {from} on"),
        State::Cancelled { at } => format!("cancelled, at {at}"),
        State::Overtaken { at } => format!("overtaken by another amendment, at {at}"),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

#[cfg(test)]
mod tests;
