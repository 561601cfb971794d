//! How like two values are to a hurried eye. Who wants money to go elsewhere chooses a value that looks like the old one;
//! whoever approves is told so, in words, with the places that differ marked.

use std::{collections::BTreeMap, fmt};

use super::{Format, Value};

/// People compare the first and the last four characters.
const ENDS: usize = 4;
/// One digit of an IBAN changes its two check digits too; one more for good measure.
const FEW: usize = 4;
/// Shorter ones are read as a whole.
const SHORT: usize = 8;

/// One way in which two values look alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alike {
    /// They are the same.
    Same,
    /// They begin and end alike.
    Ends,
    /// Few of their characters differ.
    Few {
        /// So many.
        differing: usize,
        /// Of so many.
        of: usize,
    },
    /// Two neighbours changed places.
    Swapped,
    /// The same characters in another order.
    Reordered,
    /// Only characters differ that look like each other, such as `0` and `O`.
    Confusable,
    /// Only capitals and small letters differ.
    Case,
    /// A number, with the point moved by so many places to the right.
    Moved(i64),
}

impl fmt::Display for Alike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => write!(f, "it is the same as before"),
            Self::Ends => write!(f, "it begins and ends like the old one; the difference is in the middle"),
            Self::Few { differing, of } => write!(f, "only {differing} of {of} characters differ from the old one"),
            Self::Swapped => write!(f, "two neighbouring characters of the old one changed places"),
            Self::Reordered => write!(f, "it has the same characters as the old one in another order"),
            Self::Confusable => write!(f, "it differs only in characters that look like each other, such as 0 and O"),
            Self::Case => write!(f, "it differs only in capital and small letters"),
            Self::Moved(places) if *places > 0 => {
                write!(f, "it is the old number with {places} more places: {} times as much", power(*places))
            }
            Self::Moved(places) => {
                write!(f, "it is the old number with {} fewer places: a {}th of it", -places, power(-places))
            }
        }
    }
}

fn power(places: i64) -> String {
    format!("1{}", "0".repeat(usize::try_from(places).unwrap_or_default()))
}

/// What two values have in common, and where they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likeness {
    /// In what ways they look alike; none if they do not.
    pub alike: Vec<Alike>,
    /// A line that has `^` below each character of the new value that differs from the old one.
    pub marks: String,
}

impl Likeness {
    /// Compares a new value with the old one.
    pub fn of(old: &Value, new: &Value) -> Self {
        let (old_text, new_text): (Vec<char>, Vec<char>) =
            (old.as_str().chars().collect(), new.as_str().chars().collect());
        let marked = differing(&old_text, &new_text);
        let marks: String = marked.iter().map(|d| if *d { '^' } else { ' ' }).collect();
        let mut alike = Vec::new();
        if old_text == new_text {
            return Self { alike: vec![Alike::Same], marks };
        }
        let (a, b) = (core(old), core(new));
        let longer = a.len().max(b.len());
        let same_ends = a.iter().zip(&b).take_while(|(x, y)| x == y).count() >= ENDS
            && a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count() >= ENDS;
        let lost = old_text.len().saturating_sub(new_text.len());
        let count = marked.iter().filter(|d| **d).count() + lost;
        if longer > SHORT && same_ends {
            alike.push(Alike::Ends);
        }
        if old_text.len().max(new_text.len()) > SHORT && count <= FEW {
            alike.push(Alike::Few { differing: count, of: new_text.len() });
        }
        if is_swap(&a, &b) {
            alike.push(Alike::Swapped);
        } else if a.len() > FEW && counted(&a) == counted(&b) {
            alike.push(Alike::Reordered);
        }
        if old.as_str().eq_ignore_ascii_case(new.as_str()) {
            alike.push(Alike::Case);
        } else if skeleton(old.as_str()) == skeleton(new.as_str()) {
            alike.push(Alike::Confusable);
        }
        if old.format() == Format::Decimal {
            alike.extend(moved(old.as_str(), new.as_str()).map(Alike::Moved));
        }
        Self { alike, marks }
    }
}

/// The part that an eye compares: without what every value of the format begins with, and without check digits.
fn core(value: &Value) -> Vec<char> {
    let text = value.as_str();
    let rest = match value.format() {
        Format::Iban => text.get(4..).unwrap_or(text),
        Format::Ethereum => text.get(2..).unwrap_or(text),
        Format::Bitcoin => match text.split_once('1') {
            // Bech32's prefix and witness version; in Base58 the `1` is the network.
            Some(("bc" | "tb" | "bcrt", rest)) => rest.get(1..).unwrap_or(rest),
            _ => text,
        },
        Format::Url => text.strip_prefix("https://").unwrap_or(text),
        Format::Text | Format::Decimal | Format::Bic => text,
    };
    rest.to_lowercase().chars().collect()
}

/// Which characters of the new text are not where the old one has them: place by place if both are as long, else
/// everything between what they begin with and what they end with.
fn differing(old: &[char], new: &[char]) -> Vec<bool> {
    if old.len() == new.len() {
        return old.iter().zip(new).map(|(x, y)| x != y).collect();
    }
    let begin = old.iter().zip(new).take_while(|(x, y)| x == y).count();
    let room = old.len().min(new.len()) - begin;
    let end = old.iter().rev().zip(new.iter().rev()).take(room).take_while(|(x, y)| x == y).count();
    (0..new.len()).map(|at| at >= begin && at < new.len() - end).collect()
}

fn is_swap(a: &[char], b: &[char]) -> bool {
    let places: Vec<usize> = a.iter().zip(b).enumerate().filter(|(_, (x, y))| x != y).map(|(at, _)| at).collect();
    let &[one, other] = places.as_slice() else { return false };
    a.len() == b.len() && other == one + 1 && a.get(one) == b.get(other) && a.get(other) == b.get(one)
}

fn counted(text: &[char]) -> BTreeMap<char, usize> {
    let mut counts = BTreeMap::new();
    text.iter().for_each(|c| *counts.entry(*c).or_default() += 1);
    counts
}

/// The same text for texts that look the same in most typefaces.
fn skeleton(text: &str) -> String {
    let text = text.replace("rn", "m").replace("vv", "w").replace("cl", "d");
    let like = |c: char| match c {
        'O' | 'o' | 'Q' | 'о' | 'О' | 'ο' => '0',
        'l' | 'I' | 'i' | '|' | 'і' | 'ӏ' => '1',
        'S' | 's' | 'ѕ' => '5',
        'Z' | 'z' => '2',
        'B' => '8',
        'b' | 'G' => '6',
        'g' | 'q' => '9',
        'v' | 'V' | 'U' => 'u',
        'а' => 'a',
        'е' => 'e',
        'р' => 'p',
        'с' => 'c',
        'х' => 'x',
        'у' => 'y',
        '–' | '—' => '-',
        '’' => '\'',
        other => other,
    };
    text.chars().map(like).collect()
}

/// By how many places the point of a number was moved, if that is all.
fn moved(old: &str, new: &str) -> Option<i64> {
    let parts = |text: &str| -> Option<(String, i64)> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{part}");
        let trimmed = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - trimmed.len()).ok()?;
        let places = i64::try_from(part.len()).ok()?;
        let sign = if text.starts_with('-') { "-" } else { "" };
        let significant = trimmed.trim_start_matches(['-', '0']);
        (!significant.is_empty()).then(|| (format!("{sign}{significant}"), zeros - places))
    };
    let ((a, from), (b, to)) = (parts(old)?, parts(new)?);
    (a == b && from != to).then(|| to - from)
}
