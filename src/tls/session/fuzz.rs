//! Two sessions joined by a wire, for fuzzing and tests: it cuts, joins and damages.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;

use super::*;
use crate::net::buffer::Buffers;
use crate::tls::accept::ServerTerms;
use crate::tls::connect::ClientTerms;
use crate::tls::connect::Trust;
use crate::tls::self_signed;
use crate::tls::tickets::TicketKeys;
use crate::tls::tls_policy;

thread_local! {
    /// A stock of buffers is never freed.
    static BUFFERS: Buffers = Buffers::default();
}

/// One end of the wire.
pub(super) struct End {
    pub(super) session: Session,
    /// Received and not yet opened.
    pub(super) incoming: Vec<u8>,
    pub(super) plain: Vec<u8>,
    pub(super) outgoing: Vec<u8>,
    pub(super) closed: bool,
    pub(super) held: bool,
    /// The most that fits one of its records.
    record: usize,
    /// It sent its own close_notify, behind which nothing may be sent.
    said_good_bye: bool,
}

pub(super) fn held(is_held: bool, incoming: &mut [u8]) -> &mut [u8] {
    if is_held { incoming } else { &mut [] }
}

impl End {
    fn new(session: Session) -> End {
        End {
            session,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            closed: false,
            held: false,
            record: usize::MAX,
            said_good_bye: false,
        }
    }

    /// Takes bytes as a stream does.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.incoming.extend_from_slice(bytes);
        if !self.incoming.is_empty() && !begins_with_record(&self.incoming) {
            return Ok(());
        }
        let opened = self.session.open(&mut self.incoming, &mut self.plain, &mut self.outgoing)?;
        self.incoming.drain(..opened.consumed);
        self.held = opened.held;
        self.closed |= opened.closed;
        Ok(())
    }

    pub(super) fn send(&mut self, content: &[u8]) {
        for piece in content.chunks(self.record.min(100_000)) {
            let mut out = BUFFERS.with(Buffers::large);
            out.clear();
            let sent = self.session.seal(piece, &mut out, held(self.held, &mut self.incoming));
            assert_eq!(sent.unwrap(), piece.len());
            self.outgoing.extend_from_slice(out.filled());
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
pub(super) fn ends_with(versions: &[u16], fragment: Option<usize>, tickets: bool) -> (End, End) {
    let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&CERTIFIED)));
    let offer = tls_policy::intersect(versions, &tls_policy::everything().suite_numbers()).offer.unwrap();
    let tickets = tickets.then(|| Arc::new(TicketKeys::new(Duration::from_secs(300), None)));
    let mut terms = ServerTerms::new(&offer, resolver, tickets, None).unwrap();
    terms.cut_records(fragment);
    let server = terms.session().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientTerms::new(Trust::Anybody, None, None).unwrap().client().config();
    let client = Session::client(UnbufferedClientConnection::new(client, name).unwrap());
    let mut server = End::new(server);
    server.record = fragment.unwrap_or(usize::MAX);
    (End::new(client), server)
}

/// Carries everything that waits from one end to the other, in pieces of so many bytes.
pub(super) fn carry(from: &mut End, to: &mut End, piece: usize) -> Result<(), Error> {
    let bytes = std::mem::take(&mut from.outgoing);
    bytes.chunks(piece).try_for_each(|piece| to.receive(piece))
}

pub(super) fn shake_hands(client: &mut End, server: &mut End, piece: usize) {
    client.receive(b"").unwrap();
    while client.session.is_handshaking() || server.session.is_handshaking() {
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
    let (mut client, mut server) = ends_with(versions, (kind & 2 != 0).then_some(64), true);
    match kind >> 2 & 3 {
        0 => feed(&mut server, bytes),
        1 => {
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
    for &order in orders {
        let (from, to, sent) = match order & 1 {
            0 => (&mut *client, &mut *server, &mut to_server),
            _ => (&mut *server, &mut *client, &mut to_client),
        };
        let size = usize::from(order >> 4);
        match order >> 1 & 7 {
            0 if !from.session.is_handshaking() && !from.said_good_bye => {
                let content = vec![order; size * size * 20];
                from.send(&content);
                sent.extend(content);
            }
            1 if !damaged => {
                closed = true;
                from.said_good_bye |= !from.session.is_handshaking();
                from.session.close(&mut from.outgoing, held(from.held, &mut from.incoming));
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
            _ => {
                let arrived = carry(from, to, size * size + 1);
                assert!(sent.starts_with(&to.plain), "what arrived was not sent");
                if arrived.is_err() {
                    return;
                }
            }
        }
    }
}
