//! A request to the admin server: whole, owned, and bounded before anything is made of it.

use std::borrow::Cow;

use crate::control::admin::access::Actor;
use crate::http::head::Method;
use crate::http::head::RequestHead;

pub(in crate::control) struct AdminRequest {
    pub(in crate::control) method: String,
    /// Up to the query, as it came.
    pub(in crate::control) path: String,
    /// As it came.
    pub(in crate::control) query: String,
    parameters: Vec<(String, String)>,
    fields: Vec<(String, String)>,
    pub(in crate::control) content: Vec<u8>,
    /// Who asks.
    pub(in crate::control) actor: Actor,
}

impl AdminRequest {
    /// Without its content, and who asks, yet.
    pub(super) fn new(head: &RequestHead<'_, '_>) -> AdminRequest {
        let target = String::from_utf8_lossy(head.target.path_and_query).into_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let field = |name: &[u8], value: &[u8]| {
            (String::from_utf8_lossy(name).to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned())
        };
        AdminRequest {
            method: String::from_utf8_lossy(head.method.as_bytes()).into_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            parameters: parameters(query),
            fields: head.headers.iter().map(|header| field(header.name, header.value)).collect(),
            content: Vec::new(),
            actor: Actor::unknown(),
        }
    }

    /// Whether nothing is changed by it (RFC 9110 §9.2.1).
    pub(in crate::control) fn is_read(&self) -> bool {
        matches!(Method::from_bytes(self.method.as_bytes()), Method::Get | Method::Head)
    }

    /// All values of a field, joined as a list (RFC 9110 §5.2). `name` is in small letters.
    pub(in crate::control) fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values =
            self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = values.next()?;
        let rest: Vec<&str> = values.collect();
        Some(match rest.as_slice() {
            [] => Cow::Borrowed(first),
            rest => Cow::Owned(format!("{first}, {}", rest.join(", "))),
        })
    }

    /// The last value of a parameter of the query.
    pub(in crate::control) fn parameter(&self, name: &str) -> Option<&str> {
        let mut named = self.parameters.iter().rev().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// What the query says, in its order.
    pub(in crate::control) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// Every parameter by its name.
    pub(in crate::control) fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_str())
    }
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let decoded = |text: &str| percent_decoded(&text.replace('+', " ")).unwrap_or_default();
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// RFC 3986 §2.1. None: it is no text in UTF-8.
pub(in crate::control) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_apart() {
        let parsed = parameters("name=a%2Ab&tag=team=edge&x&&y=1+2");
        let expected = [("name", "a*b"), ("tag", "team=edge"), ("x", ""), ("y", "1 2")];
        assert_eq!(parsed, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_text_is_not_decoded() {
        assert_eq!(percent_decoded("%5B::1%5D:80").as_deref(), Some("[::1]:80"));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }
}
