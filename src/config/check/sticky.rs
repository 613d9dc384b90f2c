//! `[server_group.sticky]`: how a client stays with its backend.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::Sticky;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::TOKEN;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::section::Section;
use crate::config::effective::Form;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::balance::sticky::CookieAttributes;
use crate::policy::balance::sticky::SameSite;
use crate::policy::balance::sticky::StickyMode;

pub(super) fn sticky(group: &mut Section<'_, '_>) -> Option<Sticky> {
    const PATH: &str = "server_group.sticky";
    let Some(table) = group.table("sticky") else {
        group.output.effective.open_table(PATH, Form::Absent("clients stick to no backend"));
        return None;
    };
    let mut section = Section::single(PATH, Some(table), group.output);
    let mode = section.read_required("mode", &MODES, "mode = \"insert\"").and_then(|(mode, _)| mode);
    let cookie = cookie(mode, &mut section);
    let idle =
        (mode == Some(StickyMode::Rewrite)).then_some("the application decides how long its cookie lasts");
    let timeout = section.read_unless(idle, "timeout", &seconds(1, 86_400), Duration::from_secs(1_000));
    let attributes = attributes(mode, &mut section);
    section.close();
    Some(Sticky { mode: mode?, cookie, timeout, attributes })
}

/// The attributes of the one cookie that is Ringway's own.
fn attributes(mode: Option<StickyMode>, section: &mut Section<'_, '_>) -> CookieAttributes {
    let idle = match mode {
        Some(StickyMode::Rewrite | StickyMode::AppCookie) => Some("the application sets its cookie itself"),
        Some(StickyMode::SourceIp) => Some("clients are known by their addresses"),
        Some(StickyMode::Insert) | None => None,
    };
    let path = section.read_unless(idle, "path", &CookiePath, "/".to_owned());
    let domain = section.read_optional("domain", &CookieDomain, "the host that the client asked for alone");
    let same_site =
        section.read_optional("same_site", &SAME_SITE, "browsers decide, most of them as with lax");
    let is_always_secure = section.read_unless(idle, "secure", &AutoOrTrue, false);
    for key in ["domain", "same_site"] {
        section.warn_idle(key, idle);
    }
    CookieAttributes {
        path,
        domain: domain.map(|(domain, _)| domain),
        same_site: same_site.map(|(same_site, _)| same_site),
        is_always_secure,
    }
}

pub(super) const SAME_SITE: Choice<SameSite> = Choice {
    words: &[("none", SameSite::None), ("lax", SameSite::Lax), ("strict", SameSite::Strict)],
    aliases: &[("None", SameSite::None), ("Lax", SameSite::Lax), ("Strict", SameSite::Strict)],
    later: &[],
};

/// Whether the cookie is Secure on every connection.
pub(super) struct AutoOrTrue;

impl Kind for AutoOrTrue {
    type Value = bool;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<bool> {
        match &raw.kind {
            raw::Kind::Boolean(true) => Some(true),
            raw::Kind::Text(text) if text == "auto" => Some(false),
            raw::Kind::Boolean(false) | raw::Kind::Text(_) => {
                let help = "\"auto\" marks the cookie Secure on HTTPS, true always";
                report.error(raw.location, format!("`{key}` must be \"auto\" or true"), help);
                None
            }
            _ => refuse_kind(key, raw, "\"auto\" or true", report),
        }
    }

    fn show(&self, value: &bool) -> Json {
        if *value { Json::Bool(true) } else { Json::from("auto") }
    }

    fn schema(&self) -> Json {
        serde_json::json!({ "enum": ["auto", true] })
    }
}

/// Bytes of an attribute; browsers ignore longer ones.
const MAX_ATTRIBUTE_LENGTH: usize = 1_024;

pub(super) struct CookiePath;

impl Kind for CookiePath {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if !text.starts_with('/') || !is_plain || text.len() > MAX_ATTRIBUTE_LENGTH {
            let help = "it begins with a slash and has visible ASCII characters but `;`: \"/\", \"/app\"";
            report.error(raw.location, format!("`{key}` is not a valid path of a cookie"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern(&format!("^/[!-:<-~]{{0,{}}}$", MAX_ATTRIBUTE_LENGTH - 1))
    }
}

pub(super) struct CookieDomain;

/// Characters of a name in DNS (RFC 1035 §2.3.4).
const MAX_DOMAIN_LENGTH: usize = 253;

impl Kind for CookieDomain {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if text.len() > MAX_DOMAIN_LENGTH || !text.split('.').all(is_label) {
            let help = "write the domain whose hosts share the cookie, without a dot at its beginning: \
                        \"example.com\"";
            report.error(raw.location, format!("`{key}` is not a valid domain of a cookie"), help);
            return None;
        }
        Some(text.to_ascii_lowercase())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=MAX_DOMAIN_LENGTH)
    }
}

const MODES: Choice<Option<StickyMode>> = Choice {
    words: &[
        ("off", None),
        ("insert", Some(StickyMode::Insert)),
        ("rewrite", Some(StickyMode::Rewrite)),
        ("app_cookie", Some(StickyMode::AppCookie)),
        ("source_ip", Some(StickyMode::SourceIp)),
    ],
    aliases: &[
        ("Insert", Some(StickyMode::Insert)),
        ("HTTP_COOKIE", Some(StickyMode::Insert)),
        ("Server", Some(StickyMode::Rewrite)),
        ("APP_COOKIE", Some(StickyMode::AppCookie)),
        ("SOURCE_IP", Some(StickyMode::SourceIp)),
    ],
    later: &[],
};

/// Only what Ringway inserts can have a name of Ringway's choice.
fn cookie(mode: Option<StickyMode>, section: &mut Section<'_, '_>) -> String {
    match mode {
        Some(StickyMode::Rewrite | StickyMode::AppCookie) => {
            let example = "cookie = \"SESSION\", the name of the application's cookie";
            let cookie = section.read_required("cookie", &CookieName, example);
            cookie.map(|(cookie, _)| cookie).unwrap_or_default()
        }
        Some(StickyMode::SourceIp) => {
            let idle = Some("clients are known by their addresses");
            section.read_unless(idle, "cookie", &CookieName, String::new())
        }
        Some(StickyMode::Insert) | None => section.read("cookie", &CookieName, "SERVERID".to_owned()),
    }
}

pub(super) struct CookieName;

/// Characters of the name of a sticky cookie.
const MAX_NAME_LENGTH: usize = 200;

impl Kind for CookieName {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if !is_token(text) || text.len() > MAX_NAME_LENGTH || text.starts_with('$') {
            let help = "a name has 1 to 200 characters: ASCII letters, digits and any of !#$%&'*+-.^_`|~, \
                        but no `$` at its beginning";
            report.error(raw.location, format!("`{key}` is not a valid name of a cookie"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern(&format!("^{TOKEN}{{1,{MAX_NAME_LENGTH}}}$"))
    }
}
