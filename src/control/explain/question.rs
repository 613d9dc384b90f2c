//! A request or a connection that nobody made, to be explained.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use serde::Deserialize;
use serde::Serialize;

/// What is asked: as much of a request as rules can see. Of a connection that is relayed there are `source`, `listener`,
/// `sni` and `alpn`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Question {
    /// Empty: it is no request.
    pub method: String,
    /// `https`, otherwise `http`.
    pub is_https: bool,
    /// Host, with its port if the URL names one.
    pub authority: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// The TCP peer.
    pub source: IpAddr,
    /// The listener by name; None: the one that such a URL leads to.
    pub listener: Option<String>,
    /// The name that the TLS handshake asks for; None: the host.
    pub sni: Option<String>,
    /// The protocols that the TLS handshake of a connection offers.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// What a backend answers.
    #[serde(default = "usual_status")]
    pub status: u16,
    /// Fields of its response.
    #[serde(default)]
    pub response_headers: Vec<(String, String)>,
}

fn usual_status() -> u16 {
    200
}

/// The most bytes of a question's URL and headers together.
pub const MAX_QUESTION_BYTES: usize = 32 << 10;

impl Question {
    /// A question about this URL.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn new(method: &str, url: &str) -> Result<Question, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("a URL begins with http:// or https://, as in https://example.com/")?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            other => {
                return Err(format!("the scheme \"{}\" is neither http nor https", other.escape_debug()));
            }
        };
        let (authority, target) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
        if authority.is_empty() || authority.contains('@') {
            return Err("the URL has no host, or a user in front of it".to_owned());
        }
        let target = if target.starts_with('?') { format!("/{target}") } else { target.to_owned() };
        let target = target.split('#').next().unwrap_or_default().to_owned();
        let is_clean = |text: &str| text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        if !is_clean(authority) || !is_clean(&target) || method.is_empty() || !is_clean(method) {
            return Err(
                "method and URL have no spaces and no control characters: write them as %XX".to_owned()
            );
        }
        Ok(Question {
            method: method.to_owned(),
            is_https,
            authority: authority.to_owned(),
            target,
            headers: Vec::new(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            listener: None,
            sni: None,
            alpn: Vec::new(),
            status: usual_status(),
            response_headers: Vec::new(),
        })
    }

    /// A question about a connection, or about datagrams, at the listener with this name.
    pub fn of_connection(listener: &str) -> Question {
        Question {
            method: String::new(),
            is_https: false,
            authority: String::new(),
            target: String::new(),
            headers: Vec::new(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            listener: Some(listener.to_owned()),
            sni: None,
            alpn: Vec::new(),
            status: usual_status(),
            response_headers: Vec::new(),
        }
    }

    pub fn is_of_connection(&self) -> bool {
        self.method.is_empty()
    }

    /// What the handshake offers as it stands there: each protocol behind a byte with its length (RFC 7301 §3.1).
    ///
    /// # Errors
    /// A sentence about a name that is empty or has more than 255 bytes.
    pub fn alpn_on_the_wire(&self) -> Result<Vec<u8>, String> {
        let mut wire = Vec::new();
        for name in &self.alpn {
            let length = u8::try_from(name.len()).ok().filter(|length| *length > 0);
            let length = length.ok_or("a protocol of alpn has 1 to 255 bytes")?;
            wire.push(length);
            wire.extend_from_slice(name.as_bytes());
        }
        Ok(wire)
    }

    /// Adds a header as curl takes it: `name: value`.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn add_header(&mut self, line: &str) -> Result<(), String> {
        self.headers.push(header(line)?);
        Ok(())
    }

    /// Adds a header of the response in the same form.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn add_response_header(&mut self, line: &str) -> Result<(), String> {
        self.response_headers.push(header(line)?);
        Ok(())
    }

    /// Without the port.
    pub fn port(&self) -> u16 {
        let port = self.authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let default = if self.is_https { 443 } else { 80 };
        port.and_then(|(_, port)| port.parse().ok()).unwrap_or(default)
    }
}

fn header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| format!("\"{}\" is no header: write -H 'name: value'", line.escape_debug()))?;
    if value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
        return Err(format!("the value of \"{name}\" has control characters"));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parts = |url: &str| {
            let question = Question::new("GET", url).unwrap();
            let port = question.port();
            (question.is_https, question.authority, question.target, port)
        };
        let expect = |is_https, authority: &str, target: &str, port| {
            (is_https, authority.to_owned(), target.to_owned(), port)
        };
        assert_eq!(parts("https://a.example"), expect(true, "a.example", "/", 443));
        assert_eq!(parts("HTTP://a.example:8080/x?y#z"), expect(false, "a.example:8080", "/x?y", 8080));
        assert_eq!(parts("http://[::1]?q"), expect(false, "[::1]", "/?q", 80));
        for url in ["a.example/", "ftp://a/", "http://", "http://u@a/", "http://a/ b"] {
            assert!(Question::new("GET", url).is_err(), "{url}");
        }
        let mut question = Question::new("GET", "http://a/").unwrap();
        assert!(question.add_header("x-a:  1 ").is_ok() && question.add_header("bad").is_err());
        assert_eq!(question.headers, [("x-a".to_owned(), "1".to_owned())]);
    }
}
