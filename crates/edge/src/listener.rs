//! A listener: its socket, the route in force on it, and the way down when it vanishes.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use model::route::RouteState;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use crate::{
    connection,
    counts::{Counts, add_one},
    limits::{ACCEPT_PAUSE, BACKLOG, Limits},
    surge::{Door, Doors},
    table::InForce,
};

/// How far a listener is from its end. Only ever goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It accepts.
    Accepting,
    /// It accepts no more; requests finish and connections then close.
    Finishing,
    /// Connections are cut.
    Cut,
}

/// What the connections of one listener share.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// The route in force. Written only by `switch`.
    pub(crate) route: ArcSwap<InForce>,
    /// Grows after each switch (invariant `counted-before-sent`).
    pub(crate) epoch: AtomicU64,
    /// Requests so far, for shares by weight.
    pub(crate) turn: AtomicU64,
    pub(crate) tls: ArcSwapOption<ServerConfig>,
    pub(crate) counts: Arc<Counts>,
    doors: Arc<Doors>,
    pub(crate) limits: Arc<Limits>,
    switched: watch::Sender<()>,
    phase: watch::Sender<Phase>,
}

/// Binds, so that an address just left by another process can be taken at once.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG.unsigned_abs())
}

impl Listener {
    pub(crate) fn new(
        address: SocketAddr,
        route: InForce,
        tls: Option<Arc<ServerConfig>>,
        counts: &Arc<Counts>,
        limits: &Arc<Limits>,
    ) -> Self {
        Self {
            address,
            route: ArcSwap::from_pointee(route),
            epoch: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            tls: ArcSwapOption::new(tls),
            counts: Arc::clone(counts),
            doors: Arc::default(),
            limits: Arc::clone(limits),
            switched: watch::Sender::new(()),
            phase: watch::Sender::new(Phase::Accepting),
        }
    }

    /// Puts a route in force: requests from now on take it, those held look at it.
    pub(crate) fn switch(&self, route: InForce, tls: Option<Arc<ServerConfig>>) {
        self.tls.store(tls);
        let route = Arc::new(route);
        let before = self.route.swap(Arc::clone(&route));
        self.epoch.fetch_add(1, Ordering::SeqCst);
        before.settle(&route);
        self.switched.send_replace(());
    }

    /// The door for a connection from an address, unless it has as many as the route allows, or all together have.
    fn door(&self, peer: SocketAddr) -> Option<Door> {
        let route = self.route.load();
        let rules = route.admission.as_ref().map(|admission| admission.rules());
        let (of_one, of_all) = rules.map_or((None, None), |rules| (rules.client_connections, rules.connections));
        let door = self.doors.open(peer.ip(), of_one, of_all);
        if let (None, Some(admission)) = (&door, &route.admission) {
            add_one(&admission.connections_refused);
        }
        door
    }

    /// Told of each switch after this call.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.switched.subscribe()
    }

    /// Told of each phase.
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Accepts no more. What is held is turned away, because nothing will release it; other requests finish.
    pub(crate) fn finish(&self) {
        if matches!(self.route.load().state, RouteState::Hold { .. }) {
            self.close_route();
        }
        self.go_to(Phase::Finishing);
    }

    /// The route is gone: what is held or comes later on an open connection is turned away.
    pub(crate) fn vanish(&self) {
        self.close_route();
        self.go_to(Phase::Finishing);
    }

    /// Cuts what is left.
    pub(crate) fn cut(&self) {
        self.go_to(Phase::Cut);
    }

    /// Connections left, upgraded ones among them.
    pub(crate) fn connections(&self) -> usize {
        self.phase.receiver_count()
    }

    /// Waits until the socket and all connections are closed.
    pub(crate) async fn ended(&self) {
        self.phase.closed().await;
    }

    fn close_route(&self) {
        let closed = self.route.load().closed();
        self.switch(closed, self.tls.load_full());
    }

    fn go_to(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = phase > *now;
            *now = phase.max(*now);
            forward
        });
    }
}

/// Accepts connections until the listener is to finish, and then those that the kernel has queued.
pub(crate) async fn accept(listener: Arc<Listener>, socket: TcpListener) {
    let mut phases = listener.phases();
    let places = Arc::new(Semaphore::new(listener.limits.max_connections));
    loop {
        // Without a place the connection stays in the kernel's queue, which is bounded too.
        let next = async { (Arc::clone(&places).acquire_owned().await, socket.accept().await) };
        tokio::select! {
            biased;
            _ = reached(&mut phases, Phase::Finishing) => break,
            (place, accepted) = next => match accepted {
                Ok((stream, peer)) => start(&listener, stream, peer, place.ok()),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(address = %listener.address, %error, "connections can not be accepted for now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    let queued = || {
        poll_fn(|cx| {
            Poll::Ready(match socket.poll_accept(cx) {
                Poll::Ready(Ok(accepted)) => Some(accepted),
                Poll::Ready(Err(_)) | Poll::Pending => None,
            })
        })
    };
    while let Ok(place) = Arc::clone(&places).try_acquire_owned() {
        let Some((stream, peer)) = queued().await else { break };
        start(&listener, stream, peer, Some(place));
    }
}

/// Waits until the listener is at least that far, and says how far it is.
pub(crate) async fn reached(phases: &mut watch::Receiver<Phase>, at_least: Phase) -> Phase {
    phases.wait_for(|phase| *phase >= at_least).await.map_or(Phase::Cut, |phase| *phase)
}

fn start(listener: &Arc<Listener>, stream: TcpStream, peer: SocketAddr, place: Option<OwnedSemaphorePermit>) {
    let Some(door) = listener.door(peer) else {
        // A reset, so that the connection takes nothing here after it was refused.
        let _gone = stream.set_zero_linger();
        return;
    };
    let (listener, phases) = (Arc::clone(listener), listener.phases());
    tokio::spawn(async move {
        connection::serve(listener, stream, peer, phases).await;
        drop((place, door));
    });
}

/// Errors of `accept(2)` that concern the one connection, which is gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
