//! HTTP/1.1 messages on a connection: what the server and the client share. Everything read has a limit.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

/// Request line or status line with all headers.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;
/// A page of a thousand payments is some 200 KiB.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;
const HEADERS_MAX: usize = 64;

/// The first line and headers, in order, names in lower case.
pub struct Head {
    /// Method and target, or an empty text and the status code.
    pub first: (String, String),
    pub headers: Vec<(String, String)>,
    /// HTTP/1.1 or later: connections are kept unless somebody says otherwise.
    pub keeps: bool,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether the connection may be used again after this message.
    pub fn keep_alive(&self) -> bool {
        match self.header("connection") {
            Some(value) if value.eq_ignore_ascii_case("close") => false,
            Some(value) if value.eq_ignore_ascii_case("keep-alive") => true,
            _ => self.keeps,
        }
    }
}

/// Why no message could be read.
#[derive(Debug)]
pub enum ReadError {
    /// The other side closed before the first byte of one.
    Closed,
    /// Connection trouble, or a time limit.
    Io(io::Error),
    /// Not HTTP, or over a limit: answer with this status.
    Bad(u16, &'static str),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads from `stream` behind what `buffer` has; leaves what belongs to the next message in `buffer`.
pub fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>, is_request: bool) -> Result<Head, ReadError> {
    loop {
        if let Some((head, used)) = parse(buffer, is_request)? {
            buffer.drain(..used);
            return Ok(head);
        }
        if buffer.len() >= HEAD_MAX_BYTES {
            return Err(ReadError::Bad(431, "the headers are too large"));
        }
        if more(stream, buffer)? == 0 {
            return Err(if buffer.is_empty() {
                ReadError::Closed
            } else {
                ReadError::Io(ErrorKind::UnexpectedEof.into())
            });
        }
    }
}

fn parse(buffer: &[u8], is_request: bool) -> Result<Option<(Head, usize)>, ReadError> {
    let mut space = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let bad = |_| ReadError::Bad(400, "this is not HTTP/1.1");
    let (status, first, version, headers) = if is_request {
        let mut request = httparse::Request::new(&mut space);
        let status = request.parse(buffer).map_err(bad)?;
        let first = (request.method.unwrap_or_default().to_owned(), request.path.unwrap_or_default().to_owned());
        (status, first, request.version, request.headers)
    } else {
        let mut response = httparse::Response::new(&mut space);
        let status = response.parse(buffer).map_err(bad)?;
        let first = (String::new(), response.code.unwrap_or_default().to_string());
        (status, first, response.version, response.headers)
    };
    let httparse::Status::Complete(used) = status else {
        return Ok(None);
    };
    let headers = headers
        .iter()
        .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).trim().to_owned()))
        .collect();
    Ok(Some((Head { first, headers, keeps: version == Some(1) }, used)))
}

/// Reads the body that the head announces.
pub fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &Head) -> Result<Vec<u8>, ReadError> {
    let too_large = ReadError::Bad(413, "the body is too large");
    if let Some(coding) = head.header("transfer-encoding") {
        if !coding.eq_ignore_ascii_case("chunked") || head.header("content-length").is_some() {
            return Err(ReadError::Bad(400, "this transfer encoding is not understood"));
        }
        return read_chunks(stream, buffer);
    }
    let Some(length) = head.header("content-length") else {
        return Ok(Vec::new());
    };
    let length: usize = length.parse().map_err(|_| ReadError::Bad(400, "Content-Length is not a number"))?;
    if length > BODY_MAX_BYTES {
        return Err(too_large);
    }
    fill(stream, buffer, length)?;
    Ok(buffer.drain(..length).collect())
}

fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        let (used, size) = loop {
            match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) if buffer.len() < HEAD_MAX_BYTES => {
                    fill(stream, buffer, buffer.len() + 1)?
                }
                _ => return Err(ReadError::Bad(400, "a chunk has no size")),
            }
        };
        buffer.drain(..used);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > BODY_MAX_BYTES - body.len() {
            return Err(ReadError::Bad(413, "the body is too large"));
        }
        fill(stream, buffer, size + 2)?;
        body.extend(buffer.drain(..size));
        let end: Vec<u8> = buffer.drain(..2).collect();
        if end != b"\r\n" {
            return Err(ReadError::Bad(400, "a chunk has no end, or trailers"));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Writes a message in one go.
pub fn write(
    stream: &mut TcpStream,
    first_line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    keep: bool,
) -> io::Result<()> {
    let mut message = format!("{first_line}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        message.push_str(&format!("{name}: {value}\r\n"));
    }
    message.push_str(if keep { "Connection: keep-alive\r\n\r\n" } else { "Connection: close\r\n\r\n" });
    let mut bytes = message.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Result<(), ReadError> {
    while buffer.len() < length {
        if more(stream, buffer)? == 0 {
            return Err(ReadError::Io(ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(())
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 8 * 1024];
    loop {
        match stream.read(&mut chunk) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(count) => {
                buffer.extend_from_slice(&chunk[..count]);
                return Ok(count);
            }
        }
    }
}
