//! The body of an answer on its way to the client: streamed from an instance, or a short text of the edge's own.
//!
//! It ends the request that it belongs to: when the last byte has come from the instance, when the instance breaks off
//! (an error of the version), or when the client leaves (not one).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::{
    connection::Visitor,
    counts::InFlight,
    instance::{Instance, Link},
    timed::Patience,
    upload::UploadWatch,
};

/// Why an answer's body broke off. hyper then cuts the connection, so that the client sees it too.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerFault {
    #[error("the instance broke off its answer")]
    Broken(#[source] hyper::Error),
    #[error("the instance's answer did not go on in time")]
    Stalled,
}

/// The body of an answer.
pub(crate) enum Answer {
    /// A text of the edge's own.
    Text(Option<Bytes>),
    /// An instance's.
    Streamed(Box<Streamed>),
}

/// A body that comes from an instance.
pub(crate) struct Streamed {
    body: Incoming,
    patience: Patience,
    /// Until the end of the answer.
    open: Option<Open>,
}

/// What ends with the answer.
pub(crate) struct Open {
    pub(crate) in_flight: InFlight,
    /// The connection and whose it is; none if a task of its own drives it.
    pub(crate) link: Option<(Box<Link>, Arc<Instance>)>,
    pub(crate) upload: Option<Arc<UploadWatch>>,
    /// Who is told of each piece; HTTP/2 needs it.
    pub(crate) visitor: Option<Arc<Visitor>>,
}

impl Answer {
    /// Passes on what comes from an instance.
    pub(crate) fn streamed(body: Incoming, open: Open, idle: Duration) -> Self {
        let mut streamed = Streamed { body, patience: Patience::new(idle), open: Some(open) };
        if streamed.body.is_end_stream() {
            streamed.end();
        }
        Self::Streamed(Box::new(streamed))
    }
}

impl Streamed {
    /// The whole answer is here.
    fn end(&mut self) {
        let Some(Open { in_flight, link, upload, .. }) = self.open.take() else { return };
        // An instance that answers before it has the whole request leaves a connection in an unknown state.
        if let Some((link, instance)) = link
            && upload.is_none_or(|watch| watch.finished())
        {
            instance.keep(link);
        }
        drop(in_flight);
    }

    fn fail(&mut self) {
        if let Some(mut open) = self.open.take()
            && open.upload.is_none_or(|watch| watch.fault().is_none())
        {
            open.in_flight.fail();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        let mut frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending()
            && let Some(Open { link: Some((link, _)), .. }) = &mut self.open
        {
            link.poll_drive(cx);
            frame = Pin::new(&mut self.body).poll_frame(cx);
        }
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.patience.renew();
                if let Some(Open { visitor: Some(visitor), .. }) = &self.open {
                    visitor.moves();
                }
                // The server does not ask for the end of a body whose length it knows.
                if self.body.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail();
                Poll::Ready(Some(Err(AnswerFault::Broken(error))))
            }
            Poll::Pending => match self.patience.poll_spent(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    self.fail();
                    Poll::Ready(Some(Err(AnswerFault::Stalled)))
                }
            },
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        match &mut *self {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Streamed(streamed) => streamed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}
