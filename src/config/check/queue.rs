//! `queue` of a server group: requests that wait for a backend with room.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::Queue;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Time;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

pub(super) struct QueueTable;

const SIZE: Integer = Integer(0..=100_000);
const TIMEOUT: Time = Time(Duration::from_millis(100)..=Duration::from_secs(900));

impl Kind for QueueTable {
    type Value = Queue;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Queue> {
        let raw::Kind::Table(table) = &raw.kind else {
            return refuse_kind(key, raw, "a table such as { size = 100, timeout = \"5s\" }", report);
        };
        report_unknown(&table.entries, &["size", "timeout"], &format!("`{key}`"), report);
        let Some(size) = table.find("size") else {
            report.error(raw.location, format!("`size` is missing in `{key}`"), "add size = 100");
            return None;
        };
        let size = SIZE.parse("size", &size.value, report);
        let timeout = match table.find("timeout") {
            Some(entry) => TIMEOUT.parse("timeout", &entry.value, report),
            None => Some(Queue::NONE.timeout),
        };
        Some(Queue { size: size?, timeout: timeout? })
    }

    fn show(&self, value: &Queue) -> Json {
        serde_json::json!({ "size": value.size, "timeout": TIMEOUT.show(&value.timeout) })
    }

    fn schema(&self) -> Json {
        schema::table([("size", SIZE.schema()), ("timeout", TIMEOUT.schema())], &["size"])
    }
}
