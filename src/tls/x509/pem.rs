//! PEM (RFC 7468) with line numbers: sections of base64 between `-----BEGIN …-----` and its END.
//!
//! Text between sections is a comment. CR or CRLF for LF, a byte order mark, spaces at line ends and
//! blank lines are what editors leave behind, and are tolerated.

use crate::tls::x509::client_certificate::base64;

/// One section of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PemSection {
    /// What stands after BEGIN.
    pub label: String,
    /// The line of its BEGIN, counted from 1.
    pub line: usize,
    /// Whether its own headers say that it is encrypted (RFC 1421).
    pub is_encrypted: bool,
    pub der: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PemError {
    /// More than a label stands in the line of a boundary: line ends got lost. What it is must not be
    /// told, since it may be a key.
    NoLineEnds { line: usize },
    /// A section begins and does not end.
    NoEnd { line: usize, label: String },
    /// An END that belongs to no BEGIN.
    WrongEnd { line: usize },
    /// A line that is not base64.
    NotBase64 { line: usize },
    /// The base64 of the section that begins here is cut short.
    CutShort { line: usize },
}

/// All sections in their order; none where nothing looks like PEM.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<PemSection>, PemError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut sections = Vec::new();
    let mut open: Option<(PemSection, Base64)> = None;
    for (number, line) in (1..).zip(lines(bytes)) {
        let line = line.trim_ascii();
        if is_run_together(line) {
            return Err(PemError::NoLineEnds { line: number });
        }
        open = match (boundary(line), open.take()) {
            (Some(Boundary::Begin(_)), Some((section, _))) => {
                return Err(PemError::NoEnd { line: section.line, label: section.label });
            }
            (Some(Boundary::Begin(label)), None) => {
                let section = PemSection { label, line: number, is_encrypted: false, der: Vec::new() };
                Some((section, Base64::default()))
            }
            (Some(Boundary::End(label)), Some((mut section, base64))) if label == section.label => {
                section.der = base64.finish().ok_or(PemError::CutShort { line: section.line })?;
                sections.push(section);
                None
            }
            (Some(Boundary::End(_)), _) => return Err(PemError::WrongEnd { line: number }),
            (None, Some((mut section, mut base64))) => {
                if line.contains(&b':') {
                    section.is_encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
                } else if !base64.push(line) {
                    return Err(PemError::NotBase64 { line: number });
                }
                Some((section, base64))
            }
            (None, None) => None,
        };
    }
    match open {
        Some((section, _)) => Err(PemError::NoEnd { line: section.line, label: section.label }),
        None => Ok(sections),
    }
}

/// One section.
pub(super) fn write(label: &str, der: &[u8]) -> String {
    let base64 = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(LINE).or((!rest.is_empty()).then_some((rest, ""))) {
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + "-----END " + label + "-----\n"
}

/// Characters of base64 in a line (RFC 7468 §2).
const LINE: usize = 64;

/// Lines end with LF, CRLF or CR.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let only_cr = !bytes.contains(&b'\n');
    bytes.split(move |byte| *byte == b'\n' || only_cr && *byte == b'\r')
}

/// Whether a boundary is not all that stands in a line that begins with one.
fn is_run_together(line: &[u8]) -> bool {
    let Some(label) = line.strip_prefix(b"-----BEGIN ").or_else(|| line.strip_prefix(b"-----END ")) else {
        return false;
    };
    let inside = label.strip_suffix(b"-----").unwrap_or(label);
    inside.len() > MAX_LABEL_BYTES || inside.windows(2).any(|pair| pair == b"--")
}

/// The longest that is in use has half of it. A key has more.
const MAX_LABEL_BYTES: usize = 64;

enum Boundary {
    Begin(String),
    End(String),
}

fn boundary(line: &[u8]) -> Option<Boundary> {
    let inside = line.strip_prefix(b"-----")?.strip_suffix(b"-----")?;
    let label = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match (inside.strip_prefix(b"BEGIN "), inside.strip_prefix(b"END ")) {
        (Some(name), _) => Some(Boundary::Begin(label(name))),
        (_, Some(name)) => Some(Boundary::End(label(name))),
        _ => None,
    }
}

/// Base64 (RFC 4648 §4) that comes line by line.
#[derive(Default)]
struct Base64 {
    bytes: Vec<u8>,
    /// Bits that make no whole byte yet.
    bits: u32,
    /// Characters read, padding included.
    characters: usize,
    padding: usize,
}

impl Base64 {
    /// Whether all of the line is base64.
    fn push(&mut self, line: &[u8]) -> bool {
        for character in line {
            self.characters += 1;
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    self.padding += 1;
                    continue;
                }
                _ => return false,
            };
            if self.padding > 0 {
                return false;
            }
            self.bits = (self.bits << 6) | u32::from(value);
            match self.characters % 4 {
                1 => {}
                2 => self.bytes.push((self.bits >> 4) as u8),
                3 => self.bytes.push((self.bits >> 2) as u8),
                _ => self.bytes.push(self.bits as u8),
            }
        }
        self.padding <= 2
    }

    fn finish(self) -> Option<Vec<u8>> {
        (self.characters > 0 && self.characters.is_multiple_of(4)).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Result<Vec<(String, usize, Vec<u8>)>, PemError> {
        let found = read(text.as_bytes())?;
        Ok(found.into_iter().map(|section| (section.label, section.line, section.der)).collect())
    }

    #[test]
    fn sections_are_found_between_comments() {
        let text = "\u{feff}subject: x\r\n-----BEGIN A-----\r\nZm9v\r\nYg==\r\n-----END A-----\r\n\n\
                    -----BEGIN B C-----\n\nZm9vYmE=  \n\n-----END B C-----";
        let expected = vec![("A".to_owned(), 2, b"foob".to_vec()), ("B C".to_owned(), 7, b"fooba".to_vec())];
        assert_eq!(sections(text), Ok(expected));
        assert_eq!(sections("no PEM at all"), Ok(Vec::new()));
        let old_mac = "x\r-----BEGIN A-----\rZm9v\rYg==\r-----END A-----\r";
        assert_eq!(sections(old_mac), Ok(vec![("A".to_owned(), 2, b"foob".to_vec())]));
    }

    #[test]
    fn lost_line_ends_show_nothing_of_a_key() {
        let key = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgeoUjR00hoC3A+HcPRq5b";
        for text in [
            format!("-----BEGIN PRIVATE KEY-----{key}-----END PRIVATE KEY-----"),
            format!("-----BEGIN PRIVATE KEY----- {key} -----END PRIVATE KEY-----\n"),
            format!("-----BEGIN PRIVATE KEY-----{key}"),
            format!("-----BEGIN PRIVATE KEY {key}-----"),
            "-----BEGIN PRIVATE KEY-----Zm9v\nZm9v\n-----END PRIVATE KEY-----".to_owned(),
        ] {
            assert_eq!(sections(&text), Err(PemError::NoLineEnds { line: 1 }), "{text}");
        }
        let two = "-----BEGIN A-----\nZm9v\n-----END A----------BEGIN B-----\nZm9v\n-----END B-----";
        assert_eq!(sections(two), Err(PemError::NoLineEnds { line: 3 }));
    }

    #[test]
    fn headers_tell_that_a_section_is_encrypted() {
        let text = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nZm9v\n-----END A-----";
        assert_eq!(read(text.as_bytes()).map(|found| found[0].is_encrypted), Ok(true));
    }

    #[test]
    fn mistakes_have_their_line() {
        let cases = [
            ("-----BEGIN A-----\nZm9v", PemError::NoEnd { line: 1, label: "A".to_owned() }),
            ("-----BEGIN A-----\n-----BEGIN A-----", PemError::NoEnd { line: 1, label: "A".to_owned() }),
            ("x\n-----END A-----", PemError::WrongEnd { line: 2 }),
            ("-----BEGIN A-----\nZm9v\n-----END B-----", PemError::WrongEnd { line: 3 }),
            ("-----BEGIN A-----\nZm9v\nZm%v\n-----END A-----", PemError::NotBase64 { line: 3 }),
            ("-----BEGIN A-----\nZg==\nZm9v\n-----END A-----", PemError::NotBase64 { line: 3 }),
            ("-----BEGIN A-----\nZm9vZ\n-----END A-----", PemError::CutShort { line: 1 }),
            ("-----BEGIN A-----\n-----END A-----", PemError::CutShort { line: 1 }),
        ];
        for (text, error) in cases {
            assert_eq!(sections(text), Err(error), "{text}");
        }
    }
}
