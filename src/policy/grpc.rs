//! What of gRPC concerns whoever stands between a caller and its server: which requests are calls, and what a
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

/// The status code of gRPC for an answer that Ringway makes itself. Callers would make nearly the same of the
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
}
