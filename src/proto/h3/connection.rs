//! What the streams of a connection have in common: settings, budgets, and the fields that were decoded last.
//!
//! There is no I/O here, and no list of streams. Whoever owns the connection reads each stream with a reader of its own,
//! [`RequestReader`] or [`UnidirectionalReader`], and lends it this.
//!
//! [`RequestReader`]: crate::proto::h3::request::RequestReader
//! [`UnidirectionalReader`]: crate::proto::h3::unidirectional::UnidirectionalReader

use crate::http::head::PartialHead;
use crate::http::head::Version;
use crate::http::headers::FieldLine;
use crate::http::headers::Headers;
use crate::http::headers::MAX_FIELDS;
use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::fields::message;
use crate::proto::fields::message::CheckedMessage;
use crate::proto::fields::message::RequestMessage;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::frame;
use crate::proto::h3::limits;
use crate::proto::h3::limits::Budgets;
use crate::proto::h3::limits::Limit;
use crate::proto::h3::limits::MIN_SECTION_BYTES;
use crate::proto::h3::limits::SKIPPED_BYTES_PER_TOKEN;
use crate::proto::h3::qpack::decoder;
use crate::proto::h3::qpack::decoder::DecodedSection;
use crate::proto::h3::qpack::encoder::SectionEncoder;
use crate::proto::h3::settings::Local;
use crate::proto::h3::settings::Peer;
use crate::proto::h3::varint;
use crate::proto::token_bucket::Millis;

/// A server's side of a connection.
///
/// A [`Fault`] of a reader ends its stream or the connection, as [`Fault::scope`] says; the reader is of no use afterwards.
/// The moments that are handed in come from one clock.
pub struct Connection {
    local: Local,
    /// None: its SETTINGS have not come.
    peer: Option<Peer>,
    pub(super) opened: OpenedStreams,
    /// The identifier of the client's last GOAWAY.
    last_go_away: Option<u64>,
    /// Of the client's last MAX_PUSH_ID. We never push, so it is only looked at.
    max_push_id: Option<u64>,
    /// The stream of our last GOAWAY.
    sent_go_away: Option<u64>,
    budgets: Budgets,
    /// The fields of the last field section.
    fields: Fields,
    /// Bytes of the last field section, as it came.
    section_bytes: u64,
    /// The cookies of the last request, their crumbs joined.
    cookies: Vec<u8>,
    /// A name in lower case, while it is written.
    lower: Vec<u8>,
}

/// The streams that a client has at most one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenedStreams {
    pub(super) control: bool,
    pub(super) qpack_encoder: bool,
    pub(super) qpack_decoder: bool,
}

/// The largest number of a stream that a client can open: a GOAWAY with it announces the end and refuses nothing (RFC 9114
/// §5.2).
pub const LAST_REQUEST_STREAM: u64 = varint::MAX - 3;

impl Connection {
    /// A connection on which nothing has come yet.
    pub fn new(local: Local) -> Connection {
        // As many as fit into the list that requests are put into.
        let local = Local { max_headers: local.max_headers.min(MAX_FIELDS), ..local };
        Connection {
            local,
            peer: None,
            opened: OpenedStreams::default(),
            last_go_away: None,
            max_push_id: None,
            sent_go_away: None,
            budgets: limits::budgets(local.resets),
            fields: Fields::new(),
            section_bytes: 0,
            cookies: Vec::new(),
            lower: Vec::new(),
        }
    }

    /// What the client's SETTINGS say; None: they have not come. Nothing has to wait for them (RFC 9114 §7.2.4.2).
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The request whose head came last, until another field section is read.
    pub fn request<'h, 'b>(&'b self, headers: &'h mut Headers<'b>) -> RequestMessage<'h, 'b> {
        message::request(&self.fields, &self.cookies, headers, Version::Http3)
    }

    /// What the last field section says of a request, whether it is one or not.
    pub fn partial_head(&self) -> PartialHead<'_> {
        message::partial_head(&self.fields, Version::Http3)
    }

    /// The fields of the last section, as far as they are within the limits: trailers, where such came.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The length of the last field section as it came, in bytes.
    pub fn section_bytes(&self) -> u64 {
        self.section_bytes
    }

    /// Begins our control stream: its type, and SETTINGS (RFC 9114 §6.2.1). It is the only stream that we open, for
    /// without dynamic tables there is nothing to say on those of QPACK (RFC 9204 §4.2).
    pub fn write_control_stream(&self, out: &mut Vec<u8>) {
        varint::encode(out, 0x0);
        self.local.write(out);
    }

    /// Appends GOAWAY: requests from this stream on are not looked at (RFC 9114 §5.2). An orderly end begins with
    /// [`LAST_REQUEST_STREAM`]. The number never grows.
    pub fn write_go_away(&mut self, out: &mut Vec<u8>, stream: u64) {
        let stream = self.sent_go_away.map_or(stream, |before| before.min(stream));
        self.sent_go_away = Some(stream);
        frame::write_go_away(out, stream);
    }

    /// Whether a request on this stream is looked at, after GOAWAY. If not, H3_REQUEST_REJECTED tells the client that it
    /// may try again (RFC 9114 §4.1.1).
    pub fn admits(&self, stream: u64) -> bool {
        self.sent_go_away.is_none_or(|first_refused| stream < first_refused)
    }

    /// Appends HEADERS with a head, `:status` first, or with trailers. The end of the stream is told by QUIC.
    pub fn write_headers<'f>(
        &mut self,
        out: &mut Vec<u8>,
        fields: impl IntoIterator<Item = impl Into<FieldLine<'f>>>,
    ) {
        let start = frame::begin_headers(out);
        let mut section = SectionEncoder::begin(out, &mut self.lower);
        for FieldLine { name, value, is_sensitive } in fields.into_iter().map(Into::into) {
            if is_sensitive {
                section.never_indexed(name, value);
            } else {
                section.field(name, value);
            }
        }
        frame::finish_headers(out, start);
    }

    /// A request ended before its response was complete, whoever ended it. Not for one that was refused unread because of
    /// GOAWAY.
    ///
    /// # Errors
    /// The client does so too often: the connection is over.
    pub fn note_early_end(&mut self, now: Millis) -> Result<(), Fault> {
        Ok(self.budgets.spend(Limit::Resets, 1, now)?)
    }

    /// A response was sent to its end.
    pub fn note_complete_response(&mut self) {
        self.budgets.earn(Limit::Resets, 1);
    }

    /// Whether little is left of what the client may end early: it is to be asked to reconnect, while the requests in
    /// flight can still be answered.
    pub fn is_short_of_resets(&self) -> bool {
        self.budgets.is_short_of_resets()
    }

    /// The memory it holds beyond itself, in bytes.
    pub fn capacity(&self) -> usize {
        self.fields.capacity() + self.cookies.capacity() + self.lower.capacity()
    }

    /// Gives back the memory that an idle connection does not need. It goes on as before.
    pub fn release_memory(&mut self) {
        self.fields.release();
        self.cookies = Vec::new();
        self.lower = Vec::new();
    }

    /// Bytes of a field section that are kept until it is complete.
    pub(super) fn max_section_bytes(&self) -> usize {
        self.local.max_header_bytes.max(MIN_SECTION_BYTES)
    }

    /// Decodes a whole section of this length, or the beginning of one that is too long.
    pub(super) fn decode_section(&mut self, section: &[u8], length: u64) -> Result<DecodedSection, Fault> {
        self.section_bytes = length;
        let limits =
            FieldLimits { max_bytes: self.local.max_header_bytes, max_fields: self.local.max_headers };
        let is_whole = section.len() as u64 == length;
        let decoded = if is_whole {
            decoder::decode(section, &limits, &mut self.fields)
        } else {
            decoder::decode_beginning(section, &limits, &mut self.fields)
        };
        decoded.map_err(|_| Fault::Qpack)
    }

    pub(super) fn check_request(&mut self) -> Result<CheckedMessage, Fault> {
        let connect_protocol = self.local.connect_protocol;
        Ok(message::check_request(&self.fields, connect_protocol, &mut self.cookies)?)
    }

    pub(super) fn check_trailers(&self) -> Result<(), Fault> {
        Ok(message::check_trailers(&self.fields)?)
    }

    pub(super) fn has_settings(&self) -> bool {
        self.peer.is_some()
    }

    pub(super) fn take_settings(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.peer = Some(Peer::decode(payload)?);
        Ok(())
    }

    /// "An endpoint MAY send multiple GOAWAY frames indicating different identifiers, but the identifier in each frame MUST
    /// NOT be greater than the identifier in any previous frame" (RFC 9114 §5.2).
    pub(super) fn take_go_away(&mut self, push: u64) -> Result<(), Fault> {
        if self.last_go_away.is_some_and(|before| push > before) {
            return Err(Fault::Id);
        }
        self.last_go_away = Some(push);
        Ok(())
    }

    /// "A MAX_PUSH_ID frame cannot reduce the maximum push ID" (RFC 9114 §7.2.7).
    pub(super) fn take_max_push_id(&mut self, push: u64) -> Result<(), Fault> {
        if self.max_push_id.is_some_and(|before| push < before) {
            return Err(Fault::Id);
        }
        self.max_push_id = Some(push);
        Ok(())
    }

    pub(super) fn spend(&mut self, limit: Limit, now: Millis) -> Result<(), Fault> {
        Ok(self.budgets.spend(limit, 1, now)?)
    }
}

/// Bytes that are passed over, and cost something.
#[derive(Clone, Copy, Default)]
pub(super) struct Skipped {
    bytes: u32,
}

impl Skipped {
    pub(super) fn take(
        &mut self,
        bytes: usize,
        connection: &mut Connection,
        now: Millis,
    ) -> Result<(), Fault> {
        let bytes = u64::from(self.bytes) + bytes as u64;
        let tokens = u32::try_from(bytes / u64::from(SKIPPED_BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
        self.bytes = (bytes % u64::from(SKIPPED_BYTES_PER_TOKEN)) as u32;
        Ok(connection.budgets.spend(Limit::UselessFrames, tokens, now)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h3::event::RequestEvent;
    use crate::proto::h3::request::RequestReader;
    use crate::proto::token_bucket::Resets;

    fn connection() -> Connection {
        let resets = Resets { burst: 4, per_second: 1 };
        Connection::new(Local { resets, connect_protocol: true, ..Local::default() })
    }

    /// What is written is read, and so are its marks.
    #[test]
    fn sections_go_both_ways() {
        let (mut connection, mut out) = (connection(), Vec::new());
        let secret = FieldLine { name: b"X-Secret", value: b"7", is_sensitive: true };
        let head =
            [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/a?b")];
        let head = head.iter().chain(&[(":authority", "a.example"), ("User-Agent", "x y")]);
        let head = head.map(|(name, value)| FieldLine::from((name.as_bytes(), value.as_bytes())));
        connection.write_headers(&mut out, head.chain([secret]));
        let mut reader = RequestReader::new();
        let received = reader.handle_bytes(&out, &mut connection, 0).unwrap();
        assert_eq!((received.consumed, received.event), (out.len(), Some(RequestEvent::Head)));
        assert_eq!(connection.section_bytes(), out.len() as u64 - 3);
        let mut headers = Headers::new();
        let request = connection.request(&mut headers);
        assert_eq!((request.head.target.raw, request.scheme), (&b"/a?b"[..], &b"https"[..]));
        assert_eq!(request.protocol, Some(&b"websocket"[..]));
        let fields = request.head.headers.iter().map(|field| (field.name, field.value, field.is_sensitive));
        let expected: [(&[u8], &[u8], bool); 3] =
            [(b"host", b"a.example", false), (b"user-agent", b"x y", false), (b"x-secret", b"7", true)];
        assert!(fields.eq(expected));
    }

    #[test]
    fn a_client_that_gives_requests_up_is_asked_to_leave_and_then_made_to() {
        let mut connection = connection();
        for _ in 0..2 {
            assert_eq!(connection.note_early_end(0), Ok(()));
            assert!(!connection.is_short_of_resets());
        }
        assert_eq!(connection.note_early_end(0), Ok(()));
        assert!(connection.is_short_of_resets());
        connection.note_complete_response();
        assert!(!connection.is_short_of_resets());
        assert_eq!((connection.note_early_end(0), connection.note_early_end(0)), (Ok(()), Ok(())));
        assert_eq!(connection.note_early_end(999), Err(Fault::Limit(Limit::Resets)));
        assert_eq!(connection.note_early_end(1_000), Ok(()));
    }

    #[test]
    fn an_idle_connection_is_small() {
        let mut connection = connection();
        let mut out = Vec::new();
        connection.write_headers(&mut out, [(&b"A"[..], &b"b"[..])]);
        assert!(RequestReader::new().handle_bytes(&out, &mut connection, 0).is_err());
        assert!(connection.capacity() > 0);
        connection.release_memory();
        assert_eq!(connection.capacity(), 0);
        assert!(size_of::<Connection>() <= 400, "{}", size_of::<Connection>());
    }

    #[test]
    fn skipped_bytes_cost_something_however_they_are_cut() {
        for piece in [1, 1_000, 100_000] {
            let (mut connection, mut skipped) = (connection(), Skipped::default());
            let pieces = (1..).map(|number| number * piece);
            let most = pieces.take_while(|_| skipped.take(piece, &mut connection, 0).is_ok()).last();
            let tokens = most.unwrap() / SKIPPED_BYTES_PER_TOKEN as usize;
            assert!((390..=400).contains(&tokens), "{piece}: {tokens}");
        }
    }
}
