//! Two sessions joined by a wire that cuts and joins.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;

use super::*;
use crate::net::buffer::Buffers;
use crate::net::buffer::SMALL_BYTES;
use crate::net::buffer::TAILROOM_BYTES;
use crate::tls::accept::ServerTerms;
use crate::tls::connect::ClientTerms;
use crate::tls::connect::Trust;
use crate::tls::tls_policy;

/// One end of the wire.
struct End {
    session: Session,
    /// Received and not yet opened.
    incoming: Vec<u8>,
    plain: Vec<u8>,
    outgoing: Vec<u8>,
    closed: bool,
}

impl End {
    fn new(session: Session) -> End {
        End { session, incoming: Vec::new(), plain: Vec::new(), outgoing: Vec::new(), closed: false }
    }

    /// Takes bytes as a stream does.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.incoming.extend_from_slice(bytes);
        if !self.incoming.is_empty() && !begins_with_record(&self.incoming) {
            return Ok(());
        }
        let opened = self.session.open(&mut self.incoming, &mut self.plain, &mut self.outgoing)?;
        self.incoming.drain(..opened.consumed);
        self.closed |= opened.closed;
        Ok(())
    }

    fn send(&mut self, content: &[u8]) {
        let mut sent = 0;
        while sent < content.len() {
            let mut out = Buffers::default().large();
            sent += self.session.seal(&content[sent..], &mut out, 0).unwrap();
            self.outgoing.extend_from_slice(out.filled());
        }
    }
}

fn ends(versions: &[u16]) -> (End, End) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap();
    let certified = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let offer = tls_policy::intersect(versions, &tls_policy::everything().suite_numbers()).offer.unwrap();
    let server = ServerTerms::new(&offer, resolver, None, None).unwrap().session().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientTerms::new(Trust::Anybody, None, None).unwrap().client().config();
    let client = Session::Client(Box::new(UnbufferedClientConnection::new(client, name).unwrap()));
    (End::new(client), End::new(server))
}

/// Carries everything that waits from one end to the other, in pieces of so many bytes.
fn carry(from: &mut End, to: &mut End, piece: usize) -> Result<(), Error> {
    let bytes = std::mem::take(&mut from.outgoing);
    bytes.chunks(piece).try_for_each(|piece| to.receive(piece))
}

fn shake_hands(client: &mut End, server: &mut End, piece: usize) {
    client.receive(b"").unwrap();
    while client.session.is_handshaking() || server.session.is_handshaking() {
        carry(client, server, piece).unwrap();
        carry(server, client, piece).unwrap();
    }
    carry(client, server, piece).unwrap();
}

fn established() -> (End, End) {
    let (mut client, mut server) = ends(&[0x0304]);
    shake_hands(&mut client, &mut server, usize::MAX);
    (client, server)
}

#[test]
fn any_cut_gives_the_same_bytes() {
    for version in [0x0303, 0x0304] {
        for piece in (1..40).chain([100, 1000, 4096, usize::MAX]) {
            let (mut client, mut server) = ends(&[version]);
            shake_hands(&mut client, &mut server, piece);
            client.send(b"request");
            client.send(b" and another");
            carry(&mut client, &mut server, piece).unwrap();
            assert_eq!(server.plain, b"request and another", "pieces of {piece}");
            server.send(&[7; 40_000]);
            server.session.close(&mut server.outgoing, 0);
            carry(&mut server, &mut client, piece).unwrap();
            assert_eq!(client.plain, [7; 40_000], "pieces of {piece}");
            assert!(client.closed && !server.closed);
        }
    }
}

#[test]
fn a_request_behind_the_handshake_is_there_when_the_handshake_is_done() {
    let (mut client, mut server) = ends(&[0x0304]);
    client.receive(b"").unwrap();
    carry(&mut client, &mut server, usize::MAX).unwrap();
    carry(&mut server, &mut client, usize::MAX).unwrap();
    client.send(b"request");
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert!(!server.session.is_handshaking());
    assert_eq!(server.plain, b"request");
}

#[test]
fn no_changed_byte_passes() {
    let (mut client, _) = established();
    client.send(b"request");
    let record = client.outgoing.len();
    // The lower half of the version in a record's header is to be ignored (RFC 8446 §5.1).
    for index in (0..record).filter(|index| *index != 2) {
        let (mut client, mut server) = established();
        client.send(b"request");
        client.outgoing[index] ^= 0x80;
        // A longer length only makes the server wait for the rest.
        let result = carry(&mut client, &mut server, usize::MAX);
        assert!(server.plain.is_empty(), "byte {index}");
        if index != 3 && index != 4 {
            assert!(result.is_err(), "byte {index}");
            assert!(!server.outgoing.is_empty(), "byte {index}: there is an alert");
        }
    }
}

#[test]
fn a_full_buffer_becomes_one_sealed_buffer() {
    for versions in [[0x0303], [0x0304]] {
        let (mut client, mut server) = ends(&versions);
        shake_hands(&mut client, &mut server, usize::MAX);
        let buffers = Buffers::default();
        for (content, mut sealed) in [(buffers.small(), buffers.small()), (buffers.large(), buffers.large())]
        {
            sealed.clear();
            let bytes = vec![1; content.spare() - TAILROOM_BYTES];
            assert_eq!(server.session.seal(&bytes, &mut sealed, 0).unwrap(), bytes.len());
        }
    }
}

#[test]
fn a_small_buffer_takes_what_fits() {
    let (_, mut server) = established();
    let mut sealed = Buffers::default().small();
    let count = server.session.seal(&[1; 10_000], &mut sealed, 0).unwrap();
    assert!(count > SMALL_BYTES / 2 && sealed.len() <= SMALL_BYTES);
    assert_eq!(server.session.seal(&[1; 10_000], &mut sealed, 0).unwrap(), 0);
}

#[test]
fn what_is_missing_of_a_record() {
    for (incoming, missing, whole) in [
        (&b""[..], 5, false),
        (&[22], 4, false),
        (&[22, 3, 3, 0], 1, false),
        (&[22, 3, 3, 0, 2], 2, false),
        (&[22, 3, 3, 0, 2, 1], 1, false),
        (&[22, 3, 3, 0, 2, 1, 1], 1, true),
        (&[22, 3, 3, 0, 0], 1, true),
        (&[22, 3, 3, 255, 255], RECORD_LENGTH_MAX, true),
    ] {
        assert_eq!((missing_bytes(incoming), begins_with_record(incoming)), (missing, whole), "{incoming:?}");
    }
}
