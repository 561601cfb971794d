//! Where commits come from: a remote and a branch, as the charter names them, parsed so that neither can be taken
//! for an option, a command or a transport that runs programs.

use std::{fmt, path::Path, str::FromStr};

/// Longest remote or branch; longer ones are not addresses.
const TEXT_LIMIT: usize = 1024;

/// A remote repository: an absolute path, or a `file:`, `https:` or `ssh:` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote(String);

/// A branch, without `refs/heads/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch(String);

/// Why a text is not a remote or a branch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Neither an absolute path nor an allowed URL.
    #[error(
        "`{0}` is not a remote that is allowed: write an absolute path, or a URL that starts with `https://`, `ssh://` or `file://`"
    )]
    Remote(String),
    /// A password in the URL, which would reach process lists and logs.
    #[error("the remote at `{0}` carries a password: leave it out and use an SSH key or a credential of the machine")]
    Password(String),
    /// Not a branch name (git-check-ref-format).
    #[error("`{0}` is not a branch name, such as `main` or `release/2`")]
    Branch(String),
}

impl Remote {
    /// The text, as git takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that it names on this machine, if it does.
    pub(super) fn local_path(&self) -> Option<&Path> {
        let path = self.0.strip_prefix("file://").unwrap_or(&self.0);
        path.starts_with('/').then(|| Path::new(path))
    }
}

impl FromStr for Remote {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Remote(text.chars().take(TEXT_LIMIT).collect());
        if text.len() > TEXT_LIMIT || text.chars().any(|c| c.is_control() || c.is_whitespace()) || text.contains("::") {
            return Err(wrong());
        }
        if text.starts_with('/') || text.starts_with("file:///") {
            return Ok(Self(text.to_owned()));
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("ssh://")).ok_or_else(wrong)?;
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.starts_with('-') || authority.starts_with('-') {
            return Err(wrong());
        }
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(RemoteError::Password(host.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Branch {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let bad_part =
            |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock") || part.ends_with('.');
        let bad_char = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        let bad = text.is_empty()
            || text.len() > TEXT_LIMIT
            || text.starts_with('-')
            || text == "@"
            || text.contains("..")
            || text.contains("@{")
            || text.chars().any(bad_char)
            || text.split('/').any(bad_part);
        if bad { Err(RemoteError::Branch(text.chars().take(TEXT_LIMIT).collect())) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
