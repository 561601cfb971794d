//! An edge by itself, steered over its control socket, for measurements: `edge-alone SOCKET THREADS`.
//! It ends on SIGTERM.

use std::{error::Error, time::Duration};

use edge::{ControlConfig, Edge, EdgeConfig};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().ok_or("the first argument is the path of the control socket")?;
    let threads = arguments.next().ok_or("the second argument is the number of threads")?.parse()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?.block_on(async {
        let mut ended = signal(SignalKind::terminate())?;
        let control = Some(ControlConfig { path: socket.into(), mode: 0o600, steering_uids: Vec::new() });
        let edge = Edge::start(EdgeConfig { control, ..EdgeConfig::default() }).await?;
        ended.recv().await;
        edge.shutdown(Duration::from_secs(1)).await;
        Ok(())
    })
}
