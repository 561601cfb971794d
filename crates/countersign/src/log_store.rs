//! Where a host's log is kept: its SQLite file, or a PostgreSQL that several hosts share.
//!
//! It refuses to know what is in it. What must be read before a process confines itself (passwords, certificates, names of
//! hosts) is read when the place is named, not when it is opened.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ledger::{
    bodies::SubjectKeys,
    store::{Mark, OpenStoreError, SqliteStore, Store, StoreError},
};
use stores::postgres::{Address, PostgresStore};

use crate::{
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    layout::Layout,
    settings::Settings,
};

/// The log's file in its role's folder.
pub(crate) const FILE: &str = "log.sqlite3";

/// A place for a log.
#[derive(Clone, Debug)]
pub(crate) enum LogPlace {
    /// A file of SQLite's.
    File(PathBuf),
    /// A database.
    Database(Box<Address>),
}

/// A log's store, and the keys of subjects that are kept with it.
pub(crate) struct OpenPlace {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<dyn SubjectKeys>,
}

impl LogPlace {
    /// From what a person writes: `postgres://…`, or the path of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let address = Address::parse(text).map_err(|e| {
                Fault::from_error(Kind::Usage, e).context("the log's database can not be used").hint(
                    "write postgres://user@host/database?sslmode=verify-full&sslrootcert=FILE&password-file=FILE, or \
                     postgres:///database?host=/run/postgresql&user=… for a Unix socket",
                )
            })?;
            return Ok(Self::Database(Box::new(address)));
        }
        if text.contains("://") {
            return Err(Fault::new(
                Kind::Usage,
                format!("a log can not be kept at `{}`", stores::without_secrets(text)),
            )
            .hint("there are postgres://… and the path of a file"));
        }
        Ok(Self::File(PathBuf::from(text)))
    }

    /// Where the settings say, or the file of the `log` role.
    pub(crate) fn of_host(layout: &Layout, settings: &Settings) -> Result<Self, Fault> {
        match &settings.store {
            Some(text) => Self::parse(text),
            None => Ok(Self::File(layout.home(RoleUser::Log).join(FILE))),
        }
    }

    /// Refuses a database whose bodies would be kept in this host's own folder, where no other host finds them.
    pub(crate) fn fits(&self, blobs: Option<&str>) -> Result<(), Fault> {
        match (self, blobs) {
            (Self::Database(_), None) => Err(Fault::new(
                Kind::Usage,
                "the log is in a database, and nothing says where its bodies are",
            )
            .hint(
                "set \"blobs\" in `settings.json` to a place that every host of this log has: s3://…, or a shared folder; with \
                 one host, `log/bodies` in its folder; `countersign log move-bodies` copies what there is",
            )),
            _ => Ok(()),
        }
    }

    /// The TCP ports that it is reached at.
    pub(crate) fn ports(&self) -> Vec<u16> {
        match self {
            Self::File(_) => Vec::new(),
            Self::Database(address) => address.ports(),
        }
    }

    /// For a process that adds to it. A log that was moved away is refused, and a copy that is not finished.
    pub(crate) fn open(&self) -> Result<OpenPlace, Fault> {
        let opened = self.open_whatever()?;
        match self.mark_of(&opened)? {
            Mark::Moved(place) => Err(Fault::new(Kind::Refused, format!("the log at `{self}` was moved to `{place}`"))
                .hint(format!("set \"store\": \"{place}\" in `settings.json`; here it is only read"))),
            _ => Ok(opened),
        }
    }

    fn mark_of(&self, opened: &OpenPlace) -> Result<Mark, Fault> {
        match opened.store.mark().because(Kind::Unavailable, "the log's store can not be read")? {
            Mark::Copying => Err(Fault::new(
                Kind::Refused,
                format!("`{self}` is a copy of a log that was not finished"),
            )
            .hint(
                "remove it and run `countersign log move` again; if that says that the log was moved already, run it \
                     with this place as `--to`",
            )),
            mark => Ok(mark),
        }
    }

    /// For who moves a log: whatever it is marked with.
    pub(crate) fn open_whatever(&self) -> Result<OpenPlace, Fault> {
        match self {
            Self::File(path) => {
                let store = SqliteStore::open(path).because(Kind::Unavailable, "the log's store can not be opened")?;
                Ok(OpenPlace::of(store))
            }
            Self::Database(address) => PostgresStore::open(Address::clone(address))
                .map(OpenPlace::of)
                .because(Kind::Unavailable, "the log's database can not be opened"),
        }
    }

    /// For somebody who only looks; nothing is made where there is nothing.
    pub(crate) fn open_read_only(&self) -> Result<OpenPlace, Fault> {
        let opened = match self {
            Self::File(path) => SqliteStore::open_read_only(path).map(OpenPlace::of).map_err(|e| {
                let hint = match &e {
                    OpenStoreError::Store(_, StoreError::Foreign(_)) => {
                        "name the log's own file, its folder or its address"
                    }
                    _ => "read it as root, or copy the file with its `-wal` beside it",
                };
                Fault::from_error(Kind::Unavailable, e).hint(hint)
            }),
            Self::Database(address) => PostgresStore::open_read_only(Address::clone(address))
                .map(OpenPlace::of)
                .because(Kind::Unavailable, "the log's database can not be opened"),
        }?;
        self.mark_of(&opened)?;
        Ok(opened)
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Database(_) => None,
        }
    }
}

impl OpenPlace {
    fn of<S: Store + SubjectKeys + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), keys: store }
    }
}

impl std::fmt::Display for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Database(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests;
