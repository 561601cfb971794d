//! "Did you mean": the nearest of the words that would have been right.

/// The nearest word, if it is near enough that a slip of the finger explains the difference: at most a third of
/// its letters, or the same letters in another case or with other separators.
pub(super) fn nearest<'w>(given: &str, words: &[&'w str]) -> Option<&'w str> {
    let plain = |w: &str| w.to_lowercase().replace(['-', ' ', '.'], "_");
    if let Some(word) = words.iter().find(|w| plain(w) == plain(given)) {
        return Some(word);
    }
    // Distances of long texts cost their product; no key is longer than this.
    if given.chars().count() > 64 {
        return None;
    }
    words
        .iter()
        .map(|word| (distance(&plain(given), &plain(word)), *word))
        .filter(|(distance, word)| {
            *distance <= word.chars().count().div_ceil(3).min(3) && *distance < word.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours each cost one
/// (Damerau 1964 in the restricted form of Wagner and Lowrance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, ca) in a.chars().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        let mut left = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX - 1);
            let mut best = (left + 1).min(at(&last, j + 1) + 1).min(at(&last, j) + usize::from(ca != *cb));
            let neighbour = j.checked_sub(1).and_then(|k| b.get(k));
            if previous == Some(*cb) && neighbour == Some(&ca) {
                best = best.min(at(&before, j.saturating_sub(1)) + 1);
            }
            row.push(best);
            left = best;
        }
        before = std::mem::replace(&mut last, row);
        previous = Some(ca);
    }
    last.last().copied().unwrap_or_default()
}

/// `a`, `b` and `c`.
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|w| format!("`{w}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let keys = ["port", "health", "replicas", "command", "cpu_percent"];
        for (given, wanted) in [
            ("prot", Some("port")),
            ("Port", Some("port")),
            ("healt", Some("health")),
            ("replica", Some("replicas")),
            ("cpu-percent", Some("cpu_percent")),
            ("comand", Some("command")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, &keys), wanted, "{given}");
        }
    }
}
