//! One client: a line in, a document out. Everything is bounded in size and time.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value as Json;

use crate::control::admin::reply::error;
use crate::net::clock::instant_now;

/// Of a command, without the end of its line.
const MAX_LINE: usize = 256;

/// How long a client may take to send its command.
const LINE_TIME: Duration = Duration::from_secs(5);

/// How long a client may take to read its answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What a client said behind its command is read so far, or it would find its connection reset.
const MAX_REST: usize = 64 << 10;

/// Why there is no command.
#[derive(Debug, PartialEq, Eq)]
enum Unheard {
    TooLong,
    TooSlow,
    /// The client went away without a word.
    Gone,
}

/// Reads a command, answers it and closes.
pub(super) fn hold(mut stream: UnixStream, answer: impl FnOnce(&str) -> Json) {
    let document = match hear(&mut stream, instant_now() + LINE_TIME) {
        Ok(command) => answer(command.trim()),
        Err(Unheard::TooLong) => error(format!("a command has at most {MAX_LINE} bytes")),
        Err(Unheard::TooSlow) => error(format!("no command came within {} s", LINE_TIME.as_secs())),
        Err(Unheard::Gone) => return,
    };
    // A client that does not read in time, or went away, gets no more.
    drop(say(&mut stream, &document, instant_now() + ANSWER_TIME));
    drop(part(&mut stream));
}

/// Tells a client that it is not answered, without waiting for it.
pub(super) fn turn_away(mut stream: UnixStream, document: &Json) {
    if stream.set_nonblocking(true).is_ok() {
        drop(stream.write(format!("{document}\n").as_bytes()));
        drop(part(&mut stream));
    }
}

fn hear(stream: &mut UnixStream, end: Instant) -> Result<String, Unheard> {
    let mut line = Vec::with_capacity(MAX_LINE);
    let mut piece = [0; MAX_LINE + 1];
    loop {
        let left = time_left(end).ok_or(Unheard::TooSlow)?;
        stream.set_read_timeout(Some(left)).map_err(|_| Unheard::Gone)?;
        let count = match stream.read(&mut piece) {
            Ok(0) if line.is_empty() => return Err(Unheard::Gone),
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(Unheard::TooSlow),
                _ => return Err(Unheard::Gone),
            },
        };
        let piece = &piece[..count];
        let end_of_line = piece.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&piece[..end_of_line.unwrap_or(count)]);
        if line.len() > MAX_LINE {
            return Err(Unheard::TooLong);
        }
        if end_of_line.is_some() || count == 0 {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

fn say(stream: &mut UnixStream, document: &Json, end: Instant) -> io::Result<()> {
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

fn part(stream: &mut UnixStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_nonblocking(true)?;
    let mut piece = [0; 4096];
    let mut read = 0;
    while read < MAX_REST {
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

    fn heard(said: &[u8], is_over: bool) -> Result<String, Unheard> {
        let (mut client, mut server) = UnixStream::pair().unwrap();
        client.write_all(said).unwrap();
        if is_over {
            client.shutdown(Shutdown::Write).unwrap();
        }
        hear(&mut server, instant_now() + Duration::from_millis(50))
    }

    #[test]
    fn a_command_ends_with_its_line_or_the_stream() {
        let status = Ok("status".to_owned());
        assert_eq!(heard(b"status\n", false), status);
        assert_eq!(heard(b"status", true), status);
        assert_eq!(heard(b"status\nreload\n", false), status);
        assert_eq!(heard(b"\n", false), Ok(String::new()));
        assert_eq!(heard(b"\xff\n", false), Ok("\u{fffd}".to_owned()));
        assert_eq!(heard(b"", true), Err(Unheard::Gone));
        assert_eq!(heard(b"stat", false), Err(Unheard::TooSlow));
        assert_eq!(heard(&[b'a'; MAX_LINE + 1], false), Err(Unheard::TooLong));
        let longest = [&[b'a'; MAX_LINE][..], b"\n"].concat();
        assert_eq!(heard(&longest, false).map(|line| line.len()), Ok(MAX_LINE));
    }

    #[test]
    fn whoever_does_not_read_is_given_up() {
        let (_client, mut server) = UnixStream::pair().unwrap();
        let document = Json::String("x".repeat(8 << 20));
        let outcome = say(&mut server, &document, instant_now() + Duration::from_millis(50));
        assert!(outcome.is_err());
    }

    #[test]
    fn the_answer_arrives_whatever_else_was_said() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"status\nand more").unwrap();
        hold(server, |command| Json::String(command.to_owned()));
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "\"status\"\n");
    }
}
