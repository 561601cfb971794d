//! Versions that run side by side in an environment, as a release document has it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{IdError, Serial, digest::as_text};

/// How long versions live side by side. A release that goes live leaves the one before running, reachable by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The DNS name below which versions and channels have theirs: `guestbook-000012.<domain>`, `2026-10.<domain>`. The
    /// domain itself and `latest.<domain>` are the plain address.
    pub domain: String,
    /// Channels that this release takes when it goes live, sorted. Until then each stays where it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// Versions that run at once, the latest among them. At the bound the next release waits.
    pub most: u32,
    /// Seconds that somebody counts as a client after a request or the end of a session.
    pub client_s: u32,
    /// Seconds without a client after which a version is retired by itself; without it people retire it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire_after_s: Option<u32>,
    /// The longest lease, in seconds, that a client may take without a connection.
    pub lease_s: u32,
}

/// The name of a channel: one label of a DNS name, such as `2026-10`. It is neither `latest`, which is the plain address,
/// nor of the form of a serial, which is a version's own name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(std::sync::Arc<str>);

/// A channel stands in a host name before a domain.
const CHANNEL_LIMIT: usize = 48;

impl Channel {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Channel {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let what = "channel";
        if text.is_empty() {
            return Err(IdError::Empty { what });
        }
        if text.len() > CHANNEL_LIMIT {
            return Err(IdError::TooLong {
                what,
                text: text.chars().take(CHANNEL_LIMIT).collect(),
                limit: CHANNEL_LIMIT,
            });
        }
        let wrong = |rule| Err(IdError::Character { what, text: text.to_owned(), rule });
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !letters || text.starts_with('-') || text.ends_with('-') || text.contains("--") {
            return wrong("use lower-case letters, digits and single hyphens, as in `2026-10`");
        }
        if text == "latest" {
            return wrong("every release takes `latest`; leave it out");
        }
        if text.parse::<Serial>().is_ok() {
            return wrong("it has the form of a serial, which is a version's own name");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

as_text!(Channel);

impl Versions {
    /// The stable name of a version.
    pub fn name_of(&self, serial: &Serial) -> String {
        format!("{serial}.{}", self.domain)
    }

    /// The name of a channel.
    pub fn name_of_channel(&self, channel: &Channel) -> String {
        format!("{channel}.{}", self.domain)
    }

    /// The names of the plain address.
    pub fn plain_names(&self) -> [String; 2] {
        [self.domain.clone(), format!("latest.{}", self.domain)]
    }
}
