//! The guarded values of releases: fetched beside the log, and checked here against what was approved.
//!
//! Nobody is believed: the log hands out salt and value, and they must give the digest that stands in the proposal whose
//! verdict was recomputed. It keeps them in memory; a version that runs has its own in its progress, so that it can be
//! started again while the log is away.

use std::collections::BTreeMap;

use ledger::{bodies::KeptBody, statement::v1::GuardedValue};
use model::{
    Digest,
    value::{Format, Value},
};
use rollout::instance::GivenValue;

use crate::{
    fault::{Because as _, Fault, Kind},
    log_client::LogClient,
    view::View,
};

/// Values by what they were committed to with.
#[derive(Debug, Default)]
pub(super) struct Values {
    known: BTreeMap<Digest, GivenValue>,
}

impl Values {
    /// The values of a proposal, in the order of their names.
    pub(super) fn of_proposal(&mut self, view: &View, proposal: u64) -> Result<Vec<GivenValue>, Fault> {
        let facts = view.facts();
        let Some(said) = facts.proposal(proposal) else { return Ok(Vec::new()) };
        let (system, environment) = (said.claim.serial.system(), &said.claim.environment);
        let mut given = Vec::new();
        for value in &said.claim.values {
            let rules = &facts.members().charter().values;
            let rule =
                rules.iter().find(|r| r.name == value.name && &r.system == system && &r.environment == environment);
            let rule = rule.ok_or_else(|| {
                Fault::new(Kind::Refused, format!("the charter has no guarded value `{}` here", value.name))
            })?;
            given.push(self.one(view.log(), value, rule.format)?);
        }
        given.sort_by(|a: &GivenValue, b| a.name.cmp(&b.name));
        Ok(given)
    }

    fn one(&mut self, log: &LogClient, value: &GuardedValue, format: Format) -> Result<GivenValue, Fault> {
        if let Some(known) = self.known.get(&value.value).filter(|known| known.name == value.name) {
            return Ok(known.clone());
        }
        let name = &value.name;
        let body = match log.body(value.value).map_err(|f| f.context(format!("the guarded value `{name}`")))? {
            KeptBody::Kept(body) => body,
            KeptBody::Erased => {
                return Err(Fault::new(Kind::Refused, format!("the guarded value `{name}` was erased"))
                    .hint("propose it again: `countersign value propose`"));
            }
            KeptBody::Missing => {
                return Err(Fault::new(
                    Kind::Refused,
                    format!("the guarded value `{name}` is not kept beside the log"),
                )
                .hint("restore the log's bodies, or propose it again: `countersign value propose`"));
            }
        };
        let text =
            String::from_utf8(body.bytes).because(Kind::Untrue, format!("the guarded value `{name}` is no text"))?;
        Value::parse_kept(format, &text)
            .because(Kind::Refused, format!("the guarded value `{name}` is not what the charter asks for"))?;
        let given = GivenValue { name: name.clone(), commitment: value.value, salt: body.salt, text };
        if !given.holds() {
            return Err(Fault::new(
                Kind::Untrue,
                format!("the guarded value `{name}` is not the one that was approved"),
            ));
        }
        self.known.insert(value.value, given.clone());
        Ok(given)
    }
}
