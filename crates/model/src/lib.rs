//! The nouns of Countersign: typed ids, digests, serials, releases, flows, route tables and the manifest.
//!
//! Everything here is a value. This room refuses to know about files, sockets, clocks, logs and policy:
//! it parses at the door and hands on types that cannot be wrong in the ways that parsing can catch.

mod canonical;
mod clock;
mod digest;
pub mod glossary;
mod ids;
pub mod manifest;
pub mod release;
pub mod route;
mod serial;
pub mod series;
pub mod value;

pub use canonical::{CanonicalError, from_json_strict, to_json};
pub use clock::{Clock, Timestamp};
pub use digest::{Commit, Digest, DigestError};
pub use ids::{
    BuildName, CaseId, ComponentName, EnvironmentName, HostName, IdError, KeyId, PersonId, RequirementId, RobotId,
    RoleName, SecretName, SuiteName, SystemName, ValueName, VolumeName, ZoneName,
};
pub use serial::{Serial, SerialError};
pub use series::{Series, SeriesError};
