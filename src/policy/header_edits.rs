//! Fields that rules insert, set, append and remove.

pub mod layers;

use std::io::Write;

use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::same_for_backends;
use crate::policy::connection_values::ConnectionValues;
use crate::policy::forwarded::Client;
use crate::policy::identity::Fact;

/// What is done to the fields of one head, in a form that takes one pass: fields first that do not pass, then lines
/// that are written behind the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// In lower case. Fields of these names do not pass.
    withheld: Vec<String>,
    written: Vec<WrittenField>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct WrittenField {
    name: String,
    value: FieldSource,
    /// Not where a field of this name came.
    unless_there: bool,
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Adds the field unless it is there.
    Insert(String, FieldSource),
    /// Replaces all fields of the name.
    Set(String, FieldSource),
    /// Adds the field beside others of the name.
    Append(String, FieldSource),
    Remove(String),
}

impl HeaderEdit {
    /// The name of the field.
    pub fn name(&self) -> &str {
        match self {
            HeaderEdit::Insert(name, _)
            | HeaderEdit::Set(name, _)
            | HeaderEdit::Append(name, _)
            | HeaderEdit::Remove(name) => name,
        }
    }

    /// The name of the field whose value it writes.
    pub fn source_header(&self) -> Option<&str> {
        match self {
            HeaderEdit::Insert(_, FieldSource::Header(name))
            | HeaderEdit::Set(_, FieldSource::Header(name))
            | HeaderEdit::Append(_, FieldSource::Header(name)) => Some(name),
            _ => None,
        }
    }

    /// What it writes of a TLS connection.
    pub fn connection_fact(&self) -> Option<Fact> {
        let (HeaderEdit::Insert(_, value) | HeaderEdit::Set(_, value) | HeaderEdit::Append(_, value)) = self
        else {
            return None;
        };
        match value {
            FieldSource::System(SystemValue::Connection(fact)) => Some(*fact),
            _ => None,
        }
    }
}

/// The value of a field that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    Literal(String),
    /// The value of another field of the same head, in lower case; without it, nothing is written.
    Header(String),
    System(SystemValue),
}

/// What the load balancer knows of the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemValue {
    ClientIp,
    ClientPort,
    RequestId,
    ListenerPort,
    Protocol,
    SlbId,
    /// Of the client's TLS connection.
    Connection(Fact),
}

/// The words of system-defined values.
pub const SYSTEM_VALUES: [(&str, SystemValue); 22] = [
    ("client_ip", SystemValue::ClientIp),
    ("client_port", SystemValue::ClientPort),
    ("request_id", SystemValue::RequestId),
    ("listener_port", SystemValue::ListenerPort),
    ("protocol", SystemValue::Protocol),
    ("slb_id", SystemValue::SlbId),
    ("tls_protocol", SystemValue::Connection(Fact::TlsProtocol)),
    ("tls_cipher", SystemValue::Connection(Fact::TlsCipher)),
    ("tls_sni", SystemValue::Connection(Fact::TlsSni)),
    ("tls_alpn_protocol", SystemValue::Connection(Fact::TlsAlpnProtocol)),
    ("tls_resumed", SystemValue::Connection(Fact::TlsResumed)),
    ("tls_ja3", SystemValue::Connection(Fact::TlsJa3)),
    ("tls_ja4", SystemValue::Connection(Fact::TlsJa4)),
    ("clientcert_subjectdn", SystemValue::Connection(Fact::SubjectDn)),
    ("clientcert_issuerdn", SystemValue::Connection(Fact::IssuerDn)),
    ("clientcert_fingerprint", SystemValue::Connection(Fact::Fingerprint)),
    ("clientcert_clientverify", SystemValue::Connection(Fact::ClientVerify)),
    ("clientcert_serialnumber", SystemValue::Connection(Fact::SerialNumber)),
    ("clientcert", SystemValue::Connection(Fact::Certificate)),
    ("clientcert_ciphers", SystemValue::Connection(Fact::Ciphers)),
    ("clientcert_end", SystemValue::Connection(Fact::End)),
    ("client_cert", SystemValue::Connection(Fact::ClientCert)),
];

/// What system-defined values are taken from, besides the client of a request.
#[derive(Clone, Copy)]
pub struct SystemSources<'a> {
    /// The name of this load balancer.
    pub slb_id: &'a str,
    /// None in cleartext.
    pub connection: Option<&'a ConnectionValues>,
}

impl SystemValue {
    /// Appends the value for a request; nothing if there is none.
    pub fn write(self, client: &Client<'_>, sources: SystemSources<'_>, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = match self {
            SystemValue::ClientIp => write!(out, "{}", client.address),
            SystemValue::ClientPort => write!(out, "{}", client.peer.port()),
            SystemValue::RequestId => out.write_all(client.request_id),
            SystemValue::ListenerPort => write!(out, "{}", client.listener_port),
            SystemValue::Protocol => out.write_all(client.scheme.as_bytes()),
            SystemValue::SlbId => out.write_all(sources.slb_id.as_bytes()),
            SystemValue::Connection(fact) => {
                out.write_all(sources.connection.map_or(&[], |values| values.get(fact)))
            }
        };
    }
}

impl HeaderEdits {
    /// Carries the edits out in their order, as far as they depend on each other only.
    pub fn new(edits: impl IntoIterator<Item = HeaderEdit>) -> HeaderEdits {
        let mut all = HeaderEdits::default();
        for edit in edits {
            all.add(edit);
        }
        all
    }

    pub fn is_empty(&self) -> bool {
        self.withheld.is_empty() && self.written.is_empty()
    }

    fn add(&mut self, edit: HeaderEdit) {
        match edit {
            HeaderEdit::Remove(name) => self.withhold(&name),
            HeaderEdit::Set(name, value) => {
                self.withhold(&name);
                self.written.push(WrittenField { name, value, unless_there: false });
            }
            HeaderEdit::Append(name, value) => {
                self.written.push(WrittenField { name, value, unless_there: false });
            }
            HeaderEdit::Insert(name, value) => {
                if self.written.iter().any(|field| field.name.eq_ignore_ascii_case(&name)) {
                    return;
                }
                let unless_there = !self.withholds(name.as_bytes());
                self.written.push(WrittenField { name, value, unless_there });
            }
        }
    }

    fn withhold(&mut self, name: &str) {
        self.written.retain(|field| !field.name.eq_ignore_ascii_case(name));
        if !self.withholds(name.as_bytes()) {
            self.withheld.push(name.to_ascii_lowercase());
        }
    }

    /// Names of fields that must not pass, in lower case.
    pub fn withheld(&self) -> &[String] {
        &self.withheld
    }

    /// Whether a field of this name must not pass.
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.withheld.iter().any(|withheld| withheld.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether a field of a request must not pass because a backend could take it for one of these.
    pub fn withholds_from_backends(&self, name: &[u8]) -> bool {
        self.withheld.iter().any(|withheld| same_for_backends(name, withheld.as_bytes()))
    }

    /// Calls `write` with each field to write behind those that passed. `headers` are the fields as they came;
    /// `system` appends a system-defined value to `scratch`.
    pub fn for_each_written(
        &self,
        headers: &Headers<'_>,
        scratch: &mut Vec<u8>,
        system: impl Fn(SystemValue, &mut Vec<u8>),
        mut write: impl FnMut(&[u8], &[u8]),
    ) {
        let find = |name: &str| {
            let is_named = |field: &&Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
            headers.iter().find(is_named)
        };
        for field in &self.written {
            if field.unless_there && find(&field.name).is_some() {
                continue;
            }
            match &field.value {
                FieldSource::Literal(text) if text.is_empty() => {}
                FieldSource::Literal(text) => write(field.name.as_bytes(), text.as_bytes()),
                FieldSource::Header(name) => {
                    if let Some(other) = find(name).filter(|other| !other.value.is_empty()) {
                        write(field.name.as_bytes(), other.value);
                    }
                }
                FieldSource::System(value) => {
                    scratch.clear();
                    system(*value, scratch);
                    if !scratch.is_empty() {
                        write(field.name.as_bytes(), scratch);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> FieldSource {
        FieldSource::Literal(text.to_owned())
    }

    fn edited(edits: Vec<HeaderEdit>) -> String {
        let headers = Headers::of(&[("X-A", "1"), ("x-b", "2"), ("X-A", "3")]);
        let edits = HeaderEdits::new(edits);
        let mut text = String::new();
        let mut push = |name: &[u8], value: &[u8]| {
            let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            text += &format!("{}={} ", text_of(name), text_of(value));
        };
        headers.iter().filter(|field| !edits.withholds(field.name)).for_each(|f| push(f.name, f.value));
        let system = |value, out: &mut Vec<u8>| {
            if value == SystemValue::ClientIp {
                out.extend_from_slice(b"192.0.2.1");
            }
        };
        edits.for_each_written(&headers, &mut Vec::new(), system, push);
        text.trim_end().to_owned()
    }

    #[test]
    fn what_each_edit_does() {
        use HeaderEdit::*;
        let name = str::to_owned;
        for (edits, expected) in [
            (vec![], "X-A=1 x-b=2 X-A=3"),
            (vec![Insert(name("x-a"), literal("9"))], "X-A=1 x-b=2 X-A=3"),
            (vec![Insert(name("x-c"), literal("9"))], "X-A=1 x-b=2 X-A=3 x-c=9"),
            (vec![Set(name("x-a"), literal("9"))], "x-b=2 x-a=9"),
            (vec![Append(name("x-a"), literal("9"))], "X-A=1 x-b=2 X-A=3 x-a=9"),
            (vec![Remove(name("X-A"))], "x-b=2"),
            (vec![Remove(name("x-a")), Insert(name("x-a"), literal("9"))], "x-b=2 x-a=9"),
            (vec![Set(name("x-a"), literal("8")), Insert(name("X-a"), literal("9"))], "x-b=2 x-a=8"),
            (vec![Append(name("x-a"), literal("8")), Set(name("x-a"), literal("9"))], "x-b=2 x-a=9"),
            (vec![Append(name("x-c"), literal("8")), Remove(name("x-c"))], "X-A=1 x-b=2 X-A=3"),
            (vec![Set(name("x-a"), FieldSource::Header(name("x-b")))], "x-b=2 x-a=2"),
            (vec![Set(name("x-a"), FieldSource::Header(name("x-z")))], "x-b=2"),
            (
                vec![Set(name("ip"), FieldSource::System(SystemValue::ClientIp))],
                "X-A=1 x-b=2 X-A=3 ip=192.0.2.1",
            ),
            (vec![Set(name("id"), FieldSource::System(SystemValue::RequestId))], "X-A=1 x-b=2 X-A=3"),
        ] {
            assert_eq!(edited(edits.clone()), expected, "{edits:?}");
        }
    }
}
