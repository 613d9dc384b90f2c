//! The line of an exchange, as JSON with ALB's field names or in the combined log format.
//!
//! A line is begun while the request's head is still in its buffer and ended when the exchange is
//! over, so that no part of the head is copied twice. Bytes come from strangers: whatever could end
//! a line, a string or a terminal's good temper is escaped.

use std::io::Write;

use arrayvec::ArrayVec;

use crate::telemetry::date::Dates;
use crate::telemetry::record::Names;
use crate::telemetry::record::Record;
use crate::telemetry::record::RequestFacts;
use crate::telemetry::record::TlsFacts;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Combined,
}

/// A line begun: all that is known of the request.
#[derive(Default)]
pub struct Line {
    pub(super) bytes: Vec<u8>,
    format: Format,
    /// Where in `bytes` goes what is known only at the end. Behind it stands in JSON the identity that the request goes on
    /// with, if it does.
    gap: usize,
}

/// Identifies an exchange in the log: unique on this host, unlikely to repeat elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    /// Chosen at random when the process starts.
    pub process: u64,
    pub worker: u16,
    /// Counts the worker's exchanges.
    pub sequence: u64,
}

/// What is known of an exchange only when it is over.
pub struct Ending<'a> {
    pub id: RequestId,
    pub record: &'a Record,
    pub names: Names<'a>,
}

impl Format {
    /// Begins a line in the memory of `bytes`.
    pub fn begin(self, mut bytes: Vec<u8>, request: &RequestFacts<'_>, dates: &Dates) -> Line {
        bytes.clear();
        match self {
            Format::Json => {
                begin_json(&mut bytes, request, dates);
                let gap = bytes.len();
                bytes.extend_from_slice(request.request_id);
                Line { bytes, format: self, gap }
            }
            Format::Combined => {
                begin_combined(&mut bytes, request, dates);
                let gap = bytes.len();
                end_combined(&mut bytes, request);
                Line { bytes, format: self, gap }
            }
        }
    }
}

impl Line {
    /// Appends the whole line, with its line feed, to `out`.
    pub fn end(&self, ending: &Ending<'_>, out: &mut Vec<u8>) {
        let (before, after) = self.bytes.split_at(self.gap);
        out.extend_from_slice(before);
        match self.format {
            Format::Json => end_json(out, ending, after),
            Format::Combined => {
                let Record { status, body_bytes_sent, .. } = ending.record;
                // Writing to a vector cannot fail.
                let _ = write!(out, "{status} {body_bytes_sent} ");
                out.extend_from_slice(after);
            }
        }
        out.push(b'\n');
    }

    /// Bytes of memory that the line holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The memory of an ended line, for the next one.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn begin_json(out: &mut Vec<u8>, request: &RequestFacts<'_>, dates: &Dates) {
    let millis = request.time.subsec_millis();
    let _ = write!(out, r#"{{"time":"{}.{millis:03}Z","client_ip":"{}""#, dates.rfc3339(), request.client);
    let _ = write!(out, r#","client_port":{},"scheme":"{}""#, request.peer.port(), request.scheme);
    let _ = write!(out, r#","server_protocol":"{}""#, request.server_protocol);
    for (name, value) in [
        ("request_method", request.method),
        ("host", request.host),
        ("http_host", request.http_host),
        ("request_uri", request.request_uri),
        ("http_referer", request.referer),
        ("http_user_agent", request.user_agent),
        ("http_x_forwarded_for", request.x_forwarded_for),
        ("http_x_real_ip", request.x_real_ip),
    ] {
        json_field(out, name, value);
    }
    out.extend_from_slice(request.tls);
}

/// The fields of a TLS connection, made once for all its lines. The combined format has none.
pub fn tls_fields(facts: &TlsFacts<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [
        ("ssl_protocol", facts.ssl_protocol),
        ("ssl_cipher", facts.ssl_cipher),
        ("sni", facts.sni),
        ("alpn", facts.alpn),
        ("client_verify", facts.client_verify),
    ] {
        json_field(&mut out, name, value.as_bytes());
    }
    let _ = write!(out, r#","tls_resumed":{}"#, facts.resumed);
    out
}

fn end_json(out: &mut Vec<u8>, ending: &Ending<'_>, request_id: &[u8]) {
    let Ending { id, record, names } = ending;
    let _ = write!(
        out,
        concat!(
            r#","status":{},"request_length":{},"body_bytes_sent":{},"request_time":{:.3}"#,
            r#","read_request_time":{},"write_response_time":{}"#,
        ),
        record.status,
        record.request_length,
        record.body_bytes_sent,
        record.request_time.as_secs_f64(),
        record.read_request_time.as_millis(),
        record.write_response_time.as_millis(),
    );
    json_field(out, "upstream_addr", or_dash(names.upstream_addr).as_bytes());
    match names.upstream_status {
        // One status is a number, as ever.
        status if !status.is_empty() && status.bytes().all(|byte| byte.is_ascii_digit()) => {
            drop(write!(out, r#","upstream_status":{status}"#));
        }
        statuses => json_field(out, "upstream_status", or_dash(statuses).as_bytes()),
    }
    match record.upstream_response_time {
        None => out.extend_from_slice(br#","upstream_response_time":"-""#),
        Some(time) => drop(write!(out, r#","upstream_response_time":{:.3}"#, time.as_secs_f64())),
    }
    match record.grpc_status {
        None => {}
        Some(None) => out.extend_from_slice(br#","grpc_status":"-""#),
        Some(Some(status)) => drop(write!(out, r#","grpc_status":{status}"#)),
    }
    if let Some(rtt) = record.tcpinfo_rtt {
        let _ = write!(out, r#","tcpinfo_rtt":{rtt}"#);
    }
    json_field(out, "listener", or_dash(names.listener).as_bytes());
    json_field(out, "server_group", or_dash(names.server_group).as_bytes());
    let _ = write!(out, r#","retry_count":{},"reason":"{}""#, record.retries, record.reason.word());
    let RequestId { process, worker, sequence } = id;
    let _ = write!(out, r#","worker":{worker}"#);
    if request_id.is_empty() {
        let _ = write!(out, r#","request_id":"{process:016x}{worker:04x}{sequence:012x}""#);
    } else {
        json_field(out, "request_id", request_id);
    }
    out.push(b'}');
}

/// What a line shows of a value: a stranger decides how long it is, and escaping makes it six times so.
fn shown(value: &[u8]) -> &[u8] {
    const SHOWN_BYTES: usize = 4 * 1024;
    value.get(..SHOWN_BYTES).unwrap_or(value)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn json_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let _ = write!(out, r#","{name}":""#);
    if value.is_empty() {
        out.push(b'-');
    }
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if shown(value).iter().all(is_plain) {
        // Nearly always.
        out.extend_from_slice(shown(value));
        return out.push(b'"');
    }
    for part in shown(value).utf8_chunks() {
        json_text(out, part.valid());
        // What is no UTF-8 shows as in the combined format, and stays a text of JSON.
        part.invalid().iter().for_each(|byte| drop(write!(out, "\\\\x{byte:02X}")));
    }
    out.push(b'"');
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend_from_slice(&[b'\\', letter as u8]),
            // Besides controls, what JavaScript takes for the end of a line.
            _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                drop(write!(out, "\\u{:04x}", letter as u32));
            }
            _ if letter.is_ascii() => out.push(letter as u8),
            _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn begin_combined(out: &mut Vec<u8>, request: &RequestFacts<'_>, dates: &Dates) {
    let _ = write!(out, "{} - ", request.client);
    remote_user(out, request.authorization);
    let _ = write!(out, " [{}] \"", dates.common_log());
    escaped(out, request.method);
    out.push(b' ');
    escaped(out, request.request_uri);
    let _ = write!(out, " {}\" ", request.server_protocol);
}

/// The user of Basic authentication (RFC 7617 §2), or a dash. The password behind the colon is never looked at.
fn remote_user(out: &mut Vec<u8>, authorization: &[u8]) {
    let credentials =
        authorization.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
    let mut decoded = ArrayVec::<u8, MAX_USER_BYTES>::new();
    let is_decoded =
        credentials.is_some_and(|(_, credentials)| decode_user(credentials.trim_ascii(), &mut decoded));
    if !is_decoded || decoded.is_empty() {
        return out.push(b'-');
    }
    for &byte in &decoded {
        // A space would begin the next field.
        if byte == b' ' { out.extend_from_slice(b"\\x20") } else { escaped(out, &[byte]) }
    }
}

/// Decodes base 64 up to the first colon; false if there is none, or if something else stands before it.
fn decode_user(credentials: &[u8], user: &mut ArrayVec<u8, MAX_USER_BYTES>) -> bool {
    let (mut bits, mut count) = (0u32, 0);
    for &letter in credentials {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return false,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            match (bits >> count) as u8 {
                b':' => return true,
                byte if user.try_push(byte).is_err() => return false,
                _ => {}
            }
        }
    }
    false
}

/// A longer name of a user is not told.
const MAX_USER_BYTES: usize = 64;

fn end_combined(out: &mut Vec<u8>, request: &RequestFacts<'_>) {
    for value in [request.referer, request.user_agent] {
        out.push(b'"');
        escaped(out, if value.is_empty() { b"-" } else { value });
        out.extend_from_slice(b"\" ");
    }
    out.pop();
}

/// Escapes as nginx and Apache do, so that their log readers work.
fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in shown(value) {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => drop(write!(out, "\\x{byte:02X}")),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::reason::Reason;

    fn facts() -> RequestFacts<'static> {
        RequestFacts {
            time: Duration::from_millis(784_111_777_042),
            peer: "10.0.0.9:50123".parse().unwrap(),
            client: "192.0.2.7".parse().unwrap(),
            method: b"GET",
            scheme: "http",
            host: b"example.com",
            http_host: b"example.com:8080",
            request_uri: b"/a\"b\\c?d",
            server_protocol: "HTTP/1.1",
            referer: b"",
            user_agent: b"caf\xe9\x1b[31m",
            x_forwarded_for: b"192.0.2.7",
            x_real_ip: b"",
            authorization: b"Basic QWxhIGRpbjpvcGVuIHNlc2FtZQ==",
            request_id: b"",
            tls: b"",
        }
    }

    fn line(format: Format) -> String {
        line_of(format, &facts())
    }

    fn line_of(format: Format, facts: &RequestFacts<'_>) -> String {
        let mut dates = Dates::default();
        dates.advance(facts.time);
        let begun = format.begin(b"memory of another line".to_vec(), facts, &dates);
        let record = Record {
            status: 502,
            reason: Reason::ConnectRefused,
            request_length: 80,
            body_bytes_sent: 17,
            request_time: Duration::from_micros(12_345),
            upstream_response_time: Some(Duration::from_millis(7)),
            retries: 1,
            ..Record::default()
        };
        let names = Names {
            listener: "web",
            server_group: "app",
            upstream_addr: "127.0.0.1:1, 127.0.0.1:2",
            upstream_status: "-, 502",
        };
        let mut out = Vec::new();
        let id = RequestId { process: 0xabc, worker: 1, sequence: 255 };
        begun.end(&Ending { id, record: &record, names }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_the_names_of_alb_and_survives_hostile_bytes() {
        let line = line(Format::Json);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "1994-11-06T08:49:37.042Z");
        assert_eq!(value["request_uri"], "/a\"b\\c?d");
        assert_eq!(value["http_user_agent"], "caf\\xE9\u{1b}[31m");
        assert_eq!(value["http_referer"], "-");
        assert_eq!(value["upstream_status"], "-, 502");
        assert_eq!(value["upstream_response_time"], 0.007);
        assert_eq!(value["request_time"], 0.012);
        assert_eq!(value["reason"], "connect_refused");
        assert_eq!(value["request_id"], "0000000000000abc0001".to_owned() + "0000000000ff");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.is_ascii());
    }

    #[test]
    fn an_identity_that_goes_on_is_told_instead() {
        let of = |format| line_of(format, &RequestFacts { request_id: b"edge:7f3b/1", ..facts() });
        let value: serde_json::Value = serde_json::from_str(&of(Format::Json)).unwrap();
        assert_eq!(value["request_id"], "edge:7f3b/1");
        assert!(!of(Format::Combined).contains("7f3b"));
    }

    #[test]
    fn text_in_json_is_utf8_whatever_came() {
        for (value, written) in [
            ("caf\u{e9} \u{1f600}".as_bytes(), "caf\u{e9} \u{1f600}"),
            (b"caf\xe9", r"caf\\xE9"),
            (b"\xe2\x82", r"\\xE2\\x82"),
            (b"\xc0\xaf\xed\xa0\x80", r"\\xC0\\xAF\\xED\\xA0\\x80"),
            ("\u{85}\u{9b}\u{2028}\u{7f}".as_bytes(), r"\u0085\u009b\u2028\u007f"),
            (b"\"\\\n", r#"\"\\\u000a"#),
            (b"", "-"),
        ] {
            let mut out = Vec::new();
            json_field(&mut out, "x", value);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, format!(r#","x":"{written}""#));
            serde_json::from_str::<serde_json::Value>(&format!("{{{}}}", &text[1..])).unwrap();
        }
    }

    #[test]
    fn users_are_told_and_passwords_are_not() {
        for (authorization, expected) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin"),
            ("basic dXNlcjo=", "user"),
            ("Basic OnBhc3N3b3Jk", "-"),
            ("Basic dXNlcg==", "-"),
            ("Basic dXN!cjpw", "-"),
            ("Basic Ig06", r"\x22\x0D"),
            ("Bearer dXNlcjpw", "-"),
            ("", "-"),
        ] {
            let mut out = Vec::new();
            remote_user(&mut out, authorization.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{authorization}");
        }
    }

    #[test]
    fn combined_is_what_log_readers_expect() {
        assert_eq!(
            line(Format::Combined),
            "192.0.2.7 - Ala\\x20din [06/Nov/1994:08:49:37 +0000] \"GET /a\\x22b\\x5Cc?d HTTP/1.1\" 502 17 \
             \"-\" \"caf\\xE9\\x1B[31m\"\n"
        );
    }
}
