//! Spans in the encoding of OpenTelemetry's protocol (OTLP 1.x, `opentelemetry/proto/trace/v1/trace.proto`).
//!
//! A span is written once, as a complete field of the message that a collector gets: messages of Protocol Buffers are
//! joined by writing them one behind the other, so that a batch is put together without looking at its spans.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use crate::telemetry::protobuf::ProtobufValue;
use crate::telemetry::protobuf::fields;
use crate::telemetry::protobuf::write_bytes;
use crate::telemetry::protobuf::write_fixed32;
use crate::telemetry::protobuf::write_fixed64;
use crate::telemetry::protobuf::write_lossy;
use crate::telemetry::protobuf::write_message;
use crate::telemetry::protobuf::write_number;
use crate::telemetry::protobuf::write_text;

/// Bytes of a text in an attribute: enough for paths and agents, and a bound for what strangers send.
pub const MAX_TEXT_BYTES: usize = 1024;

/// `Span.flags`: sampled, and whether the parent is elsewhere is known.
const FLAGS: u32 = 0x101;
const PARENT_IS_REMOTE: u32 = 0x200;

/// `Status.code`.
const STATUS_ERROR: u64 = 2;

/// `Span.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// A span that is over. Identities are hexadecimal digits.
pub struct FinishedSpan<'a> {
    pub trace: &'a [u8; 32],
    pub span: &'a [u8; 16],
    /// None: it begins the trace.
    pub parent: Option<&'a [u8; 16]>,
    /// What `tracestate` says.
    pub state: &'a [u8],
    pub name: &'a str,
    pub kind: SpanKind,
    /// Since the Unix epoch.
    pub start: Duration,
    pub end: Duration,
    pub is_error: bool,
    /// Written by [`Attributes`].
    pub attributes: &'a [u8],
}

impl FinishedSpan<'_> {
    /// Appends it as a field of `ScopeSpans`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_message(2, out, |out| {
            write_message(1, out, |out| write_raw(self.trace, out));
            write_message(2, out, |out| write_raw(self.span, out));
            if !self.state.is_empty() {
                write_text(3, self.state, out);
            }
            if let Some(parent) = self.parent {
                write_message(4, out, |out| write_raw(parent, out));
            }
            write_text(5, self.name.as_bytes(), out);
            write_number(6, self.kind as u64, out);
            // Nanoseconds fit until the year 2554. Clocks that were set back must not make spans end before they began.
            write_fixed64(7, self.start.as_nanos() as u64, out);
            write_fixed64(8, self.end.max(self.start).as_nanos() as u64, out);
            out.extend_from_slice(self.attributes);
            if self.is_error {
                write_message(15, out, |out| write_number(3, STATUS_ERROR, out));
            }
            let is_remote = self.kind == SpanKind::Server && self.parent.is_some();
            write_fixed32(16, if is_remote { FLAGS | PARENT_IS_REMOTE } else { FLAGS }, out);
        });
    }
}

/// Writes the attributes of a span, one behind the other.
pub struct Attributes<'o>(pub &'o mut Vec<u8>);

/// The field of `Span` that has them. In `Resource` it is another one.
const SPAN_ATTRIBUTE: u32 = 9;
const RESOURCE_ATTRIBUTE: u32 = 1;

impl Attributes<'_> {
    /// A text, of which [`MAX_TEXT_BYTES`] are kept; nothing if it is empty.
    pub fn text(&mut self, key: &str, value: &[u8]) {
        let value = value.get(..MAX_TEXT_BYTES).unwrap_or(value);
        if !value.is_empty() {
            write_text_attribute(SPAN_ATTRIBUTE, (key, value), self.0);
        }
    }

    /// A number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.write(key, |out| write_number(3, value, out));
    }

    /// True or false.
    pub fn truth(&mut self, key: &str, value: bool) {
        self.write(key, |out| write_number(2, value.into(), out));
    }

    /// A text of several parts.
    pub fn joined(&mut self, key: &str, parts: &[&[u8]]) {
        self.write(key, |out| {
            write_message(1, out, |out| {
                for part in parts {
                    let part = part.get(..MAX_TEXT_BYTES).unwrap_or(part);
                    write_lossy(part, out);
                }
            });
        });
    }

    /// A number as text.
    pub fn digits(&mut self, key: &str, value: u16) {
        self.write(key, |out| write_message(1, out, |out| drop(write!(out, "{value}"))));
    }

    pub fn address(&mut self, key: &str, value: IpAddr) {
        self.write(key, |out| write_message(1, out, |out| drop(write!(out, "{value}"))));
    }

    fn write(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        write_message(SPAN_ATTRIBUTE, self.0, |out| {
            write_bytes(1, key.as_bytes(), out);
            write_message(2, out, value);
        });
    }
}

fn write_text_attribute(field: u32, (key, value): (&str, &[u8]), out: &mut Vec<u8>) {
    write_message(field, out, |out| {
        write_bytes(1, key.as_bytes(), out);
        write_message(2, out, |out| write_text(1, value, out));
    });
}

/// Writes an `ExportTraceServiceRequest` with these spans, each written by [`FinishedSpan::write`]. `resource` are names and
/// values that tell who we are.
pub fn write_request(resource: &[(&str, &str)], spans: &[u8], out: &mut Vec<u8>) {
    out.reserve(spans.len() + MAX_TEXT_BYTES);
    write_message(1, out, |out| {
        write_message(1, out, |out| {
            for (key, value) in resource {
                write_text_attribute(RESOURCE_ATTRIBUTE, (key, value.as_bytes()), out);
            }
        });
        write_message(2, out, |out| {
            write_message(1, out, |out| {
                write_text(1, b"ringway", out);
                write_text(2, env!("CARGO_PKG_VERSION").as_bytes(), out);
            });
            out.extend_from_slice(spans);
        });
    });
}

/// What a collector says about a request that it has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    pub rejected_spans: u64,
    pub message: String,
}

/// Reads an `ExportTraceServiceResponse`. What is none says nothing.
pub fn read_response(bytes: &[u8]) -> PartialSuccess {
    let mut told = PartialSuccess::default();
    let partial = fields(bytes).filter_map(|(field, value)| match value {
        ProtobufValue::Bytes(inner) if field == 1 => Some(inner),
        _ => None,
    });
    for (field, value) in partial.flat_map(fields) {
        match (field, value) {
            (1, ProtobufValue::Number(count)) => told.rejected_spans = count,
            (2, ProtobufValue::Bytes(text)) => {
                let text = text.get(..MAX_TEXT_BYTES).unwrap_or(text);
                told.message = String::from_utf8_lossy(text).into_owned();
            }
            _ => {}
        }
    }
    told
}

/// Writes the bytes that hexadecimal digits in lower case stand for.
fn write_raw(digits: &[u8], out: &mut Vec<u8>) {
    let value = |digit: u8| if digit <= b'9' { digit & 0xf } else { (digit & 0xf) + 9 };
    for pair in digits.chunks_exact(2) {
        if let [high, low] = *pair {
            out.push(value(high) << 4 | value(low));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_fields() {
        let mut attributes = Vec::new();
        let mut writer = Attributes(&mut attributes);
        writer.text("a", b"b");
        writer.text("empty", b"");
        writer.number("n", 300);
        writer.truth("t", true);
        let span = FinishedSpan {
            trace: b"4bf92f3577b34da6a3ce929d0e0e4736",
            span: b"00f067aa0ba902b7",
            parent: Some(b"0000000000000001"),
            state: b"x=1",
            name: "GET",
            kind: SpanKind::Server,
            start: Duration::from_nanos(5),
            end: Duration::from_nanos(3),
            is_error: true,
            attributes: &attributes,
        };
        let mut out = Vec::new();
        span.write(&mut out);
        let (field, ProtobufValue::Bytes(content)) = fields(&out).next().unwrap() else {
            panic!("a message")
        };
        assert_eq!(field, 2);
        let numbers: Vec<u32> = fields(content).map(|(field, _)| field).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 15, 16]);
        let (_, ProtobufValue::Bytes(trace)) = fields(content).next().unwrap() else { panic!("bytes") };
        assert_eq!(trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
        let times = content
            .windows(18)
            .any(|part| part == [0x39, 5, 0, 0, 0, 0, 0, 0, 0, 0x41, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert!(times, "it does not end before it began");
    }

    #[test]
    fn answers_of_collectors_are_read() {
        assert_eq!(read_response(b""), PartialSuccess::default());
        assert_eq!(read_response(b"{}"), PartialSuccess::default());
        let mut answer = Vec::new();
        write_message(1, &mut answer, |out| {
            write_number(1, 7, out);
            write_text(2, b"too old", out);
        });
        let expected = PartialSuccess { rejected_spans: 7, message: "too old".to_owned() };
        assert_eq!(read_response(&answer), expected);
        for end in 0..answer.len() {
            read_response(&answer[..end]);
        }
    }
}
