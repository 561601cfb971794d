//! What a guardian is shown of a change of a value, and its digest: what is shown is what is signed.
//!
//! The text names the values by what they are committed to with, because the log never learns them, and a digest of a
//! text with a short value in it would give it away. Whoever shows it opens the commitments beside it: what stands there
//! is bound by them.

use model::Digest;

use super::rule_in;
use crate::facts::Facts;

/// The text for a proposal of a value. `None` if there is no such proposal, or the charter has no such value.
pub fn value_shown(facts: &Facts, proposal: u64) -> Option<String> {
    // Whatever was withdrawn since: the text stays the same for ever, and so do the approvals of it.
    let said = facts.any_value_proposal(proposal)?;
    let claim = &said.claim;
    let (system, environment) = (said.header.system.as_ref()?, said.header.environment.as_ref()?);
    let rule = rule_in(facts.members_at(proposal), system, environment, &claim.name)?;
    let replaces = match claim.replaces {
        None => "replaces nothing: it is the first value".to_owned(),
        Some(index) => match facts.any_value_proposal(index).filter(|_| index < proposal) {
            Some(old) => format!("replaces {} of proposal {index}", old.claim.value),
            None => format!("REPLACES {index}, WHICH IS NO PROPOSAL OF A VALUE"),
        },
    };
    let guardians: Vec<String> = rule.guardians.groups.iter().map(|g| format!("{} of {}", g.count, g.role)).collect();
    Some(format!(
        "value proposal {proposal}: {} of {system} in {environment}\nproposed by {}\nbecomes {}\n{replaces}\n\
         it takes {}, and then {} s\n",
        claim.name,
        said.by,
        claim.value,
        guardians.join(" and "),
        rule.cool_off_s
    ))
}

/// The digest that an approval of the proposal must carry.
pub fn value_shown_digest(facts: &Facts, proposal: u64) -> Option<Digest> {
    value_shown(facts, proposal).map(|text| Digest::of(text.as_bytes()))
}
