//! The kinds of values that keys take: how each is read, refused and written.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value as Json;

use crate::config::check::nearest::nearest;
use crate::config::check::vocabulary;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::config::units;
use crate::policy::overrides::Sample;

pub(super) trait Kind {
    type Value;

    /// None after reporting what is wrong with the value of `key`.
    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value>;

    /// What `parse` would read as the same value.
    fn show(&self, value: &Self::Value) -> Json;

    /// What `parse` takes, as far as JSON Schema can tell; it takes nothing else.
    fn schema(&self) -> Json;
}

/// `true` or `false`.
pub(super) struct Boolean;

impl Kind for Boolean {
    type Value = bool;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<bool> {
        match raw.kind {
            raw::Kind::Boolean(value) => Some(value),
            _ => refuse_kind(key, raw, "true or false", report),
        }
    }

    fn show(&self, value: &bool) -> Json {
        Json::Bool(*value)
    }

    fn schema(&self) -> Json {
        schema::boolean()
    }
}

/// How many of all: from 0 to 1.
pub(super) struct SampleFraction;

impl Kind for SampleFraction {
    type Value = Sample;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Sample> {
        let number = match raw.kind {
            raw::Kind::Float(number) => number,
            raw::Kind::Integer(number) => number as f64,
            _ => return refuse_kind(key, raw, "a number from 0 to 1", report),
        };
        let sample = Sample::of_fraction(number);
        if sample.is_none() {
            report.error(
                raw.location,
                format!("`{key}` is out of range"),
                "allowed are 0 to 1, such as 0.01",
            );
        }
        sample
    }

    fn show(&self, value: &Sample) -> Json {
        Json::from(value.fraction())
    }

    fn schema(&self) -> Json {
        schema::number(0..=1)
    }
}

/// A whole number in a range.
pub(super) struct Integer(pub RangeInclusive<u32>);

impl Kind for Integer {
    type Value = u32;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<u32> {
        let raw::Kind::Integer(value) = raw.kind else {
            return refuse_kind(key, raw, "an integer", report);
        };
        let value = u32::try_from(value).ok().filter(|value| self.0.contains(value));
        if value.is_none() {
            let allowed = format!("allowed are {} to {}", self.0.start(), self.0.end());
            report.error(raw.location, format!("`{key}` is out of range"), allowed);
        }
        value
    }

    fn show(&self, value: &u32) -> Json {
        Json::from(*value)
    }

    fn schema(&self) -> Json {
        schema::integer(u64::from(*self.0.start())..=u64::from(*self.0.end()))
    }
}

/// A number with a unit of time, in a range.
pub(super) struct Time(pub RangeInclusive<Duration>);

/// A range of times in whole seconds, both ends included.
pub(super) const fn seconds(least: u64, most: u64) -> Time {
    Time(Duration::from_secs(least)..=Duration::from_secs(most))
}

impl Kind for Time {
    type Value = Duration;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Duration> {
        let duration = duration(key, raw, report)?;
        if !self.0.contains(&duration) {
            let [least, most] = [self.0.start(), self.0.end()].map(|limit| units::format_duration(*limit));
            report.error(
                raw.location,
                format!("`{key}` is out of range"),
                format!("allowed are {least} to {most}"),
            );
            return None;
        }
        Some(duration)
    }

    fn show(&self, value: &Duration) -> Json {
        Json::String(units::format_duration(*value))
    }

    fn schema(&self) -> Json {
        schema::pattern(&units::duration_pattern())
    }
}

/// No time at all, or a time in a range.
pub(super) struct ZeroOrTime(pub RangeInclusive<Duration>);

impl Kind for ZeroOrTime {
    type Value = Duration;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Duration> {
        let duration = duration(key, raw, report)?;
        if !duration.is_zero() && !self.0.contains(&duration) {
            let [least, most] = [self.0.start(), self.0.end()].map(|limit| units::format_duration(*limit));
            report.error(
                raw.location,
                format!("`{key}` is out of range"),
                format!("allowed are 0s, and {least} to {most}"),
            );
            return None;
        }
        Some(duration)
    }

    fn show(&self, value: &Duration) -> Json {
        Json::String(units::format_duration(*value))
    }

    fn schema(&self) -> Json {
        schema::pattern(&units::duration_pattern())
    }
}

fn duration(key: &str, raw: &raw::Value, report: &mut Report) -> Option<Duration> {
    let text = match &raw.kind {
        raw::Kind::Text(text) => text,
        raw::Kind::Integer(number) => {
            let help = format!("write \"{number}s\" for seconds; the units are ms, s, m, h, d");
            report.error(raw.location, format!("`{key}` needs a unit"), help);
            return None;
        }
        _ => return refuse_kind(key, raw, "a duration such as \"15s\"", report),
    };
    let duration = units::parse_duration(text);
    if duration.is_none() {
        let help = "write a whole number and ms, s, m or h: \"500ms\", \"15s\", \"5m\", \"1h\"";
        report.error(raw.location, format!("`{key}` is not a duration"), help);
    }
    duration
}

/// A number of bytes, or a number with a unit, in a range.
pub(super) struct Size(pub RangeInclusive<u64>);

impl Kind for Size {
    type Value = u64;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<u64> {
        let bytes = match &raw.kind {
            raw::Kind::Integer(bytes) => u64::try_from(*bytes).ok(),
            raw::Kind::Text(text) => {
                let bytes = units::parse_size(text);
                if bytes.is_none() {
                    let help = units::short_size(text).map_or_else(
                        || {
                            "write bytes as a number, or a whole number and a unit: \"64KiB\", \"10MB\""
                                .to_owned()
                        },
                        |long| format!("write \"{long}\""),
                    );
                    report.error(raw.location, format!("`{key}` is not a size"), help);
                    return None;
                }
                bytes
            }
            _ => return refuse_kind(key, raw, "a size such as \"64KiB\"", report),
        };
        let bytes = bytes.filter(|bytes| self.0.contains(bytes));
        if bytes.is_none() {
            let [least, most] = [self.0.start(), self.0.end()].map(|limit| units::format_size(*limit));
            report.error(
                raw.location,
                format!("`{key}` is out of range"),
                format!("allowed are {least} to {most}"),
            );
        }
        bytes
    }

    fn show(&self, value: &u64) -> Json {
        match *value {
            0 => Json::from(0),
            bytes => Json::String(units::format_size(bytes)),
        }
    }

    fn schema(&self) -> Json {
        schema::any_of([schema::integer(self.0.clone()), schema::pattern(&units::size_pattern())])
    }
}

/// One of a few words.
pub(super) struct Choice<V: 'static> {
    /// The word of each value.
    pub words: &'static [(&'static str, V)],
    /// The words of the cloud products that mean the same.
    pub aliases: &'static [(&'static str, V)],
    /// Words that a later version will know, aliases included.
    pub later: &'static [&'static str],
}

/// What a [`Choice`] says of its words: one function of each kind for all choices, whatever their values are.
struct AllowedWords {
    known: Vec<&'static str>,
    aliases: Vec<&'static str>,
    later: &'static [&'static str],
}

impl AllowedWords {
    /// Which of them a text is, aliases counted on from the others.
    fn find(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<usize> {
        let raw::Kind::Text(text) = &raw.kind else {
            let message = format!("`{key}` must be a string, not {}", raw.kind_name());
            report.error(raw.location, message, self.listed());
            return None;
        };
        let found = self.known.iter().chain(&self.aliases).position(|word| word == text);
        if found.is_none() {
            self.refuse(key, text, raw.location, report);
        }
        found
    }

    fn listed(&self) -> String {
        match self.known.as_slice() {
            [only] => format!("it must be \"{only}\""),
            several => format!("allowed are \"{}\"", several.join("\", \"")),
        }
    }

    fn refuse(&self, key: &str, text: &str, location: Location, report: &mut Report) {
        let listed = self.listed();
        if self.later.contains(&text) {
            let message = format!("`{key}` = \"{text}\" is not supported yet by this version");
            return report.error(location, message, listed);
        }
        if let Some(fix) = vocabulary::our_meaning(key, text) {
            let message = format!("invalid value \"{}\" for `{key}`", text.escape_debug());
            return report.error(location, message, fix);
        }
        let help = match vocabulary::our_value(text, &self.known).or_else(|| nearest(text, &self.known)) {
            Some(near) => format!("did you mean \"{near}\"? {listed}"),
            None => listed,
        };
        report.error(location, format!("invalid value \"{}\" for `{key}`", text.escape_debug()), help);
    }

    fn schema(self) -> Json {
        schema::words(self.known.into_iter().chain(self.aliases))
    }
}

impl<V: Clone + PartialEq> Choice<V> {
    fn all(&self) -> AllowedWords {
        let words = |of: &[(&'static str, V)]| of.iter().map(|(word, _)| *word).collect();
        AllowedWords { known: words(self.words), aliases: words(self.aliases), later: self.later }
    }
}

impl<V: Clone + PartialEq> Kind for Choice<V> {
    type Value = V;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<V> {
        let found = self.all().find(key, raw, report)?;
        self.words.iter().chain(self.aliases).nth(found).map(|(_, value)| value.clone())
    }

    fn show(&self, value: &V) -> Json {
        self.words.iter().find(|(_, known)| known == value).map_or(Json::Null, |(word, _)| Json::from(*word))
    }

    fn schema(&self) -> Json {
        self.all().schema()
    }
}

/// The name of a thing that others refer to.
pub(super) struct Name;

/// Names stand in logs and metric labels, so they stay short and plain.
const MAX_NAME_LENGTH: usize = 64;

impl Kind for Name {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > MAX_NAME_LENGTH || !text.chars().all(is_plain) {
            let help = "a name has 1 to 64 characters: ASCII letters, digits, `-`, `_` and `.`";
            report.error(raw.location, format!("`{key}` is not a valid name"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern(&format!("^[A-Za-z0-9._-]{{1,{MAX_NAME_LENGTH}}}$"))
    }
}

/// Text that is sent as the value of a header field.
pub(super) struct FieldValue;

impl Kind for FieldValue {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if !(1..=128).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let help = "it is sent in a header: 1 to 128 visible ASCII characters, no spaces";
            report.error(raw.location, format!("`{key}` cannot be sent as it is"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern("^[!-~]{1,128}$")
    }
}

/// The name of a header field; empty: none.
pub(super) struct FieldName;

/// Characters of the name of a header that the configuration names.
const MAX_FIELD_NAME_LENGTH: usize = 100;

impl Kind for FieldName {
    type Value = Option<String>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Option<String>> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if text.is_empty() {
            return Some(None);
        }
        if !is_token(text) || text.len() > MAX_FIELD_NAME_LENGTH {
            let help = "a name has 1 to 100 characters: ASCII letters, digits and any of !#$%&'*+-.^_`|~";
            report.error(raw.location, format!("`{key}` is not a valid name of a header"), help);
            return None;
        }
        Some(Some(text.clone()))
    }

    fn show(&self, value: &Option<String>) -> Json {
        Json::from(value.as_deref().unwrap_or_default())
    }

    fn schema(&self) -> Json {
        schema::pattern(&format!("^{TOKEN}{{0,{MAX_FIELD_NAME_LENGTH}}}$"))
    }
}

/// A character of a [token](is_token), as a regular expression.
pub(super) const TOKEN: &str = "[!#$%&'*+.^_`|~0-9A-Za-z-]";

/// RFC 9110 §5.6.2: what names of fields and of cookies are.
pub(super) fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// Reports that a value is not even of the kind that its key takes.
pub(super) fn refuse_kind<T>(key: &str, raw: &raw::Value, expected: &str, report: &mut Report) -> Option<T> {
    report_kind(key, raw, expected, report);
    None
}

/// By itself, for each type of what is refused would have another copy of it.
fn report_kind(key: &str, raw: &raw::Value, expected: &str, report: &mut Report) {
    let message = format!("`{key}` must be {expected}, not {}", raw.kind_name());
    let help = match raw.kind {
        raw::Kind::Text(ref text) if expected == "true or false" => match raw::truth(text) {
            Some(truth) => format!("write {key} = {truth}"),
            None => "write true or false, without quotes".to_owned(),
        },
        raw::Kind::Text(ref text) if expected == "an integer" && text.parse::<i128>().is_ok() => {
            "write it without quotes".to_owned()
        }
        _ if expected == "a string" => "write a quoted string".to_owned(),
        _ => format!("write {expected}"),
    };
    report.error(raw.location, message, help);
}

/// The values of a list that must not be empty.
pub(super) fn list<'r>(
    key: &str,
    raw: &'r raw::Value,
    expected: &str,
    report: &mut Report,
) -> Option<&'r [raw::Value]> {
    match &raw.kind {
        raw::Kind::Array(values) if values.is_empty() => {
            report.error(raw.location, format!("`{key}` is an empty list"), format!("write {expected}"));
            None
        }
        raw::Kind::Array(values) => Some(values),
        _ => refuse_kind(key, raw, expected, report),
    }
}
