//! A collector of OTLP over HTTP, which reads what it gets down to its last field.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::backend::Backend;
use super::clock::{PATIENCE, now};
use super::message::Head;

/// A server that takes spans.
pub(crate) struct Collector {
    pub(crate) backend: Backend,
    messages: Receiver<Exported>,
    spans: Vec<ToldSpan>,
}

/// One request with spans.
pub(crate) struct Exported {
    pub(crate) head: Head,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) spans: Vec<ToldSpan>,
}

/// A span as it came. Identities are hexadecimal digits.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToldSpan {
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl ToldSpan {
    pub(crate) fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// What a collector that takes everything says.
pub(crate) const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

impl Collector {
    pub(crate) fn new() -> Collector {
        Collector::answering(|_| TAKEN.to_owned())
    }

    /// `answer` is told which request it is, counted from 0.
    pub(crate) fn answering(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Collector {
        Collector::at("127.0.0.1:0", answer)
    }

    /// The same on an address of the test's choice.
    pub(crate) fn at(address: &str, answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Collector {
        let (sender, messages) = channel();
        let backend = Backend::script_on(address, move |peer| {
            while let Some((head, content)) = peer.read_request()? {
                let number = peer.number;
                drop(sender.send(exported(head, content)));
                peer.write(answer(number).as_bytes())?;
            }
            Ok(())
        });
        Collector { backend, messages, spans: Vec::new() }
    }

    /// One whose connections `secure` makes safe first.
    pub(crate) fn secured(config: std::sync::Arc<rustls::ServerConfig>) -> Collector {
        let (sender, messages) = channel();
        let backend = Backend::secured(config, move |peer| {
            while let Some((head, content)) = peer.read_request()? {
                drop(sender.send(exported(head, content)));
                peer.write(TAKEN.as_bytes())?;
            }
            Ok(())
        });
        Collector { backend, messages, spans: Vec::new() }
    }

    /// Lines of `[tracing]` that send spans here.
    pub(crate) fn lines(&self) -> String {
        format!("[tracing]\npropagate = true\notlp = \"http://{}/v1/traces\"\n", self.backend.address())
    }

    /// The next request.
    pub(crate) fn message(&self) -> Exported {
        self.messages.recv_timeout(PATIENCE).expect("spans are sent")
    }

    /// Whether nothing comes for so long.
    pub(crate) fn is_silent(&self, time: Duration) -> bool {
        self.messages.recv_timeout(time).is_err()
    }

    /// All spans so far, once there are as many.
    pub(crate) fn spans(&mut self, count: usize) -> Vec<ToldSpan> {
        let began = now();
        while self.spans.len() < count {
            assert!(began.elapsed() < PATIENCE, "{count} spans are waited for: {:#?}", self.spans);
            if let Ok(message) = self.messages.recv_timeout(Duration::from_millis(100)) {
                self.spans.extend(message.spans);
            }
        }
        self.spans.clone()
    }
}

fn exported(head: Head, content: Vec<u8>) -> Exported {
    let mut plain = Vec::new();
    let is_compressed = head.field("content-encoding") == Some("gzip");
    let content = match is_compressed {
        true => {
            flate2::read::GzDecoder::new(&content[..]).read_to_end(&mut plain).expect("it is gzip");
            plain
        }
        false => content,
    };
    let (mut resource, mut spans) = (BTreeMap::new(), Vec::new());
    for (_, resource_spans) in fields(&content) {
        for (field, value) in fields(resource_spans.bytes()) {
            match field {
                1 => fields(value.bytes()).for_each(|(_, pair)| insert(pair.bytes(), &mut resource)),
                2 => {
                    let told = fields(value.bytes()).filter(|(field, _)| *field == 2);
                    spans.extend(told.map(|(_, told)| span(told.bytes())));
                }
                other => panic!("ResourceSpans has no field {other} here"),
            }
        }
    }
    Exported { head, resource, spans }
}

fn span(bytes: &[u8]) -> ToldSpan {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut told = ToldSpan::default();
    for (field, value) in fields(bytes) {
        match field {
            1 => told.trace = hex(value.bytes()),
            2 => told.span = hex(value.bytes()),
            3 => told.state = value.text(),
            4 => told.parent = hex(value.bytes()),
            5 => told.name = value.text(),
            6 => told.kind = value.number(),
            7 => told.start = value.number(),
            8 => told.end = value.number(),
            9 => insert(value.bytes(), &mut told.attributes),
            15 => told.is_error = fields(value.bytes()).any(|(field, code)| field == 3 && code.number() == 2),
            16 => assert_eq!(value.number() & 1, 1, "only sampled spans are sent"),
            other => panic!("Span has no field {other} here"),
        }
    }
    assert!(told.trace.len() == 32 && told.span.len() == 16 && told.start <= told.end, "{told:?}");
    told
}

/// Reads a KeyValue. No key may stand twice.
fn insert(bytes: &[u8], attributes: &mut BTreeMap<String, String>) {
    let mut pair = fields(bytes);
    let (Some((1, key)), Some((2, value)), None) = (pair.next(), pair.next(), pair.next()) else {
        panic!("an attribute is a key and a value")
    };
    let text = match fields(value.bytes()).next() {
        Some((1, text)) => text.text(),
        Some((2, truth)) => (truth.number() != 0).to_string(),
        Some((3, number)) => number.number().to_string(),
        other => panic!("{other:?} is no value"),
    };
    let key = key.text();
    assert!(attributes.insert(key.clone(), text).is_none(), "{key} is there twice");
}

#[derive(Clone, Copy, Debug)]
enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

impl<'b> Value<'b> {
    fn bytes(self) -> &'b [u8] {
        let Value::Bytes(bytes) = self else { panic!("a length was expected") };
        bytes
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("strings are UTF-8")
    }

    fn number(self) -> u64 {
        let Value::Number(number) = self else { panic!("a number was expected") };
        number
    }
}

fn take<'b>(rest: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, after) = rest.split_at_checked(count).expect("the message goes on");
    *rest = after;
    taken
}

/// The fields of a message of Protocol Buffers; fails on anything that is none.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let tag = varint(&mut rest);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut rest)),
            1 => Value::Number(u64::from_le_bytes(take(&mut rest, 8).try_into().expect("eight"))),
            5 => Value::Number(u32::from_le_bytes(take(&mut rest, 4).try_into().expect("four")).into()),
            2 => {
                let length = varint(&mut rest) as usize;
                Value::Bytes(take(&mut rest, length))
            }
            other => panic!("there is no wire type {other}"),
        };
        Some((tag >> 3, value))
    })
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, after) = rest.split_first().expect("a number ends");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
