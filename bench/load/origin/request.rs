//! Just enough of HTTP/1.1 to serve proxies: request heads, and bodies that are thrown away.

/// What the origin wants to know of a request head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) answer: Answer,
    pub(crate) body: Discard,
    pub(crate) without_body: bool,
    pub(crate) close: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// A body of this many bytes with Content-Length.
    Sized(usize),
    /// A body of this many bytes in chunks.
    Chunked(usize),
    /// The numbers of requests and of probes answered so far.
    Served,
    /// An empty body, for health checks.
    Health,
    NotFound,
}

/// What is left of a request body, which is read and forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Discard {
    Nothing,
    Bytes(usize),
    ChunkSize,
    /// Data of a chunk with the line end behind it.
    ChunkData(usize),
    Trailers,
}

/// Bytes answered to `/` and to every path that names no length.
const DEFAULT_BODY_BYTES: usize = 128;

/// The largest body that a path may ask for.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 30;

/// Finds the first complete head in `input`: the request and the length of the head.
pub(crate) fn parse_head(input: &[u8]) -> Option<(Request, usize)> {
    let mut lines = Lines { input, position: 0 };
    let first = lines.next()?;
    let mut words = first.split(|&byte| byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let mut request = Request {
        answer: answer_to(target),
        body: Discard::Nothing,
        without_body: method == b"HEAD",
        close: version == b"HTTP/1.0",
    };
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            return Some((request, lines.position));
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            request.body = match number(value) {
                Some(length) if length > 0 => Discard::Bytes(length),
                _ => Discard::Nothing,
            };
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            request.body = Discard::ChunkSize;
        } else if name.eq_ignore_ascii_case(b"connection") {
            request.close |= value.eq_ignore_ascii_case(b"close");
        }
    }
}

impl Discard {
    /// Eats bytes of the body from the front of `input` and returns how many; at the end `self` is `Nothing`.
    pub(crate) fn consume(&mut self, input: &[u8]) -> usize {
        let mut lines = Lines { input, position: 0 };
        loop {
            let rest = input.len() - lines.position;
            match *self {
                Discard::Nothing => return lines.position,
                Discard::Bytes(left) | Discard::ChunkData(left) if left > rest => {
                    *self = if matches!(self, Discard::Bytes(_)) {
                        Discard::Bytes(left - rest)
                    } else {
                        Discard::ChunkData(left - rest)
                    };
                    return input.len();
                }
                Discard::Bytes(left) => {
                    lines.position += left;
                    *self = Discard::Nothing;
                }
                Discard::ChunkData(left) => {
                    lines.position += left;
                    *self = Discard::ChunkSize;
                }
                Discard::ChunkSize => {
                    let before = lines.position;
                    let Some(line) = lines.next() else { return before };
                    *self = match hexadecimal(line) {
                        0 => Discard::Trailers,
                        size => Discard::ChunkData(size + 2),
                    };
                }
                Discard::Trailers => {
                    let before = lines.position;
                    let Some(line) = lines.next() else { return before };
                    if line.is_empty() {
                        *self = Discard::Nothing;
                    }
                }
            }
        }
    }
}

/// The complete lines of a buffer, without their ends.
struct Lines<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.input[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n')?;
        self.position += length + 1;
        let line = &rest[..length];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn answer_to(target: &[u8]) -> Answer {
    if target == b"/served" {
        Answer::Served
    } else if target == b"/health" {
        Answer::Health
    } else if let Some(length) = target.strip_prefix(b"/bytes/") {
        number(length).filter(|&length| length <= MAX_BODY_BYTES).map_or(Answer::NotFound, Answer::Sized)
    } else if let Some(length) = target.strip_prefix(b"/chunked/") {
        number(length).filter(|&length| length <= MAX_BODY_BYTES).map_or(Answer::NotFound, Answer::Chunked)
    } else {
        Answer::Sized(DEFAULT_BODY_BYTES)
    }
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The size in front of a chunk; extensions and nonsense end it.
fn hexadecimal(line: &[u8]) -> usize {
    line.iter()
        .map_while(|&byte| char::from(byte).to_digit(16))
        .take(8)
        .fold(0, |size, digit| size * 16 + digit as usize)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Discard, parse_head};

    #[test]
    fn heads_are_found_with_their_answer_and_body() {
        let head = b"GET /bytes/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nrest";
        let (request, length) = parse_head(head).unwrap();
        assert_eq!((request.answer, request.body, request.close), (Answer::Sized(7), Discard::Nothing, true));
        assert_eq!(&head[length..], b"rest");

        let (request, _) = parse_head(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n").unwrap();
        assert_eq!((request.answer, request.body), (Answer::Sized(128), Discard::Bytes(5)));
        assert_eq!(parse_head(b"GET / HTTP/1.1\r\nHost: a\r\n"), None);
    }

    #[test]
    fn a_chunked_body_is_discarded_in_pieces_of_every_size() {
        let body = b"3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: t\r\n\r\n";
        for piece in 1..=body.len() {
            let mut discard = Discard::ChunkSize;
            let (mut start, mut end) = (0, 0);
            while discard != Discard::Nothing {
                end = (end + piece).min(body.len());
                start += discard.consume(&body[start..end]);
                assert!(end < body.len() || discard == Discard::Nothing, "pieces of {piece}");
            }
            assert_eq!(start, body.len());
        }
    }
}
