//! What an exchange sees of one stream of many.

use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;

/// One exchange on a connection.
pub(in crate::downstream) struct StreamParts<B, R, W> {
    pub(in crate::downstream) body: B,
    pub(in crate::downstream) reply: R,
    pub(in crate::downstream) watch: W,
    pub(in crate::downstream) head_bytes: u32,
}

impl<B: RequestBody, R: Reply, W: ClientWatch> Stream for StreamParts<B, R, W> {
    type Body = B;
    type Reply = R;
    type ClientWatch = W;

    fn parts(&mut self) -> (&mut B, &mut R, &W) {
        (&mut self.body, &mut self.reply, &self.watch)
    }

    fn head_bytes(&self) -> u64 {
        u64::from(self.head_bytes)
    }
}
