//! The little of DER (X.690) that certificates need: elements with a tag and a definite length, and times.
//!
//! Strict and without allocation: what is not shortest-form DER is refused, so that no two byte strings
//! mean the same.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Either may stand where a time is.
pub(super) const TIMES: [u8; 2] = [UTC_TIME, GENERALIZED_TIME];

/// Elements that stand one after the other.
#[derive(Clone, Copy)]
pub(super) struct DerReader<'a> {
    rest: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> DerReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> DerReader<'a> {
        DerReader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever its tag. Tags of more than one byte do not occur in certificates.
    pub(super) fn any(&mut self) -> Option<Element<'a>> {
        let (&tag, after_tag) = self.rest.split_first()?;
        let (&first, after_first) = after_tag.split_first()?;
        let (length, after_length) = match first {
            0..=0x7f => (usize::from(first), after_first),
            0x81..=0x84 => long_length(usize::from(first & 0x7f), after_first)?,
            _ => return None,
        };
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (content, rest) = after_length.split_at_checked(length)?;
        let whole = self.rest.get(..self.rest.len() - rest.len())?;
        self.rest = rest;
        Some(Element { tag, content, whole })
    }

    pub(super) fn element(&mut self, tag: u8) -> Option<Element<'a>> {
        (self.peek()? == tag).then(|| self.any())?
    }

    /// What stands inside the next element.
    pub(super) fn inside(&mut self, tag: u8) -> Option<DerReader<'a>> {
        self.element(tag).map(|element| DerReader::new(element.content))
    }

    /// Seconds since 1970.
    pub(super) fn time(&mut self) -> Option<i64> {
        let element = self.any()?;
        match element.tag {
            UTC_TIME => {
                let [year, rest @ ..] = digits::<12>(element.content)?;
                // RFC 5280 §4.1.2.5.1: "Where YY is greater than or equal to 50, the year SHALL be
                // interpreted as 19YY".
                seconds(if year >= 50 { 1900 + year } else { 2000 + year }, rest)
            }
            GENERALIZED_TIME => {
                let (century, rest) = element.content.split_at_checked(2)?;
                let [century] = pairs(century)?;
                let [year, rest @ ..] = digits::<12>(rest)?;
                seconds(100 * century + year, rest)
            }
            _ => None,
        }
    }

    /// Nothing may stand behind the last element.
    pub(super) fn finish(&self) -> Option<()> {
        self.is_empty().then_some(())
    }
}

fn long_length(count: usize, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(count)?;
    let value = length.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    // The shortest form is the only one.
    let least = if count == 1 { 0x80 } else { 1 << (8 * (count - 1)) };
    (value >= least).then_some((usize::try_from(value).ok()?, rest))
}

/// Six pairs of digits and a `Z`.
fn digits<const LENGTH: usize>(text: &[u8]) -> Option<[i64; 6]> {
    pairs(text.strip_suffix(b"Z").filter(|digits| digits.len() == LENGTH)?)
}

fn pairs<const COUNT: usize>(text: &[u8]) -> Option<[i64; COUNT]> {
    let mut numbers = [0; COUNT];
    for (number, pair) in numbers.iter_mut().zip(text.chunks_exact(2)) {
        for &digit in pair {
            *number = 10 * *number + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
    }
    (text.len() == 2 * COUNT).then_some(numbers)
}

fn seconds(year: i64, [month, day, hour, minute, second]: [i64; 5]) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((days_before(year, month) + day - 1) * 24 + hour) * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to the first of a month. The year begins in March here, so that the leap day is its last.
fn days_before(year: i64, month: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5
        - 719_468
}

/// An element of these pieces, one after the other. They are of this process, and never long.
pub(super) fn encode(tag: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let content = pieces.concat();
    let length = content.len().to_be_bytes();
    let length = length.get(length.iter().take_while(|byte| **byte == 0).count()..).unwrap_or_default();
    let mut element = vec![tag];
    match (content.len(), u8::try_from(length.len())) {
        (short @ 0..=0x7f, _) => element.push(short as u8),
        (_, count) => {
            element.push(0x80 | count.unwrap_or_default());
            element.extend(length);
        }
    }
    element.extend(content);
    element
}

/// Seconds since 1970, in the form that RFC 5280 §4.1.2.5 wants of the year.
pub(super) fn encode_time(time: i64) -> Vec<u8> {
    let (year, month, day) = date(time);
    let second = time.rem_euclid(86_400);
    let rest = format!("{month:02}{day:02}{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    match year {
        1950..=2049 => encode(UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()]),
        _ => encode(GENERALIZED_TIME, &[format!("{year:04}{rest}").as_bytes()]),
    }
}

/// As `openssl x509` prints a time: `Dec 31 23:59:59 2030 GMT`.
pub(super) fn format_time(time: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let second = time.rem_euclid(86_400);
    let (year, month, day) = date(time);
    let name = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"Jan");
    format!("{name} {day:2} {:02}:{:02}:{:02} {year} GMT", second / 3600, second / 60 % 60, second % 60)
}

/// `2030-12-31`.
pub(super) fn format_date(time: i64) -> String {
    let (year, month, day) = date(time);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day.
fn date(time: i64) -> (i64, i64, i64) {
    let days = time.div_euclid(86_400);
    // A guess that is never too early and hardly too late.
    let mut year = 1971 + (days * 400).div_euclid(146_097);
    while days_before(year, 1) > days {
        year -= 1;
    }
    let month = (1..=12).rev().find(|&month| days_before(year, month) <= days).unwrap_or(1);
    (year, month, days - days_before(year, month) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(bytes: &[u8]) -> Option<i64> {
        DerReader::new(bytes).time()
    }

    fn encoded(tag: u8, text: &str) -> Vec<u8> {
        [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    #[test]
    fn times() {
        for (tag, text, expected, printed) in [
            (UTC_TIME, "700101000000Z", 0, "Jan  1 00:00:00 1970 GMT"),
            (UTC_TIME, "301231235959Z", 1_924_991_999, "Dec 31 23:59:59 2030 GMT"),
            (UTC_TIME, "500101000000Z", -631_152_000, "Jan  1 00:00:00 1950 GMT"),
            (UTC_TIME, "491231235959Z", 2_524_607_999, "Dec 31 23:59:59 2049 GMT"),
            (GENERALIZED_TIME, "20000229120001Z", 951_825_601, "Feb 29 12:00:01 2000 GMT"),
            (GENERALIZED_TIME, "21000301000000Z", 4_107_542_400, "Mar  1 00:00:00 2100 GMT"),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799, "Dec 31 23:59:59 9999 GMT"),
        ] {
            assert_eq!(time(&encoded(tag, text)), Some(expected), "{text}");
            assert_eq!(time(&encode_time(expected)), Some(expected), "{text}");
            assert_eq!(format_time(expected), printed);
            let year = printed.split(' ').nth_back(1).unwrap();
            assert!(format_date(expected).starts_with(&format!("{year}-")), "{text}");
        }
        assert_eq!([format_date(1_924_991_999), format_date(-1)], ["2030-12-31", "1969-12-31"]);
        for (tag, text) in [
            (UTC_TIME, "700101000000"),
            (UTC_TIME, "7001010000Z"),
            (UTC_TIME, "701301000000Z"),
            (UTC_TIME, "700229000000Z"),
            (UTC_TIME, "700101240000Z"),
            (UTC_TIME, "7001010000-1Z"),
            (UTC_TIME, "70010100000\u{0}Z"),
            (GENERALIZED_TIME, "21000229000000Z"),
            (GENERALIZED_TIME, "20000101000000.5Z"),
            (GENERALIZED_TIME, "Z"),
            (INTEGER, "700101000000Z"),
        ] {
            assert_eq!(time(&encoded(tag, text)), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let whole = encode(OCTET_STRING, &[&content, b"x"]);
            let mut reader = DerReader::new(&whole);
            let element = reader.element(OCTET_STRING).unwrap();
            assert_eq!((element.content.len(), reader.is_empty()), (length + 1, true));
        }
    }

    #[test]
    fn lengths_have_one_form() {
        let element = |bytes: &[u8]| DerReader::new(bytes).any().map(|element| element.content.len());
        assert_eq!(element(&[4, 0]), Some(0));
        assert_eq!(element(&[4, 1, 0, 9]), Some(1));
        assert_eq!(element(&[&[4, 0x81, 0x80][..], &[0; 128]].concat()), Some(128));
        assert_eq!(element(&[&[4, 0x82, 1, 0][..], &[0; 256]].concat()), Some(256));
        for bad in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x81, 1, 0],
            &[4, 0x82, 0, 1, 0],
            &[4, 0x85, 0, 0, 0, 0, 1, 0],
            &[4, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x1f, 1, 0],
        ] {
            assert_eq!(element(bad), None, "{bad:?}");
        }
    }
}
