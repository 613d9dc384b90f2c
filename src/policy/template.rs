//! Texts with variables: `"/v2${path}"`.

use crate::policy::router::Captures;

/// A text with variables in it, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    pieces: Box<[TemplatePart]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(Box<str>),
    Variable(Variable),
}

/// What stands for something of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `http` or `https`.
    Protocol,
    /// Without the port.
    Host,
    Port,
    Path,
    /// Without the `?`.
    Query,
    /// What a group of the rule's expression for the path captured, counted from 1.
    Capture(usize),
}

/// The words of variables.
const VARIABLES: [(&str, Variable); 5] = [
    ("protocol", Variable::Protocol),
    ("host", Variable::Host),
    ("port", Variable::Port),
    ("path", Variable::Path),
    ("query", Variable::Query),
];

/// What variables stand for.
#[derive(Clone, Copy)]
pub struct RequestValues<'v> {
    pub protocol: &'v str,
    pub host: &'v [u8],
    pub port: u16,
    pub path: &'v [u8],
    pub query: &'v [u8],
    pub captures: &'v Captures<'v>,
}

/// Where a text goes, which decides what its variables may bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlPart {
    Host,
    Path,
    Query,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// `${` without `}`.
    Unclosed,
    Unknown(String),
}

impl Template {
    /// Takes a text apart. A `$` that no `{` follows stands for itself.
    ///
    /// # Errors
    /// A variable is unknown, or does not end.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, behind)) = rest.split_once("${") {
            let (word, behind) = behind.split_once('}').ok_or(TemplateError::Unclosed)?;
            let known = VARIABLES.iter().find(|(known, _)| *known == word).map(|(_, variable)| *variable);
            let group = word.parse().ok().filter(|group| (1..=9).contains(group)).map(Variable::Capture);
            let variable = known.or(group).ok_or_else(|| TemplateError::Unknown(word.to_owned()))?;
            if !literal.is_empty() {
                pieces.push(TemplatePart::Literal(literal.into()));
            }
            pieces.push(TemplatePart::Variable(variable));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(TemplatePart::Literal(rest.into()));
        }
        Ok(Template { text: text.into(), pieces: pieces.into() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The variables in it, in their order.
    pub fn variables(&self) -> impl Iterator<Item = Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            TemplatePart::Literal(_) => None,
            TemplatePart::Variable(variable) => Some(*variable),
        })
    }

    /// The highest group whose text is wanted; 0 if none is.
    pub fn max_capture(&self) -> usize {
        let groups = self.variables().map(|variable| match variable {
            Variable::Capture(group) => group,
            _ => 0,
        });
        groups.max().unwrap_or(0)
    }

    /// Appends the text with its variables filled in, encoded for where it goes.
    pub fn write(&self, values: &RequestValues<'_>, destination: UrlPart, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                TemplatePart::Literal(text) => out.extend_from_slice(text.as_bytes()),
                TemplatePart::Variable(variable) => write_variable(*variable, values, destination, out),
            }
        }
    }
}

fn write_variable(variable: Variable, values: &RequestValues<'_>, destination: UrlPart, out: &mut Vec<u8>) {
    let text = match variable {
        Variable::Protocol => values.protocol.as_bytes(),
        Variable::Host => values.host,
        Variable::Path => values.path,
        Variable::Query => values.query,
        Variable::Capture(group) => values.captures.group(group),
        Variable::Port => return push_decimal(values.port, out),
    };
    let is_own_place = matches!(
        (variable, destination),
        (Variable::Query, UrlPart::Query) | (Variable::Path | Variable::Capture(_), UrlPart::Path)
    );
    for &byte in text {
        let passes = match destination {
            // What cannot stand in a host is left out.
            UrlPart::Host if !byte.is_ascii_alphanumeric() && !b"-._:[]".contains(&byte) => continue,
            _ if byte <= b' ' || byte == 0x7f => false,
            UrlPart::Host => true,
            UrlPart::Path => !matches!(byte, b'?' | b'#'),
            UrlPart::Query => is_own_place || !matches!(byte, b'&' | b'+' | b'=' | b'#' | b'%'),
        };
        match passes {
            true => out.push(byte),
            false => push_encoded(byte, out),
        }
    }
}

/// Appends a byte as `%XX`.
fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Appends a number in decimal.
pub(super) fn push_decimal(number: u16, out: &mut Vec<u8>) {
    let mut digits = [0; 5];
    let mut begin = digits.len();
    let mut left = number;
    loop {
        begin -= 1;
        digits[begin] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            return out.extend_from_slice(digits.get(begin..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(template: &str, destination: UrlPart) -> String {
        let values = RequestValues {
            protocol: "https",
            host: b"www.example.com",
            port: 8443,
            path: b"/a%20b/c",
            query: b"x=1&y=2",
            captures: &Captures::none(),
        };
        let mut out = Vec::new();
        Template::parse(template).unwrap().write(&values, destination, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(written("/v2${path}", UrlPart::Path), "/v2/a%20b/c");
        assert_eq!(written("${protocol}-${port}$", UrlPart::Path), "https-8443$");
        assert_eq!(written("${query}&from=${host}", UrlPart::Query), "x=1&y=2&from=www.example.com");
        assert_eq!(written("m.${host}", UrlPart::Host), "m.www.example.com");
        assert_eq!(written("${1}", UrlPart::Path), "");
    }

    #[test]
    fn what_they_bring_is_encoded_for_its_place() {
        assert_eq!(written("p=${path}", UrlPart::Query), "p=/a%2520b/c");
        assert_eq!(written("/${query}", UrlPart::Path), "/x=1&y=2");
        assert_eq!(written("${path}.example.com", UrlPart::Host), "a20bc.example.com");
        let values = RequestValues {
            protocol: "http",
            host: b"a\r\nb\0",
            port: 0,
            path: b"/?#\x7f",
            query: b"\r\n",
            captures: &Captures::none(),
        };
        for (template, destination, expected) in [
            ("${host}", UrlPart::Host, "ab"),
            ("${host}${path}", UrlPart::Path, "a%0D%0Ab%00/%3F%23%7F"),
            ("${query}${port}", UrlPart::Query, "%0D%0A0"),
        ] {
            let mut out = Vec::new();
            Template::parse(template).unwrap().write(&values, destination, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_template() {
        assert_eq!(Template::parse("/${path"), Err(TemplateError::Unclosed));
        assert_eq!(Template::parse("${uri}"), Err(TemplateError::Unknown("uri".to_owned())));
        assert_eq!(Template::parse("${0}"), Err(TemplateError::Unknown("0".to_owned())));
        assert_eq!(Template::parse("/${2}/${1}").unwrap().max_capture(), 2);
        assert_eq!(Template::parse("/$x").unwrap().max_capture(), 0);
    }
}
