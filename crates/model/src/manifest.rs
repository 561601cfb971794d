//! The manifest: `countersign.toml` in a user's repository, which says what is built, tested and run.
//!
//! `Manifest::parse` takes the text and gives back either a manifest in which every name refers to something and
//! every number is within its limits, or every mistake in it with its line, column, key and what would be right.
//! This room refuses to know where the text came from, which environments the charter has and whether a
//! command exists: that is found out by whoever has the commit, the charter or the sandbox.
//!
//! Decisions that the format leaves open, made here once:
//! - A component that an environment exposes needs a flow from `edge`, written down: an opening that nobody wrote
//!   is an opening that nobody reviewed.
//! - A volume is `exclusive` unless the manifest says otherwise: two writers by mistake cost data, one by mistake costs speed.
//! - Values that look like secrets are refused and never printed, not even in the message that refuses them.

mod analysis;
mod component;
mod compose;
mod crosscheck;
mod definition;
pub mod diagnostic;
mod document;
mod environment;
mod findings;
pub mod limits;
mod network;
mod paths;
mod readings;
mod secrets;
mod state;
mod suggest;
mod surge;
mod types;
mod variables;
mod versions;
mod walk;
mod workshop;

pub use compose::ComposeError;
pub use definition::DefinitionError;
pub use diagnostic::{Diagnostic, Severity};
pub use types::{
    Build, Component, Environment, FetchTool, Registry, RegistryError, ReportPlace, Source, SuiteDefinition, SuiteKind,
    SuiteTarget,
};

use std::collections::{BTreeMap, BTreeSet};

use crate::{BuildName, ComponentName, EnvironmentName, SuiteName, SystemName, ZoneName, release::Flow};
use document::Document;
use findings::Findings;

/// The name of the file, at the root of the repository.
pub const FILE_NAME: &str = "countersign.toml";

/// What is built, tested and run of a system, as its repository says it.
///
/// Invariant `names-resolve`: every build, zone and component that something names is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The system.
    pub system: SystemName,
    /// The ways of building from source.
    pub builds: BTreeMap<BuildName, Build>,
    /// The components.
    pub components: BTreeMap<ComponentName, Component>,
    /// The zones.
    pub zones: BTreeSet<ZoneName>,
    /// Who may open connections to whom; everything else is denied.
    pub flows: BTreeSet<Flow>,
    /// The suites.
    pub suites: BTreeMap<SuiteName, SuiteDefinition>,
    /// How a release is put into each environment.
    pub environments: BTreeMap<EnvironmentName, Environment>,
}

/// A manifest without mistakes, and what is worth a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The manifest.
    pub manifest: Manifest,
    /// What is allowed but probably not meant, in the order of the text.
    pub warnings: Vec<Diagnostic>,
}

/// Every mistake that was found, in the order of the text, with the warnings among them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest has {}", counted(.findings))]
pub struct ManifestError {
    /// At least one of them is an error. At most `limits::FINDINGS`.
    pub findings: Vec<Diagnostic>,
}

impl ManifestError {
    /// The errors among the findings.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.findings.iter().filter(|d| d.severity == Severity::Error)
    }
}

fn counted(findings: &[Diagnostic]) -> String {
    match findings.iter().filter(|d| d.severity == Severity::Error).count() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Every mistake in it, not only the first.
    pub fn parse(text: &str) -> Result<Parsed, ManifestError> {
        let mut findings = Findings::new(text);
        let manifest = read(text, &mut findings);
        let found = findings.into_list();
        match manifest {
            Some(manifest) if found.iter().all(|d| d.severity == Severity::Warning) => {
                Ok(Parsed { manifest, warnings: found })
            }
            _ => Err(ManifestError { findings: found }),
        }
    }

    /// Reads a manifest as it comes from a file or a git object.
    ///
    /// # Errors
    /// As `parse`, and if the bytes are not UTF-8, with the place of the first that are not.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Parsed, ManifestError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let text = String::from_utf8_lossy(good);
                let mut findings = Findings::new(&text);
                findings.error(
                    &findings::Place::of(text.len()..text.len()),
                    "the text is not UTF-8 from here on",
                    "save the file as UTF-8, as TOML wants it",
                );
                Err(ManifestError { findings: findings.into_list() })
            }
        }
    }

    /// Whether any component has state that only one instance may write.
    pub fn has_exclusive_component(&self) -> bool {
        self.components.values().any(Component::is_exclusive)
    }
}

/// The sections of a manifest, in the order in which people write them.
const SECTIONS: &[&str] = &["system", "builds", "components", "zones", "flows", "suites", "environments"];

fn read(text: &str, findings: &mut Findings<'_>) -> Option<Manifest> {
    let document = Document::parse(text, findings)?;
    let root = document.root();
    root.only(SECTIONS, "a manifest", findings);
    let system = root.required("system", "system = \"paydesk\"", findings).and_then(|f| f.parsed(findings));
    let builds = workshop::builds(&root, findings);
    let components = component::components(&root, findings);
    let zones = network::zones(&root, findings);
    let flows = network::flows(&root, findings);
    let suites = workshop::suites(&root, findings);
    let environments = environment::environments(&root, findings);
    let declared = crosscheck::Declared::of(&root);
    let manifest = Manifest { system: system?, builds, components, zones, flows, suites, environments };
    crosscheck::check(&manifest, &declared, &document, findings);
    Some(manifest)
}

#[cfg(test)]
mod tests;
