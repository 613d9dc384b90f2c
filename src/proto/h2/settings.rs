//! What each side asks of the other (RFC 9113 §6.5).

use crate::proto::h2::fault::Fault;
use crate::proto::h2::flow::DEFAULT_WINDOW;
use crate::proto::h2::flow::LARGEST_WINDOW;
use crate::proto::h2::frame::DEFAULT_MAX_FRAME_BYTES;
use crate::proto::h2::frame::LARGEST_FRAME_BYTES;
use crate::proto::h2::frame::settings as frame;
use crate::proto::h2::hpack::DEFAULT_TABLE_BYTES;
use crate::proto::h2::limits::SETTINGS_MS;
use crate::proto::token_bucket::Millis;
use crate::proto::token_bucket::Resets;

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    Server,
    Client,
}

/// What we ask of the peer, and limits that it learns only by passing them.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// Streams that the peer may have open at a time.
    pub max_concurrent_streams: u32,
    /// The window of a new stream, in bytes; at least [`DEFAULT_WINDOW`], so that it never shrinks.
    pub stream_window_bytes: u32,
    /// The most DATA of the connection that may be received and not yet released. A stream's window
    /// grows to half of it at most, so that one slow reader leaves room for the others.
    pub connection_window_bytes: u32,
    /// Bytes of a head or of trailers: names and values with 32 bytes for each field.
    pub max_header_bytes: usize,
    pub max_headers: usize,
    /// What a client may end early; servers only.
    pub resets: Resets,
    /// Extended CONNECT (RFC 8441) is welcome; servers only.
    pub connect_protocol: bool,
    /// For how long a stream may wait for a window without getting much; `None` for ever.
    pub stall_timeout_ms: Option<Millis>,
}

impl Default for Local {
    fn default() -> Local {
        Local {
            max_concurrent_streams: 100,
            stream_window_bytes: DEFAULT_WINDOW,
            connection_window_bytes: 1 << 20,
            max_header_bytes: 16_384,
            max_headers: 100,
            resets: Resets { burst: 100, per_second: 20 },
            connect_protocol: false,
            stall_timeout_ms: Some(30_000),
        }
    }
}

impl Local {
    /// The same within what the protocol and this codec can do.
    pub(super) fn in_bounds(self) -> Local {
        let stream_window_bytes = self.stream_window_bytes.clamp(DEFAULT_WINDOW, LARGEST_WINDOW);
        let least = stream_window_bytes.saturating_mul(2).min(LARGEST_WINDOW);
        let connection_window_bytes = self.connection_window_bytes.clamp(least, LARGEST_WINDOW);
        Local { stream_window_bytes, connection_window_bytes, ..self }
    }

    pub(super) fn write(&self, role: PeerRole, out: &mut Vec<u8>) {
        let list_bytes = u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX);
        let window = (frame::INITIAL_WINDOW_SIZE, self.stream_window_bytes);
        let list = (frame::MAX_HEADER_LIST_SIZE, list_bytes);
        let streams = (frame::MAX_CONCURRENT_STREAMS, self.max_concurrent_streams);
        let unprioritized = (frame::NO_RFC7540_PRIORITIES, 1);
        match role {
            PeerRole::Client => frame::write(out, &[(frame::ENABLE_PUSH, 0), window, list]),
            PeerRole::Server if self.connect_protocol => {
                let connect = (frame::ENABLE_CONNECT_PROTOCOL, 1);
                frame::write(out, &[streams, window, list, connect, unprioritized]);
            }
            PeerRole::Server => frame::write(out, &[streams, window, list, unprioritized]),
        }
    }
}

/// Whether the peer knows our settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// Our settings wait to be sent, or the clock was not yet seen.
    Unsent,
    /// "If the sender of a SETTINGS frame does not receive an acknowledgement within a reasonable amount of
    /// time, it MAY issue a connection error of type SETTINGS_TIMEOUT."
    DueAt(Millis),
    Received,
}

impl Acknowledgement {
    pub(super) fn expect(&mut self, now: Millis) {
        if *self == Acknowledgement::Unsent {
            *self = Acknowledgement::DueAt(now + SETTINGS_MS);
        }
    }

    pub(super) fn deadline(self) -> Option<Millis> {
        if let Acknowledgement::DueAt(due) = self { Some(due) } else { None }
    }
}

/// What the peer asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The size of the table that our encoder may use.
    pub table_bytes: u32,
    /// Streams that we may have open at a time.
    pub max_concurrent_streams: u32,
    /// The window of streams that begin.
    pub initial_window_bytes: u32,
    pub max_frame_bytes: u32,
    /// What the peer is willing to take of a head; advice only.
    pub max_header_bytes: u32,
    /// Extended CONNECT may be sent.
    pub connect_protocol: bool,
}

impl Default for Peer {
    fn default() -> Peer {
        Peer {
            table_bytes: u32::from(DEFAULT_TABLE_BYTES),
            max_concurrent_streams: u32::MAX,
            initial_window_bytes: DEFAULT_WINDOW,
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            max_header_bytes: u32::MAX,
            connect_protocol: false,
        }
    }
}

impl Peer {
    /// Takes over one setting of a peer of ours, who has the other role.
    pub(super) fn take(&mut self, own_role: PeerRole, identifier: u16, value: u32) -> Result<(), Fault> {
        match identifier {
            frame::HEADER_TABLE_SIZE => self.table_bytes = value,
            // "A client MUST treat receipt of a SETTINGS frame with SETTINGS_ENABLE_PUSH set to 1 as a
            // connection error of type PROTOCOL_ERROR" (RFC 9113 §6.5.2).
            frame::ENABLE_PUSH if value > 1 || (value == 1 && own_role == PeerRole::Client) => {
                return Err(Fault::BadSetting);
            }
            frame::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
            frame::INITIAL_WINDOW_SIZE if value > LARGEST_WINDOW => return Err(Fault::WindowSettingTooLarge),
            frame::INITIAL_WINDOW_SIZE => self.initial_window_bytes = value,
            frame::MAX_FRAME_SIZE => {
                if !(DEFAULT_MAX_FRAME_BYTES..=LARGEST_FRAME_BYTES).contains(&value) {
                    return Err(Fault::BadSetting);
                }
                self.max_frame_bytes = value;
            }
            frame::MAX_HEADER_LIST_SIZE => self.max_header_bytes = value,
            // "A sender MUST NOT send a SETTINGS_ENABLE_CONNECT_PROTOCOL parameter with the value of 0 after
            // previously sending a value of 1" (RFC 8441 §3).
            frame::ENABLE_CONNECT_PROTOCOL => {
                if value > 1 || (value == 0 && self.connect_protocol) {
                    return Err(Fault::BadSetting);
                }
                self.connect_protocol = value == 1;
            }
            // "An endpoint that receives a SETTINGS frame with any unknown or unsupported identifier MUST
            // ignore that setting" (RFC 9113 §6.5.2).
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_bounds() {
        let check = |role, identifier, value, expected| {
            assert_eq!(Peer::default().take(role, identifier, value), expected, "{identifier} {value}");
        };
        for role in [PeerRole::Server, PeerRole::Client] {
            check(role, frame::ENABLE_PUSH, 0, Ok(()));
            check(role, frame::ENABLE_PUSH, 2, Err(Fault::BadSetting));
            check(role, frame::INITIAL_WINDOW_SIZE, LARGEST_WINDOW, Ok(()));
            check(role, frame::INITIAL_WINDOW_SIZE, 1 << 31, Err(Fault::WindowSettingTooLarge));
            check(role, frame::MAX_FRAME_SIZE, 16_383, Err(Fault::BadSetting));
            check(role, frame::MAX_FRAME_SIZE, 16_384, Ok(()));
            check(role, frame::MAX_FRAME_SIZE, (1 << 24) - 1, Ok(()));
            check(role, frame::MAX_FRAME_SIZE, 1 << 24, Err(Fault::BadSetting));
            check(role, frame::ENABLE_CONNECT_PROTOCOL, 2, Err(Fault::BadSetting));
            check(role, 0xfafa, u32::MAX, Ok(()));
        }
        check(PeerRole::Server, frame::ENABLE_PUSH, 1, Ok(()));
        check(PeerRole::Client, frame::ENABLE_PUSH, 1, Err(Fault::BadSetting));
        let mut peer = Peer { connect_protocol: true, ..Peer::default() };
        assert_eq!(peer.take(PeerRole::Client, frame::ENABLE_CONNECT_PROTOCOL, 0), Err(Fault::BadSetting));
    }

    #[test]
    fn windows_are_never_smaller_than_the_standard_says() {
        let local = Local { stream_window_bytes: 1, connection_window_bytes: 1, ..Local::default() };
        let local = local.in_bounds();
        assert_eq!((local.stream_window_bytes, local.connection_window_bytes), (65_535, 131_070));
    }
}
