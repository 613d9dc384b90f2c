//! Frames that carry neither fields nor content.

use crate::proto::h2::connection::BDP_PING;
use crate::proto::h2::connection::Cause;
use crate::proto::h2::connection::Connection;
use crate::proto::h2::connection::Event;
use crate::proto::h2::connection::SillyWindow;
use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::go_away;
use crate::proto::h2::frame::ping;
use crate::proto::h2::frame::priority;
use crate::proto::h2::frame::rst_stream;
use crate::proto::h2::frame::settings;
use crate::proto::h2::frame::window_update;
use crate::proto::h2::limits::Limit;
use crate::proto::h2::limits::TINY_INCREMENT_BYTES;
use crate::proto::h2::limits::TINY_INCREMENT_COST;
use crate::proto::h2::settings::Acknowledgement;
use crate::proto::h2::settings::Peer;
use crate::proto::h2::stream::StreamId;
use crate::proto::h2::streams::StreamStatus;
use crate::proto::token_bucket::Millis;

type Outcome = Result<Option<Event>, Fault>;

impl Connection {
    pub(super) fn handle_control(&mut self, header: &FrameHeader, payload: &[u8], now: Millis) -> Outcome {
        match header.kind {
            FrameKind::Priority => {
                self.budgets.spend(Limit::Priorities, 1, now)?;
                priority::check(header, payload).map(|()| None)
            }
            FrameKind::RstStream => {
                let (stream, code) = rst_stream::parse(header, payload)?;
                self.handle_reset(stream, code, now)
            }
            FrameKind::Settings if settings::is_acknowledgement(header)? => self.handle_acknowledgement(now),
            FrameKind::Settings => self.handle_settings(payload, now),
            FrameKind::Ping => self.handle_ping(header, payload, now),
            FrameKind::GoAway => {
                let (last, code) = go_away::parse(header, payload)?;
                self.handle_go_away(last, code, now)
            }
            FrameKind::WindowUpdate => {
                let parsed = window_update::parse(header, payload);
                self.handle_window_update(header.stream, parsed.map(|(_, increment)| increment), now)
            }
            // "A server cannot push", and as a client we never allow it (RFC 9113 §8.4).
            FrameKind::PushPromise => Err(Fault::Push),
            _ => {
                self.budgets.spend(Limit::UselessFrames, 1, now)?;
                Ok(None)
            }
        }
    }

    fn handle_reset(&mut self, id: StreamId, code: ErrorCode, now: Millis) -> Outcome {
        match self.status(id) {
            // "If a RST_STREAM frame identifying an idle stream is received, the recipient MUST treat this
            // as a connection error of type PROTOCOL_ERROR" (RFC 9113 §6.4).
            StreamStatus::Idle => Err(Fault::IdleStream),
            StreamStatus::Live(_) => {
                self.spend_reset(id, now)?;
                self.forget(id);
                self.spare_others(now);
                Ok(Some(Event::Reset { stream: id, cause: Cause::Peer(code) }))
            }
            StreamStatus::ResetByUs | StreamStatus::Closed => self.spend_late_frame(now).map(|()| None),
        }
    }

    fn handle_acknowledgement(&mut self, now: Millis) -> Outcome {
        if self.acknowledgement == Acknowledgement::Received {
            self.budgets.spend(Limit::UselessFrames, 1, now)?;
        }
        self.acknowledgement = Acknowledgement::Received;
        Ok(None)
    }

    fn handle_settings(&mut self, payload: &[u8], now: Millis) -> Outcome {
        self.budgets.spend(Limit::Settings, 1, now)?;
        self.has_peer_settings = true;
        for (identifier, value) in settings::pairs(payload) {
            let before = self.peer;
            self.peer.take(self.role, identifier, value)?;
            self.follow(&before)?;
        }
        settings::write_acknowledgement(&mut self.output);
        Ok(Some(Event::Settings))
    }

    /// One setting changed, or none.
    fn follow(&mut self, before: &Peer) -> Result<(), Fault> {
        if self.peer.table_bytes != before.table_bytes {
            self.encoder.set_peer_max_table_bytes(self.peer.table_bytes);
        }
        let (old, new) = (before.initial_window_bytes, self.peer.initial_window_bytes);
        if old != new {
            // "A receiver MUST adjust the size of all stream flow-control windows that it maintains by the
            // difference between the new value and the old value" (RFC 9113 §6.9.2).
            for stream in self.streams.iter_mut() {
                stream.send_window.shift(old, new).map_err(|_| Fault::WindowSettingTooLarge)?;
            }
        }
        Ok(())
    }

    fn handle_ping(&mut self, header: &FrameHeader, payload: &[u8], now: Millis) -> Outcome {
        let (is_answer, opaque) = ping::parse(header, payload)?;
        if !is_answer {
            self.budgets.spend(Limit::Pings, 1, now)?;
            ping::write_acknowledgement(&mut self.output, &opaque);
            return Ok(None);
        }
        self.budgets.spend(Limit::UselessFrames, 1, now)?;
        match opaque {
            BDP_PING => self.adaptive_window.handle_bdp_pong(),
            _ => return Ok(Some(Event::Pong(opaque))),
        }
        Ok(None)
    }

    fn handle_go_away(&mut self, last: Option<StreamId>, code: ErrorCode, now: Millis) -> Outcome {
        self.budgets.spend(Limit::UselessFrames, 1, now)?;
        let number = last.map_or(0, StreamId::number);
        // "Endpoints MUST NOT increase the value they send in the last stream identifier" (RFC 9113 §6.8): a
        // larger one is not believed.
        self.peer_last_stream = self.peer_last_stream.min(number);
        self.streams.remove_own_above(self.peer_last_stream);
        // The connection ends even if the peer would look at every stream.
        self.peer_last_stream = self.peer_last_stream.min(StreamId::LARGEST - 1);
        Ok(Some(Event::GoAway { last, code }))
    }

    fn handle_window_update(
        &mut self,
        stream: Option<StreamId>,
        increment: Result<u32, Fault>,
        now: Millis,
    ) -> Outcome {
        let status = stream.map(|id| self.status(id));
        if status == Some(StreamStatus::Idle) {
            return Err(Fault::IdleStream);
        }
        let increment = increment?;
        // Beside a window that is open, a small step is only small: gRPC takes one for each message.
        let left = match status {
            None => self.send_window.available(),
            Some(StreamStatus::Live(place)) => {
                self.streams.at(place).map_or(0, |stream| stream.send_window.available())
            }
            Some(_) => 0,
        };
        let is_tiny = increment < TINY_INCREMENT_BYTES && left < TINY_INCREMENT_BYTES;
        self.budgets.spend(Limit::WindowUpdates, if is_tiny { TINY_INCREMENT_COST } else { 1 }, now)?;
        let is_awaited = match status {
            None => {
                self.silly_window = SillyWindow::Kept;
                self.send_window.grow(increment).map_err(|_| Fault::WindowOverflow)?;
                self.first_stall.is_some()
            }
            Some(StreamStatus::Live(place)) => {
                let Some(stream) = self.streams.at(place) else {
                    return Ok(None);
                };
                stream.send_window.grow(increment).map_err(|_| Fault::StreamWindowOverflow)?;
                stream.stalled_since().is_some()
            }
            Some(_) => false,
        };
        Ok(is_awaited.then_some(Event::WindowOpened { stream }))
    }
}
