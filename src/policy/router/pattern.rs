//! Texts with wildcards: `*` for any number of characters, `?` for exactly one.

use std::fmt;

/// A text with wildcards, sorted by its shape: most are one comparison.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// No wildcard.
    Exact,
    /// One `*`, at the end.
    Prefix,
    /// One `*`, at the beginning.
    Suffix,
    /// Anything else.
    Wildcard,
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let inner = text.trim_matches('*');
        let shape = match (text.starts_with('*'), text.ends_with('*')) {
            _ if inner.contains(['*', '?']) => Shape::Wildcard,
            (false, false) => Shape::Exact,
            (false, true) => Shape::Prefix,
            (true, false) => Shape::Suffix,
            (true, true) if inner.is_empty() => Shape::Prefix,
            (true, true) => Shape::Wildcard,
        };
        Pattern { text: text.into(), shape }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        match self.shape {
            Shape::Exact => text == self.text.as_bytes(),
            Shape::Prefix => text.starts_with(self.text.trim_end_matches('*').as_bytes()),
            Shape::Suffix => text.ends_with(self.text.trim_start_matches('*').as_bytes()),
            Shape::Wildcard => matches_wildcards(self.text.as_bytes(), text),
        }
    }

    pub fn is_exact(&self) -> bool {
        self.shape == Shape::Exact
    }

    /// Whether it is a text with a `*` behind it.
    pub fn is_prefix(&self) -> bool {
        self.shape == Shape::Prefix
    }

    /// What every text that matches begins with: what stands before the first wildcard.
    pub fn literal_prefix(&self) -> &[u8] {
        let text = self.text.as_bytes();
        let end = text.iter().position(|byte| matches!(byte, b'*' | b'?')).unwrap_or(text.len());
        text.get(..end).unwrap_or_default()
    }

    /// What every text that matches ends with: what stands behind the last wildcard.
    pub fn literal_suffix(&self) -> &[u8] {
        let text = self.text.as_bytes();
        let begin = text.iter().rposition(|byte| matches!(byte, b'*' | b'?')).map_or(0, |at| at + 1);
        text.get(begin..).unwrap_or_default()
    }

    /// A regular expression that matches the same texts.
    pub fn to_regex(&self) -> String {
        let mut regex = String::from("(?s)^");
        for character in self.text.chars() {
            match character {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                other => {
                    if !other.is_ascii_alphanumeric() && other.is_ascii() {
                        regex.push('\\');
                    }
                    regex.push(other);
                }
            }
        }
        regex.push('$');
        regex
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({:?})", self.text)
    }
}

/// Compares byte by byte; where it fails, the last `*` takes one more.
fn matches_wildcards(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Behind the last `*`, and how far the text was read when it was met.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), text.get(read)) {
            (Some(b'*'), _) => {
                at += 1;
                star = Some((at, read));
            }
            (Some(b'?'), Some(_)) => (at, read) = (at + 1, read + 1),
            (Some(wanted), Some(found)) if wanted == found => (at, read) = (at + 1, read + 1),
            (None, None) => return true,
            _ => match &mut star {
                Some((behind, taken)) if *taken < text.len() => {
                    *taken += 1;
                    (at, read) = (*behind, *taken);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_automata::meta::Regex;

    #[test]
    fn what_matches() {
        for (pattern, yes, no) in [
            ("/a", &["/a"][..], &["/a/", "/A", "", "/ab"][..]),
            ("*", &["", "x", "/a/b"], &[]),
            ("/api/*", &["/api/", "/api/x/y"], &["/api", "/apix"]),
            ("*.example.com", &["a.example.com", "a.b.example.com"], &["example.com", "aexample.com"]),
            ("/a?c", &["/abc", "/a/c"], &["/ac", "/abbc"]),
            ("/a*c", &["/ac", "/abc", "/abcc"], &["/acd", "/a"]),
            ("*a*a*b", &["aab", "xaxab", "aaab"], &["ab", "aaba"]),
            ("**", &["", "x"], &[]),
            ("*x*", &["x", "axb"], &["", "ab"]),
            ("?", &["a"], &["", "ab"]),
            ("a.b*", &["a.b", "a.bc"], &["axb"]),
        ] {
            let parsed = Pattern::new(pattern);
            let regex = Regex::new(&parsed.to_regex()).unwrap();
            for (texts, expected) in [(yes, true), (no, false)] {
                for text in texts {
                    assert_eq!(parsed.matches(text.as_bytes()), expected, "{pattern} {text}");
                    assert_eq!(regex.is_match(text), expected, "{} {text}", parsed.to_regex());
                }
            }
        }
    }

    #[test]
    fn literal_ends() {
        for (pattern, prefix, suffix) in [
            ("/a", "/a", "/a"),
            ("/a/*", "/a/", ""),
            ("*.example.com", "", ".example.com"),
            ("/a*b?c", "/a", "c"),
            ("*", "", ""),
        ] {
            let parsed = Pattern::new(pattern);
            assert_eq!(parsed.literal_prefix(), prefix.as_bytes(), "{pattern}");
            assert_eq!(parsed.literal_suffix(), suffix.as_bytes(), "{pattern}");
        }
    }
}
