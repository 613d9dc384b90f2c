//! Changes inside brackets and braces: each element keeps its comments and its line.

use std::ops::Range;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::edit::compare;
use crate::config::edit::compare::Fate;
use crate::config::edit::render;
use crate::config::edit::syntax::Assignment;
use crate::config::edit::syntax::Bracketed;
use crate::config::edit::syntax::TextContent;
use crate::config::edit::syntax::TextValue;

/// One element of what is to stand in brackets.
pub(super) enum BracketPiece {
    /// One that stands there, with its text now.
    Kept(usize, String),
    Fresh(String),
}

/// The text of a value that is to be another one.
pub(super) fn rewritten(text: &str, value: &TextValue, wanted: &Json) -> String {
    let old = text.get(value.span.clone()).unwrap_or_default();
    if value.to_json() == *wanted {
        return old.to_owned();
    }
    match (&value.content, wanted) {
        (TextContent::List(list), Json::Array(wanted)) => {
            let old: Vec<Json> = list.items.iter().map(TextValue::to_json).collect();
            rewritten_list(text, value, wanted, &compare::align(&old, wanted))
        }
        (TextContent::Inline(table), Json::Object(wanted)) if !wanted.is_empty() => {
            rewritten_table(text, value.span.clone(), table, wanted)
        }
        (TextContent::Scalar(_), Json::String(wanted)) if may_be_literal(old, wanted) => {
            format!("'{wanted}'")
        }
        _ => render::value(wanted),
    }
}

/// The text of a list whose elements are to be others; `places` tells of each which it was.
pub(super) fn rewritten_list(
    text: &str,
    value: &TextValue,
    wanted: &[Json],
    places: &[Option<usize>],
) -> String {
    let TextContent::List(list) = &value.content else { return render::value(&Json::from(wanted)) };
    let pieces = wanted.iter().zip(places).map(|(wanted, place)| {
        let kept = place.and_then(|place| Some((place, list.items.get(place)?)));
        match kept {
            Some((place, item)) => BracketPiece::Kept(place, rewritten(text, item, wanted)),
            None => BracketPiece::Fresh(render::value(wanted)),
        }
    });
    let bodies = list.items.iter().map(|item| item.span.clone()).collect();
    Brackets::new(text, value.span.clone(), bodies, &list.commas).filled(&pieces.collect::<Vec<_>>())
}

fn rewritten_table(
    text: &str,
    span: Range<usize>,
    table: &Bracketed<Assignment>,
    wanted: &Map<String, Json>,
) -> String {
    let plan = compare::plan(&table.items, wanted, |_| false);
    let mut pieces = Vec::new();
    for (index, (item, fate)) in table.items.iter().zip(&plan.fates).enumerate() {
        let before = text.get(item.start..item.value.span.start).unwrap_or_default();
        let value = match fate {
            Fate::Kept => text.get(item.value.span.clone()).unwrap_or_default().to_owned(),
            Fate::Changed(wanted) => rewritten(text, &item.value, wanted),
            Fate::Dropped => continue,
        };
        pieces.push(BracketPiece::Kept(index, format!("{before}{value}")));
    }
    let additions = plan.additions.iter();
    pieces.extend(additions.map(|(path, value)| {
        BracketPiece::Fresh(format!("{} = {}", render::dotted(path), render::value(value)))
    }));
    let bodies = table.items.iter().map(Assignment::span).collect();
    Brackets::new(text, span, bodies, &table.commas).filled(&pieces)
}

/// Whether a text can stay in single quotes.
fn may_be_literal(old: &str, wanted: &str) -> bool {
    old.starts_with('\'')
        && !old.starts_with("'''")
        && wanted.chars().all(|c| c != '\'' && (!c.is_control() || c == '\t'))
}

/// What stands between brackets, taken apart.
struct Brackets<'t> {
    open: &'t str,
    close: &'t str,
    /// Behind the opening bracket, if the line ends there.
    head: &'t str,
    slots: Vec<Slot<'t>>,
    /// In front of the closing bracket.
    end: &'t str,
    /// A comma stands behind the last element, too.
    ends_with_comma: bool,
    /// Over several lines.
    is_broken: bool,
    indent: String,
    eol: &'static str,
}

/// What stands around an element.
struct Slot<'t> {
    before: &'t str,
    /// It is the first on its line.
    begins_line: bool,
    before_comma: &'t str,
    has_comma: bool,
    /// Behind the comma, if the line ends there.
    behind: &'t str,
}

impl<'t> Brackets<'t> {
    fn new(text: &'t str, span: Range<usize>, bodies: Vec<Range<usize>>, commas: &[usize]) -> Brackets<'t> {
        let piece = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        let inner_end = span.end.saturating_sub(1);
        let gap = piece(span.start + 1, bodies.first().map_or(inner_end, |body| body.start));
        let (head, mut before) = split_line(gap);
        let mut begins_line = !head.is_empty();
        let mut slots = Vec::with_capacity(bodies.len());
        for (index, body) in bodies.iter().enumerate() {
            let next = bodies.get(index + 1).map_or(inner_end, |next| next.start);
            let comma = commas.get(index).copied();
            let before_comma = comma.map_or("", |comma| piece(body.end, comma));
            let (behind, rest) = split_line(piece(comma.map_or(body.end, |comma| comma + 1), next));
            slots.push(Slot { before, begins_line, before_comma, has_comma: comma.is_some(), behind });
            (before, begins_line) = (rest, !behind.is_empty());
        }
        let line = text.get(..span.start).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
        let outer: String = line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
        let of_a_line = slots.iter().find(|slot| slot.begins_line);
        let of_a_line = of_a_line.map(|slot| slot.before.rsplit('\n').next().unwrap_or_default().to_owned());
        let inner = piece(span.start, span.end);
        Brackets {
            open: piece(span.start, span.start + 1),
            close: piece(inner_end, span.end),
            head,
            end: before,
            ends_with_comma: !bodies.is_empty() && commas.len() >= bodies.len(),
            is_broken: !head.is_empty() || slots.iter().any(|slot| !slot.behind.is_empty()),
            indent: of_a_line.unwrap_or_else(|| outer + render::INDENT),
            eol: if inner.contains("\r\n") { "\r\n" } else { "\n" },
            slots,
        }
    }

    fn filled(&self, pieces: &[BracketPiece]) -> String {
        let mut text = format!("{}{}", self.open, self.head);
        let is_table = self.open == "{";
        if pieces.is_empty() {
            let end = if self.is_broken { self.end } else { "" };
            return text + end + self.close;
        }
        for (index, piece) in pieces.iter().enumerate() {
            let begins_line = text.ends_with('\n');
            text += &self.space(piece, index, begins_line);
            let is_followed = index + 1 < pieces.len() || self.ends_with_comma;
            let comma = if is_followed { "," } else { "" };
            match piece {
                BracketPiece::Kept(place, body) => {
                    let Some(Slot { before_comma, has_comma, behind, .. }) = self.slots.get(*place) else {
                        continue;
                    };
                    // On a line of its own, it may end with one.
                    let comma = if *has_comma && !behind.is_empty() { "," } else { comma };
                    text += &format!("{body}{before_comma}{comma}{behind}");
                }
                BracketPiece::Fresh(body) => {
                    let eol = if begins_line && self.is_broken { self.eol } else { "" };
                    text += &format!("{body}{comma}{eol}");
                }
            }
        }
        let end = if self.slots.is_empty() && is_table && !self.is_broken { " " } else { self.end };
        text + end + self.close
    }

    /// What is to stand in front of an element.
    fn space(&self, piece: &BracketPiece, index: usize, begins_line: bool) -> String {
        let is_first = index == 0;
        let kept = match piece {
            BracketPiece::Kept(place, _) => self.slots.get(*place),
            BracketPiece::Fresh(_) => None,
        };
        match kept {
            Some(slot) if slot.before.contains('\n') || slot.begins_line == begins_line && !is_first => {
                let is_bare = slot.before.is_empty() && !begins_line;
                if is_bare { " ".to_owned() } else { slot.before.to_owned() }
            }
            Some(slot) if begins_line && slot.begins_line => slot.before.to_owned(),
            _ if begins_line => self.indent.clone(),
            _ if is_first => match self.slots.first() {
                Some(first) if !first.before.contains('\n') => first.before.to_owned(),
                Some(_) => String::new(),
                None => if self.open == "{" { " " } else { "" }.to_owned(),
            },
            _ => " ".to_owned(),
        }
    }
}

/// The rest of the line with its end, and what comes below; nothing of the first where no line ends.
fn split_line(gap: &str) -> (&str, &str) {
    gap.split_at(gap.find('\n').map_or(0, |newline| newline + 1))
}
