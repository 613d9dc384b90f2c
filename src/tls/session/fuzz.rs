//! Two sessions joined by a wire, for fuzzing and tests: it cuts, joins and damages.

use std::io::Read;
use std::io::Write;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::Connection;
use rustls::ServerConnection;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;

use super::*;
use crate::net::buffer::Buffers;
use crate::tls::accept::DownstreamTls;
use crate::tls::accept::http_protocols;
use crate::tls::connect::Alpn;
use crate::tls::connect::Trust;
use crate::tls::connect::UpstreamTls;
use crate::tls::tickets::TicketKeys;
use crate::tls::tls_policy;
use crate::tls::x509::self_signed;

thread_local! {
    /// A cache of buffers is never freed.
    static BUFFERS: Buffers = Buffers::default();
}

/// One end of the wire.
pub(in crate::tls) struct End {
    engine: Engine,
    /// Received and not yet opened.
    pub(super) incoming: Vec<u8>,
    pub(in crate::tls) plain: Vec<u8>,
    pub(in crate::tls) outgoing: Vec<u8>,
    pub(in crate::tls) closed: bool,
    pub(super) held: bool,
    /// The most that fits one of its records.
    record: usize,
    /// It sent its own close_notify, behind which nothing may be sent.
    close_notify_sent: bool,
}

/// Who does the protocol at one end.
enum Engine {
    Ours(Session),
    /// Nothing but rustls, to compare with.
    Theirs(Box<Connection>),
}

/// Which ends are rustls' alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tls) enum Theirs {
    Neither,
    Client,
    Server,
}

pub(super) fn held(is_held: bool, incoming: &mut [u8]) -> &mut [u8] {
    if is_held { incoming } else { &mut [] }
}

impl End {
    fn new(engine: Engine) -> End {
        End {
            engine,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            closed: false,
            held: false,
            record: usize::MAX,
            close_notify_sent: false,
        }
    }

    #[cfg(test)]
    pub(in crate::tls) fn session(&mut self) -> &mut Session {
        match &mut self.engine {
            Engine::Ours(session) => session,
            Engine::Theirs(_) => panic!("this end is rustls'"),
        }
    }

    pub(in crate::tls) fn is_handshaking(&self) -> bool {
        match &self.engine {
            Engine::Ours(session) => session.is_handshaking(),
            Engine::Theirs(connection) => connection.is_handshaking(),
        }
    }

    /// Takes bytes as a stream does.
    pub(in crate::tls) fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let session = match &mut self.engine {
            Engine::Ours(session) => session,
            Engine::Theirs(_) => return self.receive_theirs(bytes),
        };
        self.incoming.extend_from_slice(bytes);
        if !self.incoming.is_empty() && !begins_with_record(&self.incoming) {
            return Ok(());
        }
        let opened = session.open(&mut self.incoming, &mut self.plain, &mut self.outgoing)?;
        self.incoming.drain(..opened.consumed);
        self.held = opened.held;
        self.closed |= opened.closed;
        Ok(())
    }

    fn receive_theirs(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Engine::Theirs(connection) = &mut self.engine else { return Ok(()) };
        let mut bytes = bytes;
        let mut result = Ok(());
        while result.is_ok() && !bytes.is_empty() {
            if connection.read_tls(&mut bytes).expect("bytes can be read") == 0 {
                break;
            }
            result = connection.process_new_packets().map(|state| self.closed |= state.peer_has_closed());
            // It says "would block" when there is no more.
            let _ = connection.reader().read_to_end(&mut self.plain);
        }
        self.collect_theirs();
        result
    }

    fn collect_theirs(&mut self) {
        let Engine::Theirs(connection) = &mut self.engine else { return };
        while connection.wants_write() {
            connection.write_tls(&mut self.outgoing).expect("a vector takes everything");
        }
    }

    pub(in crate::tls) fn send(&mut self, content: &[u8]) {
        let session = match &mut self.engine {
            Engine::Ours(session) => session,
            Engine::Theirs(connection) => {
                connection.writer().write_all(content).expect("there is no limit");
                return self.collect_theirs();
            }
        };
        for piece in content.chunks(self.record.min(100_000)) {
            let mut out = BUFFERS.with(Buffers::large);
            out.clear();
            let sent = session.seal(piece, &mut out, held(self.held, &mut self.incoming));
            assert_eq!(sent.unwrap(), piece.len());
            self.outgoing.extend_from_slice(out.filled());
        }
    }

    pub(in crate::tls) fn close(&mut self) {
        match &mut self.engine {
            Engine::Ours(session) => {
                session.close(&mut self.outgoing, held(self.held, &mut self.incoming));
            }
            Engine::Theirs(connection) => {
                connection.send_close_notify();
                self.collect_theirs();
            }
        }
    }

    /// Sends a KeyUpdate; rustls always requests one in return. There is none in TLS 1.2.
    pub(in crate::tls) fn update_keys(&mut self, request: bool) {
        match &mut self.engine {
            Engine::Ours(session) => {
                if let SessionRole::Records(records) = &mut session.role {
                    records.send_key_update(request, &mut self.outgoing).expect("keys can be updated");
                }
            }
            Engine::Theirs(connection) => {
                // TLS 1.2 has no such thing.
                let _ = connection.refresh_traffic_keys();
                self.collect_theirs();
            }
        }
    }
}

static CERTIFIED: LazyLock<Arc<CertifiedKey>> = LazyLock::new(|| {
    let now = crate::net::clock::wall_now().as_secs();
    let (chain, key) = self_signed::for_names(&["localhost"], now).unwrap();
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    Arc::new(CertifiedKey::new(chain, key))
});

#[cfg(test)]
pub(super) fn ends(versions: &[u16]) -> (End, End) {
    ends_with(versions, None, false)
}

/// `fragment` is the size of the server's largest record.
#[cfg(test)]
pub(super) fn ends_with(versions: &[u16], fragment: Option<usize>, tickets: bool) -> (End, End) {
    Meeting::new(versions, fragment, tickets).ends(Theirs::Neither)
}

/// What ends are made of. They know each other again if the server gives tickets.
pub(in crate::tls) struct Meeting {
    server: DownstreamTls,
    client: Arc<ClientConfig>,
    fragment: Option<usize>,
}

impl Meeting {
    pub(in crate::tls) fn new(versions: &[u16], fragment: Option<usize>, tickets: bool) -> Meeting {
        Meeting::with_suites(versions, &tls_policy::everything().suite_numbers(), fragment, tickets)
    }

    pub(in crate::tls) fn with_suites(
        versions: &[u16],
        suites: &[u16],
        fragment: Option<usize>,
        tickets: bool,
    ) -> Meeting {
        let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&CERTIFIED)));
        let offer = tls_policy::intersect(versions, suites).offer.unwrap();
        let tickets = tickets.then(|| Arc::new(TicketKeys::new(Duration::from_secs(300), None)));
        let server = DownstreamTls::new(&offer, resolver, tickets, None, &http_protocols(false)).unwrap();
        let mut server = server.with_fingerprints(true);
        server.cut_records(fragment);
        let client = UpstreamTls::new(Trust::Anybody, None, None, Alpn::Http1).unwrap().client().config();
        Meeting { server, client, fragment }
    }

    /// The client and the server.
    pub(in crate::tls) fn ends(&self, theirs: Theirs) -> (End, End) {
        let name = ServerName::try_from("localhost").unwrap();
        let client = Arc::clone(&self.client);
        let client = if theirs == Theirs::Client {
            Engine::Theirs(Box::new(ClientConnection::new(client, name).unwrap().into()))
        } else {
            Engine::Ours(Session::client(UnbufferedClientConnection::new(client, name).unwrap()))
        };
        let server = if theirs == Theirs::Server {
            Engine::Theirs(Box::new(ServerConnection::new(self.server.config()).unwrap().into()))
        } else {
            Engine::Ours(self.server.session())
        };
        let (mut client, mut server) = (End::new(client), End::new(server));
        server.record = self.fragment.unwrap_or(usize::MAX);
        for end in [&mut client, &mut server] {
            if let Engine::Theirs(connection) = &mut end.engine {
                connection.set_buffer_limit(None);
            }
        }
        (client, server)
    }
}

/// Carries everything that waits from one end to the other, in pieces of so many bytes.
pub(in crate::tls) fn carry(from: &mut End, to: &mut End, piece: usize) -> Result<(), Error> {
    let bytes = std::mem::take(&mut from.outgoing);
    bytes.chunks(piece).try_for_each(|piece| to.receive(piece))
}

pub(in crate::tls) fn shake_hands(client: &mut End, server: &mut End, piece: usize) {
    client.receive(b"").unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        carry(client, server, piece).unwrap();
        carry(server, client, piece).unwrap();
    }
    carry(client, server, piece).unwrap();
}

/// Any bytes, as they are and as orders to two ends: nothing panics, and what arrives is the beginning
/// of what was sent.
pub(in crate::tls) fn fuzz_records(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let versions: &[u16] = if kind & 1 == 0 { &[0x0304] } else { &[0x0303] };
    let theirs = match kind >> 4 & 3 {
        1 => Theirs::Client,
        2 => Theirs::Server,
        _ => Theirs::Neither,
    };
    let meeting = Meeting::new(versions, (kind & 2 != 0).then_some(64), true);
    let (mut client, mut server) = meeting.ends(theirs);
    match kind >> 2 & 3 {
        0 if theirs != Theirs::Server => feed(&mut server, bytes),
        1 if theirs != Theirs::Client => {
            client.receive(b"").expect("a client begins");
            feed(&mut client, bytes);
        }
        2 => {
            // Damage on the way, at any point of the handshake.
            client.receive(b"").expect("a client begins");
            follow(&mut client, &mut server, bytes);
        }
        _ => {
            shake_hands(&mut client, &mut server, usize::MAX);
            follow(&mut client, &mut server, bytes);
        }
    }
}

/// Bytes from a stranger, in pieces whose sizes they tell themselves.
fn feed(end: &mut End, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(size) = rest.first() {
        let (piece, more) = rest.split_at(rest.len().min(usize::from(*size).max(1)));
        if end.receive(piece).is_err() {
            assert!(end.receive(more).is_err(), "a failed session stays failed");
            return;
        }
        rest = more;
    }
}

/// Each byte is an order to one of the ends.
fn follow(client: &mut End, server: &mut End, orders: &[u8]) {
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    // rustls asserts that no alert follows its close_notify, which only builds like this one check.
    let (mut damaged, mut closed) = (false, false);
    let mut updates = 0;
    for &order in orders {
        let (from, to, sent) = match order & 1 {
            0 => (&mut *client, &mut *server, &mut to_server),
            _ => (&mut *server, &mut *client, &mut to_client),
        };
        let size = usize::from(order >> 4);
        match order >> 1 & 7 {
            0 if !from.is_handshaking() && !from.close_notify_sent => {
                let content = vec![order; size * size * 20];
                from.send(&content);
                sent.extend(content);
            }
            1 if !damaged => {
                closed = true;
                from.close_notify_sent |= !from.is_handshaking();
                from.close();
            }
            2 if !closed => {
                damaged = true;
                let at = from.outgoing.len() * size / 16;
                from.outgoing.get_mut(at).into_iter().for_each(|byte| *byte ^= order);
            }
            3 if !closed => {
                damaged = true;
                from.outgoing.truncate(from.outgoing.len().saturating_sub(size));
            }
            4 if !from.is_handshaking() && !from.close_notify_sent => {
                updates += 1;
                from.update_keys(size & 1 == 0);
            }
            _ => {
                let arrived = carry(from, to, size * size + 1);
                assert!(sent.starts_with(&to.plain), "what arrived was not sent");
                if let Err(error) = arrived {
                    // So many new keys without content are refused.
                    assert!(damaged || closed || updates > 32, "{error}");
                    return;
                }
                // A damaged record may still be on its way in part.
                assert!(damaged || closed || from.is_handshaking() || *sent == to.plain, "it did not arrive");
            }
        }
    }
}
