//! The line of an exchange: as JSON with ALB's field names, in the combined log format, or by a template.
//!
//! A line is begun while the request's head is still in its buffer and ended when the exchange is
//! over, so that no part of the head is copied twice. Bytes come from strangers: whatever could end
//! a line, a string or a terminal's good temper is escaped.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::chosen_headers::ChosenHeaders;
use crate::telemetry::date::Dates;
use crate::telemetry::json_text::json_string;
use crate::telemetry::log_fields::LogField;
use crate::telemetry::log_fields::LogFields;
use crate::telemetry::log_numbers::address;
use crate::telemetry::log_numbers::decimal;
use crate::telemetry::log_numbers::milliseconds;
use crate::telemetry::log_numbers::padded;
use crate::telemetry::log_numbers::seconds;
use crate::telemetry::log_template::LogTemplate;
use crate::telemetry::log_text::escaped;
use crate::telemetry::log_text::escaped_or_dash;
use crate::telemetry::log_text::escaped_word;
use crate::telemetry::log_text::remote_user;
use crate::telemetry::record::Ending;
use crate::telemetry::record::Record;
use crate::telemetry::record::RecordedNames;
use crate::telemetry::record::RequestFacts;
use crate::telemetry::record::TlsFacts;

#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// With headers and cookies beside the fields, where some are chosen.
    Json(LogFields, Option<Arc<ChosenHeaders>>),
    Combined,
    Template(Arc<LogTemplate>),
}

impl Default for Format {
    fn default() -> Format {
        Format::Json(LogFields::USUAL, None)
    }
}

impl Format {
    /// Begins a line behind what `out` has: all that is known of the request. Returns its gap: where in the line goes what
    /// is known only at the end. `tls` is what [`Format::tls_fields`] made; empty in cleartext.
    pub fn begin(&self, out: &mut Vec<u8>, request: &RequestFacts<'_>, tls: &[u8], dates: &Dates) -> usize {
        let start = out.len();
        match self {
            Format::Json(fields, headers) => {
                begin_json(&mut JsonLine { out, fields: *fields }, request, tls, dates);
                headers.iter().for_each(|headers| headers.write_request(request.headers, out));
                let gap = out.len() - start;
                // Behind the gap stands the identity that the request goes on with, if it does.
                out.extend_from_slice(request.request_id);
                gap
            }
            Format::Combined => {
                begin_combined(out, request, dates);
                let gap = out.len() - start;
                end_combined(out, request);
                gap
            }
            Format::Template(template) => {
                template.begin(out, request, tls, dates);
                0
            }
        }
    }

    /// Appends the whole line, with its line feed, to `out`. `begun` is what [`Format::begin`] wrote, with its gap.
    pub fn end(&self, (begun, gap): (&[u8], usize), ending: &Ending<'_>, out: &mut Vec<u8>) {
        let (before, after) = begun.split_at_checked(gap).unwrap_or_default();
        match self {
            Format::Json(fields, headers) => {
                out.extend_from_slice(before);
                end_json(&mut JsonLine { out, fields: *fields }, ending, after);
                headers.iter().for_each(|headers| headers.end(ending.sent, out));
                out.push(b'}');
            }
            Format::Combined => {
                let Record { status, body_bytes_sent, .. } = ending.record;
                out.extend_from_slice(before);
                decimal(out, (*status).into());
                out.push(b' ');
                decimal(out, *body_bytes_sent);
                out.push(b' ');
                out.extend_from_slice(after);
            }
            Format::Template(template) => template.end(begun, ending, out),
        }
        out.push(b'\n');
    }

    /// Writes what lines tell of their TLS connection, once for all of them. The combined format has nothing of it.
    pub fn tls_fields(&self, facts: &TlsFacts<'_>, out: &mut Vec<u8>) {
        match self {
            Format::Json(fields, _) => tls_fields(&mut JsonLine { out, fields: *fields }, facts),
            Format::Combined => {}
            Format::Template(template) => template.tls_fields(facts, out),
        }
    }

    /// Whether lines tell fields of responses.
    pub fn tells_sent(&self) -> bool {
        match self {
            Format::Json(_, headers) => headers.as_ref().is_some_and(|headers| headers.tells_sent()),
            Format::Combined => false,
            Format::Template(template) => template.tells_sent(),
        }
    }

    /// Writes what a line tells of the fields that its response is sent with. `length` is that of the content, where the
    /// framing of the response tells it.
    pub fn sent_fields<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        length: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        match self {
            Format::Json(_, headers) => {
                headers.iter().for_each(|headers| headers.write_sent(fields.clone(), length, out));
            }
            Format::Combined => {}
            Format::Template(template) => template.sent_fields(fields, length, out),
        }
    }

    /// Writes what a line tells of the fields that a backend sent.
    pub fn upstream_fields<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        out: &mut Vec<u8>,
    ) {
        if let Format::Template(template) = self {
            template.upstream_fields(fields, out);
        }
    }

    /// Whether lines tell the round-trip time, which costs a system call.
    pub fn tells_rtt(&self) -> bool {
        match self {
            Format::Json(fields, _) => fields.has(LogField::TcpinfoRtt),
            Format::Combined => false,
            Format::Template(template) => template.tells_rtt(),
        }
    }

    /// Whether lines tell what certificates of clients say.
    pub fn tells_certificate(&self) -> bool {
        match self {
            Format::Json(fields, _) => fields.has_any(LogFields::CERTIFICATE),
            Format::Combined => false,
            Format::Template(template) => template.tells_certificate(),
        }
    }

    /// Whether lines tell the user of Basic authentication.
    pub fn tells_user(&self) -> bool {
        match self {
            Format::Json(..) => false,
            Format::Combined => true,
            Format::Template(template) => template.tells_user(),
        }
    }
}

/// A line of JSON that is being written. What is no field of it is passed over.
struct JsonLine<'o> {
    out: &'o mut Vec<u8>,
    fields: LogFields,
}

impl JsonLine<'_> {
    fn number(&mut self, field: LogField, value: u64) {
        if self.name(field) {
            decimal(self.out, value);
        }
    }

    /// What needs neither quotes nor escaping.
    fn bare(&mut self, field: LogField, value: &str) {
        if self.name(field) {
            self.out.extend_from_slice(value.as_bytes());
        }
    }

    /// A text in which nothing can need escaping.
    fn word(&mut self, field: LogField, write: impl FnOnce(&mut Vec<u8>)) {
        if self.name(field) {
            self.out.push(b'"');
            write(self.out);
            self.out.push(b'"');
        }
    }

    fn milliseconds(&mut self, field: LogField, time: Duration) {
        if self.name(field) {
            milliseconds(self.out, time);
        }
    }

    fn text(&mut self, field: LogField, value: &[u8]) {
        if self.name(field) {
            json_string(self.out, value);
        }
    }

    fn seconds(&mut self, field: LogField, time: Duration) {
        if self.name(field) {
            seconds(self.out, time);
        }
    }

    /// Writes the name of a field, which is never the first of its line; false if the line is without it.
    #[inline]
    fn name(&mut self, field: LogField) -> bool {
        if !self.fields.has(field) {
            return false;
        }
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(field.name().as_bytes());
        self.out.extend_from_slice(b"\":");
        true
    }
}

fn begin_json(line: &mut JsonLine<'_>, request: &RequestFacts<'_>, tls: &[u8], dates: &Dates) {
    line.out.extend_from_slice(b"{\"");
    line.out.extend_from_slice(LogField::Time.name().as_bytes());
    line.out.extend_from_slice(b"\":\"");
    dates.write_rfc3339(request.time, line.out);
    line.out.push(b'.');
    padded(line.out, request.time.subsec_millis().into(), 3);
    line.out.extend_from_slice(b"Z\"");
    line.word(LogField::ClientIp, |out| address(out, request.client));
    line.number(LogField::ClientPort, request.peer.port().into());
    line.text(LogField::Scheme, request.scheme.as_bytes());
    line.text(LogField::ServerProtocol, request.server_protocol.as_bytes());
    if !request.is_connection {
        begin_json_head(line, request);
    }
    if !request.trace_id.is_empty() {
        line.text(LogField::TraceId, request.trace_id);
        line.text(LogField::SpanId, request.span_id);
    }
    line.out.extend_from_slice(tls);
}

/// What only requests have.
fn begin_json_head(line: &mut JsonLine<'_>, request: &RequestFacts<'_>) {
    line.text(LogField::RequestMethod, request.method);
    line.text(LogField::Host, request.host);
    line.text(LogField::HttpHost, request.http_host);
    line.text(LogField::RequestUri, request.request_uri);
    line.text(LogField::HttpReferer, request.referer);
    line.text(LogField::HttpUserAgent, request.user_agent);
    line.text(LogField::HttpXForwardedFor, request.x_forwarded_for);
    line.text(LogField::HttpXRealIp, request.x_real_ip);
}

fn tls_fields(line: &mut JsonLine<'_>, facts: &TlsFacts<'_>) {
    line.text(LogField::SslProtocol, facts.ssl_protocol.as_bytes());
    line.text(LogField::SslCipher, facts.ssl_cipher.as_bytes());
    line.text(LogField::Sni, facts.sni.as_bytes());
    line.text(LogField::Alpn, facts.alpn.as_bytes());
    line.text(LogField::ClientVerify, facts.client_verify.as_bytes());
    line.bare(LogField::TlsResumed, if facts.resumed { "true" } else { "false" });
    line.text(LogField::TlsJa3, facts.ja3.as_bytes());
    line.text(LogField::TlsJa4, facts.ja4.as_bytes());
    line.text(LogField::ClientSubject, facts.client_subject.as_bytes());
    line.text(LogField::ClientIssuer, facts.client_issuer.as_bytes());
    line.text(LogField::ClientSerial, facts.client_serial.as_bytes());
    line.text(LogField::ClientFingerprint, facts.client_fingerprint.as_bytes());
}

fn end_json(line: &mut JsonLine<'_>, ending: &Ending<'_>, request_id: &[u8]) {
    let Ending { id, record, names, .. } = ending;
    line.number(LogField::Status, record.status.into());
    line.number(LogField::RequestLength, record.request_length);
    if !record.is_connection {
        line.number(LogField::BodyBytesSent, record.body_bytes_sent);
    }
    line.number(LogField::BytesSent, record.bytes_sent);
    line.seconds(LogField::RequestTime, record.request_time);
    if !record.is_connection {
        line.milliseconds(LogField::ReadRequestTime, record.read_request_time);
        line.milliseconds(LogField::WriteResponseTime, record.write_response_time);
    }
    end_json_upstream(line, record, names);
    match record.grpc_status {
        None => {}
        Some(None) => line.text(LogField::GrpcStatus, b"-"),
        Some(Some(status)) => line.number(LogField::GrpcStatus, status.into()),
    }
    if let Some(rtt) = record.tcpinfo_rtt {
        line.number(LogField::TcpinfoRtt, rtt.into());
    }
    line.text(LogField::Listener, names.listener.as_bytes());
    if !names.rule.is_empty() {
        line.text(LogField::Rule, names.rule.as_bytes());
    }
    line.text(LogField::ServerGroup, names.server_group.as_bytes());
    line.number(LogField::RetryCount, record.retries.into());
    if let Some(datagrams) = record.datagrams {
        line.number(LogField::DatagramsReceived, datagrams.received);
        line.number(LogField::DatagramsSent, datagrams.sent);
    }
    line.text(LogField::Reason, record.reason.as_str().as_bytes());
    line.number(LogField::Worker, id.worker.into());
    if request_id.is_empty() {
        line.word(LogField::RequestId, |out| id.write(out));
    } else {
        line.text(LogField::RequestId, request_id);
    }
}

fn end_json_upstream(line: &mut JsonLine<'_>, record: &Record, names: &RecordedNames<'_>) {
    line.text(LogField::UpstreamAddr, names.upstream_addr.as_bytes());
    match names.upstream_status {
        _ if record.is_connection => {}
        // One status is a number, as ever.
        status if !status.is_empty() && status.bytes().all(|byte| byte.is_ascii_digit()) => {
            line.bare(LogField::UpstreamStatus, status);
        }
        statuses => line.text(LogField::UpstreamStatus, statuses.as_bytes()),
    }
    for (field, time) in [
        (LogField::UpstreamConnectTime, record.upstream_connect_time),
        (LogField::UpstreamResponseTime, record.upstream_response_time),
    ] {
        match time {
            None if record.is_connection && field == LogField::UpstreamResponseTime => {}
            None => line.text(field, b"-"),
            Some(time) => line.seconds(field, time),
        }
    }
}

fn begin_combined(out: &mut Vec<u8>, request: &RequestFacts<'_>, dates: &Dates) {
    address(out, request.client);
    out.extend_from_slice(b" - ");
    remote_user(out, request.authorization);
    out.extend_from_slice(b" [");
    dates.write_common_log(request.time, out);
    out.extend_from_slice(b"] \"");
    escaped_word(out, request.method);
    out.push(b' ');
    escaped(out, request.request_uri);
    out.push(b' ');
    out.extend_from_slice(request.server_protocol.as_bytes());
    out.extend_from_slice(b"\" ");
}

fn end_combined(out: &mut Vec<u8>, request: &RequestFacts<'_>) {
    for value in [request.referer, request.user_agent] {
        out.push(b'"');
        escaped_or_dash(out, value);
        out.extend_from_slice(b"\" ");
    }
    out.pop();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::reason::Reason;
    use crate::telemetry::record::DatagramCounts;
    use crate::telemetry::record::RequestId;

    fn facts() -> RequestFacts<'static> {
        RequestFacts {
            is_connection: false,
            time: Duration::from_millis(784_111_777_042),
            peer: "10.0.0.9:50123".parse().unwrap(),
            client: "192.0.2.7".parse().unwrap(),
            method: b"GET",
            scheme: "http",
            host: b"example.com",
            http_host: b"example.com:8080",
            request_uri: b"/a\"b\\c?d",
            path_and_query: b"/a\"b\\c?d",
            headers: None,
            server_protocol: "HTTP/1.1",
            referer: b"",
            user_agent: b"caf\xe9\x1b[31m",
            x_forwarded_for: b"192.0.2.7",
            x_real_ip: b"",
            trace_id: b"",
            span_id: b"",
            authorization: b"Basic QWxhIGRpbjpvcGVuIHNlc2FtZQ==",
            request_id: b"",
        }
    }

    fn line(format: Format) -> String {
        line_of(format, &facts())
    }

    fn record() -> Record {
        Record {
            status: 502,
            reason: Reason::ConnectRefused,
            request_length: 80,
            body_bytes_sent: 17,
            bytes_sent: 117,
            request_time: Duration::from_micros(12_345),
            upstream_response_time: Some(Duration::from_millis(7)),
            retries: 1,
            ..Record::default()
        }
    }

    fn line_of(format: Format, facts: &RequestFacts<'_>) -> String {
        line_with(format, (facts, b""), &record())
    }

    fn line_with(format: Format, (facts, tls): (&RequestFacts<'_>, &[u8]), record: &Record) -> String {
        let mut dates = Dates::default();
        dates.advance(facts.time);
        let mut begun = b"another line".to_vec();
        let start = begun.len();
        let gap = format.begin(&mut begun, facts, tls, &dates);
        let names = RecordedNames {
            listener: "web",
            rule: "api",
            server_group: "app",
            upstream_addr: "127.0.0.1:1, 127.0.0.1:2",
            upstream_status: "-, 502",
            ..RecordedNames::default()
        };
        let mut out = Vec::new();
        let id = RequestId { process: 0xabc, worker: 1, sequence: 255 };
        format.end((&begun[start..], gap), &Ending { id, record, names, sent: b"", upstream: b"" }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_the_names_of_alb_and_survives_hostile_bytes() {
        let line = line(Format::default());
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

    /// Every field that there is, those included that no exchange has together: of a call of gRPC over TLS and TCP, and of datagrams.
    fn full_line(fields: LogFields) -> String {
        let format = Format::Json(fields, None);
        let told = TlsFacts {
            ssl_protocol: "TLSv1.3",
            ssl_cipher: "TLS_AES_128_GCM_SHA256",
            sni: "example.com",
            alpn: "",
            client_verify: "NONE",
            resumed: true,
            ja3: "0123",
            ja4: "t13d",
            client_subject: "CN=a",
            client_issuer: "CN=b",
            client_serial: "0A",
            client_fingerprint: "00ff",
        };
        let mut tls = Vec::new();
        format.tls_fields(&told, &mut tls);
        let datagrams = Some(DatagramCounts { received: 3, sent: 2 });
        let record = Record { grpc_status: Some(Some(14)), tcpinfo_rtt: Some(42), datagrams, ..record() };
        let trace_id = b"4bf92f3577b34da6a3ce929d0e0e4736";
        let facts = RequestFacts { scheme: "https", trace_id, span_id: b"00f067aa0ba902b7", ..facts() };
        line_with(format, (&facts, &tls), &record)
    }

    #[test]
    fn a_line_has_every_field_in_its_order() {
        assert_eq!(
            full_line(LogFields::ALL),
            concat!(
                r#"{"time":"1994-11-06T08:49:37.042Z","client_ip":"192.0.2.7","client_port":50123,"scheme":"https","#,
                r#""server_protocol":"HTTP/1.1","request_method":"GET","host":"example.com","#,
                r#""http_host":"example.com:8080","request_uri":"/a\"b\\c?d","http_referer":"-","#,
                r#""http_user_agent":"caf\\xE9\u001b[31m","http_x_forwarded_for":"192.0.2.7","http_x_real_ip":"-","#,
                r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","#,
                r#""ssl_protocol":"TLSv1.3","ssl_cipher":"TLS_AES_128_GCM_SHA256","sni":"example.com","alpn":"-","#,
                r#""client_verify":"NONE","tls_resumed":true,"tls_ja3":"0123","tls_ja4":"t13d","#,
                r#""clientcert_subjectdn":"CN=a","clientcert_issuerdn":"CN=b","#,
                r#""clientcert_serialnumber":"0A","clientcert_fingerprint":"00ff","#,
                r#""status":502,"request_length":80,"body_bytes_sent":17,"bytes_sent":117,"#,
                r#""request_time":0.012,"read_request_time":0,"write_response_time":0,"#,
                r#""upstream_addr":"127.0.0.1:1, 127.0.0.1:2","upstream_status":"-, 502","#,
                r#""upstream_connect_time":"-","upstream_response_time":0.007,"grpc_status":14,"tcpinfo_rtt":42,"listener":"web","#,
                r#""rule":"api","server_group":"app","retry_count":1,"datagrams_received":3,"datagrams_sent":2,"#,
                r#""reason":"connect_refused","worker":1,"request_id":"0000000000000abc00010000000000ff"}"#,
                "\n",
            )
        );
    }

    #[test]
    fn each_field_can_be_chosen_alone_and_left_out_alone() {
        let parsed = |fields| -> serde_json::Map<String, serde_json::Value> {
            serde_json::from_str(&full_line(fields)).unwrap()
        };
        let all = parsed(LogFields::ALL);
        assert_eq!(all.len(), LogField::all().count());
        for name in LogField::all().map(LogField::name) {
            let alone = parsed(LogFields::named([name]));
            let expected = all.iter().filter(|(key, _)| *key == "time" || *key == name);
            assert!(alone.iter().eq(expected), "{name}: {alone:?}");
            let others =
                parsed(LogFields::named(LogField::all().map(LogField::name).filter(|other| *other != name)));
            let expected = all.iter().filter(|(key, _)| *key == "time" || *key != name);
            assert!(others.iter().eq(expected), "without {name}: {others:?}");
        }
        // Commas, quotes and braces are where they are without a choice.
        let short = full_line(LogFields::named(["request_uri", "time", "request_id"]));
        let shown = r#""request_uri":"/a\"b\\c?d","request_id":"0000000000000abc00010000000000ff""#;
        assert_eq!(short, format!("{{\"time\":\"1994-11-06T08:49:37.042Z\",{shown}}}\n"));
    }

    #[test]
    fn what_costs_something_is_asked_for_where_it_is_told() {
        let of = |name| Format::Json(LogFields::named([name]), None);
        assert!(Format::default().tells_rtt() && of("tcpinfo_rtt").tells_rtt());
        assert!(!of("status").tells_rtt() && !Format::Combined.tells_rtt());
        assert!(Format::Combined.tells_user() && !Format::default().tells_user());
    }

    #[test]
    fn an_identity_that_goes_on_is_told_instead() {
        let of = |format| line_of(format, &RequestFacts { request_id: b"edge:7f3b/1", ..facts() });
        let value: serde_json::Value = serde_json::from_str(&of(Format::default())).unwrap();
        assert_eq!(value["request_id"], "edge:7f3b/1");
        assert!(!of(Format::Combined).contains("7f3b"));
    }

    /// The dates at hand may be of another second: one that has just begun, or one long behind a head that came slowly.
    #[test]
    fn the_time_is_that_of_the_request() {
        let facts = facts();
        for present in [0, 784_111_776_999, 784_111_778_000, 784_111_790_000] {
            let mut dates = Dates::default();
            dates.advance(Duration::from_millis(present));
            let begun = |format: Format| {
                let mut begun = Vec::new();
                format.begin(&mut begun, &facts, b"", &dates);
                String::from_utf8(begun).unwrap()
            };
            assert!(
                begun(Format::default()).starts_with(r#"{"time":"1994-11-06T08:49:37.042Z","#),
                "{present}"
            );
            assert!(begun(Format::Combined).contains(" [06/Nov/1994:08:49:37 +0000] "), "{present}");
        }
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
            json_string(&mut out, value);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, format!("\"{written}\""));
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
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
