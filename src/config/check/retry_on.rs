//! `retry_on` of a server group: after what a request is tried again.

use serde_json::Value as Json;

use crate::config::check::kind::Kind;
use crate::config::check::kind::list;
use crate::config::check::kind::refuse_kind;
use crate::config::check::statuses::Statuses;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::retry::RetryOn;

pub(super) struct RetryOnList;

const EXPECTED: &str = "a list such as [\"connect\", \"closed\", \"503\"]";
const HELP: &str = "write \"connect\", \"closed\", \"timeout\", or a status from 400 to 599 such as 503, \"5xx\" or \"502-504\"";
const STATUSES: Statuses = Statuses { default: 400..=599, allowed: 400..=599, help: HELP };
/// Conditions on which a request is tried again.
const MAX_ITEMS: usize = 16;

/// What others call it, and what to write.
const FOREIGN: [(&str, &str); 9] = [
    ("error", "write \"connect\" and \"closed\""),
    ("http_502", "write 502"),
    ("http_503", "write 503"),
    ("http_504", "write 504"),
    ("http_429", "write 429"),
    ("conn-failure", "write \"connect\""),
    ("empty-response", "write \"closed\""),
    ("response-timeout", "write \"timeout\""),
    ("non_idempotent", "what is not idempotent is only tried again where no backend got anything of it"),
];

impl Kind for RetryOnList {
    type Value = RetryOn;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<RetryOn> {
        let values = list(key, raw, EXPECTED, report)?;
        if values.len() > MAX_ITEMS {
            let message = format!("`{key}` has {} items", values.len());
            report.error(raw.location, message, format!("allowed are up to {MAX_ITEMS}"));
            return None;
        }
        let mut retry_on = RetryOn::default();
        let mut is_whole = true;
        for value in values {
            match &value.kind {
                raw::Kind::Text(text) if text == "connect" => retry_on.connect = true,
                raw::Kind::Text(text) if text == "closed" => retry_on.closed = true,
                raw::Kind::Text(text) if text == "timeout" => retry_on.timeout = true,
                raw::Kind::Text(text) if FOREIGN.iter().any(|(word, _)| word == text) => {
                    let fix = FOREIGN.iter().find(|(word, _)| word == text).map_or(HELP, |(_, fix)| fix);
                    report.error(value.location, format!("`{key}` does not know \"{text}\""), fix);
                    is_whole = false;
                }
                raw::Kind::Text(_) | raw::Kind::Integer(_) => match STATUSES.statuses(key, value, report) {
                    Some(statuses) => retry_on.statuses.push(statuses),
                    None => is_whole = false,
                },
                _ => return refuse_kind(key, value, EXPECTED, report),
            }
        }
        is_whole.then_some(retry_on)
    }

    fn show(&self, value: &RetryOn) -> Json {
        let words = [("connect", value.connect), ("closed", value.closed), ("timeout", value.timeout)];
        let words = words.into_iter().filter(|(_, is_set)| *is_set).map(|(word, _)| Json::from(word));
        let Json::Array(statuses) = STATUSES.show(&value.statuses) else { return Json::Null };
        words.chain(statuses).collect()
    }

    fn schema(&self) -> Json {
        let words = schema::words(["connect", "closed", "timeout"]);
        schema::list(schema::any_of([words, STATUSES.item_schema()]), 1..=MAX_ITEMS)
    }
}
