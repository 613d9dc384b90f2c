//! Lists of statuses.

use std::ops::RangeInclusive;

use serde_json::Value as Json;

use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::rule::written::Written;
use crate::config::check::rule::written::to_json;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// Statuses: classes, codes and ranges.
pub(super) struct Statuses {
    pub(super) default: RangeInclusive<u16>,
    pub(super) allowed: RangeInclusive<u16>,
    pub(super) help: &'static str,
}

/// Statuses and ranges of them in one list.
const MAX_ITEMS: usize = 16;

impl Kind for Statuses {
    type Value = Vec<RangeInclusive<u16>>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list such as [\"2xx\"]", report);
        };
        if values.is_empty() {
            report.error(raw.location, format!("`{key}` is an empty list"), "add \"2xx\"");
            return None;
        }
        if values.len() > MAX_ITEMS {
            let message = format!("`{key}` has {} items", values.len());
            report.error(raw.location, message, format!("allowed are up to {MAX_ITEMS}"));
            return None;
        }
        let parsed: Vec<_> = values.iter().filter_map(|value| self.statuses(key, value, report)).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        let show = |range: &RangeInclusive<u16>| match (*range.start(), *range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) if first >= 100 && first % 100 == 0 && last == first + 99 => {
                format!("{}xx", first / 100)
            }
            (first, last) => format!("{first}-{last}"),
        };
        value.iter().map(|range| Json::String(show(range))).collect()
    }

    fn schema(&self) -> Json {
        schema::list(self.item_schema(), 1..=MAX_ITEMS)
    }
}

impl Statuses {
    /// What one item of the list can be.
    pub(super) fn item_schema(&self) -> Json {
        let codes = schema::integer(u64::from(*self.allowed.start())..=u64::from(*self.allowed.end()));
        schema::any_of([codes, schema::pattern("^((http_)?[0-5]xx|[0-9]{1,3}(-[0-9]{1,3})?)$")])
    }

    /// One item of the list.
    pub(super) fn statuses(
        &self,
        key: &str,
        raw: &raw::Value,
        report: &mut Report,
    ) -> Option<RangeInclusive<u16>> {
        let (range, shown) = match &raw.kind {
            raw::Kind::Integer(code) => (u16::try_from(*code).ok().map(|code| code..=code), code.to_string()),
            raw::Kind::Text(text) => (parse_statuses(text), format!("\"{}\"", text.escape_debug())),
            _ => return refuse_kind(key, raw, "a list of statuses such as [\"2xx\"]", report),
        };
        let is_allowed = |range: &RangeInclusive<u16>| {
            !range.is_empty() && self.allowed.contains(range.start()) && self.allowed.contains(range.end())
        };
        let range = range.filter(is_allowed);
        if range.is_none() {
            let message = format!("`{key}` {shown} is neither a status nor a range of them");
            report.error(raw.location, message, self.help);
        }
        range
    }
}

/// `2xx`, `http_2xx`, `204` or `200-399`.
fn parse_statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let class = text.strip_prefix("http_").unwrap_or(text).strip_suffix("xx");
    if let Some(class) = class {
        let first = class.parse::<u8>().ok().filter(|digit| class.len() == 1 && *digit <= 5)?;
        let first = u16::from(first) * 100;
        return Some(first..=first + 99);
    }
    let code = |text: &str| {
        let is_code = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_code)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(code(first)?..=code(last)?)
}

/// The same, or one of them alone; shown as it was written.
pub(super) struct OneOrMoreStatuses(pub(super) Statuses);

impl Kind for OneOrMoreStatuses {
    type Value = Written<Vec<RangeInclusive<u16>>>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let value = match &raw.kind {
            raw::Kind::Array(_) => self.0.parse(key, raw, report)?,
            _ => vec![self.0.statuses(key, raw, report)?],
        };
        Some(Written { value, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        schema::any_of([self.0.item_schema(), self.0.schema()])
    }
}
