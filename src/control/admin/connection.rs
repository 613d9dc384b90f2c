//! One client: a line in, a document out. Everything is bounded in size and time.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value as Json;

use crate::control::admin::reply::error;
use crate::control::explain::question::MAX_QUESTION_BYTES;
use crate::net::clock::instant_now;
use crate::net::packet_socket::send_descriptor;

/// Bytes of a command, without the end of its line: a request to be explained, as JSON with each byte escaped.
const MAX_COMMAND_BYTES: usize = 2 * MAX_QUESTION_BYTES;

/// How long a client may take to send its command.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to read its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes behind the command that are read before the connection closes: unread ones would make the kernel reset it.
const MAX_UNREAD_BYTES: usize = 64 << 10;

/// Why there is no command.
#[derive(Debug, PartialEq, Eq)]
enum ReadError {
    TooLong,
    TooSlow,
    /// The client disconnected before it sent a command.
    Gone,
}

/// What a command is answered with.
pub(super) enum CommandAnswer {
    Document(Json),
    /// A descriptor, for a process that is to take over.
    Descriptor(OwnedFd),
}

/// What a client says first.
pub(super) enum ClientOpening {
    Command(String),
    /// It speaks HTTP: these are the first bytes of its request.
    Http(Vec<u8>),
}

/// Reads a command, answers it and closes; or leaves the client to who speaks HTTP.
pub(super) fn handle(
    mut stream: UnixStream,
    answer: impl FnOnce(&str, &UnixStream) -> CommandAnswer,
    speak_http: impl FnOnce(UnixStream, Vec<u8>),
) {
    let answer = match read_opening(&mut stream, instant_now() + READ_TIMEOUT) {
        Ok(ClientOpening::Command(command)) => answer(command.trim(), &stream),
        Ok(ClientOpening::Http(received)) => return speak_http(stream, received),
        Err(ReadError::TooLong) => {
            CommandAnswer::Document(error(format!("a command has at most {MAX_COMMAND_BYTES} bytes")))
        }
        Err(ReadError::TooSlow) => {
            CommandAnswer::Document(error(format!("no command came within {} s", READ_TIMEOUT.as_secs())))
        }
        Err(ReadError::Gone) => return,
    };
    // A client that does not read in time, or went away, gets no more.
    match answer {
        CommandAnswer::Document(document) => {
            drop(write_reply(&mut stream, &document, instant_now() + WRITE_TIMEOUT))
        }
        CommandAnswer::Descriptor(descriptor) => {
            drop(stream.set_write_timeout(Some(WRITE_TIMEOUT)));
            drop(send_descriptor(&stream, descriptor.as_fd()));
        }
    }
    drop(close(&mut stream));
}

/// Sends a client the reason why it is not served, without waiting for it.
pub(super) fn reject(mut stream: UnixStream, document: &Json) {
    if stream.set_nonblocking(true).is_ok() {
        drop(stream.write(format!("{document}\n").as_bytes()));
        drop(close(&mut stream));
    }
}

fn read_opening(stream: &mut UnixStream, end: Instant) -> Result<ClientOpening, ReadError> {
    let mut received: Vec<u8> = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let left = time_left(end).ok_or(ReadError::TooSlow)?;
        stream.set_read_timeout(Some(left)).map_err(|_| ReadError::Gone)?;
        let count = match stream.read(&mut piece) {
            Ok(0) if received.is_empty() => return Err(ReadError::Gone),
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(ReadError::TooSlow),
                _ => return Err(ReadError::Gone),
            },
        };
        let before = received.len();
        received.extend_from_slice(&piece[..count]);
        let end_of_line = piece[..count].iter().position(|byte| *byte == b'\n').map(|at| before + at);
        let line = &received[..end_of_line.unwrap_or(received.len())];
        if line.trim_ascii_end().ends_with(b" HTTP/1.1") && end_of_line.is_some() {
            return Ok(ClientOpening::Http(received));
        }
        if line.len() > MAX_COMMAND_BYTES {
            return Err(ReadError::TooLong);
        }
        if end_of_line.is_some() || count == 0 {
            return Ok(ClientOpening::Command(String::from_utf8_lossy(line).into_owned()));
        }
    }
}

fn write_reply(stream: &mut UnixStream, document: &Json, end: Instant) -> io::Result<()> {
    let text = format!("{document}\n");
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let left = time_left(end).ok_or(io::ErrorKind::TimedOut)?;
        stream.set_write_timeout(Some(left))?;
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn close(stream: &mut UnixStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_nonblocking(true)?;
    let mut piece = [0; 4096];
    let mut read = 0;
    while read < MAX_UNREAD_BYTES {
        match stream.read(&mut piece)? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}

/// None when there is none.
fn time_left(end: Instant) -> Option<Duration> {
    let left = end.saturating_duration_since(instant_now());
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sent: &[u8], is_over: bool) -> Result<String, ReadError> {
        let (mut client, mut server) = UnixStream::pair().unwrap();
        client.write_all(sent).unwrap();
        if is_over {
            client.shutdown(Shutdown::Write).unwrap();
        }
        let opening = read_opening(&mut server, instant_now() + Duration::from_millis(50))?;
        Ok(match opening {
            ClientOpening::Command(command) => command,
            ClientOpening::Http(received) => format!("HTTP {}", received.len()),
        })
    }

    #[test]
    fn a_command_ends_with_its_line_or_the_stream() {
        let status = Ok("status".to_owned());
        assert_eq!(read(b"status\n", false), status);
        assert_eq!(read(b"status", true), status);
        assert_eq!(read(b"status\nreload\n", false), status);
        assert_eq!(read(b"\n", false), Ok(String::new()));
        assert_eq!(read(b"\xff\n", false), Ok("\u{fffd}".to_owned()));
        assert_eq!(read(b"GET /status HTTP/1.1\r\nHost", false), Ok("HTTP 26".to_owned()));
        assert_eq!(read(b"GET /status HTTP/1.1", true), Ok("GET /status HTTP/1.1".to_owned()));
        assert_eq!(read(b"", true), Err(ReadError::Gone));
        assert_eq!(read(b"stat", false), Err(ReadError::TooSlow));
        assert_eq!(read(&[b'a'; MAX_COMMAND_BYTES + 1], false), Err(ReadError::TooLong));
        let longest = [&[b'a'; MAX_COMMAND_BYTES][..], b"\n"].concat();
        assert_eq!(read(&longest, false).map(|line| line.len()), Ok(MAX_COMMAND_BYTES));
    }

    #[test]
    fn a_client_that_does_not_read_is_dropped() {
        let (_client, mut server) = UnixStream::pair().unwrap();
        let document = Json::String("x".repeat(8 << 20));
        let outcome = write_reply(&mut server, &document, instant_now() + Duration::from_millis(50));
        assert!(outcome.is_err());
    }

    #[test]
    fn the_reply_arrives_whatever_else_was_sent() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"status\nand more").unwrap();
        let answer =
            |command: &str, _: &UnixStream| CommandAnswer::Document(Json::String(command.to_owned()));
        handle(server, answer, |_, _| ());
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "\"status\"\n");
    }
}
