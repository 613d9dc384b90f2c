//! What is wrong with a configuration and where: diagnostics with their place in the text.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use crate::config::in_order;

/// More of a line fills the screen and does not help.
const MAX_SHOWN_BYTES: usize = 400;
const SHOWN_BEFORE_BYTES: usize = 40;

/// One text of the configuration. The reading of files is done by the caller.
pub struct Source {
    /// As the operator named it; stands before every diagnostic.
    name: String,
    /// Where relative paths in the text start; absolute for a file.
    folder: PathBuf,
    /// The text, or why there is none.
    text: Result<String, String>,
    /// Byte offsets.
    line_starts: Vec<usize>,
    /// It is made of something else, so nobody edits it.
    is_generated: bool,
}

impl Source {
    pub fn file(name: &Path, folder: PathBuf, text: Result<String, String>) -> Source {
        let line_starts = line_starts(text.as_deref().unwrap_or_default());
        let name = printable(&name.display().to_string());
        Source { name, folder, text, line_starts, is_generated: false }
    }

    /// Text that no file holds, such as what `demo` makes up under the name `<demo>`.
    /// Relative paths start at the working folder.
    pub fn made_up(name: &str, text: String) -> Source {
        Source::file(Path::new(name), PathBuf::new(), Ok(text))
    }

    /// The same file with another text.
    pub fn with_text(&self, text: String) -> Source {
        Source {
            name: self.name.clone(),
            folder: self.folder.clone(),
            line_starts: line_starts(&text),
            text: Ok(text),
            is_generated: self.is_generated,
        }
    }

    /// The same, made of something else.
    pub fn generated(self) -> Source {
        Source { is_generated: true, ..self }
    }

    pub fn is_generated(&self) -> bool {
        self.is_generated
    }

    /// Where it was read from, absolute; None for what was made up.
    pub fn path(&self) -> Option<PathBuf> {
        let is_made_up = self.folder.as_os_str().is_empty();
        Some(self.folder.join(Path::new(&self.name).file_name()?)).filter(|_| !is_made_up)
    }

    /// The text, empty where there is none.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Why there is no text.
    pub fn failure(&self) -> Option<&str> {
        self.text.as_ref().err().map(String::as_str)
    }
}

/// A piece of the text of one [`Source`]. Means something only together with the [`Report`] it was
/// loaded with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Index of the source.
    source: u32,
    /// Byte offsets; `start <= end`.
    start: u32,
    end: u32,
}

impl Location {
    /// The offsets fit because the caller bounds the size of a file far below 4 GiB.
    pub(super) fn new(source: usize, span: std::ops::Range<usize>) -> Location {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Location { source: narrow(source), start: narrow(span.start), end: narrow(span.end) }
    }

    /// Whether the other piece begins in this one.
    pub(super) fn contains(self, other: Location) -> bool {
        self.source == other.source && self.start <= other.start && other.start < self.end.max(self.start + 1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
    /// Nothing is wrong, but the operator may want to know.
    Note,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing that is wrong, and its fix.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    pub location: Location,
    pub message: String,
    pub help: String,
}

/// Everything that was found, and the texts it was found in.
///
/// It stays open after loading: whoever finds out later that a name cannot be resolved appends an
/// error at the [`Location`] that the configuration carries.
#[derive(Default)]
pub struct Report {
    sources: Vec<Source>,
    diagnostics: Vec<Diagnostic>,
    /// What was said, and where.
    said: HashSet<(Location, String)>,
    /// What else is found on these lines is a consequence.
    broken: Vec<BrokenLines>,
    /// Lines that are never shown, by their source, because they may hold a secret.
    concealed: HashSet<(u32, usize)>,
    /// Warnings are errors.
    is_strict: bool,
}

/// Lines of a source that are not TOML, or whose table is unknown because its header is not.
struct BrokenLines {
    source: u32,
    lines: std::ops::Range<usize>,
}

impl Report {
    pub fn new(sources: Vec<Source>) -> Report {
        Report { sources, ..Report::default() }
    }

    /// Where in the text at `location` this text stands that begins with a letter which stands `before` times before it;
    /// all of the text if it is spelled otherwise there.
    pub(super) fn place_of(&self, location: Location, text: &str, before: usize) -> Location {
        let (start, end) = (location.start as usize, location.end as usize);
        let source = self.sources.get(location.source as usize).and_then(|source| source.text.as_ref().ok());
        let Some(span) = source.and_then(|source| source.get(start..end)) else { return location };
        let Some(letter) = text.chars().next() else { return location };
        let found = span.match_indices(letter).nth(before).map(|(place, _)| place);
        let found = found.filter(|place| span.get(*place..).is_some_and(|rest| rest.starts_with(text)));
        found.map_or(location, |place| {
            Location::new(location.source as usize, start + place..start + place + text.len())
        })
    }

    /// The files that were read; not what was made up, came through standard input, or is made of something else.
    pub fn files(&self) -> Vec<PathBuf> {
        self.sources.iter().filter(|source| !source.is_generated).filter_map(Source::path).collect()
    }

    pub fn error(&mut self, location: Location, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, location, message.into(), help.into());
    }

    pub fn warning(&mut self, location: Location, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, location, message.into(), help.into());
    }

    pub fn note(&mut self, location: Location, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Note, location, message.into(), help.into());
    }

    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Makes errors of all warnings, also of those that are yet to come. Notes stay what they are.
    pub fn be_strict(&mut self) {
        self.is_strict = true;
        let warnings = |diagnostic: &&mut Diagnostic| diagnostic.severity == Severity::Warning;
        for diagnostic in self.diagnostics.iter_mut().filter(warnings) {
            diagnostic.severity = Severity::Error;
        }
    }

    /// Everything found, in the order of the texts.
    pub fn diagnostics(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<_> = self.diagnostics.iter().collect();
        in_order::sort_by_key(&mut sorted, |diagnostic| (diagnostic.location, diagnostic.severity));
        sorted
    }

    /// `file:line` of a location.
    pub fn place(&self, location: Location) -> String {
        let spot = self.spot(location);
        format!("{}:{}", spot.file, spot.line)
    }

    /// `file:line:column` of a location.
    pub fn exact_place(&self, location: Location) -> String {
        let spot = self.spot(location);
        format!("{}:{}:{}", spot.file, spot.line, spot.column)
    }

    /// The report for people: for each diagnostic `file:line:column: error: message`, the source
    /// line with carets under the piece that is meant unless it may hold a secret, and the fix.
    pub fn to_text(&self, colour: bool) -> String {
        let mut text = String::new();
        for diagnostic in self.diagnostics() {
            self.write_diagnostic(&mut text, diagnostic, colour);
        }
        text
    }

    /// The report for programs: a list of `file`, `line`, `column`, `severity`, `message`, `help`.
    pub fn to_json(&self) -> String {
        let list = self.diagnostics().into_iter().map(|diagnostic| {
            let spot = self.spot(diagnostic.location);
            serde_json::json!({
                "file": spot.file,
                "line": spot.line,
                "column": spot.column,
                "severity": diagnostic.severity.as_str(),
                "message": diagnostic.message,
                "help": diagnostic.help,
            })
        });
        format!("{:#}", serde_json::Value::Array(list.collect()))
    }

    /// The texts, in the order in which they were read.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The text that a location is in.
    pub fn source_of(&self, location: Location) -> Option<&Source> {
        self.sources.get(location.source as usize)
    }

    /// The texts with their paths; in the place of lines that may hold a secret stands that they are not shown.
    pub fn shown_texts(&self) -> Vec<(Option<PathBuf>, String)> {
        let shown = |(index, source): (usize, &Source)| {
            let is_concealed =
                |line: usize| u32::try_from(index).is_ok_and(|index| self.concealed.contains(&(index, line)));
            let lines = source.text().split_inclusive('\n').enumerate();
            let lines =
                lines.map(|(index, line)| if is_concealed(index + 1) { "# (not shown)\n" } else { line });
            (source.path(), lines.collect())
        };
        self.sources.iter().enumerate().map(shown).collect()
    }

    /// Keeps the lines of a location out of what is said, be it said already or yet to come: diagnostics have their
    /// place, but do not show its text.
    pub(super) fn conceal(&mut self, location: Location) {
        let last = Location { start: location.end, ..location };
        let lines = self.spot(location).line..=self.spot(last).line;
        self.concealed.extend(lines.map(|line| (location.source, line)));
    }

    /// Where a relative path at this location starts.
    pub(super) fn folder(&self, location: Location) -> &Path {
        self.sources.get(location.source as usize).map_or(Path::new(""), |source| &source.folder)
    }

    /// An error of the TOML itself. What is later found on the same line is left out; after a bad
    /// header also what is found on the lines up to the next one.
    pub(super) fn broken(&mut self, location: Location, message: String, help: String) {
        let spot = self.spot(location);
        let (first, is_header) = (spot.line, spot.text.trim_start().starts_with('['));
        let text = self.sources.get(location.source as usize).map_or("", Source::text);
        let orphans = text.lines().skip(first).take_while(|line| !line.trim_start().starts_with('[')).count();
        let lines = first..first + 1 + if is_header { orphans } else { 0 };
        self.push(Severity::Error, location, message, help);
        self.broken.push(BrokenLines { source: location.source, lines });
    }

    /// Whether something of this source could not be read, so that what seems to be missing may
    /// only be out of sight.
    pub(super) fn is_broken(&self, location: Location) -> bool {
        let unread = self.sources.get(location.source as usize).is_some_and(|source| source.text.is_err());
        unread || self.broken.iter().any(|broken| broken.source == location.source)
    }

    /// Whether something of any source could not be read.
    pub(super) fn is_broken_anywhere(&self) -> bool {
        !self.broken.is_empty() || self.sources.iter().any(|source| source.text.is_err())
    }

    fn push(&mut self, severity: Severity, location: Location, message: String, help: String) {
        let is_consequence = !self.broken.is_empty() && {
            let line = self.spot(location).line;
            self.broken.iter().any(|broken| broken.source == location.source && broken.lines.contains(&line))
        };
        let severity = match severity {
            Severity::Warning if self.is_strict => Severity::Error,
            severity => severity,
        };
        // What stands once can be in force many times.
        let is_new = self.said.insert((location, message.clone()));
        if is_new && !is_consequence {
            self.diagnostics.push(Diagnostic { severity, location, message, help });
        }
    }

    fn write_diagnostic(&self, text: &mut String, diagnostic: &Diagnostic, colour: bool) {
        let spot = self.spot(diagnostic.location);
        let paint = |code: &str, word: &str| match colour {
            true => format!("\x1b[{code}m{word}\x1b[0m"),
            false => word.to_owned(),
        };
        let severity_colour = match diagnostic.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;34",
        };
        let severity = paint(severity_colour, &format!("{}:", diagnostic.severity.as_str()));
        // Writing into a string cannot fail.
        let _ =
            writeln!(text, "{}:{}:{}: {severity} {}", spot.file, spot.line, spot.column, diagnostic.message);
        let is_concealed = self.concealed.contains(&(diagnostic.location.source, spot.line));
        if !spot.text.is_empty() && !is_concealed {
            let margin = " ".repeat(spot.line.to_string().len());
            let _ = writeln!(text, " {margin} |");
            let _ = writeln!(text, " {} | {}", spot.line, printable(spot.text));
            let _ = writeln!(text, " {margin} | {}{}", spot.indent, paint(severity_colour, &spot.carets));
        }
        let _ = writeln!(text, "{} {}\n", paint("1;36", "help:"), diagnostic.help);
    }

    fn spot(&self, location: Location) -> Spot<'_> {
        let Some(source) = self.sources.get(location.source as usize) else {
            return Spot::nowhere();
        };
        let text = source.text();
        let start = floor_char_boundary(text, location.start as usize);
        let line = source.line_starts.partition_point(|line_start| *line_start <= start);
        let line_start = source.line_starts[line - 1];
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line_text = text[line_start..line_end].trim_end_matches('\r');
        let before = &text[line_start..start];
        let end = floor_char_boundary(text, location.end as usize).clamp(start, line_end);
        let column = before.chars().count() + 1;
        // The piece of a very long line that is meant is shown with a little before it.
        let cut = match line_text.len() {
            0..=MAX_SHOWN_BYTES => 0,
            _ => floor_char_boundary(line_text, before.len().saturating_sub(SHOWN_BEFORE_BYTES)),
        };
        let shown = &line_text[cut..floor_char_boundary(line_text, cut + MAX_SHOWN_BYTES)];
        let before = before.get(cut..).unwrap_or_default();
        let end = end.min(line_start + cut + shown.len()).max(start);
        // A tab before the carets stays a tab, so that they stand under their piece at any tab width.
        let indent = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        Spot {
            file: &source.name,
            line,
            column,
            text: shown,
            indent,
            carets: "^".repeat(text[start..end].trim_end().chars().count().max(1)),
        }
    }
}

/// A location as people see it. Lines and columns count from 1, columns in characters.
struct Spot<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    text: &'r str,
    indent: String,
    carets: String,
}

impl Spot<'_> {
    fn nowhere() -> Spot<'static> {
        Spot { file: "<none>", line: 1, column: 1, text: "", indent: String::new(), carets: String::new() }
    }
}

/// Where each line begins; the first is at 0.
fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect()
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A file may hold anything; a terminal must not act on it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
