//! The wire form of a suite's definition, version 1: what its digest is taken of. Frozen: names and order never change.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{CanonicalError, Digest, RequirementId, SuiteName, to_json};

use super::types::SuiteDefinition;

/// Why a definition could not be written; the same as for every wire form.
pub type DefinitionError = CanonicalError;

#[derive(Serialize)]
struct SuiteV1<'s> {
    suite: &'s SuiteName,
    kind: &'static str,
    on: &'static str,
    build: Option<&'s str>,
    run: &'s [String],
    report: &'s str,
    requirements: &'s BTreeSet<RequirementId>,
    paths: &'s BTreeSet<String>,
    timeout_s: u32,
    environment: &'s BTreeMap<String, String>,
}

impl SuiteDefinition {
    /// The bytes that are digested: canonical JSON, lists that are sets in the order of their entries.
    ///
    /// # Errors
    /// None that a parsed definition can cause; the writer of JSON has them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DefinitionError> {
        to_json(&SuiteV1 {
            suite: &self.name,
            kind: self.kind.as_str(),
            on: self.on.as_str(),
            build: self.build.as_ref().map(crate::BuildName::as_str),
            run: &self.run,
            report: &self.report,
            requirements: &self.requirements,
            paths: &self.paths,
            timeout_s: self.timeout_s,
            environment: &self.environment,
        })
    }

    /// What says whether two commits define the same suite. The files under `paths` are not part of it.
    ///
    /// # Errors
    /// As `to_bytes`.
    pub fn digest(&self) -> Result<Digest, DefinitionError> {
        Ok(Digest::of(&self.to_bytes()?))
    }
}
