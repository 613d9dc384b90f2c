//! Signatures of requests to the ELB API: SDK-HMAC-SHA256, as Huawei Cloud's SDKs make them.
//!
//! Both sides bring a request into one canonical text, and the signature is an HMAC of its digest. There is no nonce, so a
//! request can be repeated for as long as its date is good: who could listen must not be on the way.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::digest::SHA256;
use aws_lc_rs::digest::digest;
use aws_lc_rs::hmac;

use crate::control::elb::utc_time;
use crate::policy::hexadecimal;

/// What the value of Authorization begins with.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// How far the clocks of a client and of this host may be apart, in seconds.
const MAX_SKEW: u64 = 15 * 60;

/// Fields that a request may have signed: the SDK signs five, and what a script adds.
const MAX_SIGNED: usize = 64;

/// What is signed of a request.
pub struct SignedRequest<'r> {
    pub method: &'r str,
    /// As it came, without the query.
    pub path: &'r str,
    /// As it came.
    pub query: &'r str,
    /// The value of a field, whose name is in small letters.
    pub field: &'r dyn Fn(&str) -> Option<Cow<'r, str>>,
    pub content: &'r [u8],
}

/// What a client says of its signature.
#[derive(Debug, PartialEq, Eq)]
pub struct SignatureClaim<'a> {
    /// Whose key it is made with.
    pub access_key: &'a str,
    /// Names of fields in small letters, with semicolons between them.
    signed_fields: &'a str,
    signature: &'a str,
}

/// Why a signature is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    Missing,
    Algorithm,
    Form,
    Unsigned,
    Date,
    Skew,
    ContentDigest,
    Mismatch,
}

impl SignatureFault {
    /// What is wrong and what helps, for the client.
    pub fn words(self) -> &'static str {
        match self {
            SignatureFault::Missing => {
                "the request is not signed: sign it with an access key, SDK-HMAC-SHA256"
            }
            SignatureFault::Algorithm => "only signatures of SDK-HMAC-SHA256 are taken here",
            SignatureFault::Form => {
                "Authorization must be SDK-HMAC-SHA256 Access=…, SignedHeaders=…, Signature=… with 64 hexadecimal digits"
            }
            SignatureFault::Unsigned => "host and x-sdk-date must be among the signed headers",
            SignatureFault::Date => "X-Sdk-Date must be the time in UTC, as in 20260101T120000Z",
            SignatureFault::Skew => "X-Sdk-Date is more than 15 minutes off: correct the clock of the client",
            SignatureFault::ContentDigest => {
                "X-Sdk-Content-Sha256 is not taken here: the content itself is signed"
            }
            SignatureFault::Mismatch => "verify the signature: access key, secret key and what was signed",
        }
    }
}

impl<'a> SignatureClaim<'a> {
    /// Reads the value of Authorization.
    ///
    /// # Errors
    /// It is of another algorithm, or lacks something.
    pub fn parse(authorization: &'a str) -> Result<SignatureClaim<'a>, SignatureFault> {
        let (algorithm, rest) = authorization.split_once(' ').ok_or(SignatureFault::Form)?;
        if algorithm != ALGORITHM {
            return Err(SignatureFault::Algorithm);
        }
        let mut claim = SignatureClaim { access_key: "", signed_fields: "", signature: "" };
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(SignatureFault::Form)?;
            match name {
                "Access" => claim.access_key = value,
                "SignedHeaders" => claim.signed_fields = value,
                "Signature" => claim.signature = value,
                _ => return Err(SignatureFault::Form),
            }
        }
        let is_whole = !claim.access_key.is_empty() && claim.signature.len() == 64;
        if is_whole { Ok(claim) } else { Err(SignatureFault::Form) }
    }

    /// Looks at everything that needs no secret. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// The signature cannot be good, whatever the secret is.
    pub fn check_terms(&self, request: &SignedRequest<'_>, now: u64) -> Result<(), SignatureFault> {
        let signed = || self.signed_fields.split(';');
        let has = |name: &str| signed().any(|one| one == name);
        if !has("host") || !has("x-sdk-date") || signed().count() > MAX_SIGNED {
            return Err(SignatureFault::Unsigned);
        }
        if (request.field)("x-sdk-content-sha256").is_some() {
            return Err(SignatureFault::ContentDigest);
        }
        let date = (request.field)("x-sdk-date").ok_or(SignatureFault::Date)?;
        let date = utc_time::from_compact(&date).ok_or(SignatureFault::Date)?;
        if date.abs_diff(now) > MAX_SKEW { Err(SignatureFault::Skew) } else { Ok(()) }
    }

    /// Whether the owner of this secret has made the signature, in a time that tells nothing of how much of it is right.
    ///
    /// # Errors
    /// Somebody else has, or the request was changed on its way.
    pub fn verify(&self, request: &SignedRequest<'_>, secret: &str) -> Result<(), SignatureFault> {
        let date = (request.field)("x-sdk-date").ok_or(SignatureFault::Date)?;
        let canonical = self.canonical(request)?;
        let to_sign =
            format!("{ALGORITHM}\n{date}\n{}", hexadecimal::of_bytes(digest(&SHA256, canonical.as_bytes())));
        let signature = hexadecimal::to_bytes(self.signature).ok_or(SignatureFault::Form)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, to_sign.as_bytes(), &signature).map_err(|_| SignatureFault::Mismatch)
    }

    fn canonical(&self, request: &SignedRequest<'_>) -> Result<String, SignatureFault> {
        let mut text = format!("{}\n{}\n{}\n", request.method, path(request.path), query(request.query));
        for name in self.signed_fields.split(';') {
            let value = (request.field)(name).ok_or(SignatureFault::Mismatch)?;
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{name}:{}", value.trim());
        }
        let content = hexadecimal::of_bytes(digest(&SHA256, request.content));
        let _ = write!(text, "\n{}\n{content}", self.signed_fields);
        Ok(text)
    }
}

/// Each piece of the path encoded in one way, with a slash at the end.
fn path(path: &str) -> String {
    let mut canonical = String::with_capacity(path.len() + 1);
    for (index, piece) in decoded(path).split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            canonical.push('/');
        }
        encode(piece, &mut canonical);
    }
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// Parameters by their names. Those of one name stay in the order in which they came: the SDK sorts numbers as numbers.
fn query(query: &str) -> String {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
        .collect();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut canonical = String::with_capacity(query.len());
    for (name, value) in pairs {
        if !canonical.is_empty() {
            canonical.push('&');
        }
        encode(&name, &mut canonical);
        canonical.push('=');
        encode(&value, &mut canonical);
    }
    canonical
}

/// RFC 3986 §2.1. What is no triplet stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let triplet = (*byte == b'%').then(|| digit(at + 1).zip(digit(at + 2))).flatten();
        let value = triplet.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        decoded.push(value.unwrap_or(*byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    decoded
}

/// All but unreserved characters (RFC 3986 §2.3) as triplets.
fn encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte as char),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "secret/of+the=example";

    /// 2026-11-30T22:17:52Z.
    const NOW: u64 = 1_796_077_072;

    /// Requests that the official SDK has signed (huaweicloudsdkcore 3.1.219): method, target, content, type, other fields,
    /// signature.
    const SIGNED: [(&str, &str, &str, &str, &str, &str); 3] = [
        (
            "GET",
            "elb/listeners?limit=2&name=a%20b&name=%C3%BC%2F%2B%26%3D%2A~&protocol_port=443&protocol_port=80&protocol_port=8080",
            "",
            "application/json",
            "x-note;",
            "84eb1617fc7f685642a1e776fc878c716d06e1bc026cb52dcd140fbe82bafedc",
        ),
        (
            "POST",
            "elb/pools",
            "{\"pool\": {\"lb_algorithm\": \"ROUND_ROBIN\", \"name\": \"gr\\u00f6\\u00dfe\", \"protocol\": \"HTTP\"}}",
            "application/json;charset=utf-8",
            "",
            "cb145eb651704978b3f5cf70550a2512438e6114bbfc5aeb42e8c19a3bfca0b1",
        ),
        (
            "DELETE",
            "elb/pools/a%20b%2Fc/members/x~y",
            "",
            "application/json",
            "",
            "656a90f696ed8063b94b819c59563d03200fce9e587f9e78d9dd2612a8d67c72",
        ),
    ];

    /// What a test changes of a request of [`SIGNED`].
    struct Changed {
        secret: &'static str,
        host: &'static str,
        now: u64,
        method: Option<&'static str>,
        target: Option<&'static str>,
        content: Option<&'static str>,
        digest: Option<&'static str>,
    }

    const UNCHANGED: Changed = Changed {
        secret: SECRET,
        host: "127.0.0.1:9180",
        now: NOW,
        method: None,
        target: None,
        content: None,
        digest: None,
    };

    fn verified(index: usize, changed: &Changed) -> Result<(), SignatureFault> {
        let (method, target, content, content_type, more, signature) = SIGNED[index];
        let target = format!("/v3/0123456789abcdef0123456789abcdef/{}", changed.target.unwrap_or(target));
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let fields = [
            ("content-type", content_type),
            ("host", changed.host),
            ("user-agent", "huaweicloud-usdk-python/3.0; sdk-test/1.0 (unit)"),
            ("x-note", " two  words "),
            ("x-project-id", "0123456789abcdef0123456789abcdef"),
            ("x-sdk-date", "20261130T221752Z"),
            ("x-sdk-content-sha256", changed.digest.unwrap_or_default()),
        ];
        let field = |name: &str| {
            let found = fields.iter().find(|(known, value)| *known == name && !value.is_empty());
            found.map(|(_, value)| Cow::Borrowed(*value))
        };
        let request = SignedRequest {
            method: changed.method.unwrap_or(method),
            path,
            query,
            field: &field,
            content: changed.content.unwrap_or(content).as_bytes(),
        };
        let authorization = format!(
            "SDK-HMAC-SHA256 Access=AKEXAMPLE, \
             SignedHeaders=content-type;host;user-agent;{more}x-project-id;x-sdk-date, Signature={signature}"
        );
        let claim = SignatureClaim::parse(&authorization)?;
        assert_eq!(claim.access_key, "AKEXAMPLE");
        claim.check_terms(&request, changed.now)?;
        claim.verify(&request, changed.secret)
    }

    #[test]
    fn what_the_official_sdk_signs_is_verified() {
        for (index, (_, target, ..)) in SIGNED.iter().enumerate() {
            assert_eq!(verified(index, &UNCHANGED), Ok(()), "{target}");
        }
    }

    #[test]
    fn whatever_is_changed_breaks_the_signature() {
        let mismatch = Err(SignatureFault::Mismatch);
        for changed in [
            Changed { secret: "secret/of+the=exampl", ..UNCHANGED },
            Changed { host: "127.0.0.1:9181", ..UNCHANGED },
            Changed { method: Some("PUT"), ..UNCHANGED },
            Changed { target: Some("elb/pools/a%20b%2Fc/members/x~z"), ..UNCHANGED },
            Changed { target: Some("elb/listeners?limit=3"), ..UNCHANGED },
            Changed { content: Some("{}"), ..UNCHANGED },
        ] {
            for index in 0..SIGNED.len() {
                assert_eq!(verified(index, &changed), mismatch);
            }
        }
        // The order of values of one name is part of it, and that of the names is not.
        let turned = |target| verified(0, &Changed { target: Some(target), ..UNCHANGED });
        assert_eq!(
            turned(
                "elb/listeners?protocol_port=443&protocol_port=80&protocol_port=8080&name=a%20b&\
                 name=%c3%bc%2F%2B%26%3D%2A~&limit=2"
            ),
            Ok(())
        );
        assert_eq!(
            turned(
                "elb/listeners?limit=2&name=a%20b&name=%C3%BC%2F%2B%26%3D%2A~&protocol_port=80&protocol_port=443&\
                 protocol_port=8080"
            ),
            mismatch
        );
    }

    #[test]
    fn dates_hold_for_a_quarter_of_an_hour_and_content_is_always_signed() {
        let at = |now| verified(1, &Changed { now, ..UNCHANGED });
        assert_eq!((at(NOW + 900), at(NOW - 900)), (Ok(()), Ok(())));
        assert_eq!((at(NOW + 901), at(NOW - 901)), (Err(SignatureFault::Skew), Err(SignatureFault::Skew)));
        let digest = Some("UNSIGNED-PAYLOAD");
        assert_eq!(verified(1, &Changed { digest, ..UNCHANGED }), Err(SignatureFault::ContentDigest));
    }

    #[test]
    fn claims_of_another_form_are_refused() {
        let signature = "0".repeat(64);
        let of = |text: &str| SignatureClaim::parse(text).map(|_| ()).unwrap_err();
        for algorithm in ["SDK-HMAC-SM3", "SDK-ECDSA-P256-SHA256", "V11-HMAC-SHA256", "Bearer"] {
            let text = format!("{algorithm} Access=a, SignedHeaders=host;x-sdk-date, Signature={signature}");
            assert_eq!(of(&text), SignatureFault::Algorithm);
        }
        for rest in
            ["", "Access=a", "Access=a, SignedHeaders=host, Signature=00", "a, b", "Access=a, Other=b"]
        {
            assert_eq!(of(&format!("SDK-HMAC-SHA256 {rest}")), SignatureFault::Form, "{rest}");
        }
        let field = |_: &str| Some(Cow::Borrowed("20261130T221752Z"));
        let request = SignedRequest { method: "GET", path: "/", query: "", field: &field, content: b"" };
        for signed in ["host", "x-sdk-date", "", "hosts;x-sdk-date"] {
            let text = format!("SDK-HMAC-SHA256 Access=a, SignedHeaders={signed}, Signature={signature}");
            let claim = SignatureClaim::parse(&text).unwrap();
            assert_eq!(claim.check_terms(&request, NOW), Err(SignatureFault::Unsigned), "{signed}");
        }
        assert_eq!(path("/a b/c%2fd"), "/a%20b/c/d/");
        assert_eq!(query("b=1&a&b=0&%zz=%4"), "%25zz=%254&a=&b=1&b=0");
    }
}
