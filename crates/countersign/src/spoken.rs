//! Output of verbs that tell what they do while they do it: lines for people, or one JSON document a line.

use std::io::{self, Write};

/// Passes lines on as they are, or each as `{"said":"…"}`.
pub struct Spoken<'a> {
    out: &'a mut dyn Write,
    as_json: bool,
    line: Vec<u8>,
}

impl<'a> Spoken<'a> {
    /// On this output.
    pub fn new(out: &'a mut dyn Write, as_json: bool) -> Self {
        Self { out, as_json, line: Vec::new() }
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let words = String::from_utf8_lossy(&line);
        if words.trim().is_empty() {
            return Ok(());
        }
        writeln!(self.out, "{}", serde_json::json!({ "said": words }))
    }
}

impl Write for Spoken<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.as_json {
            return self.out.write(bytes);
        }
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line()?;
            } else {
                self.line.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Spoken<'_> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            // A verb that is cut off in a line has an error of its own to tell.
            drop(self.end_line());
        }
    }
}

#[cfg(test)]
mod tests;
