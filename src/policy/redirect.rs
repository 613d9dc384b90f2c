//! Where a client is sent by a redirect (RFC 9110 §15.4), and what becomes of a target that is rewritten.

use crate::policy::template::RequestValues;
use crate::policy::template::Template;
use crate::policy::template::UrlPart;
use crate::policy::template::push_decimal;

/// A redirect: what is not given stays as the client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    pub protocol: Option<UrlScheme>,
    pub host: Option<Template>,
    /// None: that of the protocol if one is given, else the client's.
    pub port: Option<Port>,
    pub path: Option<Template>,
    /// Empty: the query goes.
    pub query: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlScheme {
    Http,
    Https,
}

impl UrlScheme {
    pub fn as_str(self) -> &'static str {
        match self {
            UrlScheme::Http => "http",
            UrlScheme::Https => "https",
        }
    }

    /// The port that need not be named.
    pub fn default_port(self) -> u16 {
        match self {
            UrlScheme::Http => 80,
            UrlScheme::Https => 443,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// That of the listener.
    Listener,
    Number(u16),
}

/// What a client asked for.
#[derive(Clone, Copy)]
pub struct RequestedUrl<'a> {
    pub protocol: UrlScheme,
    /// The host as it came, with its port if the client named one.
    pub authority: &'a [u8],
    pub values: RequestValues<'a>,
}

impl Redirect {
    /// Whether it wants what an expression captured.
    pub fn wants_captures(&self) -> bool {
        let templates = [&self.host, &self.path, &self.query];
        templates.into_iter().flatten().any(|template| template.max_capture() > 0)
    }

    /// Appends the value of Location.
    pub fn write(&self, asked: &RequestedUrl<'_>, out: &mut Vec<u8>) {
        let protocol = self.protocol.unwrap_or(asked.protocol);
        out.extend_from_slice(protocol.as_str().as_bytes());
        out.extend_from_slice(b"://");
        let port = match self.port {
            Some(Port::Listener) => Some(asked.values.port),
            Some(Port::Number(number)) => Some(number),
            None => None,
        };
        match &self.host {
            Some(host) => host.write(&asked.values, UrlPart::Host, out),
            None if port.is_none() && self.protocol.is_none() => out.extend_from_slice(asked.authority),
            None => out.extend_from_slice(asked.values.host),
        }
        if let Some(port) = port.filter(|port| *port != protocol.default_port()) {
            out.push(b':');
            push_decimal(port, out);
        }
        write_target((self.path.as_ref(), self.query.as_ref()), &asked.values, out);
    }
}

/// What is changed about the target of a request before it goes to a backend. Paths are such as the rules saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    pub host: Option<Template>,
    pub path: Option<RewritePath>,
    /// Empty: the query goes.
    pub query: Option<Template>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewritePath {
    Template(Template),
    /// This beginning is taken away where the path has it, up to a slash.
    StripPrefix(String),
}

impl Rewrite {
    /// Whether it wants what an expression captured.
    pub fn wants_captures(&self) -> bool {
        let path = match &self.path {
            Some(RewritePath::Template(path)) => Some(path),
            Some(RewritePath::StripPrefix(_)) | None => None,
        };
        let templates = [self.host.as_ref(), path, self.query.as_ref()];
        templates.into_iter().flatten().any(|template| template.max_capture() > 0)
    }

    /// Appends path and query as backends get them.
    pub fn write_target(&self, values: &RequestValues<'_>, out: &mut Vec<u8>) {
        match &self.path {
            Some(RewritePath::StripPrefix(prefix)) => {
                let rest = values.path.strip_prefix(prefix.trim_end_matches('/').as_bytes());
                let rest = rest.filter(|rest| matches!(rest, [] | [b'/', ..])).unwrap_or(values.path);
                let path = if rest.is_empty() { b"/" } else { rest };
                write_target((None, self.query.as_ref()), &RequestValues { path, ..*values }, out);
            }
            Some(RewritePath::Template(path)) => {
                write_target((Some(path), self.query.as_ref()), values, out);
            }
            None => write_target((None, self.query.as_ref()), values, out),
        }
    }

    /// Appends the host that backends get, if it is rewritten.
    pub fn write_host(&self, values: &RequestValues<'_>, out: &mut Vec<u8>) {
        if let Some(host) = &self.host {
            host.write(values, UrlPart::Host, out);
        }
    }
}

/// Appends path and query, each as it came where there is no template for it.
fn write_target(
    (path, query): (Option<&Template>, Option<&Template>),
    values: &RequestValues<'_>,
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    match path {
        Some(path) => path.write(values, UrlPart::Path, out),
        None => out.extend_from_slice(values.path),
    }
    if out.get(begin) != Some(&b'/') {
        // A template can yield nothing, or begin with what it captured.
        out.insert(begin, b'/');
    }
    let question = out.len();
    out.push(b'?');
    match query {
        Some(query) => query.write(values, UrlPart::Query, out),
        None => out.extend_from_slice(values.query),
    }
    if out.len() == question + 1 {
        out.truncate(question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::router::Captures;

    fn template(text: &str) -> Option<Template> {
        Some(Template::parse(text).unwrap())
    }

    fn values<'v>(captures: &'v Captures<'v>) -> RequestValues<'v> {
        RequestValues {
            protocol: "http",
            host: b"www.example.com",
            port: 8080,
            path: b"/api/users",
            query: b"id=7",
            captures,
        }
    }

    const KEEP: Redirect =
        Redirect { status: 302, protocol: None, host: None, port: None, path: None, query: None };

    #[test]
    fn where_redirects_lead() {
        let captures = Captures::none();
        let asked = RequestedUrl {
            protocol: UrlScheme::Http,
            authority: b"www.example.com:8080",
            values: values(&captures),
        };
        for (redirect, expected) in [
            (KEEP, "http://www.example.com:8080/api/users?id=7"),
            (Redirect { protocol: Some(UrlScheme::Https), ..KEEP }, "https://www.example.com/api/users?id=7"),
            (
                Redirect { protocol: Some(UrlScheme::Https), port: Some(Port::Number(8443)), ..KEEP },
                "https://www.example.com:8443/api/users?id=7",
            ),
            (Redirect { port: Some(Port::Listener), ..KEEP }, "http://www.example.com:8080/api/users?id=7"),
            (Redirect { port: Some(Port::Number(80)), ..KEEP }, "http://www.example.com/api/users?id=7"),
            (
                Redirect { host: template("new.example.org"), path: template("/v2${path}"), ..KEEP },
                "http://new.example.org/v2/api/users?id=7",
            ),
            (Redirect { query: template(""), ..KEEP }, "http://www.example.com:8080/api/users"),
            (
                Redirect { query: template("${query}&from=old"), path: template("x"), ..KEEP },
                "http://www.example.com:8080/x?id=7&from=old",
            ),
        ] {
            let mut out = Vec::new();
            redirect.write(&asked, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{redirect:?}");
        }
    }

    #[test]
    fn what_backends_are_asked_for() {
        let captures = Captures::none();
        let strip = |prefix: &str| Rewrite {
            path: Some(RewritePath::StripPrefix(prefix.to_owned())),
            ..Rewrite::default()
        };
        for (rewrite, expected) in [
            (strip("/api"), "/users?id=7"),
            (strip("/api/"), "/users?id=7"),
            (strip("/api/users"), "/?id=7"),
            (strip("/ap"), "/api/users?id=7"),
            (Rewrite { query: template(""), ..Rewrite::default() }, "/api/users"),
            (
                Rewrite { path: template("/v2${path}").map(RewritePath::Template), ..Rewrite::default() },
                "/v2/api/users?id=7",
            ),
            (Rewrite { path: template("${1}").map(RewritePath::Template), ..Rewrite::default() }, "/?id=7"),
        ] {
            let mut out = Vec::new();
            rewrite.write_target(&values(&captures), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{rewrite:?}");
        }
        let mut host = Vec::new();
        let rewrite = Rewrite { host: template("${host}.internal"), ..Rewrite::default() };
        rewrite.write_host(&values(&captures), &mut host);
        assert_eq!(host, b"www.example.com.internal");
    }
}
