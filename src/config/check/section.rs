//! One table being read: asks for keys one by one, then reports the keys that were not asked for.

use serde_json::Value as Json;

use crate::config::check::kind::Kind;
use crate::config::check::vocabulary;
use crate::config::effective::Effective;
use crate::config::effective::Form;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema::Presence;
use crate::config::schema::SchemaTables;

/// What checking fills beside the configuration itself.
pub(super) struct Output {
    pub report: Report,
    pub effective: Effective,
    /// Where each key leaves what it can be; None where nobody wants to know.
    pub schema: Option<SchemaTables>,
}

impl Output {
    pub(super) fn new(report: Report) -> Output {
        Output { report, effective: Effective::default(), schema: None }
    }
}

pub(super) struct Section<'t, 'o> {
    /// As in the file: `[[listener]]`.
    title: String,
    /// As in the header: `listener`.
    path: &'static str,
    /// None: the table is not in the file, every key has its default.
    table: Option<&'t raw::Table>,
    known: Vec<&'static str>,
    /// Keys whose values were refused.
    refused: Vec<&'static str>,
    pub(super) output: &'o mut Output,
}

impl<'t, 'o> Section<'t, 'o> {
    /// A `[path]`.
    pub(super) fn single(path: &'static str, table: Option<&'t raw::Table>, output: &'o mut Output) -> Self {
        output.effective.open_table(path, Form::Single);
        Section::new((path, Form::Single), table, output)
    }

    /// One of a list of `[[path]]`.
    pub(super) fn element(path: &'static str, table: &'t raw::Table, output: &'o mut Output) -> Self {
        output.effective.open_table(path, Form::Element);
        Section::new((path, Form::Element), Some(table), output)
    }

    fn new(
        (path, form): (&'static str, Form),
        table: Option<&'t raw::Table>,
        output: &'o mut Output,
    ) -> Self {
        let is_element = form == Form::Element;
        if let Some(schema) = &mut output.schema {
            schema.open(path, is_element);
        }
        let title = if is_element { format!("[[{path}]]") } else { format!("[{path}]") };
        Section { title, path, table, known: Vec::new(), refused: Vec::new(), output }
    }

    pub(super) fn report(&mut self) -> &mut Report {
        &mut self.output.report
    }

    pub(super) fn read<K: Kind>(&mut self, key: &'static str, kind: &K, default: K::Value) -> K::Value {
        self.describe(key, || (kind.schema(), Presence::Default(kind.show(&default))));
        match self.find(key) {
            None => {
                self.output.effective.set(key, kind.show(&default), None);
                default
            }
            Some(_) => self.parse(key, kind).map_or(default, |(value, _)| value),
        }
    }

    /// `idle` says why the key has no effect, if it has none: then its default is not shown, and a value
    /// gets a warning.
    pub(super) fn read_unless<K: Kind>(
        &mut self,
        idle: Option<&'static str>,
        key: &'static str,
        kind: &K,
        default: K::Value,
    ) -> K::Value {
        match idle {
            None => self.read(key, kind, default),
            Some(reason) => {
                let value = self.read_optional(key, kind, reason);
                self.warn_idle(key, value.as_ref().and(idle));
                value.map_or(default, |(value, _)| value)
            }
        }
    }

    /// Warns that a key has no effect, if there is a reason for that. Nobody knows where the `protocol` was refused.
    pub(super) fn warn_idle(&mut self, key: &'static str, idle: Option<&str>) {
        if let (Some(reason), Some(location)) = (idle, self.place_of(key))
            && !self.is_refused("protocol")
        {
            let message = format!("`{key}` has no effect: {reason}");
            self.report().warning(location, message, "remove it");
        }
    }

    /// `unset` says what happens without the key.
    pub(super) fn read_optional<K: Kind>(
        &mut self,
        key: &'static str,
        kind: &K,
        unset: &'static str,
    ) -> Option<(K::Value, Location)> {
        self.describe(key, || (kind.schema(), Presence::Optional));
        if self.find(key).is_none() {
            self.output.effective.leave_unset(key, unset);
            return None;
        }
        self.parse(key, kind)
    }

    /// A key that is shown only where it is set.
    pub(super) fn read_present<K: Kind>(
        &mut self,
        key: &'static str,
        kind: &K,
    ) -> Option<(K::Value, Location)> {
        self.describe(key, || (kind.schema(), Presence::Optional));
        self.find(key)?;
        self.parse(key, kind)
    }

    /// `example` is a line that would fix the absence.
    pub(super) fn read_required<K: Kind>(
        &mut self,
        key: &'static str,
        kind: &K,
        example: &str,
    ) -> Option<(K::Value, Location)> {
        self.describe(key, || (kind.schema(), Presence::Required));
        if self.find(key).is_none() {
            self.missing(key, example);
            return None;
        }
        self.parse(key, kind)
    }

    /// The tables of the list `key`, each with the place of its header; None when there is no such key.
    pub(super) fn elements(&mut self, key: &'static str) -> Option<Vec<&'t raw::Table>> {
        let title = format!("{}.{key}]]", self.title.trim_end_matches(']'));
        let entry = self.find(key)?;
        Some(elements_of(entry, &title, &mut self.output.report))
    }

    /// The table `key`.
    pub(super) fn table(&mut self, key: &'static str) -> Option<&'t raw::Table> {
        let title = format!("{}.{key}]", self.title.trim_matches(['[', ']']));
        let entry = self.find(key)?;
        table_of(entry, &format!("[{title}"), &mut self.output.report)
    }

    /// Where a key stands, without looking at its value.
    pub(super) fn place_of(&mut self, key: &'static str) -> Option<Location> {
        self.find(key).map(|entry| entry.key_location)
    }

    /// Where the value of a key stands.
    pub(super) fn place_of_value(&mut self, key: &'static str) -> Option<Location> {
        self.find(key).map(|entry| entry.value.location)
    }

    /// Where the header stands.
    pub(super) fn location(&self) -> Location {
        self.table.map_or(Location::default(), |table| table.location)
    }

    /// Whether a key was read and its value refused, so that its default means nothing.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        self.refused.contains(&key)
    }

    /// Takes a key for one whose value was refused: what follows from it is not to be told.
    pub(super) fn refuse(&mut self, key: &'static str) {
        self.refused.push(key);
    }

    /// Reports that a key must be there, unless the text around it could not be read.
    pub(super) fn missing(&mut self, key: &str, example: &str) {
        let Some(table) = self.table else { return };
        if !self.output.report.is_broken(table.location) {
            let message = format!("`{key}` is missing in {}", self.title);
            self.output.report.error(table.location, message, format!("add {example}"));
        }
    }

    /// Warns of what may be left out, and seldom is.
    pub(super) fn warn_missing(&mut self, message: &str, help: &str) {
        let Some(table) = self.table else { return };
        if !self.output.report.is_broken(table.location) {
            self.output.report.warning(table.location, message, help);
        }
    }

    /// Reports the keys that were not asked for.
    pub(super) fn close(self) {
        let Some(table) = self.table else { return };
        report_unknown(&table.entries, &self.known, &self.title, &mut self.output.report);
    }

    /// The same, where other tables of this kind may have more keys. `why` says what this one is: "the protocol is tcp"; if
    /// the `protocol` was refused, it may be one that has them.
    pub(super) fn close_where(self, why: &str) {
        let Some(table) = self.table else { return };
        let is_elsewhere = |entry: &&raw::Entry| {
            !self.known.contains(&entry.key.as_str()) && vocabulary::is_at_home(&entry.key, &self.title)
        };
        let (elsewhere, others): (Vec<_>, Vec<_>) = table.entries.iter().partition(is_elsewhere);
        let is_unclear = self.is_refused("protocol");
        for entry in elsewhere.into_iter().filter(|_| !is_unclear) {
            let message = format!("`{}` has no effect where {why}", entry.key);
            let help = format!("remove it; valid keys: {}", self.known.join(", "));
            self.output.report.error(entry.key_location, message, help);
        }
        report_unknown(others, &self.known, &self.title, &mut self.output.report);
    }

    fn describe(&mut self, key: &'static str, what: impl FnOnce() -> (Json, Presence)) {
        if let Some(schema) = &mut self.output.schema {
            schema.add(self.path, key, what());
        }
    }

    fn find(&mut self, key: &'static str) -> Option<&'t raw::Entry> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table?.find(key)
    }

    fn parse<K: Kind>(&mut self, key: &'static str, kind: &K) -> Option<(K::Value, Location)> {
        let raw = &self.find(key)?.value;
        let Some(value) = kind.parse(key, raw, &mut self.output.report) else {
            self.refused.push(key);
            return None;
        };
        self.output.effective.set(key, kind.show(&value), Some(raw.location));
        Some((value, raw.location))
    }
}

/// Reports a table of a list that says nothing; `keys` are what it could say.
pub(super) fn is_empty_table(key: &str, value: &raw::Value, keys: &[&str], report: &mut Report) -> bool {
    let is_empty = matches!(&value.kind, raw::Kind::Table(table) if table.entries.is_empty());
    if is_empty {
        let help = format!("remove it, or write one of these in it: {}", keys.join(", "));
        report.error(value.location, format!("`{key}` has an empty table"), help);
    }
    is_empty
}

/// Reports every entry that is not known in the table with this title, which is empty at the top level.
pub(super) fn report_unknown<'t>(
    entries: impl IntoIterator<Item = &'t raw::Entry>,
    known: &[&str],
    title: &str,
    report: &mut Report,
) {
    for entry in entries.into_iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let word = match &entry.value.kind {
            raw::Kind::Table(_) => "table",
            raw::Kind::Array(values) if values.iter().any(is_table) => "table",
            _ => "key",
        };
        if vocabulary::comes_later(&entry.key, title) {
            let message = format!("`{}` is not supported yet by this version", entry.key);
            let help = format!("remove it; valid keys: {}", known.join(", "));
            report.error(entry.key_location, message, help);
            continue;
        }
        let place = if title.is_empty() { "at the top level".to_owned() } else { format!("in {title}") };
        let help = vocabulary::advice(&entry.key, title, known);
        report.error(entry.key_location, format!("unknown {word} `{}` {place}", entry.key), help);
    }
}

/// The tables of a list that must be written as `title`.
pub(super) fn elements_of<'t>(
    entry: &'t raw::Entry,
    title: &str,
    report: &mut Report,
) -> Vec<&'t raw::Table> {
    let mut tables = Vec::new();
    let values = match &entry.value.kind {
        raw::Kind::Array(values) => values.as_slice(),
        _ => std::slice::from_ref(&entry.value),
    };
    let is_list = matches!(entry.value.kind, raw::Kind::Array(_));
    for value in values {
        match &value.kind {
            raw::Kind::Table(table) if is_list => tables.push(table),
            raw::Kind::Table(_) if title.starts_with("[[") && has_tables_only(value) => {
                let message =
                    format!("a table of `{0}` stands above the {title} that it belongs to", entry.key);
                let help = format!("write {title} with its keys first, then what begins with {}.", entry.key);
                report.error(value.location, message, help);
            }
            _ => {
                let message = format!("`{}` must be a list of tables, not {}", entry.key, value.kind_name());
                report.error(value.location, message, format!("write {title} above its keys"));
            }
        }
    }
    tables
}

/// As with a `[[server_group.backend]]` before any `[[server_group]]`.
fn has_tables_only(value: &raw::Value) -> bool {
    let raw::Kind::Table(table) = &value.kind else { return false };
    !table.entries.is_empty()
        && table.entries.iter().all(|entry| match &entry.value.kind {
            raw::Kind::Table(_) => true,
            raw::Kind::Array(values) => values.iter().any(is_table),
            _ => false,
        })
}

pub(super) fn is_empty_list(entry: &raw::Entry) -> bool {
    matches!(&entry.value.kind, raw::Kind::Array(values) if values.is_empty())
}

/// The table that must be written as `title`.
pub(super) fn table_of<'t>(
    entry: &'t raw::Entry,
    title: &str,
    report: &mut Report,
) -> Option<&'t raw::Table> {
    match &entry.value.kind {
        raw::Kind::Table(table) => Some(table),
        raw::Kind::Array(values) if values.iter().any(is_table) => {
            let message = format!("there can be only one `{}`, not a list of them", entry.key);
            report.error(entry.key_location, message, format!("write {title}"));
            None
        }
        _ => {
            let message = format!("`{}` must be a table, not {}", entry.key, entry.value.kind_name());
            report.error(entry.value.location, message, format!("write {title} above its keys"));
            None
        }
    }
}

fn is_table(value: &raw::Value) -> bool {
    matches!(value.kind, raw::Kind::Table(_))
}
