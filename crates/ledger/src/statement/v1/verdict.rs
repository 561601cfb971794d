//! Verdicts: what `decide` said, as a SLSA verification summary (`slsa-framework/slsa:spec/verification_summary.md`, v1.2).

use model::{Digest, EnvironmentName, Serial, Timestamp};
use serde::{Deserialize, Serialize};

use super::Header;

/// The answer of one version of `decide` over the first `size` statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The environment.
    pub environment: EnvironmentName,
    /// The log index of the proposal.
    pub proposal: u64,
    /// The release.
    pub release: Digest,
    /// Its serial.
    pub serial: Serial,
    /// The answer.
    pub ruling: Ruling,
    /// How many statements it was decided over.
    pub size: u64,
    /// The log indices of the statements that it rests on.
    pub rests_on: Vec<u64>,
    /// The version of `decide`.
    pub decide: String,
    /// The digest of the policy text.
    pub policy: Digest,
    /// The log's time at that size.
    pub at: Timestamp,
    /// Whether the time is only the robots' own.
    pub unwitnessed: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ruling {
    /// Yes, until then.
    Granted {
        /// The log time at which it ends.
        until: Timestamp,
    },
    /// No.
    Refused {
        /// Every rule that fails.
        reasons: Vec<Reason>,
    },
}

/// A rule that fails. Codes and counts only; words for people are made from them, beside the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The rule, by its name in the policy.
    pub rule: String,
    /// What there is, from the facts.
    pub found: String,
    /// What would satisfy it.
    pub needed: String,
}

/// The SLSA verification summary of a verdict, with Countersign's own fields as extensions
/// (`<vendor>_<field>`, as the SLSA specification asks for).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentVerdict {
    verifier: Verifier,
    #[serde(rename = "timeVerified")]
    time_verified: String,
    #[serde(rename = "resourceUri")]
    resource_uri: String,
    policy: Policy,
    #[serde(rename = "verificationResult")]
    verification_result: String,
    #[serde(rename = "verifiedLevels")]
    verified_levels: Vec<String>,
    #[serde(rename = "slsaVersion")]
    slsa_version: String,
    countersign_header: Header,
    countersign_decision: Decision,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verifier {
    id: String,
    version: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    uri: String,
    digest: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    environment: EnvironmentName,
    proposal: u64,
    release: Digest,
    serial: Serial,
    ruling: Ruling,
    size: u64,
    rests_on: Vec<u64>,
    decide: String,
    policy: Digest,
    at: Timestamp,
    unwitnessed: bool,
}

/// The level that a granted verdict states.
const GRANTED_LEVEL: &str = "COUNTERSIGN_RELEASE";

impl EnvironmentVerdict {
    pub(crate) fn of(header: Header, v: &Verdict) -> Self {
        let granted = matches!(v.ruling, Ruling::Granted { .. });
        Self {
            verifier: Verifier {
                id: "https://countersign.dev/gate".to_owned(),
                version: [("decide".to_owned(), v.decide.clone())].into(),
            },
            time_verified: v.at.to_string(),
            resource_uri: format!("countersign:{}/{}/{}", v.serial.system(), v.environment, v.serial),
            policy: Policy {
                uri: "countersign:charter#policy".to_owned(),
                digest: [("sha256".to_owned(), v.policy.hex())].into(),
            },
            verification_result: if granted { "PASSED" } else { "FAILED" }.to_owned(),
            verified_levels: if granted { vec![GRANTED_LEVEL.to_owned()] } else { Vec::new() },
            slsa_version: "1.2".to_owned(),
            countersign_header: header,
            countersign_decision: Decision {
                environment: v.environment.clone(),
                proposal: v.proposal,
                release: v.release,
                serial: v.serial.clone(),
                ruling: v.ruling.clone(),
                size: v.size,
                rests_on: v.rests_on.clone(),
                decide: v.decide.clone(),
                policy: v.policy,
                at: v.at,
                unwitnessed: v.unwitnessed,
            },
        }
    }

    /// The header and the verdict. The summary's own fields follow from them; reading compares the bytes that
    /// writing gives, so a summary that says something else than its decision is refused there.
    pub(crate) fn open(self) -> (Header, Verdict) {
        let d = self.countersign_decision;
        let verdict = Verdict {
            environment: d.environment,
            proposal: d.proposal,
            release: d.release,
            serial: d.serial,
            ruling: d.ruling,
            size: d.size,
            rests_on: d.rests_on,
            decide: d.decide,
            policy: d.policy,
            at: d.at,
            unwitnessed: d.unwitnessed,
        };
        (self.countersign_header, verdict)
    }
}
