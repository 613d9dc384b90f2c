//! What a client sends on its unidirectional streams (RFC 9114 §6.2, RFC 9204 §4.2).

use crate::proto::h3::connection::Connection;
use crate::proto::h3::connection::Skipped;
use crate::proto::h3::control::ControlReader;
use crate::proto::h3::event::UnidirectionalEvent;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::frame_reader::Partial;
use crate::proto::h3::frame_reader::Received;
use crate::proto::h3::limits::Limit;
use crate::proto::h3::qpack::instructions;
use crate::proto::h3::qpack::instructions::DecoderInstructions;
use crate::proto::h3::varint;
use crate::proto::token_bucket::Millis;

/// Reads a unidirectional stream of the client, whose bytes may be cut anywhere.
///
/// It keeps the beginning of something, and a control frame of at most a KiB.
pub struct UnidirectionalReader {
    kind: StreamKind,
}

enum StreamKind {
    /// Its type has not come.
    Untyped(Partial),
    Control(ControlReader),
    QpackEncoder,
    QpackDecoder(DecoderInstructions),
    Unknown(Skipped),
}

impl UnidirectionalReader {
    /// For a stream of which nothing was read.
    pub fn new() -> UnidirectionalReader {
        UnidirectionalReader { kind: StreamKind::Untyped(Partial::default()) }
    }

    /// Takes bytes from the front of `input` until something happens. To be called again, with what was consumed taken
    /// away, until it gives no event; then everything was consumed.
    ///
    /// # Errors
    /// The connection is over.
    pub fn handle_bytes(
        &mut self,
        input: &[u8],
        connection: &mut Connection,
        now: Millis,
    ) -> Result<Received<UnidirectionalEvent>, Fault> {
        let mut rest = input;
        let event = match &mut self.kind {
            StreamKind::Untyped(partial) => match partial.complete(&mut rest, varint::decode) {
                None => None,
                Some(number) => {
                    self.kind = StreamKind::of(number, connection, now)?;
                    if let StreamKind::Unknown(_) = self.kind {
                        Some(UnidirectionalEvent::UnknownStream)
                    } else {
                        let known = self.handle_bytes(rest, connection, now)?;
                        let consumed = input.len() - rest.len() + known.consumed;
                        return Ok(Received { consumed, event: known.event });
                    }
                }
            },
            StreamKind::Control(control) => return control.handle_bytes(input, connection, now),
            StreamKind::QpackEncoder => {
                for byte in std::mem::take(&mut rest) {
                    instructions::check_of_encoder(*byte)?;
                    connection.spend(Limit::UselessFrames, now)?;
                }
                None
            }
            StreamKind::QpackDecoder(decoder) => {
                for byte in std::mem::take(&mut rest) {
                    if decoder.take(*byte)? {
                        connection.spend(Limit::UselessFrames, now)?;
                    }
                }
                None
            }
            StreamKind::Unknown(skipped) => {
                skipped.take(std::mem::take(&mut rest).len(), connection, now)?;
                None
            }
        };
        Ok(Received { consumed: input.len() - rest.len(), event })
    }

    /// The client has ended the stream, in order or by a reset.
    ///
    /// # Errors
    /// It has to stay open as long as the connection: "If either control stream is closed at any point, this MUST be
    /// treated as a connection error of type H3_CLOSED_CRITICAL_STREAM" (RFC 9114 §6.2.1; RFC 9204 §4.2 for those of QPACK).
    /// The same holds if the client asks us to send no more on ours.
    pub fn handle_end(&self) -> Result<(), Fault> {
        match self.kind {
            // "A receiver MUST tolerate unidirectional streams being closed or reset prior to the reception of the
            // unidirectional stream header" (RFC 9114 §6.2).
            StreamKind::Untyped(_) | StreamKind::Unknown(_) => Ok(()),
            StreamKind::Control(_) | StreamKind::QpackEncoder | StreamKind::QpackDecoder(_) => {
                Err(Fault::CriticalStreamClosed)
            }
        }
    }

    /// The memory it holds beyond itself, in bytes.
    pub fn capacity(&self) -> usize {
        if let StreamKind::Control(control) = &self.kind { control.capacity() } else { 0 }
    }
}

impl Default for UnidirectionalReader {
    fn default() -> UnidirectionalReader {
        UnidirectionalReader::new()
    }
}

impl StreamKind {
    fn of(number: u64, connection: &mut Connection, now: Millis) -> Result<StreamKind, Fault> {
        let opened = &mut connection.opened;
        let (is_open, kind) = match number {
            0x0 => (&mut opened.control, StreamKind::Control(ControlReader::new())),
            0x2 => (&mut opened.qpack_encoder, StreamKind::QpackEncoder),
            0x3 => (&mut opened.qpack_decoder, StreamKind::QpackDecoder(DecoderInstructions::default())),
            // "Only servers can push; if a server receives a client-initiated push stream, this MUST be treated as a
            // connection error of type H3_STREAM_CREATION_ERROR" (RFC 9114 §6.2.2).
            0x1 => return Err(Fault::PushStream),
            _ => {
                connection.spend(Limit::UselessFrames, now)?;
                return Ok(StreamKind::Unknown(Skipped::default()));
            }
        };
        // "Only one control stream per peer is permitted; receipt of a second stream claiming to be a control stream MUST
        // be treated as a connection error of type H3_STREAM_CREATION_ERROR" (RFC 9114 §6.2.1; RFC 9204 §4.2).
        if std::mem::replace(is_open, true) { Err(Fault::SecondStream) } else { Ok(kind) }
    }
}
