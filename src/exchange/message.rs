//! A request as it came, and what is known of who asks.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::exchange::client_tls::ClientTls;
use crate::http::body::BodyLength;
use crate::http::head::RequestHead;
use crate::http::head::TargetForm;
use crate::http::headers::KnownName;
use crate::net::clock::Moment;
use crate::policy::forwarded::Client;
use crate::policy::header_edits::SystemSources;
use crate::policy::trace::Trace;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::upstream::proxied_client::ProxiedClient;

/// A request as its codec hands it over: without the fields that belong to one hop.
pub struct Request<'h, 'b> {
    pub head: RequestHead<'h, 'b>,
    pub length: BodyLength,
    /// The protocols that the client wants to switch to (RFC 9110 §7.8).
    pub upgrade: Option<&'b [u8]>,
    /// The client's way to ask for the upgrade has no key (RFC 8441 §5); a backend that needs one gets ours.
    pub lacks_key: bool,
    /// The client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The client says that it asks by https, whatever the connection is (RFC 9110 §7.4).
    pub is_https: bool,
    /// The connection was opened for its host, or for one with the same certificate (RFC 9110 §7.4).
    pub is_covered: bool,
    /// When its first byte came.
    pub received: Moment,
}

/// Where a request came from.
#[derive(Clone, Copy)]
pub struct Origin<'w> {
    pub listener: &'w Listener,
    pub http: &'w HttpListener,
    pub peer: SocketAddr,
    /// The port that the client connected to.
    pub port: u16,
    /// None in cleartext.
    pub client_tls: Option<&'w ClientTls>,
    /// For backends that are told of the client; None: the listener has none such, or there is no request.
    pub proxied: Option<&'w Rc<ProxiedClient>>,
}

impl<'w> Origin<'w> {
    /// What system-defined values are taken from.
    pub(super) fn system_sources(&self) -> SystemSources<'w> {
        SystemSources {
            slb_id: &self.http.forwarded.slb_id,
            connection: self.client_tls.map(|client_tls| &client_tls.values),
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.client_tls.is_some() { "https" } else { "http" }
    }

    /// The address that the client connected to, where the listener tells: it has but one with this port, which does not
    /// stand for all addresses of the host.
    pub(super) fn server(&self) -> Option<SocketAddr> {
        let mut addresses = self.listener.addresses.iter().filter(|address| address.port() == self.port);
        let found = addresses.next().filter(|address| !address.ip().is_unspecified())?;
        addresses.next().is_none().then_some(*found)
    }

    /// Whether the peer is one of `trusted_proxies`.
    pub(super) fn is_trusted(&self) -> bool {
        self.http.trusted_proxies.trusts(self.peer.ip())
    }
}

/// What is known of who asks, looking through trusted proxies. `request_id` is empty where the request gets none.
pub(super) fn client<'a, 'b: 'a>(
    request: &Request<'_, 'b>,
    (request_id, trace): (&'a [u8], Option<&'a Trace>),
    origin: &Origin<'_>,
) -> Client<'a> {
    let headers = &*request.head.headers;
    Client {
        peer: origin.peer,
        address: origin.http.trusted_proxies.client(origin.peer.ip(), headers),
        is_trusted: origin.is_trusted(),
        listener_port: origin.port,
        scheme: origin.scheme(),
        host: host(&request.head),
        request_id,
        trace,
    }
}

/// The host that rules compare: for a request that names none, the one that the listener has for such. What backends get
/// can still be that of their group.
pub(super) fn host_for_rules<'a>(client: &Client<'a>, origin: &Origin<'a>) -> &'a [u8] {
    match client.host {
        b"" => origin.http.default_host.as_ref().map_or(b"", |host| host.as_bytes()),
        host => host,
    }
}

/// The host that is asked for: that of the target, else of the Host field. Empty if the client named none, as HTTP/1.0
/// allows.
fn host<'a>(head: &RequestHead<'_, 'a>) -> &'a [u8] {
    match head.target.form {
        TargetForm::Absolute { authority } => authority,
        _ => head.headers.find(KnownName::Host).map_or(b"", |field| field.value),
    }
}
