//! The names of types: one that stands twice makes a reader ask which of them is meant.

use crate::code::{first_word, occurrences};
use crate::tree::Source;
use std::collections::BTreeMap;

/// Names that may stand more than once, and why.
pub(crate) struct Shared {
    pub(crate) why: &'static str,
    pub(crate) names: &'static [&'static str],
}

/// One sentence for each name that stands more than once and may not, and for each that may and does not.
pub(crate) fn check_type_names(files: &[Source], shared: &[Shared]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files.iter().filter(|file| !is_beside_the_product(&file.path)) {
        for name in declared_types(&file.code) {
            places.entry(name).or_default().push(&file.path);
        }
    }
    let allowed: Vec<&str> = shared.iter().flat_map(|shared| shared.names.iter().copied()).collect();
    let taken = places.iter().filter(|(name, places)| places.len() > 1 && !allowed.contains(name));
    let taken = taken.map(|(name, places)| {
        format!(
            "{}: the type `{name}` stands there too; name them so that they tell apart",
            places.join(", ")
        )
    });
    let is_shared = |name: &&str| places.get(name).is_some_and(|places| places.len() > 1);
    let stale = shared.iter().flat_map(|shared| {
        let stale = shared.names.iter().filter(|name| !is_shared(name));
        stale
            .map(|name| format!("tests/tidy.rs: `{name}` stands once ({}); take it off the list", shared.why))
    });
    taken.chain(stale).collect()
}

fn is_beside_the_product(path: &str) -> bool {
    path.ends_with("/fuzz.rs") || path.ends_with("/speed.rs")
}

/// The types that stand in a module itself, not in a function, an `impl` or a trait.
fn declared_types(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for keyword in ["struct", "enum", "trait", "union", "type"] {
        for (before, after) in occurrences(code, keyword) {
            let line = before.rsplit('\n').next().unwrap_or_default();
            let name = first_word(after.trim_start());
            if !line.starts_with(' ') && name.starts_with(char::is_uppercase) {
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(of_a: &str, of_b: &str, names: &'static [&'static str]) -> String {
        let files = [Source::new("src/a.rs", of_a), Source::new("src/b.rs", of_b)];
        check_type_names(&files, &[Shared { why: "each has one", names }]).join("; ")
    }

    #[test]
    fn a_name_that_stands_twice_is_found() {
        let expected = "src/a.rs, src/b.rs: the type `A` stands there too; name them so that they tell apart";
        for of_b in ["struct A;", "pub(super) enum A {}", "pub trait A {}", "type A = u8;"] {
            assert_eq!(findings("pub struct A<T> {}", of_b, &[]), expected, "{of_b}");
            assert_eq!(findings("pub struct A<T> {}", of_b, &["A"]), "", "{of_b}");
        }
    }

    #[test]
    fn names_that_differ_and_inner_types_are_not() {
        for of_b in [
            "struct B;",
            "// struct A;",
            "impl C for D {\n    type A = u8;\n}",
            "#[cfg(test)]\nmod tests {\nstruct A;\n}",
        ] {
            assert_eq!(findings("struct A;", of_b, &[]), "", "{of_b}");
        }
        let stale = "tests/tidy.rs: `A` stands once (each has one); take it off the list";
        assert_eq!(findings("struct A;", "", &["A"]), stale);
    }
}
