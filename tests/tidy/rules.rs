//! One function per rule: source text in, sentences out.

use crate::code::{first_word, line_number, occurrences};
use crate::tree::Source;

/// A top-level module and the modules that it may import, such as `net`, or `net::address` if no more of it.
pub(crate) struct Layer {
    pub(crate) module: &'static str,
    pub(crate) may_import: &'static [&'static str],
}

/// In `Layer::may_import`: no restriction.
pub(crate) const EVERYTHING: &[&str] = &["*"];

/// A package and the places that may name it.
pub(crate) struct Door {
    pub(crate) package: &'static str,
    pub(crate) rooms: &'static [&'static str],
}

/// Code that must not stand in a module.
pub(crate) struct Absence {
    pub(crate) module: &'static str,
    pub(crate) text: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) fn check_imports(file: &Source, layers: &[Layer]) -> Vec<String> {
    let mut findings = Vec::new();
    let own_path = file.module_path();
    for (before, after) in occurrences(&file.code, "crate") {
        let Some(path) = after.strip_prefix("::") else { continue };
        if path.starts_with('{') {
            findings.push(format!(
                "{}:{}: one `use` line per module, no `use crate::{{`",
                file.path,
                line_number(before)
            ));
        } else {
            findings.extend(check_import(file, path, layers));
        }
    }
    // From `a/b.rs`, `super` is `a` and `super::super` is the crate.
    let above = "super::".repeat(own_path.len());
    if !above.is_empty() {
        for (position, _) in file.code.match_indices(&above) {
            let before = &file.code[..position];
            let path = &file.code[position + above.len()..];
            if !before.ends_with("::") && first_word(path) != "super" {
                findings.extend(check_import(file, path, layers));
            }
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// `path` begins with the name of a module; the rest of the file follows.
fn check_import(file: &Source, path: &str, layers: &[Layer]) -> Option<String> {
    let imported = first_word(path);
    // The first files of crates belong to no layer.
    let own = *file.module_path().first()?;
    if imported == own || !layers.iter().any(|layer| layer.module == imported) {
        return None;
    }
    let may_import =
        layers.iter().find(|layer| layer.module == own).map_or(&[] as &[&str], |layer| layer.may_import);
    let is_allowed = may_import == EVERYTHING || may_import.iter().any(|allowed| leads_to(path, allowed));
    if is_allowed {
        return None;
    }
    let exceptions: Vec<_> =
        may_import.iter().filter(|allowed| allowed.starts_with(&format!("{imported}::"))).copied().collect();
    let only = if exceptions.is_empty() { "" } else { &format!(", only {}", exceptions.join(" and ")) };
    Some(format!("{}: {own} may not import {imported}{only}", file.path))
}

/// Whether a path is that of this module or of something in it.
fn leads_to(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| first_word(rest).is_empty())
}

pub(crate) fn check_doors(file: &Source, doors: &[Door]) -> Vec<String> {
    let Some(path) = file.in_src() else { return Vec::new() };
    let is_inside = |room: &&str| if room.ends_with('/') { path.starts_with(*room) } else { path == *room };
    let closed = doors.iter().filter(|door| !door.rooms.iter().any(is_inside));
    let named = closed.filter(|door| occurrences(&file.code, door.package).any(is_package_named));
    named
        .map(|door| format!("{}: the door of {} is {}", file.path, door.package, door.rooms.join(", ")))
        .collect()
}

/// Whether a word stands where a path begins, and a path follows; or it is the whole of a `use`.
fn is_package_named((before, after): (&str, &str)) -> bool {
    // `::toml::x` begins a path, `crate::toml::x` does not.
    let parent = before.strip_suffix("::").unwrap_or(" ");
    let begins_path = parent.ends_with(|c: char| !c.is_alphanumeric() && c != '_') && !before.ends_with('.');
    let is_used_whole = before.trim_end().ends_with("use") && after.starts_with([';', ' ']);
    begins_path && (after.starts_with("::") || is_used_whole)
}

pub(crate) fn check_absences(file: &Source, absences: &[Absence]) -> Vec<String> {
    let own = file.module_path();
    let found = absences.iter().filter(|absence| own.first() == Some(&absence.module));
    found
        .filter(|absence| file.code.contains(absence.text))
        .map(|absence| format!("{}: `{}` has no place here: {}", file.path, absence.text, absence.why))
        .collect()
}

pub(crate) fn check_length(file: &Source, max_lines: usize) -> Option<String> {
    let lines = file.code.lines().count();
    (lines > max_lines)
        .then(|| format!("{}: {lines} lines before its tests, {max_lines} are allowed", file.path))
}

/// Notes to oneself belong into issues. The words are put together here, or this file would find itself.
pub(crate) fn check_unfinished(file: &Source) -> Vec<String> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("to", "do!")];
    let mut findings = Vec::new();
    for word in words.iter().chain(&[concat!("unimpl", "emented!")]) {
        for (before, _) in occurrences(&file.text, word) {
            findings.push(format!(
                "{}:{}: finish it or leave it out: {word}",
                file.path,
                line_number(before)
            ));
        }
    }
    findings
}

pub(crate) fn check_names(file: &Source, banned: &[&str], standard: &[(&str, &str)]) -> Vec<String> {
    let is_standard =
        |name: &str| standard.iter().any(|(place, word)| file.path.starts_with(place) && *word == name);
    let mut names: Vec<&str> = file.path.trim_end_matches(".rs").split('/').collect();
    for keyword in ["mod", "struct", "enum", "trait", "union", "type"] {
        names.extend(occurrences(&file.code, keyword).map(|(_, after)| first_word(after.trim_start())));
    }
    names.sort_unstable();
    names.dedup();
    let mut findings = Vec::new();
    for name in names.into_iter().filter(|name| !is_standard(name)) {
        let words = words_of(name);
        let found =
            words.iter().find(|word| banned.iter().any(|ban| *word == ban || **word == format!("{ban}s")));
        if let Some(word) = found {
            findings.push(format!("{}: the name `{name}` says nothing with `{word}`", file.path));
        }
    }
    findings
}

/// `ConnectionManager` and `connection_manager` are both `[connection, manager]`.
fn words_of(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            spaced.push('_');
        }
        spaced.extend(c.to_lowercase());
    }
    spaced.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The first files of the crates below `src/`: what serves requests, what sets it up, the program.
const ROOTS: [&str; 3] = ["src/data_path.rs", "src/lib.rs", "src/main.rs"];

/// The first file of each crate is a map: known modules only, in the order of the layers.
pub(crate) fn check_map(files: &[Source], layers: &[Layer]) -> Vec<String> {
    let maps = files.iter().filter(|file| ROOTS.contains(&file.path.as_str()));
    maps.flat_map(|map| check_map_of_crate(map, layers)).collect()
}

fn check_map_of_crate(map: &Source, layers: &[Layer]) -> Vec<String> {
    let path = &map.path;
    let mut findings = Vec::new();
    let mut last = 0;
    for module in declared_modules(map) {
        match layers.iter().position(|layer| layer.module == module) {
            None => findings.push(format!("{path}: the table of layers does not know {module}")),
            Some(position) if position < last => {
                findings.push(format!("{path}: {module} stands after a higher layer"));
            }
            Some(position) => last = position,
        }
    }
    findings
}

/// A file that no `mod` line reaches is not compiled, and nobody notices.
pub(crate) fn check_reachable(files: &[Source]) -> Vec<String> {
    let mut reached = ROOTS.map(str::to_owned).to_vec();
    let mut next = 0;
    while let Some(path) = reached.get(next).cloned() {
        next += 1;
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        let folder =
            file.module_path().iter().fold("src".to_owned(), |folder, name| format!("{folder}/{name}"));
        // Tests may stand in a file of their own, so this looks at the code behind the cut as well.
        let whole = Source { code: crate::code::blank(&file.text), path, text: String::new() };
        for module in declared_modules(&whole) {
            reached.extend([format!("{folder}/{module}.rs"), format!("{folder}/{module}/mod.rs")]);
        }
    }
    let lost =
        files.iter().filter(|file| !reached.contains(&file.path) && !file.path.starts_with("src/bin/"));
    lost.map(|file| format!("{}: no `mod` line leads here", file.path)).collect()
}

/// The names of `mod x;` lines, in their order.
pub(crate) fn declared_modules(file: &Source) -> Vec<&str> {
    let modules = occurrences(&file.code, "mod").map(|(_, after)| after.trim_start());
    modules
        .filter_map(|after| {
            let name = first_word(after);
            (!name.is_empty() && after[name.len()..].trim_start().starts_with(';')).then_some(name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: &[Layer] = &[
        Layer { module: "net", may_import: &[] },
        Layer { module: "worker", may_import: &["net"] },
        Layer { module: "exchange", may_import: &["worker"] },
        Layer { module: "downstream", may_import: &["net::buffer", "net::clock"] },
        Layer { module: "command", may_import: EVERYTHING },
    ];

    fn imports(path: &str, text: &str) -> String {
        check_imports(&Source::new(path, text), LAYERS).join("; ")
    }

    #[test]
    fn wrong_imports_are_found_and_right_ones_are_not() {
        let wrong = "src/exchange/mod.rs: exchange may not import net";
        for (path, text, finding) in [
            ("src/exchange/mod.rs", "use crate::net;", wrong),
            ("src/exchange/mod.rs", "use crate::net::Tcp;\nuse crate::net;", wrong),
            ("src/exchange/mod.rs", "fn a() { crate::net::b() }", wrong),
            ("src/exchange/mod.rs", "use super::net::Tcp;", wrong),
            ("src/exchange/a.rs", "use super::super::net;", "src/exchange/a.rs: exchange may not import net"),
            ("src/exchange/a.rs", "use super::net;", ""),
            (
                "src/exchange/mod.rs",
                "use crate::{net, worker};",
                "src/exchange/mod.rs:1: one `use` line per module, no `use crate::{`",
            ),
            ("src/worker.rs", "use crate::exchange;", "src/worker.rs: worker may not import exchange"),
            ("src/worker.rs", "use crate::net;\npub(crate) fn a() {}", ""),
            ("src/exchange/mod.rs", "use crate::worker;\nuse crate::exchange::a;", ""),
            ("src/exchange/mod.rs", "// use crate::net;\nconst A: &str = \"crate::net\";", ""),
            ("src/exchange/mod.rs", "#[cfg(test)]\nmod tests {\n use crate::net;\n}", ""),
            ("src/exchange/tests.rs", "use crate::net;", ""),
            ("src/command/run.rs", "use crate::net;", ""),
            ("src/downstream/a.rs", "use crate::net::buffer::Buffer;\nuse crate::net::clock;", ""),
            (
                "src/downstream/a.rs",
                "use crate::net::buffers::B;",
                "src/downstream/a.rs: downstream may not import net, only net::buffer and net::clock",
            ),
            ("src/stray.rs", "use crate::net;", "src/stray.rs: stray may not import net"),
        ] {
            assert_eq!(imports(path, text), finding, "{path}: {text}");
        }
    }

    #[test]
    fn packages_are_found_outside_their_doors_only() {
        let doors = [Door { package: "toml", rooms: &["config/raw.rs", "net/"] }];
        let finding = |path: &str, text: &str| !check_doors(&Source::new(path, text), &doors).is_empty();
        for (path, text, is_found) in [
            ("src/config/mod.rs", "use toml::Value;", true),
            ("src/config/mod.rs", "use toml;", true),
            ("src/config/mod.rs", "#[toml::main]", true),
            ("src/config/mod.rs", "let a = ::toml::b();", true),
            ("src/config/raw.rs", "use toml::Value;", false),
            ("src/net/tcp.rs", "use toml::Value;", false),
            ("src/config/mod.rs", "use crate::toml::Value;", false),
            ("src/config/mod.rs", "let toml = 1; my_toml::a(); // toml::b", false),
        ] {
            assert_eq!(finding(path, text), is_found, "{path}: {text}");
        }
    }

    #[test]
    fn names_are_split_into_words() {
        for (path, text, is_found) in [
            ("src/a.rs", "struct ConnectionManager;", true),
            ("src/a.rs", "pub enum Helpers {}", true),
            ("src/a.rs", "type PeerInfo = u8;", true),
            ("src/net/utils.rs", "", true),
            ("src/common/mod.rs", "", true),
            ("src/h2/data.rs", "struct DataFrame;", false),
            ("src/a.rs", "struct Database; struct Metadata; fn handler() {}", false),
        ] {
            let standard = [("src/h2/", "data"), ("src/h2/", "DataFrame")];
            let banned = ["manager", "helper", "info", "util", "common", "data", "base", "handler"];
            let findings = check_names(&Source::new(path, text), &banned, &standard);
            assert_eq!(!findings.is_empty(), is_found, "{path}: {text}: {findings:?}");
        }
    }

    #[test]
    fn absences_lengths_and_notes_are_checked() {
        let absences = [Absence { module: "net", text: ".await", why: "never" }];
        let check = |path: &str, text: &str| check_absences(&Source::new(path, text), &absences).len();
        assert_eq!((check("src/net/a.rs", "b.await"), check("src/worker.rs", "b.await")), (1, 0));

        let length = |text: &str| check_length(&Source::new("src/a.rs", text), 2).is_some();
        assert!(length("a\nb\nc\n"));
        assert!(!length("a\nb\n#[cfg(test)]\nmod tests {\n}\n"));

        let unfinished = |text: &str| check_unfinished(&Source::new("src/a.rs", text)).len();
        assert_eq!(unfinished(concat!("// TO", "DO: more\nto", "do!()")), 2);
        assert_eq!(unfinished("let todo = 1;"), 0);
    }

    #[test]
    fn the_map_is_ordered_and_complete() {
        let lib = |text| vec![Source::new("src/lib.rs", text), Source::new("src/data_path.rs", "mod net;")];
        assert!(check_map(&lib("pub mod net;\npub mod worker;"), LAYERS).is_empty());
        assert_eq!(check_map(&lib("mod worker;\nmod net;"), LAYERS).len(), 1);
        assert_eq!(check_map(&lib("mod stray;"), LAYERS).len(), 1);

        let files = [
            Source::new("src/lib.rs", "pub mod a;"),
            Source::new("src/a/mod.rs", "mod b;\n#[cfg(test)]\nmod tests;"),
            Source::new("src/a/b.rs", ""),
            Source::new("src/a/tests.rs", ""),
            Source::new("src/a/lost.rs", ""),
        ];
        assert_eq!(check_reachable(&files), ["src/a/lost.rs: no `mod` line leads here"]);
    }
}
