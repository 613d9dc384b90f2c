//! Which interim responses reach clients.

/// What becomes of 103 (RFC 8297) and of other interim responses but 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyHints {
    Pass,
    /// Clients of HTTP/2 get them. Over HTTP/1.1 some take the first one for the answer, Python's http.client among
    /// them, and every answer from then on for that to the next request.
    Http2,
    Off,
}

impl EarlyHints {
    /// Whether an interim response with this status is for the client.
    pub fn passes(self, status: u16, is_http2: bool) -> bool {
        match self {
            // A client that expects it knows it, and waits for it.
            _ if status == 100 => true,
            EarlyHints::Pass => true,
            EarlyHints::Http2 => is_http2,
            EarlyHints::Off => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_100_is_for_everybody() {
        for (hints, to_http1, to_http2) in [
            (EarlyHints::Pass, true, true),
            (EarlyHints::Http2, false, true),
            (EarlyHints::Off, false, false),
        ] {
            for status in [102, 103, 104, 199] {
                assert_eq!(hints.passes(status, false), to_http1, "{hints:?} {status}");
                assert_eq!(hints.passes(status, true), to_http2, "{hints:?} {status}");
            }
            assert!(hints.passes(100, false) && hints.passes(100, true));
        }
    }
}
