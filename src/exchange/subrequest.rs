//! Requests of Ringway's own that go the way of requests of clients.

use crate::exchange::stream::BodyError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::net::buffer::Buffer;

/// What stands in the place of a client's stream: nothing is received any more, and `reply` takes the response. `watch`
/// tells whether anybody is left for whom it matters.
pub(super) struct Subrequest<'w, R, W> {
    pub(super) body: NothingMore,
    pub(super) reply: R,
    pub(super) watch: &'w W,
}

impl<R: Reply, W: ClientWatch> Stream for Subrequest<'_, R, W> {
    type Body = NothingMore;
    type Reply = R;
    type ClientWatch = W;

    fn parts(&mut self) -> (&mut NothingMore, &mut R, &W) {
        (&mut self.body, &mut self.reply, self.watch)
    }

    fn head_bytes(&self) -> u64 {
        0
    }
}

/// The content of a request of which nothing is still to come.
pub(super) struct NothingMore;

impl RequestBody for NothingMore {
    fn is_finished(&self) -> bool {
        true
    }

    fn at_hand(&mut self) -> Result<Option<Buffer>, BodyError> {
        Ok(None)
    }

    async fn next(&mut self, _bound: BodyTimeout) -> Result<Option<Buffer>, BodyError> {
        Ok(None)
    }

    fn trailers(&self) -> &[u8] {
        b""
    }

    fn become_tunnel(&mut self) {}

    fn received_bytes(&self) -> u64 {
        0
    }
}
