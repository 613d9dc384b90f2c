//! What the variables of templates for the access log are written as.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use crate::http::headers::Headers;
use crate::telemetry::date::Dates;
use crate::telemetry::log_numbers::address;
use crate::telemetry::log_numbers::decimal;
use crate::telemetry::log_numbers::milliseconds;
use crate::telemetry::log_numbers::padded;
use crate::telemetry::log_numbers::seconds;
use crate::telemetry::log_text::escaped;
use crate::telemetry::log_text::escaped_or_dash;
use crate::telemetry::log_text::escaped_word;
use crate::telemetry::log_text::remote_user;
use crate::telemetry::log_variables::EndVariable;
use crate::telemetry::log_variables::RequestVariable;
use crate::telemetry::log_variables::TlsVariable;
use crate::telemetry::record::Ending;
use crate::telemetry::record::RequestFacts;
use crate::telemetry::record::TlsFacts;

pub(super) fn tls_value<'f>(variable: TlsVariable, facts: &TlsFacts<'f>) -> &'f str {
    match variable {
        TlsVariable::Protocol => facts.ssl_protocol,
        TlsVariable::Cipher => facts.ssl_cipher,
        TlsVariable::Sni => facts.sni,
        TlsVariable::Alpn => facts.alpn,
        TlsVariable::ClientVerify => facts.client_verify,
        TlsVariable::Resumed if facts.resumed => "true",
        TlsVariable::Resumed => "false",
        TlsVariable::Reused if facts.resumed => "r",
        TlsVariable::Reused => ".",
        TlsVariable::Ja3 => facts.ja3,
        TlsVariable::Ja4 => facts.ja4,
        TlsVariable::ClientSubject => facts.client_subject,
        TlsVariable::ClientIssuer => facts.client_issuer,
        TlsVariable::ClientSerial => facts.client_serial,
        TlsVariable::ClientFingerprint => facts.client_fingerprint,
    }
}

pub(super) fn write_request(
    variable: RequestVariable,
    request: &RequestFacts<'_>,
    dates: &Dates,
    out: &mut Vec<u8>,
) {
    use RequestVariable as Variable;
    // Writing to a vector cannot fail.
    let _ = match variable {
        Variable::Time => {
            dates.write_rfc3339(request.time, out);
            out.push(b'.');
            padded(out, request.time.subsec_millis().into(), 3);
            out.write_all(b"Z")
        }
        Variable::TimeIso8601 => {
            dates.write_rfc3339(request.time, out);
            out.write_all(b"+00:00")
        }
        Variable::TimeLocal => return dates.write_common_log(request.time, out),
        Variable::Msec => {
            decimal(out, request.time.as_secs());
            out.push(b'.');
            return padded(out, request.time.subsec_millis().into(), 3);
        }
        Variable::ClientIp => return address(out, request.client),
        Variable::ClientPort => return decimal(out, request.peer.port().into()),
        Variable::ClientEndpoint => write!(out, "{}", SocketAddr::new(request.client, request.peer.port())),
        Variable::PeerIp => return address(out, request.peer.ip()),
        Variable::User => return remote_user(out, request.authorization),
        Variable::Method => return escaped_word(out, request.method),
        Variable::Line => {
            escaped_word(out, request.method);
            out.push(b' ');
            escaped(out, request.request_uri);
            out.push(b' ');
            out.write_all(request.server_protocol.as_bytes())
        }
        Variable::Protocol => out.write_all(request.server_protocol.as_bytes()),
        Variable::Scheme => out.write_all(request.scheme.as_bytes()),
        Variable::Https if request.scheme == "https" => out.write_all(b"on"),
        Variable::Https => out.write_all(b"-"),
        _ => return escaped_or_dash(out, request_text(variable, request)),
    };
}

/// The variables that stand for a text of the request.
fn request_text<'f>(variable: RequestVariable, request: &RequestFacts<'f>) -> &'f [u8] {
    let query = || {
        let mut parts = request.request_uri.splitn(2, |byte| *byte == b'?');
        parts.nth(1).unwrap_or_default()
    };
    match variable {
        RequestVariable::Uri => request.request_uri,
        RequestVariable::PathAndQuery => request.path_and_query,
        RequestVariable::Query => query(),
        RequestVariable::Host => request.host,
        RequestVariable::HttpHost => request.http_host,
        RequestVariable::Referer => request.referer,
        RequestVariable::UserAgent => request.user_agent,
        RequestVariable::XForwardedFor => request.x_forwarded_for,
        RequestVariable::XRealIp => request.x_real_ip,
        RequestVariable::TraceId => request.trace_id,
        RequestVariable::SpanId => request.span_id,
        _ => b"",
    }
}

/// Writes the fields of a request with this name.
pub(super) fn write_header(name: &[u8], headers: Option<&Headers<'_>>, out: &mut Vec<u8>) {
    let start = out.len();
    let fields = headers.into_iter().flat_map(Headers::iter);
    write_fields(name, fields.map(|field| (field.name, field.value)), out);
    if out.len() == start {
        out.push(b'-');
    }
}

/// Writes the fields with this name, joined by a comma and a space, as nginx does; nothing if there is none.
pub(super) fn write_fields<'f>(
    name: &[u8],
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    for (_, value) in fields.filter(|(field, _)| is_named(field, name)) {
        if out.len() > start {
            out.extend_from_slice(b", ");
        }
        escaped(out, value);
    }
}

/// Whether a field has this name, which is in lower case and with underscores.
pub(super) fn is_named(field: &[u8], name: &[u8]) -> bool {
    field.len() == name.len()
        && field.iter().zip(name).all(|(byte, wanted)| match byte {
            b'-' => *wanted == b'_',
            byte => byte.to_ascii_lowercase() == *wanted,
        })
}

/// The value of the first cookie with this name (RFC 6265 §4.2.1); empty without.
pub(super) fn cookie<'b>(name: &[u8], headers: Option<&Headers<'b>>) -> &'b [u8] {
    let fields = headers.into_iter().flat_map(Headers::iter);
    let fields = fields.filter(|field| field.name.eq_ignore_ascii_case(b"cookie"));
    let mut pairs = fields.flat_map(|field| field.value.split(|byte| *byte == b';'));
    let value = |pair: &'b [u8]| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=");
    pairs.find_map(value).unwrap_or_default()
}

fn number_or_dash(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        None => out.push(b'-'),
        Some(number) => decimal(out, number),
    }
}

/// Writes a variable that is known only at the end.
pub(super) fn write_end(variable: EndVariable, ending: &Ending<'_>, out: &mut Vec<u8>) {
    use EndVariable as Variable;
    let Ending { id, record, names, .. } = ending;
    // Writing to a vector cannot fail.
    let _ = match variable {
        Variable::Status => return padded(out, record.status.into(), 3),
        Variable::RequestLength => return decimal(out, record.request_length),
        Variable::BodyBytesSent => return decimal(out, record.body_bytes_sent),
        Variable::BytesSent => return decimal(out, record.bytes_sent),
        Variable::RequestTime => return write_seconds(Some(record.request_time), out),
        Variable::ReadRequestTime => return milliseconds(out, record.read_request_time),
        Variable::WriteResponseTime => return milliseconds(out, record.write_response_time),
        Variable::UpstreamAddr => return escaped_or_dash(out, names.upstream_addr.as_bytes()),
        Variable::UpstreamStatus => return escaped_or_dash(out, names.upstream_status.as_bytes()),
        Variable::UpstreamConnectTime => return write_seconds(record.upstream_connect_time, out),
        Variable::UpstreamHeaderTime => return write_seconds(record.upstream_header_time, out),
        Variable::UpstreamResponseTime => return write_seconds(record.upstream_response_time, out),
        Variable::GrpcStatus => return number_or_dash(record.grpc_status.flatten().map(u64::from), out),
        Variable::Rtt => return number_or_dash(record.tcpinfo_rtt.map(u64::from), out),
        Variable::Listener => return escaped_or_dash(out, names.listener.as_bytes()),
        Variable::Rule => return escaped_or_dash(out, names.rule.as_bytes()),
        Variable::Group => return escaped_or_dash(out, names.server_group.as_bytes()),
        Variable::Retries => return decimal(out, record.retries.into()),
        Variable::DatagramsReceived => {
            return number_or_dash(record.datagrams.map(|counts| counts.received), out);
        }
        Variable::DatagramsSent => return number_or_dash(record.datagrams.map(|counts| counts.sent), out),
        Variable::Reason => out.write_all(record.reason.as_str().as_bytes()),
        Variable::Worker => return decimal(out, id.worker.into()),
        Variable::RequestId => {
            return id.write(out);
        }
        Variable::ServerAddr => match names.server.map(|address| address.ip()) {
            None => out.write_all(b"-"),
            Some(ip) => return address(out, ip),
        },
        Variable::ServerPort => return decimal(out, names.server_port.into()),
        Variable::ServerEndpoint => match names.server {
            None => write!(out, "-:{}", names.server_port),
            Some(address) => write!(out, "{address}"),
        },
        Variable::InstanceId => return escaped_or_dash(out, names.instance_id.as_bytes()),
    };
}

/// Seconds with three decimals, as nginx writes them.
fn write_seconds(time: Option<Duration>, out: &mut Vec<u8>) {
    match time {
        None => out.push(b'-'),
        Some(time) => seconds(out, time),
    }
}
