//! The `edge` process: carries traffic by the route table that the agent gives it. It knows no releases and holds no key.
//!
//! It keeps the last table, so that after a crash it goes on with it and refuses older ones.

use std::{sync::Arc, time::Duration};

use edge::{ControlConfig, Edge, EdgeConfig, Limits};
use ledger::durable;
use model::route::RouteTable;

use super::Start;
use crate::{
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
    identity::RoleUser,
    serve::asked_to_end,
};

/// Requests in flight have this long when the edge is ended.
const END_TIMEOUT: Duration = Duration::from_secs(8);

/// A proxy has two sockets a request; the rest is idle connections.
const OPEN_FILES: u64 = 65_536;

/// How often its counts are written into its status.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the process until it is asked to end.
pub fn run(start: Start) -> Result<(), Fault> {
    let mut confinement = Confinement::nothing();
    confinement.sockets = Sockets::Tcp;
    confinement.open_files = OPEN_FILES;
    confinement.connect_tcp = None;
    confinement.bind_tcp = None;
    let certificates = start.layout.root().join("certificates");
    if certificates.exists() {
        confinement.read.push(certificates);
    }
    let mut status = start.confine(confinement)?;
    let path = start.layout.home(start.role).join("table.json");
    let restored = match std::fs::read(&path) {
        Ok(bytes) => Some(
            serde_json::from_slice::<RouteTable>(&bytes)
                .because(Kind::Input, "the stored route table can not be read")?,
        ),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(Fault::from_error(Kind::Unavailable, e).context("the stored route table can not be read")),
    };
    let keeper = move |table: &RouteTable| {
        let bytes = serde_json::to_vec(table)?;
        durable::write(&path, &bytes, 0o600).map_err(std::io::Error::other)
    };
    let config = EdgeConfig {
        limits: Limits::default(),
        keeper: Some(Arc::new(keeper)),
        restored,
        control: Some(ControlConfig {
            path: start.layout.socket(start.role),
            mode: 0o660,
            steering_uids: vec![RoleUser::Agent.uid()],
        }),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().because(Kind::Unavailable, "no runtime")?.block_on(
        async move {
            let edge = Edge::start(config).await.because(Kind::Unavailable, "the edge does not start")?;
            let end = asked_to_end();
            tokio::pin!(end);
            loop {
                let counts = edge.counts();
                let requests: u64 = counts.versions.iter().map(|v| v.requests).sum();
                let routes = edge.table().map_or(0, |t| t.routes.len());
                status.say(
                    format!("{routes} routes of table {}.{}, {requests} requests", counts.generation, counts.revision),
                    if routes == 0 { vec!["a route table from the agent".to_owned()] } else { Vec::new() },
                );
                tokio::select! {
                    () = &mut end => break,
                    () = tokio::time::sleep(STATUS_INTERVAL) => {}
                }
            }
            edge.shutdown(END_TIMEOUT).await;
            Ok(())
        },
    )
}
