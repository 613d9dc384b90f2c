//! Our records against rustls' own, in both roles, and against themselves.

use super::*;
use crate::net::buffer::Buffers;
use crate::tls::session::fuzz::End;
use crate::tls::session::fuzz::Meeting;
use crate::tls::session::fuzz::Theirs;
use crate::tls::session::fuzz::carry;
use crate::tls::session::fuzz::shake_hands;

const ALL: [Theirs; 3] = [Theirs::Neither, Theirs::Client, Theirs::Server];

fn established(theirs: Theirs) -> (End, End) {
    established_in(&Meeting::new(&[0x0304], None, false), theirs)
}

fn established_in(meeting: &Meeting, theirs: Theirs) -> (End, End) {
    let (mut client, mut server) = meeting.ends(theirs);
    shake_hands(&mut client, &mut server, usize::MAX);
    (client, server)
}

/// Sends both ways, and tells what does not arrive.
fn talk(client: &mut End, server: &mut End, piece: usize) {
    for size in [1, 100, 40_000] {
        client.plain.clear();
        server.plain.clear();
        client.send(&vec![1; size]);
        carry(client, server, piece).unwrap();
        assert_eq!(server.plain, vec![1; size]);
        server.send(&vec![2; size]);
        carry(server, client, piece).unwrap();
        assert_eq!(client.plain, vec![2; size]);
    }
}

/// Seals what a peer would not: the content, its type, and padding.
fn seal_inner(end: &mut End, inner: &[u8]) {
    let (last, content) = inner.split_last().unwrap();
    let records = end.session().records();
    let mut out = Vec::new();
    records.write.seal((*last).into(), content, &mut out).unwrap();
    end.outgoing.extend(out);
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [.., high, middle, low] = body.len().to_be_bytes();
    [&[kind, high, middle, low], body].concat()
}

fn with_type(content: &[u8], kind: u8) -> Vec<u8> {
    [content, &[kind]].concat()
}

#[test]
fn every_cipher_suite() {
    for suite in [0x1301, 0x1302, 0x1303] {
        let meeting = Meeting::with_suites(&[0x0304], &[suite], None, true);
        for theirs in ALL {
            let (mut client, mut server) = established_in(&meeting, theirs);
            if theirs != Theirs::Server {
                let agreed = server.session().take_agreed().unwrap();
                assert_eq!(agreed.cipher_suite, suite);
                assert!(server.session().take_agreed().is_none());
            }
            talk(&mut client, &mut server, usize::MAX);
        }
    }
}

#[test]
fn new_keys_from_either_end_at_any_cut() {
    for theirs in ALL {
        for piece in (1..60).chain([1000, usize::MAX]) {
            let (mut client, mut server) = established(theirs);
            for request in [true, false, true] {
                client.update_keys(request);
                client.send(b"x");
                carry(&mut client, &mut server, piece).unwrap();
                server.update_keys(request);
                server.update_keys(request);
                carry(&mut server, &mut client, piece).unwrap();
                talk(&mut client, &mut server, piece);
            }
        }
    }
}

#[test]
fn requests_are_answered_once_before_the_next_content() {
    let (mut client, mut server) = established(Theirs::Client);
    (0..3).for_each(|_| client.update_keys(true));
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert!(server.outgoing.is_empty());
    server.send(b"x");
    assert_eq!(server.outgoing.len(), KEY_UPDATE_BYTES + OVERHEAD_BYTES + 1);
    carry(&mut server, &mut client, usize::MAX).unwrap();
    assert_eq!(client.plain, b"x");
    talk(&mut client, &mut server, usize::MAX);
}

#[test]
fn too_many_new_keys_without_content_are_refused() {
    for theirs in ALL {
        let (mut client, mut server) = established(theirs);
        let (from, to) = match theirs {
            Theirs::Server => (&mut server, &mut client),
            _ => (&mut client, &mut server),
        };
        for _ in 0..3 {
            (0..KEY_UPDATES).for_each(|_| from.update_keys(true));
            carry(from, to, 50).unwrap();
            from.send(b"x");
            carry(from, to, 50).unwrap();
        }
        (0..=KEY_UPDATES).for_each(|_| from.update_keys(false));
        let refused = carry(from, to, usize::MAX);
        assert_eq!(refused, Err(PeerMisbehaved::TooManyKeyUpdateRequests.into()));
    }
}

/// The peer of this may be rustls, which must follow.
#[test]
fn keys_are_changed_before_the_cipher_wears_out() {
    for theirs in ALL {
        let (mut client, mut server) = established(theirs);
        let (from, to) = match theirs {
            Theirs::Server => (&mut client, &mut server),
            _ => (&mut server, &mut client),
        };
        assert_eq!(from.session().records().limit, 1 << 24);
        from.session().records().limit = 5;
        for sent in 0..50 {
            from.send(b"x");
            assert!(from.session().records().write.sequence() < 5, "record {sent}");
        }
        carry(from, to, usize::MAX).unwrap();
        assert_eq!(to.plain, [b'x'; 50]);
    }
}

#[test]
fn sequence_numbers_do_not_wrap() {
    let (mut client, mut server) = established(Theirs::Neither);
    for (end, last) in [(&mut client, u64::MAX - 1), (&mut server, u64::MAX - 1)] {
        let records = end.session().records();
        records.limit = u64::MAX;
        records.write.skip_to(last - 1);
        records.read.skip_to(last - 1);
    }
    client.send(b"x");
    carry(&mut client, &mut server, usize::MAX).unwrap();
    // One number is left, and it is for new keys.
    client.send(b"y");
    assert_eq!(client.session().records().write.sequence(), 1);
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.plain, b"xy");
    server.session().records().write.skip_to(u64::MAX);
    let mut out = Buffers::default().small();
    out.tail().push(7);
    assert_eq!(server.session().seal(b"z", &mut out, &mut []), Err(Error::EncryptError));
    assert_eq!(out.filled(), [7]);
}

#[test]
fn padding_is_removed() {
    for theirs in [Theirs::Neither, Theirs::Server] {
        let (mut client, mut server) = established(theirs);
        let whole = |content: usize| {
            let mut inner = with_type(&vec![7; content], 23);
            inner.resize(CONTENT_BYTES + 1, 0);
            inner
        };
        let inners =
            [b"abc\x17\0\0\0".to_vec(), b"a\0\0\x17".to_vec(), b"\x17\0".to_vec(), whole(9), whole(16_384)];
        for inner in &inners {
            seal_inner(&mut client, inner);
        }
        carry(&mut client, &mut server, usize::MAX).unwrap();
        let expected = [b"abca\0\0".as_slice(), &[7; 9], &[7; 16_384]].concat();
        assert_eq!(server.plain, expected);
        talk(&mut client, &mut server, usize::MAX);
    }
}

/// What a client may not send, what it is called, and the alert for it.
fn refused_inners() -> Vec<(Vec<u8>, Error, AlertDescription)> {
    const UNEXPECTED: AlertDescription = AlertDescription::UnexpectedMessage;
    const OVERFLOW: AlertDescription = AlertDescription::RecordOverflow;
    const UNDECODABLE: AlertDescription = AlertDescription::DecodeError;
    let no_client_sends = |got_type| Error::InappropriateHandshakeMessage {
        expect_types: vec![HandshakeType::KeyUpdate],
        got_type,
    };
    let padding_only = || Error::from(PeerMisbehaved::IllegalTlsInnerPlaintext);
    let changed_cipher = PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into();
    let half_alert = InvalidMessage::MissingData("AlertDescription").into();
    let two_alerts = InvalidMessage::TrailingData("AlertMessagePayload").into();
    let new_keys = |body: &[u8]| with_type(&message(24, body), 22);
    let two_updates = with_type(&[KEY_UPDATE, KEY_UPDATE].concat(), 22);
    let no_ticket = with_type(&message(4, &[0; 40]), 22);
    let hello = with_type(&message(1, &[]), 22);
    vec![
        (vec![0], padding_only(), UNEXPECTED),
        (vec![0; 16_385], padding_only(), UNEXPECTED),
        (vec![1; 16_386], Error::PeerSentOversizedRecord, OVERFLOW),
        (vec![23; 16_626], Error::PeerSentOversizedRecord, OVERFLOW),
        (vec![1, 20], changed_cipher, UNEXPECTED),
        (vec![1, 24], inappropriate(ContentType::Heartbeat), UNEXPECTED),
        (vec![1, 255], inappropriate(ContentType::Unknown(255)), UNEXPECTED),
        (vec![21], inappropriate(ContentType::Alert), UNEXPECTED),
        (vec![22], inappropriate(ContentType::Handshake), UNEXPECTED),
        (vec![1, 21], half_alert, UNDECODABLE),
        (vec![1, 0, 0, 21], two_alerts, UNDECODABLE),
        (two_updates, PeerMisbehaved::KeyEpochWithPendingFragment.into(), UNEXPECTED),
        (new_keys(&[2]), InvalidMessage::InvalidKeyUpdate.into(), AlertDescription::IllegalParameter),
        (new_keys(&[]), InvalidMessage::MissingData("KeyUpdateRequest").into(), UNDECODABLE),
        (new_keys(&[0, 0]), InvalidMessage::HandshakePayloadTooLarge.into(), UNDECODABLE),
        (no_ticket, no_client_sends(HandshakeType::NewSessionTicket), UNEXPECTED),
        (hello, no_client_sends(HandshakeType::ClientHello), UNEXPECTED),
    ]
}

#[test]
fn inner_content_that_is_refused() {
    for (inner, error, alert) in refused_inners() {
        let (mut client, mut server) = established(Theirs::Neither);
        client.send(b"before");
        seal_inner(&mut client, &inner);
        client.send(b"behind");
        assert_eq!(carry(&mut client, &mut server, usize::MAX), Err(error));
        assert_eq!(server.plain, b"before");
        // The server is done with, and said why, once.
        assert!(server.receive(b"").is_err());
        server.close();
        assert_eq!(server.outgoing.len(), OVERHEAD_BYTES + 2);
        assert_eq!(carry(&mut server, &mut client, usize::MAX), Err(Error::AlertReceived(alert)));
        assert!(client.outgoing.is_empty(), "an alert is not answered");

        // rustls refuses it too, but for one that the RFC is clear about (§5.4).
        if inner == [22] {
            continue;
        }
        let (mut client, mut server) = established(Theirs::Server);
        seal_inner(&mut client, &inner);
        assert!(carry(&mut client, &mut server, usize::MAX).is_err(), "{inner:?}");
    }
}

#[test]
fn records_that_are_not_sealed_are_refused() {
    for (record, alert) in [
        (&b"\x14\x03\x03\0\x01\x01"[..], AlertDescription::UnexpectedMessage),
        (b"\x15\x03\x03\0\x02\x01\0", AlertDescription::UnexpectedMessage),
        (b"\x16\x03\x03\0\x05\x18\0\0\x01\0", AlertDescription::UnexpectedMessage),
        (b"\x17\x02\x03\0\x01\0", AlertDescription::DecodeError),
        (b"\x17\x03\x03\0\0", AlertDescription::BadRecordMac),
        (b"\x17\x03\x03\0\x0f0123456789abcde", AlertDescription::BadRecordMac),
        (b"\x17\x03\x03\0\x100123456789abcdef", AlertDescription::BadRecordMac),
        (b"\x17\x03\x03\x41\x01", AlertDescription::RecordOverflow),
    ] {
        let (mut client, mut server) = established(Theirs::Neither);
        let mut record = record.to_vec();
        if record[3] != 0 {
            record.resize(5 + SEALED_BYTES + 1, 0);
        }
        assert!(server.receive(&record).is_err(), "{record:?}");
        assert_eq!(carry(&mut server, &mut client, usize::MAX), Err(Error::AlertReceived(alert)));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (mut client, _) = established(Theirs::Neither);
    client.send(b"request");
    let bits = client.outgoing.len() * 8;
    // The lower half of the version is to be ignored (RFC 8446 §5.1).
    for bit in (0..bits).filter(|bit| bit / 8 != 2) {
        let (mut client, mut server) = established(Theirs::Neither);
        client.send(b"request");
        client.outgoing[bit / 8] ^= 1 << (bit % 8);
        // What lies behind makes a longer record whole.
        client.outgoing.resize(70_000, 0);
        assert!(carry(&mut client, &mut server, usize::MAX).is_err(), "bit {bit}");
        assert!(server.plain.is_empty() && !server.outgoing.is_empty(), "bit {bit}");
    }
}

#[test]
fn records_in_another_order_are_refused() {
    for repeat in [true, false] {
        let (mut client, mut server) = established(Theirs::Neither);
        client.send(b"one");
        let first = if repeat { client.outgoing.clone() } else { std::mem::take(&mut client.outgoing) };
        client.send(b"two");
        client.outgoing.extend(first);
        assert_eq!(carry(&mut client, &mut server, usize::MAX), Err(Error::DecryptError));
    }
}

#[test]
fn alerts() {
    // user_canceled says nothing by itself, whatever its level.
    let (mut client, mut server) = established(Theirs::Neither);
    for level in [1, 2, 1, 2] {
        seal_inner(&mut client, &[level, 90, 21]);
    }
    client.send(b"x");
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.plain, b"x");
    seal_inner(&mut client, &[1, 90, 21]);
    let refused = carry(&mut client, &mut server, usize::MAX);
    assert_eq!(refused, Err(PeerMisbehaved::TooManyWarningAlertsReceived.into()));

    for level in [1, 2, 3] {
        let (mut client, mut server) = established(Theirs::Neither);
        seal_inner(&mut client, &[level, 40, 21]);
        let error = Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_eq!(carry(&mut client, &mut server, usize::MAX), Err(error));
        server.close();
        assert!(server.outgoing.is_empty());
    }
}

#[test]
fn each_end_closes_its_own_side() {
    for theirs in ALL {
        let (mut client, mut server) = established(theirs);
        client.send(b"last");
        client.close();
        client.close();
        // Nothing behind it matters.
        client.outgoing.extend([0; 100]);
        carry(&mut client, &mut server, usize::MAX).unwrap();
        assert!(server.closed && server.plain == b"last");
        if theirs != Theirs::Server {
            server.receive(b"\x15\x03\x03\0\x02\x01\0").unwrap();
        }
        server.send(&[3; 20_000]);
        server.close();
        carry(&mut server, &mut client, 999).unwrap();
        assert!(client.closed);
        assert_eq!(client.plain, [3; 20_000]);
        if theirs != Theirs::Client {
            let mut out = Buffers::default().small();
            assert!(client.session().seal(b"more", &mut out, &mut []).is_err());
            assert!(out.is_empty());
        }
    }
}

#[test]
fn a_flood_of_empty_records_is_refused() {
    for theirs in [Theirs::Neither, Theirs::Server] {
        let (mut client, mut server) = established(theirs);
        for _ in 0..2 {
            (0..EMPTY_RECORDS).for_each(|_| seal_inner(&mut client, &[23]));
            client.send(b"x");
        }
        carry(&mut client, &mut server, usize::MAX).unwrap();
        (0..=EMPTY_RECORDS).for_each(|_| seal_inner(&mut client, &[23]));
        let refused = carry(&mut client, &mut server, usize::MAX);
        assert_eq!(refused, Err(PeerMisbehaved::TooManyEmptyFragments.into()));
    }
}

/// A ticket as rustls may get it: lifetime, age, nonce, ticket, no extensions.
fn ticket(size: u16) -> Vec<u8> {
    let [high, low] = size.to_be_bytes();
    let body =
        [&[0, 0, 1, 0, 1, 2, 3, 4, 1, 9, high, low], vec![5; size.into()].as_slice(), &[0, 0]].concat();
    message(4, &body)
}

#[test]
fn messages_share_records_and_go_over_several() {
    let all = [ticket(300), ticket(20), ticket(60_000), KEY_UPDATE.to_vec()].concat();
    for fragment in [3, 100, 1000, 16_384] {
        let (mut client, mut server) = established(Theirs::Neither);
        for piece in all.chunks(fragment) {
            seal_inner(&mut server, &with_type(piece, 22));
        }
        server.session().records().next_write_keys().unwrap();
        server.send(b"x");
        carry(&mut server, &mut client, 5000).unwrap();
        assert_eq!(client.plain, b"x");
        assert_eq!(client.session().records().message.capacity(), 0);
        talk(&mut client, &mut server, usize::MAX);
    }
}

#[test]
fn nothing_comes_between_the_parts_of_a_message() {
    for between in [&[23][..], &[1, 23], &[1, 0, 21], &[1, 90, 21]] {
        let (mut client, mut server) = established(Theirs::Neither);
        seal_inner(&mut server, &with_type(&ticket(20)[..9], 22));
        seal_inner(&mut server, between);
        let refused = carry(&mut server, &mut client, usize::MAX);
        assert_eq!(refused, Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into()));
    }
}

#[test]
fn long_messages_are_refused_at_once() {
    let (mut client, mut server) = established(Theirs::Neither);
    seal_inner(&mut server, &[4, 1, 0, 0, 22]);
    let refused = carry(&mut server, &mut client, usize::MAX);
    assert_eq!(refused, Err(InvalidMessage::HandshakePayloadTooLarge.into()));
    // What is no ticket, is none.
    let (mut client, mut server) = established(Theirs::Neither);
    seal_inner(&mut server, &with_type(&message(4, &[1, 2, 3]), 22));
    assert!(matches!(carry(&mut server, &mut client, usize::MAX), Err(Error::InvalidMessage(_))));
    let alert = Error::AlertReceived(AlertDescription::DecodeError);
    assert_eq!(carry(&mut client, &mut server, usize::MAX), Err(alert));
}

#[test]
fn tickets_that_our_records_carried_resume() {
    for fragment in [None, Some(64)] {
        for theirs in ALL {
            let meeting = Meeting::new(&[0x0304], fragment, true);
            for resumed in [false, true] {
                let (mut client, mut server) = meeting.ends(Theirs::Neither);
                if resumed {
                    shake_hands(&mut client, &mut server, usize::MAX);
                    assert!(server.session().take_agreed().unwrap().resumed, "{theirs:?} {fragment:?}");
                } else {
                    (client, server) = established_in(&meeting, theirs);
                }
                carry(&mut server, &mut client, 7).unwrap();
                talk(&mut client, &mut server, usize::MAX);
            }
        }
    }
}

/// The client may have more to say in the bytes that end the handshake, even new keys.
#[test]
fn records_behind_the_handshake_are_ours() {
    for theirs in ALL {
        let meeting = Meeting::new(&[0x0304], None, true);
        let (mut client, mut server) = meeting.ends(theirs);
        client.receive(b"").unwrap();
        carry(&mut client, &mut server, usize::MAX).unwrap();
        carry(&mut server, &mut client, usize::MAX).unwrap();
        client.update_keys(true);
        client.send(b"request");
        client.update_keys(true);
        client.send(b" and more");
        carry(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(server.plain, b"request and more");
        talk(&mut client, &mut server, usize::MAX);
    }
}

/// What an idle connection keeps, besides two contexts of the cipher and rustls' secrets.
#[test]
fn an_idle_connection_keeps_little() {
    assert!(size_of::<Records>() <= 768, "{} bytes", size_of::<Records>());
}
