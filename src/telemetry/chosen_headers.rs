//! Headers and cookies that lines of JSON tell beside their fields.

use std::io::Write;

use crate::http::headers::Headers;
use crate::telemetry::json_text::json_string;
use crate::telemetry::json_text::json_value;
use crate::telemetry::log_values::cookie;
use crate::telemetry::log_values::is_named;

/// Which headers of requests and responses, and which cookies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenHeaders {
    request: Box<[ToldHeader]>,
    cookies: Box<[ToldHeader]>,
    response: Box<[ToldHeader]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ToldHeader {
    /// Of a header in lower case and with underscores.
    name: Box<[u8]>,
    /// What stands before its value, such as `,"http_x_tenant":`.
    key: Box<[u8]>,
}

impl ToldHeader {
    fn new(name: &[u8], prefix: &str) -> ToldHeader {
        let key = [b",\"", prefix.as_bytes(), name, b"\":"].concat();
        ToldHeader { name: name.into(), key: key.into() }
    }

    fn header(name: &str, prefix: &str) -> ToldHeader {
        ToldHeader::new(name.to_ascii_lowercase().replace('-', "_").as_bytes(), prefix)
    }
}

impl ChosenHeaders {
    /// Names are tokens (RFC 9110 §5.6.2), so that none needs escaping.
    pub fn new<'n>(
        request: impl Iterator<Item = &'n str>,
        cookies: impl Iterator<Item = &'n str>,
        response: impl Iterator<Item = &'n str>,
    ) -> ChosenHeaders {
        ChosenHeaders {
            request: request.map(|name| ToldHeader::header(name, "http_")).collect(),
            cookies: cookies.map(|name| ToldHeader::new(name.as_bytes(), "cookie_")).collect(),
            response: response.map(|name| ToldHeader::header(name, "sent_http_")).collect(),
        }
    }

    /// Whether lines tell fields of responses.
    pub(super) fn tells_sent(&self) -> bool {
        !self.response.is_empty()
    }

    /// Writes what is known when a request comes.
    pub(super) fn write_request(&self, headers: Option<&Headers<'_>>, out: &mut Vec<u8>) {
        let fields = || headers.into_iter().flat_map(Headers::iter).map(|field| (field.name, field.value));
        self.request.iter().for_each(|chosen| write_joined(chosen, fields(), out));
        for ToldHeader { name, key } in &self.cookies {
            out.extend_from_slice(key);
            json_string(out, cookie(name, headers));
        }
    }

    /// Writes what is known when the head of a response is sent. `length` is that of its content, where its framing tells
    /// it.
    pub(super) fn write_sent<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        length: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        for chosen in &self.response {
            let is_length = *chosen.name == *b"content_length";
            match length
                .filter(|_| is_length && !fields.clone().any(|(name, _)| is_named(name, &chosen.name)))
            {
                Some(length) => {
                    out.extend_from_slice(&chosen.key);
                    // Writing to a vector cannot fail.
                    let _ = write!(out, "\"{length}\"");
                }
                None => write_joined(chosen, fields.clone(), out),
            }
        }
    }

    /// Ends a line with what [`ChosenHeaders::write_sent`] wrote; nothing without a response.
    pub(super) fn end(&self, sent: &[u8], out: &mut Vec<u8>) {
        match sent {
            b"" => self.write_sent(std::iter::empty(), None, out),
            sent => out.extend_from_slice(sent),
        }
    }
}

/// Several fields of one name are joined by a comma and a space.
fn write_joined<'f>(
    ToldHeader { name, key }: &ToldHeader,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(key);
    out.push(b'"');
    let begin = out.len();
    for (_, value) in fields.filter(|(field, _)| is_named(field, name)) {
        if out.len() > begin {
            out.extend_from_slice(b", ");
        }
        json_value(out, value);
    }
    if out.len() == begin {
        out.push(b'-');
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::Field;

    #[test]
    fn what_is_chosen_is_told_once_and_escaped() {
        let mut headers = Headers::new();
        for (name, value) in [("X-Tenant", "a\"b"), ("x-tenant", "two"), ("Cookie", "a=1; lang=de")] {
            headers.push(Field::new(name.as_bytes(), value.as_bytes())).unwrap();
        }
        let response = ["Server", "Content-Length", "x-none"].into_iter();
        let cookies = ["lang", "b"].into_iter();
        let chosen = ChosenHeaders::new(["x-tenant", "X-None"].into_iter(), cookies, response);
        let mut out = Vec::new();
        chosen.write_request(Some(&headers), &mut out);
        let mut sent = Vec::new();
        chosen.write_sent([(&b"server"[..], &b"one"[..])].into_iter(), Some(5), &mut sent);
        chosen.end(&sent, &mut out);
        let expected = concat!(
            r#","http_x_tenant":"a\"b, two","http_x_none":"-","cookie_lang":"de","cookie_b":"-","#,
            r#""sent_http_server":"one","sent_http_content_length":"5","sent_http_x_none":"-""#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        chosen.write_request(None, &mut out);
        chosen.end(b"", &mut out);
        let line: serde_json::Value =
            serde_json::from_str(&format!("{{\"a\":1{}}}", String::from_utf8(out).unwrap())).unwrap();
        assert_eq!(line.as_object().unwrap().values().filter(|value| *value == "-").count(), 7);
    }
}
