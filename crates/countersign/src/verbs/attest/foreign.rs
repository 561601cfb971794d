//! The in-toto test result (`in-toto/attestation:spec/predicates/test-result.md`, v0.1), read as a report.
//!
//! Its lists of tests become cases, so that one judgement serves all: a test with a warning counts as not run, and a
//! result that says failed without naming a test is a command that did not succeed.

use build::suite::Exit;
use ledger::{
    dsse::ForeignEnvelope,
    statement::{
        PAYLOAD_TYPE,
        v1::{EvidenceOn, Image},
    },
};
use model::{Commit, Digest};
use serde::Deserialize;

use super::say::Tested;
use crate::fault::{Because as _, Fault, Kind};

const STATEMENT_TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// What the statement says. Unknown fields are passed over, as in-toto asks of who reads.
#[derive(Debug, Deserialize)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Debug, Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    result: Outcome,
    #[serde(default)]
    passed_tests: Vec<String>,
    #[serde(default)]
    warned_tests: Vec<String>,
    #[serde(default)]
    failed_tests: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Outcome {
    Passed,
    Warned,
    Failed,
}

/// A test result.
#[derive(Debug)]
pub(super) struct TestResult {
    wire: Wire,
}

impl TestResult {
    /// Reads the payload of an envelope whose signature has been verified.
    pub(super) fn parse(envelope: &ForeignEnvelope) -> Result<Self, Fault> {
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(Fault::new(
                Kind::Input,
                format!("`{}` is not the payload type of in-toto statements", envelope.payload_type),
            ));
        }
        let wire: Wire = serde_json::from_slice(&envelope.payload)
            .because(Kind::Input, "the payload is not an in-toto test result")?;
        if !STATEMENT_TYPES.contains(&wire.kind.as_str()) || wire.predicate_type != PREDICATE_TYPE {
            return Err(Fault::new(
                Kind::Input,
                format!("`{}` is not a kind of evidence that is taken", wire.predicate_type),
            )
            .hint(format!("`{PREDICATE_TYPE}`, or evidence of our own kind")));
        }
        Ok(Self { wire })
    }

    /// What it is about: one commit, or exactly the images of the build.
    pub(super) fn on(&self, tested: &Tested) -> Result<EvidenceOn, Fault> {
        if let [one] = self.wire.subject.as_slice()
            && let Some(commit) = one.digest.get("gitCommit").or_else(|| one.digest.get("sha1"))
        {
            let commit: Commit = commit.parse().because(Kind::Input, "the subject's commit")?;
            return Ok(EvidenceOn::Source { commit });
        }
        let build =
            tested.build.as_ref().ok_or_else(|| Fault::new(Kind::Refused, "the change has no build in the log"))?;
        let mut images = Vec::new();
        for subject in &self.wire.subject {
            let digest = subject.digest.get("sha256").ok_or_else(|| {
                Fault::new(Kind::Input, format!("the subject `{}` has neither `gitCommit` nor `sha256`", subject.name))
            })?;
            let digest = Digest::from_hex(digest).because(Kind::Input, "the subject's digest")?;
            let image: &Image =
                build.claim.images.iter().find(|i| i.image == digest).ok_or_else(|| {
                    Fault::new(Kind::Refused, format!("{digest} is no image of {}", build.claim.serial))
                })?;
            images.push(image.clone());
        }
        images.sort();
        images.dedup();
        Ok(EvidenceOn::Containers { release: build.claim.release, images })
    }

    /// How the command ended, as far as the result says.
    pub(super) fn exit(&self) -> Exit {
        Exit::Code(i32::from(self.wire.predicate.result == Outcome::Failed))
    }

    /// Its tests as a report.
    pub(super) fn junit(&self) -> Vec<u8> {
        let p = &self.wire.predicate;
        let mut xml = String::from("<testsuite name=\"test-result\">");
        for (tests, body) in [(&p.passed_tests, ""), (&p.warned_tests, "<skipped/>"), (&p.failed_tests, "<failure/>")] {
            for test in tests {
                xml.push_str("<testcase name=\"");
                xml.push_str(&escaped(test));
                xml.push_str("\">");
                xml.push_str(body);
                xml.push_str("</testcase>");
            }
        }
        if p.result == Outcome::Warned && p.warned_tests.is_empty() {
            xml.push_str("<testcase name=\"warned without a test\"><skipped/></testcase>");
        }
        xml.push_str("</testsuite>");
        xml.into_bytes()
    }
}

/// An attribute's value (XML 1.0, section 2.4); control characters, which no attribute may have, become spaces.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
