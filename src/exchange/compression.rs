//! A response that is compressed on its way: its head, and its body piece by piece.

use arrayvec::ArrayVec;

use crate::exchange::error::ExchangeError;
use crate::exchange::response_edits::MAX_ADDED;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stream::Reply;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::content_coding::ContentCoding;
use crate::http::content_coding::ContentEncoder;
use crate::http::content_coding::LEAST_ROOM;
use crate::http::content_coding::Operation;
use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::net::buffer::TAILROOM_BYTES;
use crate::policy::compression;
use crate::policy::compression::AcceptedCodings;
use crate::policy::compression::CompressionTerms;
use crate::telemetry::reason::Reason;
use crate::worker::COMPRESSED_PER_TURN;
use crate::worker::Worker;
use crate::worker::counted::CountedEncoder;

/// Content of at most this length is expected to need no large buffer when compressed.
const SHORT_BYTES: u32 = 16 * 1024;

/// A body that is to be compressed. Small and without a destructor, lest the future of every request
/// grow by it.
#[derive(Clone, Copy)]
pub(super) struct Compressed {
    coding: ContentCoding,
    level: u8,
    /// Before it is compressed; saturated.
    length: u32,
}

/// Writes the head of a response, for content that is compressed or for content as it is.
pub(super) fn start(
    head: &mut ResponseHead<'_, '_>,
    facts: &StartFacts<'_>,
    (accepted, compression): (AcceptedCodings, &CompressionTerms),
    reply: &mut impl Reply,
    terms: &ResponseTerms<'_>,
) -> Option<Compressed> {
    let worker = terms.worker;
    let decision = compression::decide(head, facts.length, accepted, compression);
    let compressed = match (decision.coding, facts.length) {
        (Some(coding), BodyLength::Exact(length)) if reply.can_delimit() && worker.has_encoder_left() => {
            let level = compression.level(coding);
            Some(Compressed { coding, level, length: u32::try_from(length).unwrap_or(u32::MAX) })
        }
        _ => None,
    };
    let mut entity_tag = worker.scratch.borrow_mut();
    entity_tag.clear();
    let mut added = ArrayVec::<(&[u8], &[u8]), { MAX_ADDED + 3 }>::new();
    added.extend(facts.added.iter().copied().take(MAX_ADDED));
    if let Some(compressed) = &compressed {
        compression::edit(head.headers, &mut entity_tag);
        added.push((b"Content-Encoding", compressed.coding.name()));
        if !entity_tag.is_empty() {
            added.push((b"ETag", &entity_tag));
        }
    }
    if decision.add_vary {
        added.push((b"Vary", b"Accept-Encoding"));
    }
    let length = if compressed.is_some() { BodyLength::Unknown } else { facts.length };
    terms.start(reply, head, &StartFacts { length, added: &added, ..*facts });
    compressed
}

/// Compresses a response's body piece by piece: holds what was compressed and not yet sent.
pub(super) struct Compressor<'w> {
    encoder: ContentEncoder,
    /// Holds nothing while the backend is waited for.
    piece: Option<Buffer>,
    /// Content that the encoder may still keep to itself.
    unflushed: usize,
    is_short: bool,
    worker: &'w Worker,
    _counted: CountedEncoder<'w>,
}

impl<'w> Compressor<'w> {
    /// To be called in the same turn as [`start`], which found that there may be one more.
    pub(super) fn new(compressed: Compressed, worker: &'w Worker) -> Compressor<'w> {
        Compressor {
            encoder: ContentEncoder::new(compressed.coding, compressed.level, u64::from(compressed.length)),
            piece: None,
            unflushed: 0,
            is_short: compressed.length <= SHORT_BYTES,
            worker,
            _counted: worker.count_encoder(),
        }
    }

    /// Compresses a piece of the body and sends what fills a piece of its own, and with `flush` all that there is:
    /// the backend may be long in saying more.
    pub(super) async fn pass(
        &mut self,
        content: Option<Buffer>,
        flush: bool,
        reply: &mut impl Reply,
    ) -> Result<(), ExchangeError> {
        if let Some(content) = content {
            for slice in content.filled().chunks(COMPRESSED_PER_TURN) {
                self.worker.compressions.acquire(slice.len()).await;
                self.take(slice, reply).await?;
            }
        }
        if flush {
            self.encode(&[], Operation::Flush, reply).await?;
            reply.send(self.piece.take(), None).await?;
        }
        Ok(())
    }

    /// Ends the content after its last piece and returns what is still to be sent.
    pub(super) async fn finish(
        &mut self,
        content: Option<Buffer>,
        reply: &mut impl Reply,
    ) -> Result<Option<Buffer>, ExchangeError> {
        self.pass(content, false, reply).await?;
        self.encode(&[], Operation::Finish, reply).await?;
        Ok(self.piece.take())
    }

    /// Compresses a slice of content. Flushing now and then bounds what brotli keeps and does in one go,
    /// and costs half a per cent of the output.
    async fn take(&mut self, slice: &[u8], reply: &mut impl Reply) -> Result<(), ExchangeError> {
        self.unflushed += slice.len();
        let operation =
            if self.unflushed >= COMPRESSED_PER_TURN { Operation::Flush } else { Operation::Continue };
        self.encode(slice, operation, reply).await
    }

    /// Compresses content and sends what fills a piece.
    async fn encode(
        &mut self,
        content: &[u8],
        operation: Operation,
        reply: &mut impl Reply,
    ) -> Result<(), ExchangeError> {
        let mut rest = content;
        if operation == Operation::Flush && std::mem::take(&mut self.unflushed) == 0 {
            return Ok(());
        }
        loop {
            let mut piece = self.piece.take().unwrap_or_else(|| self.fresh_piece());
            // The end of a chunk must fit behind it.
            let room = piece.spare().saturating_sub(TAILROOM_BYTES);
            if room < LEAST_ROOM {
                reply.send(Some(piece), None).await?;
                continue;
            }
            let progress = self.encoder.encode(rest, operation, piece.tail(), room);
            let progress = progress.map_err(|_| ExchangeError::Refused(Reason::CompressionFailed))?;
            self.piece = Some(piece).filter(|piece| !piece.is_empty());
            rest = rest.get(progress.taken..).unwrap_or_default();
            if progress.done {
                return Ok(());
            }
        }
    }

    fn fresh_piece(&self) -> Buffer {
        if !self.is_short {
            return self.worker.buffers.large();
        }
        let mut piece = self.worker.buffers.small();
        piece.clear_for_body();
        piece
    }
}
