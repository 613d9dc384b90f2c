//! What tells others that a message passed here: a mark of each pass, by which loops are noticed, and `Via`.

use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::policy::balance::hash_key::hash;

/// The field that each pass adds its mark to.
const TRACE: &str = "X-LB-Trace";

/// Passes that a request may have made. Nobody has as many load balancers in a row.
const MAX_PASSES: usize = 16;

/// A listener of one process, as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceMark([u8; 16]);

impl TraceMark {
    /// The parts tell the listener from all others.
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> TraceMark {
        let text: Vec<&str> = parts.into_iter().collect();
        // Names and addresses have no line ends, so that no two lists make one text.
        let number = hash(text.join("\n").as_bytes());
        let digit = |place: usize| {
            let nibble = (number >> (60 - 4 * place) & 0xf) as u8;
            if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
        };
        TraceMark(std::array::from_fn(digit))
    }
}

/// What the messages of a listener get on their way through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopMarks {
    /// None: loops are not looked for.
    pub trace: Option<TraceMark>,
    pub via: bool,
}

impl HopMarks {
    /// Whether a request has been here before, or has passed too often.
    pub fn is_loop(&self, headers: &Headers<'_>) -> bool {
        let Some(TraceMark(own)) = &self.trace else { return false };
        let mut passes = 0;
        marks(headers).any(|mark| {
            passes += 1;
            mark.eq_ignore_ascii_case(own) || passes >= MAX_PASSES
        })
    }

    /// Whether a field of this name is written anew.
    pub fn withholds(&self, name: &[u8]) -> bool {
        self.trace.is_some() && name.eq_ignore_ascii_case(TRACE.as_bytes())
    }

    /// Calls `write` for each field that a request gets, which came in this version; `scratch` is room for values.
    pub fn for_each_added(
        &self,
        (headers, version): (&Headers<'_>, Version),
        scratch: &mut Vec<u8>,
        mut write: impl FnMut(&[u8], &[u8]),
    ) {
        if let Some(TraceMark(own)) = &self.trace {
            scratch.clear();
            for mark in marks(headers) {
                scratch.extend_from_slice(mark);
                scratch.extend_from_slice(b", ");
            }
            scratch.extend_from_slice(own);
            write(TRACE.as_bytes(), scratch);
        }
        if self.via {
            write(b"Via", via(version));
        }
    }
}

/// What is in the trace of a request.
fn marks<'b>(headers: &Headers<'b>) -> impl Iterator<Item = &'b [u8]> {
    let fields = headers.iter().filter(|field| field.name.eq_ignore_ascii_case(TRACE.as_bytes()));
    let marks = fields.flat_map(|field| field.value.split(|&byte| byte == b','));
    marks.map(<[u8]>::trim_ascii).filter(|mark| !mark.is_empty())
}

/// The element of `Via` for a message that came in this version (RFC 9110 §7.6.3). Lists are the same on one line or
/// several, so it stands on a line of its own.
pub fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 ringway",
        Version::Http11 => b"1.1 ringway",
        Version::Http2 => b"2 ringway",
        Version::Http3 => b"3 ringway",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked() -> HopMarks {
        HopMarks { trace: Some(TraceMark::of(["host", "web"])), via: false }
    }

    #[test]
    fn a_mark_is_sixteen_digits_that_tell_listeners_apart() {
        let TraceMark(mark) = TraceMark::of(["host", "web"]);
        assert!(mark.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{mark:?}");
        assert_ne!(TraceMark(mark), TraceMark::of(["host", "api"]));
        assert_ne!(TraceMark(mark), TraceMark::of(["hostweb", ""]));
        assert_eq!(TraceMark(mark), TraceMark::of(["host", "web"]));
    }

    #[test]
    fn loops_are_noticed() {
        let marks = marked();
        let TraceMark(own) = marks.trace.unwrap();
        let own = String::from_utf8(own.to_vec()).unwrap();
        let other = "0123456789abcdef";
        let many = |count: usize| vec![other; count].join(",");
        for (fields, expected) in [
            (vec![], false),
            (vec![other.to_owned()], false),
            (vec![own.clone()], true),
            (vec![format!("{other}, {own}")], true),
            (vec![format!("{other},{}", own.to_uppercase())], true),
            (vec![other.to_owned(), own.clone()], true),
            // A part of a mark is none.
            (vec![own[..15].to_owned()], false),
            (vec![many(15)], false),
            (vec![many(16)], true),
            (vec![many(8), many(8)], true),
            (vec![",, ,".repeat(100)], false),
        ] {
            let fields: Vec<_> = fields.iter().map(|value| ("x-lb-TRACE", value.as_str())).collect();
            assert_eq!(marks.is_loop(&Headers::of(&fields)), expected, "{fields:?}");
            assert!(!HopMarks::default().is_loop(&Headers::of(&fields)));
        }
    }

    #[test]
    fn what_requests_get() {
        let written = |marks: HopMarks, fields: &[(&str, &str)]| {
            let mut lines = Vec::new();
            marks.for_each_added((&Headers::of(fields), Version::Http2), &mut Vec::new(), |name, value| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                lines.push(format!("{}: {}", text(name), text(value)));
            });
            lines
        };
        let marks = marked();
        let TraceMark(own) = marks.trace.unwrap();
        let own = std::str::from_utf8(&own).unwrap();
        assert_eq!(written(marks, &[]), [format!("X-LB-Trace: {own}")]);
        let both = HopMarks { via: true, ..marks };
        assert_eq!(
            written(both, &[("X-LB-Trace", "a,, b"), ("Via", "1.1 x"), ("x-lb-trace", "c")]),
            [format!("X-LB-Trace: a, b, c, {own}"), "Via: 2 ringway".to_owned()]
        );
        assert!(both.withholds(b"x-lb-trace") && !both.withholds(b"via"));
        assert!(!HopMarks { trace: None, via: true }.withholds(b"X-LB-Trace"));
    }
}
