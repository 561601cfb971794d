//! HTTP/1.1 as a client speaks it (RFC 9112): a request, its answer, and whether the connection lasts.
//!
//! Heads are parsed by `httparse`, also in hyper; what it leaves out is here: where a body ends (section 6.3). Bodies are read
//! to their end always, and kept only where somebody looks at them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use crate::tally::Failure;

const MOST_HEADERS: usize = 128;
const MOST_HEAD: usize = 64 << 10;
/// What of a body is kept to be looked at.
const MOST_KEPT: usize = 4 << 20;
/// A line of a chunk: its size and extensions.
const MOST_LINE: usize = 8 << 10;
const READ: usize = 16 << 10;

/// A connection that speaks HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Http1<S> {
    io: S,
    got: BytesMut,
}

/// An answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Empty if nobody looks at it.
    pub(crate) body: Vec<u8>,
    /// Whether another request may follow on the connection.
    pub(crate) lasts: bool,
}

/// What a head says of what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunks,
    ToTheEnd,
}

impl<S: AsyncRead + tokio::io::AsyncWrite + Unpin> Http1<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, got: BytesMut::with_capacity(READ) }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8], is_head: bool, keep: bool) -> Result<Answer, Failure> {
        self.io.write_all(request).await.map_err(|_| Failure::Closed)?;
        self.io.flush().await.map_err(|_| Failure::Closed)?;
        loop {
            let (status, length, lasts) = self.head(is_head).await?;
            // An interim answer is followed by the real one; nobody asked for another protocol.
            match status {
                101 => return Err(Failure::Protocol),
                100..=199 => continue,
                _ => {}
            }
            let mut kept = Vec::new();
            let to = keep.then_some(&mut kept);
            match length {
                Length::Known(bytes) => self.known(bytes, to).await?,
                Length::Chunks => self.chunks(to).await?,
                Length::ToTheEnd => self.until_the_end(to).await?,
            }
            let lasts = lasts && length != Length::ToTheEnd && self.got.is_empty();
            return Ok(Answer { status, body: kept, lasts });
        }
    }

    /// Whether the other side ended the connection, or said something that nobody asked for.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0; 1];
        Pin::new(&mut self.io).poll_read(cx, &mut ReadBuf::new(&mut byte)).map(|_| ())
    }

    async fn more(&mut self) -> Result<(), Failure> {
        self.got.reserve(READ);
        match self.io.read_buf(&mut self.got).await {
            Ok(0) | Err(_) => Err(Failure::Closed),
            Ok(_) => Ok(()),
        }
    }

    async fn head(&mut self, is_head: bool) -> Result<(u16, Length, bool), Failure> {
        loop {
            if !self.got.is_empty() {
                let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
                let mut response = httparse::Response::new(&mut headers);
                match response.parse(&self.got) {
                    Ok(httparse::Status::Complete(size)) => {
                        let found = read_head(&response, is_head)?;
                        self.got.advance(size);
                        return Ok(found);
                    }
                    Ok(httparse::Status::Partial) if self.got.len() < MOST_HEAD => {}
                    Ok(httparse::Status::Partial) | Err(_) => return Err(Failure::Protocol),
                }
            }
            self.more().await?;
        }
    }

    async fn known(&mut self, mut left: u64, mut to: Option<&mut Vec<u8>>) -> Result<(), Failure> {
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.got.len());
            keep(self.got.get(..here).unwrap_or_default(), to.as_deref_mut())?;
            self.got.advance(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }

    async fn chunks(&mut self, mut to: Option<&mut Vec<u8>>) -> Result<(), Failure> {
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.got) {
                    Ok(httparse::Status::Complete((line, size))) => {
                        self.got.advance(line);
                        break size;
                    }
                    Ok(httparse::Status::Partial) if self.got.len() < MOST_LINE => self.more().await?,
                    Ok(httparse::Status::Partial) | Err(_) => return Err(Failure::Protocol),
                }
            };
            if size == 0 {
                return self.trailers().await;
            }
            self.known(size, to.as_deref_mut()).await?;
            while self.got.len() < 2 {
                self.more().await?;
            }
            if !self.got.starts_with(b"\r\n") {
                return Err(Failure::Protocol);
            }
            self.got.advance(2);
        }
    }

    /// Lines up to an empty one.
    async fn trailers(&mut self) -> Result<(), Failure> {
        let mut read = 0;
        loop {
            match self.got.windows(2).position(|two| two == b"\r\n") {
                Some(0) => {
                    self.got.advance(2);
                    return Ok(());
                }
                Some(line) => {
                    self.got.advance(line + 2);
                    read += line + 2;
                }
                None => self.more().await?,
            }
            if read + self.got.len() > MOST_HEAD {
                return Err(Failure::Protocol);
            }
        }
    }

    async fn until_the_end(&mut self, mut to: Option<&mut Vec<u8>>) -> Result<(), Failure> {
        loop {
            keep(&self.got, to.as_deref_mut())?;
            self.got.clear();
            self.got.reserve(READ);
            match self.io.read_buf(&mut self.got).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_) => return Err(Failure::Closed),
            }
        }
    }
}

fn keep(bytes: &[u8], to: Option<&mut Vec<u8>>) -> Result<(), Failure> {
    let Some(to) = to else { return Ok(()) };
    if to.len() + bytes.len() > MOST_KEPT {
        return Err(Failure::Protocol);
    }
    to.extend_from_slice(bytes);
    Ok(())
}

fn read_head(response: &httparse::Response<'_, '_>, is_head: bool) -> Result<(u16, Length, bool), Failure> {
    let status = response.code.unwrap_or_default();
    let mut lasts = response.version == Some(1);
    let (mut known, mut coded) = (None, false);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Failure::Protocol)?.trim();
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Failure::Protocol);
            }
            let length: u64 = text.parse().map_err(|_| Failure::Protocol)?;
            // Two that differ are an attack on whoever believes the one or the other (RFC 9112, section 6.3).
            if known.is_some_and(|before| before != length) {
                return Err(Failure::Protocol);
            }
            known = Some(length);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Failure::Protocol);
            }
            coded = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            for word in header.value.split(|b| *b == b',') {
                if word.trim_ascii().eq_ignore_ascii_case(b"close") {
                    lasts = false;
                }
            }
        }
    }
    let is_empty = is_head || status < 200 || matches!(status, 204 | 304);
    let length = match (is_empty, coded, known) {
        (true, _, _) => Length::Known(0),
        (false, true, None) => Length::Chunks,
        (false, true, Some(_)) => return Err(Failure::Protocol),
        (false, false, Some(length)) => Length::Known(length),
        (false, false, None) => Length::ToTheEnd,
    };
    Ok((status, length, lasts))
}

#[cfg(test)]
mod tests;
