//! The other end: sending commands to a running process.

use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::control::admin::command_server::TAKE_OVER;
use crate::control::admin::reply::ErrorReply;
use crate::control::handover::channel::HandoverChannel;
use crate::control::json_reader;
use crate::net::clock::instant_now;
use crate::net::packet_socket::receive_descriptor;
use crate::net::unix_listener::connect;

/// Enough for the status of 65,536 backends.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// Why there is no reply.
#[derive(Debug)]
pub struct RequestError {
    path: PathBuf,
    failure: AskError,
}

#[derive(Debug)]
enum AskError {
    Connect(io::Error),
    Io(io::Error),
}

/// Sends a command to the process whose socket is at `path`.
pub fn send(path: &Path, command: &str, patience: Duration) -> Result<Json, RequestError> {
    let fail = |failure| RequestError { path: path.to_owned(), failure };
    let stream = connect(path).map_err(|error| fail(AskError::Connect(error)))?;
    send_over(stream, command, patience).map_err(|error| fail(AskError::Io(error)))
}

/// Sends these bytes to the process whose socket is at `path`, and gives all that comes back.
pub(super) fn exchange(path: &Path, sent: &[u8], patience: Duration) -> Result<Vec<u8>, RequestError> {
    let fail = |failure| RequestError { path: path.to_owned(), failure };
    let stream = connect(path).map_err(|error| fail(AskError::Connect(error)))?;
    exchange_over(stream, sent, patience).map_err(|error| fail(AskError::Io(error)))
}

impl RequestError {
    /// What came back is no answer.
    pub(super) fn strange(path: &Path) -> RequestError {
        RequestError { path: path.to_owned(), failure: AskError::Io(io::ErrorKind::InvalidData.into()) }
    }
}

/// Asks the process whose socket is at `path` for a channel by which it hands everything over.
///
/// # Errors
/// It is not there, or does not want to; in words.
pub fn ask_to_take_over(path: &Path) -> Result<HandoverChannel, String> {
    let fail = |failure| RequestError { path: path.to_owned(), failure }.to_string();
    let mut stream = connect(path).map_err(|error| fail(AskError::Connect(error)))?;
    stream
        .set_write_timeout(Some(TAKE_OVER_TIMEOUT))
        .and_then(|()| stream.write_all(format!("{TAKE_OVER}\n").as_bytes()))
        .map_err(|error| fail(AskError::Io(error)))?;
    let received = receive_descriptor(&stream, TAKE_OVER_TIMEOUT);
    match received.map_err(|error| fail(AskError::Io(error)))? {
        Ok(descriptor) => HandoverChannel::adopt(descriptor).map_err(|error| fail(AskError::Io(error))),
        Err(text) => {
            let reply =
                json_reader::read_text(&String::from_utf8_lossy(&text)).map(|reply: ErrorReply| reply.error);
            Err(reply.unwrap_or_else(|_| fail(AskError::Io(io::ErrorKind::InvalidData.into()))))
        }
    }
}

/// How long the process may take to answer one that wants to take over.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends a command over an open connection.
pub(super) fn send_over(stream: UnixStream, command: &str, patience: Duration) -> io::Result<Json> {
    let answer = exchange_over(stream, format!("{command}\n").as_bytes(), patience)?;
    serde_json::from_slice(&answer).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn exchange_over(mut stream: UnixStream, bytes: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let end = instant_now() + patience;
    stream.set_write_timeout(Some(patience))?;
    // A client that is rejected gets its answer at once, and then its command cannot be sent.
    let sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let left = end.saturating_duration_since(instant_now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if answer.len() > MAX_REPLY_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::ConnectionReset if !answer.is_empty() => break,
                _ => return Err(error),
            },
        }
    }
    if answer.is_empty() {
        return Err(sent.err().unwrap_or(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(answer)
}

/// A file of another kind refuses connections, too.
fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |found| found.file_type().is_socket())
}

impl fmt::Display for RequestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.failure {
            AskError::Connect(error) => {
                write!(out, "cannot reach a running ringway at {path}: ")?;
                match error.kind() {
                    io::ErrorKind::NotFound => out.write_str(
                        "there is no socket; start ringway with [admin] socket, or say with --socket or -c \
                         where its socket is",
                    ),
                    io::ErrorKind::ConnectionRefused if !is_socket(&self.path) => {
                        out.write_str("what is there is no socket; name the one that [admin] socket has")
                    }
                    io::ErrorKind::ConnectionRefused => {
                        out.write_str("connection refused, its process is gone; start ringway")
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(out, "{error}; do it as the user that ringway runs as, or as root")
                    }
                    io::ErrorKind::WouldBlock => out.write_str("too many wait already; try again"),
                    _ => write!(out, "{error}; say with --socket or -c where its socket is"),
                }
            }
            AskError::Io(error) => match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    write!(out, "no answer in time from the process at {path}; look at its standard error")
                }
                io::ErrorKind::InvalidData => {
                    write!(out, "what listens at {path} does not answer as ringway does; name another socket")
                }
                _ => write!(out, "the process at {path} has hung up: {error}; is it still running?"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_the_socket_and_a_fix() {
        let path = PathBuf::from("/run/ringway/admin.sock");
        for (failure, words) in [
            (AskError::Connect(io::ErrorKind::NotFound.into()), "there is no socket; start ringway with"),
            (AskError::Connect(io::ErrorKind::ConnectionRefused.into()), "its process is gone; start"),
            (AskError::Connect(io::ErrorKind::PermissionDenied.into()), "as the user that ringway runs as"),
            (AskError::Connect(io::ErrorKind::WouldBlock.into()), "try again"),
            (AskError::Io(io::ErrorKind::WouldBlock.into()), "no answer in time"),
            (AskError::Io(io::ErrorKind::InvalidData.into()), "name another socket"),
            (AskError::Io(io::ErrorKind::ConnectionReset.into()), "is it still running?"),
        ] {
            let text = RequestError { path: path.clone(), failure }.to_string();
            assert!(text.contains("/run/ringway/admin.sock") && text.contains(words), "{text}");
        }
    }
}
