//! The form of a bundle: lines of text, each with one spelling, so that a file is read back as it was written.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ledger::dsse::ENTRY_LIMIT_BYTES;
use model::Digest;

/// The first line.
pub const VERSION: &str = "countersign.dev/bundle/v1";
/// 32 MiB: 5,000 entries of 2 KiB, three times what they have on average, with their proofs and some bodies; reading
/// and hashing it all takes a tenth of a second.
pub const FILE_LIMIT_BYTES: usize = 32 * 1024 * 1024;
/// 5,000 entries: each takes a signature verification of some 50 µs and as much again to read, so that checking a
/// bundle stays under a second on one core.
pub const ENTRY_LIMIT: usize = 5_000;
/// 63 hashes: sizes are below 2^63, and no inclusion proof is longer than the tree is high.
const HASH_LIMIT: usize = 63;
/// 1,000 bodies: a few for each statement that a release rests on.
pub const BODY_LIMIT: usize = 1_000;
/// 1 MiB a body, without its salt: as much as the log keeps.
pub const BODY_LIMIT_BYTES: usize = 1024 * 1024;
/// 32 bytes, which stand in front of a body.
const SALT_BYTES: usize = 32;

const WITHOUT_BODIES: &str = "notice a bundle can not be erased: whoever has a copy keeps what is in it. It holds \
                              pseudonyms and digests, and no bodies";
const WITH_BODIES: &str = "notice a bundle can not be erased: whoever has a copy keeps what is in it. It holds bodies, \
                           and erasing them beside the log takes nothing out of this file";

/// What is in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Every entry up to the checkpoint: that nothing is missing follows from the tree itself.
    Whole,
    /// The entries that the verdict rests on and those that were read for it, each with the proof that it is in the
    /// log. What is not in the file could speak against the verdict.
    Selected,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its log index.
    pub index: u64,
    /// The inclusion proof (RFC 6962 section 2.1.1) under the bundle's checkpoint; none in a whole bundle, whose tree is
    /// computed.
    pub proof: Vec<Digest>,
    /// Its bytes, as the log hashes them.
    pub bytes: Vec<u8>,
}

/// Bytes that an entry commits to without containing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// What stands in the entry: the SHA-256 of what follows.
    pub commitment: Digest,
    /// The salt of 32 bytes, and the body.
    pub salted: Vec<u8>,
}

/// A bundle, read or to be written. Nothing in it is verified before [`super::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What is in it.
    pub form: Form,
    /// The charter that its maker read the log under. Who checks gives the hash from elsewhere.
    pub charter: Digest,
    /// The log index of the verdict.
    pub verdict: u64,
    /// The entries, in the order of the log.
    pub entries: Vec<Entry>,
    /// Bodies of those entries.
    pub bodies: Vec<Body>,
    /// The checkpoint, a signed note.
    pub note: String,
}

/// Why bytes are not a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Larger than the limit.
    #[error("the file is larger than {FILE_LIMIT_BYTES} bytes")]
    TooLarge,
    /// Not text.
    #[error("the file is not UTF-8 text")]
    Text,
    /// The first line is another one.
    #[error("the first line is not `{VERSION}`")]
    Version,
    /// A line is not what belongs there.
    #[error("line {line} is not {what}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What belongs there.
        what: &'static str,
    },
    /// More entries or bodies than the limit.
    #[error("the file has more than {limit} {what}")]
    TooMany {
        /// Entries or bodies.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Out of order, or twice.
    #[error("entry {index} stands after entry {after}; entries stand in the order of the log, each once")]
    Order {
        /// Which entry.
        index: u64,
        /// The one before it.
        after: u64,
    },
    /// Something is left out of a whole bundle.
    #[error("entry {0} is missing; a whole bundle has every entry")]
    Missing(u64),
    /// A body is not what its commitment says.
    #[error("the body of {0} is not the one that was committed to")]
    Body(Digest),
}

impl Form {
    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Selected => "selected",
        }
    }
}

impl Body {
    /// A body with its salt in front.
    pub fn of(salted: Vec<u8>) -> Self {
        Self { commitment: Digest::of(&salted), salted }
    }

    /// The body without its salt.
    pub fn bytes(&self) -> &[u8] {
        self.salted.get(SALT_BYTES..).unwrap_or_default()
    }
}

/// The lines of a file up to the blank one, and where we are.
struct Lines<'a> {
    lines: std::iter::Peekable<std::str::Split<'a, char>>,
    line: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        self.lines.next()
    }

    /// The rest of the next line, if it begins with this word.
    fn next_if(&mut self, word: &str) -> Option<&'a str> {
        let rest = |line: &&'a str| line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
        let found = self.lines.peek().and_then(rest)?;
        self.next();
        Some(found)
    }

    const fn wrong(&self, what: &'static str) -> BundleError {
        BundleError::Line { line: self.line, what }
    }

    fn field<T>(
        &mut self,
        word: &'static str,
        what: &'static str,
        parse: impl Fn(&'a str) -> Option<T>,
    ) -> Result<T, BundleError> {
        let found = self.next().and_then(|line| line.strip_prefix(word)?.strip_prefix(' '));
        found.and_then(parse).ok_or(self.wrong(what))
    }
}

impl Bundle {
    /// Reads a file. Whatever is read is written back by [`Bundle::to_text`] byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > FILE_LIMIT_BYTES {
            return Err(BundleError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BundleError::Text)?;
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('\n')).ok_or(BundleError::Version)?;
        // No line above the checkpoint is empty, so the first blank line is the one that ends them.
        let (front, note) = rest.split_once("\n\n").unwrap_or((rest, ""));
        let mut lines = Lines { lines: front.split('\n').peekable(), line: 1 };
        let notice = lines.next().ok_or(lines.wrong("the notice"))?;
        let form = lines.field("form", "the form, `whole` or `selected`", |word| match word {
            "whole" => Some(Form::Whole),
            "selected" => Some(Form::Selected),
            _ => None,
        })?;
        let charter = lines.field("charter", "the hash of the charter", |word| word.parse().ok())?;
        let verdict = lines.field("verdict", "the log index of the verdict", number)?;
        let entries = entries(&mut lines, form)?;
        let bodies = bodies(&mut lines)?;
        if lines.lines.peek().is_some() {
            lines.next();
            return Err(lines.wrong("an entry, a body, or the blank line before the checkpoint"));
        }
        if notice != self::notice(&bodies) {
            return Err(BundleError::Line { line: 2, what: "the notice that belongs to what the bundle holds" });
        }
        if note.is_empty() {
            lines.next();
            return Err(lines.wrong("a blank line with the checkpoint after it"));
        }
        Ok(Self { form, charter, verdict, entries, bodies, note: note.to_owned() })
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{VERSION}\n{}\nform {}\ncharter {}\nverdict {}\n",
            notice(&self.bodies),
            self.form.name(),
            self.charter,
            self.verdict
        );
        for entry in &self.entries {
            text.push_str(&format!("entry {}", entry.index));
            for hash in &entry.proof {
                text.push(' ');
                BASE64_STANDARD.encode_string(hash.as_bytes(), &mut text);
            }
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(&entry.bytes));
            text.push('\n');
        }
        for body in &self.bodies {
            text.push_str(&format!("body {} ", body.commitment));
            BASE64_STANDARD.encode_string(&body.salted, &mut text);
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note);
        text
    }

    /// What the file's second line says: that a bundle can not be erased.
    pub fn notice(&self) -> &'static str {
        let line = notice(&self.bodies);
        line.strip_prefix("notice ").unwrap_or(line)
    }
}

fn notice(bodies: &[Body]) -> &'static str {
    if bodies.is_empty() { WITHOUT_BODIES } else { WITH_BODIES }
}

fn entries(lines: &mut Lines<'_>, form: Form) -> Result<Vec<Entry>, BundleError> {
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(head) = lines.next_if("entry") {
        if entries.len() == ENTRY_LIMIT {
            return Err(BundleError::TooMany { what: "entries", limit: ENTRY_LIMIT });
        }
        let wrong = lines.wrong("`entry`, a log index and the hashes of its proof");
        let mut words = head.split(' ');
        let index = words.next().and_then(number).ok_or(wrong.clone())?;
        let mut proof = Vec::new();
        for word in words {
            let hash = BASE64_STANDARD.decode(word).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            proof.push(hash.map(Digest::from_bytes).filter(|_| proof.len() < HASH_LIMIT).ok_or(wrong.clone())?);
        }
        if form == Form::Whole && !proof.is_empty() {
            return Err(lines.wrong("an entry of a whole bundle, which has no proof"));
        }
        let next = entries.last().map_or(0, |last| last.index.saturating_add(1));
        if index < next {
            return Err(BundleError::Order { index, after: next - 1 });
        }
        if form == Form::Whole && index > next {
            return Err(BundleError::Missing(next));
        }
        let bytes = lines.next().filter(|line| !line.is_empty() && line.len() <= ENTRY_LIMIT_BYTES);
        let bytes = bytes.ok_or(lines.wrong("an entry of the log"))?.as_bytes().to_vec();
        entries.push(Entry { index, proof, bytes });
    }
    Ok(entries)
}

fn bodies(lines: &mut Lines<'_>) -> Result<Vec<Body>, BundleError> {
    let mut bodies: Vec<Body> = Vec::new();
    while let Some(rest) = lines.next_if("body") {
        if bodies.len() == BODY_LIMIT {
            return Err(BundleError::TooMany { what: "bodies", limit: BODY_LIMIT });
        }
        let wrong = lines.wrong("`body`, a commitment, and salt and body in base64");
        let (commitment, salted) = rest.split_once(' ').ok_or(wrong.clone())?;
        let commitment: Digest = commitment.parse().map_err(|_| wrong.clone())?;
        let salted = BASE64_STANDARD.decode(salted).map_err(|_| wrong.clone())?;
        if !(SALT_BYTES..=SALT_BYTES + BODY_LIMIT_BYTES).contains(&salted.len()) {
            return Err(wrong);
        }
        if bodies.last().is_some_and(|last| last.commitment >= commitment) {
            return Err(lines.wrong("a body in the order of the commitments, each once"));
        }
        if Digest::of(&salted) != commitment {
            return Err(BundleError::Body(commitment));
        }
        bodies.push(Body { commitment, salted });
    }
    Ok(bodies)
}

/// A log index in the one way in which it is written.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
