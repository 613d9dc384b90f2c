//! `redirect`, `rewrite` and `strip_prefix`: texts with variables for where a request goes.

use serde_json::Value as Json;

use crate::config::check::address::is_host;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::rule::texts;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::redirect::Port;
use crate::policy::redirect::Redirect;
use crate::policy::redirect::Rewrite;
use crate::policy::redirect::RewritePath;
use crate::policy::redirect::UrlScheme;
use crate::policy::template::Template;
use crate::policy::template::TemplateError;
use crate::policy::template::Variable;

const PROTOCOLS: Choice<Option<UrlScheme>> = Choice {
    words: &[("http", Some(UrlScheme::Http)), ("https", Some(UrlScheme::Https)), ("${protocol}", None)],
    aliases: &[("HTTP", Some(UrlScheme::Http)), ("HTTPS", Some(UrlScheme::Https))],
    later: &[],
};

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
const REDIRECT_KEYS: [&str; 6] = ["code", "protocol", "host", "port", "path", "query"];
const REWRITE_KEYS: [&str; 4] = ["host", "path", "query", "strip_prefix"];

/// What [`redirect`] takes.
pub(super) fn redirect_schema() -> Json {
    let port = schema::any_of([schema::integer(1..=65_535), schema::words(["${port}"])]);
    let [code, text] = [schema::numbers(STATUSES), schema::text()];
    let values = [code, PROTOCOLS.schema(), text.clone(), port, text.clone(), text];
    schema::table(REDIRECT_KEYS.into_iter().zip(values), &[])
}

/// What [`rewrite`] takes.
pub(super) fn rewrite_schema() -> Json {
    let text = schema::text;
    let values = [text(), text(), text(), strip_prefix_schema()];
    let mut table = schema::table(REWRITE_KEYS.into_iter().zip(values), &[]);
    table["minProperties"] = Json::from(1);
    table
}

/// What [`strip_prefix`] takes.
pub(super) fn strip_prefix_schema() -> Json {
    schema::pattern("^/.+$")
}

/// What templates want of the rule's conditions.
pub(super) struct TemplateNeeds {
    /// The highest group that is captured; 0: none.
    pub captures: usize,
    pub location: Location,
}

pub(super) fn redirect(
    key: &str,
    raw: &raw::Value,
    report: &mut Report,
) -> Option<(Redirect, TemplateNeeds)> {
    let raw::Kind::Table(table) = &raw.kind else {
        return refuse_kind(key, raw, "a table such as { protocol = \"https\" }", report);
    };
    report_unknown(&table.entries, &REDIRECT_KEYS, &format!("`{key}`"), report);
    let read = |word: &str| table.find(word).map(|entry| &entry.value);
    let status = match read("code") {
        Some(raw) => status(raw, report)?,
        None => 302,
    };
    let protocol = match read("protocol") {
        Some(raw) => PROTOCOLS.parse("protocol", raw, report)?,
        None => None,
    };
    let port = match read("port") {
        Some(raw) => Some(port(raw, report)?),
        None => None,
    };
    let mut texts = Templates { captures: 0, report };
    let host = texts.optional("host", read("host"))?;
    let path = texts.optional("path", read("path"))?;
    let query = texts.optional("query", read("query"))?;
    let captures = texts.captures;
    if status_keeps_everything((&protocol, port), (&host, &path, &query)) {
        // An unknown key may be meant to say where it leads.
        if table.entries.iter().all(|entry| REDIRECT_KEYS.contains(&entry.key.as_str())) {
            let message = format!("`{key}` leads a client to where it came from");
            report.error(raw.location, message, "give it another protocol, host, port, path or query");
        }
        return None;
    }
    let redirect = Redirect { status, protocol, host, port, path, query };
    Some((redirect, TemplateNeeds { captures, location: raw.location }))
}

/// Whether the client would be asked to ask again for the same.
fn status_keeps_everything(
    (protocol, port): (&Option<UrlScheme>, Option<Port>),
    (host, path, query): (&Option<Template>, &Option<Template>, &Option<Template>),
) -> bool {
    let is = |template: &Option<Template>, itself: &str| {
        template.as_ref().is_none_or(|template| template.as_str() == itself)
    };
    protocol.is_none()
        && port.is_none_or(|port| port == Port::Listener)
        && is(host, "${host}")
        && is(path, "${path}")
        && is(query, "${query}")
}

fn status(raw: &raw::Value, report: &mut Report) -> Option<u16> {
    match raw.kind {
        raw::Kind::Integer(code) if STATUSES.iter().any(|known| i128::from(*known) == code) => {
            Some(code as u16)
        }
        _ => {
            let help = "allowed are 301, 302, 303, 307 and 308";
            report.error(raw.location, "`code` is not that of a redirect", help);
            None
        }
    }
}

fn port(raw: &raw::Value, report: &mut Report) -> Option<Port> {
    match &raw.kind {
        raw::Kind::Integer(number @ 1..=65_535) => Some(Port::Number(*number as u16)),
        raw::Kind::Text(text) if text == "${port}" => Some(Port::Listener),
        _ => {
            let help = "write a number from 1 to 65535, or \"${port}\" for that of the listener";
            report.error(raw.location, "`port` is not a port", help);
            None
        }
    }
}

pub(super) fn rewrite(key: &str, raw: &raw::Value, report: &mut Report) -> Option<(Rewrite, TemplateNeeds)> {
    let raw::Kind::Table(table) = &raw.kind else {
        return refuse_kind(key, raw, "a table such as { path = \"/v2${path}\" }", report);
    };
    report_unknown(&table.entries, &REWRITE_KEYS, &format!("`{key}`"), report);
    let read = |word: &str| table.find(word).map(|entry| &entry.value);
    if table.entries.is_empty() {
        report.error(raw.location, format!("`{key}` changes nothing"), "give it host, path or query");
        return None;
    }
    let mut texts = Templates { captures: 0, report };
    let host = texts.optional("host", read("host"))?;
    let path = texts.optional("path", read("path"))?;
    let query = texts.optional("query", read("query"))?;
    let captures = texts.captures;
    let path = match (path, read("strip_prefix")) {
        (Some(_), Some(prefix)) => {
            let message = "`path` and `strip_prefix` exclude each other";
            report.error(prefix.location, message, "keep one of them");
            return None;
        }
        (Some(path), None) => Some(RewritePath::Template(path)),
        (None, Some(prefix)) => Some(strip_prefix("strip_prefix", prefix, report)?),
        (None, None) => None,
    };
    for (word, template) in [("path", read("path")), ("query", read("query"))] {
        if let Some(raw::Value { kind: raw::Kind::Text(text), location }) = template
            && text.contains('#')
        {
            report.error(
                *location,
                format!("`{word}` has a fragment, which no backend gets"),
                "write %23 for a `#`",
            );
            return None;
        }
    }
    let wanted = TemplateNeeds { captures, location: raw.location };
    Some((Rewrite { host, path, query }, wanted))
}

pub(super) fn strip_prefix(key: &str, raw: &raw::Value, report: &mut Report) -> Option<RewritePath> {
    let text = texts::text(key, raw, report)?;
    if !text.starts_with('/') || text == "/" {
        let message = format!("`{key}` must be a path such as \"/api\"");
        report.error(raw.location, message, "write what the path begins with");
        return None;
    }
    Some(RewritePath::StripPrefix(text.to_owned()))
}

const VARIABLES: &str = "variables are ${protocol}, ${host}, ${port}, ${path}, ${query} and ${1} to ${9}";

struct Templates<'r> {
    captures: usize,
    report: &'r mut Report,
}

impl Templates<'_> {
    /// The template of a key, if the key is there; outer None after reporting what is wrong with it.
    fn optional(&mut self, key: &str, raw: Option<&raw::Value>) -> Option<Option<Template>> {
        let Some(raw) = raw else { return Some(None) };
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string, with variables such as ${path}", self.report);
        };
        let problem = match Template::parse(text) {
            Ok(template) => match self.problem(key, &template) {
                None => {
                    self.warn_of_bare(key, (text, raw.location));
                    self.captures = self.captures.max(template.max_capture());
                    return Some(Some(template));
                }
                Some(problem) => problem,
            },
            Err(TemplateError::Unclosed) => "has a `${` without its `}`".to_owned(),
            Err(TemplateError::Unknown(word)) => {
                format!("has an unknown variable \"{}\"", word.escape_debug())
            }
        };
        self.report.error(raw.location, format!("`{key}` {problem}"), VARIABLES);
        None
    }

    /// Warns of `$1` and `$uri`, as nginx writes them.
    fn warn_of_bare(&mut self, key: &str, (text, location): (&str, Location)) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let names =
            text.split('$').skip(1).map(|rest| rest.split(|c| !is_word(c)).next().unwrap_or_default());
        if let Some(name) = names.into_iter().find(|name| !name.is_empty()) {
            let message = format!("`{key}` has \"${name}\", which is sent as it stands here");
            let help = match name {
                "host" | "http_host" | "server_name" => "write ${host}".to_owned(),
                "scheme" => "write ${protocol}".to_owned(),
                "server_port" => "write ${port}".to_owned(),
                "uri" | "request_uri" | "document_uri" => "write ${path}, and ${query} in `query`".to_owned(),
                "args" | "query_string" | "is_args" => "write ${query} in `query`".to_owned(),
                _ if name.len() == 1 && name.starts_with(|c: char| ('1'..='9').contains(&c)) => {
                    format!("write ${{{name}}}")
                }
                _ => VARIABLES.to_owned(),
            };
            self.report.warning(location, message, help);
        }
    }

    fn problem(&self, key: &str, template: &Template) -> Option<String> {
        let text = template.as_str();
        let is_sendable = |byte: u8| byte.is_ascii_graphic();
        if text.len() > 512 || !text.bytes().all(is_sendable) {
            return Some("must be up to 512 visible ASCII characters".to_owned());
        }
        let begins_with_variable = text.starts_with("${path}") || text.starts_with("${1}");
        match key {
            "path" if !text.starts_with('/') && !begins_with_variable => {
                Some("must begin with `/` or with ${path}".to_owned())
            }
            "path" if text.contains('?') => Some("has a query: that goes into `query`".to_owned()),
            "host" if text.is_empty() || text.contains('/') => Some("is no host".to_owned()),
            "host" if !text.contains('$') && !is_host(text) => Some("is no host".to_owned()),
            "host" if template.variables().any(|it| matches!(it, Variable::Query | Variable::Path)) => {
                Some("takes its host from the URL, which any client chooses".to_owned())
            }
            _ => None,
        }
    }
}
