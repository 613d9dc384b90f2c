//! Content that came and was not taken yet: who may send more of it.

use crate::downstream::h2::shared::Shared;
use crate::downstream::multiplex::stream_state::StreamState;
use crate::proto::h2::flow::DEFAULT_WINDOW;
use crate::proto::h2::stream::StreamId;

/// What the windows of a connection's streams may grow by in all. So a request whose backend does not read holds no
/// more than 64 KiB, unless few others have content on its way.
const GROWTH_BYTES: u32 = 1 << 20;

/// Content that has come does not count against the window of the connection, or requests whose backends do not read
/// would keep the others from sending. Only beyond this much of it does it count: with more requests than the default
/// of `http2_max_concurrent_streams`, nobody may fill the memory.
const MAX_HELD_BYTES: usize = 8 << 20;

impl Shared {
    /// Keeps content of a stream, or throws it away where nobody will take it.
    pub(super) fn keep_content(&self, stream: StreamId, content: &[u8], end: bool) {
        // Windows are no larger.
        let bytes = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let Some(state) = self.find(stream) else {
            return self.codec.borrow_mut().release(stream, bytes);
        };
        let mut inbox = state.inbox.borrow_mut();
        if !content.is_empty() {
            inbox.push(content, &self.worker.buffers);
            let held = self.held_bytes.get() + content.len();
            self.held_bytes.set(held);
            if held <= MAX_HELD_BYTES {
                self.codec.borrow_mut().release_connection(bytes);
            } else {
                self.unreleased.set(self.unreleased.get() + bytes);
            }
        }
        inbox.ended |= end;
        drop(inbox);
        state.wake();
    }

    /// So much content of a stream was taken, or nobody will take it: the client may send as much again.
    pub(super) fn release_content(&self, state: &StreamState, bytes: u32) {
        self.held_bytes.set(self.held_bytes.get().saturating_sub(bytes as usize));
        let mut codec = self.codec.borrow_mut();
        let unreleased = self.unreleased.get();
        if unreleased > 0 {
            let released = unreleased.min(bytes);
            self.unreleased.set(unreleased - released);
            codec.release_connection(released);
        }
        let growth = state.growth.get();
        let most = DEFAULT_WINDOW + growth + GROWTH_BYTES.saturating_sub(self.growth.get());
        if let Some(window) = codec.release_stream(state.id, bytes, most) {
            let more = window.saturating_sub(DEFAULT_WINDOW + growth);
            state.growth.set(growth + more);
            self.growth.set(self.growth.get() + more);
        }
    }

    /// The work for a stream has ended; what it did not take, nobody will.
    pub(super) fn release_rest(&self, state: &StreamState) {
        let rest = state.inbox.borrow_mut().empty();
        self.release_content(state, rest);
        self.growth.set(self.growth.get().saturating_sub(state.growth.take()));
    }
}
