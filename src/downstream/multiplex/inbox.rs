//! What came of a request's body and was not taken yet.

use std::collections::VecDeque;

use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::buffer::TAILROOM_BYTES;

/// What came of a body and was not yet taken: at most as much as the stream's window allows.
#[derive(Default)]
pub(in crate::downstream) struct Inbox {
    pieces: VecDeque<Buffer>,
    /// Nothing more comes.
    pub(in crate::downstream) ended: bool,
    /// The lines of the trailer section.
    pub(in crate::downstream) trailers: Vec<u8>,
    /// Bytes of content received so far.
    pub(in crate::downstream) received: u64,
}

impl Inbox {
    pub(in crate::downstream) fn new(ended: bool) -> Inbox {
        Inbox { ended, ..Inbox::default() }
    }

    /// Keeps content: behind the last piece, if it fits there, so that many short frames take no more
    /// memory than one long one.
    pub(in crate::downstream) fn push(&mut self, content: &[u8], buffers: &Buffers) {
        self.received += content.len() as u64;
        if let Some(last) = self.pieces.back_mut()
            && content.len() + TAILROOM_BYTES <= last.spare()
        {
            last.tail().extend_from_slice(content);
            return;
        }
        // Whoever sends again and again faster than is read sends much.
        let is_much = self.pieces.len() >= 2;
        let mut piece = if is_much { buffers.large() } else { buffers.for_body(content.len()) };
        piece.tail().extend_from_slice(content);
        self.pieces.push_back(piece);
    }

    pub(in crate::downstream) fn take(&mut self) -> Option<Buffer> {
        self.pieces.pop_front()
    }

    pub(in crate::downstream) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Throws the content away and tells how much it was.
    pub(in crate::downstream) fn empty(&mut self) -> u32 {
        let bytes: usize = self.pieces.drain(..).map(|piece| piece.len()).sum();
        // Windows are no larger.
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}
