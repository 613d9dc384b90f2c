//! The fingerprints of clients that come by QUIC, whose ClientHello comes in pieces and without records (RFC 9001 §4.1.3).

use std::cell::RefCell;

use crate::tls::client_hello::First;
use crate::tls::fingerprint::ClientFingerprints;
use crate::tls::fingerprint::HelloCarrier;

thread_local! {
    /// Of the ClientHello that was whole last on this thread. What carries the handshake has no way to tell of it.
    static FINGERPRINTS: RefCell<Option<Box<ClientFingerprints>>> = const { RefCell::new(None) };
}

/// What one client has sent before its ClientHello is whole.
#[derive(Debug)]
pub enum QuicHello {
    /// At most as long as a ClientHello that is looked into, and a piece. Nothing where the first piece is all.
    Begun(Vec<u8>),
    Over,
}

impl Default for QuicHello {
    fn default() -> QuicHello {
        QuicHello::Begun(Vec::new())
    }
}

impl QuicHello {
    /// Looks at the next bytes of the handshake. With the last of the ClientHello, its fingerprints are left for
    /// [`crate::tls::quic::QuicFacts::take_notes`]; of what comes behind it, nothing is looked at.
    pub fn look_at(&mut self, piece: &[u8]) {
        let QuicHello::Begun(begun) = self else { return };
        let first = if begun.is_empty() {
            First::of_message(piece)
        } else {
            begun.extend_from_slice(piece);
            First::of_message(begun)
        };
        match first {
            First::Part if begun.is_empty() => begun.extend_from_slice(piece),
            First::Part => {}
            First::Hello(hello) => {
                let fingerprints = ClientFingerprints::of(&hello, HelloCarrier::Quic);
                FINGERPRINTS.set(fingerprints.map(Box::new));
                *self = QuicHello::Over;
            }
            First::Other => *self = QuicHello::Over,
        }
    }
}

/// Those that were left on this thread.
pub(super) fn take_fingerprints() -> Option<Box<ClientFingerprints>> {
    FINGERPRINTS.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
    }

    /// What Chrome says over QUIC, in one of the orders that it shuffles its extensions into, with a key share of X25519MLKEM768.
    fn chrome() -> Vec<u8> {
        let share = [&[0x11, 0xec, 0x04, 0xc0][..], &[7; 0x4c0]].concat();
        let extensions = [
            extension(0x0033, &[&(share.len() as u16).to_be_bytes()[..], &share].concat()),
            extension(0x4469, b"\x00\x03\x02h3"),
            extension(
                0x000d,
                b"\x00\x12\x04\x03\x08\x04\x04\x01\x05\x03\x08\x05\x05\x01\x08\x06\x06\x01\x02\x01",
            ),
            extension(0x0010, b"\x00\x03\x02h3"),
            extension(0x0000, b"\x00\x0f\x00\x00\x0ctest.example"),
            extension(0x002b, b"\x02\x03\x04"),
            extension(0x000a, b"\x00\x08\x11\xec\x00\x1d\x00\x17\x00\x18"),
            extension(0x0039, b"\x01\x04\x80\x00\x75\x30"),
            extension(0x001b, b"\x02\x00\x02"),
            extension(0x002d, b"\x01\x01"),
        ]
        .concat();
        let hello = [
            &b"\x03\x03"[..],
            &[9; 32],
            b"\x00\x00\x06\x13\x01\x13\x02\x13\x03\x01\x00",
            &(extensions.len() as u16).to_be_bytes(),
            &extensions,
        ]
        .concat();
        [&[1, 0][..], &(hello.len() as u16).to_be_bytes(), &hello].concat()
    }

    #[test]
    fn a_known_browser_is_known_in_any_pieces() {
        let message = chrome();
        let direct = ClientFingerprints::of(&message[4..], HelloCarrier::Tcp).unwrap();
        assert_eq!(direct.ja4, "t13d0310h3_55b375c5d22e_cd85d2d88918");
        for size in [1, 3, 4, 5, 700, 1_200, message.len() - 1, message.len()] {
            let mut hello = QuicHello::default();
            for piece in message.chunks(size) {
                assert!(matches!(hello, QuicHello::Begun(_)), "{size}");
                assert_eq!(take_fingerprints(), None, "{size}");
                hello.look_at(piece);
            }
            let found = take_fingerprints().unwrap();
            // As FoxIO publishes it.
            assert_eq!(found.ja4, "q13d0310h3_55b375c5d22e_cd85d2d88918", "{size}");
            assert_eq!(found.ja3, direct.ja3, "{size}");
            // What comes behind it is not kept, and is no ClientHello.
            for behind in [&b"\x14\x00\x00\x20"[..], &message] {
                hello.look_at(behind);
                assert!(matches!(hello, QuicHello::Over), "{size}");
                assert_eq!(take_fingerprints(), None, "{size}");
            }
        }
        // The finished message may come with it.
        QuicHello::default().look_at(&[&message[..], b"\x14\x00\x00\x20"].concat());
        assert!(take_fingerprints().is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        const LONGEST: usize = 16 * 1024;
        let mut hello = QuicHello::default();
        hello.look_at(&[1, 0, 0x40, 0]);
        for _ in 0..LONGEST - 1 {
            hello.look_at(&[0]);
            let QuicHello::Begun(begun) = &hello else { panic!("it is not whole") };
            assert!(begun.len() <= LONGEST + 3);
        }
        // All zeros can be read: it offers nothing.
        hello.look_at(&[0]);
        assert!(matches!(hello, QuicHello::Over));
        assert_eq!(
            take_fingerprints().map(|found| found.ja4),
            Some("q00i000000_000000000000_000000000000".to_owned())
        );
        for other in [&[1, 0, 0x40, 1][..], &[1, 1, 0, 0], &[2], &[20, 0, 0, 32], &[1, 0, 0, 1, 3]] {
            let mut hello = QuicHello::default();
            hello.look_at(other);
            assert!(matches!(hello, QuicHello::Over), "{other:?}");
            assert_eq!(take_fingerprints(), None, "{other:?}");
        }
    }
}
