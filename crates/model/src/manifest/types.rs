//! What a manifest says, part by part. Where a part goes into a release as it is, it has the release's own type.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use crate::{
    BuildName, ComponentName, Digest, EnvironmentName, RequirementId, SecretName, SuiteName, ValueName, ZoneName,
    release::{Analysis, Drain, Health, Limits, Migration, Newer, Strategy, Surge, Versions, Volume},
};

/// A way of building from source: dependencies first, with the network to the registries only, then the command,
/// with no network at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its name.
    pub name: BuildName,
    /// What fetches dependencies by lock file; `None` for a build that has none.
    pub fetch: Option<FetchTool>,
    /// The only addresses that the fetch phase reaches. Empty exactly if there is no `fetch`.
    pub registries: BTreeSet<Registry>,
    /// The command and its arguments; never empty.
    pub run: Vec<String>,
    /// Variables for the command.
    pub environment: BTreeMap<String, String>,
    /// Seconds after which it is ended.
    pub timeout_s: u32,
}

/// What fetches dependencies by lock file without running code of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FetchTool {
    /// Rust crates, by `Cargo.lock`.
    Cargo,
    /// JavaScript packages, by `package-lock.json`.
    Npm,
    /// Python packages, by `requirements.txt` with hashes.
    Pip,
    /// Debian packages, by `debian.lock`.
    Debian,
}

impl FetchTool {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cargo, Self::Npm, Self::Pip, Self::Debian];

    /// As the manifest writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Pip => "pip",
            Self::Debian => "debian",
        }
    }
}

/// The address of a package registry: a host and a port, both written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry {
    host: String,
    port: u16,
}

/// Why a text is not the address of a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It is a URL.
    #[error("`{0}` is a URL; a registry is a host and a port, as in `index.crates.io:443`")]
    Url(String),
    /// There is no port.
    #[error("`{0}` names no port; write it out, as in `index.crates.io:443`")]
    Port(String),
    /// The host is not one.
    #[error("`{0}` is not a host and a port, as in `index.crates.io:443` or `[::1]:8790`")]
    Host(String),
}

impl Registry {
    /// A DNS name or an IP address, the latter without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Registry {
    type Err = RegistryError;

    /// DNS names as RFC 1123 section 2.1 has them, in lower case so that one host has one form.
    fn from_str(text: &str) -> Result<Self, RegistryError> {
        if text.contains('/') {
            return Err(RegistryError::Url(text.to_owned()));
        }
        let no_port = || RegistryError::Port(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
        let digits = !port.is_empty() && !port.starts_with('0') && port.bytes().all(|b| b.is_ascii_digit());
        let port: u16 = if digits {
            port.parse().map_err(|_| no_port())?
        } else {
            return Err(no_port());
        };
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let bare = bracketed.unwrap_or(host);
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        // A name whose last label is a number is an IPv4 address that is not quite one (URL Standard, "ends in a number").
        let numeric = bare.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        let valid = match bare.parse::<IpAddr>() {
            Ok(address) => address.is_ipv6() == bracketed.is_some(),
            Err(_) => bracketed.is_none() && bare.len() <= 253 && !numeric && bare.split('.').all(label),
        };
        if valid { Ok(Self { host: bare.to_owned(), port }) } else { Err(RegistryError::Host(text.to_owned())) }
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One component of a system.
///
/// Invariant `one-writer`: a component with an exclusive volume has one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: ComponentName,
    /// Where its image comes from.
    pub source: Source,
    /// What to run instead of the image's own entry point; never empty for what is built here.
    pub command: Vec<String>,
    /// The TCP port that it listens on.
    pub port: u16,
    /// How it says that it is well.
    pub health: Health,
    /// The zone that its instances live in.
    pub zone: ZoneName,
    /// How many instances.
    pub replicas: u32,
    /// What each instance may use.
    pub limits: Limits,
    /// Its volumes, in the order of their names; no two overlap.
    pub volumes: Vec<Volume>,
    /// Migrations of its state, oldest first; ids are unique.
    pub migrations: Vec<Migration>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Secrets by reference: the variable that holds the path of the file, and the reference.
    pub secrets: BTreeMap<String, SecretName>,
    /// The guarded values that it reads.
    pub values: BTreeSet<ValueName>,
    /// How an instance is told that it drains.
    pub drain: Option<Drain>,
}

impl Component {
    /// Whether only one instance may run at a time.
    pub fn is_exclusive(&self) -> bool {
        self.volumes.iter().any(|v| v.exclusive)
    }
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Made here.
    Build {
        /// The build.
        build: BuildName,
        /// Absolute path in the image, and path in the build's workspace.
        files: BTreeMap<String, String>,
    },
    /// Made elsewhere: the digest of its OCI image manifest.
    Image(Digest),
}

/// A suite as it is defined. Its digest says whether two commits have the same suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteDefinition {
    /// Its name.
    pub name: SuiteName,
    /// Whether it counts for a release.
    pub kind: SuiteKind,
    /// What it drives.
    pub on: SuiteTarget,
    /// The build whose fetched dependencies it is given.
    pub build: Option<BuildName>,
    /// The command and its arguments; never empty.
    pub run: Vec<String>,
    /// The JUnit XML file that it writes, relative to the workspace; one `*` in its name stands for any part of a
    /// name, for runners that write a file a class. `report_place` takes it apart.
    pub report: String,
    /// The requirements that it covers.
    pub requirements: BTreeSet<RequirementId>,
    /// The files and folders that make it; a change to them is shown to approvers. Never empty.
    pub paths: BTreeSet<String>,
    /// Seconds after which it is ended.
    pub timeout_s: u32,
    /// Variables for the command.
    pub environment: BTreeMap<String, String>,
}

impl SuiteDefinition {
    /// Where its report is looked for.
    pub fn report_place(&self) -> ReportPlace<'_> {
        let (folder, name) = self.report.rsplit_once('/').unwrap_or(("", &self.report));
        ReportPlace { folder, name }
    }
}

/// Where a report is looked for: a folder, and the name of a file with at most one `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportPlace<'s> {
    folder: &'s str,
    name: &'s str,
}

impl<'s> ReportPlace<'s> {
    /// The folder, relative to the workspace; empty for the workspace itself.
    pub const fn folder(&self) -> &'s str {
        self.folder
    }

    /// Whether several files may make the report.
    pub fn is_pattern(&self) -> bool {
        self.name.contains('*')
    }

    /// Whether a file of this name in that folder is part of the report.
    pub fn takes(&self, file_name: &str) -> bool {
        match self.name.split_once('*') {
            None => file_name == self.name,
            Some((start, end)) => file_name.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        }
    }
}

/// Whether a suite counts for a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuiteKind {
    /// A quick look; never enough for a release.
    Smoke,
    /// Everything that must hold.
    Full,
}

impl SuiteKind {
    /// As the manifest writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Full => "full",
        }
    }
}

/// What a suite drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuiteTarget {
    /// The source tree: its results are about the commit.
    Source,
    /// Containers started from the proposed digests: its results are about them.
    Containers,
}

impl SuiteTarget {
    /// As the manifest writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Containers => "containers",
        }
    }
}

/// How a release is put into one environment. It can only be stricter than the charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name, as in the charter.
    pub name: EnvironmentName,
    /// The way of replacing one version by the next.
    pub strategy: Strategy,
    /// The component and the address that the edge listens on for it.
    pub expose: BTreeMap<ComponentName, SocketAddr>,
    /// Seconds of watching after the switch.
    pub watch_s: u32,
    /// The share of failed requests, in hundredths of a percent, above which it goes back.
    pub error_limit_bp: u32,
    /// The number of requests below which the share says nothing.
    pub error_min_requests: u32,
    /// Seconds that the old version has to finish.
    pub drain_s: u32,
    /// Milliseconds that the edge may hold requests at a hand-over.
    pub hold_ms: u32,
    /// Approvals in all, where that is more than the charter asks for.
    pub approvals: Option<u32>,
    /// How the new version is compared with the old one.
    pub analysis: Option<Analysis>,
    /// The environment that the same release must have run in before.
    pub after: Option<EnvironmentName>,
    /// Seconds that it must have run there.
    pub soak_s: u32,
    /// How versions live side by side.
    pub versions: Option<Versions>,
    /// Exposed components that are spoken to over plain TCP.
    pub tcp: BTreeSet<ComponentName>,
    /// What is done for exposed components when more is asked than they can take.
    pub surge: BTreeMap<ComponentName, Surge>,
    /// What a newer release does while one is on its way.
    pub newer: Newer,
}
