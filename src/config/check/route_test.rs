//! `[[request]]` of `ringway test`.

use serde_json::Value as Json;

use crate::config::RouteTest;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// What can be expected of a request.
const EXPECTATIONS: [&str; 8] =
    ["rule", "action", "status", "location", "group", "backend", "target", "host"];

/// Headers that are expected to be written, in lists.
const HEADER_EXPECTATIONS: [&str; 2] = ["request_headers", "response_headers"];

pub(super) fn route_test(table: &raw::Table, output: &mut Output) -> RouteTest {
    let mut section = Section::element("request", table, output);
    let text = |read: Option<(String, _)>| read.map(|(text, _)| text);
    let method = text(section.read_present("method", &PlainText)).unwrap_or_else(|| "GET".to_owned());
    let url = section.read_required("url", &PlainText, "url = \"https://www.example.com/\"");
    let mut expected: Vec<(&'static str, String)> = EXPECTATIONS
        .into_iter()
        .filter_map(|key| Some((key, text(section.read_present(key, &PlainText))?)))
        .collect();
    for key in HEADER_EXPECTATIONS {
        let list = section.read_present(key, &PlainTexts).map(|(list, _)| list).unwrap_or_default();
        expected.extend(list.into_iter().map(|line| (key, line)));
    }
    let test = RouteTest {
        method,
        url: text(url).unwrap_or_default(),
        headers: section.read_present("headers", &PlainTexts).map(|(list, _)| list).unwrap_or_default(),
        source: text(section.read_present("source", &PlainText)),
        sni: text(section.read_present("sni", &PlainText)),
        listener: text(section.read_present("listener", &PlainText)),
        upstream_status: text(section.read_present("upstream_status", &PlainText)),
        expected,
        location: table.location,
    };
    let mut all = EXPECTATIONS.iter().chain(&HEADER_EXPECTATIONS);
    if test.expected.is_empty() && !all.any(|key| section.is_refused(key)) {
        let help = format!("add one of {}, {}", EXPECTATIONS.join(", "), HEADER_EXPECTATIONS.join(", "));
        section.report().error(table.location, "this request is expected to do nothing", help);
    }
    section.close();
    test
}

/// A string, or a number as one.
struct PlainText;

impl Kind for PlainText {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        match &raw.kind {
            raw::Kind::Text(text) => Some(text.clone()),
            raw::Kind::Integer(number) => Some(number.to_string()),
            _ => refuse_kind(key, raw, "a string", report),
        }
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::any_of([schema::text(), schema::integer(0..=u64::MAX)])
    }
}

/// A list of strings.
struct PlainTexts;

impl Kind for PlainTexts {
    type Value = Vec<String>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<String>> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list such as [\"x-canary: 1\"]", report);
        };
        let parsed: Vec<_> = values.iter().filter_map(|value| PlainText.parse(key, value, report)).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Vec<String>) -> Json {
        value.iter().map(String::as_str).collect()
    }

    fn schema(&self) -> Json {
        schema::list(PlainText.schema(), 0..=usize::MAX)
    }
}
