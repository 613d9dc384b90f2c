//! The whole configuration in force: every key with its value, and where the value came from.

use std::fmt::Write as _;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::in_order;
use crate::config::report::Location;
use crate::config::report::Report;

/// The column in which the origin of a value stands, where the value leaves room for it.
const ORIGIN_COLUMN: usize = 44;

/// Recorded while the tables are checked, so that no key can be forgotten.
#[derive(Default)]
pub struct Effective {
    tables: Vec<EffectiveTable>,
}

/// What a listener offers in a handshake, as names.
pub struct Offered {
    pub versions: Vec<String>,
    pub cipher_suites: Vec<String>,
    pub key_exchange_groups: Vec<String>,
}

struct EffectiveTable {
    /// Dotted, as in the header; empty for the keys before the first table.
    path: &'static str,
    form: Form,
    lines: Vec<EffectiveLine>,
    /// What the listener offers, where it speaks TLS.
    offered: Option<Offered>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `[path]`
    Single,
    /// `[[path]]`, one of a list.
    Element,
    /// Not in the file, and nothing takes its place; the text says what that means.
    Absent(&'static str),
}

struct EffectiveLine {
    key: &'static str,
    setting: Setting,
}

enum Setting {
    Value {
        value: Json,
        /// None for a default.
        from: Option<Location>,
    },
    /// What happens without a value.
    Unset(&'static str),
}

impl Effective {
    /// The configuration as TOML, each key followed by `# file:line` or `# default`.
    /// Loading it gives the same configuration, but for secrets, which are not in it.
    pub fn to_toml(&self, report: &Report) -> String {
        let mut text = String::new();
        for table in &self.tables {
            // Writing into a string cannot fail.
            let path = table.path;
            let _ = match table.form {
                Form::Single if path.is_empty() => Ok(()),
                Form::Single => writeln!(text, "\n[{path}]"),
                Form::Element => writeln!(text, "\n[[{path}]]"),
                Form::Absent(meaning) => writeln!(text, "\n# [{path}] is not set: {meaning}"),
            };
            for line in &table.lines {
                let _ = match &line.setting {
                    Setting::Value { value, from } => {
                        let assignment = format!("{} = {}", line.key, toml_value(value));
                        writeln!(text, "{assignment:<ORIGIN_COLUMN$} # {}", origin(*from, report))
                    }
                    Setting::Unset(meaning) => writeln!(text, "# {} is not set: {meaning}", line.key),
                };
            }
            for (what, names) in table.offered.iter().flat_map(Offered::lists) {
                let _ = writeln!(text, "# offered {}: {}", what.replace('_', " "), names.join(", "));
            }
        }
        text
    }

    /// The configuration as JSON: under `config` the tables as in the file, under `origins` for each
    /// key, such as `listener[0].idle_timeout`, its `file:line` or `default`. Under `offered` stands for
    /// each https listener what is left of its TLS policy.
    pub fn to_json(&self, report: &Report) -> String {
        let mut config = Map::new();
        let mut origins = Map::new();
        let mut offered = Map::new();
        for table in &self.tables {
            if let Form::Absent(_) = table.form {
                let (parent, key) = table.path.rsplit_once('.').unwrap_or(("", table.path));
                open(&mut config, parent, Form::Single).1.insert(key.to_owned(), Json::Null);
                continue;
            }
            let (place, object) = open(&mut config, table.path, table.form);
            if let Some(lists) = table.offered.as_ref().map(Offered::lists) {
                let lists = lists.into_iter().map(|(what, names)| (what, Json::from(names.as_slice())));
                offered.insert(place.trim_end_matches('.').to_owned(), Json::Object(in_order::object(lists)));
            }
            for line in &table.lines {
                let (value, from) = match &line.setting {
                    Setting::Value { value, from } => (value.clone(), origin(*from, report)),
                    Setting::Unset(_) => (Json::Null, origin(None, report)),
                };
                object.insert(line.key.to_owned(), value);
                origins.insert(format!("{place}{}", line.key), Json::String(from));
            }
        }
        format!("{:#}", serde_json::json!({ "config": config, "offered": offered, "origins": origins }))
    }

    /// Tells what the listener with this index offers.
    pub fn set_offered(&mut self, listener: usize, offered: Offered) {
        let mut listeners =
            self.tables.iter_mut().filter(|table| table.path == "listener" && table.form == Form::Element);
        if let Some(table) = listeners.nth(listener) {
            table.offered = Some(offered);
        }
    }

    pub(super) fn open_table(&mut self, path: &'static str, form: Form) {
        self.tables.push(EffectiveTable { path, form, lines: Vec::new(), offered: None });
    }

    pub(super) fn set(&mut self, key: &'static str, value: Json, from: Option<Location>) {
        self.push(key, Setting::Value { value, from });
    }

    pub(super) fn leave_unset(&mut self, key: &'static str, meaning: &'static str) {
        self.push(key, Setting::Unset(meaning));
    }

    /// Every key of every table with the place it was set at.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'static str, &'static str, Option<Location>)> {
        self.tables.iter().flat_map(|table| {
            table.lines.iter().map(|line| match line.setting {
                Setting::Value { from, .. } => (table.path, line.key, from),
                Setting::Unset(_) => (table.path, line.key, None),
            })
        })
    }

    fn push(&mut self, key: &'static str, setting: Setting) {
        if self.tables.is_empty() {
            self.open_table("", Form::Single);
        }
        if let Some(table) = self.tables.last_mut() {
            table.lines.push(EffectiveLine { key, setting });
        }
    }
}

impl Offered {
    fn lists(&self) -> [(&'static str, &Vec<String>); 3] {
        [
            ("versions", &self.versions),
            ("cipher_suites", &self.cipher_suites),
            ("key_exchange_groups", &self.key_exchange_groups),
        ]
    }
}

/// Text as a TOML string, quotes included. For those who write a configuration for others to load.
pub fn toml_string(text: &str) -> String {
    // JSON escapes what TOML wants escaped, except DEL.
    Json::String(text.to_owned()).to_string().replace('\x7f', "\\u007F")
}

/// A value as TOML, in one line; none is null.
pub fn toml_value(value: &Json) -> String {
    match value {
        Json::String(text) => toml_string(text),
        Json::Array(values) => format!("[{}]", values.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) => {
            // The keys are ours, and plain.
            let entries = entries.iter().map(|(key, value)| format!("{key} = {}", toml_value(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn origin(from: Option<Location>, report: &Report) -> String {
    from.map_or("default".to_owned(), |location| report.place(location))
}

/// The object that a table fills, made where it stands, and its place such as `listener[0].forwarded.`.
/// As in TOML, a path through a list means the list's last element.
fn open<'c>(
    config: &'c mut Map<String, Json>,
    path: &str,
    form: Form,
) -> (String, &'c mut Map<String, Json>) {
    let mut place = String::new();
    let mut object = config;
    let mut steps = path.split('.').filter(|step| !step.is_empty()).peekable();
    while let Some(step) = steps.next() {
        place.push_str(step);
        let is_new_element = form == Form::Element && steps.peek().is_none();
        let fresh = if is_new_element { Json::Array(Vec::new()) } else { Json::Object(Map::new()) };
        let mut next = object.entry(step).or_insert(fresh);
        if let Json::Array(elements) = next {
            if is_new_element || elements.is_empty() {
                elements.push(Json::Object(Map::new()));
            }
            let last = elements.len() - 1;
            let _ = write!(place, "[{last}]");
            next = &mut elements[last];
        }
        place.push('.');
        object = next.as_object_mut().expect("tables and elements are objects, made above");
    }
    (place, object)
}
