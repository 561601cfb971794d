//! Environment variables and secrets of components, builds and suites.

use std::collections::{BTreeMap, BTreeSet};

use crate::{SecretName, ValueName};

use super::{
    diagnostic::quoted,
    findings::Findings,
    limits, secrets,
    walk::{Field, Section},
};

/// Characters of a variable's name; longer ones are no names.
const NAME: usize = 128;

/// A name as POSIX has it (XBD section 8.1), and not one that Countersign sets.
fn check_name(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let name = field.name();
    let valid = !name.is_empty()
        && name.len() <= NAME
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        let message = format!("{} is not the name of a variable", quoted(name));
        findings.error(
            field.key_place(),
            message,
            "use letters, digits and underscores, not starting with a digit, as in `PAYDESK_CURRENCY`",
        );
        return None;
    }
    if name.starts_with(limits::RESERVED_PREFIX) || limits::RESERVED_VARIABLES.contains(&name) {
        let message = format!("`{name}` is set by Countersign itself");
        findings.error(
            field.key_place(),
            message,
            format!("choose a name other than `PORT` and without `{}` in front", limits::RESERVED_PREFIX),
        );
        return None;
    }
    Some(name.to_owned())
}

/// The `environment` of a section.
pub(super) fn environment(section: &Section<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some(field) = section.optional("environment") else {
        return variables;
    };
    for entry in field.entries(limits::PARTS, findings) {
        let name = check_name(&entry, findings);
        let Some(value) = entry.text(findings) else {
            continue;
        };
        if secrets::refuse_value(value, entry.place(), findings).is_none() {
            continue;
        }
        if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            findings.error(
                entry.place(),
                format!("{} has control characters", quoted(&entry.place().key)),
                "keep to text, new lines and tabs",
            );
            continue;
        }
        let Some(name) = name else { continue };
        if secrets::is_telling(&name) && !value.is_empty() && !value.starts_with('/') {
            let hint = format!(
                "if it is one, write `secrets = {{ {name}_FILE = \"its-name\" }}`, and let the component read that file"
            );
            findings.warning(
                entry.key_place(),
                format!("`{name}` sounds like a secret, and this file is seen by everyone"),
                hint,
            );
        }
        variables.insert(name, value.to_owned());
    }
    variables
}

/// The `secrets` of a component: variables with references.
pub(super) fn secrets(
    section: &Section<'_>,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, SecretName> {
    let mut references = BTreeMap::new();
    let Some(field) = section.optional("secrets") else {
        return references;
    };
    for entry in field.entries(limits::PARTS, findings) {
        let name = check_name(&entry, findings);
        let Some(text) = entry.text(findings) else {
            continue;
        };
        let Some(reference) = text.parse::<SecretName>().ok().filter(|_| !secrets::looks_random(text)) else {
            let message = format!("`{}` is not a reference to a secret", entry.place().key);
            let hint = "write the name under which the secret is kept, in lower-case letters, digits and hyphens, as in `paydesk-token`; \
                        if this is the secret itself, change it, since it has been seen";
            findings.concealed(entry.place(), message, hint);
            continue;
        };
        let Some(name) = name else { continue };
        if environment.contains_key(&name) {
            findings.error(entry.key_place(), format!("`{name}` is in `environment` too"), "keep one of the two");
            continue;
        }
        references.insert(name, reference);
    }
    references
}

/// The `values` of a component: guarded values by name, each a file below `/run/countersign/values`.
pub(super) fn values(section: &Section<'_>, findings: &mut Findings<'_>) -> BTreeSet<ValueName> {
    let mut names = BTreeSet::new();
    let Some(field) = section.optional("values") else {
        return names;
    };
    for element in field.list(limits::PARTS, "`values = [\"settlement-account\"]`", findings).unwrap_or_default() {
        if let Some(name) = element.parsed::<ValueName>(findings)
            && !names.insert(name)
        {
            findings.error(element.place(), format!("{} stands twice", quoted(&element.place().key)), "remove one");
        }
    }
    names
}
