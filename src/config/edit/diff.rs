//! The difference between two texts, as `diff -u` writes it.
//!
//! This is the only file that names the `similar` package.

use std::time::Duration;

use similar::TextDiff;

/// How long the smallest difference is looked for; after that, a larger one does.
const SEARCH_TIME: Duration = Duration::from_millis(200);

/// Lines of the surroundings.
const AROUND: usize = 3;

/// The difference of one file; empty without any. None: there is no such file before, or after.
pub fn unified(name: &str, before: Option<&str>, after: Option<&str>) -> String {
    let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
    let side = |text: Option<&str>| if text.is_some() { name } else { "/dev/null" };
    let mut config = TextDiff::configure();
    let diff = config.timeout(SEARCH_TIME).diff_lines(old, new);
    diff.unified_diff().context_radius(AROUND).header(side(before), side(after)).to_string()
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn a_difference_is_that_of_diff() {
        let old = "a = 1\nb = 2\n";
        assert_eq!(unified("x.toml", Some(old), Some(old)), "");
        assert_eq!(
            unified("x.toml", Some(old), Some("a = 1\nb = 3\n")),
            "--- x.toml\n+++ x.toml\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n"
        );
        assert_eq!(
            unified("x.toml", None, Some("a = 1\n")),
            "--- /dev/null\n+++ x.toml\n@@ -0,0 +1 @@\n+a = 1\n"
        );
        assert_eq!(
            unified("x.toml", Some("a = 1\n"), None),
            "--- x.toml\n+++ /dev/null\n@@ -1 +0,0 @@\n-a = 1\n"
        );
        let unended = unified("x.toml", Some("a = 1"), Some("a = 2"));
        assert!(
            unended.ends_with("-a = 1\n\\ No newline at end of file\n+a = 2\n\\ No newline at end of file\n"),
            "{unended}"
        );
    }
}
