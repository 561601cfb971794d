//! The charter as it stands on this host: read, checked against the hash that the process was started with.

use ledger::{
    dsse::Envelope,
    statement::{Members, Statement, v1::Claim},
};
use model::Digest;

use crate::{
    fault::{Because as _, Fault, Kind},
    layout::Layout,
};

/// A charter in force with the founders' envelopes.
#[derive(Clone, Debug)]
pub struct CharterFile {
    /// Its keys.
    pub members: Members,
    /// The founders' envelopes: the first entries of the log.
    pub envelopes: Vec<Envelope>,
}

/// Reads the founders' envelopes. With `expected`, the hash must be that one.
pub fn read(layout: &Layout, expected: Option<Digest>) -> Result<CharterFile, Fault> {
    let path = layout.charter();
    let text = std::fs::read_to_string(&path).map_err(|e| {
        Fault::from_error(Kind::Usage, e)
            .context(format!("there is no charter at `{}`", path.display()))
            .hint("make one with `countersign init`; `countersign demo` shows a whole system at work")
    })?;
    let envelopes = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| Envelope::parse(line.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .because(Kind::Input, format!("`{}` does not hold the founders' envelopes", path.display()))?;
    let first = envelopes.first().ok_or_else(|| {
        Fault::new(Kind::Usage, "no founder has signed the charter").hint("each founder runs `countersign init --sign`")
    })?;
    let members = members_of(first.payload(), expected)?;
    let mut signed = std::collections::BTreeSet::new();
    for envelope in &envelopes {
        if envelope.payload() != first.payload() {
            return Err(Fault::new(Kind::Untrue, "the founders signed different charters"));
        }
        let (_, by) = ledger::statement::open(envelope, &members)
            .because(Kind::Untrue, "a founder's signature does not hold up")?;
        signed.extend(by.persons().iter().cloned());
    }
    let missing: Vec<&str> =
        members.charter().founders().filter(|m| !signed.contains(&m.id)).map(|m| m.id.as_str()).collect();
    if !missing.is_empty() {
        return Err(Fault::new(Kind::Refused, format!("the charter lacks the signature of {}", missing.join(", ")))
            .hint("each founder runs `countersign init --sign` with a key of the charter"));
    }
    Ok(CharterFile { members, envelopes })
}

/// The members of a charter's payload.
pub fn members_of(payload: &[u8], expected: Option<Digest>) -> Result<Members, Fault> {
    let hash = Digest::of(payload);
    if let Some(expected) = expected
        && expected != hash
    {
        return Err(Fault::new(Kind::Untrue, format!("the charter here is {hash}, not {expected}"))
            .hint("someone changed the charter file, or this is another log"));
    }
    let statement = Statement::from_bytes(payload).because(Kind::Input, "the charter can not be read")?;
    let Claim::Charter(charter) = statement.claim else {
        return Err(Fault::new(Kind::Input, "the first statement is not a charter"));
    };
    Members::of(*charter, hash).because(Kind::Input, "the charter does not hold up")
}
