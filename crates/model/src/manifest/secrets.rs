//! Secrets go into a manifest by reference only. This finds what looks like the secret itself.
//!
//! It is a net for mistakes, not a proof: the marks are those that issuers put into their tokens so that they can
//! be found, and a text that has none of them passes. Nothing that is found here is ever shown.

use super::findings::{Findings, Place};

/// Marks at the start of issued tokens, with who issues them.
const ISSUED: &[(&str, &str)] = &[
    ("AKIA", "an AWS access key"),
    ("ASIA", "an AWS access key"),
    ("AIza", "a Google API key"),
    ("ghp_", "a GitHub token"),
    ("gho_", "a GitHub token"),
    ("ghs_", "a GitHub token"),
    ("github_pat_", "a GitHub token"),
    ("glpat-", "a GitLab token"),
    ("sk_live_", "a Stripe key"),
    ("rk_live_", "a Stripe key"),
    ("xoxb-", "a Slack token"),
    ("xoxp-", "a Slack token"),
    ("npm_", "an npm token"),
    ("hvs.", "a Vault token"),
    ("AGE-SECRET-KEY-", "an age key"),
    ("eyJ", "a signed web token"),
];

/// Characters behind such a mark that make it a token: the shortest of them all have 16.
const TOKEN_LENGTH: usize = 16;

/// Endings of variables that name secrets.
const TELLING: &[&str] =
    &["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIALS"];

/// What this text looks like, if it looks like a secret.
pub(super) fn looks_like(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    let token = |word: &str| {
        let solid = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=+/".contains(&b));
        ISSUED
            .iter()
            .find(|(mark, _)| solid && word.strip_prefix(mark).is_some_and(|rest| rest.len() >= TOKEN_LENGTH))
            .filter(|(mark, _)| *mark != "eyJ" || word.matches('.').count() == 2)
            .map(|(_, what)| *what)
    };
    if let Some(what) = text.split(|c: char| c.is_whitespace() || "\"'`,;:=()[]{}<>|".contains(c)).find_map(token) {
        return Some(what);
    }
    // A password in the authority of a URL (RFC 3986 section 3.2.1).
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.is_empty()).then_some("an address with a password in it")
}

/// Refuses a text that looks like a secret.
pub(super) fn refuse_value(text: &str, place: &Place, findings: &mut Findings<'_>) -> Option<()> {
    let Some(what) = looks_like(text) else {
        return Some(());
    };
    let hint = "keep it out of the repository and change it, since it has been seen; give the component a reference \
                under `secrets`, as in `TOKEN_FILE = \"paydesk-token\"`";
    findings.concealed(place, format!("`{}` looks like {what}", place.key), hint);
    None
}

/// Whether a variable of this name is meant to hold a secret.
pub(super) fn is_telling(variable: &str) -> bool {
    TELLING.iter().any(|end| variable.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('_')))
}

/// Whether a text that is a well-formed reference looks random, as secrets are and names are not: a run of 20
/// letters and digits of which at least four are digits.
pub(super) fn looks_random(text: &str) -> bool {
    text.split('-').any(|run| run.len() >= 20 && run.bytes().filter(u8::is_ascii_digit).count() >= 4)
}
