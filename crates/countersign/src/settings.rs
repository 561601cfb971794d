//! What is particular to this host: where its processes listen and how often they look. Nothing here judges.

use std::net::{Ipv4Addr, SocketAddr};

use model::HostName;
use serde::{Deserialize, Serialize};

use crate::{
    alarms::receiver::ReceiverSetting,
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    layout::Layout,
    log_client::LogClient,
};

/// All are told at the same time, each over a connection of its own; a process may have 1024 files open.
const AGENTS_LIMIT: usize = 500;

/// The settings of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which of the charter's hosts this is.
    pub host: HostName,
    /// Where `front` listens.
    pub front: SocketAddr,
    /// The first two bytes of the agent's fabric; the tester's is the next.
    pub fabric: [u8; 2],
    /// Milliseconds between looks at the git remotes.
    pub fetch_interval_ms: u64,
    /// Seconds between ticks while something is under way.
    pub tick_interval_s: u64,
    /// Where the agent of this host takes stops from other hosts; only from its own host if not given. Whoever reaches it
    /// can hand over what people signed, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops: Option<SocketAddr>,
    /// The other hosts' agents, to which stops are handed straight: `http://192.0.2.7:7071` or `unix:/path/to/socket`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// The `front` of the installation whose log this host follows, as `http://192.0.2.1:7070`; a log of its own if not
    /// given. Such a host runs an agent with its executor and an edge if it has `keys/agent.key`, a builder that makes what the
    /// other host's noticed if it has `keys/builder.key`, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Where the log is kept: `postgres://…`, or the path of a file; the file in the `log` role's folder if not given.
    /// It names no password, only the file that has it (`password-file=`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Ports, beside those of the founding charter's witnesses and of the store, that the log may connect to: those of
    /// witnesses that an amendment brought. Only root writes this file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness_ports: Vec<u16>,
    /// Where bodies are kept: `s3://…`, or the path of a folder; the folder `bodies` of the `log` role if not given. It names
    /// no key, only the files that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs: Option<String>,
    /// Who is told of alarms; nobody but the log if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<ReceiverSetting>,
    /// The address on loopback at which the metrics of every process are read (OpenMetrics); nowhere if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
}

impl Settings {
    /// The settings of a first host.
    pub fn of_host(host: HostName) -> Self {
        Self {
            host,
            front: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)),
            fabric: [10, 77],
            fetch_interval_ms: 2_000,
            tick_interval_s: 10,
            stops: None,
            agents: Vec::new(),
            log: None,
            store: None,
            witness_ports: Vec::new(),
            blobs: None,
            alarms: Vec::new(),
            metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 7071))),
        }
    }

    /// The tester's fabric, which never meets the agent's.
    pub const fn tester_fabric(&self) -> [u8; 2] {
        [self.fabric[0], self.fabric[1].wrapping_add(1)]
    }

    /// Where the log is that this host follows, if it is not this host's own.
    pub fn joined(&self) -> Result<Option<Target>, Fault> {
        self.log.as_deref().map(Target::parse).transpose()
    }

    /// The log as this host's agent and its executor reach it.
    pub fn log_client(&self, layout: &Layout) -> Result<LogClient, Fault> {
        Ok(match self.joined()? {
            Some(front) => LogClient::through_front(front),
            None => LogClient::direct(Target::Unix(layout.socket(RoleUser::Log))),
        })
    }

    /// The other hosts' agents.
    pub fn other_agents(&self) -> Result<Vec<Target>, Fault> {
        if self.agents.len() > AGENTS_LIMIT {
            let words =
                format!("the settings list {} agents; {AGENTS_LIMIT} at most are told at once", self.agents.len());
            return Err(
                Fault::new(Kind::Input, words).hint("run `halt` on several hosts, each with a part of the list")
            );
        }
        self.agents.iter().map(|agent| Target::parse(agent)).collect()
    }

    /// Reads them.
    pub fn read(layout: &Layout) -> Result<Self, Fault> {
        let path = layout.settings();
        let bytes = std::fs::read(&path).map_err(|e| {
            Fault::from_error(Kind::Usage, e)
                .context(format!("`{}` is not a folder of Countersign's", layout.root().display()))
                .hint("make one with `countersign init --dir …`")
        })?;
        serde_json::from_slice(&bytes).because(Kind::Input, format!("`{}` does not hold up", path.display()))
    }
}
