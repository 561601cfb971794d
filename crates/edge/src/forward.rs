//! One request: from its head to the head of its answer, over as many instances as it takes and the limits allow.
//!
//! Invariant `sent-at-most-once`: a request goes to another instance only if nothing of it was sent, or, once, if it went
//! out on a connection that had been idle, has no body, its method is idempotent (RFC 9110 section 9.2.2), and no answer
//! began.

use std::{sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    header::{HOST, HeaderValue, SET_COOKIE},
};

use crate::{
    answer::{Answer, Open},
    connection::Visitor,
    counts::{ComponentCounter, InFlight, add_one},
    headers,
    hold::{Chosen, Held, choose},
    identity::Known,
    instance::{Instance, Link, Lost},
    lease,
    limits::{IDLE_LINK_TTL, MAX_TRIES, YOUNG_LINK_TTL},
    listener::Listener,
    refusal::Refusal,
    tunnel,
    upload::{Upload, UploadFault, UploadWatch},
};

/// Answers a request.
pub(crate) async fn forward(
    listener: Arc<Listener>,
    visitor: Arc<Visitor>,
    mut request: Request<Incoming>,
) -> Response<Answer> {
    let (component, known, admission) = {
        let route = listener.route.load();
        let salt = route.split.as_ref().map(|split| &split.split.salt);
        let known = visitor.caller.know(&route.identities, request.headers(), salt, &listener.counts.watch);
        (Arc::clone(&route.component), known, route.admission.clone())
    };
    add_one(&component.requests);
    let http2 = request.version() == Version::HTTP_2;
    let protocol = tunnel::protocol_asked(&request);
    let max_bytes = listener.limits.max_body_bytes;
    let fault = headers::to_instance(&mut request, &visitor.origin, listener.address).err().map(Refusal::Head);
    let too_large = (request.body().size_hint().lower() > max_bytes).then_some(Refusal::Body(UploadFault::TooLarge));
    if let Some(refusal) = fault.or(too_large) {
        add_one(&component.rejected);
        return refusal.closing_answer(http2);
    }
    // By the target that wins, which the head has now as its only host.
    let host = request.headers().get(HOST).cloned();
    let class = match &admission {
        None => 0,
        Some(admission) => {
            let class = admission.class(request.method(), request.uri().path(), request.headers());
            if let Err(refusal) = admission.may_ask(class, &known) {
                add_one(&component.shed);
                return refused(refusal, &request, http2);
            }
            class
        }
    };
    if lease::is_asked(&listener, request.uri().path()) {
        return lease::answer(&listener, host.as_ref(), &known, request, http2).await;
    }
    let mut errand = Errand::new(&listener, &visitor, http2, component, known, host);
    errand.held.entry.class = class;
    // Read before the body goes on: a body that will not be read ends the connection.
    let has_body = !request.body().is_end_stream();
    let outcome = match protocol {
        Some(protocol) => tunnel::open(&mut errand, request, protocol).await,
        None => {
            let request = request.map(|body| Upload::new(body, max_bytes, listener.limits.idle_timeout()));
            send(&mut errand, request).await
        }
    };
    if let (Err(refusal), Some(permit)) = (&outcome, errand.held.entry.permit.take()) {
        if refusal.is_unanswered() { permit.unanswered() } else { permit.done() }
    }
    match outcome {
        Ok(response) => response,
        Err(Refusal::Body(fault)) => Refusal::Body(fault).closing_answer(http2),
        Err(refusal) if refusal.is_shed() && has_body => refusal.closing_answer(http2),
        Err(refusal) => refusal.answer(errand.serial.as_ref()),
    }
}

/// The answer to a request that goes nowhere.
fn refused(refusal: Refusal, request: &Request<Incoming>, http2: bool) -> Response<Answer> {
    if request.body().is_end_stream() { refusal.answer(None) } else { refusal.closing_answer(http2) }
}

/// One request on its way, and what it met so far. Dropping it ends the request.
pub(crate) struct Errand<'a> {
    pub(crate) listener: &'a Arc<Listener>,
    pub(crate) visitor: &'a Arc<Visitor>,
    pub(crate) known: Arc<Known>,
    http2: bool,
    component: Arc<ComponentCounter>,
    /// Whom it asks for.
    host: Option<HeaderValue>,
    held: Held,
    /// Instances that did not take it.
    tried: Vec<Arc<Instance>>,
    tries: usize,
    chosen: Option<Chosen>,
    serial: Option<HeaderValue>,
}

impl<'a> Errand<'a> {
    /// The errand of a request that has been received.
    pub(crate) fn new(
        listener: &'a Arc<Listener>,
        visitor: &'a Arc<Visitor>,
        http2: bool,
        component: Arc<ComponentCounter>,
        known: Arc<Known>,
        host: Option<HeaderValue>,
    ) -> Self {
        let (held, tried) = (Held::default(), Vec::new());
        Self { listener, visitor, known, http2, component, host, held, tried, tries: 0, chosen: None, serial: None }
    }

    /// The instance to try next: of the version that was chosen first, as long as it has one that was not tried, and
    /// then of the version that is current by then, which may mean to be held.
    pub(crate) async fn next_instance(&mut self) -> Result<Arc<Instance>, Refusal> {
        if self.tries >= MAX_TRIES {
            self.fail();
            return Err(Refusal::Unreachable);
        }
        let instance = match self.chosen.as_ref().and_then(|chosen| chosen.instance(&self.tried)) {
            Some(instance) => instance,
            None => self.choose().await?,
        };
        if self.tries > 0 {
            add_one(&self.component.retried);
        }
        self.tries += 1;
        Ok(instance)
    }

    async fn choose(&mut self) -> Result<Arc<Instance>, Refusal> {
        // Ended before the wait: a request that is held must not keep the version in flight that it waits to see gone.
        let first = self.chosen.is_none();
        self.fail();
        // A host that is no text is no name.
        let host = self.host.as_ref().map(|host| host.to_str().unwrap_or_default());
        let chosen = match choose(self.listener, host, &self.known, &self.tried, &mut self.held, first).await {
            Ok(chosen) => chosen,
            Err(refusal) => {
                if refusal.is_shed() && first {
                    add_one(&self.component.shed);
                    return Err(refusal);
                }
                if first {
                    add_one(&self.component.turned_away);
                    return Err(refusal);
                }
                return Err(if refusal == Refusal::NoVersion { Refusal::Unreachable } else { refusal });
            }
        };
        if !first {
            add_one(&self.component.moved);
        }
        let version = chosen.in_flight.version();
        self.visitor.visits(&self.listener.counts, &chosen.in_flight, &self.known);
        if self.held.was() {
            version.was_held();
        }
        self.serial = Some(version.header.clone());
        let instance = chosen.instance(&self.tried);
        self.chosen = Some(chosen);
        instance.ok_or(Refusal::NoVersion)
    }

    /// The instance did not take it.
    pub(crate) fn not_taken(&mut self, instance: Arc<Instance>, error: &(dyn std::error::Error + 'static)) {
        tracing::debug!(address = %instance.address, error, "a request was not taken");
        self.tried.push(instance);
    }

    /// Ends it on the version that was chosen, as an error.
    pub(crate) fn fail(&mut self) {
        if let Some(mut chosen) = self.chosen.take() {
            chosen.in_flight.fail();
        }
    }

    /// Hands the count of it on to whatever carries the answer. With the head of the answer the request leaves its place to
    /// the next: a client that reads slowly must not keep it.
    pub(crate) fn answered(&mut self, status: StatusCode, upload: Option<&UploadWatch>) -> Result<InFlight, Refusal> {
        if let Some(permit) = self.held.entry.permit.take() {
            match upload {
                // The rest of the body is still to come, so the time says nothing.
                Some(upload) if !upload.finished() => permit.done(),
                _ => permit.answered(status, upload.and_then(UploadWatch::ended)),
            }
        }
        let mut in_flight = self.chosen.take().ok_or(Refusal::NoVersion)?.in_flight;
        in_flight.answered(status.is_server_error());
        Ok(in_flight)
    }
}

async fn send(errand: &mut Errand<'_>, mut request: Request<Upload>) -> Result<Response<Answer>, Refusal> {
    let limits = Arc::clone(&errand.listener.limits);
    let watch = request.body().watch();
    let resendable = request.method().is_idempotent() && watch.is_none();
    let ttl = if resendable { IDLE_LINK_TTL } else { YOUNG_LINK_TTL };
    let (mut fresh, mut resent) = (false, false);
    loop {
        let instance = errand.next_instance().await?;
        let (mut link, reused) = match link(&instance, ttl, fresh, limits.connect_timeout()).await {
            Ok(link) => link,
            Err(error) => {
                errand.not_taken(instance, &error);
                continue;
            }
        };
        let spare = (reused && resendable && !resent).then(|| copy(&request));
        match link.exchange(request, watch.as_deref(), limits.answer_timeout()).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                errand.fail();
                return Err(Refusal::Unanswered);
            }
            Ok(response) => {
                return pass_on(errand, response, Some((link, instance)), watch, limits.idle_timeout());
            }
            Err(Lost::NotSent(unsent)) => {
                request = *unsent;
                fresh = true;
            }
            Err(Lost::Unanswered(error)) => {
                if let Some(fault) = watch.as_ref().and_then(|watch| watch.fault()) {
                    return Err(Refusal::Body(fault));
                }
                match spare {
                    Some(spare) if !error.is_parse() => {
                        request = spare;
                        (fresh, resent) = (true, true);
                    }
                    _ => {
                        tracing::debug!(address = %instance.address, %error, "a request was not answered");
                        errand.fail();
                        return Err(Refusal::Unanswered);
                    }
                }
            }
            Err(Lost::TooSlow) => {
                errand.fail();
                return Err(Refusal::AnswerTooLate);
            }
        }
    }
}

/// An idle connection, unless it must be `fresh`, or a new one; and which it is.
async fn link(
    instance: &Instance,
    ttl: Duration,
    fresh: bool,
    limit: Duration,
) -> Result<(Box<Link>, bool), crate::instance::ConnectError> {
    if !fresh && let Some(link) = instance.idle_link(ttl).await {
        return Ok((link, true));
    }
    Ok((instance.connect(limit).await?, false))
}

/// The same request again; it has no body.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Makes an instance's answer the client's.
pub(crate) fn pass_on(
    errand: &mut Errand<'_>,
    response: Response<Incoming>,
    link: Option<(Box<Link>, Arc<Instance>)>,
    upload: Option<Arc<UploadWatch>>,
    idle: Duration,
) -> Result<Response<Answer>, Refusal> {
    let in_flight = errand.answered(response.status(), upload.as_deref())?;
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    headers::to_client(&mut head.headers, &in_flight.version().header);
    if let Some(cookie) = &errand.known.set_cookie {
        head.headers.append(SET_COOKIE, cookie.clone());
    }
    let visitor = errand.http2.then(|| Arc::clone(errand.visitor));
    Ok(Response::from_parts(head, Answer::streamed(body, Open { in_flight, link, upload, visitor }, idle)))
}
