//! What the reference in docs says of each key, for those who meet the key elsewhere.

use crate::config::embedded::EmbeddedFile;
use crate::config::embedded::embedded;

/// The page that tells every key; a test sees to it.
pub static REFERENCE: EmbeddedFile = embedded!("docs/configuration.md");

/// A row of a table of keys, its cells as they are written, in Markdown.
pub struct KeyRow<'t> {
    /// Dotted, as in the header; empty for the keys before the first table.
    pub table: &'t str,
    pub key: &'t str,
    /// Type and range.
    pub values: &'t str,
    pub default: &'t str,
    pub meaning: &'t str,
}

/// Every key of every table, in the order of the page.
pub fn key_rows() -> Vec<KeyRow<'static>> {
    let mut table = "";
    let mut is_of_keys = false;
    let mut rows = Vec::new();
    for line in REFERENCE.text().lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading
                .strip_prefix("`[")
                .map_or("", |rest| rest.trim_start_matches('[').split(']').next().unwrap_or_default());
        }
        if !line.starts_with('|') {
            is_of_keys = false;
            continue;
        }
        is_of_keys |= line.starts_with("| Key |");
        if let (true, Some([key, values, default, meaning])) = (is_of_keys, cells(line)) {
            let key = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'));
            rows.extend(key.map(|key| KeyRow { table, key, values, default, meaning }));
        }
    }
    rows
}

/// The cells of a row of as many.
pub fn cells<const N: usize>(line: &str) -> Option<[&str; N]> {
    let inner = line.strip_prefix("| ")?.trim_end().strip_suffix('|')?;
    inner.split(" | ").map(str::trim).collect::<Vec<_>>().try_into().ok()
}

/// What a key means, can be and is by default, without links.
pub fn describe(rows: &[KeyRow<'_>], table: &str, key: &str) -> Option<String> {
    let row = rows.iter().find(|row| row.table == table && row.key == key)?;
    let [meaning, values, default] = [row.meaning, row.values, row.default].map(without_links);
    Some(format!("{meaning} ({values}; default: {default})").replace("; default: required", "; required"))
}

/// Markdown in which a link is its text alone.
pub fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, label, after)) = next_link(rest) {
        plain.push_str(before);
        plain.push_str(label);
        rest = after;
    }
    plain + rest
}

/// What stands before the first link, its text, and what stands behind it.
fn next_link(text: &str) -> Option<(&str, &str, &str)> {
    let middle = text.find("](")?;
    let start = text[..middle].rfind('[')?;
    let end = middle + text[middle..].find(')')?;
    Some((&text[..start], &text[start + 1..middle], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_their_texts() {
        for (text, expected) in [
            ("see [admin.md](admin.md).", "see admin.md."),
            ("[`/readyz`](metrics.md#a) and [b](c)", "`/readyz` and b"),
            ("`[]` is no link (nor this)", "`[]` is no link (nor this)"),
        ] {
            assert_eq!(without_links(text), expected);
        }
    }

    #[test]
    fn rows_have_their_tables() {
        let rows = key_rows();
        let row = |table: &str, key: &str| rows.iter().find(|row| row.table == table && row.key == key);
        assert_eq!(row("", "config_version").map(|row| row.default), Some("required"));
        assert_eq!(row("listener", "http2_max_resets").map(|row| row.default), Some("`400`"));
        assert!(row("server_group.backend", "address").is_some());
        assert!(row("server_group", "weighted_round_robin").is_none());
    }
}
