//! Reading components: what each is made of, runs, listens on and may use.

use std::collections::BTreeMap;

use crate::{
    ComponentName, Digest,
    release::{Drain, DrainSignal, Health, Limits},
};

use super::{
    diagnostic::quoted,
    findings::Findings,
    limits, paths, state,
    types::{Component, Source},
    variables,
    walk::{Field, Section},
};

const COMPONENT_KEYS: &[&str] = &[
    "build",
    "image",
    "files",
    "command",
    "port",
    "health",
    "zone",
    "replicas",
    "limits",
    "volumes",
    "migrations",
    "environment",
    "secrets",
    "values",
    "drain",
];
const HEALTH_KEYS: &[&str] = &["path", "interval_ms", "timeout_ms", "deadline_ms"];
const LIMIT_KEYS: &[&str] = &["memory_mib", "cpu_percent", "pids", "tmp_mib", "stop_timeout_ms"];

/// `[components.*]`
pub(super) fn components(root: &Section<'_>, findings: &mut Findings<'_>) -> BTreeMap<ComponentName, Component> {
    let example = "[components.web]";
    let Some(field) = root.required("components", example, findings) else {
        return BTreeMap::new();
    };
    let before = findings.errors();
    let entries = field.entries(limits::ENTRIES, findings);
    if entries.is_empty() && findings.errors() == before {
        findings.error(field.key_place(), "the system has no component", format!("add `{example}` with what it runs"));
    }
    entries.iter().filter_map(|entry| component(entry, findings)).map(|c| (c.name.clone(), c)).collect()
}

fn component(entry: &Field<'_>, findings: &mut Findings<'_>) -> Option<Component> {
    let before = findings.errors();
    let name: Option<ComponentName> = entry.named(findings);
    if name.as_ref().is_some_and(|n| n.as_str() == limits::EDGE) {
        findings.error(
            entry.key_place(),
            "`edge` stands for clients outside, so no component can have that name",
            "choose another, as in `web`",
        );
    }
    let section = entry.section(findings)?;
    section.only(COMPONENT_KEYS, "a component", findings);
    let source = source(entry, &section, findings);
    let example = "`command = [\"/bin/web\"]`";
    let command_field = section.optional("command");
    let command = command_field.as_ref().and_then(|f| paths::command(f, example, findings));
    check_command(entry, command_field.as_ref(), command.as_deref(), source.as_ref(), &section, findings);
    let port =
        section.required("port", "port = 8080", findings).and_then(|f| f.whole(&(1..=65_535), "a TCP port", findings));
    let health = health(entry, &section, findings);
    let zone = section.required("zone", "zone = \"front\"", findings).and_then(|f| f.parsed(findings));
    let replicas = section
        .optional("replicas")
        .and_then(|f| f.whole(&limits::REPLICAS, "a number of instances", findings))
        .unwrap_or(1);
    let limits = instance_limits(entry, &section, findings);
    let volumes = state::volumes(&section, source.as_ref(), replicas, findings);
    let migrations = state::migrations(&section, findings);
    let environment = variables::environment(&section, findings);
    let secrets = variables::secrets(&section, &environment, findings);
    let values = variables::values(&section, findings);
    let drain = section.optional("drain").and_then(|f| drain(&f, findings));
    if findings.errors() > before {
        return None;
    }
    Some(Component {
        name: name?,
        source: source?,
        command: command.unwrap_or_default(),
        port: u16::try_from(port?).ok()?,
        health,
        zone: zone?,
        replicas,
        limits,
        volumes,
        migrations,
        environment,
        secrets,
        values,
        drain,
    })
}

fn source(entry: &Field<'_>, section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Source> {
    let named = quoted(&entry.place().key);
    let files = section.optional("files");
    match (section.optional("build"), section.optional("image")) {
        (Some(_), Some(image)) => {
            findings.error(
                image.key_place(),
                format!("{named} has both `build` and `image`"),
                "keep `build` for what is built here, `image` for what is not",
            );
            None
        }
        (None, None) => {
            findings.error(
                entry.key_place(),
                format!("{named} has neither `build` nor `image`"),
                "add `build = \"rust\"` for what is built here, or `image = \"sha256:…\"` for what is not",
            );
            None
        }
        (None, Some(image)) => {
            if let Some(files) = files {
                findings.error(
                    files.key_place(),
                    format!("{named} has `files`, which only a component with `build` has"),
                    "remove it; an image by digest is taken as it is",
                );
            }
            digest(&image, findings).map(Source::Image)
        }
        (Some(build), None) => {
            let build = build.parsed(findings);
            let Some(files) = files else {
                findings.error(
                    section.place(),
                    format!("{named} says what builds it but not what of it goes into the image"),
                    "add `files = { \"/bin/web\" = \"target/debug/web\" }`",
                );
                return None;
            };
            let before = findings.errors();
            let mut placed: BTreeMap<String, String> = BTreeMap::new();
            let entries = files.entries(limits::PARTS, findings);
            if entries.is_empty() {
                findings.error(
                    files.place(),
                    format!("{} is empty", quoted(&files.place().key)),
                    "name at least one file, as in `{ \"/bin/web\" = \"target/debug/web\" }`",
                );
            }
            for file in entries {
                let target = paths::absolute(file.name(), file.key_place(), findings);
                let origin = paths::relative(&file, false, findings);
                let (Some(target), Some(origin)) = (target, origin) else {
                    continue;
                };
                if let Some(other) =
                    placed.keys().find(|other| paths::covers(other, &target) || paths::covers(&target, other))
                {
                    findings.error(
                        file.key_place(),
                        format!("{} and {} can not both be files", quoted(&target), quoted(other)),
                        "one is a folder of the other; rename one",
                    );
                    continue;
                }
                placed.insert(target, origin);
            }
            if findings.errors() > before {
                return None;
            }
            Some(Source::Build { build: build?, files: placed })
        }
    }
}

/// An image by digest. A tag is refused because whoever holds the registry can move it after the approval.
fn digest(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Digest> {
    let text = field.line(findings)?;
    if let Ok(digest) = text.parse() {
        return Some(digest);
    }
    let place = field.place();
    if let Some((name, digest)) = text.split_once("@sha256:") {
        findings.error(
            place,
            format!("{} is a name with a digest", quoted(text)),
            format!(
                "write the digest alone, `sha256:{}`; {} goes to whoever imports the image",
                short(digest),
                quoted(name)
            ),
        );
    } else if text.starts_with("sha256:") {
        findings.error(
            place,
            format!("{} is not a digest", quoted(text)),
            "`sha256:` is followed by 64 digits of 0-9 and a-f, in lower case",
        );
    } else {
        findings.error(place, format!("{} is a tag, which can be moved to other bytes after they were approved", quoted(text)), "write the digest that it stands for now, `sha256:…`; `skopeo inspect --format '{{.Digest}}' docker://NAME:TAG` prints it");
    }
    None
}

fn short(digest: &str) -> String {
    digest.chars().take(12).chain(['…']).collect()
}

fn check_command(
    entry: &Field<'_>,
    field: Option<&Field<'_>>,
    command: Option<&[String]>,
    source: Option<&Source>,
    section: &Section<'_>,
    findings: &mut Findings<'_>,
) {
    let Some(field) = field else {
        if let Some(Source::Build { files, .. }) = source {
            let first = files.keys().next().map_or("/bin/web", String::as_str);
            let message = format!(
                "{} does not say what to run; an image that is built here has no entry point",
                quoted(&entry.place().key)
            );
            findings.error(section.place(), message, format!("add `command = [{first:?}]`"));
        }
        return;
    };
    let Some(program) = command.and_then(<[String]>::first) else {
        return;
    };
    if !program.starts_with('/') {
        findings.error(
            field.place(),
            format!("the program {} is not an absolute path", quoted(program)),
            "nothing searches for it in the image: write where it is, as in `/bin/web`",
        );
    } else if let Some(Source::Build { files, .. }) = source {
        let there: Vec<&str> = files.keys().map(String::as_str).collect();
        if !there.iter().any(|file| paths::covers(file, program)) {
            let hint = match super::suggest::nearest(program, &there) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it to `files`, unless the base of the image has it".to_owned(),
            };
            findings.warning(
                field.place(),
                format!("the program {} is not among the `files` of this component", quoted(program)),
                hint,
            );
        }
    }
}

fn health(entry: &Field<'_>, section: &Section<'_>, findings: &mut Findings<'_>) -> Health {
    let mut health = Health {
        path: None,
        interval_ms: limits::HEALTH_INTERVAL_MS_DEFAULT,
        timeout_ms: limits::HEALTH_TIMEOUT_MS_DEFAULT,
        deadline_ms: limits::HEALTH_DEADLINE_MS_DEFAULT,
    };
    let Some(field) = section.optional("health") else {
        let message =
            format!("{} does not say how it is well, so an open port is all that is asked", quoted(&entry.place().key));
        findings.warning(
            section.place(),
            message,
            "add `health = \"/health\"`, or `health = {}` if an open port is enough",
        );
        return health;
    };
    if field.is_text() {
        health.path = answering_path(&field, findings);
        return health;
    }
    let Some(table) = field.section(findings) else {
        return health;
    };
    table.only(HEALTH_KEYS, "a health check", findings);
    health.path = table.optional("path").and_then(|f| answering_path(&f, findings));
    let mut number = |key: &str, range, default| {
        table.optional(key).and_then(|f| f.whole(&range, "in milliseconds", findings)).unwrap_or(default)
    };
    health.interval_ms = number("interval_ms", limits::HEALTH_INTERVAL_MS, health.interval_ms);
    health.timeout_ms = number("timeout_ms", limits::HEALTH_TIMEOUT_MS, health.timeout_ms);
    health.deadline_ms = number("deadline_ms", limits::HEALTH_DEADLINE_MS, health.deadline_ms);
    if health.deadline_ms < health.timeout_ms || health.deadline_ms < health.interval_ms {
        let message = format!("the deadline of {} ms ends before one check can", health.deadline_ms);
        findings.error(field.place(), message, "make `deadline_ms` larger than `interval_ms` and `timeout_ms`");
    }
    health
}

fn drain(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Drain> {
    let section = field.section(findings)?;
    section.only(&["signal", "path"], "a way to tell of draining", findings);
    let words = [
        ("SIGHUP", DrainSignal::Sighup),
        ("SIGQUIT", DrainSignal::Sigquit),
        ("SIGUSR1", DrainSignal::Sigusr1),
        ("SIGUSR2", DrainSignal::Sigusr2),
        ("SIGWINCH", DrainSignal::Sigwinch),
    ];
    let signal = section.optional("signal");
    let path = section.optional("path");
    if signal.is_none() && path.is_none() {
        findings.error(
            field.place(),
            format!("{} says no way to tell", quoted(&field.place().key)),
            "write `drain = { signal = \"SIGUSR1\" }` or `drain = { path = \"/drain\" }`",
        );
        return None;
    }
    Some(Drain {
        signal: signal.and_then(|f| f.one_of(&words, findings)),
        path: path.and_then(|f| answering_path(&f, findings)),
    })
}

/// A path as it stands in a request line (RFC 9112 section 3.2.1, origin form).
pub(super) fn answering_path(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let path = field.line(findings)?;
    let hint = if path.contains("://") {
        "leave out the address: the component's own `port` is asked, as in `/health`"
    } else {
        "start it with `/`, as in `/health`"
    };
    if !path.starts_with('/') {
        findings.error(field.place(), format!("{} is not the path of an HTTP request", quoted(path)), hint);
        return None;
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) || path.contains('#') {
        findings.error(
            field.place(),
            format!("{} has characters that a request can not have", quoted(path)),
            "write spaces and letters beyond ASCII as `%20`, and leave out `#`",
        );
        return None;
    }
    Some(path.to_owned())
}

fn instance_limits(entry: &Field<'_>, section: &Section<'_>, findings: &mut Findings<'_>) -> Limits {
    let table = section.optional("limits").and_then(|f| f.section(findings));
    if section.optional("limits").is_none() {
        let message = format!("{} has no limits, so it gets the defaults", quoted(&entry.place().key));
        let hint = format!(
            "say what it needs, as in `limits = {{ memory_mib = {}, cpu_percent = {}, pids = {} }}`",
            limits::MEMORY_MIB_DEFAULT,
            limits::CPU_PERCENT_DEFAULT,
            limits::PIDS_DEFAULT
        );
        findings.warning(section.place(), message, hint);
    }
    if let Some(table) = &table {
        table.only(LIMIT_KEYS, "the limits of a component", findings);
    }
    let mut number = |key: &str, range, unit, default| {
        table.as_ref().and_then(|t| t.optional(key)).and_then(|f| f.whole(&range, unit, findings)).unwrap_or(default)
    };
    let memory_mib = number("memory_mib", limits::MEMORY_MIB, "in MiB", limits::MEMORY_MIB_DEFAULT);
    let cpu_percent = number("cpu_percent", limits::CPU_PERCENT, "in percent of one core", limits::CPU_PERCENT_DEFAULT);
    let pids = number("pids", limits::PIDS, "a number of processes and threads", limits::PIDS_DEFAULT);
    let tmp_mib = number("tmp_mib", limits::TMP_MIB, "in MiB", limits::TMP_MIB_DEFAULT.min(memory_mib / 2));
    let stop_timeout_ms =
        number("stop_timeout_ms", limits::STOP_TIMEOUT_MS, "in milliseconds", limits::STOP_TIMEOUT_MS_DEFAULT);
    if let Some(field) = table.and_then(|t| t.optional("tmp_mib")).filter(|_| tmp_mib >= memory_mib) {
        let message = format!("`/tmp` of {tmp_mib} MiB can fill the memory of {memory_mib} MiB, in which it lives");
        findings.error(field.place(), message, "make `tmp_mib` smaller than `memory_mib`");
    }
    Limits { memory_mib, cpu_percent, pids, tmp_mib, stop_timeout_ms }
}
