//! `[server_group.sticky]`: how a client stays with its backend.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::Sticky;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::listener::seconds;
use crate::config::check::section::Section;
use crate::config::effective::Form;
use crate::config::raw;
use crate::config::report::Report;
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
    section.close();
    Some(Sticky { mode: mode?, cookie, timeout })
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

struct CookieName;

const NAME_LENGTH_MAX: usize = 200;

impl Kind for CookieName {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if !is_token(text) || text.len() > NAME_LENGTH_MAX || text.starts_with('$') {
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
}
