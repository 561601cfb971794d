//! Plans and outcomes between an unprivileged process and its executor: one JSON document a line, over a socket
//! pair. One plan at a time; the executor answers with the lines of output and then the outcome or a refusal.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use serde::{Deserialize, Serialize};

use super::{Outcome, Rules, SandboxPlan, execute::run_while};

/// A plan, or a message of the executor; the longest are commands of 128 KiB and lines of 4 KiB, escaped.
const MESSAGE_LIMIT_BYTES: u64 = 1 << 20;
/// How long the other side may leave lines unread; it only passes them on.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Why no outcome came back.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The executor refuses the plan, or could not run it.
    #[error("the sandbox was not run: {0}")]
    Refused(String),
    /// The connection broke, which means that the executor is gone.
    #[error("the executor of the sandbox does not answer")]
    Gone(#[source] io::Error),
    /// Something else than a message.
    #[error("the executor of the sandbox sent something that is not a message")]
    Message(#[source] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Answer {
    Line(String),
    Done(Outcome),
    Refused(String),
}

/// Sends a plan and waits for its outcome.
pub fn ask(
    stream: &mut (impl Read + Write),
    plan: &SandboxPlan,
    on_line: &mut dyn FnMut(&str),
) -> Result<Outcome, WireError> {
    let mut message = serde_json::to_vec(plan).map_err(WireError::Message)?;
    message.push(b'\n');
    stream.write_all(&message).and_then(|()| stream.flush()).map_err(WireError::Gone)?;
    let mut reader = BufReader::new(stream);
    loop {
        let Some(line) = read_message(&mut reader).map_err(WireError::Gone)? else {
            return Err(WireError::Gone(io::ErrorKind::UnexpectedEof.into()));
        };
        match serde_json::from_slice(&line).map_err(WireError::Message)? {
            Answer::Line(line) => on_line(&line),
            Answer::Done(outcome) => return Ok(outcome),
            Answer::Refused(why) => return Err(WireError::Refused(why)),
        }
    }
}

/// Runs the plans that come over a connection, one after the other, until it is closed. When the other side goes away
/// or stops reading while a command runs, the command is ended: its workspace may be made anew at once.
pub fn serve(stream: &UnixStream, rules: &Rules) -> io::Result<()> {
    stream.set_write_timeout(Some(READ_LIMIT))?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(message) = read_message(&mut reader)? {
        let answer = match serde_json::from_slice::<SandboxPlan>(&message) {
            Err(e) => Answer::Refused(format!("the plan can not be read: {e}")),
            Ok(plan) => {
                let stuck = Cell::new(false);
                let mut on_line = |line: &str| {
                    // Half a message can not be taken back, so nothing is sent after a failure.
                    if !stuck.get() {
                        stuck.set(send(&mut writer, &Answer::Line(line.to_owned())).is_err());
                    }
                };
                match run_while(&plan, rules, &mut on_line, &|| !stuck.get() && !is_closed(stream)) {
                    Ok(outcome) => Answer::Done(outcome),
                    Err(e) => Answer::Refused(chain(&e)),
                }
            }
        };
        send(&mut writer, &answer)?;
    }
    Ok(())
}

/// Whether the other side has closed the connection.
fn is_closed(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    // Hanging up is reported whether or not it is asked for.
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn send(writer: &mut (impl Write + ?Sized), answer: &Answer) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(answer)?;
    bytes.push(b'\n');
    writer.write_all(&bytes)?;
    writer.flush()
}

/// One line without its end, or `None` at the end of the connection.
fn read_message(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(MESSAGE_LIMIT_BYTES).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a message without an end")),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
