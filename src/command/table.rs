//! Columns that are as wide as what stands in them.

/// The colour of a cell, on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    None,
    Green,
    Yellow,
    Red,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Left(&'static str),
    /// For numbers.
    Right(&'static str),
}

pub(super) struct Cell {
    text: String,
    colour: Colour,
}

/// A head and rows of as many cells.
pub(super) struct TextTable {
    columns: Vec<Column>,
    /// Each with a remark that stands below it, if there is something to remark.
    rows: Vec<(Vec<Cell>, String)>,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Colour::None => "",
            Colour::Green => "\x1b[32m",
            Colour::Yellow => "\x1b[33m",
            Colour::Red => "\x1b[31m",
        }
    }
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Column::Left(title) | Column::Right(title) => title,
        }
    }
}

impl Cell {
    pub(super) fn coloured(text: &str, colour: Colour) -> Cell {
        // What a name or a path contains cannot play tricks on the terminal.
        Cell { text: text.replace(char::is_control, "?"), colour }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::coloured(text, Colour::None)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::from(text.as_str())
    }
}

impl TextTable {
    pub(super) fn new(columns: &[Column]) -> TextTable {
        TextTable { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, cells: Vec<Cell>, remark: String) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push((cells, remark));
    }

    /// Lines with this many spaces before each.
    pub(super) fn to_text(&self, indent: usize, in_colour: bool) -> String {
        let head: Vec<Cell> = self.columns.iter().map(|column| column.title().into()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| {
                let rows = self.rows.iter().map(|(cells, _)| cells).chain([&head]);
                rows.filter_map(|cells| Some(cells.get(index)?.text.chars().count())).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &[Cell]| {
            let mut text = " ".repeat(indent);
            for ((cell, column), width) in cells.iter().zip(&self.columns).zip(&widths) {
                let space = " ".repeat(width - cell.text.chars().count());
                let (before, behind) = match column {
                    Column::Left(_) => ("", space.as_str()),
                    Column::Right(_) => (space.as_str(), ""),
                };
                let (begin, end) = match cell.colour {
                    Colour::None => ("", ""),
                    _ if !in_colour => ("", ""),
                    colour => (colour.code(), "\x1b[0m"),
                };
                text.push_str(&format!("{before}{begin}{}{end}{behind}  ", cell.text));
            }
            format!("{}\n", text.trim_end())
        };
        let mut text = line(&head);
        for (cells, remark) in &self.rows {
            text.push_str(&line(cells));
            if !remark.is_empty() {
                text.push_str(&format!("{}{remark}\n", " ".repeat(indent + 2)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_with_and_without_colour() {
        let mut table = TextTable::new(&[Column::Left("NAME"), Column::Right("N"), Column::Left("STATE")]);
        table.add(vec!["a\x1b[0m".into(), "7".into(), Cell::coloured("up", Colour::Green)], String::new());
        table.add(vec!["longer".into(), "1234".into(), "down".into()], "for a reason".to_owned());
        let plain = "  NAME       N  STATE\n  a?[0m      7  up\n  longer  1234  down\n    for a reason\n";
        assert_eq!(table.to_text(2, false), plain);
        let coloured = table.to_text(2, true);
        assert_eq!(coloured.replace("\x1b[32m", "").replace("\x1b[0m", ""), plain);
        assert!(coloured.contains("\x1b[32mup\x1b[0m"));
    }
}
