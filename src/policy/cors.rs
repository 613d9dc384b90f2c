//! Pages of other origins: the CORS protocol (Fetch standard, §3.2), answered in place of the backend.

use crate::http::head::Method;
use crate::http::headers::Field;
use crate::http::headers::Headers;

/// Which origins may read the responses of a rule, and how they may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsPolicy {
    /// Alternatives. [`OriginTest::Any`] stands alone, and never with credentials.
    pub origins: Vec<OriginTest>,
    /// As they are sent: names with commas between them.
    pub methods: String,
    /// Empty: no more than what needs no permission.
    pub headers: String,
    /// Empty: no more than what needs no permission.
    pub exposed: String,
    pub credentials: bool,
    /// Seconds, as they are sent.
    pub max_age: Option<String>,
}

/// What an origin may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginTest {
    /// Every origin, and who names none.
    Any,
    /// `null`: a file, a sandboxed frame, and others that are nobody in particular.
    Opaque,
    Exact(WebOrigin<String>),
    /// Every host below this one, which begins with a dot.
    Below(WebOrigin<String>),
}

/// Scheme, host and port (RFC 6454 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin<T> {
    pub scheme: T,
    pub host: T,
    /// None: the scheme has no default, and none is named.
    pub port: Option<u16>,
}

/// What a request means to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorsQuestion {
    /// None of its concern, or one whose response is given fields.
    Request,
    /// A question whether another request may be made, and whether its origin is allowed.
    Preflight { is_allowed: bool },
}

impl<'t> WebOrigin<&'t str> {
    /// Reads `scheme://host:port`, as it stands in the field Origin. Nothing that is read has characters that end a
    /// line or a list.
    pub fn parse(text: &'t str) -> Option<WebOrigin<&'t str>> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme) {
            return None;
        }
        let (host, port) = match authority.rfind(':') {
            // The colons of an IPv6 address stand in brackets.
            Some(colon) if !authority[colon..].contains(']') => {
                (&authority[..colon], Some(parse_port(&authority[colon + 1..])?))
            }
            _ => (authority, None),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => !address.is_empty() && address.bytes().all(is_address),
            None => !host.is_empty() && host.bytes().all(is_name),
        };
        is_host.then(|| WebOrigin { scheme, host, port: port.or_else(|| default_port(scheme)) })
    }

    /// The same in lower case, to be compared with.
    pub fn to_lower_case(&self) -> WebOrigin<String> {
        let [scheme, host] = [self.scheme, self.host].map(str::to_ascii_lowercase);
        WebOrigin { scheme, host, port: self.port }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}

impl OriginTest {
    fn allows(&self, text: &str, origin: Option<&WebOrigin<&str>>) -> bool {
        let same = |wanted: &WebOrigin<String>, origin: &WebOrigin<&str>| {
            wanted.scheme.eq_ignore_ascii_case(origin.scheme) && wanted.port == origin.port
        };
        match self {
            OriginTest::Any => true,
            OriginTest::Opaque => text == "null",
            OriginTest::Exact(wanted) => origin
                .is_some_and(|origin| same(wanted, origin) && wanted.host.eq_ignore_ascii_case(origin.host)),
            OriginTest::Below(wanted) => origin.is_some_and(|origin| {
                let above = origin.host.len().checked_sub(wanted.host.len()).filter(|label| *label > 0);
                let ending = above.and_then(|above| origin.host.get(above..));
                same(wanted, origin) && ending.is_some_and(|end| end.eq_ignore_ascii_case(&wanted.host))
            }),
        }
    }
}

impl CorsPolicy {
    /// Whether every origin gets the same.
    pub fn is_for_all(&self) -> bool {
        self.origins.contains(&OriginTest::Any)
    }

    /// The origin of a request, if it is allowed. One that names several has none.
    pub fn allowed_origin<'b>(&self, headers: &Headers<'b>) -> Option<&'b [u8]> {
        let mut origins = headers.iter().filter(|field| is(field, b"Origin"));
        let (origin, None) = (origins.next()?.value, origins.next()) else { return None };
        let text = std::str::from_utf8(origin).ok()?;
        let parsed = WebOrigin::parse(text);
        self.origins.iter().any(|test| test.allows(text, parsed.as_ref())).then_some(origin)
    }

    /// Whether a request asks for permission of another: "a CORS-preflight request is a CORS request that checks to see if
    /// the CORS protocol is understood. It uses OPTIONS as method" and has Access-Control-Request-Method.
    pub fn question(&self, method: Method<'_>, headers: &Headers<'_>) -> CorsQuestion {
        let has = |name: &[u8]| headers.iter().any(|field| is(field, name));
        if method != Method::Options || !has(b"Origin") || !has(b"Access-Control-Request-Method") {
            return CorsQuestion::Request;
        }
        CorsQuestion::Preflight { is_allowed: self.allowed_origin(headers).is_some() }
    }

    /// Whether a field is the backend's word where ours counts.
    pub fn withholds(&self, name: &[u8]) -> bool {
        const PREFIX: &[u8] = b"Access-Control-";
        name.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
    }

    /// Calls `write` with each field for a response. `allowed` is the [origin](CorsPolicy::allowed_origin) of the
    /// request, `headers` are the fields that the response has.
    pub fn for_each_added<'f>(
        &'f self,
        allowed: Option<&'f [u8]>,
        headers: &Headers<'_>,
        mut write: impl FnMut(&'f [u8], &'f [u8]),
    ) {
        let allowed = match self.is_for_all() {
            // Also for who names no origin, so that caches may keep one response for all.
            true => Some(&b"*"[..]),
            false => {
                let is_varied = headers.iter().filter(|field| is(field, b"Vary")).any(|field| {
                    let mut names = field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                    names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"Origin"))
                });
                if !is_varied {
                    write(b"Vary", b"Origin");
                }
                allowed
            }
        };
        let Some(allowed) = allowed else { return };
        write(b"Access-Control-Allow-Origin", allowed);
        if self.credentials {
            write(b"Access-Control-Allow-Credentials", b"true");
        }
        if !self.exposed.is_empty() {
            write(b"Access-Control-Expose-Headers", self.exposed.as_bytes());
        }
    }

    /// Calls `write` with each further field of the answer to a preflight that is allowed.
    pub fn for_each_permission<'f>(&'f self, mut write: impl FnMut(&'f [u8], &'f [u8])) {
        write(b"Access-Control-Allow-Methods", self.methods.as_bytes());
        if !self.headers.is_empty() {
            write(b"Access-Control-Allow-Headers", self.headers.as_bytes());
        }
        if let Some(seconds) = &self.max_age {
            write(b"Access-Control-Max-Age", seconds.as_bytes());
        }
    }
}

/// Fields that one response gets at most: those of every response, and those of a preflight.
pub const MAX_CORS_FIELDS: usize = 4 + 3;

fn is(field: &Field<'_>, name: &[u8]) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> WebOrigin<String> {
        WebOrigin::parse(text).unwrap_or_else(|| panic!("{text}")).to_lower_case()
    }

    fn policy(origins: Vec<OriginTest>) -> CorsPolicy {
        CorsPolicy { origins, methods: "GET".to_owned(), ..CorsPolicy::default() }
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        let below = WebOrigin { host: ".example.com".to_owned(), ..origin("https://x.example.com") };
        let policy = policy(vec![
            OriginTest::Exact(origin("https://app.example.com")),
            OriginTest::Exact(origin("http://localhost:3000")),
            OriginTest::Exact(origin("capacitor://localhost")),
            OriginTest::Exact(origin("https://[2001:db8::1]")),
            OriginTest::Below(below),
        ]);
        for (text, expected) in [
            ("https://app.example.com", true),
            ("https://app.example.com:443", true),
            ("HTTPS://APP.Example.com", true),
            ("https://a.b.example.com", true),
            ("http://localhost:3000", true),
            ("capacitor://localhost", true),
            ("https://[2001:DB8::1]", true),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com.evil.net", false),
            ("https://evilexample.com", false),
            ("https://example.com", false),
            ("https://.example.com", false),
            ("https://app.example.com/", false),
            ("https://app.example.com:443 ", false),
            ("https://user@app.example.com", false),
            ("https://app.example.com, https://b.example.com", false),
            ("https://app.example.com:", false),
            ("https://app.example.com:+443", false),
            ("https://evil.net/.example.com", false),
            ("https://evil.net#.example.com", false),
            ("http://localhost", false),
            ("capacitor://localhost:80", false),
            ("null", false),
            ("", false),
            ("*", false),
        ] {
            let headers = Headers::of(&[("Origin", text)]);
            assert_eq!(policy.allowed_origin(&headers).is_some(), expected, "{text}");
        }
        let two =
            Headers::of(&[("origin", "https://app.example.com"), ("Origin", "https://app.example.com")]);
        assert_eq!(policy.allowed_origin(&two), None);
        assert_eq!(policy.allowed_origin(&Headers::of(&[("Origin", "\u{ff0f}://a")])), None);
    }

    #[test]
    fn nobody_in_particular_is_allowed_by_name_only() {
        for (tests, expected) in [
            (vec![OriginTest::Opaque], true),
            (vec![OriginTest::Any], true),
            (vec![OriginTest::Exact(origin("https://null"))], false),
        ] {
            let headers = Headers::of(&[("Origin", "null")]);
            assert_eq!(policy(tests).allowed_origin(&headers).is_some(), expected);
        }
    }

    #[test]
    fn a_preflight_has_all_three_marks() {
        let policy = policy(vec![OriginTest::Exact(origin("https://a.example"))]);
        let asks = ("Access-Control-Request-Method", "PUT");
        for (method, fields, expected) in [
            (
                Method::Options,
                &[("Origin", "https://a.example"), asks][..],
                CorsQuestion::Preflight { is_allowed: true },
            ),
            (
                Method::Options,
                &[("Origin", "https://b.example"), asks],
                CorsQuestion::Preflight { is_allowed: false },
            ),
            (Method::Options, &[("Origin", "https://a.example")], CorsQuestion::Request),
            (Method::Options, &[asks], CorsQuestion::Request),
            (Method::Get, &[("Origin", "https://a.example"), asks], CorsQuestion::Request),
        ] {
            assert_eq!(policy.question(method, &Headers::of(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn answers_vary_by_what_they_depend_on() {
        let one = CorsPolicy {
            credentials: true,
            exposed: "x-total".to_owned(),
            ..policy(vec![OriginTest::Exact(origin("https://a.example"))])
        };
        let all = policy(vec![OriginTest::Any]);
        let allowed = Some(&b"https://a.example"[..]);
        let given = "Access-Control-Allow-Origin: https://a.example; Access-Control-Allow-Credentials: true; \
                     Access-Control-Expose-Headers: x-total; ";
        for (policy, allowed, vary, expected) in [
            (&one, allowed, "Accept", format!("Vary: Origin; {given}")),
            (&one, allowed, "Accept, origin", given.to_owned()),
            (&one, allowed, "*", given.to_owned()),
            (&one, None, "Accept", "Vary: Origin; ".to_owned()),
            (&all, None, "Accept", "Access-Control-Allow-Origin: *; ".to_owned()),
            (&all, allowed, "Accept", "Access-Control-Allow-Origin: *; ".to_owned()),
        ] {
            let mut text = String::new();
            policy.for_each_added(allowed, &Headers::of(&[("Vary", vary)]), |name, value| {
                text += &format!("{}: {}; ", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            });
            assert_eq!(text, expected);
        }
    }
}
