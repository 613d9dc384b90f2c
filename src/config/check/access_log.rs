//! `[access_log]`: where the line about each exchange goes.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::config::AccessLog;
use crate::config::AccessLogFormat;
use crate::config::LogDestination;
use crate::config::check::address::resolve;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::list;
use crate::config::check::kind::refuse_kind;
use crate::config::check::nearest::nearest;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::check::vocabulary;
use crate::config::effective::Form;
use crate::config::log_fields;
use crate::config::raw;
use crate::config::report::Report;

pub(super) fn access_log(table: Option<&raw::Table>, output: &mut Output) -> Option<AccessLog> {
    let Some(table) = table else {
        output.effective.open_table("access_log", Form::Absent("no access log is written"));
        return None;
    };
    let mut section = Section::single("access_log", Some(table), output);
    let path = table.find("path").map_or(table.location, |entry| entry.value.location);
    let destination = section.read("path", &Destination, LogDestination::Stdout);
    let format = section.read("format", &FORMATS, AccessLogFormat::Json);
    let log = AccessLog { destination, format, fields: fields(format, &mut section), location: path };
    section.close();
    Some(log)
}

const FORMATS: Choice<AccessLogFormat> = Choice {
    words: &[("json", AccessLogFormat::Json), ("combined", AccessLogFormat::Combined)],
    aliases: &[],
    later: &["alb", "elb"],
};

fn fields(format: AccessLogFormat, section: &mut Section<'_, '_>) -> Vec<&'static str> {
    let unset = match format {
        AccessLogFormat::Json => "every field but tls_ja3, tls_ja4 and those of certificates is written",
        AccessLogFormat::Combined => "the fields of combined are fixed",
    };
    let chosen = section.read_optional("fields", &FieldNames, unset);
    let place = section.place_of("fields").filter(|_| format == AccessLogFormat::Combined);
    if let Some(location) = place {
        let message = "`fields` has no effect with format = \"combined\", whose fields are fixed";
        section.report().error(location, message, "write format = \"json\", or remove `fields`");
    }
    chosen.map_or_else(log_fields::usual, |(names, _)| names)
}

/// A list of names of fields. Read, they stand in the order of a line, with the one that each line has.
struct FieldNames;

impl Kind for FieldNames {
    type Value = Vec<&'static str>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let values = list(key, raw, "a list such as [\"status\", \"request_uri\"]", report)?;
        let mut named = Vec::with_capacity(values.len());
        let mut is_clean = true;
        for value in values {
            match field(key, value, report) {
                Some(name) if !named.contains(&name) => named.push(name),
                Some(name) => {
                    is_clean = false;
                    report.error(value.location, format!("`{key}` names \"{name}\" twice"), "name it once");
                }
                None => is_clean = false,
            }
        }
        let is_wanted = |name: &&str| *name == log_fields::ALWAYS || named.contains(name);
        is_clean.then(|| log_fields::ALL.into_iter().filter(is_wanted).collect())
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().copied().map(Json::from).collect()
    }
}

fn field(key: &str, raw: &raw::Value, report: &mut Report) -> Option<&'static str> {
    let raw::Kind::Text(text) = &raw.kind else {
        return refuse_kind(key, raw, "a list of strings such as [\"status\", \"request_uri\"]", report);
    };
    let found = log_fields::ALL.into_iter().find(|name| name == text);
    if found.is_none() {
        let near = || nearest(text, &log_fields::ALL).map(|near| format!("did you mean \"{near}\"?"));
        let help = vocabulary::our_field(text)
            .map(str::to_owned)
            .or_else(near)
            .unwrap_or_else(|| "docs/access_log.md lists the names".to_owned());
        report.error(raw.location, format!("invalid value \"{}\" for `{key}`", text.escape_debug()), help);
    }
    found
}

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
