//! Changes of whole lines of a text: where what is written in it begins and ends, with its comments.

use std::ops::Range;

use crate::config::edit::syntax::Assignment;
use crate::config::edit::syntax::TextOutline;
use crate::config::in_order;

/// Some editors begin a text with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A text that is being changed.
pub(super) struct TextChange<'t> {
    pub text: &'t str,
    pub outline: &'t TextOutline,
    /// What ends a line.
    pub eol: &'static str,
    splices: Vec<Splice>,
}

/// Text that takes the place of a range.
struct Splice {
    range: Range<usize>,
    text: String,
}

impl<'t> TextChange<'t> {
    pub(super) fn new(text: &'t str, outline: &'t TextOutline) -> TextChange<'t> {
        TextChange { text, outline, eol: eol(text), splices: Vec::new() }
    }

    pub(super) fn replace(&mut self, range: Range<usize>, text: String) {
        self.splices.push(Splice { range, text });
    }

    /// Adds lines where a line begins or the text ends.
    pub(super) fn insert(&mut self, at: usize, lines: String) {
        self.replace(at..at, lines);
    }

    /// Takes out an assignment, with the comments above it.
    pub(super) fn remove_assignment(&mut self, section: usize, index: usize) {
        let Some(assignment) = self.assignment(section, index) else { return };
        let above = match index.checked_sub(1) {
            Some(before) => self.assignment(section, before).map(|before| before.span().end),
            None => self.outline.sections[section].header.as_ref().map(|header| header.span.end),
        };
        let span = assignment.span();
        let start = self.start_with_comments(span.start, above);
        self.replace(start..self.line_end(span.end), String::new());
    }

    /// Takes out a section, with the comments above it and those that stand directly below its last line.
    pub(super) fn remove_section(&mut self, section: usize) {
        self.replace(self.section_start(section)..self.section_end(section), String::new());
    }

    /// Where a section begins, with the comments above its header.
    pub(super) fn section_start(&self, section: usize) -> usize {
        let header = self.outline.sections[section].header.as_ref();
        let above = section.checked_sub(1).map(|above| self.content_end(above));
        header.map_or(0, |header| self.start_with_comments(header.span.start, above))
    }

    /// Where the last line of a section ends, with comments directly below it that do not stand above another header.
    pub(super) fn section_end(&self, section: usize) -> usize {
        let end = self.line_end(self.content_end(section));
        let below = self.skip_lines(end, |line| line.starts_with('#'));
        let next = self.outline.sections.get(section + 1).and_then(|next| next.header.as_ref());
        let is_of_next = next.is_some_and(|next| self.line_start(next.span.start) == below);
        if is_of_next { end } else { below }
    }

    /// Where a key can be added to the table of a section whose keys have this in front of them.
    pub(super) fn place_of_key(&self, section: usize, prefix: &[String]) -> usize {
        let found = &self.outline.sections[section];
        let last = found.assignments.iter().rfind(|assignment| assignment.path.starts_with(prefix));
        let end =
            last.map(|last| last.value.span.end).or(found.header.as_ref().map(|header| header.span.end));
        end.map_or(0, |end| self.line_end(end))
    }

    /// What the lines of a section are set in by.
    pub(super) fn indent(&self, section: usize) -> &'t str {
        let last = self.outline.sections[section].assignments.last();
        let line = last.map_or("", |last| &self.text[self.line_start(last.start)..last.start]);
        if line.trim().is_empty() { line.trim_start_matches(BYTE_ORDER_MARK) } else { "" }
    }

    /// The text with all changes.
    pub(super) fn finish(mut self) -> String {
        let splices = std::mem::take(&mut self.splices);
        let mut sorted: Vec<&Splice> = splices.iter().collect();
        in_order::sort_by_key(&mut sorted, |splice| (splice.range.start, splice.range.is_empty()));
        let mut text = String::with_capacity(self.text.len());
        let mut copied = 0;
        for splice in sorted {
            text.push_str(self.text.get(copied..splice.range.start).unwrap_or_default());
            copied = copied.max(splice.range.end);
            let is_new_line = splice.range.is_empty() && !splice.text.is_empty();
            if is_new_line && !is_at_line_start(&text) {
                text.push_str(self.eol);
            }
            text.push_str(&splice.text);
            // Of the blank lines around what goes, those above are enough.
            if splice.text.is_empty() && ends_blank(&text) {
                copied = self.skip_lines(copied, str::is_empty);
            }
        }
        text.push_str(self.text.get(copied..).unwrap_or_default());
        if ends_blank(&text) && !ends_blank(self.text) {
            let end = text.trim_end_matches(|c: char| c.is_ascii_whitespace()).len();
            let newline = text[end..].find('\n').filter(|_| !is_at_line_start(&text[..end]));
            text.truncate(newline.map_or(end, |newline| end + newline + 1));
        }
        text
    }

    fn assignment(&self, section: usize, index: usize) -> Option<&'t Assignment> {
        self.outline.sections.get(section)?.assignments.get(index)
    }

    /// Where the last value of a section ends, or its header.
    fn content_end(&self, section: usize) -> usize {
        let section = &self.outline.sections[section];
        let last = section.assignments.last().map(|last| last.value.span.end);
        last.or(section.header.as_ref().map(|header| header.span.end)).unwrap_or(0)
    }

    fn line_start(&self, at: usize) -> usize {
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        if start == 0 && self.text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { start }
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// The first line from here on that is another one.
    fn skip_lines(&self, from: usize, is_such: impl Fn(&str) -> bool) -> usize {
        let lines = self.text[from..].split_inclusive('\n');
        from + lines.take_while(|line| is_such(line.trim())).map(str::len).sum::<usize>()
    }

    /// The line of `at`, or the first of the comments that stand directly above it and below `above`. Comments at the head of
    /// the text are of the file, and stay.
    fn start_with_comments(&self, at: usize, above: Option<usize>) -> usize {
        let line = self.line_start(at);
        let bound = above.map_or(self.line_start(0), |above| self.line_end(above)).min(line);
        let comments = self.text[bound..line].split_inclusive('\n').rev();
        let comments = comments.take_while(|line| line.trim_start().starts_with('#'));
        let start = line - comments.map(str::len).sum::<usize>();
        if start == self.line_start(0) { line } else { start }
    }
}

fn is_at_line_start(text: &str) -> bool {
    text.is_empty() || text.ends_with(['\n', BYTE_ORDER_MARK])
}

/// Whether the last line is blank, or there is none.
fn ends_blank(text: &str) -> bool {
    let last = text.trim_start_matches(BYTE_ORDER_MARK).lines().next_back();
    is_at_line_start(text) && last.is_none_or(|line| line.trim().is_empty())
}

/// What ends the lines of a text.
pub(super) fn eol(text: &str) -> &'static str {
    let first = text.split_inclusive('\n').next().unwrap_or_default();
    if first.ends_with("\r\n") { "\r\n" } else { "\n" }
}
