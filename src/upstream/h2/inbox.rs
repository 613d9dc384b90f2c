//! What came for a stream and its exchange has not taken yet.

use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::buffer::TAILROOM_BYTES;
use crate::proto::field_lines;
use crate::proto::fields::list::Fields;
use crate::proto::fields::message::write_trailers;
use crate::proto::h1::head;
use crate::upstream::error::UpstreamError;
use crate::upstream::h2::WAITING_HEAD_BYTES;

/// Heads are kept as text of HTTP/1.1, content as it came.
#[derive(Default)]
pub(super) struct Inbox {
    /// Interim heads and the final one, in their order.
    heads: Option<Buffer>,
    content: Option<Buffer>,
    /// Lines that may be forwarded.
    trailers: Vec<u8>,
    /// The final head came.
    pub(super) has_begun: bool,
    /// The response is its final head, and ended with it.
    pub(super) is_bodiless: bool,
    /// The whole response came.
    pub(super) has_ended: bool,
    /// Why nothing more comes, though the response did not end.
    pub(super) failure: Option<UpstreamError>,
    /// The backend takes nothing more of the request.
    pub(super) stopped_reading: bool,
}

/// The exchange does not take the heads that come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Inbox {
    /// Keeps a head. Flow control does not count them, so there is a limit to those that wait.
    pub(super) fn put_head(&mut self, head: &ResponseHead<'_, '_>, buffers: &Buffers) -> Result<(), TooMuch> {
        let heads = self.heads.get_or_insert_with(|| buffers.small());
        if heads.len() > WAITING_HEAD_BYTES {
            return Err(TooMuch);
        }
        head::write_status_line(heads.tail(), head.status, b"");
        for field in head.headers.iter().filter(|field| !field.known.is_hop_by_hop()) {
            field_lines::write_marked_field(heads.tail(), field);
        }
        field_lines::write_end(heads.tail());
        self.has_begun |= head.status >= 200;
        Ok(())
    }

    /// The next heads, all that there are.
    pub(super) fn take_heads(&mut self) -> Option<Buffer> {
        self.heads.take()
    }

    /// Keeps content. Who may send how much of it is known to the codec.
    pub(super) fn put_content(&mut self, bytes: &[u8], buffers: &Buffers) {
        let fits = |buffer: &Buffer| bytes.len() + TAILROOM_BYTES <= buffer.spare();
        match self.content.as_mut() {
            Some(content) if fits(content) => content.tail().extend_from_slice(bytes),
            Some(content) => {
                let mut larger = buffers.large();
                larger.tail().extend_from_slice(content.filled());
                larger.tail().extend_from_slice(bytes);
                *content = larger;
            }
            None => {
                let mut small = buffers.small();
                small.clear_for_body();
                let mut content = if fits(&small) { small } else { buffers.large() };
                content.tail().extend_from_slice(bytes);
                self.content = Some(content);
            }
        }
    }

    pub(super) fn has_content(&self) -> bool {
        self.content.is_some()
    }

    /// Takes content, of at most `most` bytes.
    pub(super) fn take_content(&mut self, most: usize, buffers: &Buffers) -> Option<Buffer> {
        let content = self.content.as_mut()?;
        if content.len() <= most {
            return self.content.take();
        }
        let mut piece = buffers.small();
        piece.clear_for_body();
        if most + TAILROOM_BYTES > piece.spare() {
            piece = buffers.large();
        }
        piece.tail().extend_from_slice(content.filled().get(..most).unwrap_or_default());
        content.consume(most);
        Some(piece)
    }

    /// Keeps the trailers that may be forwarded; they end the response.
    pub(super) fn put_trailers(&mut self, fields: &Fields) {
        write_trailers(fields, &mut self.trailers);
        self.has_ended = true;
    }

    pub(super) fn take_trailers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailers)
    }

    /// Nothing more comes, for this reason, unless everything has come.
    pub(super) fn fail(&mut self, error: UpstreamError) {
        self.stopped_reading = true;
        if !self.has_ended {
            self.failure.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Version;
    use crate::http::headers::Headers;
    use crate::net::buffer::LARGE_BYTES;

    fn put_head(inbox: &mut Inbox, status: u16, fields: &[(&str, &str)]) -> Result<(), TooMuch> {
        let mut headers = Headers::of(fields);
        let head = ResponseHead { status, reason: b"", version: Version::Http2, headers: &mut headers };
        inbox.put_head(&head, &Buffers::default())
    }

    #[test]
    fn heads_wait_in_their_order() {
        let mut inbox = Inbox::default();
        put_head(&mut inbox, 103, &[("link", "</a>")]).unwrap();
        assert!(!inbox.has_begun);
        put_head(&mut inbox, 200, &[("te", "trailers"), ("a", "b")]).unwrap();
        assert!(inbox.has_begun);
        let heads = inbox.take_heads().unwrap();
        assert_eq!(
            heads.filled(),
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\na: b\r\n\r\n"
        );
        assert!(inbox.take_heads().is_none());
    }

    #[test]
    fn heads_that_nobody_takes_are_too_much() {
        let mut inbox = Inbox::default();
        let long = "x".repeat(9000);
        let kept = (0..100).take_while(|_| put_head(&mut inbox, 103, &[("link", &long)]).is_ok()).count();
        assert_eq!(kept, 8);
    }

    #[test]
    fn content_of_any_length_is_kept_and_taken_in_pieces() {
        let buffers = Buffers::default();
        for (pieces, most) in [(vec![10], 100), (vec![10, 3000, 3000], 4096), (vec![LARGE_BYTES; 5], 16_384)]
        {
            let mut inbox = Inbox::default();
            for &piece in &pieces {
                inbox.put_content(&vec![b'x'; piece], &buffers);
            }
            let mut taken = 0;
            while let Some(piece) = inbox.take_content(most, &buffers) {
                assert!(piece.len() <= most, "{} of {most}", piece.len());
                taken += piece.len();
            }
            assert_eq!(taken, pieces.iter().sum::<usize>());
        }
    }
}
