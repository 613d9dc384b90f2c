//! Text as roff has it (groff(7), man(7)).

/// What the pages belong to, as it stands above each.
pub(super) const MANUAL: &str = "Ringway";

/// A page being written.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// `title` is in capitals, `section` a number.
    pub(super) fn new([title, section, date, source, manual]: [&str; 5]) -> Page {
        Page { text: format!(".TH {title} {section} \"{date}\" \"{source}\" \"{manual}\"\n") }
    }

    /// Goes on behind what was written by other means.
    pub(super) fn continued() -> Page {
        Page { text: String::new() }
    }

    /// A line that begins with a macro; what stands behind it is escaped.
    pub(super) fn macro_line(&mut self, name: &str, argument: &str) {
        self.text.push('.');
        self.text.push_str(name);
        if !argument.is_empty() {
            let quoted = escaped(argument).replace('"', "\\(dq");
            self.text.push_str(&format!(" \"{quoted}\""));
        }
        self.text.push('\n');
    }

    /// A line of text; what stands between backquotes is bold.
    pub(super) fn line(&mut self, markdown: &str) {
        let mut line = String::new();
        for (index, piece) in markdown.split('`').enumerate() {
            match index % 2 {
                0 => line.push_str(&escaped(piece)),
                _ => line.push_str(&format!("\\fB{}\\fR", escaped(piece))),
            }
        }
        self.raw(&line);
    }

    /// A line of an example.
    pub(super) fn literal(&mut self, text: &str) {
        self.raw(&escaped(text));
    }

    /// A line beginning with a dot or an apostrophe would be taken for a macro.
    fn raw(&mut self, line: &str) {
        if line.starts_with(['.', '\'']) {
            self.text.push_str("\\&");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Hyphens and quotes stay what they are: names and values are copied out of manuals.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    text.replace('~', "\\(ti").replace('^', "\\(ha")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_code_is_bold() {
        let mut page = Page::new(["A", "5", "", "b", "c"]);
        page.macro_line("SH", "[a-b] \"c\"");
        page.line("see `x-y` and `z`, not \\ nor 'this'");
        page.literal(".com");
        let expected = ".TH A 5 \"\" \"b\" \"c\"\n.SH \"[a\\-b] \\(dqc\\(dq\"\n\
            see \\fBx\\-y\\fR and \\fBz\\fR, not \\e nor \\(aqthis\\(aq\n\\&.com\n";
        assert_eq!(page.into_text(), expected);
    }
}
