//! Plain TCP (FIX): a connection of a client is carried to an instance as it is, and counts as one request for as long as
//! it is open.
//!
//! It refuses to know what is spoken: a reset on one side is a reset on the other, an end is an end.

use std::sync::Arc;

use hyper::{HeaderMap, StatusCode, header::HeaderValue};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
};

use crate::{
    connection::Visitor,
    counts::{InFlight, add_one},
    forward::Errand,
    listener::{Listener, Phase, reached},
    refusal::Refusal,
    session::{Ended, Session},
};

/// Serves a connection to its end. `socket` gives the socket below the stream.
pub(crate) async fn serve<S>(
    listener: Arc<Listener>,
    mut stream: S,
    socket: fn(&S) -> &TcpStream,
    visitor: Arc<Visitor>,
    mut phases: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (component, known) = {
        let route = listener.route.load();
        let known = visitor.caller.know(&route.identities, &HeaderMap::new(), None, &listener.counts.watch);
        (Arc::clone(&route.component), known)
    };
    add_one(&component.requests);
    let host = visitor.server_name.as_ref().and_then(|name| HeaderValue::from_str(name).ok());
    let mut errand = Errand::new(&listener, &visitor, false, component, known, host);
    // A route may hold the connection; an edge that ends does not.
    let opened = tokio::select! {
        opened = open(&mut errand) => opened,
        _ = reached(&mut phases, Phase::Cut) => return,
    };
    drop(errand);
    let (in_flight, mut instance) = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            tracing::debug!(?refusal, "a connection was not carried");
            return;
        }
    };
    let session = Session::new(&listener, &visitor, in_flight, phases);
    let ended = session.carry(&mut stream, &mut instance, listener.limits.upgraded_idle_timeout()).await;
    // Whoever is left must be able to tell that it was not an end.
    match ended {
        Ended::ByInstance => reset(socket(&stream)),
        Ended::ByClient => reset(&instance),
        Ended::Whole | Ended::Silent | Ended::Cut => {}
    }
}

/// Counts the connection on a version and connects to one of its instances.
async fn open(errand: &mut Errand<'_>) -> Result<(InFlight, TcpStream), Refusal> {
    loop {
        let instance = errand.next_instance().await?;
        match instance.open(errand.listener.limits.connect_timeout()).await {
            Ok(stream) => return Ok((errand.answered(StatusCode::OK, None)?, stream)),
            Err(error) => errand.not_taken(instance, &error),
        }
    }
}

/// Makes the close of a socket a reset.
fn reset(socket: &TcpStream) {
    // A socket that is gone already needs none.
    let _gone = socket.set_zero_linger();
}
