//! The layout of a configuration: spaces, blank lines and line ends. Comments, order and words stay.
//!
//! This is the only file that names the `toml_edit` package.

use toml_edit::Array;
use toml_edit::Decor;
use toml_edit::DocumentMut;
use toml_edit::InlineTable;
use toml_edit::Item;
use toml_edit::KeyMut;
use toml_edit::RawString;
use toml_edit::Table;
use toml_edit::Value;

use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::report::Source;

/// What each level of a list over several lines is set in by.
const INDENT: &str = "    ";

/// A text as it should be laid out.
pub struct Formatted {
    pub text: String,
    pub is_changed: bool,
}

/// Lays a text out; None where the report tells what keeps it from being TOML.
pub fn format(source: Source) -> (Option<Formatted>, Report) {
    let mut report = Report::new(vec![source]);
    if let Some(failure) = report.sources()[0].failure().map(str::to_owned) {
        report.error(Location::new(0, 0..0), failure, "name a readable file of UTF-8 text");
        return (None, report);
    }
    raw::read(0, &mut report);
    if report.has_errors() {
        return (None, report);
    }
    let text = report.sources()[0].text().to_owned();
    let document = match text.parse::<DocumentMut>() {
        Ok(document) => document,
        Err(error) => {
            let place = Location::new(0, error.span().unwrap_or(0..0));
            report.error(place, format!("not valid TOML: {}", error.message()), "correct it by hand");
            return (None, report);
        }
    };
    let formatted = lay_out(document);
    if let Some(at) = first_difference(&text, &formatted) {
        let message = "keys of one table stand apart, so this cannot be laid out without moving them";
        report.error(Location::new(0, at..at), message, "write the keys of each table together");
        return (None, report);
    }
    (Some(Formatted { is_changed: formatted != text, text: formatted }), report)
}

fn lay_out(mut document: DocumentMut) -> String {
    let trailing = format!("{}\n", document.trailing().as_str().unwrap_or_default());
    document.set_trailing(lines_above(&trailing, Gap::Kept));
    table(document.as_table_mut());
    let text = document.to_string();
    let text = text.trim_matches('\n');
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

/// Where the texts differ beyond layout, in the first of them. Layout is white space, and commas at the ends of lists.
fn first_difference(text: &str, formatted: &str) -> Option<usize> {
    let essence = |text: &'_ str| -> Vec<(usize, char)> {
        text.char_indices().filter(|(_, c)| !c.is_whitespace() && *c != ',' && *c != '\u{feff}').collect()
    };
    let (before, after) = (essence(text), essence(formatted));
    let same = before.iter().zip(&after).take_while(|((_, one), (_, other))| one == other).count();
    let is_same = same == before.len() && same == after.len();
    (!is_same).then(|| before.get(same).map_or(text.len(), |(at, _)| *at))
}

/// Blank lines above a key or a header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// One at most, where there is one.
    Kept,
    /// One in front of all.
    One,
}

/// The lines between two keys or headers: comments, with one blank line where there are any.
fn lines_above(raw: &str, gap: Gap) -> String {
    let mut text = if gap == Gap::One { "\n".to_owned() } else { String::new() };
    let mut lines: Vec<&str> = raw.split('\n').map(str::trim).collect();
    // What stands in front of the key itself.
    lines.pop();
    for line in lines {
        let is_second_blank = line.is_empty() && (text.ends_with("\n\n") || text == "\n");
        if !is_second_blank {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A comment at the end of a line, with its distance, by which some stand below each other.
fn comment_behind(raw: &str) -> String {
    let raw = raw.trim_end();
    match raw.chars().next() {
        None => String::new(),
        Some('#') => format!(" {raw}"),
        Some(_) => raw.to_owned(),
    }
}

fn text_of(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}

/// Recursion is bounded: the parser refuses deep nesting.
fn table(table: &mut Table) {
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => {
                key_of_header(&mut key);
                header(inner);
                self::table(inner);
            }
            Item::ArrayOfTables(tables) => {
                key_of_header(&mut key);
                for inner in tables.iter_mut() {
                    header(inner);
                    self::table(inner);
                }
            }
            Item::Value(Value::InlineTable(inner)) if inner.is_dotted() => {
                key_of_header(&mut key);
                dotted(inner);
            }
            Item::Value(value) => line(&mut key, value),
            Item::None => {}
        }
    }
}

/// The keys behind `a.` in `a.b = 1`.
fn dotted(table: &mut InlineTable) {
    for (mut key, value) in table.iter_mut() {
        match value {
            Value::InlineTable(inner) if inner.is_dotted() => {
                key_of_header(&mut key);
                dotted(inner);
            }
            value => line(&mut key, value),
        }
    }
}

/// `key = value`.
fn line(key: &mut KeyMut<'_>, value: &mut Value) {
    key.dotted_decor_mut().clear();
    let decor = key.leaf_decor_mut();
    let above = lines_above(text_of(decor.prefix()), Gap::Kept);
    *decor = Decor::new(above, " ");
    let behind = comment_behind(text_of(value.decor().suffix()));
    *value.decor_mut() = Decor::new(" ", behind);
    self::value(value, "");
}

fn key_of_header(key: &mut KeyMut<'_>) {
    key.dotted_decor_mut().clear();
    let is_plain = text_of(key.leaf_decor().prefix()).trim().is_empty();
    if is_plain {
        key.leaf_decor_mut().clear();
    }
}

fn header(table: &mut Table) {
    if table.is_dotted() {
        return;
    }
    let decor = table.decor();
    let above = lines_above(text_of(decor.prefix()), Gap::One);
    let behind = comment_behind(text_of(decor.suffix()));
    *table.decor_mut() = Decor::new(above, behind);
}

/// What stands inside brackets and braces. `indent` is that of the line on which the value begins.
fn value(value: &mut Value, indent: &str) {
    match value {
        Value::Array(array) => list(array, indent),
        Value::InlineTable(table) => braces(table, indent),
        _ => {}
    }
}

fn list(array: &mut Array, indent: &str) {
    let mut between = Between { indent, carried: String::new(), is_broken: is_broken_list(array) };
    let ends_with_comma = array.trailing_comma();
    let count = array.len();
    for (index, element) in array.iter_mut().enumerate() {
        let decor = element.decor();
        let raw = text_of(decor.prefix());
        let prefix = match index {
            0 if between.is_broken && !raw.contains('\n') => between.lines("", &between.inner_indent()),
            0 => between.before(raw, ""),
            _ => between.before(raw, " "),
        };
        // What stands before the comma is put behind it.
        between.carried = text_of(decor.suffix()).to_owned();
        *element.decor_mut() = Decor::new(prefix, "");
        value(element, &between.inner_indent());
    }
    let carried = if ends_with_comma { String::new() } else { std::mem::take(&mut between.carried) };
    let trailing = between.end(&(carried + text_of(Some(array.trailing()))), "");
    array.set_trailing(trailing);
    array.set_trailing_comma(between.is_broken && count > 0);
}

fn braces(table: &mut InlineTable, indent: &str) {
    let is_broken = is_broken_table(table);
    let mut between = Between { indent, carried: String::new(), is_broken };
    let ends_with_comma = table.trailing_comma();
    let count = table.len();
    keys_in_braces(table, &mut between);
    let carried = if ends_with_comma { String::new() } else { std::mem::take(&mut between.carried) };
    let space = if count > 0 { " " } else { "" };
    let trailing = between.end(&(carried + text_of(Some(table.trailing()))), space);
    table.set_trailing(trailing);
    table.set_trailing_comma(is_broken && count > 0);
}

fn keys_in_braces(table: &mut InlineTable, between: &mut Between<'_>) {
    for (mut key, value) in table.iter_mut() {
        key.dotted_decor_mut().clear();
        if let Value::InlineTable(inner) = value
            && inner.is_dotted()
        {
            keys_in_braces(inner, between);
            continue;
        }
        let prefix = between.before(text_of(key.leaf_decor().prefix()), " ");
        *key.leaf_decor_mut() = Decor::new(prefix, " ");
        between.carried = text_of(value.decor().suffix()).to_owned();
        *value.decor_mut() = Decor::new(" ", "");
        self::value(value, &between.inner_indent());
    }
}

/// What stands between the elements of a list or the keys of an inline table.
struct Between<'i> {
    indent: &'i str,
    /// What stood in front of the last comma.
    carried: String,
    /// Over several lines.
    is_broken: bool,
}

impl Between<'_> {
    fn inner_indent(&self) -> String {
        if self.is_broken { format!("{}{INDENT}", self.indent) } else { self.indent.to_owned() }
    }

    /// What stands in front of an element: `space`, or the comments and the line end that were there.
    fn before(&mut self, raw: &str, space: &str) -> String {
        let raw = std::mem::take(&mut self.carried) + raw;
        if raw.contains('\n') { self.lines(&raw, &self.inner_indent()) } else { space.to_owned() }
    }

    /// What stands in front of the closing bracket.
    fn end(&self, raw: &str, space: &str) -> String {
        if self.is_broken { self.lines(raw, self.indent) } else { space.to_owned() }
    }

    /// A comment on the line itself, then each on a line of its own.
    fn lines(&self, raw: &str, last_indent: &str) -> String {
        let mut lines = raw.split('\n');
        let mut text = comment_behind(lines.next().unwrap_or_default());
        for comment in lines.map(str::trim).filter(|line| !line.is_empty()) {
            text += &format!("\n{}{comment}", self.inner_indent());
        }
        text + "\n" + last_indent
    }
}

fn is_broken_list(array: &Array) -> bool {
    let has_break =
        |decor: &Decor| [decor.prefix(), decor.suffix()].iter().any(|raw| text_of(*raw).contains('\n'));
    array.iter().any(|element| has_break(element.decor())) || text_of(Some(array.trailing())).contains('\n')
}

fn is_broken_table(table: &InlineTable) -> bool {
    let values = table.get_values();
    let mut values = values.iter();
    let has_break = |raw: Option<&RawString>| text_of(raw).contains('\n');
    values.any(|(path, value)| {
        path.last().is_some_and(|key| has_break(key.leaf_decor().prefix()))
            || has_break(value.decor().suffix())
    }) || has_break(Some(table.trailing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> Result<String, String> {
        let source = Source::made_up("x.toml", text.to_owned());
        let (formatted, report) = format(source);
        let formatted = formatted.ok_or_else(|| report.to_text(false))?;
        assert_eq!(formatted.is_changed, formatted.text != text);
        Ok(formatted.text)
    }

    #[test]
    fn layout_is_settled_and_words_stay() {
        for (text, expected) in [
            ("", ""),
            ("\n\n", ""),
            ("# only a comment", "# only a comment\n"),
            ("a=1", "a = 1\n"),
            ("  a  =  'x'   # why\r\n\r\n\r\n\r\nb= 0x10\n", "a = 'x'   # why\n\nb = 0x10\n"),
            ("#:schema x\n\n#b\na=1\n[t]\n\nk=2\n", "#:schema x\n\n#b\na = 1\n\n[t]\n\nk = 2\n"),
            ("[ a . \"b c\" ]#x\n  # y\n  k.l . m=1\n", "[a.\"b c\"] #x\n# y\nk.l.m = 1\n"),
            (
                "a = 1\n\n\n# about the list\n\n[[l]]\n[[l]]\n  x=1",
                "a = 1\n\n# about the list\n\n[[l]]\n\n[[l]]\nx = 1\n",
            ),
            ("a=[1,2 , 3,]\nb={x=1,y = [ ] ,}\nc={}\n", "a = [1, 2, 3]\nb = { x = 1, y = [] }\nc = {}\n"),
            (
                "a=[ # first\n1,2, # two\n    # three\n\n 3 # last\n]\n",
                "a = [ # first\n    1, 2, # two\n    # three\n    3, # last\n]\n",
            ),
            ("a=[[1,\n2],\n{x=1}]\n", "a = [\n    [\n        1,\n        2,\n    ],\n    { x = 1 },\n]\n"),
            ("a=[\"x\",\n  \"y\"] # z\n", "a = [\n    \"x\",\n    \"y\",\n] # z\n"),
            ("a=1\n#end\n\n\n# of it", "a = 1\n#end\n\n# of it\n"),
            ("s = \"\"\"\n  kept  \n\n\n, as it is\"\"\"", "s = \"\"\"\n  kept  \n\n\n, as it is\"\"\"\n"),
            ("a = {\n x=1, # one\n\n y.z=2\n}", "a = {\n    x = 1, # one\n    y.z = 2,\n}\n"),
        ] {
            let once = formatted(text);
            assert_eq!(once.as_deref(), Ok(expected), "{text}");
            assert_eq!(formatted(expected).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_examples_are_laid_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
        for entry in std::fs::read_dir(folder).expect("there are examples") {
            let path = entry.expect("the folder can be read").path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                let text = std::fs::read_to_string(&path).expect("the example can be read");
                assert_eq!(formatted(&text), Ok(text), "{path:?}");
            }
        }
    }

    #[test]
    fn what_is_no_toml_or_would_move_is_refused_with_its_place() {
        for (text, said) in [
            ("a = 1\nb = \n", "x.toml:2:"),
            ("a = 1\na = 2\n", "x.toml:2:1: error: not valid TOML: duplicate key"),
            ("a.b = 1\nc = 2\na.d = 3\n", "x.toml:2:1: error: keys of one table stand apart"),
        ] {
            let refused = formatted(text).expect_err(text);
            assert!(refused.starts_with(said), "{text}: {refused}");
        }
    }
}
