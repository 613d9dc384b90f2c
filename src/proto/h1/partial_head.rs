//! What can be read of a request that is refused, for the log alone.

use crate::http::head::PartialHead;
use crate::http::headers::Field;
use crate::proto::h1::framing::trim;

/// A head beyond this is not looked at for the log.
const MAX_BYTES: usize = 32 * 1024;

/// Reads as much as bytes that are no acceptable request hold of one. Nothing is judged.
pub fn read(bytes: &[u8]) -> PartialHead<'_> {
    let bytes = bytes.get(..MAX_BYTES).unwrap_or(bytes);
    let mut lines = bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut head = PartialHead::default();
    let Some(line) = lines.find(|line| !line.is_empty()) else { return head };
    let mut words = line.splitn(2, |&byte| byte == b' ');
    head.method = words.next().unwrap_or_default();
    let rest = words.next().unwrap_or_default();
    let (target, version) = match rest.iter().rposition(|&byte| byte == b' ') {
        Some(space) => (rest.get(..space).unwrap_or_default(), rest.get(space + 1..).unwrap_or_default()),
        None => (rest, &b""[..]),
    };
    head.version = match version {
        b"HTTP/1.0" => "HTTP/1.0",
        b"HTTP/1.1" => "HTTP/1.1",
        b"HTTP/2.0" => "HTTP/2.0",
        _ => "",
    };
    head.target = if version.starts_with(b"HTTP/") { target } else { rest };
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        head.note(&Field::new(name, trim(value.get(1..).unwrap_or_default())));
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_there_is() {
        fn check(bytes: &[u8], expected: [&str; 5]) {
            let head = read(bytes);
            let texts = [head.method, head.target, head.version.as_bytes(), head.host, head.user_agent];
            assert_eq!(texts, expected.map(str::as_bytes), "{}", bytes.escape_ascii());
        }
        check(
            b"\r\nGET /a?b HTTP/1.1\r\nUser-Agent:  x y \r\nhost: a\r\nHost: b\r\n\r\nHost: c",
            ["GET", "/a?b", "HTTP/1.1", "a", "x y"],
        );
        check(b"GET /a b HTTP/1.0\nUser-Agent: x", ["GET", "/a b", "HTTP/1.0", "", "x"]);
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ["PRI", "*", "HTTP/2.0", "", ""]);
        check(b"GET / HTTP/9.9\r\n", ["GET", "/", "", "", ""]);
        check(b"GET /only", ["GET", "/only", "", "", ""]);
        check(b"GET /with space", ["GET", "/with space", "", "", ""]);
        check(b"garbage\r\n:\r\n: x\r\nno colon\r\n", ["garbage", "", "", "", ""]);
        for nothing in [&b""[..], b"\r\n", b"\n\n\r\n"] {
            check(nothing, ["", "", "", "", ""]);
        }
        check(&[b'x'; MAX_BYTES + 9], [&"x".repeat(MAX_BYTES), "", "", "", ""]);
    }
}
