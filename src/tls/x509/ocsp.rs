//! What an OCSP response (RFC 6960 §4.2) says about a certificate. Its signature is the client's concern.

/// What matters of a response that is to be stapled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Staple {
    pub is_revoked: bool,
    /// Seconds since the Unix epoch. None: the responder promises nothing.
    pub next_update: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StapleFault {
    /// It is PEM, but must be DER.
    Pem,
    Malformed,
    /// The responder refused, with this status (RFC 6960 §4.2.1).
    Refused(u8),
    /// It speaks of other certificates only.
    OtherCertificate,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;
/// Context-specific 0 and 1, constructed.
const EXPLICIT_0: u8 = 0xa0;
const REVOKED: u8 = 0xa1;

/// The answer for the certificate with this serial number, given as in the certificate.
pub(super) fn read(response: &[u8], serial: &[u8]) -> Result<Staple, StapleFault> {
    if response.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(StapleFault::Pem);
    }
    let mut answers = answers(response)?;
    while !answers.is_empty() {
        let (answer, rest) = field(answers, SEQUENCE).ok_or(StapleFault::Malformed)?;
        answers = rest;
        let (number, staple) = answer_of(answer).ok_or(StapleFault::Malformed)?;
        if number == serial {
            return Ok(staple);
        }
    }
    Err(StapleFault::OtherCertificate)
}

/// The list of single responses.
fn answers(response: &[u8]) -> Result<&[u8], StapleFault> {
    let (body, _) = field(response, SEQUENCE).ok_or(StapleFault::Malformed)?;
    let (status, body) = field(body, ENUMERATED).ok_or(StapleFault::Malformed)?;
    match status {
        [0] => {}
        [refusal] => return Err(StapleFault::Refused(*refusal)),
        _ => return Err(StapleFault::Malformed),
    }
    answers_of_basic(body).ok_or(StapleFault::Malformed)
}

fn answers_of_basic(body: &[u8]) -> Option<&[u8]> {
    let (bytes, _) = field(body, EXPLICIT_0)?;
    let (typed, _) = field(bytes, SEQUENCE)?;
    let (_, _, rest) = any(typed)?;
    let (basic, _) = field(rest, OCTET_STRING)?;
    let (basic, _) = field(basic, SEQUENCE)?;
    let (mut signed, _) = field(basic, SEQUENCE)?;
    if signed.first() == Some(&EXPLICIT_0) {
        (_, signed) = field(signed, EXPLICIT_0)?;
    }
    let (_, _, signed) = any(signed)?;
    let (_, signed) = field(signed, GENERALIZED_TIME)?;
    field(signed, SEQUENCE).map(|(answers, _)| answers)
}

/// The serial number, and what is said of it.
fn answer_of(answer: &[u8]) -> Option<(&[u8], Staple)> {
    let (certificate, rest) = field(answer, SEQUENCE)?;
    let (_, certificate) = field(certificate, SEQUENCE)?;
    let (_, certificate) = field(certificate, OCTET_STRING)?;
    let (_, certificate) = field(certificate, OCTET_STRING)?;
    let (serial, _) = field(certificate, INTEGER)?;
    let (status, _, rest) = any(rest)?;
    let (_, rest) = field(rest, GENERALIZED_TIME)?;
    let next_update = match field(rest, EXPLICIT_0) {
        Some((bytes, _)) => Some(seconds(field(bytes, GENERALIZED_TIME)?.0)?),
        None => None,
    };
    Some((serial, Staple { is_revoked: status == REVOKED, next_update }))
}

/// The content of the first element, which must have this tag, and what follows.
fn field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    any(bytes).filter(|(found, _, _)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag, content and rest. The lengths are definite, as DER has them.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `20261121120000Z` as seconds since the Unix epoch.
fn seconds(time: &[u8]) -> Option<i64> {
    let digits = time.get(..14).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number = |range: std::ops::Range<usize>| {
        digits[range].iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + number(8..10) * 3_600 + number(10..12) * 60 + number(12..14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_the_epoch() {
        let cases =
            [("19700101000000Z", 0), ("20000229120000Z", 951_825_600), ("20261121121530Z", 1_795_263_330)];
        for (text, expected) in cases {
            assert_eq!(seconds(text.as_bytes()), Some(expected), "{text}");
        }
        assert_eq!(seconds(b"2026"), None);
    }

    #[test]
    fn what_is_no_response_is_refused_wherever_it_is_cut() {
        assert_eq!(read(b"", b"\x01"), Err(StapleFault::Malformed));
        assert_eq!(read(b"-----BEGIN OCSP", b"\x01"), Err(StapleFault::Pem));
        assert_eq!(read(b"\x30\x03\x0a\x01\x06", b"\x01"), Err(StapleFault::Refused(6)));
        assert_eq!(read(b"\x30\x84\xff\xff\xff\xff", b"\x01"), Err(StapleFault::Malformed));
    }
}
