//! Two sessions joined by a wire that cuts and joins.

use super::fuzz::*;
use super::*;
use crate::net::buffer::Buffers;
use crate::net::buffer::SMALL_BYTES;
use crate::net::buffer::TAILROOM_BYTES;

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
            server.session.close(&mut server.outgoing, &mut []);
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
            assert_eq!(server.session.seal(&bytes, &mut sealed, &mut []).unwrap(), bytes.len());
        }
    }
}

#[test]
fn a_small_buffer_takes_what_fits() {
    let (_, mut server) = established();
    let mut sealed = Buffers::default().small();
    let count = server.session.seal(&[1; 10_000], &mut sealed, &mut []).unwrap();
    assert!(count > SMALL_BYTES / 2 && sealed.len() <= SMALL_BYTES);
    assert_eq!(server.session.seal(&[1; 10_000], &mut sealed, &mut []).unwrap(), 0);
}

/// A ticket that comes in many small records must not disturb what is sent meanwhile.
#[test]
fn a_message_in_pieces_is_shown_whenever_something_is_sent() {
    let (mut client, mut server) = ends_with(&[0x0304], Some(64), true);
    client.receive(b"").unwrap();
    while client.session.is_handshaking() {
        carry(&mut client, &mut server, usize::MAX).unwrap();
        carry(&mut server, &mut client, usize::MAX).unwrap();
    }
    carry(&mut client, &mut server, usize::MAX).unwrap();
    let tickets = std::mem::take(&mut server.outgoing);
    assert!(tickets.len() > 200);
    let mut was_held = false;
    for piece in tickets.chunks(7) {
        client.receive(piece).unwrap();
        was_held |= client.held;
        client.send(b"x");
    }
    assert!(was_held);
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.plain.len(), tickets.len().div_ceil(7));
}

#[test]
fn a_damaged_handshake_message_ends_with_an_alert() {
    let (mut failed, mut alerts) = (0, 0);
    for flipped in 0.. {
        let (mut client, mut server) = ends_with(&[0x0304], None, true);
        client.receive(b"").unwrap();
        carry(&mut client, &mut server, usize::MAX).unwrap();
        let Some(byte) = server.outgoing.get_mut(flipped) else { break };
        *byte ^= 0x40;
        // What the client cannot make sense of yet, it waits for.
        if carry(&mut server, &mut client, usize::MAX).is_err() {
            failed += 1;
            alerts += usize::from(!client.outgoing.is_empty());
            client.session.close(&mut client.outgoing, &mut []);
            assert!(client.receive(b"more").is_err());
        }
    }
    // rustls has no alert for a few of them.
    assert!(failed > 500 && alerts * 10 > failed * 9, "{alerts} alerts for {failed} failures");
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

/// The fuzz target, over bytes that a generator makes.
#[test]
fn arbitrary_orders_break_nothing() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..400 {
        let bytes: Vec<u8> = (0..60)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .collect();
        fuzz::fuzz_records(&bytes);
    }
}
