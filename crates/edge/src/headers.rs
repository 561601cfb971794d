//! What a proxy does to header fields (RFC 9110 section 7.6, RFC 9112, RFC 7239): those of one hop go, those that say
//! where a request came from are the edge's own, whatever the client wrote.

use std::net::{IpAddr, SocketAddr};

use hyper::{
    HeaderMap, Method, Request, Uri, Version,
    body::Incoming,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, FORWARDED, HOST, HeaderName, HeaderValue,
        PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
    http::uri::{Authority, PathAndQuery},
};

/// The version that answered.
pub(crate) const SERIAL: HeaderName = HeaderName::from_static("x-countersign-serial");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields of one hop, whether `Connection` names them or not (RFC 9110 section 7.6.1).
const ONE_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields by which a client could say that it is someone else.
const CLAIMS: [HeaderName; 6] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
];

/// Who is at the other end of a client's connection, as header values made once a connection.
pub(crate) struct Origin {
    pub(crate) ip: IpAddr,
    address: HeaderValue,
    protocol: HeaderValue,
    forwarded: HeaderValue,
}

/// What is wrong with the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    #[error("the request does not say which host it is for")]
    NoHost,
    #[error("the request names more than one host, or none that could be one")]
    BadHost,
    #[error("the request has no path")]
    NoPath,
    #[error("the method CONNECT is not served here")]
    Connect,
}

impl Origin {
    /// The client at `peer`, which speaks TLS or does not.
    pub(crate) fn new(peer: SocketAddr, tls: bool) -> Self {
        // A socket for both families shows IPv4 clients as ::ffff:a.b.c.d.
        let ip = peer.ip().to_canonical();
        let protocol = if tls { "https" } else { "http" };
        let node = if ip.is_ipv6() { format!("\"[{ip}]\"") } else { ip.to_string() };
        // Addresses are digits, letters, dots, colons and brackets, all of which a value may have.
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            ip,
            address: value(&ip.to_string()),
            protocol: HeaderValue::from_static(protocol),
            forwarded: value(&format!("for={node};proto={protocol}")),
        }
    }
}

/// The protocol that a request asks to go over to, if it does so rightly (RFC 9110 section 7.8).
pub(crate) fn upgrade_asked(request: &Request<Incoming>) -> Option<HeaderValue> {
    let upgrade = request.headers().get(UPGRADE)?;
    (request.version() == Version::HTTP_11 && names(request.headers(), "upgrade")).then(|| upgrade.clone())
}

/// Makes the head of a client's request what the instance is to see.
pub(crate) fn to_instance(
    request: &mut Request<Incoming>,
    origin: &Origin,
    listen: SocketAddr,
) -> Result<(), HeadFault> {
    if request.method() == Method::CONNECT {
        return Err(HeadFault::Connect);
    }
    set_host(request, listen)?;
    let target = match request.uri().path_and_query() {
        Some(path) if request.uri().authority().is_some() => Some(path.clone()),
        Some(_) => None,
        None if request.method() == Method::OPTIONS => Some(PathAndQuery::from_static("*")),
        None => return Err(HeadFault::NoPath),
    };
    if let Some(target) = target {
        *request.uri_mut() = Uri::from(target);
    }
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    drop_one_hop(headers);
    // The edge asks for the body itself, by reading it.
    headers.remove(EXPECT);
    remove_all(headers, &CLAIMS);
    headers.insert(FORWARDED_FOR, origin.address.clone());
    headers.insert(FORWARDED_PROTO, origin.protocol.clone());
    headers.insert(FORWARDED, origin.forwarded.clone());
    join_cookies(headers);
    Ok(())
}

/// Makes the head of an instance's answer what the client is to see.
pub(crate) fn to_client(headers: &mut HeaderMap, serial: &HeaderValue) {
    drop_one_hop(headers);
    headers.insert(SERIAL, serial.clone());
}

/// Exactly one host, and the request's target wins over the field (RFC 9112 section 3.2.2).
fn set_host(request: &mut Request<Incoming>, listen: SocketAddr) -> Result<(), HeadFault> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next().cloned();
    if fields.next().is_some() {
        return Err(HeadFault::BadHost);
    }
    if let Some(field) = &field
        && (!field.is_empty() && Authority::try_from(field.as_bytes()).is_err() || field.as_bytes().contains(&b'@'))
    {
        return Err(HeadFault::BadHost);
    }
    let wanted = match (request.uri().authority(), field) {
        (Some(target), field) => {
            // In HTTP/2 both may be there, and then must agree (RFC 9113 section 8.3.1).
            let differs = field.is_some_and(|field| !field.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()));
            if target.as_str().contains('@') || (differs && request.version() == Version::HTTP_2) {
                return Err(HeadFault::BadHost);
            }
            HeaderValue::from_str(target.as_str()).map_err(|_| HeadFault::BadHost)?
        }
        (None, Some(_)) => return Ok(()),
        (None, None) if request.version() == Version::HTTP_10 => {
            HeaderValue::from_str(&listen.to_string()).map_err(|_| HeadFault::NoHost)?
        }
        (None, None) => return Err(HeadFault::NoHost),
    };
    request.headers_mut().insert(HOST, wanted);
    Ok(())
}

/// Whether a `Connection` field names this.
fn names(headers: &HeaderMap, option: &str) -> bool {
    headers.get_all(CONNECTION).iter().flat_map(options).any(|named| named.eq_ignore_ascii_case(option.as_bytes()))
}

fn options(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

fn drop_one_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(options)
            .filter_map(|option| HeaderName::from_bytes(option).ok())
            // Those that frame and address a message belong to it, whatever `Connection` says.
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_all(headers, &ONE_HOP);
}

/// Removes fields that are seldom there: to look at the few that are there is cheaper than to look for each of these.
fn remove_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    if headers.keys().any(|key| names.contains(key)) {
        for name in names {
            headers.remove(name);
        }
    }
}

/// HTTP/2 clients may split `Cookie`; HTTP/1.1 servers read one field (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(mut cookies) = headers.entry(COOKIE) else { return };
    if cookies.iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        cookies.insert(joined);
    }
}
