//! Reading `[environments.*.surge.*]`: what the edge does when more is asked than a component can take.

use std::collections::BTreeMap;

use crate::{
    ComponentName,
    release::{HeaderIs, OTHER_CLASS, PriorityClass, RequestRate, Surge},
};

use super::{
    component::answering_path,
    diagnostic::quoted,
    findings::Findings,
    limits,
    walk::{Field, Section},
};

const KEYS: &[&str] = &["classes", "queue_ms", "client", "total", "client_connections", "connections"];

/// Reads them all; whether the components are exposed is found out by the environment.
pub(super) fn read(field: &Field<'_>, findings: &mut Findings<'_>) -> BTreeMap<ComponentName, Surge> {
    let entries = field.entries(limits::ENTRIES, findings);
    entries.iter().filter_map(|entry| Some((entry.named(findings)?, one(entry, findings)?))).collect()
}

fn one(entry: &Field<'_>, findings: &mut Findings<'_>) -> Option<Surge> {
    let section = entry.section(findings)?;
    section.only(KEYS, "what is done in a surge", findings);
    let mut classes: Vec<PriorityClass> = Vec::new();
    let listed = section.optional("classes");
    let example = "`[{ name = \"settlement\", paths = [\"/settlements\"] }]`";
    for class in listed.and_then(|f| f.list(limits::CLASSES, example, findings)).unwrap_or_default() {
        let Some(read) = class_of(&class, findings) else { continue };
        if classes.iter().any(|c| c.name == read.name) {
            findings.error(class.place(), format!("the class `{}` stands here twice", read.name), "name it once");
            continue;
        }
        classes.push(read);
    }
    let mut number = |key: &str, range, unit| section.optional(key).and_then(|f| f.whole(&range, unit, findings));
    let queue_ms = number("queue_ms", limits::QUEUE_MS, "in milliseconds").unwrap_or(limits::QUEUE_MS_DEFAULT);
    let client_connections = number("client_connections", limits::CONNECTIONS, "a number of connections");
    let connections = number("connections", limits::CONNECTIONS, "a number of connections");
    if let (Some(of_one), Some(of_all)) = (client_connections, connections)
        && of_one > of_all
        && let Some(field) = section.optional("client_connections")
    {
        findings.error(
            field.place(),
            format!("one client may have {of_one} connections and all together {of_all}"),
            "make `client_connections` smaller than `connections`, or one client can keep everybody else out",
        );
    }
    let client = section.optional("client").and_then(|f| rate(&f, findings));
    let total = section.optional("total").and_then(|f| rate(&f, findings));
    Some(Surge { classes, queue_ms, client, total, client_connections, connections })
}

fn class_of(entry: &Field<'_>, findings: &mut Findings<'_>) -> Option<PriorityClass> {
    let section = entry.section(findings)?;
    section.only(&["name", "paths", "methods", "header"], "a class of requests", findings);
    let name = section.required("name", "name = \"settlement\"", findings).and_then(|f| class_name(&f, findings));
    let mut texts = |key: &str, example: &str| -> Vec<Field<'_>> {
        let field = section.optional(key);
        field.and_then(|f| f.list(limits::CLASS_PARTS, example, findings)).unwrap_or_default()
    };
    let (paths, methods) = (texts("paths", "`[\"/settlements\"]`"), texts("methods", "`[\"POST\"]`"));
    let paths: Vec<String> = paths.iter().filter_map(|f| class_path(f, findings)).collect();
    let methods: Vec<String> = methods.iter().filter_map(|f| method(f, findings)).collect();
    let header = section.optional("header").and_then(|f| header(&f, findings));
    if ["paths", "methods", "header"].iter().all(|key| section.optional(key).is_none()) {
        findings.error(
            entry.place(),
            "this class does not say which requests are of it, so all would be",
            "add `paths`, `methods` or `header`; what matches no class is of the last one, `other`",
        );
        return None;
    }
    Some(PriorityClass { name: name?, paths, methods, header })
}

fn class_name(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let text = field.line(findings)?;
    let fits = (1..=limits::CLASS_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        findings.error(
            field.place(),
            format!("{} is not the name of a class", quoted(text)),
            format!("use at most {} lower-case letters, digits and hyphens, as in `settlement`", limits::CLASS_NAME),
        );
        return None;
    }
    if text == OTHER_CLASS {
        findings.error(
            field.place(),
            "`other` is what matches no class, and comes last by itself",
            "choose another name, or leave this class out",
        );
        return None;
    }
    Some(text.to_owned())
}

fn class_path(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let path = answering_path(field, findings)?;
    if path.contains(['?', '%', '*']) || path.contains("//") || path.split('/').any(|part| part == "." || part == "..")
    {
        findings.error(
            field.place(),
            format!("{} is not a plain path", quoted(&path)),
            "write the start of a path without `?`, `%`, `*`, `//` and dots, as in `/settlements`; what is below it is meant too",
        );
        return None;
    }
    Some(path)
}

fn method(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let text = field.line(findings)?;
    if !(1..=limits::CLASS_NAME).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        findings.error(
            field.place(),
            format!("{} is not a method", quoted(text)),
            "write it in upper case, as in `POST`",
        );
        return None;
    }
    Some(text.to_owned())
}

fn header(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<HeaderIs> {
    let section = field.section(findings)?;
    section.only(&["name", "value"], "a field of a request", findings);
    let name = section.required("name", "name = \"x-desk\"", findings);
    let name = name.and_then(|f| field_name(&f, findings));
    let value = section.required("value", "value = \"rates\"", findings);
    let value = value.and_then(|f| Some(f.line(findings)?.to_owned()));
    findings.warning(
        field.place(),
        "any client can send this field and so raise its own requests",
        "tell classes by `paths` where strangers can reach it, and keep `client` limits",
    );
    Some(HeaderIs { name: name?, value: value? })
}

/// The characters of a token (RFC 9110 section 5.6.2), in lower case as HTTP/2 has them.
fn field_name(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let text = field.line(findings)?;
    let is_token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(is_token) {
        findings.error(
            field.place(),
            format!("{} is not the name of a field", quoted(text)),
            "write it in lower case, as in `x-desk`",
        );
        return None;
    }
    Some(text.to_owned())
}

fn rate(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<RequestRate> {
    let section: Section<'_> = field.section(findings)?;
    section.only(&["per_s", "burst"], "a rate of requests", findings);
    let per_s = section.required("per_s", "per_s = 50", findings);
    let per_s = per_s.and_then(|f| f.whole(&limits::REQUESTS_PER_S, "in requests a second", findings))?;
    let burst = section.optional("burst");
    let burst = burst.map_or(Some(per_s), |f| f.whole(&limits::BURST, "a number of requests at once", findings))?;
    Some(RequestRate { per_s, burst })
}
