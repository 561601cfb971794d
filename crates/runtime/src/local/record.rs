//! What this driver remembers on disk: one record an instance, and what has been given out.
//!
//! Each file is written whole or not at all, and before what it tells of is made: after a crash the records
//! name everything that can be there, and nothing has to be searched for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use model::Timestamp;
use rollout::instance::{InstanceId, InstanceSpec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    fabric::{CLIENT_ZONE, HOSTS, Slot, ZONES},
    process::ProcessId,
    root::Seal,
};
use crate::{
    driver::{Doing as _, DriverError},
    durable,
};

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) spec: InstanceSpec,
    pub(crate) slot: Slot,
    pub(crate) uid: u32,
    pub(crate) phase: Phase,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Phase {
    /// Being prepared: anything may be there or not; it has never counted as started.
    Preparing,
    /// Being launched by this process; it has never counted as started.
    Launching { shim: ProcessId },
    /// Started, and checked.
    Running(Box<Running>),
    /// Has ended.
    Ended { seal: Box<Seal>, at: Timestamp, code: i32, out_of_memory: bool },
    /// Being removed.
    Deleting,
}

/// A started instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Running {
    pub(crate) since: Timestamp,
    /// When it was first well; kept so that an executor that is started again does not doubt it.
    pub(crate) well_since: Option<Timestamp>,
    pub(crate) seal: Seal,
    pub(crate) shim: ProcessId,
    /// The first process; `None` if it had ended before anybody could look.
    pub(crate) init: Option<ProcessId>,
    /// Its namespaces, by kind.
    pub(crate) namespaces: BTreeMap<String, u64>,
    /// The device that its root is.
    pub(crate) root_device: u64,
}

impl Record {
    /// Whether it holds its component's volumes.
    pub(crate) const fn holds_volumes(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. })
    }
}

/// What has been given out, and is given to the same again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// The number of each zone, by `system/zone`.
    zones: BTreeMap<String, u8>,
    /// The address given last in each zone: the next is another one, so that old connections die with the old owner.
    last: BTreeMap<u8, u8>,
    /// The number of each user, by whose it is.
    users: BTreeMap<String, u32>,
    /// Clients outside of all components, and what they may reach.
    pub(crate) clients: BTreeMap<String, Client>,
}

/// A client outside of all components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) host: u8,
    pub(crate) targets: BTreeSet<SocketAddr>,
}

/// Users of one scope; distributions leave ranges of 65,536 for containers.
const USERS_LIMIT: u32 = 65_536;

impl Given {
    /// All zones that have a bridge.
    pub(crate) fn zones(&self) -> BTreeSet<u8> {
        let clients = (!self.clients.is_empty()).then_some(CLIENT_ZONE);
        self.zones.values().copied().chain(clients).collect()
    }

    pub(crate) fn zone(&mut self, spec: &InstanceSpec) -> Result<u8, DriverError> {
        let key = format!("{}/{}", spec.system(), spec.component.zone);
        if let Some(zone) = self.zones.get(&key) {
            return Ok(*zone);
        }
        let free = ZONES.into_iter().find(|zone| !self.zones.values().any(|used| used == zone));
        let zone =
            free.ok_or_else(|| DriverError::Refused("a fabric has at most 250 zones: use another scope".to_owned()))?;
        self.zones.insert(key, zone);
        Ok(zone)
    }

    /// An address that nobody has, after the one given last.
    pub(crate) fn host(&mut self, zone: u8, used: &BTreeSet<u8>) -> Result<u8, DriverError> {
        let last = self.last.get(&zone).copied().unwrap_or_default();
        let after = HOSTS.filter(|host| *host > last);
        let free = after.chain(HOSTS).find(|host| !used.contains(host));
        let host =
            free.ok_or_else(|| DriverError::Refused("a zone has at most 253 instances: delete some first".to_owned()))?;
        self.last.insert(zone, host);
        Ok(host)
    }

    /// The user of an instance: its component's if it has volumes, so that they keep their owner; else its own.
    pub(crate) fn user(&mut self, spec: &InstanceSpec, first: u32) -> Result<u32, DriverError> {
        let mut key = format!("{}/{}/{}", spec.id.environment, spec.system(), spec.id.component);
        if spec.component.volumes.is_empty() {
            key.push_str(&format!("/{}", spec.id.number));
        }
        if let Some(number) = self.users.get(&key) {
            return Ok(first + number);
        }
        let number = u32::try_from(self.users.len()).unwrap_or(u32::MAX);
        if number >= USERS_LIMIT {
            return Err(DriverError::Refused("65,536 users have been given out: use another scope".to_owned()));
        }
        self.users.insert(key, number);
        Ok(first + number)
    }
}

/// The files.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
    given: PathBuf,
    trash: PathBuf,
}

impl Records {
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let records =
            Self { folder: state.join("instances"), given: state.join("given.json"), trash: state.join("trash") };
        durable::make_dir(&records.folder)?;
        durable::make_dir(&records.trash)?;
        records.empty_trash()?;
        Ok(records)
    }

    /// The folder of an instance: record, bundle, root, secrets, log.
    pub(crate) fn folder(&self, id: &InstanceId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    pub(crate) fn read_all(&self) -> Result<BTreeMap<InstanceId, Record>, DriverError> {
        let what = || format!("the records in `{}` can not be read", self.folder.display());
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(&self.folder).doing(what)? {
            let folder = entry.doing(what)?.path();
            match read::<Record>(&folder.join("record.json"))? {
                Some(record) => {
                    all.insert(record.spec.id.clone(), record);
                }
                // The crash came between the folder and its first record: there is nothing else yet.
                None => fs::remove_dir_all(&folder).doing(what)?,
            }
        }
        Ok(all)
    }

    pub(crate) fn write(&self, record: &Record) -> Result<(), DriverError> {
        let what = || format!("the record of `{}` can not be written", record.spec.id);
        let folder = self.folder(&record.spec.id);
        if !folder.exists() {
            durable::make_dir(&folder).doing(what)?;
        }
        let text = serde_json::to_vec(record).doing(what)?;
        durable::write(&folder.join("record.json"), &text, 0o600).doing(what)
    }

    /// Removes the record first and its folder then, so that half a folder never has a record.
    pub(crate) fn remove(&self, id: &InstanceId) -> io::Result<()> {
        let folder = self.folder(id);
        if folder.exists() {
            durable::replace(&folder, &self.trash.join(id.to_string()))?;
        }
        self.empty_trash()
    }

    pub(crate) fn read_given(&self) -> Result<Given, DriverError> {
        Ok(read(&self.given)?.unwrap_or_default())
    }

    pub(crate) fn write_given(&self, given: &Given) -> Result<(), DriverError> {
        let what = || format!("`{}` can not be written", self.given.display());
        let text = serde_json::to_vec(given).doing(what)?;
        durable::write(&self.given, &text, 0o600).doing(what)
    }

    fn empty_trash(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.trash)? {
            fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DriverError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).doing(|| {
            format!("`{}` is not as it was written; move it away and delete what it names by hand", path.display())
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("`{}` can not be read", path.display())),
    }
}
