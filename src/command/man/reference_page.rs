//! `ringway.toml(5)`: the reference in docs as a manual page. It has every key, which a test of the reference sees to.

use crate::command::man::roff::MANUAL;
use crate::command::man::roff::Page;
use crate::config::reference;
use crate::config::reference::REFERENCE;

pub(super) fn page(date: &str, source: &str) -> String {
    let mut page = Page::new(["RINGWAY.TOML", "5", date, source, MANUAL]);
    page.macro_line("SH", "NAME");
    page.line("ringway.toml - configuration of Ringway");
    page.macro_line("SH", "DESCRIPTION");
    let text = reference::without_links(REFERENCE.text());
    let mut place = MarkdownBlock::Paragraph;
    // The title is that of the page.
    for line in text.lines().skip(2) {
        place = write_line(&mut page, place, line);
    }
    page.macro_line("SH", "SEE ALSO");
    page.line("`ringway`(8), `ringway-check`(8), `ringway-fmt`(8), `ringway-schema`(8)");
    page.into_text()
}

/// What the line before belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MarkdownBlock {
    /// A blank line ended what was there.
    Gap,
    Paragraph,
    Example,
    /// The header of a table was passed over.
    Table,
}

fn write_line(page: &mut Page, place: MarkdownBlock, line: &str) -> MarkdownBlock {
    if place == MarkdownBlock::Example {
        return match line {
            "```" => {
                page.macro_line("fi", "");
                page.macro_line("RE", "");
                MarkdownBlock::Gap
            }
            line => {
                page.literal(line);
                MarkdownBlock::Example
            }
        };
    }
    if line.starts_with("```") {
        page.macro_line("PP", "");
        page.macro_line("RS", "4");
        page.macro_line("nf", "");
        return MarkdownBlock::Example;
    }
    if let Some(heading) = line.strip_prefix("## ") {
        page.macro_line("SH", &heading.replace('`', ""));
        return MarkdownBlock::Paragraph;
    }
    if let Some(heading) = line.strip_prefix("### ") {
        page.macro_line("SS", &heading.replace('`', ""));
        return MarkdownBlock::Paragraph;
    }
    if line.starts_with('|') {
        return write_row(page, place, line);
    }
    if let Some(item) = line.strip_prefix("- ") {
        page.macro_line("IP", "•");
        page.line(item);
        return MarkdownBlock::Paragraph;
    }
    match line.trim() {
        "" => MarkdownBlock::Gap,
        text => {
            if place != MarkdownBlock::Paragraph {
                page.macro_line("PP", "");
            }
            page.line(text);
            MarkdownBlock::Paragraph
        }
    }
}

fn write_row(page: &mut Page, place: MarkdownBlock, line: &str) -> MarkdownBlock {
    if place != MarkdownBlock::Table || line.starts_with("|---") {
        return MarkdownBlock::Table;
    }
    if let Some([key, values, default, meaning]) = reference::cells(line) {
        page.macro_line("TP", "");
        page.line(key);
        page.line(meaning);
        page.macro_line("br", "");
        page.line(
            &format!("Takes {values}; default: {default}.").replace("; default: required.", "; required."),
        );
    } else if let Some(cells) = line.strip_prefix("| ") {
        let mut cells = cells.trim_end_matches('|').split(" | ").map(str::trim);
        page.macro_line("TP", "");
        page.line(cells.next().unwrap_or_default());
        cells.for_each(|cell| page.line(cell));
    }
    MarkdownBlock::Table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_paragraph() {
        let page = page("2026-01-02", "ringway 1");
        assert!(
            page.starts_with(".TH RINGWAY.TOML 5 \"2026-01-02\" \"ringway 1\" \"Ringway\"\n.SH \"NAME\"\n"),
            "{page}"
        );
        let rows = reference::key_rows();
        assert!(rows.len() > 150, "{}", rows.len());
        for row in rows {
            let name = row.key.replace('-', "\\-");
            assert!(page.contains(&format!("\n.TP\n\\fB{name}\\fR\n")), "{name}");
        }
        assert!(!page.contains('`') && !page.contains("]("), "{page}");
    }
}
