//! `[access_log]`, or several `[[access_log]]`: where the line about each exchange goes.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::config::AccessLog;
use crate::config::AccessLogFormat;
use crate::config::Listener;
use crate::config::LogDestination;
use crate::config::LogHeaders;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::SampleFraction;
use crate::config::check::kind::list;
use crate::config::check::kind::refuse_kind;
use crate::config::check::log_destination;
use crate::config::check::log_destination::Destination;
use crate::config::check::log_headers::ChosenNames;
use crate::config::check::names::Names;
use crate::config::check::nearest::nearest;
use crate::config::check::rule::OneOrMore;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::check::section::elements_of;
use crate::config::check::statuses::Statuses;
use crate::config::check::vocabulary;
use crate::config::effective::Form;
use crate::config::log_fields;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::overrides::Sample;
use crate::telemetry::log_set::MAX_ACCESS_LOGS;
use crate::telemetry::log_template;
use crate::telemetry::log_template::LogTemplate;
use crate::telemetry::log_template::TemplateProblem;
use crate::telemetry::log_variables::LogVariable;

/// A log whose listeners are not looked up yet.
pub(super) struct ParsedAccessLog {
    log: AccessLog,
    listeners: Option<Vec<(String, Location)>>,
}

/// All logs, be they written as one `[access_log]` or as several `[[access_log]]`.
pub(super) fn access_logs(roots: &[raw::Table], output: &mut Output) -> Vec<ParsedAccessLog> {
    let entries: Vec<_> = roots.iter().filter_map(|root| root.find(TABLE)).collect();
    let is_single = |entry: &&raw::Entry| matches!(entry.value.kind, raw::Kind::Table(_));
    let is_double = entries.len() > 1 && entries.iter().any(is_single);
    if is_double {
        for other in entries.iter().skip(1) {
            let first = output.report.place(entries[0].key_location);
            let message = format!("[access_log] is defined twice, first at {first}");
            let help = "keep one of the two, or write [[access_log]] for each of several logs";
            output.report.error(other.key_location, message, help);
        }
    }
    if let Some(schema) = &mut output.schema {
        schema.allow_both_forms(TABLE);
    }
    let logs: Vec<_> = entries.into_iter().flat_map(|entry| of_entry(entry, output)).collect();
    if logs.is_empty() {
        output.effective.open_table(TABLE, Form::Absent("no access log is written"));
    }
    if let Some(surplus) = logs.get(MAX_ACCESS_LOGS) {
        let message = format!("there are {} access logs", logs.len());
        output.report.error(surplus.log.location, message, format!("allowed are up to {MAX_ACCESS_LOGS}"));
    }
    if !is_double {
        check_destinations(&logs, &mut output.report);
    }
    logs
}

const TABLE: &str = "access_log";

fn of_entry(entry: &raw::Entry, output: &mut Output) -> Vec<ParsedAccessLog> {
    match &entry.value.kind {
        raw::Kind::Table(table) => {
            vec![access_log(table, Section::single(TABLE, Some(table), output))]
        }
        raw::Kind::Array(_) => {
            let tables = elements_of(entry, "[[access_log]]", &mut output.report);
            let of_table = |table| access_log(table, Section::element(TABLE, table, output));
            tables.into_iter().map(of_table).collect()
        }
        _ => {
            let message = format!("`{TABLE}` must be a table, not {}", entry.value.kind_name());
            let help = "write [access_log] above its keys, or [[access_log]] for each of several logs";
            output.report.error(entry.value.location, message, help);
            Vec::new()
        }
    }
}

fn access_log(table: &raw::Table, mut section: Section<'_, '_>) -> ParsedAccessLog {
    let path = table.find("path").map_or(table.location, |entry| entry.value.location);
    let name = section.read_optional("name", &Name, "it is called by its path");
    let listeners = section.read_optional("listener", &OneOrMore, "all listeners write to it");
    let destination = section.read("path", &Destination, LogDestination::Stdout);
    let syslog = log_destination::terms(&destination, &mut section);
    let format = section.read("format", &LogFormat, AccessLogFormat::Json);
    let fields = fields(&format, &mut section);
    let headers = headers(&format, &mut section);
    let statuses = section.read("log", &LoggedStatuses, Vec::new());
    let sample = section.read("sample", &SampleFraction, Sample::ALL);
    let as_written = table.find("path").and_then(|entry| match &entry.value.kind {
        raw::Kind::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let name = name.map_or_else(|| as_written.unwrap_or("stdout").to_owned(), |(name, _)| name);
    let log = AccessLog {
        name,
        listeners: None,
        destination,
        syslog,
        format,
        fields,
        headers,
        sample,
        statuses,
        location: path,
    };
    section.close();
    ParsedAccessLog { log, listeners: listeners.map(|(listeners, _)| listeners) }
}

/// Looks the names of listeners up.
pub(super) fn resolve(
    parsed: Vec<ParsedAccessLog>,
    listeners: &[Listener],
    report: &mut Report,
) -> Vec<AccessLog> {
    let names = Names::new("[[listener]]", listeners.iter().map(|listener| listener.name.as_str()), report);
    let mut logs = Vec::with_capacity(parsed.len());
    for ParsedAccessLog { log, listeners } in parsed {
        let listeners = listeners.map(|wanted| {
            let found = wanted
                .iter()
                .filter_map(|(name, location)| names.find("listener", (name, *location), report));
            found.collect()
        });
        logs.push(AccessLog { listeners, ..log });
    }
    logs
}

/// Lines of two logs would be mixed up, and a line that was cut off by a full disk completed by the wrong one.
fn check_destinations(logs: &[ParsedAccessLog], report: &mut Report) {
    for (index, second) in logs.iter().enumerate() {
        let is_same = |first: &&ParsedAccessLog| first.log.destination == second.log.destination;
        if let Some(first) = logs.iter().take(index).find(is_same) {
            let place = report.place(first.log.location);
            let message = format!("two access logs are written to the same `path`, the first at {place}");
            report.error(second.log.location, message, "give each log a `path` of its own");
            continue;
        }
        let is_namesake = |first: &&ParsedAccessLog| first.log.name == second.log.name;
        if let Some(first) = logs.iter().take(index).find(is_namesake) {
            let place = report.place(first.log.location);
            let message = format!("two access logs are called \"{}\", the first at {place}", second.log.name);
            report.error(second.log.location, message, "give each log a `name` of its own");
        }
    }
}

/// `"all"`, `"errors"`, or statuses. None of them stands for all.
struct LoggedStatuses;

/// What `"errors"` means; backends may send statuses that nobody knows.
const ERRORS: RangeInclusive<u16> = 400..=999;

const STATUSES: Statuses = Statuses {
    default: ERRORS,
    allowed: 100..=999,
    help: "write \"all\", \"errors\", or a list such as [\"5xx\", 404]; allowed are 100 to 999",
};

impl Kind for LoggedStatuses {
    type Value = Vec<RangeInclusive<u16>>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        match &raw.kind {
            raw::Kind::Text(text) if text == "all" => Some(Vec::new()),
            raw::Kind::Text(text) if text == "errors" => Some(vec![ERRORS]),
            raw::Kind::Array(_) => STATUSES.parse(key, raw, report),
            _ => Some(vec![STATUSES.statuses(key, raw, report)?]),
        }
    }

    fn show(&self, value: &Self::Value) -> Json {
        match value.as_slice() {
            [] => Json::from("all"),
            [only] if *only == ERRORS => Json::from("errors"),
            _ => STATUSES.show(value),
        }
    }

    fn schema(&self) -> Json {
        schema::any_of([schema::words(["all", "errors"]), STATUSES.item_schema(), STATUSES.schema()])
    }
}

/// Formats that have a name; `alb` and `elb` are names of templates.
const WORDS: [&str; 4] = ["json", "combined", "alb", "elb"];

/// A word, or a template with variables.
struct LogFormat;

impl Kind for LogFormat {
    type Value = AccessLogFormat;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<AccessLogFormat> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        match text.as_str() {
            "json" => Some(AccessLogFormat::Json),
            "combined" => Some(AccessLogFormat::Combined),
            "alb" => template(key, (raw, log_template::ALB), report),
            "elb" => template(key, (raw, log_template::ELB), report),
            text if text.contains('$') => template(key, (raw, text), report),
            text => {
                let listed = format!("allowed are \"{}\" and a text with $variables", WORDS.join("\", \""));
                let help = match nearest(text, &WORDS) {
                    Some(near) => format!("did you mean \"{near}\"? {listed}"),
                    None => listed,
                };
                let message = format!("invalid value \"{}\" for `{key}`", text.escape_debug());
                report.error(raw.location, message, help);
                None
            }
        }
    }

    fn show(&self, value: &AccessLogFormat) -> Json {
        match value {
            AccessLogFormat::Json => Json::from("json"),
            AccessLogFormat::Combined => Json::from("combined"),
            AccessLogFormat::Template(template) => match template.as_str() {
                log_template::ALB => Json::from("alb"),
                log_template::ELB => Json::from("elb"),
                text => Json::from(text),
            },
        }
    }

    fn schema(&self) -> Json {
        let template = schema::pattern("[$]");
        schema::any_of([schema::words(WORDS), template])
    }
}

fn template(key: &str, (raw, text): (&raw::Value, &str), report: &mut Report) -> Option<AccessLogFormat> {
    let error = match LogTemplate::parse(text) {
        Ok(template) => {
            for name in template.secrets() {
                let message = format!("`{key}` writes passwords or keys of sessions into the log: ${name}");
                let help =
                    "write $remote_user for the user of Basic authentication, $cookie_NAME for one cookie";
                report.warning(raw.location, message, help);
            }
            return Some(AccessLogFormat::Template(Arc::new(template)));
        }
        Err(error) => error,
    };
    let (message, help) = match error.problem {
        TemplateProblem::Unknown(name) => {
            let known: Vec<_> = LogVariable::names().collect();
            let help = match (vocabulary::our_variable(&name), nearest(&name, &known)) {
                (Some(fix), _) => fix.to_owned(),
                (None, Some(near)) => format!("did you mean ${near}?"),
                (None, None) => "docs/access_log.md lists the variables; $$ is a dollar".to_owned(),
            };
            (format!("`{key}` has an unknown variable ${}", name.escape_debug()), help)
        }
        TemplateProblem::NoName => {
            (format!("`{key}` has a `$` without a name behind it"), "write $$ for a dollar".to_owned())
        }
        TemplateProblem::Unclosed => {
            (format!("`{key}` has a `${{` without its `}}`"), "write ${name} or $name".to_owned())
        }
        TemplateProblem::Control => {
            (format!("`{key}` has a control character"), "a line of the log is one line of text".to_owned())
        }
        TemplateProblem::TooLong => {
            (format!("`{key}` is too long"), format!("allowed are {} bytes", log_template::MAX_BYTES))
        }
        TemplateProblem::TooManyVariables => {
            let help = format!("allowed are {}", log_template::MAX_VARIABLES);
            (format!("`{key}` has too many variables"), help)
        }
    };
    // Escapes of TOML move what stands behind them, but a dollar needs none.
    let place = text.get(error.place.clone()).filter(|place| place.starts_with('$'));
    let location = place.map_or(raw.location, |place| {
        let dollars = text.bytes().take(error.place.start).filter(|byte| *byte == b'$').count();
        report.place_of(raw.location, place, dollars)
    });
    report.error(location, message, help);
    None
}

fn fields(format: &AccessLogFormat, section: &mut Section<'_, '_>) -> Vec<&'static str> {
    let (unset, fix) = match format {
        AccessLogFormat::Json => {
            ("every field but tls_ja3, tls_ja4 and those of certificates is written", None)
        }
        AccessLogFormat::Combined => ("the fields of combined are fixed", Some("write format = \"json\"")),
        AccessLogFormat::Template(_) => ("the format names the fields", Some("name variables in `format`")),
    };
    let chosen = section.read_optional("fields", &FieldNames, unset);
    let place = section.place_of("fields").zip(fix);
    if let Some((location, fix)) = place {
        let message = match format {
            AccessLogFormat::Combined => {
                "`fields` has no effect with format = \"combined\", whose fields are fixed"
            }
            _ => "`fields` has no effect with this `format`, which names its fields itself",
        };
        section.report().error(location, message, format!("{fix}, or remove `fields`"));
    }
    chosen.map_or_else(log_fields::usual, |(names, _)| names)
}

fn headers(format: &AccessLogFormat, section: &mut Section<'_, '_>) -> LogHeaders {
    let headers = section.read_optional("headers", &ChosenNames, "no header is told beside the fields");
    if let Some(location) = section.place_of("headers").filter(|_| *format != AccessLogFormat::Json) {
        let message = "`headers` has no effect with this `format`";
        let help = "write format = \"json\", or a template with $http_NAME, $sent_http_NAME and $cookie_NAME";
        section.report().error(location, message, help);
    }
    headers.map(|(headers, _)| headers).unwrap_or_default()
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

    fn schema(&self) -> Json {
        schema::list(schema::words(log_fields::ALL), 1..=usize::MAX)
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
