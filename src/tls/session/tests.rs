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
            server.close();
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
    assert!(!server.is_handshaking());
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
            assert_eq!(server.session().seal(&bytes, &mut sealed, &mut []).unwrap(), bytes.len());
        }
    }
}

#[test]
fn a_small_buffer_takes_what_fits() {
    let (_, mut server) = established();
    let mut sealed = Buffers::default().small();
    let count = server.session().seal(&[1; 10_000], &mut sealed, &mut []).unwrap();
    assert!(count > SMALL_BYTES / 2 && sealed.len() <= SMALL_BYTES);
    assert_eq!(server.session().seal(&[1; 10_000], &mut sealed, &mut []).unwrap(), 0);
}

/// A ticket that comes in many small records must not disturb what is sent meanwhile.
#[test]
fn something_is_sent_between_the_pieces_of_a_message() {
    let (mut client, mut server) = ends_with(&[0x0304], Some(64), true);
    client.receive(b"").unwrap();
    while client.is_handshaking() {
        carry(&mut client, &mut server, usize::MAX).unwrap();
        carry(&mut server, &mut client, usize::MAX).unwrap();
    }
    carry(&mut client, &mut server, usize::MAX).unwrap();
    let tickets = std::mem::take(&mut server.outgoing);
    assert!(tickets.len() > 200);
    for piece in tickets.chunks(7) {
        client.receive(piece).unwrap();
        assert!(!client.held, "records are ours by now");
        client.send(b"x");
    }
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.plain.len(), tickets.len().div_ceil(7));
}

/// rustls sees one record more at a time, and each time those that it saw before.
#[test]
fn a_handshake_in_many_small_records() {
    for version in [0x0303, 0x0304] {
        for piece in [1, 7, 100, 1000, usize::MAX] {
            let (mut client, mut server) = ends_with(&[version], Some(64), true);
            client.receive(b"").unwrap();
            let mut was_held = false;
            while client.is_handshaking() || server.is_handshaking() {
                carry(&mut client, &mut server, piece).unwrap();
                for piece in std::mem::take(&mut server.outgoing).chunks(piece) {
                    client.receive(piece).unwrap();
                    was_held |= client.held;
                }
            }
            assert!(was_held || piece > 100);
            client.send(b"request");
            carry(&mut client, &mut server, piece).unwrap();
            server.send(b"response");
            carry(&mut server, &mut client, piece).unwrap();
            assert_eq!((server.plain, client.plain), (b"request".to_vec(), b"response".to_vec()));
        }
    }
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
            client.close();
            assert!(client.receive(b"more").is_err());
        }
    }
    // rustls has no alert for a few of them.
    assert!(failed > 500 && alerts * 10 > failed * 9, "{alerts} alerts for {failed} failures");
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
