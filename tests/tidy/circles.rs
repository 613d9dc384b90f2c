//! Import circles: files of one crate of which none can be read before the others.
//!
//! Tests and fuzz functions do not count, for nothing that serves is built of them. A re-export does not count
//! either: who uses it imports the file where the thing is.

use crate::code::{first_word, occurrences};
use crate::rules::declared_modules;
use crate::tree::Source;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A re-export may lead to another one; no chain of them is longer.
const MAX_REEXPORTS: usize = 8;

/// One sentence for each circle, with the shortest way around it from the first of its files.
///
/// `root` is the folder of the crate's first file, such as `src/`.
pub(crate) fn check_circles(files: &[Source], root: &str) -> Vec<String> {
    let tree = Tree::new(files, root);
    let imports: BTreeMap<&str, BTreeSet<&str>> =
        tree.modules.iter().map(|(name, file)| (file.path.as_str(), tree.imports(name, file))).collect();
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for start in imports.keys() {
        if told.contains(start) {
            continue;
        }
        if let Some(way) = way_back(start, &imports) {
            let steps = [&way[1..], &[*start]].concat().join(", which imports ");
            findings.push(format!(
                "{start} imports {steps}: move what they share into a file that imports none of them"
            ));
            let around = reached(start, &imports);
            told.extend(around.into_iter().filter(|file| reached(file, &imports).contains(start)));
        }
    }
    findings
}

/// The files that count, by the paths of their modules.
struct Tree<'s> {
    modules: BTreeMap<String, &'s Source>,
    /// Without what does not count, by the same.
    code: BTreeMap<String, String>,
    /// From the path of a re-exported name to the one where the thing is.
    reexports: BTreeMap<String, String>,
}

impl<'s> Tree<'s> {
    fn new(files: &'s [Source], root: &str) -> Tree<'s> {
        let mut tree = Tree { modules: BTreeMap::new(), code: BTreeMap::new(), reexports: BTreeMap::new() };
        for file in files.iter().filter(|file| !file.path.starts_with("src/bin/")) {
            let name = file.module_path_below(root).join("::");
            if name.is_empty() {
                continue;
            }
            let is_fuzz = file.path.ends_with("/fuzz.rs");
            let code = if is_fuzz { String::new() } else { without_test_items(&file.code) };
            let (code, reexported) = without_reexports(&code);
            for (as_name, path) in reexported {
                tree.reexports.insert(format!("{name}::{as_name}"), absolute(&path, &name));
            }
            tree.code.insert(name.clone(), code);
            tree.modules.insert(name, file);
        }
        tree
    }

    /// The paths of the files that a module imports.
    fn imports(&self, name: &str, file: &Source) -> BTreeSet<&'s str> {
        let code = &self.code[name];
        let children = declared_modules(file);
        let firsts = ["crate", "self", "super"].into_iter().chain(children);
        let paths = firsts.flat_map(|first| {
            occurrences(code, first).filter_map(move |(before, after)| {
                let begins = !before.ends_with("::") && !before.ends_with('.') && after.starts_with("::");
                begins.then(|| format!("{first}{}", path_at(after)))
            })
        });
        let found = paths.filter_map(|path| self.file_of(&absolute(&path, name), 0));
        found.filter(|found| *found != file.path).collect()
    }

    /// The file of the longest part of a path that is one.
    fn file_of(&self, path: &str, reexports: usize) -> Option<&'s str> {
        let mut rest = path;
        loop {
            if let Some(target) = self.reexports.get(rest).filter(|_| reexports < MAX_REEXPORTS) {
                return self.file_of(target, reexports + 1);
            }
            if let Some(file) = self.modules.get(rest) {
                return Some(&file.path);
            }
            rest = rest.rsplit_once("::")?.0;
        }
    }
}

/// A path from the crate down, as a module means it.
fn absolute(path: &str, module: &str) -> String {
    if let Some(path) = path.strip_prefix("crate::") {
        return path.to_owned();
    }
    let (mut module, mut path) = (module, path.strip_prefix("self::").unwrap_or(path));
    while let Some(rest) = path.strip_prefix("super::") {
        (module, path) = (module.rsplit_once("::").map_or("", |(above, _)| above), rest);
    }
    if module.is_empty() { path.to_owned() } else { format!("{module}::{path}") }
}

/// The rest of a path: `::a::B` of `::a::B::{self, c}`.
fn path_at(text: &str) -> &str {
    let mut length = 0;
    while let Some(rest) = text[length..].strip_prefix("::") {
        let word = first_word(rest);
        if word.is_empty() {
            break;
        }
        length += 2 + word.len();
    }
    &text[..length]
}

/// Takes `pub use a::B;` out: the code without them, and names with paths.
fn without_reexports(code: &str) -> (String, Vec<(String, String)>) {
    let mut rest = String::new();
    let mut found = Vec::new();
    for statement in code.split_inclusive(';') {
        let line = statement.trim();
        let is_public = line.starts_with("pub ") || line.starts_with("pub(");
        let path = line.trim_end_matches(';').split_once(" use ").filter(|_| is_public);
        match path.filter(|(visibility, path)| !visibility.contains(['{', '=']) && !path.contains('{')) {
            Some((_, path)) => {
                let (path, name) = match path.split_once(" as ") {
                    Some((path, name)) => (path.trim(), name.trim()),
                    None => (path, path.rsplit("::").next().unwrap_or(path)),
                };
                found.push((name.to_owned(), path.to_owned()));
            }
            None => rest.push_str(statement),
        }
    }
    (rest, found)
}

/// Takes the items out that only tests, fuzz targets or documentation have.
fn without_test_items(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(") {
        let (before, attribute) = rest.split_at(start);
        out.push_str(before);
        let end = attribute.find(']').map_or(attribute.len(), |end| end + 1);
        let condition = &attribute[..end];
        let names = |word: &str| occurrences(condition, word).next().is_some();
        let is_left_out = !names("not") && (names("test") || names("doc") || names("fuzzing"));
        rest = &attribute[end..];
        if is_left_out {
            rest = &rest[item_length(rest)..];
        }
    }
    out + rest
}

/// The length of the item, field or arm that begins here, its other attributes included.
fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (position, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            '}' if depth <= 1 => return position + depth,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ';' | ',' if depth == 0 => return position + 1,
            _ => {}
        }
    }
    code.len()
}

/// Everything that a file imports, through others too.
fn reached<'s>(start: &'s str, imports: &BTreeMap<&'s str, BTreeSet<&'s str>>) -> BTreeSet<&'s str> {
    let mut found = BTreeSet::new();
    let mut next = vec![start];
    while let Some(file) = next.pop() {
        next.extend(imports[file].iter().filter(|file| found.insert(**file)));
    }
    found
}

/// The files of the shortest way from a file back to it, beginning with it.
fn way_back<'s>(start: &'s str, imports: &BTreeMap<&'s str, BTreeSet<&'s str>>) -> Option<Vec<&'s str>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for file in &imports[*way.last()?] {
            if *file == start {
                return Some(way);
            }
            if seen.insert(*file) {
                ways.push_back([&way[..], &[*file]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> String {
        let files: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check_circles(&files, "src/")
            .join("; ")
            .replace(": move what they share into a file that imports none of them", "")
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let expected = "src/a/b.rs imports src/a/c.rs, which imports src/a/b.rs";
        for (of_b, of_c) in [
            ("use crate::a::c::C;", "use crate::a::b::B;"),
            ("use crate::a::c;", "fn c() { crate::a::b::b(); }"),
            ("use super::c::C;", "use super::super::a::b;"),
            ("use crate::a::c::C;\n#[cfg(test)]\nmod tests;", "#[cfg(not(fuzzing))]\nuse crate::a::b::B;"),
            (
                "#[cfg(test)]\nuse x::Y;\nuse crate::a::c::C;",
                "struct C {\n#[cfg(test)]\nx: X,\nb: crate::a::b::B }",
            ),
        ] {
            let files = [("src/a/mod.rs", "mod b;\nmod c;"), ("src/a/b.rs", of_b), ("src/a/c.rs", of_c)];
            assert_eq!(circles(&files), expected, "{of_b} {of_c}");
        }
    }

    #[test]
    fn what_does_not_serve_makes_no_circle() {
        for of_c in [
            "",
            "// use crate::a::b::B;",
            "const C: &str = \"crate::a::b\";",
            "#[cfg(test)]\nuse crate::a::b::B;",
            "#[cfg(doc)]\nuse crate::a::b::B;",
            "#[cfg(any(test, fuzzing))]\n#[allow(x)]\npub fn fuzz(b: u8, c: u8) { if b { crate::a::b::b(); } }",
            "#[cfg(test)]\nmod tests {\n use crate::a::b::B;\n}",
        ] {
            let files = [("src/a/b.rs", "use crate::a::c::C;"), ("src/a/c.rs", of_c)];
            assert_eq!(circles(&files), "", "{of_c}");
        }
        let uses = "use crate::a::c::C;";
        assert_eq!(circles(&[("src/a/c.rs", "use crate::a::fuzz::F;"), ("src/a/fuzz.rs", uses)]), "");
        assert_eq!(circles(&[("src/a/c.rs", "use crate::a::tests::F;"), ("src/a/tests.rs", uses)]), "");
    }

    #[test]
    fn a_door_that_calls_into_its_room_is_not_imported_from_there() {
        let door = "mod b;\npub struct Door;\nfn a() { b::run(); }";
        let inside = |text| [("src/a/mod.rs", door), ("src/a/b.rs", text)];
        let expected = "src/a/b.rs imports src/a/mod.rs, which imports src/a/b.rs";
        assert_eq!(circles(&inside("use crate::a::Door;")), expected);
        assert_eq!(circles(&inside("fn run() {}")), "");
    }

    #[test]
    fn a_reexport_stands_for_the_file_behind_it() {
        let door = "mod b;\nmod c;\npub use b::B;\npub(super) use crate::a::c::C as Other;";
        let files = |of_b, of_c| [("src/a/mod.rs", door), ("src/a/b.rs", of_b), ("src/a/c.rs", of_c)];
        assert_eq!(circles(&files("", "use crate::a::B;")), "");
        let expected = "src/a/b.rs imports src/a/c.rs, which imports src/a/b.rs";
        assert_eq!(circles(&files("use crate::a::Other;", "use crate::a::B;")), expected);
        assert_eq!(
            circles(&[("src/a.rs", "pub use crate::b::X;"), ("src/b.rs", "pub use crate::a::X;")]),
            ""
        );
    }

    #[test]
    fn each_circle_is_told_once_by_its_shortest_way() {
        let files = [
            ("src/a.rs", "use crate::b;\nuse crate::c;"),
            ("src/b.rs", "use crate::c;"),
            ("src/c.rs", "use crate::a;\nuse crate::d;"),
            ("src/d.rs", "use crate::e;"),
            ("src/e.rs", "use crate::d;"),
        ];
        let expected = "src/a.rs imports src/c.rs, which imports src/a.rs; \
                        src/d.rs imports src/e.rs, which imports src/d.rs";
        assert_eq!(circles(&files), expected);
    }
}
