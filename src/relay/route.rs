//! Which group a connection goes to.

use std::sync::Arc;
use std::time::Duration;

use crate::net::buffer::Buffer;
use crate::relay::client::ClientConnection;
use crate::relay::end::SessionEnd;
use crate::relay::hello;
use crate::snapshot::Listener;
use crate::snapshot::group::Group;
use crate::snapshot::stream::StreamFacts;
use crate::telemetry::record::TlsFacts;
use crate::telemetry::relay_counters::RelayCounters;
use crate::tls::client_hello::HelloNames;
use crate::worker::Worker;

/// Where a connection goes, and on what terms.
pub(super) struct StreamRoute {
    pub(super) group: Arc<Group>,
    pub(super) idle_timeout: Duration,
    /// The name of the rule that took the connection, if one did.
    pub(super) rule: Option<Arc<str>>,
    /// None: nothing is counted.
    pub(super) counters: Option<Arc<RelayCounters>>,
}

/// Whether the first message of the client has to be known before a group can be chosen.
pub(super) fn needs_hello(client: &ClientConnection, worker: &Worker) -> bool {
    let snapshot = worker.snapshot();
    let stream = snapshot.listener(client.who.counted.listener()).and_then(Listener::stream);
    stream.is_some_and(|stream| stream.passthrough)
}

/// Receives it; its bytes are given back.
pub(super) async fn receive_hello(
    client: &mut ClientConnection,
    worker: &Worker,
) -> Result<Option<Buffer>, SessionEnd> {
    let input = client.input.take();
    let (received, names) = hello::receive(client, input, worker).await?;
    client.who.tls_log_fields = log_fields(&names, worker);
    if let (Some(told), Some(name)) = (&mut client.told, &names.server_name) {
        told.passed_name = (&**name).into();
    }
    client.names = Some(Box::new(names));
    Ok(Some(received))
}

/// What lines of the logs tell of TLS that is passed through: what the client asked for.
fn log_fields(names: &HelloNames, worker: &Worker) -> Box<[u8]> {
    let Some(logs) = &worker.logs else { return Box::default() };
    let alpn = String::from_utf8_lossy(names.alpn.get(1..).unwrap_or_default());
    let first = usize::from(names.alpn.first().copied().unwrap_or(0));
    let facts = TlsFacts {
        ssl_protocol: "",
        ssl_cipher: "",
        sni: names.server_name.as_deref().unwrap_or_default(),
        alpn: alpn.get(..first).unwrap_or_default(),
        client_verify: "",
        resumed: false,
        ja3: "",
        ja4: "",
        client_subject: "",
        client_issuer: "",
        client_serial: "",
        client_fingerprint: "",
    };
    logs.tls_fields(&facts).into()
}

/// The group by the first rule that takes the connection, or else the default group.
pub(super) fn of(client: &ClientConnection, worker: &Worker) -> Option<StreamRoute> {
    let snapshot = worker.snapshot();
    let listener = snapshot.listener(client.who.counted.listener())?;
    let stream = listener.stream()?;
    let names = client.names.as_deref();
    let facts = StreamFacts {
        server_name: names.and_then(|names| names.server_name.as_deref()).unwrap_or_default(),
        alpn: names.map_or(b"", |names| &names.alpn),
        source: client.who.peer.ip(),
    };
    let rules = stream.rules.as_ref();
    let taken = rules.and_then(|rules| rules.find(&facts));
    let rule = rules.zip(taken).and_then(|(rules, taken)| rules.get(taken));
    let group = match rule {
        Some(rule) => rule.targets.choose(|| worker.chance()),
        None => listener.default_group,
    }?;
    Some(StreamRoute {
        group: listener.shared_group(group)?,
        idle_timeout: stream.idle_timeout,
        rule: rule.map(|rule| Arc::clone(&rule.name)),
        counters: listener.relay_counters(taken, Some(group)).map(Arc::clone),
    })
}
