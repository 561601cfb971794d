//! Reading the parts that the builder and the tester work by: builds and suites.

use std::collections::{BTreeMap, BTreeSet};

use crate::{BuildName, SuiteName};

use super::{
    diagnostic::quoted,
    findings::Findings,
    limits, paths,
    types::{Build, FetchTool, Registry, SuiteDefinition, SuiteKind, SuiteTarget},
    variables,
    walk::{Field, Section},
};

const BUILD_KEYS: &[&str] = &["fetch", "registries", "run", "environment", "timeout_s"];
const SUITE_KEYS: &[&str] =
    &["kind", "on", "build", "run", "report", "requirements", "paths", "timeout_s", "environment"];

/// `[builds.*]`
pub(super) fn builds(root: &Section<'_>, findings: &mut Findings<'_>) -> BTreeMap<BuildName, Build> {
    let Some(field) = root.optional("builds") else {
        return BTreeMap::new();
    };
    let entries = field.entries(limits::ENTRIES, findings);
    entries.iter().filter_map(|entry| build(entry, findings)).map(|b| (b.name.clone(), b)).collect()
}

fn build(entry: &Field<'_>, findings: &mut Findings<'_>) -> Option<Build> {
    let name = entry.named(findings);
    let section = entry.section(findings)?;
    section.only(BUILD_KEYS, "a build", findings);
    let fetch_field = section.optional("fetch");
    let fetch =
        fetch_field.as_ref().and_then(|f| f.one_of(&FetchTool::ALL.map(|tool| (tool.as_str(), tool)), findings));
    let registries = section.optional("registries").map(|f| registries(&f, findings));
    match (&fetch_field, &registries) {
        (Some(field), None) => findings.error(
            field.key_place(),
            format!("{} fetches dependencies, but no address to fetch them from is named", quoted(&entry.place().key)),
            "add `registries = [\"index.crates.io:443\", \"static.crates.io:443\"]`, or leave out `fetch` if everything is in the repository",
        ),
        (None, Some(_)) => findings.error(
            section.optional("registries").as_ref().map_or(section.place(), Field::key_place),
            format!("{} names registries but has no `fetch` phase, which alone has the network", quoted(&entry.place().key)),
            "add `fetch = \"cargo\"`, or remove `registries`",
        ),
        _ => {}
    }
    let example = "`run = [\"cargo\", \"build\", \"--offline\", \"--locked\"]`";
    let run = section
        .required("run", example.trim_matches('`'), findings)
        .and_then(|f| paths::command(&f, example, findings));
    let environment = variables::environment(&section, findings);
    let timeout_s = timeout(&section, &limits::BUILD_TIMEOUT_S, limits::BUILD_TIMEOUT_S_DEFAULT, findings);
    Some(Build { name: name?, fetch, registries: registries.unwrap_or_default(), run: run?, environment, timeout_s })
}

fn registries(field: &Field<'_>, findings: &mut Findings<'_>) -> BTreeSet<Registry> {
    let mut found = BTreeSet::new();
    let elements = field.list(limits::PARTS, "`[\"index.crates.io:443\"]`", findings);
    if elements.as_ref().is_some_and(Vec::is_empty) {
        findings.error(
            field.place(),
            format!("{} is empty", quoted(&field.place().key)),
            "name at least one host and port, as in `\"index.crates.io:443\"`",
        );
    }
    for element in elements.unwrap_or_default() {
        let Some(text) = element.text(findings) else {
            continue;
        };
        if super::secrets::refuse_value(text, element.place(), findings).is_none() {
            continue;
        }
        let Some(registry) = element.parsed::<Registry>(findings) else {
            continue;
        };
        if !found.insert(registry) {
            findings.error(element.place(), format!("{} is named twice", quoted(text)), "remove one of the two");
        }
    }
    found
}

fn timeout(
    section: &Section<'_>,
    range: &std::ops::RangeInclusive<u32>,
    default: u32,
    findings: &mut Findings<'_>,
) -> u32 {
    section.optional("timeout_s").and_then(|f| f.whole(range, "in seconds", findings)).unwrap_or(default)
}

/// `[suites.*]`
pub(super) fn suites(root: &Section<'_>, findings: &mut Findings<'_>) -> BTreeMap<SuiteName, SuiteDefinition> {
    let Some(field) = root.optional("suites") else {
        return BTreeMap::new();
    };
    let entries = field.entries(limits::ENTRIES, findings);
    entries.iter().filter_map(|entry| suite(entry, findings)).map(|s| (s.name.clone(), s)).collect()
}

fn suite(entry: &Field<'_>, findings: &mut Findings<'_>) -> Option<SuiteDefinition> {
    let name = entry.named(findings);
    let section = entry.section(findings)?;
    section.only(SUITE_KEYS, "a suite", findings);
    let kinds = [(SuiteKind::Smoke.as_str(), SuiteKind::Smoke), (SuiteKind::Full.as_str(), SuiteKind::Full)];
    let kind = section.required("kind", "kind = \"full\"", findings).and_then(|f| f.one_of(&kinds, findings));
    let targets = [
        (SuiteTarget::Source.as_str(), SuiteTarget::Source),
        (SuiteTarget::Containers.as_str(), SuiteTarget::Containers),
    ];
    let on = section.required("on", "on = \"containers\"", findings).and_then(|f| f.one_of(&targets, findings));
    let build = section.optional("build").map(|f| f.parsed(findings));
    let example = "`run = [\"/usr/bin/python3\", \"-m\", \"pytest\", \"--junitxml=e2e.xml\"]`";
    let run = section
        .required("run", example.trim_matches('`'), findings)
        .and_then(|f| paths::command(&f, example, findings));
    let report =
        section.required("report", "report = \"junit.xml\"", findings).and_then(|f| paths::report(&f, findings));
    let mut requirements = BTreeSet::new();
    for element in elements(&section, "requirements", "`requirements = [\"PAY-1\"]`", findings) {
        if let Some(id) = element.parsed(findings)
            && !requirements.insert(id)
        {
            findings.error(
                element.place(),
                format!("{} is there twice", quoted(&element.place().key)),
                "remove one of the two",
            );
        }
    }
    let mut tree = BTreeSet::new();
    let paths_field = section.required("paths", "paths = [\"e2e\"]", findings);
    for element in elements(&section, "paths", "`paths = [\"e2e\"]`", findings) {
        if let Some(path) = paths::relative(&element, true, findings)
            && !tree.insert(path)
        {
            findings.error(
                element.place(),
                format!("{} is there twice", quoted(&element.place().key)),
                "remove one of the two",
            );
        }
    }
    if let Some(field) =
        paths_field.filter(|f| f.list(usize::MAX, "", &mut Findings::new("")).is_some_and(|l| l.is_empty()))
    {
        let hint =
            "name the files or folders that hold its cases, as in `[\"e2e\"]`; a change to them is shown to approvers";
        findings.error(field.place(), format!("{} is empty", quoted(&field.place().key)), hint);
    }
    let timeout_s = timeout(&section, &limits::SUITE_TIMEOUT_S, limits::SUITE_TIMEOUT_S_DEFAULT, findings);
    let environment = variables::environment(&section, findings);
    Some(SuiteDefinition {
        name: name?,
        kind: kind?,
        on: on?,
        build: build.map_or(Some(None), |b| b.map(Some))?,
        run: run?,
        report: report?,
        requirements,
        paths: tree,
        timeout_s,
        environment,
    })
}

fn elements<'d>(section: &Section<'d>, key: &str, example: &str, findings: &mut Findings<'_>) -> Vec<Field<'d>> {
    section.optional(key).and_then(|f| f.list(limits::SUITE_PARTS, example, findings)).unwrap_or_default()
}
