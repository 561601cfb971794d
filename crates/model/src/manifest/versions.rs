//! Reading `[environments.*.versions]`: versions that live side by side.

use crate::release::{Channel, Versions};

use super::{diagnostic::quoted, findings::Findings, limits, walk::Field};

const KEYS: &[&str] = &["domain", "channels", "most", "client_s", "retire_after_s", "lease_s"];

/// Reads it, with its own mistakes; whether the components may live side by side is found out with the components.
pub(super) fn read(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Versions> {
    let section = field.section(findings)?;
    section.only(KEYS, "versions side by side", findings);
    let domain = section.required("domain", "domain = \"research.example\"", findings);
    let domain = domain.and_then(|f| domain_name(&f, findings));
    let mut channels = Vec::new();
    let listed = section.optional("channels");
    for entry in listed.and_then(|f| f.list(limits::CHANNELS, "`[\"2026-10\"]`", findings)).unwrap_or_default() {
        let Some(channel) = entry.parsed::<Channel>(findings) else { continue };
        if channels.contains(&channel) {
            findings.error(entry.place(), format!("the channel `{channel}` stands here twice"), "name it once");
            continue;
        }
        channels.push(channel);
    }
    channels.sort();
    let mut number = |key: &str, range, unit| section.optional(key).and_then(|f| f.whole(&range, unit, findings));
    let most = number("most", limits::VERSIONS, "a number of versions, the latest among them");
    let client_s = number("client_s", limits::CLIENT_S, "in seconds").unwrap_or(limits::CLIENT_S_DEFAULT);
    let retire_after_s = number("retire_after_s", limits::RETIRE_AFTER_S, "in seconds");
    let lease_s = number("lease_s", limits::LEASE_S, "in seconds").unwrap_or(limits::LEASE_S_DEFAULT);
    if let (Some(after), Some(field)) = (retire_after_s, section.optional("retire_after_s"))
        && after < client_s
    {
        findings.error(
            field.place(),
            format!("a version would go after {after} s, while somebody counts as its client for {client_s} s"),
            "make `retire_after_s` at least `client_s`",
        );
    }
    Some(Versions {
        domain: domain?,
        channels,
        most: most.unwrap_or(limits::VERSIONS_DEFAULT),
        client_s,
        retire_after_s,
        lease_s,
    })
}

/// A DNS name in lower case (RFC 1123 section 2.1), with room for a version's label before it.
fn domain_name(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let text = field.line(findings)?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if text.len() > limits::DOMAIN || numeric || !text.split('.').all(label) {
        findings.error(
            field.place(),
            format!("{} is not a domain in lower case", quoted(text)),
            "write one, as in `research.example`; on one machine `guestbook.localhost` needs no name server",
        );
        return None;
    }
    Some(text.to_owned())
}
