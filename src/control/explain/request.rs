//! A question in the form in which the data path sees a request.

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::control::explain::question::Question;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::head::Target;
use crate::http::head::TargetForm;
use crate::http::head::Version;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::policy::forwarded::Client;
use crate::policy::header_edits::HeaderEdits;
use crate::policy::header_edits::SYSTEM_VALUES;
use crate::policy::header_edits::SystemSources;
use crate::policy::header_edits::SystemValue;
use crate::policy::router::MAX_HOST_BYTES;
use crate::policy::router::RoutingFacts;
use crate::policy::router::target::host_name;
use crate::policy::router::target::split_target;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::snapshot::health_path::HealthPath;

/// A port that stands for the client's own, which a question does not tell.
const CLIENT_PORT: u16 = 50_000;

/// A request at its listener.
pub(super) struct AskedRequest<'q, 'h> {
    pub(super) listener: &'q Listener,
    pub(super) http: &'q HttpListener,
    pub(super) head: RequestHead<'h, 'q>,
    pub(super) client: Client<'q>,
    pub(super) host: ArrayVec<u8, MAX_HOST_BYTES>,
    sni: Option<&'q str>,
}

/// The fields of the question, with its host.
pub(super) fn headers(question: &Question) -> Result<Headers<'_>, String> {
    let mut headers = Headers::new();
    let names_host = question.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = (!names_host).then_some(("host", question.authority.as_str()));
    let others = question.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in host.into_iter().chain(others) {
        let field = Field::new(name.as_bytes(), value.as_bytes());
        headers.push(field).map_err(|_| "there are too many headers".to_owned())?;
    }
    Ok(headers)
}

impl<'q, 'h> AskedRequest<'q, 'h> {
    pub(super) fn new(
        question: &'q Question,
        (listener, http): (&'q Listener, &'q HttpListener),
        headers: &'h mut Headers<'q>,
    ) -> AskedRequest<'q, 'h> {
        let host_field = |field: &&Field<'q>| field.name.eq_ignore_ascii_case(b"host");
        let host = headers.iter().find(host_field).map_or(question.authority.as_bytes(), |field| field.value);
        let client = Client {
            peer: SocketAddr::new(question.source, CLIENT_PORT),
            address: http.trusted_proxies.client(question.source, headers),
            is_trusted: http.trusted_proxies.trusts(question.source),
            listener_port: listener.addresses.first().map_or(0, SocketAddr::port),
            scheme: if listener.tls.is_some() { "https" } else { "http" },
            host,
            request_id: b"",
            trace: None,
        };
        let target = question.target.as_bytes();
        let head = RequestHead {
            method: Method::from_bytes(question.method.as_bytes()),
            target: Target { raw: target, form: TargetForm::Origin, path_and_query: target },
            version: Version::Http11,
            headers,
        };
        AskedRequest { listener, http, head, client, host: host_name(host), sni: question.sni.as_deref() }
    }

    /// What answers a request for the health path of its listener.
    pub(super) fn health(&self) -> Option<&HealthPath> {
        let health = self.http.health_path.as_ref()?;
        health.is_asked_by(&self.head).then_some(health)
    }

    /// The status of a request that is not served at all.
    pub(super) fn admit(&self) -> Result<(), u16> {
        if matches!(self.head.method, Method::Connect | Method::Trace) {
            return Err(405);
        }
        let (Some(sni), Some(tls)) = (self.sni, &self.listener.tls) else { return Ok(()) };
        let host = std::str::from_utf8(&self.host).unwrap_or_default();
        match sni.eq_ignore_ascii_case(host) || tls.terms.load().covers(Some(sni), host) {
            true => Ok(()),
            false => Err(421),
        }
    }

    pub(super) fn facts<'f>(&'f self, path: &'f [u8], query: &'f [u8]) -> RoutingFacts<'f, 'q> {
        RoutingFacts {
            host: &self.host,
            path,
            query,
            method: self.head.method.as_bytes(),
            headers: self.head.headers,
            source: self.client.address,
            alpn: b"",
        }
    }

    /// This path with the query of the request.
    pub(super) fn target(&self, path: &[u8]) -> Vec<u8> {
        let (_, query) = split_target(self.head.target.path_and_query);
        let mut target = path.to_vec();
        if self.head.target.path_and_query.contains(&b'?') {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        target
    }

    /// What header actions write.
    pub(super) fn written(&self, edits: &HeaderEdits) -> Vec<(String, String)> {
        let mut written = Vec::new();
        let system = |value: SystemValue, out: &mut Vec<u8>| out.extend(self.system_value(value));
        edits.for_each_written(self.head.headers, &mut Vec::new(), system, |name, value| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            written.push((text(name), text(value)));
        });
        written
    }

    /// A system-defined value; its word in angle brackets where only a real request has one.
    pub(super) fn system_value(&self, value: SystemValue) -> Vec<u8> {
        let forwarded = &self.http.forwarded;
        let is_known_later = match value {
            SystemValue::ClientPort => true,
            SystemValue::RequestId => forwarded.fields.x_request_id,
            SystemValue::Connection(_) => self.listener.tls.is_some(),
            _ => false,
        };
        if is_known_later {
            let word = SYSTEM_VALUES.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| *word);
            return format!("<{word}>").into_bytes();
        }
        let mut out = Vec::new();
        value.write(&self.client, SystemSources { slb_id: &forwarded.slb_id, connection: None }, &mut out);
        out
    }
}
