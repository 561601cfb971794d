//! Reading what is read of components while versions are compared: `counters` and `invariants` of `[environments.*.analysis]`.

use std::ops::RangeInclusive;

use crate::{
    ComponentName, Series,
    release::{Counter, Invariant, Readings, Worse},
};

use super::{
    component::answering_path,
    findings::Findings,
    limits,
    walk::{Field, Section},
};

/// The keys of an analysis that this file reads.
pub(super) const KEYS: [&str; 3] = ["counters", "invariants", "unreadable_s"];

const COUNTER: &[&str] = &[
    "component",
    "path",
    "name",
    "of",
    "worse",
    "ratio_percent",
    "added_ppm",
    "promote_ratio_percent",
    "promote_added_ppm",
];

/// Where metrics are found if the manifest says nothing: where everybody looks.
const PATH: &str = "/metrics";

/// What an analysis says of readings; none if it says nothing.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Readings> {
    let listed = |key: &str, findings: &mut Findings<'_>| {
        let example = format!("`[[environments.production.analysis.{key}]]` with its keys below");
        section.optional(key).and_then(|f| f.list(limits::READINGS, &example, findings)).unwrap_or_default()
    };
    let (counters, invariants) = (listed("counters", findings), listed("invariants", findings));
    let unreadable = section.optional("unreadable_s");
    let unreadable_s = unreadable.as_ref().and_then(|f| f.whole(&limits::UNREADABLE_S, "in seconds", findings));
    if counters.is_empty() && invariants.is_empty() {
        if let Some(field) = unreadable {
            let hint = "add `[[environments.production.analysis.counters]]`, or leave `unreadable_s` out";
            findings.error(field.key_place(), "nothing is read that could be unreadable", hint);
        }
        return None;
    }
    let mut read: Vec<Counter> = Vec::new();
    for field in &counters {
        let Some(counter) = counter(field, findings) else { continue };
        let same = |c: &Counter| (&c.component, &c.name, &c.of) == (&counter.component, &counter.name, &counter.of);
        if read.iter().any(same) {
            findings.error(field.place(), "the same counter is compared twice", "leave one of them out");
            continue;
        }
        read.push(counter);
    }
    let mut figures: Vec<Invariant> = Vec::new();
    for field in &invariants {
        let Some(figure) = invariant(field, findings) else { continue };
        // What stands in the log of a figure is its component and its name.
        if figures.iter().any(|f| (&f.component, &f.name) == (&figure.component, &figure.name)) {
            findings.error(
                field.place(),
                "the same figure is asked for twice",
                "leave one of them out, or name it otherwise",
            );
            continue;
        }
        figures.push(figure);
    }
    Some(Readings {
        unreadable_s: unreadable_s.unwrap_or(limits::UNREADABLE_S_DEFAULT),
        counters: read,
        invariants: figures,
    })
}

fn counter(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Counter> {
    let section = field.section(findings)?;
    section.only(COUNTER, "a counter", findings);
    let component = component(&section, findings);
    let path = path(&section, findings);
    let mut series = |key, example| section.required(key, example, findings).and_then(|f| f.parsed::<Series>(findings));
    let name = series("name", "name = \"payments_rejected_total\"");
    // Without it nobody knows out of how many, and a version with fewer clients would look better for that.
    let of = series("of", "of = \"payments_total\"");
    let words = [("more", Worse::More), ("fewer", Worse::Fewer)];
    let worse = section.required("worse", "worse = \"more\"", findings).and_then(|f| f.one_of(&words, findings));
    let number = |key: &str, range: &RangeInclusive<u32>, unit, default, findings: &mut Findings<'_>| {
        section.optional(key).and_then(|f| f.whole(range, unit, findings)).unwrap_or(default)
    };
    let (ratio, ppm) = ("in percent of the old version's share", "in a million");
    let ratio_percent =
        number("ratio_percent", &limits::RATIO_PERCENT, ratio, limits::COUNTER_RATIO_PERCENT_DEFAULT, findings);
    let added_ppm = number("added_ppm", &limits::ADDED_PPM, ppm, limits::COUNTER_ADDED_PPM_DEFAULT, findings);
    let promote_ratio_percent = number(
        "promote_ratio_percent",
        &limits::RATIO_PERCENT,
        ratio,
        limits::COUNTER_PROMOTE_RATIO_PERCENT_DEFAULT,
        findings,
    );
    let promote_added_ppm =
        number("promote_added_ppm", &limits::ADDED_PPM, ppm, limits::COUNTER_PROMOTE_ADDED_PPM_DEFAULT, findings);
    if promote_ratio_percent < ratio_percent
        || promote_added_ppm < added_ppm
        || (promote_ratio_percent, promote_added_ppm) == (ratio_percent, added_ppm)
    {
        findings.error(
            field.place(),
            "what is good enough to go on is no worse than what is bad enough to go back, so neither could ever be shown",
            "make `promote_ratio_percent` or `promote_added_ppm` larger than the margin for going back",
        );
    }
    let (name, of) = (name?, of?);
    if name == of {
        let hint = "let `of` count everything, as in `payments_total`";
        findings.error(field.place(), format!("of all `{name}` all are counted by `{name}`"), hint);
        return None;
    }
    Some(Counter {
        component: component?,
        path: path?,
        name,
        of,
        worse: worse?,
        ratio_percent,
        added_ppm,
        promote_ratio_percent,
        promote_added_ppm,
    })
}

fn invariant(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Invariant> {
    let section = field.section(findings)?;
    section.only(&["component", "path", "name", "equals"], "an invariant", findings);
    let component = component(&section, findings);
    let path = path(&section, findings);
    let name = section
        .required("name", "name = \"ledger_imbalance_cents\"", findings)
        .and_then(|f| f.parsed::<Series>(findings));
    let equals = section.required("equals", "equals = 0", findings).and_then(|f| f.signed(findings));
    Some(Invariant { component: component?, path: path?, name: name?, equals: equals? })
}

fn component(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<ComponentName> {
    section.required("component", "component = \"web\"", findings).and_then(|f| f.parsed(findings))
}

fn path(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<String> {
    section.optional("path").map_or_else(|| Some(PATH.to_owned()), |f| answering_path(&f, findings))
}
