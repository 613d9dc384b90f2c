//! A client of the management API, over the unix socket or the address.

use super::Ringway;
use super::clock::PATIENCE;
use serde_json::Value as Json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What the API has answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub status: u16,
    head: String,
    pub text: String,
}

impl Told {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The value of a field of the head.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut named = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }
}

/// A call over the socket `admin.sock` in the folder of the process.
pub(crate) fn call(ringway: &Ringway, method: &str, path: &str, content: &str) -> Told {
    call_with(ringway, (method, path), &[], content)
}

/// The same with these fields.
pub(crate) fn call_with(
    ringway: &Ringway,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
    content: &str,
) -> Told {
    call_over(&ringway.folder().join("admin.sock"), (method, path), fields, content)
}

/// The same over this socket.
pub(crate) fn call_over(
    socket: &Path,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
    content: &str,
) -> Told {
    let mut stream = UnixStream::connect(socket).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    exchange(&mut stream, &request((method, path), "localhost", fields, content))
}

/// A call at the address of `[admin]`.
pub(crate) fn call_at(
    address: SocketAddr,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
    content: &str,
) -> Told {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    exchange(&mut stream, &request((method, path), &address.to_string(), fields, content))
}

/// The address of `[admin]`, by the line that tells it.
pub(crate) fn admin_address(ringway: &Ringway) -> SocketAddr {
    let line = ringway.wait_for_line("metrics on http");
    let rest = line.split("://").nth(1).expect("the line was waited for");
    rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address stands there")
}

/// The text of a call whose connection ends with its answer.
pub(crate) fn request(
    (method, path): (&str, &str),
    host: &str,
    fields: &[(&str, &str)],
    content: &str,
) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    if !content.is_empty() {
        let media_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let has_own = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !has_own {
            text.push_str(&format!("Content-Type: {media_type}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n", content.len()));
    }
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + content
}

/// Sends the text, and reads to the end of the connection.
pub(crate) fn exchange(stream: &mut (impl Read + Write), request: &str) -> Told {
    stream.write_all(request.as_bytes()).expect("it takes the request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers and closes");
    let answer = String::from_utf8(answer).expect("it is text");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Told { status, head: head.to_owned(), text: text.to_owned() }
}
