//! From a manifest at a commit and the images that were built of it to the release document that people approve.

use std::collections::BTreeMap;

use crate::{
    Commit, ComponentName, Digest, Serial, SystemName,
    release::{self, Release},
};

use super::{
    Manifest,
    types::{Component, Environment, Source},
};

/// Why images and a manifest make no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The serial is of another system.
    #[error("the serial `{serial}` is not of the system `{system}`")]
    OtherSystem {
        /// The serial that was given.
        serial: Serial,
        /// The system of the manifest.
        system: SystemName,
    },
    /// A component that is built here has no image.
    #[error("the component `{0}` has no image; it was not built")]
    NotBuilt(ComponentName),
    /// There is an image for something that the manifest does not have.
    #[error("there is an image for `{0}`, which the manifest does not have")]
    Unknown(ComponentName),
    /// There is another image for a component whose image the manifest fixes.
    #[error("the component `{component}` is fixed to `{fixed}` by the manifest, but `{given}` was given for it")]
    Fixed {
        /// The component.
        component: ComponentName,
        /// The digest in the manifest.
        fixed: Digest,
        /// The digest that was given.
        given: Digest,
    },
}

impl Manifest {
    /// The release that this manifest at this commit makes of these images. The same arguments give the same document.
    ///
    /// `images` has the digest of the OCI image manifest of every component that is built here; those that the
    /// manifest takes by digest may be there too.
    ///
    /// # Errors
    /// If an image is missing, foreign or not the one that the manifest fixes, or the serial is of another system.
    pub fn compose(
        &self,
        serial: Serial,
        commit: Commit,
        images: &BTreeMap<ComponentName, Digest>,
    ) -> Result<Release, ComposeError> {
        if serial.system() != &self.system {
            return Err(ComposeError::OtherSystem { serial, system: self.system.clone() });
        }
        if let Some(name) = images.keys().find(|name| !self.components.contains_key(*name)) {
            return Err(ComposeError::Unknown(name.clone()));
        }
        Ok(Release {
            system: self.system.clone(),
            serial,
            commit,
            components: self.components.values().map(|c| c.compose(images)).collect::<Result<_, _>>()?,
            flows: self.flows.iter().cloned().collect(),
            environments: self.environments.values().map(Environment::compose).collect(),
        })
    }
}

impl Component {
    fn compose(&self, images: &BTreeMap<ComponentName, Digest>) -> Result<release::Component, ComposeError> {
        let image = match (&self.source, images.get(&self.name)) {
            (Source::Build { .. }, Some(built)) => *built,
            (Source::Build { .. }, None) => return Err(ComposeError::NotBuilt(self.name.clone())),
            (Source::Image(fixed), Some(given)) if given != fixed => {
                return Err(ComposeError::Fixed { component: self.name.clone(), fixed: *fixed, given: *given });
            }
            (Source::Image(fixed), _) => *fixed,
        };
        Ok(release::Component {
            name: self.name.clone(),
            image,
            command: self.command.clone(),
            port: self.port,
            health: self.health.clone(),
            zone: self.zone.clone(),
            replicas: self.replicas,
            limits: self.limits.clone(),
            volumes: self.volumes.clone(),
            migrations: self.migrations.clone(),
            environment: self.environment.clone(),
            secrets: self.secrets.clone(),
            values: self.values.iter().cloned().collect(),
            drain: self.drain.clone(),
        })
    }
}

impl Environment {
    fn compose(&self) -> release::Environment {
        release::Environment {
            name: self.name.clone(),
            strategy: self.strategy,
            expose: self.expose.clone(),
            watch_s: self.watch_s,
            error_limit_bp: self.error_limit_bp,
            error_min_requests: self.error_min_requests,
            drain_s: self.drain_s,
            hold_ms: self.hold_ms,
            approvals: self.approvals,
            analysis: self.analysis.clone(),
            versions: self.versions.clone(),
            tcp: self.tcp.clone(),
            surge: self.surge.clone(),
            newer: self.newer,
        }
    }
}
