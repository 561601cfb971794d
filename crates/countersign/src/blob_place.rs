//! Where bodies are kept: a folder, or an S3-compatible store.
//!
//! It refuses to know what is in it. What must be read before a process confines itself (keys, certificates) is read when
//! the place is named, not when it is opened.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ledger::blobs::{Blobs, FileBlobs};
use stores::s3::{S3Blobs, S3Place};

use crate::{
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    layout::Layout,
};

/// The folder in the `log` role's own.
const FOLDER: &str = "bodies";
/// Amazon's first region, which other stores take for "any".
const REGION: &str = "us-east-1";
const FORM: &str = "write s3://BUCKET/PREFIX?endpoint=https://HOST&access-key-file=FILE&secret-key-file=FILE, and if needed \
                    region=NAME, ca-file=FILE, plain-http=yes";
/// What asking a name server and checking a certificate read, where the host has it.
const NAME_FILES: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];
const CERTIFICATES: [&str; 3] = ["/etc/ssl", "/usr/share/ca-certificates", "/usr/lib/ssl"];
/// The port of name servers, where an answer is too long for UDP.
const NAME_PORT: u16 = 53;

/// A place for bodies.
pub(crate) enum BlobPlace {
    /// Files below a folder.
    Folder(PathBuf),
    /// A bucket.
    S3(Box<S3Place>),
}

impl BlobPlace {
    /// Where the settings say, or the folder of the `log` role.
    pub(crate) fn of_host(layout: &Layout, named: Option<&str>) -> Result<Self, Fault> {
        match named {
            Some(text) => Self::parse(text),
            None => Ok(Self::Folder(layout.home(RoleUser::Log).join(FOLDER))),
        }
    }

    /// From what a person writes: `s3://BUCKET/PREFIX?endpoint=…`, or the path of a folder. Reads the files that it names.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let Some(rest) = text.strip_prefix("s3://") else {
            if text.contains("://") {
                return Err(Fault::new(
                    Kind::Usage,
                    format!("bodies can not be kept at `{}`", stores::without_secrets(text)),
                )
                .hint(FORM));
            }
            return Ok(Self::Folder(PathBuf::from(text)));
        };
        let wrong = |words: String| Fault::new(Kind::Usage, words).hint(FORM);
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(wrong(format!("`{text}` names no bucket")));
        }
        let (mut endpoint, mut region, mut access, mut secret, mut authorities) = (None, None, None, None, None);
        let mut plain_http = false;
        for option in options.split('&').filter(|o| !o.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| wrong(format!("`{option}` has no value")))?;
            let slot = match name {
                "endpoint" => &mut endpoint,
                "region" => &mut region,
                "access-key-file" => &mut access,
                "secret-key-file" => &mut secret,
                "ca-file" => &mut authorities,
                "plain-http" if value == "yes" => {
                    plain_http = true;
                    continue;
                }
                _ => return Err(wrong(format!("`{option}` says nothing about a store"))),
            };
            *slot = Some(value.to_owned());
        }
        let needed = |what: Option<String>, name: &str| what.ok_or_else(|| wrong(format!("`{text}` has no `{name}`")));
        let place = S3Place {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: needed(endpoint, "endpoint")?,
            region: region.unwrap_or_else(|| REGION.to_owned()),
            access_key: secret_of(&needed(access, "access-key-file")?)?,
            secret_key: secret_of(&needed(secret, "secret-key-file")?)?,
            authorities: authorities.map(|path| bytes_of(&path)).transpose()?,
            plain_http,
        };
        place.port().because(Kind::Usage, "the store of bodies can not be used")?;
        Ok(Self::S3(Box::new(place)))
    }

    /// What a process that keeps bodies there needs beside its own folder.
    pub(crate) fn allow(&self, confinement: &mut Confinement) -> Result<(), Fault> {
        match self {
            Self::Folder(folder) => {
                // Its own folder is made when it is opened, inside what the role may write.
                if folder.exists() {
                    confinement.write.push(folder.clone());
                }
            }
            Self::S3(place) => {
                let unusable = "the store of bodies can not be used";
                let ports = confinement.connect_tcp.get_or_insert_default();
                ports.push(place.port().because(Kind::Usage, unusable)?);
                if place.has_name().because(Kind::Usage, unusable)? {
                    ports.push(NAME_PORT);
                    confinement.sockets = Sockets::TcpAndUdp;
                    confinement.read.extend(NAME_FILES.iter().map(PathBuf::from).filter(|p| p.exists()));
                }
                confinement.read.extend(CERTIFICATES.iter().map(PathBuf::from).filter(|p| p.exists()));
            }
        }
        Ok(())
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<Arc<dyn Blobs>, Fault> {
        match self {
            Self::Folder(folder) => {
                let blobs = FileBlobs::open(folder).because(Kind::Unavailable, "there is no place for bodies")?;
                Ok(Arc::new(blobs))
            }
            Self::S3(place) => {
                let blobs = S3Blobs::open(place).because(Kind::Usage, "the store of bodies can not be used")?;
                Ok(Arc::new(blobs))
            }
        }
    }

    /// The same for somebody who only looks; no folder is made where there is none.
    pub(crate) fn open_read_only(&self) -> Result<Arc<dyn Blobs>, Fault> {
        match self {
            Self::Folder(folder) => Ok(Arc::new(FileBlobs::there(folder))),
            Self::S3(_) => self.open(),
        }
    }

    /// The folder, if it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::S3(_) => None,
        }
    }
}

fn bytes_of(path: &str) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).because(Kind::Usage, format!("`{path}` can not be read"))
}

/// A key in a file of one line.
fn secret_of(path: &str) -> Result<String, Fault> {
    let text = String::from_utf8(bytes_of(path)?).because(Kind::Input, format!("`{path}` is not text"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
