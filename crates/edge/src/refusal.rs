//! Answers of the edge's own: a line that says what, a line with a hint. They never name addresses: those who see them
//! are strangers.

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};

use crate::{answer::Answer, headers::HeadFault, headers::SERIAL, upload::UploadFault};

/// What clients are asked to wait before they try again, in seconds: a hand-over takes about that.
const RETRY_AFTER_S: &str = "1";

/// Why the edge answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The route is closed.
    Closed,
    /// No version of weight above 0 has an instance.
    NoVersion,
    /// As many requests as allowed wait already.
    HoldFull,
    /// The request waited for as long as the table allows.
    HoldTooLong,
    /// No instance can be reached.
    Unreachable,
    /// An instance took the request and closed the connection, or answered what is not HTTP.
    Unanswered,
    /// The head of the answer did not come in time.
    AnswerTooLate,
    /// No version has the name that was asked for (421, RFC 9110 section 15.5.20).
    UnknownName,
    /// The version is about to be retired; the request shows that it still has a client.
    Retiring,
    /// More is asked than the component can take, or than all may ask.
    Overload {
        /// When to come back, in seconds.
        after_s: u64,
    },
    /// The client asks for more than one may (429, RFC 6585 section 4).
    ClientRate {
        /// When to come back, in seconds.
        after_s: u64,
    },
    /// The client's head.
    Head(HeadFault),
    /// The client's body.
    Body(UploadFault),
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::UnknownName => StatusCode::MISDIRECTED_REQUEST,
            Self::Closed
            | Self::Retiring
            | Self::NoVersion
            | Self::HoldFull
            | Self::HoldTooLong
            | Self::Overload { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::ClientRate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable | Self::Unanswered => StatusCode::BAD_GATEWAY,
            Self::AnswerTooLate => StatusCode::GATEWAY_TIMEOUT,
            Self::Head(HeadFault::Connect) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Head(_) | Self::Body(UploadFault::Broken) => StatusCode::BAD_REQUEST,
            Self::Body(UploadFault::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(UploadFault::Stalled) => StatusCode::REQUEST_TIMEOUT,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Closed => "this service is closed for now\nhint: try again later\n",
            Self::NoVersion => {
                "no version of this service takes requests\nhint: try again later; `countersign status` shows what runs\n"
            }
            Self::UnknownName => {
                "no version of this service has this name\nhint: it may have been retired; `countersign versions` lists the names, and the plain address is the latest version\n"
            }
            Self::Retiring => {
                "this version was about to be retired, and your request keeps it\nhint: ask again in a moment\n"
            }
            Self::Overload { .. } => {
                "more is asked than this service can take\nhint: nothing was done; ask again after the seconds in Retry-After\n"
            }
            Self::ClientRate { .. } => {
                "you ask for more than one client may\nhint: nothing was done; ask again after the seconds in Retry-After\n"
            }
            Self::HoldFull => "too many requests wait while this service is switched\nhint: try again in a moment\n",
            Self::HoldTooLong => "this service is being switched, and it took too long\nhint: try again in a moment\n",
            Self::Unreachable => {
                "no instance of this service can be reached\nhint: `countersign status` shows what runs and its health\n"
            }
            Self::Unanswered => {
                "the service closed the connection without a valid answer\nhint: the request may have been acted on; look before you send it again\n"
            }
            Self::AnswerTooLate => {
                "the service did not answer in time\nhint: the request may have been acted on; look before you send it again\n"
            }
            Self::Head(HeadFault::NoHost) => {
                "the request does not say which host it is for\nhint: send one Host field\n"
            }
            Self::Head(HeadFault::BadHost) => {
                "the request names more than one host, or none that could be one\nhint: send one Host field, as in `example.org:8080`\n"
            }
            Self::Head(HeadFault::NoPath) => "the request has no path\nhint: ask for `/`\n",
            Self::Head(HeadFault::Connect) => {
                "CONNECT is not served here\nhint: this is a reverse proxy; ask for a path\n"
            }
            Self::Body(UploadFault::TooLarge) => {
                "the request's body is larger than allowed\nhint: send it in parts, or have the limit raised\n"
            }
            Self::Body(UploadFault::Stalled) => {
                "the request's body did not go on in time\nhint: send it without long pauses\n"
            }
            Self::Body(UploadFault::Broken) => "the request's body broke off\nhint: send it again\n",
        }
    }

    /// Whether it says that more is asked than is taken.
    pub(crate) const fn is_shed(self) -> bool {
        matches!(self, Self::Overload { .. } | Self::ClientRate { .. })
    }

    /// Whether it says that an instance took the request and did not answer.
    pub(crate) const fn is_unanswered(self) -> bool {
        matches!(self, Self::Unreachable | Self::Unanswered | Self::AnswerTooLate)
    }

    /// The answer, with the version's serial if one was chosen.
    pub(crate) fn answer(self, serial: Option<&HeaderValue>) -> Response<Answer> {
        let mut response = Response::new(Answer::Text(Some(Bytes::from_static(self.text().as_bytes()))));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Some(serial) = serial {
            headers.insert(SERIAL, serial.clone());
        }
        if let Self::Overload { after_s } | Self::ClientRate { after_s } = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(after_s));
        } else if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }

    /// The answer to a request whose body will not be read: the connection can not go on after it.
    pub(crate) fn closing_answer(self, http2: bool) -> Response<Answer> {
        let mut response = self.answer(None);
        if !http2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
