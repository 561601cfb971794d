//! Reading who may reach whom: zones and flows.

use std::collections::BTreeSet;

use crate::{
    ComponentName, ZoneName,
    release::{Flow, Origin},
};

use super::{findings::Findings, limits, walk::Section};

const FLOW_KEYS: &[&str] = &["from", "to"];

/// `[zones.*]`
pub(super) fn zones(root: &Section<'_>, findings: &mut Findings<'_>) -> BTreeSet<ZoneName> {
    let Some(field) = root.required("zones", "[zones.front]", findings) else {
        return BTreeSet::new();
    };
    let mut zones = BTreeSet::new();
    for entry in field.entries(limits::ZONES, findings) {
        if let Some(section) = entry.section(findings) {
            section.only(&[], "a zone", findings);
        }
        zones.extend(entry.named::<ZoneName>(findings));
    }
    zones
}

/// `[[flows]]`
pub(super) fn flows(root: &Section<'_>, findings: &mut Findings<'_>) -> BTreeSet<Flow> {
    let mut flows = BTreeSet::new();
    let Some(field) = root.optional("flows") else {
        return flows;
    };
    for entry in field.list(limits::FLOWS, "`[[flows]]` with `from` and `to` below it", findings).unwrap_or_default() {
        let Some(section) = entry.section(findings) else {
            continue;
        };
        section.only(FLOW_KEYS, "a flow", findings);
        let from_field = section.required("from", "from = \"edge\"", findings);
        let from = from_field.as_ref().and_then(|f| {
            if f.is_text() && f.text(findings)? == limits::EDGE {
                Some(Origin::Edge)
            } else {
                f.parsed(findings).map(Origin::Component)
            }
        });
        let to_field = section.required("to", "to = \"web\"", findings);
        let to = to_field.as_ref().and_then(|f| {
            if f.is_text() && f.text(findings)? == limits::EDGE {
                findings.error(
                    f.place(),
                    "nothing connects to `edge`; it stands for clients outside",
                    "swap `from` and `to`, or name the component that is to be reached",
                );
                return None;
            }
            f.parsed::<ComponentName>(findings)
        });
        let (Some(from), Some(to)) = (from, to) else {
            continue;
        };
        if from == Origin::Component(to.clone()) {
            findings.error(entry.place(), format!("a flow from `{to}` to itself"), "remove it; instances of one component do not connect to each other, and one instance needs no flow to itself");
        } else if !flows.insert(Flow { from, to }) {
            findings.error(entry.place(), "this flow is there twice", "remove one of the two");
        }
    }
    flows
}
