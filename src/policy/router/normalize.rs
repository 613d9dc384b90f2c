//! One spelling for each path, so that a rule cannot be walked around: what is matched is what is forwarded.
//!
//! Percent-encoded characters that need none are decoded, the digits of others are in upper case (RFC 3986 §6.2.2),
//! several slashes in a row become one, and dot segments are removed (RFC 3986 §5.2.4).
//! What some backends read as something else has no spelling and is refused: `\` and `%00`, a `..` above the root, a
//! `%` without its digits, and a dot segment or an empty one with parameters (`/..;x/`). `%2F`, `%5C` and `;` stay
//! what they are: they separate nothing.

use crate::policy::router::query::hex;

/// The path has no spelling that means one thing to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Whether a path is spelled as [`normalize`] would spell it.
pub fn is_normal(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        match (before, byte) {
            (_, b'%' | b'\\' | b';') | (b'/', b'/' | b'.') => return false,
            _ => before = byte,
        }
    }
    true
}

/// Appends the path in its one spelling.
///
/// # Errors
/// It has none.
pub fn normalize(path: &[u8], out: &mut Vec<u8>) -> Result<(), Ambiguous> {
    let begin = out.len();
    let Some(mut rest) = path.strip_prefix(b"/") else {
        // `*` of OPTIONS.
        out.extend_from_slice(path);
        return Ok(());
    };
    loop {
        let end = rest.iter().position(|&byte| byte == b'/');
        let segment = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let from = out.len();
        out.push(b'/');
        write_segment(segment, out)?;
        let written = out.get(from + 1..).unwrap_or_default();
        let name_end = written.iter().position(|&byte| byte == b';');
        let name = written.get(..name_end.unwrap_or(written.len())).unwrap_or_default();
        let kind = Kind::of(name);
        match kind {
            Kind::Name => {}
            _ if name_end.is_some() => return Err(Ambiguous),
            Kind::Here => out.truncate(from),
            Kind::Parent => {
                out.truncate(from);
                let parent = out.get(begin..).unwrap_or_default().iter().rposition(|&byte| byte == b'/');
                out.truncate(begin + parent.ok_or(Ambiguous)?);
            }
        }
        match end {
            Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
            None => {
                // What names a folder keeps its slash.
                if kind != Kind::Name {
                    out.push(b'/');
                }
                return Ok(());
            }
        }
    }
}

/// What a segment means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    /// `.`, or nothing between two slashes.
    Here,
    /// `..`
    Parent,
}

impl Kind {
    fn of(name: &[u8]) -> Kind {
        match name {
            b"" | b"." => Kind::Here,
            b".." => Kind::Parent,
            _ => Kind::Name,
        }
    }
}

/// Appends a segment with its characters in their one spelling.
fn write_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), Ambiguous> {
    let mut rest = segment;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'\\' => return Err(Ambiguous),
            b'%' => {
                let [high, low, behind @ ..] = behind else { return Err(Ambiguous) };
                rest = behind;
                match hex(*high, *low).ok_or(Ambiguous)? {
                    0 => return Err(Ambiguous),
                    decoded if is_unreserved(decoded) => out.push(decoded),
                    _ => out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
                }
            }
            other => out.push(other),
        }
    }
    Ok(())
}

/// "Characters that are allowed in a URI but do not have a reserved purpose" (RFC 3986 §2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(path: &str) -> Result<String, Ambiguous> {
        let mut out = b"kept".to_vec();
        normalize(path.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap().strip_prefix("kept").unwrap().to_owned())
    }

    #[test]
    fn one_spelling() {
        for (path, expected) in [
            ("/", "/"),
            ("/admin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("//admin", "/admin"),
            ("/./admin/.", "/admin/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a//../b", "/b"),
            ("/a///b//", "/a/b/"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2F..%2Fb", "/a%2F..%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/%7Euser/%c3%a4", "/~user/%C3%A4"),
            ("/%2561", "/%2561"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a...", "/a..."),
            ("/...", "/..."),
            ("/.a", "/.a"),
            ("/a b", "/a b"),
            ("*", "*"),
        ] {
            assert_eq!(normalized(path).as_deref(), Ok(expected), "{path}");
            assert_eq!(normalized(expected).as_deref(), Ok(expected), "{path} twice");
        }
    }

    #[test]
    fn what_has_no_spelling() {
        for path in [
            "/..",
            "/../admin",
            "/a/../../b",
            "/%2e%2e",
            "/a%00",
            "/a\\b",
            "/\\..\\a",
            "/%",
            "/%4",
            "/%zz",
            "/..;x/a",
            "/a/.;/b",
            "/;x/a",
            "/%2e%2e;x",
        ] {
            assert_eq!(normalized(path), Err(Ambiguous), "{path}");
        }
    }

    /// What passes for normal is its own spelling.
    #[test]
    fn normal_paths_stay_as_they_are() {
        for path in [
            "/",
            "/a",
            "/a/b",
            "/a/",
            "/a.b/c..d",
            "/a%41",
            "/./a",
            "//",
            "/a;b",
            "/..",
            "/a\\",
            "/.well-known",
        ] {
            if is_normal(path.as_bytes()) {
                assert_eq!(normalized(path).as_deref(), Ok(path));
            }
        }
        assert!(is_normal(b"/a/b.html") && !is_normal(b"/a/../b") && !is_normal(b"//"));
    }
}
