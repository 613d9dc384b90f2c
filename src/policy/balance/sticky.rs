//! The cookie with which a client comes back to its backend.
//!
//! Its value is opaque: a keyed tag of the backend, and when it was issued, masked. No client learns
//! addresses or clocks from it, and a worker looks it up without any computing.

/// How far ahead the clock of another node of the fleet may be, in seconds.
const MAX_CLOCK_SKEW: u32 = 60;

/// By what a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StickyMode {
    /// A cookie of Ringway's.
    Insert,
    /// A cookie of the application, whose value Ringway replaces.
    Rewrite,
    /// A cookie of the application, whose values Ringway remembers.
    AppCookie,
    /// The address of the client.
    SourceIp,
}

/// What stands for a backend in cookies. Both parts come from a keyed hash of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendToken {
    pub tag: [u8; 12],
    /// Hides the moment of issue.
    pub mask: u32,
}

impl BackendToken {
    /// The cookie's value; `issued` in seconds of Unix time.
    pub fn token(&self, issued: u32) -> [u8; 32] {
        let mut token = [0; 32];
        let masked = (issued ^ self.mask).to_be_bytes();
        for (digits, byte) in token.chunks_exact_mut(2).zip(self.tag.iter().chain(&masked)) {
            digits.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
        token
    }
}

/// What a client brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub tag: [u8; 12],
    pub masked: u32,
}

impl Token {
    /// Seconds since it was issued; none if it stands for another backend, or if it comes from the future.
    pub fn age(&self, backend: &BackendToken, now: u32) -> Option<u32> {
        let issued = self.masked ^ backend.mask;
        let is_credible = self.tag == backend.tag && issued <= now.saturating_add(MAX_CLOCK_SKEW);
        is_credible.then(|| now.saturating_sub(issued))
    }
}

/// Reads a cookie's value; none unless it has exactly the form that [`BackendToken::token`] gives it.
pub fn parse(value: &[u8]) -> Option<Token> {
    if value.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(value.chunks_exact(2)) {
        let [high, low] = digits else { return None };
        *byte = hex_value(*high)? << 4 | hex_value(*low)?;
    }
    let (tag, masked) = bytes.split_first_chunk()?;
    Some(Token { tag: *tag, masked: u32::from_be_bytes(*masked.first_chunk()?) })
}

/// The tokens of a group.
///
/// Looking one up takes a time that depends on the tag; who learns it this way may choose a backend
/// with it, which is all that a tag is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendTokens {
    by_backend: Vec<BackendToken>,
    /// Sorted.
    by_tag: Vec<([u8; 12], u32)>,
}

impl BackendTokens {
    /// Tokens in the order of their backends' indices.
    pub fn new(tokens: Vec<BackendToken>) -> BackendTokens {
        let mut by_tag: Vec<_> = tokens.iter().map(|token| token.tag).zip(0..).collect();
        by_tag.sort_unstable();
        BackendTokens { by_backend: tokens, by_tag }
    }

    pub fn of(&self, backend: u32) -> Option<&BackendToken> {
        self.by_backend.get(backend as usize)
    }

    /// The backend with this tag.
    pub fn find(&self, tag: &[u8; 12]) -> Option<u32> {
        let at = self.by_tag.partition_point(|(other, _)| other < tag);
        self.by_tag.get(at).filter(|(found, _)| found == tag).map(|&(_, backend)| backend)
    }
}

/// With which requests of other sites browsers send the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// With all, if the cookie is also Secure.
    None,
    /// Only with navigations to the site.
    Lax,
    /// With none.
    Strict,
}

/// What is said of the cookie that Ringway inserts (RFC 6265 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieAttributes {
    /// Begins with a slash.
    pub path: String,
    /// None: the host of the request alone.
    pub domain: Option<String>,
    /// None: what browsers make of it; most say `Lax`.
    pub same_site: Option<SameSite>,
    /// Secure on every connection, as it has to be where TLS ends before Ringway; else on TLS only.
    pub is_always_secure: bool,
}

/// The attributes as they are sent, laid out ahead of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenAttributes {
    in_the_clear: String,
    over_tls: String,
}

impl CookieAttributes {
    /// `timeout` in seconds.
    pub fn write(&self, timeout: u32) -> WrittenAttributes {
        let in_the_clear = self.write_for(timeout, self.is_always_secure);
        WrittenAttributes { in_the_clear, over_tls: self.write_for(timeout, true) }
    }

    fn write_for(&self, timeout: u32, is_secure: bool) -> String {
        let mut text = format!("; Path={}; HttpOnly; Max-Age={timeout}", self.path);
        if let Some(domain) = &self.domain {
            text += "; Domain=";
            text += domain;
        }
        text += match self.same_site {
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            // Browsers refuse it without Secure.
            Some(SameSite::None) if is_secure => "; SameSite=None",
            Some(SameSite::None) | None => "",
        };
        if is_secure { text + "; Secure" } else { text }
    }
}

/// Appends the value of the Set-Cookie field that gives a client its token.
pub fn set_cookie(
    name: &str,
    token: &[u8; 32],
    attributes: &WrittenAttributes,
    is_secure: bool,
    out: &mut Vec<u8>,
) {
    let attributes = if is_secure { &attributes.over_tls } else { &attributes.in_the_clear };
    for part in [name.as_bytes(), b"=", token, attributes.as_bytes()] {
        out.extend_from_slice(part);
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balance::tests::Numbers;

    const TOKEN: BackendToken = BackendToken { tag: *b"\x00\x01\x7f\x80\xff\xa0abcdef", mask: 0xdead_beef };

    #[test]
    fn a_token_leads_back() {
        let mut numbers = Numbers(1);
        for _ in 0..1000 {
            let issued = numbers.next() as u32;
            let token = parse(&TOKEN.token(issued)).unwrap();
            assert_eq!(token.tag, TOKEN.tag);
            assert_eq!(token.age(&TOKEN, issued), Some(0));
            assert_eq!(
                token.age(&TOKEN, issued.saturating_add(9)),
                Some(u32::MAX.saturating_sub(issued).min(9))
            );
        }
        assert_eq!(&TOKEN.token(0x0102_0304)[..], b"00017f80ffa0616263646566dfafbdeb");
    }

    #[test]
    fn tokens_from_the_future_are_refused() {
        let token = parse(&TOKEN.token(1000)).unwrap();
        for (now, age) in [(1000, Some(0)), (940, Some(0)), (939, None), (0, None), (2500, Some(1500))] {
            assert_eq!(token.age(&TOKEN, now), age, "{now}");
        }
        assert_eq!(token.age(&BackendToken { tag: [0; 12], ..TOKEN }, 1000), None);
    }

    #[test]
    fn garbage_is_no_token() {
        let token = TOKEN.token(7);
        assert!(parse(&token).is_some());
        for position in 0..32 {
            for digit in [b'A', b'F', b'g', b' ', b'/', b':', b'`', 0, 0xff] {
                let mut broken = token;
                broken[position] = digit;
                assert_eq!(parse(&broken), None, "{position} {digit}");
            }
        }
        for length in (0..100).filter(|&length| length != 32) {
            assert_eq!(parse(&vec![b'0'; length]), None);
        }
    }

    #[test]
    fn tokens_are_found_by_their_tags() {
        let mut numbers = Numbers(2);
        let token = |number: u64| {
            let mut tag = [0; 12];
            tag[2..10].copy_from_slice(&number.to_be_bytes());
            BackendToken { tag, mask: number as u32 }
        };
        let all: Vec<_> = (0..1000).map(|_| token(numbers.next())).collect();
        let tokens = BackendTokens::new(all.clone());
        for (backend, token) in (0..).zip(&all) {
            assert_eq!(tokens.find(&token.tag), Some(backend));
            assert_eq!(tokens.of(backend), Some(token));
        }
        assert_eq!(tokens.find(&token(numbers.next()).tag), None);
        assert_eq!(tokens.find(&[0xff; 12]), None);
        assert_eq!(tokens.of(1000), None);
        assert_eq!(BackendTokens::default().find(&[0; 12]), None);
    }

    #[test]
    fn the_field_that_sets_it() {
        let attributes = |path: &str, domain: Option<&str>, same_site, is_always_secure| CookieAttributes {
            path: path.to_owned(),
            domain: domain.map(str::to_owned),
            same_site,
            is_always_secure,
        };
        for (attributes, is_secure, expected) in [
            (attributes("/", None, None, false), false, "; Path=/; HttpOnly; Max-Age=1000"),
            (attributes("/", None, None, false), true, "; Path=/; HttpOnly; Max-Age=1000; Secure"),
            (attributes("/", None, None, true), false, "; Path=/; HttpOnly; Max-Age=1000; Secure"),
            (
                attributes("/app", Some("example.com"), Some(SameSite::None), false),
                true,
                "; Path=/app; HttpOnly; Max-Age=1000; Domain=example.com; SameSite=None; Secure",
            ),
            (attributes("/", None, Some(SameSite::None), false), false, "; Path=/; HttpOnly; Max-Age=1000"),
            (
                attributes("/", None, Some(SameSite::Strict), false),
                false,
                "; Path=/; HttpOnly; Max-Age=1000; SameSite=Strict",
            ),
        ] {
            let mut out = Vec::new();
            set_cookie("SERVERID", &[b'0'; 32], &attributes.write(1000), is_secure, &mut out);
            let whole = format!("SERVERID={}{expected}", "0".repeat(32));
            assert_eq!(String::from_utf8(out).unwrap(), whole);
        }
    }
}
