//! Links and paths in the documentation lead to files that exist.

use crate::tree::{Document, Source};

/// Folders of the tree: a quoted path that begins so is meant as a path of this repository.
const FOLDERS: &[&str] = &["src/", "tests/", "bench/", "config/", "scripts/", "docs/", "fuzz/"];

pub(crate) fn check_links(page: &Document, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let linked = targets(&page.text).into_iter().filter_map(|target| {
        let path = target.split(['#', '?']).next().unwrap_or_default();
        let is_ours = !path.is_empty() && !path.contains(':') && !path.starts_with('/');
        is_ours.then(|| normal(folder, path))
    });
    let is_map = page.path == "docs/ARCHITECTURE.md";
    let quoted = quoted_paths(&page.text).into_iter().filter(|_| is_map).map(str::to_owned);
    let lost = linked.chain(quoted).filter(|path| !exists(path));
    lost.map(|path| format!("{}: names {path}, which does not exist", page.path)).collect()
}

/// What git leaves in a text whose two versions nobody has put together.
pub(crate) fn check_merged(page: &Document) -> Vec<String> {
    let is_marker =
        |line: &&str| ["<<<<<<< ", ">>>>>>> ", "||||||| "].iter().any(|start| line.starts_with(start));
    let found = page.text.lines().find(is_marker);
    found.map(|line| format!("{}: two versions stand at `{line}`", page.path)).into_iter().collect()
}

/// The words of reasons: literals that an arm of a `match` or an error gives, such as `=> "bad_host",`.
pub(crate) fn check_reasons(file: &Source, page: &Document) -> Vec<String> {
    let given = ["=> \"", "BadResponse(\"", "Malformed(\"", "Word = \""];
    let words = file.text.lines().filter_map(|line| {
        let given = given.iter().find_map(|start| line.split_once(start)).map(|(_, rest)| rest);
        // A long arm has its literal on a line of its own.
        let alone = || line.trim().strip_prefix('"')?.strip_suffix('"');
        given.or_else(alone)?.split('"').next()
    });
    let lost = words.filter(|word| is_reason(word)).filter(|word| !page.text.contains(&format!("`{word}`")));
    lost.map(|word| format!("{}: does not explain {word} of {}", page.path, file.path)).collect()
}

/// Words of HTTP/2 and HTTP/3 that a page explains and no code gives.
pub(crate) fn check_explained(page: &Document, is_given: impl Fn(&str) -> bool) -> Vec<String> {
    let quoted = page.text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let words = quoted.filter(|word| ["h2_", "h3_", "hpack_"].iter().any(|start| word.starts_with(start)));
    let words = words.filter(|word| is_reason(word) && !word.ends_with('_'));
    let lost = words.filter(|word| !is_given(word));
    lost.map(|word| format!("{}: explains {word}, which nothing gives", page.path)).collect()
}

/// Examples that no page names, and names in pages that are those of no example.
pub(crate) fn check_examples(pages: &[Document], examples: &[String]) -> Vec<String> {
    // What changed once may be gone by now.
    let pages = || pages.iter().filter(|page| page.path != "docs/CHANGELOG.md");
    let unnamed = examples.iter().filter(|path| !pages().any(|page| page.text.contains(path.as_str())));
    let unnamed = unnamed.map(|path| format!("{path}: no page names it"));
    let is_lost = |path: &&str| path.ends_with(".toml") && !examples.iter().any(|example| example == path);
    let lost = pages().flat_map(|page| {
        let named = quoted_paths(&page.text).into_iter().filter(|path| path.starts_with("config/"));
        named.filter(is_lost).map(move |path| format!("{}: names {path}, which does not exist", page.path))
    });
    unnamed.chain(lost).collect()
}

/// `bad_host` of the log, `CONNECT_TIMEOUT` of health checks.
fn is_reason(word: &str) -> bool {
    let letters = || word.chars().filter(|c| !matches!(c, '0'..='9' | '_'));
    word.contains('_')
        && (letters().all(|c| c.is_ascii_lowercase()) || letters().all(|c| c.is_ascii_uppercase()))
}

/// What stands between `](` and `)`.
fn targets(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.trim())
        .collect()
}

/// Paths between single backticks that name one file or folder.
fn quoted_paths(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with("```"));
    lines
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['*', '<', '{', ' ', '…', '|']))
        .collect()
}

/// Resolves `..` and `.` against the folder of the page.
fn normal(folder: &str, path: &str) -> String {
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.join("/")
}

#[test]
fn reasons_that_nobody_explains_are_found() {
    let page = Document { path: "docs/access_log.md".to_owned(), text: "`a_word`, not that_word".to_owned() };
    for (text, lost) in [
        ("A => \"a_word\",", 0),
        ("A => \"that_word\",", 1),
        ("A => {\n    \"that_word\"\n}", 1),
        ("const BROKEN: Word = \"that_word\";", 1),
        ("A => \"some text\",", 0),
        ("A => \"SOME_WORD\",", 1),
    ] {
        let file =
            Source { path: "src/tls/accept.rs".to_owned(), text: text.to_owned(), code: String::new() };
        assert_eq!(check_reasons(&file, &page).len(), lost, "{text}");
    }
}

#[test]
fn explanations_of_words_that_are_gone_are_found() {
    let text = "`h2_gone`, `h2_there`, words that begin with `h2_`, `other_gone`".to_owned();
    let page = Document { path: "docs/http2.md".to_owned(), text };
    assert_eq!(check_explained(&page, |word| word == "h2_there").len(), 1);
}

#[test]
fn examples_that_nobody_names_are_found() {
    let page = |path: &str, text: &str| Document { path: path.to_owned(), text: text.to_owned() };
    let examples = ["config/a.toml".to_owned(), "config/b.toml".to_owned()];
    for (text, found) in [
        ("`config/a.toml`, [b](config/b.toml)", 0),
        ("`config/a.toml`", 1),
        ("`config/a.toml`, `config/b.toml`, `config/c.toml`", 1),
    ] {
        let pages = [page("docs/a.md", text), page("docs/CHANGELOG.md", "`config/b.toml`")];
        assert_eq!(check_examples(&pages, &examples).len(), found, "{text}");
    }
}

#[test]
fn lost_links_are_found() {
    let exists = |path: &str| matches!(path, "docs/a.md" | "src/lib.rs" | "README.md");
    for (text, lost) in [
        ("[a](a.md) [b](../README.md#top) [c](https://example.com/x)", 0),
        ("[a](b.md)", 1),
        ("see `src/lib.rs` and `src/net/*.rs`", 0),
        ("see `src/nothing.rs`", 1),
    ] {
        let page = Document { path: "docs/ARCHITECTURE.md".to_owned(), text: text.to_owned() };
        assert_eq!(check_links(&page, exists).len(), lost, "{text}");
    }
}
