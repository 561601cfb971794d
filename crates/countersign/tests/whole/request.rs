//! One HTTP/1.1 request over loopback or a process's own socket, with a limit on everything.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Longer than the longest hold at a hand-over.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// A cookie that came with it, as it is sent back.
    pub(crate) cookie: Option<String>,
}

/// Asks and reads until the connection ends.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    ask(address, "GET", path, b"")
}

/// The same with a cookie.
pub(crate) fn get_as(address: SocketAddr, path: &str, cookie: Option<&str>) -> std::io::Result<Answer> {
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n"));
    ask_with(address, "GET", path, &cookie.unwrap_or_default(), b"")
}

/// The same with a method and a body.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
    ask_with(address, method, path, "", body)
}

/// The same of one of the names that are at an address.
pub(crate) fn ask_at(
    address: SocketAddr,
    host: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<Answer> {
    send(address, host, (method, path), "", body)
}

fn ask_with(address: SocketAddr, method: &str, path: &str, more: &str, body: &[u8]) -> std::io::Result<Answer> {
    send(address, &address.to_string(), (method, path), more, body)
}

fn send(
    address: SocketAddr,
    host: &str,
    (method, path): (&str, &str),
    more: &str,
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let length = body.len();
    stream.write_all(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    stream.write_all(body)?;
    answer(stream)
}

/// The same of a process's own socket.
pub(crate) fn get_unix(socket: &Path, path: &str) -> std::io::Result<Answer> {
    ask_unix(socket, &format!("GET {path} HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n"))
}

/// Posts JSON to a process's own socket.
pub(crate) fn post_unix(socket: &Path, path: &str, body: &str) -> std::io::Result<Answer> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: log\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    ask_unix(socket, &format!("{head}{body}"))
}

fn ask_unix(socket: &Path, request: &str) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    answer(stream)
}

fn answer(mut stream: impl std::io::Read) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let cut = |why: &str| std::io::Error::other(format!("{why}: {}", String::from_utf8_lossy(&bytes)));
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| cut("no head"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| cut("no status"))?;
    let raw = &bytes[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") {
        unchunk(raw).ok_or_else(|| cut("cut short"))?
    } else {
        raw.to_vec()
    };
    let length =
        head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|l| l.trim().parse::<usize>().ok());
    if length.is_some_and(|l| l != body.len()) {
        return Err(cut("cut short"));
    }
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).and_then(|l| l.split(';').next());
    Ok(Answer { status, body, cookie: cookie.map(str::to_owned) })
}

fn unchunk(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = raw.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).ok()?.split(';').next()?.trim(), 16).ok()?;
        raw = raw.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(raw.get(..size)?);
        raw = raw.get(size + 2..)?;
    }
}
