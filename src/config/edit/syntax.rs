//! A text of the configuration with the place of everything in it, so that a piece can be changed without the rest.
//!
//! This is the only file that names the `toml_parser` package: that of `toml` and `toml_edit`, which both leave out where
//! keys stand apart and how lines end.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Map;
use serde_json::Value as Json;
use toml_parser::ParseError;
use toml_parser::Source;
use toml_parser::decoder::ScalarKind;
use toml_parser::parser;
use toml_parser::parser::Event;
use toml_parser::parser::EventKind;
use toml_parser::parser::RecursionGuard;

/// How deep tables and lists may stand in one another; the reader of configurations allows as much.
const MAX_DEPTH: u32 = 80;

/// The sections of a text. There is at least one.
pub(super) struct TextOutline {
    pub sections: Vec<TextSection>,
}

/// What stands up to the next header.
pub(super) struct TextSection {
    /// None for the first only.
    pub header: Option<TextHeader>,
    pub assignments: Vec<Assignment>,
}

/// `[a.b]` or `[[a.b]]`.
pub(super) struct TextHeader {
    pub path: Vec<String>,
    pub is_element: bool,
    pub span: Range<usize>,
}

/// `a.b = 1`.
pub(super) struct Assignment {
    pub path: Vec<String>,
    pub start: usize,
    pub value: TextValue,
}

pub(super) struct TextValue {
    pub span: Range<usize>,
    pub content: TextContent,
}

pub(super) enum TextContent {
    /// Null for what JSON does not have: a date, a float beyond all numbers.
    Scalar(Json),
    List(Bracketed<TextValue>),
    Inline(Bracketed<Assignment>),
}

/// What stands in brackets or braces.
pub(super) struct Bracketed<T> {
    pub items: Vec<T>,
    /// Where the commas stand: one behind each item, but the last may have none.
    pub commas: Vec<usize>,
}

impl Assignment {
    /// From the first letter of the key to the last of the value.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.value.span.end
    }
}

impl TextValue {
    /// Recursion is bounded: the parser refuses deep nesting.
    pub(super) fn to_json(&self) -> Json {
        match &self.content {
            TextContent::Scalar(scalar) => scalar.clone(),
            TextContent::List(list) => list.items.iter().map(TextValue::to_json).collect(),
            TextContent::Inline(table) => {
                let mut object = Map::new();
                table.items.iter().for_each(|assignment| put(&mut object, assignment));
                Json::Object(object)
            }
        }
    }
}

/// Adds what an assignment says.
pub(super) fn put(object: &mut Map<String, Json>, assignment: &Assignment) {
    let Some((key, tables)) = assignment.path.split_last() else { return };
    let mut object = object;
    for table in tables {
        let inner = object.entry(table.as_str()).or_insert_with(|| Json::Object(Map::new()));
        let Json::Object(inner) = inner else { return };
        object = inner;
    }
    object.insert(key.clone(), assignment.value.to_json());
}

/// Reads a text.
///
/// # Errors
/// It is not TOML; where.
pub(super) fn read(text: &str) -> Result<TextOutline, usize> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
    let mut errors: Vec<ParseError> = Vec::new();
    parser::parse_document(&tokens, &mut RecursionGuard::new(&mut events, MAX_DEPTH), &mut errors);
    if let Some(error) = errors.first() {
        return Err(error.unexpected().map_or(0, |span| span.start()));
    }
    events.retain(|event| {
        !matches!(event.kind(), EventKind::Whitespace | EventKind::Comment | EventKind::Newline)
    });
    let mut reader = EventReader { source, events: &events, errors: Vec::new() };
    let outline = reader.outline()?;
    match reader.errors.first() {
        Some(error) => Err(error.unexpected().map_or(0, |span| span.start())),
        None => Ok(outline),
    }
}

struct EventReader<'t, 'e> {
    source: Source<'t>,
    /// Those that are left.
    events: &'e [Event],
    /// Of keys and values.
    errors: Vec<ParseError>,
}

impl EventReader<'_, '_> {
    fn outline(&mut self) -> Result<TextOutline, usize> {
        let mut sections = vec![TextSection { header: None, assignments: Vec::new() }];
        while let Some(event) = self.take() {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                    let header = Some(self.header(event)?);
                    sections.push(TextSection { header, assignments: Vec::new() });
                }
                EventKind::SimpleKey => {
                    let assignment = self.assignment(event)?;
                    if let Some(section) = sections.last_mut() {
                        section.assignments.push(assignment);
                    }
                }
                _ => return Err(event.span().start()),
            }
        }
        Ok(TextOutline { sections })
    }

    fn take(&mut self) -> Option<Event> {
        let (first, rest) = self.events.split_first()?;
        self.events = rest;
        Some(*first)
    }

    /// What must come.
    fn expect(&mut self) -> Result<Event, usize> {
        self.take().ok_or(self.source.input().len())
    }

    fn header(&mut self, open: Event) -> Result<TextHeader, usize> {
        let mut path = Vec::new();
        loop {
            let event = self.expect()?;
            match event.kind() {
                EventKind::SimpleKey => path.push(self.key(event)),
                EventKind::KeySep => {}
                EventKind::StdTableClose | EventKind::ArrayTableClose => {
                    let is_element = open.kind() == EventKind::ArrayTableOpen;
                    return Ok(TextHeader {
                        path,
                        is_element,
                        span: open.span().start()..event.span().end(),
                    });
                }
                _ => return Err(event.span().start()),
            }
        }
    }

    fn assignment(&mut self, first: Event) -> Result<Assignment, usize> {
        let mut path = vec![self.key(first)];
        loop {
            let event = self.expect()?;
            match event.kind() {
                EventKind::SimpleKey => path.push(self.key(event)),
                EventKind::KeySep => {}
                EventKind::KeyValSep => break,
                _ => return Err(event.span().start()),
            }
        }
        let value = self.expect()?;
        Ok(Assignment { path, start: first.span().start(), value: self.value(value)? })
    }

    fn value(&mut self, first: Event) -> Result<TextValue, usize> {
        let (content, end) = match first.kind() {
            EventKind::Scalar => (TextContent::Scalar(self.scalar(first)), first.span().end()),
            EventKind::ArrayOpen => {
                let (list, end) = self.bracketed(EventKind::ArrayClose, EventReader::value)?;
                (TextContent::List(list), end)
            }
            EventKind::InlineTableOpen => {
                let (table, end) = self.bracketed(EventKind::InlineTableClose, EventReader::assignment)?;
                (TextContent::Inline(table), end)
            }
            _ => return Err(first.span().start()),
        };
        Ok(TextValue { span: first.span().start()..end, content })
    }

    /// What stands up to the closing bracket, and where that ends.
    fn bracketed<T>(
        &mut self,
        close: EventKind,
        item: fn(&mut Self, Event) -> Result<T, usize>,
    ) -> Result<(Bracketed<T>, usize), usize> {
        let (mut items, mut commas) = (Vec::new(), Vec::new());
        loop {
            let event = self.expect()?;
            match event.kind() {
                EventKind::ValueSep => commas.push(event.span().start()),
                kind if kind == close => return Ok((Bracketed { items, commas }, event.span().end())),
                _ => items.push(item(self, event)?),
            }
        }
    }

    fn key(&mut self, event: Event) -> String {
        let mut key = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut key, &mut self.errors);
        }
        key.into_owned()
    }

    fn scalar(&mut self, event: Event) -> Json {
        let mut text = Cow::Borrowed("");
        let Some(raw) = self.source.get(event) else { return Json::Null };
        match raw.decode_scalar(&mut text, &mut self.errors) {
            ScalarKind::String => Json::String(text.into_owned()),
            ScalarKind::Boolean(truth) => Json::Bool(truth),
            ScalarKind::Integer(radix) => {
                i64::from_str_radix(&text, radix.value()).map_or(Json::Null, Json::from)
            }
            ScalarKind::Float => text.parse::<f64>().map_or(Json::Null, Json::from),
            ScalarKind::DateTime => Json::Null,
        }
    }
}
