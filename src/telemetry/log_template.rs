//! Lines of the access log by a template: `"$remote_addr [$time_iso8601] \"$request\" $status"`.
//!
//! What is known of the request is written when it comes, run by run, each with its length in front; the end of the
//! exchange puts the runs between what is known only then. So neither parts of a head nor a line need memory of their
//! own. Values are escaped as nginx does by default, so that nobody can begin another line or leave their quotes.

use std::io::Write;
use std::ops::Range;

use crate::telemetry::date::Dates;
use crate::telemetry::log_text::escaped;
use crate::telemetry::log_text::escaped_or_dash;
use crate::telemetry::log_text::take_run;
use crate::telemetry::log_text::write_run;
use crate::telemetry::log_values::cookie;
use crate::telemetry::log_values::tls_value;
use crate::telemetry::log_values::write_end;
use crate::telemetry::log_values::write_fields;
use crate::telemetry::log_values::write_header;
use crate::telemetry::log_values::write_request;
use crate::telemetry::log_variables::EndVariable;
use crate::telemetry::log_variables::LogVariable;
use crate::telemetry::log_variables::RequestVariable;
use crate::telemetry::log_variables::TlsVariable;
use crate::telemetry::record::Ending;
use crate::telemetry::record::RequestFacts;
use crate::telemetry::record::TlsFacts;

/// The fields of ALB's log in their order; quoted is what may have spaces in it.
pub const ALB: &str = concat!(
    r#"$time_iso8601 $remote_addr $remote_port $request_method $scheme "$host" "$http_host" "$request_uri" "#,
    r#"$server_protocol $request_length "$http_referer" "$http_user_agent" "$http_x_forwarded_for" "#,
    r#""$http_x_real_ip" $status $body_bytes_sent $request_time $read_request_time $write_response_time "#,
    r#""$upstream_addr" "$upstream_status" "$upstream_response_time" $ssl_protocol $ssl_cipher $tcpinfo_rtt "#,
    r#"$instance_id $server_addr $server_port - - -"#,
);

/// The layout of ELB's log, version `elb_01`.
pub const ELB: &str = concat!(
    r#"$msec - [$time_iso8601] elb_01 $remote_endpoint $status "#,
    r#""$request_method $scheme://$host$router_request_uri $server_protocol" $request_length $bytes_sent "#,
    r#"$body_bytes_sent $request_time "$upstream_status" "$upstream_connect_time" "$upstream_header_time" "$upstream_response_time" "$upstream_addr" "#,
    r#""$http_user_agent" "$http_referer" "$http_x_forwarded_for" $instance_id $listener - $group "$upstream_addr" "#,
    r#"- $server_endpoint "$upstream_addr" - $ssl_protocol $ssl_cipher $sni $tcpinfo_rtt -"#,
);

/// Bytes of a template: a line of an ordinary one has a few hundred.
pub const MAX_BYTES: usize = 4 * 1024;
/// Variables of a template: with what a value may show, this bounds a line to 2 MiB.
pub const MAX_VARIABLES: usize = 128;

/// A template, taken apart.
#[derive(Clone, Debug)]
pub struct LogTemplate {
    text: Box<str>,
    runs: Box<[LineRun]>,
    tls: Box<[TlsVariable]>,
    /// The names of variables that tell passwords, tokens or the keys of sessions.
    secrets: Box<[&'static str]>,
    /// The fields of responses, by their names in lower case and with underscores.
    sent: Box<[Box<[u8]>]>,
    /// The same, as backends sent them.
    upstream: Box<[Box<[u8]>]>,
}

/// What is written at the same time.
#[derive(Clone, Debug)]
enum LineRun {
    Literal(Box<str>),
    /// With what the request brings.
    Request(Box<[LinePart]>),
    /// The next of the fields that the response was sent with.
    Sent,
    /// The next of those that the backend sent.
    Upstream,
    End(EndVariable),
}

#[derive(Clone, Debug)]
enum LinePart {
    Literal(Box<str>),
    Variable(LogVariable),
}

/// Why a text is no template, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTemplateError {
    /// In bytes.
    pub place: Range<usize>,
    pub problem: TemplateProblem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateProblem {
    /// `$` without a name.
    NoName,
    /// `${` without `}`.
    Unclosed,
    Unknown(String),
    /// A character that would end the line or spoil a terminal.
    Control,
    TooLong,
    TooManyVariables,
}

impl PartialEq for LogTemplate {
    fn eq(&self, other: &LogTemplate) -> bool {
        self.text == other.text
    }
}

impl LogTemplate {
    /// Takes a text apart. `$$` stands for a dollar.
    ///
    /// # Errors
    /// A variable is unknown or does not end, there are too many, or the text has control characters.
    pub fn parse(text: &str) -> Result<LogTemplate, LogTemplateError> {
        if text.len() > MAX_BYTES {
            return Err(LogTemplateError { place: 0..text.len(), problem: TemplateProblem::TooLong });
        }
        if let Some((start, letter)) =
            text.char_indices().find(|(_, letter)| letter.is_control() && *letter != '\t')
        {
            let place = start..start + letter.len_utf8();
            return Err(LogTemplateError { place, problem: TemplateProblem::Control });
        }
        let parts = parts(text)?;
        let variables = parts.iter().filter(|part| matches!(part, LinePart::Variable(_))).count();
        if variables > MAX_VARIABLES {
            return Err(LogTemplateError {
                place: 0..text.len(),
                problem: TemplateProblem::TooManyVariables,
            });
        }
        let of_tls = |part: &LinePart| match part {
            LinePart::Variable(LogVariable::Tls(variable)) => Some(*variable),
            _ => None,
        };
        let tls = parts.iter().filter_map(of_tls).collect();
        let of_response = |part: &LinePart| match part {
            LinePart::Variable(LogVariable::SentHeader(name)) => Some(name.clone()),
            _ => None,
        };
        let sent = parts.iter().filter_map(of_response).collect();
        let of_backend = |part: &LinePart| match part {
            LinePart::Variable(LogVariable::UpstreamHeader(name)) => Some(name.clone()),
            _ => None,
        };
        let upstream = parts.iter().filter_map(of_backend).collect();
        let secret = |part: &LinePart| match part {
            LinePart::Variable(variable) => variable.secret(),
            LinePart::Literal(_) => None,
        };
        let secrets = parts.iter().filter_map(secret).collect();
        Ok(LogTemplate { text: text.into(), tls, secrets, sent, upstream, runs: runs(parts) })
    }

    /// The names of variables that tell passwords, tokens or the keys of sessions.
    pub fn secrets(&self) -> &[&'static str] {
        &self.secrets
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether lines tell the round-trip time, which costs a system call.
    pub fn tells_rtt(&self) -> bool {
        self.runs.iter().any(|run| matches!(run, LineRun::End(EndVariable::Rtt)))
    }

    /// Whether lines tell what certificates of clients say.
    pub fn tells_certificate(&self) -> bool {
        self.tls.iter().any(|variable| {
            matches!(
                variable,
                TlsVariable::ClientSubject
                    | TlsVariable::ClientIssuer
                    | TlsVariable::ClientSerial
                    | TlsVariable::ClientFingerprint
            )
        })
    }

    /// Whether lines tell the fingerprints of clients, which cost something at each handshake.
    pub fn tells_fingerprints(&self) -> bool {
        self.tls.iter().any(|variable| matches!(variable, TlsVariable::Ja3 | TlsVariable::Ja4))
    }

    /// Whether lines tell the user of Basic authentication.
    pub fn tells_user(&self) -> bool {
        let parts = self.runs.iter().filter_map(|run| match run {
            LineRun::Request(parts) => Some(parts),
            _ => None,
        });
        let is_user =
            |part: &LinePart| matches!(part, LinePart::Variable(LogVariable::Request(RequestVariable::User)));
        parts.flat_map(|parts| parts.iter()).any(is_user)
    }

    /// Whether lines tell fields of responses.
    pub fn tells_sent(&self) -> bool {
        !self.sent.is_empty() || !self.upstream.is_empty()
    }

    /// Writes what lines tell of the fields that a response is sent with, value by value. `length` is that of its content,
    /// where its framing tells it.
    pub(super) fn sent_fields<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        length: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        for name in &self.sent {
            write_run(out, |out| {
                let start = out.len();
                write_fields(name, fields.clone(), out);
                if let Some(length) = length.filter(|_| out.len() == start && **name == *b"content_length") {
                    // Writing to a vector cannot fail.
                    let _ = write!(out, "{length}");
                }
            });
        }
    }

    /// Writes what lines tell of the fields that a backend sent, value by value.
    pub(super) fn upstream_fields<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        out: &mut Vec<u8>,
    ) {
        self.upstream.iter().for_each(|name| write_run(out, |out| write_fields(name, fields.clone(), out)));
    }

    /// Writes what lines tell of their TLS connection, value by value.
    pub(super) fn tls_fields(&self, facts: &TlsFacts<'_>, out: &mut Vec<u8>) {
        for variable in &self.tls {
            write_run(out, |out| escaped_or_dash(out, tls_value(*variable, facts).as_bytes()));
        }
    }

    /// Writes the runs that are known when a request comes.
    pub(super) fn begin(&self, out: &mut Vec<u8>, request: &RequestFacts<'_>, mut tls: &[u8], dates: &Dates) {
        write_run(out, |out| out.extend_from_slice(request.request_id));
        for run in &self.runs {
            let LineRun::Request(parts) = run else { continue };
            write_run(out, |out| {
                for part in parts {
                    match part {
                        LinePart::Literal(text) => out.extend_from_slice(text.as_bytes()),
                        LinePart::Variable(variable) => {
                            write_begun(variable, (request, dates), &mut tls, out)
                        }
                    }
                }
            });
        }
    }

    /// Writes the whole line without its line feed. `begun` is what [`LogTemplate::begin`] wrote.
    pub(super) fn end(&self, mut begun: &[u8], ending: &Ending<'_>, out: &mut Vec<u8>) {
        let request_id = take_run(&mut begun);
        let (mut sent, mut upstream) = (ending.sent, ending.upstream);
        for run in &self.runs {
            match run {
                LineRun::Literal(text) => out.extend_from_slice(text.as_bytes()),
                LineRun::Request(_) => out.extend_from_slice(take_run(&mut begun)),
                LineRun::Sent => out.extend_from_slice(match take_run(&mut sent) {
                    b"" => b"-",
                    value => value,
                }),
                LineRun::Upstream => out.extend_from_slice(match take_run(&mut upstream) {
                    b"" => b"-",
                    value => value,
                }),
                LineRun::End(EndVariable::RequestId) if !request_id.is_empty() => escaped(out, request_id),
                LineRun::End(variable) => write_end(*variable, ending, out),
            }
        }
    }
}

/// Takes a text apart into variables and what stands between them.
fn parts(text: &str) -> Result<Vec<LinePart>, LogTemplateError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        literal.push_str(before);
        let start = text.len() - behind.len() - 1;
        if let Some(behind) = behind.strip_prefix('$') {
            literal.push('$');
            rest = behind;
            continue;
        }
        let (name, behind) = name(behind, start)?;
        let place = start..text.len() - behind.len();
        let problem = || TemplateProblem::Unknown(name.to_owned());
        let variable =
            LogVariable::named(name).ok_or_else(|| LogTemplateError { place, problem: problem() })?;
        if !literal.is_empty() {
            parts.push(LinePart::Literal(std::mem::take(&mut literal).into()));
        }
        parts.push(LinePart::Variable(variable));
        rest = behind;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(LinePart::Literal(literal.into()));
    }
    Ok(parts)
}

/// The name that stands at the beginning of `text`, bare or in braces, and what is behind it. `start`: of its `$`.
fn name(text: &str, start: usize) -> Result<(&str, &str), LogTemplateError> {
    if let Some(text) = text.strip_prefix('{') {
        let problem = TemplateProblem::Unclosed;
        return text.split_once('}').ok_or(LogTemplateError { place: start..start + 2, problem });
    }
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let end = text.find(|letter| !is_of_name(letter)).unwrap_or(text.len());
    if end == 0 {
        return Err(LogTemplateError { place: start..start + 1, problem: TemplateProblem::NoName });
    }
    Ok(text.split_at(end))
}

fn runs(parts: Vec<LinePart>) -> Box<[LineRun]> {
    let mut runs = Vec::new();
    let mut run = Vec::new();
    for part in parts {
        match part {
            LinePart::Variable(LogVariable::End(variable)) => {
                finish(&mut run, &mut runs);
                runs.push(LineRun::End(variable));
            }
            LinePart::Variable(LogVariable::SentHeader(_)) => {
                finish(&mut run, &mut runs);
                runs.push(LineRun::Sent);
            }
            LinePart::Variable(LogVariable::UpstreamHeader(_)) => {
                finish(&mut run, &mut runs);
                runs.push(LineRun::Upstream);
            }
            part => run.push(part),
        }
    }
    finish(&mut run, &mut runs);
    runs.into()
}

fn finish(run: &mut Vec<LinePart>, runs: &mut Vec<LineRun>) {
    let parts = std::mem::take(run);
    match &parts[..] {
        [] => {}
        [LinePart::Literal(text)] => runs.push(LineRun::Literal(text.clone())),
        _ => runs.push(LineRun::Request(parts.into())),
    }
}

/// Writes a variable that is known when a request comes. `tls` has the values of the connection that are left.
fn write_begun(
    variable: &LogVariable,
    (request, dates): (&RequestFacts<'_>, &Dates),
    tls: &mut &[u8],
    out: &mut Vec<u8>,
) {
    match variable {
        LogVariable::Request(variable) => write_request(*variable, request, dates, out),
        LogVariable::Header(name) => write_header(name, request.headers, out),
        LogVariable::Cookie(name) => escaped_or_dash(out, cookie(name, request.headers)),
        LogVariable::Tls(_) => match take_run(tls) {
            b"" => out.push(b'-'),
            value => out.extend_from_slice(value),
        },
        LogVariable::SentHeader(_) | LogVariable::UpstreamHeader(_) | LogVariable::End(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::headers::Field;
    use crate::http::headers::Headers;
    use crate::telemetry::reason::Reason;
    use crate::telemetry::record::DatagramCounts;
    use crate::telemetry::record::Record;
    use crate::telemetry::record::RecordedNames;
    use crate::telemetry::record::RequestId;

    fn headers() -> Headers<'static> {
        let mut headers = Headers::new();
        for (name, value) in [
            ("Cookie", "a=1; lang=de; session=x\"y"),
            ("X-Tenant", "one"),
            ("x-tenant", "two\n"),
            ("COOKIE", "my-id=7"),
        ] {
            headers.push(Field::new(name.as_bytes(), value.as_bytes())).unwrap();
        }
        headers
    }

    fn facts<'a>(client: &str, headers: Option<&'a Headers<'a>>) -> RequestFacts<'a> {
        RequestFacts {
            is_connection: false,
            time: Duration::from_millis(784_111_777_042),
            peer: "10.0.0.9:50123".parse().unwrap(),
            client: client.parse().unwrap(),
            method: b"GET",
            scheme: "http",
            host: b"example.com",
            http_host: b"example.com:8080",
            request_uri: b"http://example.com/a\"b?d=1",
            path_and_query: b"/a\"b?d=1",
            headers,
            server_protocol: "HTTP/1.1",
            referer: b"",
            user_agent: b"a \"b\\\r\n\x1b\xe9",
            x_forwarded_for: b"",
            x_real_ip: b"",
            trace_id: b"",
            span_id: b"",
            authorization: b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            request_id: b"",
        }
    }

    fn line(template: &LogTemplate, (facts, tls): (&RequestFacts<'_>, &[u8])) -> String {
        let mut dates = Dates::default();
        dates.advance(facts.time);
        let mut begun = Vec::new();
        template.begin(&mut begun, facts, tls, &dates);
        let record = Record {
            status: 502,
            reason: Reason::ConnectRefused,
            request_length: 80,
            body_bytes_sent: 17,
            bytes_sent: 117,
            request_time: Duration::from_micros(12_345),
            upstream_response_time: Some(Duration::from_millis(7)),
            retries: 1,
            datagrams: Some(DatagramCounts { received: 3, sent: 2 }),
            ..Record::default()
        };
        let names = RecordedNames {
            listener: "web",
            server_group: "app",
            upstream_addr: "127.0.0.1:1, 127.0.0.1:2",
            upstream_status: "-, 502",
            instance_id: "edge-1",
            server: Some("[2001:db8::1]:80".parse().unwrap()),
            server_port: 80,
            ..RecordedNames::default()
        };
        let id = RequestId { process: 0xabc, worker: 1, sequence: 255 };
        let mut out = Vec::new();
        let mut sent = Vec::new();
        let fields = [(&b"X-A"[..], &b"1\""[..]), (b"x-a", b"2"), (b"Content-Type", b"text/html")];
        template.sent_fields(fields.into_iter(), Some(17), &mut sent);
        let mut upstream = Vec::new();
        template.upstream_fields(fields.into_iter(), &mut upstream);
        let ending = Ending { id, record: &record, names, sent: &sent, upstream: &upstream };
        template.end(&begun, &ending, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn rendered(text: &str, facts: &RequestFacts<'_>) -> String {
        line(&LogTemplate::parse(text).unwrap(), (facts, b""))
    }

    #[test]
    fn the_layout_of_alb() {
        assert_eq!(
            rendered(ALB, &facts("2001:db8::7", None)),
            concat!(
                r#"1994-11-06T08:49:37+00:00 2001:db8::7 50123 GET http "example.com" "example.com:8080" "#,
                r#""http://example.com/a\x22b?d=1" HTTP/1.1 80 "-" "a \x22b\x5C\x0D\x0A\x1B\xE9" "-" "-" 502 17 "#,
                r#"0.012 0 0 "127.0.0.1:1, 127.0.0.1:2" "-, 502" "0.007" - - - edge-1 2001:db8::1 80 - - -"#,
            )
        );
    }

    #[test]
    fn the_layout_of_elb() {
        assert_eq!(
            rendered(ELB, &facts("2001:db8::7", None)),
            concat!(
                r#"784111777.042 - [1994-11-06T08:49:37+00:00] elb_01 [2001:db8::7]:50123 502 "#,
                r#""GET http://example.com/a\x22b?d=1 HTTP/1.1" 80 117 17 0.012 "-, 502" "-" "-" "0.007" "#,
                r#""127.0.0.1:1, 127.0.0.1:2" "a \x22b\x5C\x0D\x0A\x1B\xE9" "-" "-" edge-1 web - app "#,
                r#""127.0.0.1:1, 127.0.0.1:2" - [2001:db8::1]:80 "127.0.0.1:1, 127.0.0.1:2" - - - - - -"#,
            )
        );
    }

    #[test]
    fn fields_cookies_and_texts_between() {
        let headers = headers();
        let facts = facts("192.0.2.7", Some(&headers));
        for (text, expected) in [
            ("$remote_user $args $https", "Aladdin d=1 -"),
            ("$http_x_tenant|$http_x_none", "one, two\\x0A|-"),
            ("${cookie_lang}s $cookie_session ${cookie_my-id} $cookie_session_", "des x\\x22y 7 -"),
            ("$$status=$status$$", "$status=502$"),
            ("$status", "502"),
            ("$sent_http_x_a$status $sent_http_content_type", "1\\x22, 2502 text/html"),
            ("${sent_http_content_length} $sent_http_location", "17 -"),
            ("$upstream_http_content_length|$sent_http_x_a|$upstream_http_x_a", "-|1\\x22, 2|1\\x22, 2"),
            ("plain $$", "plain $"),
            ("$request_id", "0000000000000abc00010000000000ff"),
            ("$reason $retry_count $worker $rule", "connect_refused 1 1 -"),
            ("$time", "1994-11-06T08:49:37.042Z"),
            (
                "$time_local $remote_endpoint $realip_remote_addr",
                "06/Nov/1994:08:49:37 +0000 192.0.2.7:50123 10.0.0.9",
            ),
        ] {
            assert_eq!(rendered(text, &facts), expected, "{text}");
        }
        let known = RequestFacts { request_id: b"edge:7f3b/1", ..facts };
        assert_eq!(rendered("$host $request_id", &known), "example.com edge:7f3b/1");
    }

    #[test]
    fn every_variable_alone_and_with_all_others() {
        let tls = TlsFacts {
            ssl_protocol: "TLSv1.3",
            ssl_cipher: "TLS_AES_128_GCM_SHA256",
            sni: "a\"b",
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
        let of = |template: &LogTemplate| {
            let mut fields = Vec::new();
            template.tls_fields(&tls, &mut fields);
            line(template, (&facts("192.0.2.7", None), &fields))
        };
        let names: Vec<_> = LogVariable::names().collect();
        let all =
            LogTemplate::parse(&names.iter().map(|name| format!("${name}\t")).collect::<String>()).unwrap();
        let all = of(&all);
        let values: Vec<_> = all.trim_end_matches('\t').split('\t').collect();
        assert_eq!(values.len(), names.len());
        for (name, value) in names.iter().zip(values) {
            assert!(!value.is_empty(), "{name}");
            assert_eq!(of(&LogTemplate::parse(&format!("${name}")).unwrap()), value, "{name}");
        }
        assert_eq!(of(&LogTemplate::parse("$sni $ssl_session_reused $tls_ja4").unwrap()), "a\\x22b r t13d");
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_place() {
        for (text, place, problem) in [
            ("$status $quux.", 8..13, TemplateProblem::Unknown("quux".to_owned())),
            ("$$ ${Status}", 3..12, TemplateProblem::Unknown("Status".to_owned())),
            ("$status $ ", 8..9, TemplateProblem::NoName),
            ("x ${host", 2..4, TemplateProblem::Unclosed),
            ("a\n$host", 1..2, TemplateProblem::Control),
        ] {
            assert_eq!(LogTemplate::parse(text).unwrap_err(), LogTemplateError { place, problem }, "{text}");
        }
        let long = "$host".repeat(MAX_VARIABLES + 1);
        assert_eq!(LogTemplate::parse(&long).unwrap_err().problem, TemplateProblem::TooManyVariables);
        assert_eq!(
            LogTemplate::parse(&"x".repeat(MAX_BYTES + 1)).unwrap_err().problem,
            TemplateProblem::TooLong
        );
    }

    #[test]
    fn what_costs_something_is_asked_for_where_it_is_told() {
        let of = |text: &str| LogTemplate::parse(text).unwrap();
        assert!(of(ALB).tells_rtt() && of(ELB).tells_rtt() && !of("$status").tells_rtt());
        assert!(of("$ssl_client_s_dn").tells_certificate() && !of(ALB).tells_certificate());
        assert!(of("$tls_ja4").tells_fingerprints() && !of(ELB).tells_fingerprints());
        assert!(of("x $remote_user").tells_user() && !of(ALB).tells_user());
    }

    #[test]
    fn what_an_exchange_has_not_is_a_dash() {
        let text = "$datagrams_received $datagrams_sent $grpc_status $tcpinfo_rtt";
        assert_eq!(rendered(text, &facts("192.0.2.7", None)), "3 2 - -");
    }
}
