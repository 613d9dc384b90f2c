//! Whether a connection is alive that says nothing.

use crate::net::timer::TICK;
use crate::upstream::h2::KEEPALIVE_PING_AFTER;
use crate::upstream::h2::MAX_KEEPALIVE_PINGS;
use crate::upstream::h2::state::ConnectionState;

impl ConnectionState {
    /// Asks for a sign of life.
    pub(super) fn ping(&mut self, ticks: u64) {
        self.pinged = Some(ticks);
        self.pings += 1;
        self.has_news = false;
        self.codec.ping(b"rw alive");
    }

    /// The work of each second: a connection that went dead without a word would cost each of its exchanges a
    /// whole timeout. Backends count PINGs that come while they have nothing to say, so there are few.
    pub(super) fn ping_if_silent(&mut self, ticks: u64) {
        if self.streams.is_empty() {
            self.heard_at = ticks;
            return;
        }
        if self.pinged.is_some() {
            self.is_suspect = true;
            return;
        }
        let is_silent =
            TICK * u32::try_from(ticks - self.heard_at).unwrap_or(u32::MAX) >= KEEPALIVE_PING_AFTER;
        let is_wanted = self.pings == 0 || self.has_news && self.pings < MAX_KEEPALIVE_PINGS;
        // What a backend does not read yet, it cannot answer.
        let is_sent = !self.is_sending && self.codec.output_bytes() == 0;
        if is_silent && is_wanted && is_sent && !self.is_over() {
            self.ping(ticks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffers;
    use crate::proto::h2::connection::Connection as Codec;
    use crate::proto::h2::connection::Event;
    use crate::proto::h2::settings::Local;
    use crate::proto::h2::stream::StreamId;
    use std::time::Duration;

    #[test]
    fn a_connection_that_is_silent_is_asked_for_a_sign_of_life_but_not_over_and_over() {
        let mut state = ConnectionState::new(Codec::client(Local::default()), 0);
        state.insert(StreamId::new(1).unwrap());
        state.codec.poll_output(&mut Vec::new());
        let mut asked = Vec::new();
        for second in 0..60 {
            let ticks = (Duration::from_secs(second).as_millis() / TICK.as_millis()) as u64;
            state.ping_if_silent(ticks);
            if state.pinged.is_some() && !state.is_suspect {
                asked.push(second);
                state.codec.poll_output(&mut Vec::new());
                state.handle(Event::Pong(*b"rw alive"), &[], &Buffers::default());
                state.heard_at = ticks;
                // Another stream is opened.
                state.has_news = true;
            }
        }
        assert_eq!(asked, [5, 10]);
    }
}
