//! The head of a response in lines, as HTTP/2 and HTTP/3 have it before they compress it.

use crate::downstream::multiplex::stream_state::Traits;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::Field;
use crate::http::headers::FieldLine;
use crate::http::headers::KnownName;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::proto::field_lines;

/// What of it decides how its content is sent.
#[derive(Clone, Copy, Default)]
pub(in crate::downstream) struct ReplyTraits {
    pub(in crate::downstream) status: u16,
    pub(in crate::downstream) has_content: bool,
    /// Its length was announced.
    pub(in crate::downstream) has_length: bool,
    pub(in crate::downstream) is_tunnel: bool,
}

/// The field lines of a final response, which can be taken back as long as they are not compressed.
pub(in crate::downstream) fn write(
    head: &ResponseHead<'_, '_>,
    facts: &StartFacts<'_>,
    request: &Traits,
    buffers: &Buffers,
) -> (Buffer, ReplyTraits) {
    // "The 200 status code indicates that the tunnel was set up" (RFC 8441 §5).
    let is_tunnel = head.status == 101 && request.wants_tunnel;
    let has_content = is_tunnel || !(request.is_head || matches!(head.status, 204 | 304));
    let mut lines = buffers.small();
    let out = lines.tail();
    let length_passes = !has_content && head.status != 204;
    for field in head.headers.iter() {
        let passes = match field.known {
            KnownName::ContentLength => length_passes,
            _ => true,
        };
        if passes {
            field_lines::write_marked_field(out, &Field { value: facts.value_of(field), ..*field });
        }
    }
    for (name, value) in facts.added {
        field_lines::write_field(out, name, value);
    }
    match facts.length {
        _ if !has_content || is_tunnel || facts.is_only_trailers => {}
        BodyLength::Exact(bytes) => field_lines::write_content_length(out, bytes),
        BodyLength::Empty => field_lines::write_content_length(out, 0),
        BodyLength::Unknown => {}
    }
    let status = if is_tunnel { 200 } else { head.status };
    let has_length = facts.length != BodyLength::Unknown;
    (lines, ReplyTraits { status, has_content, has_length, is_tunnel })
}

/// The fields of a final response, `:status` first. `digits` are its [`digits`], `lines` are of [`write`].
pub(in crate::downstream) fn fields<'l>(
    digits: &'l [u8; 3],
    lines: &'l [u8],
) -> impl Iterator<Item = FieldLine<'l>> {
    std::iter::once(FieldLine::from((&b":status"[..], &digits[..]))).chain(field_lines::field_lines(lines))
}

/// The fields of an interim response, `:status` first.
pub(in crate::downstream) fn interim_fields<'h>(
    digits: &'h [u8; 3],
    head: &'h ResponseHead<'_, '_>,
) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
    let fields = head.headers.iter().filter(|field| field.known != KnownName::ContentLength);
    std::iter::once((&b":status"[..], &digits[..])).chain(fields.map(|field| (field.name, field.value)))
}

/// The three digits of a status.
pub(in crate::downstream) fn digits(status: u16) -> [u8; 3] {
    // 100..=999.
    [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + (digit % 10) as u8)
}
