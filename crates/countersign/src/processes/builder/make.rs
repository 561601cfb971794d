//! From an accepted change to images, the release document, provenance and SBOM, and the build statement.

use std::collections::BTreeMap;

use build::{
    builder::{BuildError, BuildPlan, BuildRequest, Builder as Make, ComponentPlan, Progress},
    fetch::Ecosystem,
    git::Mirror,
    workspace::WorkspaceError,
};
use gate::Said;
use ledger::{
    dsse::Envelope,
    durable,
    statement::{
        PAYLOAD_TYPE,
        v1::{Build, Change, Claim, Image, SystemRule},
    },
};
use model::{
    ComponentName, Digest, Serial,
    manifest::{self, FetchTool, Manifest, Source},
};

use super::Builder;
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    processes::workshop::Workshop,
    say::About,
    status::StatusFile,
};

impl Builder {
    /// Builds a change and says what came of it.
    pub(super) fn make(
        &mut self,
        system: &SystemRule,
        mirror: &Mirror,
        change: &Said<Change>,
        workshop: &mut Workshop,
        status: &mut StatusFile,
    ) -> Result<(), Fault> {
        let serial = Serial::new(system.name.clone(), change.claim.ordinal);
        let manifest = manifest_of(mirror, change)?;
        for component in manifest.components.values() {
            if let Source::Image(digest) = &component.source {
                self.store.verify(*digest).map_err(|e| {
                    Fault::from_error(Kind::Input, e)
                        .context(format!("the image of `{}` is not here", component.name))
                        .hint("bring it in with `countersign import`")
                })?;
            }
        }
        let request = request(&manifest, system, change, serial.clone(), &self.name);
        let maker = Make { mirror, store: &self.store, site: &workshop.site, clock: &SystemClock };
        let mut last = String::new();
        let mut say = |progress: Progress<'_>| {
            let words = format!("building {serial}: {progress}");
            // Lines of output come by the hundred; what is being done does not.
            if !matches!(progress, Progress::Line(_)) && words != last {
                tracing::info!("{words}");
                status.say(words.clone(), Vec::new());
                last = words;
            }
        };
        let built = maker.build(&request, &mut workshop.runner(), &mut say).map_err(|e| {
            let kind = if is_away(&e) { Kind::Unavailable } else { Kind::Input };
            Fault::from_error(kind, e).context(format!("{serial} can not be built"))
        })?;

        let mut images: BTreeMap<ComponentName, Digest> = built.digests().into_iter().collect();
        let release = manifest
            .compose(serial.clone(), change.claim.commit, &images)
            .because(Kind::Input, "no release can be composed")?;
        images.extend(release.components.iter().map(|c| (c.name.clone(), c.image)));
        let document = release.to_bytes().because(Kind::Internal, "the release can not be written")?;
        let release = self.keep(&document)?;
        let sbom = self.keep(&built.sbom)?;
        // Signed by itself as well, so that tools outside read it without the log.
        let provenance = Envelope::seal(PAYLOAD_TYPE, built.provenance.clone(), self.speaker.signer())
            .because(Kind::Internal, "the provenance can not be signed")?;
        let provenance = self.keep(&provenance.canonical_bytes())?;
        let dependencies = built.dependencies.values().map(Vec::len).sum::<usize>();
        let build = Build {
            change: change.index,
            serial,
            release,
            images: images.into_iter().map(|(component, image)| Image { component, image }).collect(),
            provenance,
            sbom,
            dependencies: u32::try_from(dependencies).unwrap_or(u32::MAX),
        };
        let about = About { system: Some(system.name.clone()), seen: self.view.seen(), ..About::default() };
        let said = self.speaker.say(self.view.log(), Claim::Build(Box::new(build)), about, &[])?;
        self.view.wait_for(said.index, super::super::COSIGN_TIMEOUT)
    }

    /// Keeps a document beside the images, under its digest.
    fn keep(&self, bytes: &[u8]) -> Result<Digest, Fault> {
        let digest = Digest::of(bytes);
        let path = self.images.join("blobs/sha256").join(digest.hex());
        durable::write(&path, bytes, 0o644)
            .because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
        Ok(digest)
    }
}

/// The manifest of a change, which is the one that the change names.
pub(crate) fn manifest_of(mirror: &Mirror, change: &Said<Change>) -> Result<Manifest, Fault> {
    let bytes = mirror
        .read(change.claim.commit, manifest::FILE_NAME, manifest::limits::TEXT_BYTES as u64)
        .because(Kind::Input, "the manifest can not be read")?
        .ok_or_else(|| Fault::new(Kind::Input, "the commit has no manifest"))?;
    if Digest::of(&bytes) != change.claim.manifest {
        return Err(Fault::new(Kind::Untrue, "the change names another manifest than the commit has"));
    }
    Ok(Manifest::parse_bytes(&bytes).because(Kind::Input, "the manifest does not hold up")?.manifest)
}

fn request(
    manifest: &Manifest,
    system: &SystemRule,
    change: &Said<Change>,
    serial: Serial,
    builder: &str,
) -> BuildRequest {
    let builds = manifest.builds.values().map(BuildPlan::from).collect();
    let components = manifest.components.values().filter_map(ComponentPlan::of).collect();
    BuildRequest {
        system: system.name.clone(),
        serial,
        commit: change.claim.commit,
        remote: system.remote.clone(),
        branch: system.branch.clone(),
        builder: builder.to_owned(),
        builds,
        components,
    }
}

/// The package manager of a build, as the build room names it.
pub(crate) const fn ecosystem(tool: Option<FetchTool>) -> Ecosystem {
    match tool {
        Some(FetchTool::Cargo) => Ecosystem::Cargo,
        Some(FetchTool::Npm) => Ecosystem::Npm,
        Some(FetchTool::Pip) => Ecosystem::Pip,
        Some(FetchTool::Debian) => Ecosystem::Debian,
        None => Ecosystem::None,
    }
}

/// Whether the machine or a process on it was in the way, and not what is built.
const fn is_away(error: &BuildError) -> bool {
    matches!(
        error,
        BuildError::Build {
            source: WorkspaceError::Sandbox { .. } | WorkspaceError::Git(_) | WorkspaceError::Io { .. },
            ..
        }
    )
}
