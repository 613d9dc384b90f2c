//! A crude view of Rust text: code without comments and literals, and the words and paths in it.

/// Replaces comments, strings and character literals by blanks; line ends stay.
pub(crate) fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_length(rest, out.chars().next_back()).unwrap_or(0);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// The part before the module of unit tests.
pub(crate) fn before_tests(code: &str) -> &str {
    let mut position = 0;
    while let Some(found) = code[position..].find("#[cfg(test)]") {
        let start = position + found;
        let after =
            code[start..].lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#["));
        if after.is_some_and(|line| {
            line.trim_start_matches("pub(crate) ").starts_with("mod ") && line.contains('{')
        }) {
            return &code[..start];
        }
        position = start + 1;
    }
    code
}

/// Every occurrence of `word` as a whole word: what stands before and after it.
pub(crate) fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.match_indices(word).filter_map(move |(start, _)| {
        let (before, after) = (&code[..start], &code[start + word.len()..]);
        let is_whole = !before.ends_with(is_word_character) && !after.starts_with(is_word_character);
        is_whole.then_some((before, after))
    })
}

/// The identifier at the start of `text`; empty if there is none.
pub(crate) fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !is_word_character(c)).unwrap_or(text.len());
    &text[..end]
}

/// The line of the text that ends where a match begins, counted from 1.
pub(crate) fn line_number(before: &str) -> usize {
    before.matches('\n').count() + 1
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the comment or literal at the start of `text`, if one stands there.
fn literal_length(text: &str, previous: Option<char>) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_length(text));
    }
    if previous.is_some_and(is_word_character) {
        return None;
    }
    let bare = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - bare.len();
    if prefix > 1 {
        return None;
    }
    if let Some(hashes_and_quote) = bare.strip_prefix('r') {
        let hashes = hashes_and_quote.len() - hashes_and_quote.trim_start_matches('#').len();
        let inside = hashes_and_quote[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inside.find(&end).map_or(inside.len(), |found| found + end.len());
        return Some(prefix + 1 + hashes + 1 + length);
    }
    if let Some(inside) = bare.strip_prefix('"') {
        return Some(prefix + 1 + quoted_length(inside, '"'));
    }
    let inside = bare.strip_prefix('\'')?;
    let mut characters = inside.chars();
    let (first, second) = (characters.next()?, characters.next()?);
    // `'a'` and `'\n'` are characters, `'a` alone is a lifetime.
    (first == '\\' || second == '\'').then(|| prefix + 1 + quoted_length(inside, '\''))
}

/// Bytes up to and with the closing quote; a backslash protects the character behind it.
fn quoted_length(inside: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (position, c) in inside.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if c == quote {
            return position + c.len_utf8();
        }
    }
    inside.len()
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut position = 0;
    while let Some(found) = text[position..].find(['/', '*']) {
        let start = position + found;
        position = start + 1;
        if text[start..].starts_with("/*") {
            depth += 1;
            position += 1;
        } else if text[start..].starts_with("*/") {
            depth -= 1;
            position += 1;
            if depth == 0 {
                return position;
            }
        }
    }
    text.len()
}

#[test]
fn comments_and_literals_are_blanked() {
    for (text, words) in [
        ("a // b\nc", "a c"),
        ("a /* b /* c */ d */ e", "a e"),
        ("x(\"use crate::net;\", 'y', '\\'', b\"z\") end", "x( , , , ) end"),
        ("x(r##\"a\"#b\"##, br\"c\") y", "x( , ) y"),
        ("\"a\\\"b\" c", "c"),
        ("fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)"),
    ] {
        let blanked = blank(text);
        assert_eq!(blanked.split_whitespace().collect::<Vec<_>>().join(" "), words, "{text:?}");
        assert_eq!(blanked.len(), text.len());
    }
}

#[test]
fn tests_are_cut_off_and_test_imports_are_not() {
    assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests {\n b }"), "a\n");
    assert_eq!(before_tests("a\n#[cfg(test)]\nuse b;\nc"), "a\n#[cfg(test)]\nuse b;\nc");
    assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests;\nc"), "a\n#[cfg(test)]\nmod tests;\nc");
}
