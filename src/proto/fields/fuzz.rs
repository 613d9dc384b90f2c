//! What every message that the codecs of HTTP/2 and HTTP/3 give out promises, for fuzzing and tests.

use crate::http::headers::Field;
use crate::proto::fields::message::RequestMessage;

/// What a request says fits on the lines of an HTTP/1.1 head.
pub(in crate::proto) fn check_request(request: &RequestMessage<'_, '_>) {
    let target = request.head.target.path_and_query;
    assert!(!target.is_empty() && target.iter().all(|byte| (0x21..0x7f).contains(byte)));
    assert!(!request.head.method.as_bytes().iter().any(|byte| *byte <= b' '));
    assert!(request.head.headers.iter().any(|field| field.name == b"host"));
    request.head.headers.iter().for_each(check_field);
}

/// A field fits on a line.
pub(in crate::proto) fn check_field(field: &Field<'_>) {
    assert!(!field.name.is_empty() && !field.name.iter().any(|byte| *byte <= b' ' || *byte == b':'));
    assert!(!field.value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
}
