//! The Connection field (RFC 9110 §7.6.1), and what leaves a message at every hop because of it.

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::http::any_case::is_in_any_case;
use crate::http::head::RequestHead;
use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::proto::h1::framing::FramingError;
use crate::proto::h1::framing::trim;

/// What a message's Connection fields say, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Further fields are named, which must go.
    pub nominates: bool,
}

impl ConnectionOptions {
    /// Refuses more options than [`MAX_OPTIONS`], because each is compared with each field.
    pub fn parse(headers: &Headers<'_>) -> Result<ConnectionOptions, FramingError> {
        let mut options = ConnectionOptions::default();
        let mut fields = headers.find_all(KnownName::Connection);
        // What nearly all messages say.
        match (fields.next(), fields.next()) {
            (None, _) => return Ok(options),
            (Some(only), None) if is_in_any_case(only.value, b"keep-alive") => {
                options.keep_alive = true;
                return Ok(options);
            }
            _ => {}
        }
        let mut count = 0;
        for option in each_option(headers) {
            count += 1;
            if count > MAX_OPTIONS {
                return Err(FramingError::TooManyConnectionOptions);
            }
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => options.close = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                // TE goes always, and as a trailer it never passes.
                2 if option.eq_ignore_ascii_case(b"te") => {}
                0 => {}
                _ => options.nominates = true,
            }
        }
        Ok(options)
    }

    /// Whether the sender keeps the connection open after this message (RFC 9112 §9.3).
    pub fn persistent(self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Removes what speaks to this hop only: by name, and what the Connection fields name.
    ///
    /// A field such as Host, Content-Length or X-Forwarded-For cannot be named away: "a sender MUST NOT send a connection option corresponding to a field that is
    /// intended for all recipients of the content" (RFC 9110 §7.6.1), and a client could otherwise
    /// take from a backend what tells it who the client is. Neither can `protected`.
    pub fn remove_hop_by_hop(self, headers: &mut Headers<'_>, protected: Option<KnownName>) {
        if !self.nominates {
            headers.retain(|field| !field.known.is_hop_by_hop());
            return;
        }
        let mut nominated = ArrayVec::<&[u8], MAX_OPTIONS>::new();
        nominated.extend(each_option(headers).take(MAX_OPTIONS));
        headers.retain(|field| {
            let named = || nominated.iter().any(|option| option.eq_ignore_ascii_case(field.name));
            let can_be_named = field.known.can_be_nominated() && protected != Some(field.known);
            !(field.known.is_hop_by_hop() || can_be_named && named())
        });
    }
}

/// The protocols that a request asks to switch to, as it wrote them (RFC 9110 §7.8); `None` when it
/// does not ask, or not validly.
///
/// HTTP/1.0 cannot ask. A list with `h2c` does not count: a tunnel into HTTP/2 would take every later
/// request past the rules (and RFC 9113 §3.1 dropped that upgrade). Of several fields the first counts: whoever passes
/// an upgrade on offers what it wants to.
pub fn requested_upgrade<'b>(head: &RequestHead<'_, 'b>, options: ConnectionOptions) -> Option<&'b [u8]> {
    if !options.upgrade || head.version == Version::Http10 {
        return None;
    }
    let fields = || head.headers.find_all(KnownName::Upgrade).map(|field| field.value);
    let each_protocol = || fields().flat_map(|value| value.split(|&byte| byte == b',').map(trim));
    if each_protocol().any(|protocol| protocol.eq_ignore_ascii_case(b"h2c")) {
        return None;
    }
    fields().find(|protocols| protocols.iter().any(|byte| !matches!(byte, b',' | b' ' | b'\t')))
}

/// How long the sender of a response keeps its connection open while it is idle, less a margin for the way of a request
/// that is sent just before; `None` when it does not say. Keep-Alive and its `timeout`, in seconds, are of RFC 2068
/// §19.7.1.1; later editions name the field only as one that goes at each hop, and servers send it still.
pub fn idle_limit(headers: &Headers<'_>) -> Option<Duration> {
    let value = headers.find(KnownName::KeepAlive)?.value;
    let timeout = value.split(|&byte| byte == b',').map(trim).find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(8)?;
        if !name.eq_ignore_ascii_case(b"timeout=") {
            None
        } else {
            std::str::from_utf8(value).ok()?.parse().ok()
        }
    });
    // A day is as good as for ever.
    let timeout = Duration::from_secs(timeout.map(|seconds: u64| seconds.min(86_400))?);
    Some(timeout.saturating_sub(IDLE_MARGIN).max(timeout / 2))
}

/// Servers count from when they have sent a response, and some close a little early.
const IDLE_MARGIN: Duration = Duration::from_secs(1);

fn each_option<'b>(headers: &Headers<'b>) -> impl Iterator<Item = &'b [u8]> {
    let values = headers.find_all(KnownName::Connection).map(|field| field.value);
    values.flat_map(|value| value.split(|&byte| byte == b',').map(trim))
}

/// Real messages have one to three.
const MAX_OPTIONS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Method;
    use crate::http::head::Target;
    use crate::http::head::TargetForm;

    #[test]
    fn persistence() {
        fn check(values: &[&str], expected: (bool, bool)) {
            let fields: Vec<_> = values.iter().map(|&value| ("Connection", value)).collect();
            let options = ConnectionOptions::parse(&Headers::of(&fields)).unwrap();
            let actual = (options.persistent(Version::Http10), options.persistent(Version::Http11));
            assert_eq!(actual, expected, "{values:?} in HTTP/1.0 and 1.1");
        }
        check(&[], (false, true));
        check(&["keep-alive"], (true, true));
        check(&["Keep-Alive ,x"], (true, true));
        check(&["close"], (false, false));
        check(&["keep-alive", "x,\tCLOSE"], (false, false));
        check(&["closed, close-d"], (false, true));
    }

    #[test]
    fn nominated_fields_go_and_known_ones_stay() {
        let mut headers = Headers::of(&[
            ("Host", "a"),
            ("Connection", "close, X-Hop, Host, content-length"),
            ("Connection", "x-forwarded-for, x_real_ip,,cookie"),
            ("x-hop", "1"),
            ("X-Hops", "1"),
            ("Content-Length", "5"),
            ("X-Forwarded-For", "::1"),
            ("X-Real-IP", "::1"),
            ("Cookie", "c"),
            ("Keep-Alive", "5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "x"),
            ("Proxy-Connection", "close"),
        ]);
        ConnectionOptions::parse(&headers).unwrap().remove_hop_by_hop(&mut headers, None);
        let names: Vec<_> = headers.iter().map(|field| std::str::from_utf8(field.name).unwrap()).collect();
        assert_eq!(names, ["Host", "X-Hops", "Content-Length", "X-Forwarded-For", "X-Real-IP"]);
    }

    #[test]
    fn what_is_protected_cannot_be_named_away() {
        let left = |protected| {
            let mut headers =
                Headers::of(&[("Connection", "x-request-id, x-hop"), ("X-Request-ID", "1"), ("X-Hop", "1")]);
            ConnectionOptions::parse(&headers).unwrap().remove_hop_by_hop(&mut headers, protected);
            headers.iter().map(|field| field.known).collect::<Vec<_>>()
        };
        assert_eq!(left(None), []);
        assert_eq!(left(Some(KnownName::XRequestId)), [KnownName::XRequestId]);
    }

    #[test]
    fn options_are_bounded() {
        let of = |count: usize| {
            let value = ["a"].repeat(count).join(",");
            ConnectionOptions::parse(&Headers::of(&[("Connection", &value)])).map(|_| ())
        };
        assert_eq!(of(MAX_OPTIONS), Ok(()));
        assert_eq!(of(MAX_OPTIONS + 1), Err(FramingError::TooManyConnectionOptions));
    }

    #[test]
    fn announced_timeouts() {
        fn check(value: &str, limit_ms: Option<u64>) {
            let limit = idle_limit(&Headers::of(&[("Keep-Alive", value)]));
            assert_eq!(limit, limit_ms.map(Duration::from_millis), "{value}");
        }
        check("timeout=5", Some(4000));
        check("max=100, Timeout=2", Some(1000));
        check("timeout=1", Some(500));
        check("timeout=0", Some(0));
        check("timeout=18446744073709551615", Some(86_399_000));
        for value in ["", "300", "timeout=", "timeout=x", "timeout=-1", "timeouts=5", "max=100"] {
            check(value, None);
        }
        assert_eq!(idle_limit(&Headers::of(&[("Connection", "keep-alive")])), None);
    }

    #[test]
    fn upgrades() {
        fn check(version: Version, connection: &str, upgrade: &[&str], expected: Option<&str>) {
            let mut fields = vec![("Connection", connection)];
            fields.extend(upgrade.iter().map(|&value| ("Upgrade", value)));
            let mut headers = Headers::of(&fields);
            let options = ConnectionOptions::parse(&headers).unwrap();
            let target = Target { raw: b"/", form: TargetForm::Origin, path_and_query: b"/" };
            let head = RequestHead { method: Method::Get, target, version, headers: &mut headers };
            let expected = expected.map(str::as_bytes);
            assert_eq!(requested_upgrade(&head, options), expected, "{connection} {upgrade:?}");
        }
        check(Version::Http11, "Upgrade", &["websocket"], Some("websocket"));
        check(Version::Http11, "keep-alive, upgrade", &["a/1, b"], Some("a/1, b"));
        check(Version::Http10, "Upgrade", &["websocket"], None);
        check(Version::Http11, "keep-alive", &["websocket"], None);
        check(Version::Http11, "Upgrade", &[], None);
        check(Version::Http11, "Upgrade", &[""], None);
        check(Version::Http11, "Upgrade", &[" ,,"], None);
        check(Version::Http11, "Upgrade", &[",", "a", "b"], Some("a"));
        check(Version::Http11, "Upgrade", &["websocket", "h2c"], None);
        check(Version::Http11, "Upgrade, HTTP2-Settings", &["websocket, H2C"], None);
    }
}
