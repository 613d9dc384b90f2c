//! The part of gRPC that concerns a proxy between a caller and its server: which requests are calls, and what a
//! status of HTTP means to a caller.

use crate::http::head::Method;
use crate::http::head::RequestHead;

/// Whether a request is a call: "servers [...] Content-Type: "application/grpc" [("+proto" / "+json" /
/// {custom})]" (PROTOCOL-HTTP2). grpc-web begins alike, but is read by other rules.
pub fn is_call(head: &RequestHead<'_, '_>) -> bool {
    head.method == Method::Post && head.headers.iter().any(|field| says_call(field.name, field.value))
}

/// Whether this field makes a call of a POST.
pub fn says_call(name: &[u8], value: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    if name.len() != 12 || !name.eq_ignore_ascii_case(b"content-type") {
        return false;
    }
    let begins = value.get(..TYPE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(TYPE));
    begins && matches!(value.get(TYPE.len()), None | Some(b'+' | b';' | b' '))
}

/// The status code of gRPC for a locally generated response. Callers would make nearly the same of the
/// status of HTTP ("HTTP to gRPC Status Code Mapping"); 504 says more precisely what happened.
pub fn code_of(status: u16) -> &'static str {
    match status {
        // INTERNAL
        400 => "13",
        // UNAUTHENTICATED
        401 => "16",
        // PERMISSION_DENIED
        403 => "7",
        // UNIMPLEMENTED
        404 => "12",
        // UNAVAILABLE
        429 | 502 | 503 => "14",
        // DEADLINE_EXCEEDED
        504 => "4",
        // UNKNOWN
        _ => "2",
    }
}

/// The status code of gRPC for a call that ends within its answer: CANCELLED where its caller was silent for too long,
/// else UNAVAILABLE.
pub fn code_of_end(was_silent: bool) -> &'static str {
    if was_silent { "1" } else { "14" }
}

/// The status code that a call ended with, if this field tells it. One that is no number is none.
pub fn status_of_call(name: &[u8], value: &[u8]) -> Option<u32> {
    if name.len() != 11 || !name.eq_ignore_ascii_case(b"grpc-status") {
        return None;
    }
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

/// The same out of the lines of a trailer section.
pub fn status_in_trailers(lines: &[u8]) -> Option<u32> {
    lines.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = line.split_at(colon);
        status_of_call(name, value.get(1..)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Target;
    use crate::http::head::TargetForm;
    use crate::http::head::Version;
    use crate::http::headers::Headers;

    #[test]
    fn calls_are_known_by_method_and_type() {
        for (method, name, value, expected) in [
            (Method::Post, "content-type", "application/grpc", true),
            (Method::Post, "Content-Type", "Application/gRPC+proto", true),
            (Method::Post, "content-type", "application/grpc;charset=x", true),
            (Method::Post, "content-type", "application/grpc-web", false),
            (Method::Post, "content-type", "application/grp", false),
            (Method::Post, "x-content-typ", "application/grpc", false),
            (Method::Get, "content-type", "application/grpc", false),
        ] {
            let mut headers = Headers::of(&[("host", "a"), (name, value)]);
            let target = Target { raw: b"/", form: TargetForm::Origin, path_and_query: b"/" };
            let head = RequestHead { method, target, version: Version::Http2, headers: &mut headers };
            assert_eq!(is_call(&head), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_status_of_a_call_is_found_in_trailers() {
        for (lines, expected) in [
            ("grpc-status: 0\r\n", Some(0)),
            ("x: 1\r\nGrpc-Status:16\r\ngrpc-message: a:b\r\n", Some(16)),
            ("grpc-status: \r\n", None),
            ("grpc-status: -1\r\n", None),
            ("grpc-statu: 1\r\n:\r\n", None),
            ("", None),
        ] {
            assert_eq!(status_in_trailers(lines.as_bytes()), expected, "{lines:?}");
        }
    }
}
