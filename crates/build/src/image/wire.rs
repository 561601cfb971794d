//! The documents of an OCI image (image-spec v1.1: `manifest.md`, `config.md`, `image-index.md`, `descriptor.md`,
//! `image-layout.md`). Maps are sorted, so that equal content gives equal bytes.

use std::collections::BTreeMap;

use model::Digest;
use serde::{Deserialize, Serialize};

use super::{COMPONENT_USER, ImageOrigin, ImagePlan};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The serial, among annotations and labels.
pub(super) const SERIAL: &str = "io.countersign.serial";
/// Where programs are, for what a component starts by name.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<String>,
    pub(super) manifests: Vec<Descriptor>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layout {
    pub(super) image_layout_version: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    pub(super) architecture: String,
    pub(super) os: String,
    #[serde(default)]
    pub(super) config: Process,
    pub(super) rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) history: Vec<History>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Process {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exposed_ports: Option<BTreeMap<String, Empty>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) env: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cmd: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) working_dir: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Empty {}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RootFs {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) diff_ids: Vec<Digest>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
}

/// The machine's architecture in the words of Go, which OCI uses.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(super) fn layer(digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: LAYER.to_owned(), digest, size, platform: None, annotations: BTreeMap::new() }
}

fn annotations(plan: &ImagePlan, origin: &ImageOrigin) -> BTreeMap<String, String> {
    let oci = |name: &str| format!("org.opencontainers.image.{name}");
    BTreeMap::from([
        (oci("created"), origin.committed_at.to_string()),
        (oci("revision"), origin.commit.to_string()),
        (oci("source"), origin.source.clone()),
        (oci("version"), origin.serial.to_string()),
        (oci("title"), plan.component.clone()),
        (oci("vendor"), origin.vendor.clone()),
        (SERIAL.to_owned(), origin.serial.to_string()),
    ])
}

impl Config {
    pub(super) fn new(plan: &ImagePlan, origin: &ImageOrigin, layer: Digest) -> Self {
        let serial = origin.serial.to_string();
        let mut env = BTreeMap::from([("PATH", PATH)]);
        env.extend(plan.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        env.insert("COUNTERSIGN_SERIAL", &serial);
        let created = Some(origin.committed_at.to_string());
        Self {
            created: created.clone(),
            architecture: architecture().to_owned(),
            os: "linux".to_owned(),
            config: Process {
                user: Some(COMPONENT_USER.to_owned()),
                exposed_ports: plan.port.map(|port| BTreeMap::from([(format!("{port}/tcp"), Empty {})])),
                env: Some(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
                entrypoint: (!plan.command.is_empty()).then(|| plan.command.clone()),
                cmd: None,
                working_dir: Some("/".to_owned()),
                labels: Some(annotations(plan, origin)),
            },
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![layer] },
            history: vec![History { created, created_by: Some(format!("countersign {serial} {}", plan.component)) }],
        }
    }
}

impl Manifest {
    pub(super) fn new(plan: &ImagePlan, origin: &ImageOrigin, config: Descriptor, layer: Descriptor) -> Self {
        let config = Descriptor { media_type: CONFIG.to_owned(), ..config };
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config,
            layers: vec![layer],
            annotations: annotations(plan, origin),
        }
    }
}
