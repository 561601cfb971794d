//! An HTTP proxy for the fetch phase: `CONNECT` and plain forwarding (RFC 9110 section 9.3.6, RFC 9112 section
//! 3.2.2), to exactly the declared addresses.
//!
//! It does not look into what is transferred. A declared name that resolves to an address of this machine or of
//! its link is refused: a name is in other people's hands, and must not become a way to what listens here.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
};

use super::{
    Endpoint,
    relay::{CONNECT_LIMIT, Shared, join, limits},
};

/// A request line with its headers; what browsers send stays below.
const HEAD_LIMIT_BYTES: usize = 32 << 10;

/// Serves one connection: one request, and then what belongs to it.
pub(super) fn serve(mut inside: TcpStream, shared: &Shared) {
    let Some(head) = read_head(&mut inside) else { return };
    match Request::parse(&head.text) {
        None => answer(&mut inside, "400 Bad Request", "this is a proxy for HTTP/1.1"),
        Some(request) => forward(inside, &request, &head.rest, shared),
    }
}

struct Head {
    text: String,
    /// What came after the head in the same read.
    rest: Vec<u8>,
}

struct Request {
    target: Option<Endpoint>,
    shown: String,
    /// What the other side is sent first; nothing for `CONNECT`.
    head: Option<String>,
}

impl Request {
    fn parse(text: &str) -> Option<Self> {
        let (line, headers) = text.split_once("\r\n")?;
        let mut words = line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        if method == "CONNECT" {
            return Some(Self { target: target.parse().ok(), shown: target.to_owned(), head: None });
        }
        let rest = target.strip_prefix("http://")?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let with_port = if authority.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok()) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let kept: Vec<&str> = headers.split("\r\n").filter(|h| !h.is_empty() && !is_hop_by_hop(h)).collect();
        let head = format!("{method} {path} HTTP/1.1\r\n{}\r\nConnection: close\r\n\r\n", kept.join("\r\n"));
        Some(Self { target: with_port.parse().ok(), shown: with_port, head: Some(head) })
    }
}

fn is_hop_by_hop(header: &str) -> bool {
    let name = header.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(name.as_str(), "connection" | "keep-alive" | "upgrade" | "te" | "trailer") || name.starts_with("proxy-")
}

fn read_head(stream: &mut TcpStream) -> Option<Head> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return String::from_utf8(bytes).ok().map(|text| Head { text, rest });
        }
        if bytes.len() > HEAD_LIMIT_BYTES {
            answer(stream, "431 Request Header Fields Too Large", "the headers are too large");
            return None;
        }
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend(buffer.iter().take(n));
    }
}

fn forward(mut inside: TcpStream, request: &Request, rest: &[u8], shared: &Shared) {
    let Some(target) = request.target.as_ref().filter(|t| shared.allow.contains(t) && t.loopback().is_none()) else {
        shared.deny(&request.shown);
        let declared: Vec<String> = shared.allow.iter().map(Endpoint::to_string).collect();
        let text = format!("`{}` is not one of the declared registries: {}", request.shown, declared.join(", "));
        return answer(&mut inside, "403 Forbidden", &text);
    };
    let mut outside = match connect(target) {
        Ok(stream) => stream,
        Err(e) => return answer(&mut inside, "502 Bad Gateway", &format!("{target} can not be reached: {e}")),
    };
    let begun = match &request.head {
        Some(head) => outside.write_all(head.as_bytes()),
        None => inside.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n"),
    };
    if limits(&outside).and(begun).and_then(|()| outside.write_all(rest)).is_ok() {
        join(inside, outside, shared);
    }
}

fn connect(target: &Endpoint) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (target.host(), target.port()).to_socket_addrs()? {
        if is_local(address) {
            last = io::Error::new(io::ErrorKind::PermissionDenied, "the name leads to this machine or its link");
            continue;
        }
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn is_local(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
    }
}

fn answer(stream: &mut TcpStream, status: &str, text: &str) {
    let length = text.len() + 1;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}\n"
    );
    stream.write_all(head.as_bytes()).ok();
}
