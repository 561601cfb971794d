//! What the driver does beside steps: a place for clients, the end of a log, and removing everything of its scope.
//!
//! Purging can be done again after a crash: instances go first, each as when it is deleted.

use std::{collections::BTreeSet, io, net::IpAddr, net::SocketAddr, path::PathBuf};

use rollout::instance::InstanceId;

use super::{
    Local,
    fabric::{CLIENT_ZONE, Slot},
    namespace,
    record::{Client, Given},
    root::Roots,
};
use crate::{
    driver::{Doing as _, DriverError},
    durable,
};

/// What [`Local::purge`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Volumes and restore points stay.
    Volumes,
    /// Nothing stays, what components have written included.
    Nothing,
}

impl Local {
    /// The path of a network namespace for a client that is no component and reaches these addresses alone.
    ///
    /// The same name gives the same namespace; what it may reach is replaced.
    pub fn client_netns(&mut self, name: &str, targets: &[SocketAddr]) -> Result<PathBuf, DriverError> {
        let mut given = self.given.clone();
        let targets: BTreeSet<SocketAddr> = targets.iter().copied().collect();
        if let Some(outside) = targets.iter().find(|target| !self.is_ours(target)) {
            return Err(DriverError::Refused(format!("`{outside}` is not an address of this fabric")));
        }
        let known = given.clients.get(name).map(|client| client.host);
        let used: BTreeSet<u8> = given.clients.values().map(|client| client.host).collect();
        let host = match known {
            Some(host) => host,
            None => given.host(CLIENT_ZONE, &used)?,
        };
        given.clients.insert(name.to_owned(), Client { host, targets });
        self.files.write_given(&given)?;
        self.given = given;
        self.fabric.ensure(&self.given.zones())?;
        let slot = Slot { zone: CLIENT_ZONE, host };
        let network = self.fabric.instance_name(slot);
        if known.is_none() || !namespace::exists(&network) {
            self.fabric.attach(slot)?;
        }
        self.apply_flows()?;
        Ok(namespace::path(&network))
    }

    /// The last 64 KiB of what an instance has said; kept for some time after its deletion.
    pub fn log(&self, id: &InstanceId) -> Result<String, DriverError> {
        /// Enough to see why something failed, and little enough for one answer.
        const SHOWN_BYTES: usize = 64 << 10;
        let mut said = Vec::new();
        for path in self.logs(id) {
            let part = std::fs::read(&path).doing(|| format!("the log of `{id}` can not be read"))?;
            said.splice(0..0, part);
            if said.len() >= SHOWN_BYTES {
                break;
            }
        }
        let from = said.len().saturating_sub(SHOWN_BYTES);
        Ok(String::from_utf8_lossy(said.get(from..).unwrap_or_default()).into_owned())
    }

    /// The files that it is in, newest first; each is bounded.
    pub(super) fn logs(&self, id: &InstanceId) -> Vec<PathBuf> {
        let folder = self.files.folder(id);
        let kept = self.config.state_dir.join("logs").join(format!("{id}.log"));
        [folder.join("log"), folder.join("log.1"), kept].into_iter().filter(|path| path.is_file()).collect()
    }

    /// Removes everything of this scope from the host: instances, fabric, roots, and what components have
    /// written unless that is to be kept. Can be done again after it failed.
    pub fn purge(&mut self, keep: Keep) -> Result<(), DriverError> {
        let scope = self.config.scope.clone();
        let what = || format!("`{scope}` can not be emptied");
        let ids: Vec<InstanceId> = self.records.keys().cloned().collect();
        for id in ids {
            self.take_away(&id)?;
        }
        self.fabric.remove()?;
        self.hierarchy.remove(&self.cgroup_of_shims()).doing(what)?;
        self.hierarchy.remove(&format!("/countersign/{scope}")).doing(what)?;
        self.given = Given::default();
        durable::remove(&self.config.state_dir.join("given.json")).doing(what)?;
        let mut folders = vec![self.config.state_dir.join("roots"), self.config.state_dir.join("logs"), self.engine()];
        if keep == Keep::Nothing {
            folders.extend([self.config.volumes_dir.clone(), self.config.restore_dir.clone()]);
        }
        for folder in folders {
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).doing(what),
                _ => {}
            }
        }
        self.hashed.clear();
        self.roots = Roots::open(&self.config.state_dir).doing(what)?;
        self.reap();
        Ok(())
    }

    fn is_ours(&self, address: &SocketAddr) -> bool {
        let [a, b] = self.config.fabric;
        matches!(address.ip(), IpAddr::V4(ip) if ip.octets().starts_with(&[a, b]))
    }
}
