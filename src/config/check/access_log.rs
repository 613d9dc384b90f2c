//! `[access_log]`: where the line about each exchange goes.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::config::AccessLog;
use crate::config::AccessLogFormat;
use crate::config::LogDestination;
use crate::config::check::address::resolve;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::effective::Form;
use crate::config::raw;
use crate::config::report::Report;

pub(super) fn access_log(table: Option<&raw::Table>, output: &mut Output) -> Option<AccessLog> {
    let Some(table) = table else {
        output.effective.open_table("access_log", Form::Absent("no access log is written"));
        return None;
    };
    let mut section = Section::single("access_log", Some(table), output);
    let path = table.find("path").map_or(table.location, |entry| entry.value.location);
    let log = AccessLog {
        destination: section.read("path", &Destination, LogDestination::Stdout),
        format: section.read("format", &FORMATS, AccessLogFormat::Json),
        location: path,
    };
    section.close();
    Some(log)
}

const FORMATS: Choice<AccessLogFormat> = Choice {
    words: &[("json", AccessLogFormat::Json), ("combined", AccessLogFormat::Combined)],
    aliases: &[],
    later: &["alb", "elb"],
};

/// `"stdout"`, `"stderr"` or the path of a file.
struct Destination;

impl Kind for Destination {
    type Value = LogDestination;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<LogDestination> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let destination = match text.as_str() {
            "stdout" => Some(LogDestination::Stdout),
            "stderr" => Some(LogDestination::Stderr),
            path => file(path, report, raw).map(LogDestination::File),
        };
        if destination.is_none() {
            let help = "write \"stdout\", \"stderr\" or the path of a file";
            report.error(raw.location, format!("`{key}` is not the path of a file"), help);
        }
        destination
    }

    fn show(&self, value: &LogDestination) -> Json {
        match value {
            LogDestination::Stdout => Json::from("stdout"),
            LogDestination::Stderr => Json::from("stderr"),
            LogDestination::File(path) => Json::String(path.display().to_string()),
        }
    }
}

/// None for what can only be a folder.
fn file(path: &str, report: &Report, raw: &raw::Value) -> Option<PathBuf> {
    let file = resolve(path, report.folder(raw.location))?;
    (!path.ends_with('/') && file.file_name().is_some()).then_some(file)
}
