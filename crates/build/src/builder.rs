//! From a commit to images: every build of a system in a workspace of its own, then the images of its components,
//! their bill of materials and their provenance.
//!
//! It refuses to know whether the commit may be built and what becomes of the images. Nothing here is kept between
//! builds, so that what one commit leaves can not reach the next; a crash leaves a workspace, which the next build
//! removes, and blobs that nothing names.

use std::{collections::BTreeMap, fmt};

use model::{Clock, Commit, ComponentName, Digest, Serial, SystemName, Timestamp, manifest};

use crate::{
    fetch::{Ecosystem, LockedDependency},
    git::Mirror,
    image::{BuiltImage, ImageError, ImageOrigin, ImagePlan, ImageStore, build_image},
    provenance::{self, provenance},
    sandbox::{Endpoint, Phase},
    sbom::{Bill, BilledImage, sbom},
    toolchain::Tool,
    workspace::{RunSandbox, Site, Source, Workspace, WorkspaceError},
};

#[cfg(test)]
mod tests;

/// One build of a system: what it fetches and the commands that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildPlan {
    /// Its name.
    pub name: String,
    /// The package manager of its dependencies.
    pub fetch: Ecosystem,
    /// The registries that the fetch phase may reach.
    pub registries: Vec<Endpoint>,
    /// The commands, in order.
    pub commands: Vec<Vec<String>>,
    /// Variables for the commands.
    pub environment: BTreeMap<String, String>,
    /// Seconds that each command may take; the site's own limit where `None`.
    pub timeout_s: Option<u32>,
}

impl From<&manifest::Build> for BuildPlan {
    fn from(build: &manifest::Build) -> Self {
        Self {
            name: build.name.to_string(),
            fetch: build.fetch.into(),
            registries: build.registries.iter().map(Endpoint::from).collect(),
            commands: vec![build.run.clone()],
            environment: build.environment.clone(),
            timeout_s: Some(build.timeout_s),
        }
    }
}

/// One component that a build makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentPlan {
    /// Its name.
    pub name: ComponentName,
    /// The build that makes its files.
    pub build: String,
    /// What goes into its image.
    pub image: ImagePlan,
}

impl ComponentPlan {
    /// What the manifest says of a component; `None` for one whose image was made elsewhere. Its variables are part
    /// of the release and not of the image, so that changing one leaves the image as it is.
    pub fn of(component: &manifest::Component) -> Option<Self> {
        let manifest::Source::Build { build, files } = &component.source else { return None };
        let image = ImagePlan {
            component: component.name.to_string(),
            files: files.clone(),
            command: component.command.clone(),
            environment: BTreeMap::new(),
            mount_points: component.volumes.iter().map(|v| v.path.clone()).collect(),
            port: Some(component.port),
        };
        Some(Self { name: component.name.clone(), build: build.to_string(), image })
    }
}

/// What is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRequest {
    /// The system.
    pub system: SystemName,
    /// The serial of the change.
    pub serial: Serial,
    /// The commit.
    pub commit: Commit,
    /// The remote, for provenance.
    pub remote: String,
    /// The branch, for provenance.
    pub branch: String,
    /// A URI for this builder: its key in the charter.
    pub builder: String,
    /// The builds.
    pub builds: Vec<BuildPlan>,
    /// The components.
    pub components: Vec<ComponentPlan>,
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The images by component.
    pub images: Vec<(ComponentName, BuiltImage)>,
    /// Everything that was fetched, by build.
    pub dependencies: BTreeMap<String, Vec<LockedDependency>>,
    /// The tools that took part.
    pub tools: Vec<Tool>,
    /// The bill of materials (CycloneDX JSON).
    pub sbom: Vec<u8>,
    /// The provenance (in-toto statement, JSON).
    pub provenance: Vec<u8>,
    /// The time of the commit, which is the time in the images.
    pub committed_at: Timestamp,
}

impl Built {
    /// The digests of the images by component.
    pub fn digests(&self) -> Vec<(ComponentName, Digest)> {
        self.images.iter().map(|(name, image)| (name.clone(), image.digest)).collect()
    }
}

/// What is being done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The tree is written and dependencies are fetched for a build.
    Fetch(&'a str),
    /// A command of a build runs.
    Command {
        /// The build.
        build: &'a str,
        /// The command.
        command: &'a [String],
    },
    /// An image is made.
    Image(&'a ComponentName),
    /// Bill of materials and provenance are written.
    Documents,
    /// A line of output of the running command.
    Line(&'a str),
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(build) => write!(f, "fetching the dependencies of build {build}"),
            Self::Command { build, command } => write!(f, "build {build}: {}", command.join(" ")),
            Self::Image(component) => write!(f, "making the image of {component}"),
            Self::Documents => f.write_str("writing the bill of materials and the provenance"),
            Self::Line(line) => f.write_str(line),
        }
    }
}

/// Why a commit could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A component names a build that there is not.
    #[error("component `{component}` is made by build `{build}`, which is not among the builds")]
    NoBuild {
        /// The component.
        component: ComponentName,
        /// The build.
        build: String,
    },
    /// A build failed.
    #[error("build `{build}` failed")]
    Build {
        /// The build.
        build: String,
        /// Why.
        source: WorkspaceError,
    },
    /// An image could not be made.
    #[error("the image of component `{component}` can not be made")]
    Image {
        /// The component.
        component: ComponentName,
        /// Why not.
        source: ImageError,
    },
}

/// Builds with the means of one machine.
pub struct Builder<'a> {
    /// Where commits are.
    pub mirror: &'a Mirror,
    /// Where images are put.
    pub store: &'a ImageStore,
    /// Where workspaces and logs are.
    pub site: &'a Site,
    /// For the times in provenance.
    pub clock: &'a dyn Clock,
}

impl Builder<'_> {
    /// Builds everything; blocks until it is done.
    pub fn build(
        &self,
        request: &BuildRequest,
        sandbox: &mut RunSandbox<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Built, BuildError> {
        let started = self.clock.now();
        for component in &request.components {
            if !request.builds.iter().any(|b| b.name == component.build) {
                return Err(BuildError::NoBuild { component: component.name.clone(), build: component.build.clone() });
            }
        }
        let mut images = Vec::new();
        let mut dependencies = BTreeMap::new();
        let mut committed_at = Timestamp::default();
        for build in &request.builds {
            let failed = |source| BuildError::Build { build: build.name.clone(), source };
            let workspace = self.run(request, build, sandbox, progress).map_err(failed)?;
            committed_at = workspace.committed_at();
            for component in request.components.iter().filter(|c| c.build == build.name) {
                progress(Progress::Image(&component.name));
                let origin = origin(request, committed_at);
                let image = build_image(workspace.dir(), &component.image, &origin, self.store);
                let image = image.map_err(|source| BuildError::Image { component: component.name.clone(), source })?;
                images.push((component.name.clone(), image));
            }
            dependencies.insert(build.name.clone(), workspace.dependencies().to_vec());
            workspace.remove().map_err(failed)?;
        }
        images.sort_by(|a, b| a.0.cmp(&b.0));
        progress(Progress::Documents);
        let mut built = Built {
            images,
            dependencies,
            tools: self.site.toolchain.tools.clone(),
            sbom: Vec::new(),
            provenance: Vec::new(),
            committed_at,
        };
        built.sbom = bill(request, &built);
        built.provenance = self.provenance(request, &built, started);
        Ok(built)
    }

    fn run(
        &self,
        request: &BuildRequest,
        build: &BuildPlan,
        sandbox: &mut RunSandbox<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Workspace, WorkspaceError> {
        progress(Progress::Fetch(&build.name));
        let source = Source {
            serial: Some(request.serial.clone()),
            commit: request.commit,
            name: build.name.clone(),
            fetch: build.fetch,
            registries: build.registries.clone(),
        };
        let mut workspace =
            Workspace::prepare(self.mirror, &source, self.site, sandbox, &mut |line| progress(Progress::Line(line)))?;
        for command in &build.commands {
            progress(Progress::Command { build: &build.name, command });
            let mut plan = workspace.plan(self.site, Phase::Offline, command, build.environment.clone())?;
            plan.limits.time_s = build.timeout_s.unwrap_or(plan.limits.time_s);
            workspace.succeed(&plan, sandbox, &mut |line| progress(Progress::Line(line)))?;
        }
        Ok(workspace)
    }

    fn provenance(&self, request: &BuildRequest, built: &Built, started: Timestamp) -> Vec<u8> {
        let commands = request.builds.iter().map(|b| (b.name.clone(), b.commands.clone())).collect();
        let mut dependencies: Vec<LockedDependency> = built.dependencies.values().flatten().cloned().collect();
        dependencies.sort();
        dependencies.dedup();
        provenance(&provenance::Facts {
            builder: &request.builder,
            builder_version: env!("CARGO_PKG_VERSION"),
            system: &request.system,
            serial: &request.serial,
            remote: &request.remote,
            branch: &request.branch,
            commit: request.commit,
            images: &built.digests(),
            commands: &commands,
            dependencies: &dependencies,
            tools: &built.tools,
            sbom: Digest::of(&built.sbom),
            started,
            finished: self.clock.now(),
        })
    }
}

fn origin(request: &BuildRequest, committed_at: Timestamp) -> ImageOrigin {
    ImageOrigin {
        serial: request.serial.clone(),
        commit: request.commit,
        committed_at,
        source: request.remote.clone(),
        vendor: request.system.to_string(),
    }
}

fn bill(request: &BuildRequest, built: &Built) -> Vec<u8> {
    let images = built.images.iter().map(|(name, image)| {
        let build = request.components.iter().find(|c| &c.name == name).map(|c| c.build.as_str()).unwrap_or_default();
        let dependencies = built.dependencies.get(build).map(Vec::as_slice).unwrap_or_default();
        BilledImage { component: name, digest: image.digest, dependencies, libraries: &image.libraries }
    });
    sbom(&Bill {
        system: &request.system,
        serial: &request.serial,
        commit: request.commit,
        committed_at: built.committed_at,
        images: images.collect(),
        tools: &built.tools,
    })
}
