//! The words of Countersign, one a thing, with what each means: the text of `countersign help words`.
//!
//! Pages, messages and documents use these words and no others for these things.

/// A word and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub word: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

const fn word(word: &'static str, meaning: &'static str) -> Word {
    Word { word, meaning }
}

/// All words, in the order in which a reader needs them.
pub const WORDS: &[Word] = &[
    word(
        "change",
        "What someone wants to be different: commits on the protected branch since the release before, with their requirements.",
    ),
    word("commit", "One state of a repository, signed by its author."),
    word("requirement", "What a change is for, by its id in a tracker, such as `PAY-142`."),
    word(
        "suite",
        "Test cases that are run together and write one report: smoke (a quick look), full (all that must hold), load or ui.",
    ),
    word("evidence", "What a robot saw and signed: a build, the cases of a suite, an inventory."),
    word("statement", "One signed entry of the log."),
    word("log", "The append-only list of all statements, from which everything else follows."),
    word("checkpoint", "The size and the root hash of the log at one moment, signed."),
    word(
        "witness",
        "Someone else's process that signs checkpoints, so that the log can not show different people different things.",
    ),
    word("charter", "The first statement of a log: who takes part, with which keys and roles, and what is asked for."),
    word("person", "A human being in the charter, known in the log by a pseudonym; quorums count persons."),
    word("robot", "A process in the charter that signs with a key of its own, and the persons who control it."),
    word("role", "What a person or robot may say in the log."),
    word("duty", "A role together with those that no one may hold beside it."),
    word("quorum", "How many different persons with which roles must sign."),
    word(
        "approval",
        "A person's signature under one transition: this release, in this environment, in place of that one.",
    ),
    word(
        "verdict",
        "What the rules make of the log for one transition: granted until a time, refused with reasons, or withdrawn.",
    ),
    word(
        "release",
        "One version of a whole system: every component by digest, its configuration, flows and guarded values.",
    ),
    word("component", "One part of a system that runs by itself, from an image that never changes."),
    word("serial", "The name of a version that people can read, such as `paydesk-000042`."),
    word("environment", "A place where releases run, such as staging or production, with its own quorum."),
    word(
        "rollout",
        "Putting a release into an environment, step by step, until it runs alone or the one before runs again.",
    ),
    word("step", "The smallest thing that a rollout does; doing it twice is doing it once."),
    word("cohort", "The clients that get one version."),
    word("halt", "Stopping every rollout at once; one person can do it, starting again takes two."),
    word("rollback", "A new rollout, of the release before."),
    word("retire", "Removing a version that has no client left."),
    word("zone", "A network of components; nothing crosses its border but by a flow."),
    word("flow", "Leave for one component to connect to another."),
    word("drift", "A difference between what was put into production and what is there."),
    word("alarm", "A statement that something needs a person."),
    word("silence", "A statement that an alarm is known, with an owner and an end."),
    word("exception", "Leave for one test case not to run, with an owner, an end date and two signatures."),
    word(
        "guarded value",
        "A value that moves money, such as a payout account, which changes only by a quorum and after a cool-off.",
    ),
    word("segment", "A part of a feed as it was received, byte by byte."),
    word("quarantine", "Where what can not be parsed or trusted is kept, counted and not lost."),
    word("replica", "A copy: of stored data in an independent place, or of a component beside others."),
    word("drill", "Restoring a copy to see that it can be restored."),
];

/// The entry of a word, in any case and in the plural too.
pub fn find(word: &str) -> Option<&'static Word> {
    let plain = word.trim().to_lowercase().replace('-', " ");
    let singular = plain.strip_suffix('s').unwrap_or(&plain);
    WORDS.iter().find(|w| w.word == plain || w.word == singular)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_has_one_meaning_in_one_sentence() {
        let words: BTreeSet<&str> = WORDS.iter().map(|w| w.word).collect();
        assert_eq!(words.len(), WORDS.len());
        for Word { word, meaning } in WORDS {
            assert!(meaning.ends_with('.') && meaning.len() < 140, "{word}: {meaning}");
        }
    }

    #[test]
    fn words_are_found_as_people_write_them() {
        assert_eq!(find("Verdict").map(|w| w.word), Some("verdict"));
        assert_eq!(find("guarded-values").map(|w| w.word), Some("guarded value"));
        assert_eq!(find("flows").map(|w| w.word), Some("flow"));
        assert_eq!(find("deployment"), None);
    }
}
