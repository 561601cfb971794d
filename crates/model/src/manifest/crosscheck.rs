//! What holds between the parts of a manifest: names that refer to something, and openings that lead somewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::{BuildName, ComponentName, ZoneName, release::Origin};

use super::{
    Manifest,
    diagnostic::quoted,
    document::Document,
    environment::collide,
    findings::{Findings, Place},
    limits,
    suggest::{listed, nearest},
    types::{Environment, Source, SuiteKind, SuiteTarget},
    walk::Section,
};

/// The names that are there, also of parts that have mistakes of their own: a reference to those is no second mistake.
pub(super) struct Declared<'d> {
    builds: Vec<&'d str>,
    components: Vec<&'d str>,
    zones: Vec<&'d str>,
    environments: Vec<&'d str>,
}

impl<'d> Declared<'d> {
    pub(super) fn of(root: &Section<'d>) -> Self {
        let names = |section: &str| -> Vec<&'d str> {
            let mut unseen = Findings::new("");
            let field = root.optional(section);
            field
                .map(|f| f.entries(usize::MAX, &mut unseen).iter().map(super::walk::Field::name).collect())
                .unwrap_or_default()
        };
        Self {
            builds: names("builds"),
            components: names("components"),
            zones: names("zones"),
            environments: names("environments"),
        }
    }
}

fn unknown(place: &Place, what: &str, name: &str, there: &[&str], findings: &mut Findings<'_>) {
    if there.contains(&name) {
        return;
    }
    let hint = match nearest(name, there) {
        Some(near) => format!("did you mean `{near}`?"),
        None if there.is_empty() => format!("there is no {what} yet; add `[{what}s.{name}]`"),
        None => {
            let verb = if there.len() == 1 { "is" } else { "are" };
            format!("there {verb} {}; or add `[{what}s.{name}]`", listed(there))
        }
    };
    findings.error(place, format!("there is no {what} {}", quoted(name)), hint);
}

/// Checks what a manifest says in one place against what it says in others.
pub(super) fn check(manifest: &Manifest, declared: &Declared<'_>, document: &Document, findings: &mut Findings<'_>) {
    references(manifest, declared, document, findings);
    flows(manifest, declared, document, findings);
    zones(manifest, declared, document, findings);
    suites(manifest, declared, document, findings);
    environments(manifest, declared, document, findings);
}

/// A reference in a part that may have other mistakes, so that all are found in one go. What is no name at all has
/// been reported where it was read.
fn referenced<T: std::str::FromStr>(
    document: &Document,
    path: &[&str],
    what: &str,
    there: &[&str],
    findings: &mut Findings<'_>,
) {
    if let Some(name) = document.text(path).filter(|name| name.parse::<T>().is_ok()) {
        unknown(&document.place(path), what, name, there, findings);
    }
}

fn references(manifest: &Manifest, declared: &Declared<'_>, document: &Document, findings: &mut Findings<'_>) {
    let mut used = BTreeSet::new();
    for name in &declared.components {
        referenced::<ZoneName>(document, &["components", name, "zone"], "zone", &declared.zones, findings);
        referenced::<BuildName>(document, &["components", name, "build"], "build", &declared.builds, findings);
    }
    for component in manifest.components.values() {
        if let Source::Build { build, .. } = &component.source {
            used.insert(build);
        }
    }
    let suites = document.names(&["suites"]);
    for name in &suites {
        referenced::<BuildName>(document, &["suites", name, "build"], "build", &declared.builds, findings);
    }
    used.extend(manifest.suites.values().filter_map(|s| s.build.as_ref()));
    if manifest.components.len() == declared.components.len() && manifest.suites.len() == suites.len() {
        for name in manifest.builds.keys().filter(|name| !used.contains(name)) {
            findings.warning(
                &document.place(&["builds", name.as_str()]),
                format!("nothing uses the build `{name}`"),
                "remove it, or name it in a component",
            );
        }
    }
}

fn flows(manifest: &Manifest, declared: &Declared<'_>, document: &Document, findings: &mut Findings<'_>) {
    // The document has the flows in the order in which they were written; the manifest has them in its own.
    for number in 0..limits::FLOWS {
        let number = number.to_string();
        let at = document.place(&["flows", &number]);
        if at.key == "flows" || at.key.is_empty() {
            break;
        }
        for end in ["from", "to"] {
            let path = ["flows", &number, end];
            if document.text(&path) != Some(limits::EDGE) {
                referenced::<ComponentName>(document, &path, "component", &declared.components, findings);
            }
        }
    }
    if declared.environments.is_empty() {
        return;
    }
    for flow in manifest.flows.iter().filter(|f| f.from == Origin::Edge) {
        let exposed =
            |environment: &&str| document.names(&["environments", environment, "expose"]).contains(&flow.to.as_str());
        if !declared.environments.iter().any(exposed) {
            let message = format!("clients may reach `{}` by this flow, but no environment exposes it", flow.to);
            findings.warning(
                &document.place(&["flows"]),
                message,
                format!("add `expose = {{ {} = \"127.0.0.1:8088\" }}` to an environment, or remove the flow", flow.to),
            );
        }
    }
}

fn zones(manifest: &Manifest, declared: &Declared<'_>, document: &Document, findings: &mut Findings<'_>) {
    let mut instances: BTreeMap<&ZoneName, u32> = BTreeMap::new();
    for component in manifest.components.values() {
        *instances.entry(&component.zone).or_default() += component.replicas;
    }
    for zone in &manifest.zones {
        let place = document.place(&["zones", zone.as_str()]);
        match instances.get(zone) {
            None if manifest.components.len() == declared.components.len() => {
                findings.warning(
                    &place,
                    format!("no component is in the zone `{zone}`"),
                    "remove it, or put a component into it",
                );
            }
            Some(count) if *count > limits::ZONE_INSTANCES => {
                let message = format!(
                    "the zone `{zone}` has {count} instances; the limit is {}, since two versions stand side by side in its 254 addresses",
                    limits::ZONE_INSTANCES
                );
                findings.error(&place, message, "split the zone, or lower `replicas`");
            }
            _ => {}
        }
    }
}

fn suites(manifest: &Manifest, declared: &Declared<'_>, document: &Document, findings: &mut Findings<'_>) {
    let whole = document.place(&["suites"]);
    let names = document.names(&["suites"]);
    if names.len() != manifest.suites.len() {
        return;
    }
    let counts = |kind, on| manifest.suites.values().any(|s| s.kind == kind && s.on == on);
    if !counts(SuiteKind::Full, SuiteTarget::Containers) {
        let message = "no suite is `full` and runs on `containers`, so no release could ever be approved";
        let hint = "add `[suites.end-to-end]` with `kind = \"full\"` and `on = \"containers\"`";
        if declared.environments.is_empty() {
            findings.warning(&whole, message, hint)
        } else {
            findings.error(&whole, message, hint)
        }
    }
}

fn environments(manifest: &Manifest, declared: &Declared<'_>, document: &Document, findings: &mut Findings<'_>) {
    if declared.environments.is_empty() {
        findings.warning(
            &document.place(&[]),
            "there is no environment, so nothing can be released",
            "add `[environments.production]` with `strategy = \"blue-green\"`",
        );
    }
    for (name, environment) in &manifest.environments {
        let path = |key: &'static str| ["environments", name.as_str(), key];
        for component in environment.expose.keys() {
            let place = document.place(&["environments", name.as_str(), "expose", component.as_str()]);
            unknown(&place, "component", component.as_str(), &declared.components, findings);
            let reached = manifest.flows.iter().any(|f| f.from == Origin::Edge && f.to == *component);
            if declared.components.contains(&component.as_str()) && !reached {
                let message = format!("`{component}` is exposed, but no flow lets the edge reach it");
                findings.error(&place, message, format!("add `[[flows]]` with `from = \"edge\"` and `to = \"{component}\"`: every opening is written down"));
            }
        }
        readings(manifest, name, environment, declared, document, findings);
        if let Some(after) = &environment.after {
            unknown(&document.place(&path("after")), "environment", after.as_str(), &declared.environments, findings);
            if comes_after_itself(manifest, name) {
                findings.error(
                    &document.place(&path("after")),
                    format!("`{name}` comes after itself"),
                    "let the first environment have no `after`",
                );
            }
        }
        side_by_side(manifest, environment, document, findings);
        if environment.hold_ms == 0 && manifest.has_exclusive_component() {
            let message = "with `hold_ms = 0` requests fail while a component with an exclusive volume hands over";
            findings.warning(
                &document.place(&path("hold_ms")),
                message,
                format!("let the edge hold them, as in `hold_ms = {}`", limits::HOLD_MS_DEFAULT),
            );
        }
        let slow = manifest
            .components
            .values()
            .find(|c| c.is_exclusive() && environment.hold_ms > 0 && c.limits.stop_timeout_ms >= environment.hold_ms);
        if let Some(slow) = slow {
            findings.error(
                &document.place(&path("hold_ms")),
                format!(
                    "requests are held for {} ms, and `{}` may take {} ms to stop: its hand-over would never be done in time",
                    environment.hold_ms, slow.name, slow.limits.stop_timeout_ms
                ),
                format!("make `hold_ms` longer, or `limits.stop_timeout_ms` of `{}` shorter", slow.name),
            );
        }
        for (other_name, other) in manifest.environments.range(..name.clone()) {
            for (component, address) in &environment.expose {
                if other.expose.values().any(|a| collide(a, address)) {
                    let place = document.place(&["environments", name.as_str(), "expose", component.as_str()]);
                    findings.warning(
                        &place,
                        format!("{address} is used in `{other_name}` too"),
                        "on one machine they would collide; use another port unless they are on different ones",
                    );
                }
            }
        }
    }
}

/// What can not live side by side.
fn side_by_side(
    manifest: &Manifest,
    environment: &super::types::Environment,
    document: &Document,
    findings: &mut Findings<'_>,
) {
    let Some(versions) = &environment.versions else { return };
    let place = document.place(&["environments", environment.name.as_str(), "versions"]);
    for component in manifest.components.values().filter(|c| c.is_exclusive()) {
        findings.error(
            &place,
            format!("`{}` has a volume that only one instance may have, so two versions of it can not run side by side", component.name),
            "keep its state in a system of its own, write `exclusive = false` if several may write, or leave `versions` out",
        );
    }
    let mut instances: BTreeMap<&ZoneName, u32> = BTreeMap::new();
    for component in manifest.components.values() {
        *instances.entry(&component.zone).or_default() += component.replicas;
    }
    // A rollout needs the addresses of one version more.
    let sets = versions.most.saturating_add(1);
    for (zone, count) in instances.iter().filter(|(_, count)| count.saturating_mul(sets) > limits::ZONE_ADDRESSES) {
        findings.error(
            &place,
            format!(
                "{} versions of {count} instances each, and one more during a rollout, do not fit into the {} addresses of the zone `{zone}`",
                versions.most, limits::ZONE_ADDRESSES
            ),
            "lower `most` or `replicas`, or split the zone",
        );
    }
    for component in &environment.tcp {
        findings.warning(
            &document.place(&["environments", environment.name.as_str(), "expose", component.as_str()]),
            format!(
                "clients of `{component}` speak plain TCP, and without TLS they can not say which version they want"
            ),
            "give it a certificate, so that they say it in the server name; without one they reach the latest version",
        );
    }
}

fn readings(
    manifest: &Manifest,
    name: &crate::EnvironmentName,
    environment: &Environment,
    declared: &Declared<'_>,
    document: &Document,
    findings: &mut Findings<'_>,
) {
    let Some(readings) = environment.analysis.as_ref().and_then(|a| a.readings.as_ref()) else { return };
    for key in ["counters", "invariants"] {
        for number in 0..limits::READINGS {
            let number = number.to_string();
            let path = ["environments", name.as_str(), "analysis", key, &number, "component"];
            referenced::<ComponentName>(document, &path, "component", &declared.components, findings);
        }
    }
    let place = document.place(&["environments", name.as_str(), "analysis", "counters"]);
    for counter in &readings.counters {
        if manifest.components.get(&counter.component).is_some_and(super::types::Component::is_exclusive) {
            findings.error(
                &place,
                format!(
                    "`{}` has a volume that only one may write, so two versions of it never run side by side to compare `{}`",
                    counter.component, counter.name
                ),
                "compare a counter of the component in front of it, or make it an invariant",
            );
        }
    }
}

fn comes_after_itself(manifest: &Manifest, name: &crate::EnvironmentName) -> bool {
    let mut seen = BTreeSet::new();
    let mut here = name;
    while let Some(after) = manifest.environments.get(here).and_then(|e| e.after.as_ref()) {
        if after == name {
            return true;
        }
        if !seen.insert(after) {
            return false;
        }
        here = after;
    }
    false
}
