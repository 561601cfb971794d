//! Builds: which images came out of which change.

use model::{ComponentName, Digest, Serial};
use serde::{Deserialize, Serialize};

/// What the builder made of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The log index of the change.
    pub change: u64,
    /// The serial.
    pub serial: Serial,
    /// The digest of the release document.
    pub release: Digest,
    /// Every component's image.
    pub images: Vec<Image>,
    /// The digest of the SLSA provenance.
    pub provenance: Digest,
    /// The digest of the CycloneDX SBOM.
    pub sbom: Digest,
    /// How many locked dependencies the provenance lists.
    pub dependencies: u32,
}

/// A component's image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The component.
    pub component: ComponentName,
    /// The digest of its OCI manifest.
    pub image: Digest,
}
