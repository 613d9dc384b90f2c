//! `docs/limits.md` lists every limit with its number: keys out of the reference, constants out of the sources.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md");

/// `UPDATE_DOCS=1 cargo test --test limits` writes it.
#[test]
fn the_page_has_every_limit_with_its_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("the file can be read");
    let found = read(Path::new(PAGE));
    let mut sources: Vec<Source> = files_below(&root.join("src"))
        .into_iter()
        .map(|path| Source {
            text: read(&path),
            path: path.strip_prefix(root).expect("it is below").display().to_string(),
        })
        .collect();
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    let expected = page(&found, &read(&root.join("docs/configuration.md")), &sources);
    assert!(expected.matches("\n| `MAX_").count() > 100, "{expected}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PAGE, &expected).expect("the page can be written");
    }
    assert!(read(Path::new(PAGE)) == expected, "run UPDATE_DOCS=1 cargo test --test limits");
}

/// A file below `src`.
struct Source {
    path: String,
    text: String,
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("the entry can be read").path());
    paths
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

const HEADING: &str = "## Every limit and its number\n";

/// Numbers of a protocol that are called after limits.
const NO_LIMITS: &[&str] = &["src/proto/h2/frame/settings.rs"];

/// What keys that bound something have in their names.
const WORDS: &[&str] = &[
    "max_",
    "_timeout",
    "_delay",
    "_per_second",
    "_bytes",
    "_memory",
    "_entries",
    "retries",
    "burst",
    "interval",
    "lifetime",
    "threshold",
    "queue",
    "limit",
    "workers",
    "ejection_time",
    "connections",
    "per_client",
];

/// A `const` that bounds something.
#[derive(Debug, PartialEq)]
struct Constant {
    name: String,
    value: String,
    reason: String,
}

/// The page as it must be.
fn page(old: &str, reference: &str, sources: &[Source]) -> String {
    let (head, _) = old.split_once(HEADING).expect("the page has the heading");
    let mut page = format!("{head}{HEADING}\n{INTRODUCTION}\n### By keys\n\n");
    page += "| Key | In | Default | Allowed |\n|---|---|---|---|\n";
    page += &keys(reference);
    page += "\n### Fixed\n\n| Limit | Number | What it bounds, and why | Part |\n|---|---|---|---|\n";
    let is_tests =
        |path: &str| path.contains("/tests") || path.ends_with("fuzz.rs") || path.ends_with("speed.rs");
    let has_limits = |source: &&Source| !NO_LIMITS.contains(&source.path.as_str()) && !is_tests(&source.path);
    for source in sources.iter().filter(has_limits) {
        for Constant { name, value, reason } in constants(source) {
            page += &format!("| `{name}` | {value} | {reason} | {} |\n", part(&source.path));
        }
    }
    page
}

const INTRODUCTION: &str = "\
What is not listed here is bounded by one of these: a queue, a loop over what a peer sends, or a buffer has a key or a named\n\
constant. Tables are made of the reference and of the sources, so their numbers are those of this version.\n";

/// What folders are called by those who do not know the sources; the others are called what they are.
const FOLDERS: &[(&str, &str)] = &[
    ("command", "command line"),
    ("config", "configuration"),
    ("control", "control plane"),
    ("net", "network"),
    ("proto", "protocol"),
];

/// Words that are written otherwise than a file of them is called.
const SPELLINGS: &[(&str, &str)] = &[
    ("api", "API"),
    ("ca", "CA"),
    ("cors", "CORS"),
    ("cpu", "CPU"),
    ("dns", "DNS"),
    ("h1", "HTTP/1.1"),
    ("h2", "HTTP/2"),
    ("hpack", "HPACK"),
    ("http", "HTTP"),
    ("id", "ID"),
    ("ip", "IP"),
    ("otlp", "OTLP"),
    ("pem", "PEM"),
    ("proxy protocol", "PROXY protocol"),
    ("rtt", "RTT"),
    ("tls", "TLS"),
    ("x509", "X.509"),
];

/// The part of Ringway that a file is, in words: the folder, and what is in it.
fn part(path: &str) -> String {
    let way = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let spelled = |words: &[(&'static str, &'static str)], word: &str| {
        words.iter().find(|(name, _)| *name == word).map(|(_, spelling)| (*spelling).to_owned())
    };
    let in_words = |name: &str| {
        let name = name.replace('_', " ");
        let words = name.split(' ').map(|word| spelled(SPELLINGS, word).unwrap_or_else(|| word.to_owned()));
        spelled(SPELLINGS, &name).unwrap_or_else(|| words.collect::<Vec<_>>().join(" "))
    };
    let (folder, rest) = way.split_once('/').unwrap_or((way, ""));
    let folder = spelled(FOLDERS, folder).unwrap_or_else(|| in_words(folder));
    // All of the configuration's limits are checked; that says nothing.
    let rest: Vec<_> =
        rest.split('/').filter(|name| !name.is_empty() && *name != "check").map(in_words).collect();
    match rest.is_empty() {
        true => folder,
        false => format!("{folder}: {}", rest.join(", ")),
    }
}

/// Keys that bound something, with their tables.
fn keys(reference: &str) -> String {
    let mut rows = String::new();
    let mut table = "";
    for line in reference.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading;
        }
        let Some(cells) = line.strip_prefix("| `").and_then(|rest| rest.strip_suffix(" |")) else {
            continue;
        };
        if let [key, allowed, default, _] = cells.split(" | ").collect::<Vec<_>>()[..]
            && let Some(key) = key.strip_suffix('`')
            && WORDS.iter().any(|word| key.contains(word) || *word == key)
            && allowed.bytes().any(|byte| byte.is_ascii_digit())
        {
            rows += &format!("| `{key}` | {table} | {default} | {allowed} |\n");
        }
    }
    rows
}

/// The limits of a file, in their order.
fn constants(source: &Source) -> Vec<Constant> {
    let lines: Vec<&str> = source.text.lines().take_while(|line| *line != "#[cfg(test)]").collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(rest) = line.trim_start_matches("pub").split_once("const ").filter(|(before, _)| {
            line.starts_with(['c', 'p']) && (before.trim().is_empty() || before.starts_with('('))
        }) else {
            continue;
        };
        let Some((name, rest)) = rest.1.split_once(": ") else {
            continue;
        };
        let declaration =
            rest.split_once(" = ").map(|(_, value)| value.split(';').next().unwrap_or_default());
        let Some(value) = declaration.filter(|_| name.starts_with("MAX_") || name.starts_with("MIN_")) else {
            continue;
        };
        let is_comment = |line: &&&str| line.starts_with("///");
        let above = lines.iter().take(index).rev().take_while(is_comment).count();
        let reason: Vec<&str> = lines
            .iter()
            .skip(index - above)
            .take(above)
            .map(|line| line.trim_start_matches("///").trim())
            .collect();
        let reason = if reason.is_empty() { subject(&source.text) } else { reason.join(" ") };
        found.push(Constant { name: name.to_owned(), value: shown(value), reason: plain(&reason) });
    }
    found
}

/// What a file is about.
fn subject(text: &str) -> String {
    let head = text.lines().take_while(|line| line.starts_with("//!"));
    let head: Vec<&str> = head.map(|line| line.trim_start_matches("//!").trim()).collect();
    head.join(" ").split(". ").next().unwrap_or_default().trim_end_matches(['.', ':']).to_owned()
}

/// Text that can stand in a table: links of rustdoc and bars mean something else there.
fn plain(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`").replace('|', "or")
}

/// A number, or what makes it.
fn shown(expression: &str) -> String {
    for (function, unit) in [("Duration::from_secs(", "s"), ("Duration::from_millis(", "ms")] {
        let inner = expression.strip_prefix(function).and_then(|rest| rest.strip_suffix(')'));
        if let Some(number) = inner.and_then(sum) {
            return format!("{number} {unit}");
        }
    }
    sum(expression).map_or_else(|| format!("`{expression}`"), |number| number.to_string())
}

/// Sums of products of shifts of whole numbers.
fn sum(expression: &str) -> Option<u64> {
    let inner = expression.trim();
    if let Some((left, right)) = outside_brackets(inner, " + ") {
        return sum(left)?.checked_add(sum(right)?);
    }
    if let Some((left, right)) = outside_brackets(inner, " - ") {
        return sum(left)?.checked_sub(sum(right)?);
    }
    if let Some((left, right)) = outside_brackets(inner, " << ") {
        return Some(sum(left)? << u32::try_from(sum(right)?).ok()?);
    }
    if let Some((left, right)) = outside_brackets(inner, " * ") {
        return sum(left)?.checked_mul(sum(right)?);
    }
    match inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => sum(inner),
        None => inner.replace('_', "").parse().ok(),
    }
}

/// The sides of the last operator that stands in no brackets.
fn outside_brackets<'e>(expression: &'e str, operator: &str) -> Option<(&'e str, &'e str)> {
    let is_outside = |at: &usize| {
        let before = &expression[..*at];
        before.matches('(').count() == before.matches(')').count()
    };
    let at = expression.rmatch_indices(operator).map(|(at, _)| at).find(is_outside)?;
    Some((&expression[..at], &expression[at + operator.len()..]))
}

#[test]
fn parts_are_told_in_words() {
    let cases = [
        ("src/policy/basic_auth/password_hash.rs", "policy: basic auth, password hash"),
        ("src/config/check/rule/cors.rs", "configuration: rule, CORS"),
        ("src/upstream/h2/mod.rs", "upstream: HTTP/2"),
        ("src/proto/proxy_protocol.rs", "protocol: PROXY protocol"),
        ("src/policy/request_id.rs", "policy: request ID"),
    ];
    for (path, expected) in cases {
        assert_eq!(part(path), expected);
    }
}

#[test]
fn constants_are_read_with_their_numbers_and_reasons() {
    let text = "//! Things. And more.\n\nconst MAX_A: usize = 60 * 1024;\n/// So that\n/// it ends.\npub(super) const \
        MIN_B: Duration = Duration::from_millis(1_00);\npub const OTHER: u8 = 1;\nconst MAX_C: u64 = (1 << 29) - 1;\n\
        const MAX_D: usize = MAX_A;\n";
    let constant = |name: &str, value: &str, reason: &str| Constant {
        name: name.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    let expected = [
        constant("MAX_A", "61440", "Things"),
        constant("MIN_B", "100 ms", "So that it ends."),
        constant("MAX_C", "536870911", "Things"),
        constant("MAX_D", "`MAX_A`", "Things"),
    ];
    let source = Source { path: "src/a.rs".to_owned(), text: text.to_owned() };
    assert_eq!(constants(&source), expected);
}
