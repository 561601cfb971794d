//! The values in a report's attributes and output: counts, times, statuses, names and requirements.

use model::{CaseId, Digest, IdError, RequirementId};

use super::Outcome;

/// Bytes of an id; longer ones (parametrised cases carry whole documents) are cut and told apart by a digest.
const ID_BYTES: usize = 400;

/// Class and name as one id. Control characters are written out, so that two names that differ stay different.
pub(super) fn case_id(class: &str, name: &str) -> Result<CaseId, IdError> {
    let text = match (class.trim(), name.trim()) {
        ("", name) => name.to_owned(),
        (class, "") => class.to_owned(),
        // jest-junit writes the whole title into both unless it is told otherwise.
        (class, name) if class == name => name.to_owned(),
        (class, name) => format!("{class} › {name}"),
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    if shown.len() > ID_BYTES {
        let digest = Digest::of(shown.as_bytes()).short();
        let cut = (0..=ID_BYTES).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0);
        shown.truncate(cut);
        shown.push_str("… ");
        shown.push_str(&digest);
    }
    shown.parse()
}

/// A count. What is no number counts nothing.
pub(super) fn count(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Seconds with a fraction, as milliseconds. Surefire writes thousands with a comma.
pub(super) fn time_ms(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().replace(',', "").parse().ok()?;
    let ms = (seconds * 1_000.0).round();
    // Beyond this a float has no whole milliseconds; no case takes 285,000 years.
    if !(0.0..=9_007_199_254_740_992.0).contains(&ms) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^53, checked above")]
    Some(ms as u64)
}

/// What the attributes `status` (CTest, Bazel, GoogleTest) and `result` (GoogleTest) of a case say. `None` if they
/// are not known.
pub(super) fn status(text: &str) -> Option<Outcome> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "run" | "completed" | "pass" | "passed" | "ok" | "success" | "successful" | "succeeded" => {
            Some(Outcome::Passed)
        }
        "notrun" | "not run" | "skip" | "skipped" | "disabled" | "suppressed" | "ignored" | "pending" | "todo"
        | "quarantined" => Some(Outcome::Skipped),
        "fail" | "failed" | "failure" => Some(Outcome::Failed),
        "error" | "errored" | "broken" | "timeout" | "crashed" | "interrupted" => Some(Outcome::Error),
        _ => None,
    }
}

/// Whether a property of this name names requirements.
pub(super) fn names_requirements(property: &str) -> bool {
    let plain: String = property.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    matches!(plain.as_str(), "requirement" | "requirements" | "requirementid" | "requirementids" | "verifies")
}

/// The requirements in the value of such a property, and what in it is none.
pub(super) fn requirements(value: &str) -> (Vec<RequirementId>, Vec<String>) {
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for word in value.split(|c: char| c.is_whitespace() || c == ',' || c == ';').filter(|w| !w.is_empty()) {
        match word.parse() {
            Ok(id) => known.push(id),
            Err(_) => unknown.push(super::error::plain(word)),
        }
    }
    (known, unknown)
}

/// Properties in output: `[[PROPERTY|name=value]]`, for runners that can not write their own.
pub(super) fn properties_in(output: &str) -> impl Iterator<Item = (&str, &str)> {
    output
        .split("[[PROPERTY|")
        .skip(1)
        .filter_map(|rest| rest.split_once("]]"))
        .filter_map(|(inner, _)| inner.split_once('='))
        .filter(|(name, _)| !name.contains('\n'))
}
