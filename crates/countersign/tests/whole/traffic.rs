//! Clients that visit without a pause, and remember what they were told.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::request::get;

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The names of visits that were answered with 200.
    pub(crate) kept: Vec<String>,
    /// What went wrong, in words.
    pub(crate) failed: Vec<String>,
}

/// Visits from two clients, one request after the other each.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Traffic {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..2)
            .map(|client| {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    let mut seen = Seen::default();
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let name = format!("visit-{client}-{number}");
                        match get(address, &format!("/cgi-bin/visit?{name}")) {
                            Ok(answer) if answer.status == 200 => seen.kept.push(name),
                            Ok(answer) => seen.failed.push(format!(
                                "{name}: {} {}",
                                answer.status,
                                String::from_utf8_lossy(&answer.body)
                            )),
                            Err(error) => seen.failed.push(format!("{name}: {error}")),
                        }
                    }
                    seen
                })
            })
            .collect();
        Self { stop, clients }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.join().unwrap();
            all.kept.extend(seen.kept);
            all.failed.extend(seen.failed);
        }
        all
    }
}
