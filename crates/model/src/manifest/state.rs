//! Reading what a component keeps: volumes and the migrations of what is in them.

use crate::release::{Migration, MigrationPhase, Volume};

use super::{
    diagnostic::quoted,
    findings::Findings,
    limits, paths,
    types::Source,
    walk::{Field, Section},
};

const MIGRATION_KEYS: &[&str] = &["id", "phase", "reversible"];
const VOLUME_KEYS: &[&str] = &["path", "exclusive"];
/// The `volumes` of a component.
pub(super) fn volumes(
    section: &Section<'_>,
    source: Option<&Source>,
    replicas: u32,
    findings: &mut Findings<'_>,
) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    let Some(field) = section.optional("volumes") else {
        return volumes;
    };
    for entry in field.entries(limits::PARTS, findings) {
        let name = entry.named(findings);
        let Some(table) = entry.section(findings) else {
            continue;
        };
        table.only(VOLUME_KEYS, "a volume", findings);
        let path_field = table.required("path", "path = \"/data\"", findings);
        let exclusive_field = table.optional("exclusive");
        let exclusive = exclusive_field.as_ref().and_then(|f| f.flag(findings)).unwrap_or(true);
        let Some(path_field) = path_field else {
            continue;
        };
        let path = path_field.text(findings).and_then(|p| paths::absolute(p, path_field.place(), findings));
        let (Some(name), Some(path)) = (name, path) else {
            continue;
        };
        if let Some(other) = volumes.iter().find(|v| paths::covers(&v.path, &path) || paths::covers(&path, &v.path)) {
            findings.error(
                path_field.place(),
                format!("{} overlaps the volume `{}` at {}", quoted(&path), other.name, quoted(&other.path)),
                "give each volume a folder of its own",
            );
        }
        if let Some(Source::Build { files, .. }) = source
            && let Some(hidden) = files.keys().find(|f| paths::covers(&path, f) || paths::covers(f, &path))
        {
            findings.error(
                path_field.place(),
                format!("the volume at {} would hide the file {}", quoted(&path), quoted(hidden)),
                "mount it elsewhere",
            );
        }
        if exclusive && replicas > 1 {
            let message = format!("the volume `{name}` may have one writer, but the component has {replicas} replicas");
            let (at, hint) = match &exclusive_field {
                Some(field) => {
                    (field.place(), "set `replicas = 1`, or `exclusive = false` if several instances may write at once")
                }
                None => (
                    entry.place(),
                    "a volume is exclusive unless it says otherwise: set `replicas = 1`, or add `exclusive = false` if several instances may write at once",
                ),
            };
            findings.error(at, message, hint);
        }
        volumes.push(Volume { name, path, exclusive });
    }
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    volumes
}

/// The `migrations` of a component.
pub(super) fn migrations(section: &Section<'_>, findings: &mut Findings<'_>) -> Vec<Migration> {
    let mut migrations: Vec<Migration> = Vec::new();
    let Some(field) = section.optional("migrations") else {
        return migrations;
    };
    let example = "`[{ id = \"0002-reference\", phase = \"expand\", reversible = true }]`";
    let entries = field.list(limits::PARTS, example, findings).unwrap_or_default();
    if !entries.is_empty() && section.optional("volumes").is_none() {
        findings.warning(
            field.key_place(),
            "migrations without a volume: there is no state here to take a restore point of",
            "declare the volume that holds the state, or leave the migrations to the component that does",
        );
    }
    for entry in &entries {
        let Some(table) = entry.section(findings) else {
            continue;
        };
        table.only(MIGRATION_KEYS, "a migration", findings);
        let id_field = table.required("id", "id = \"0002-reference\"", findings);
        let id = id_field.as_ref().and_then(|f| migration_id(f, findings));
        let phases = [("expand", MigrationPhase::Expand), ("contract", MigrationPhase::Contract)];
        let phase = table.required("phase", "phase = \"expand\"", findings).and_then(|f| f.one_of(&phases, findings));
        let reversible_field = table.required("reversible", "reversible = false", findings);
        let reversible = reversible_field.as_ref().and_then(|f| f.flag(findings));
        if let (Some(MigrationPhase::Contract), Some(true), Some(field)) = (phase, reversible, &reversible_field) {
            let hint = "write `reversible = false`; a rollback past it then asks for the restore point";
            findings.error(
                field.place(),
                "a `contract` migration takes away what the version before needs, so it is not reversible",
                hint,
            );
        }
        let (Some(id), Some(phase), Some(reversible)) = (id, phase, reversible) else {
            continue;
        };
        if let (true, Some(field)) = (migrations.iter().any(|m| m.id == id), &id_field) {
            findings.error(
                field.place(),
                format!("the migration {} is there twice", quoted(&id)),
                "an id is never used again; give the later one a new id",
            );
        }
        migrations.push(Migration { id, phase, reversible });
    }
    migrations
}

fn migration_id(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let id = field.line(findings)?;
    let valid = id.len() <= limits::MIGRATION_ID
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    if !valid {
        let hint = format!(
            "use at most {} lower-case letters, digits, hyphens and underscores, as in `0002-reference`",
            limits::MIGRATION_ID
        );
        findings.error(field.place(), format!("{} is not the id of a migration", quoted(id)), hint);
        return None;
    }
    Some(id.to_owned())
}
