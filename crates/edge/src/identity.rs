//! Who a client is: what it proved, the cookie that it was given, or its address.
//!
//! It refuses to know what follows from it. Nothing that a client sends is an error here: what does not verify is no
//! identity, and the next one counts.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{
    HeaderMap,
    header::{COOKIE, HeaderName, HeaderValue},
};
use model::{
    Digest,
    route::{CohortRule, Identity, UNITS, unit},
};

use crate::{
    clients::Watch,
    compare::Place,
    limits::{COOKIE_MAX_AGE_S, MAX_IDENTITY_BYTES},
    token::{Claims, TokenKeys, TokenKeysError},
};

/// The ways of knowing the clients of one route, in their order.
#[derive(Default)]
pub(crate) struct Identities {
    ways: Vec<Way>,
}

enum Way {
    Certificate,
    Token { header: HeaderName, claim: String, keys: TokenKeys },
    Cookie { name: String },
}

/// A client, as far as a request shows who it is.
pub(crate) struct Known {
    /// The identity's text, as [`Identity`] says.
    pub(crate) text: Arc<str>,
    /// Texts of the identities that were verified.
    verified: Vec<String>,
    /// Its address, for limits: of IPv6 the network of 64 bits.
    network: Arc<str>,
    claims: Vec<Claims>,
    /// The cookie that it gets with the answer.
    pub(crate) set_cookie: Option<HeaderValue>,
    /// Where it goes on the route that was asked last, packed, because every request of a connection asks.
    placed: AtomicU64,
}

/// What is known of the other end of a connection before it asks anything, and what it was known by last.
pub(crate) struct Caller {
    by_address: Arc<Known>,
    certificate: Option<String>,
    secure: bool,
    last: Mutex<Option<Last>>,
}

/// A request's fields and who they showed.
struct Last {
    identities: Arc<Identities>,
    fields: Vec<Option<HeaderValue>>,
    /// When it has to be looked at again, in seconds since 1970.
    until: u64,
    known: Arc<Known>,
}

impl Identities {
    /// Reads the keys that they need. Blocks for as long as the files take.
    pub(crate) fn load(identities: &[Identity]) -> Result<Self, TokenKeysError> {
        let way = |identity: &Identity| {
            Ok(match identity {
                Identity::Certificate => Way::Certificate,
                Identity::Cookie { name } => Way::Cookie { name: name.clone() },
                Identity::Token { header, keys, claim, audience } => Way::Token {
                    // The table was checked.
                    header: HeaderName::from_bytes(header.as_bytes())
                        .unwrap_or(HeaderName::from_static("authorization")),
                    claim: claim.clone(),
                    keys: TokenKeys::load(keys, audience.as_deref())?,
                },
            })
        };
        Ok(Self { ways: identities.iter().map(way).collect::<Result<_, _>>()? })
    }

    /// The field of a request that a way looks at, if there is exactly one.
    fn field<'a>(way: &Way, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let name = match way {
            Way::Certificate => return None,
            Way::Token { header, .. } => header,
            Way::Cookie { .. } => &COOKIE,
        };
        let mut fields = headers.get_all(name).iter();
        fields.next().filter(|_| fields.next().is_none())
    }

    fn know(&self, caller: &Caller, headers: &HeaderMap, salt: Option<&Digest>) -> Known {
        let (mut texts, mut claims) = (Vec::new(), Vec::new());
        let (mut verified, mut set_cookie) = (Vec::new(), None);
        for way in &self.ways {
            match way {
                Way::Certificate => {
                    if let Some(text) = &caller.certificate {
                        texts.push(text.clone());
                        verified.push(text.clone());
                    }
                }
                Way::Token { claim, keys, .. } => {
                    let token = Self::field(way, headers).and_then(|field| keys.verify(bare(field.as_bytes())));
                    let Some(token) = token else { continue };
                    if let Some(text) = token.text(claim).filter(|text| text.len() <= MAX_IDENTITY_BYTES) {
                        texts.push(format!("token:{text}"));
                        verified.push(format!("token:{text}"));
                    }
                    claims.push(token);
                }
                Way::Cookie { name } => match cookie(headers, name) {
                    Some(value) => texts.push(format!("cookie:{value}")),
                    None if texts.is_empty() && set_cookie.is_none() => {
                        set_cookie = new_cookie(name, salt, &caller.by_address.text, caller.secure);
                    }
                    None => {}
                },
            }
        }
        if !texts.is_empty() {
            set_cookie = None;
        }
        let text = texts.into_iter().next().map_or_else(|| Arc::clone(&caller.by_address.text), Arc::from);
        let network = Arc::clone(&caller.by_address.network);
        Known { text, verified, network, claims, set_cookie, placed: AtomicU64::new(0) }
    }
}

impl Caller {
    /// The client at this address, with the key of the certificate that it showed.
    pub(crate) fn new(address: &str, certificate: Option<Digest>, secure: bool) -> Self {
        let by_address = Known {
            text: format!("address:{address}").into(),
            verified: Vec::new(),
            network: network(address),
            claims: Vec::new(),
            set_cookie: None,
            placed: AtomicU64::new(0),
        };
        Self {
            by_address: Arc::new(by_address),
            certificate: certificate.map(|key| format!("certificate:{}", key.hex())),
            secure,
            last: Mutex::default(),
        }
    }

    /// Who sent a request with these fields. `salt` is that of the comparison on the route, if there is one.
    pub(crate) fn know(
        &self,
        identities: &Arc<Identities>,
        headers: &HeaderMap,
        salt: Option<&Digest>,
        watch: &Watch,
    ) -> Arc<Known> {
        if identities.ways.is_empty() {
            return Arc::clone(&self.by_address);
        }
        // Nothing in there is ever half changed.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && Arc::ptr_eq(&last.identities, identities)
            && identities
                .ways
                .iter()
                .zip(&last.fields)
                .all(|(way, field)| Identities::field(way, headers) == field.as_ref())
            && watch.wall().unix() < last.until
        {
            return Arc::clone(&last.known);
        }
        let known = Arc::new(identities.know(self, headers, salt));
        let fields = identities.ways.iter().map(|way| Identities::field(way, headers).cloned()).collect();
        let until = known.claims.iter().map(|claims| claims.until).min().unwrap_or(u64::MAX);
        *last = Some(Last { identities: Arc::clone(identities), fields, until, known: Arc::clone(&known) });
        known
    }
}

impl Known {
    /// Whose requests its requests count among: who it was proved to be, else its address. Not its cookie, which it can
    /// leave out to be somebody new.
    pub(crate) fn accountable(&self) -> &str {
        self.verified.first().map_or(&*self.network, String::as_str)
    }

    /// Whether it was proved to be one of these.
    pub(crate) fn is_in(&self, rules: &[CohortRule]) -> bool {
        let digests: Vec<Digest> = self.verified.iter().map(|text| Digest::of(text.as_bytes())).collect();
        rules.iter().any(|rule| match rule {
            CohortRule::Named(digest) => digests.contains(digest),
            CohortRule::Claim { name, value } => self.claims.iter().any(|claims| claims.has(name, value)),
        })
    }

    /// Its place on the route with this id, which is computed once.
    pub(crate) fn place(&self, route: u64, compute: impl FnOnce() -> Place) -> Place {
        let packed = self.placed.load(Ordering::Relaxed);
        if packed >> Place::BITS == route
            && let Some(place) = Place::unpack(packed)
        {
            return place;
        }
        let place = compute();
        self.placed.store(route << Place::BITS | place.pack(), Ordering::Relaxed);
        place
    }
}

/// The network that a customer with IPv6 is commonly given (RFC 6177), and an IPv4 address as it is.
fn network(address: &str) -> Arc<str> {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("address:{network}/64").into()
        }
        _ => format!("address:{address}").into(),
    }
}

/// A token without the `Bearer ` before it (RFC 6750 section 2.1).
fn bare(field: &[u8]) -> &[u8] {
    match field.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => field,
    }
}

/// The value of a cookie in the form that the edge gives: 32 lower-case hexadecimal digits. Others are none.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let is_ours = |value: &&str| value.len() == 32 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    fields
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(given, _)| *given == name)
        .map(|(_, value)| value)
        .find(is_ours)
}

/// A new cookie, whose unit is that of the address: a client that keeps no cookies and a browser before it brings its
/// cookie back stay where they are.
fn new_cookie(name: &str, salt: Option<&Digest>, address: &str, secure: bool) -> Option<HeaderValue> {
    // One in a hundred fits; the chance that none of so many does is one in 10^17, and then any does.
    const TRIES: u64 = 40 * UNITS as u64;
    let (high, low) = (getrandom::u64().ok()?, getrandom::u64().ok()?);
    let wanted = salt.map(|salt| (salt, unit(salt, address)));
    let value = (0..TRIES)
        .map(|n| format!("{high:016x}{:016x}", low.wrapping_add(n)))
        .find(|value| wanted.is_none_or(|(salt, wanted)| unit(salt, &format!("cookie:{value}")) == wanted))?;
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{name}={value}; Path=/; Max-Age={COOKIE_MAX_AGE_S}; HttpOnly; SameSite=Lax{secure}"
    ))
    .ok()
}
