//! Questions and answers of DNS (RFC 1035 §4), as far as addresses of hosts need them.
//!
//! The answer to a question has the addresses of all names that it leads through, so names in it are passed over, and never
//! put together: a pointer within a name is its end here, and cannot lead in circles.

use std::net::IpAddr;
use std::time::Duration;

use crate::control::discovery::dns_cache::Found;

/// The type of a record (RFC 1035 §3.2.2, RFC 3596 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressFamily {
    V4 = 1,
    V6 = 28,
}

/// Of the internet.
const CLASS_IN: u16 = 1;
const HEADER_BYTES: usize = 12;
/// Of a label, its length not included (RFC 1035 §2.3.4).
const MAX_LABEL_BYTES: usize = 63;
/// Of a name, with the lengths of its labels (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 255;
/// Bits of the second 16 of a header.
const IS_ANSWER: u16 = 1 << 15;
const IS_TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const RESPONSE_CODE: u16 = 15;

/// A question that is or can be sent.
pub(super) struct DnsQuestion {
    bytes: Vec<u8>,
    family: AddressFamily,
}

/// What came for a question.
#[derive(Debug)]
pub(super) enum DnsAnswer {
    Found(Found),
    /// It did not fit: it is to be asked for over TCP.
    Truncated,
    /// It belongs to no question, or not to this one.
    Other,
}

impl DnsQuestion {
    /// Asks for the addresses of a name, with the dot of the root at its end or without; None where it is none.
    pub(super) fn new(id: u16, name: &str, family: AddressFamily) -> Option<DnsQuestion> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + name.len() + 6);
        for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        for label in name.strip_suffix('.').unwrap_or(name).split('.') {
            let length =
                u8::try_from(label.len()).ok().filter(|length| *length as usize <= MAX_LABEL_BYTES)?;
            if length == 0 || !label.is_ascii() {
                return None;
            }
            bytes.push(length);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        if bytes.len() > HEADER_BYTES + MAX_NAME_BYTES {
            return None;
        }
        for word in [family as u16, CLASS_IN] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        Some(DnsQuestion { bytes, family })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what a server sent.
    pub(super) fn answer(&self, message: &[u8]) -> DnsAnswer {
        let own = self.bytes.split_at_checked(HEADER_BYTES);
        let came = message.split_at_checked(HEADER_BYTES);
        let (Some((own_header, own_question)), Some((header, rest))) = (own, came) else {
            return DnsAnswer::Other;
        };
        let flags = word(header, 2).unwrap_or_default();
        if word(header, 0) != word(own_header, 0) || flags & IS_ANSWER == 0 {
            return DnsAnswer::Other;
        }
        // Some servers leave the question out where they refuse.
        let asked = word(header, 4).unwrap_or_default();
        let records = match rest.split_at_checked(own_question.len()) {
            Some((question, records)) if asked == 1 && question.eq_ignore_ascii_case(own_question) => records,
            _ if asked == 0 => rest,
            _ => return DnsAnswer::Other,
        };
        match flags & RESPONSE_CODE {
            0 if flags & IS_TRUNCATED != 0 => DnsAnswer::Truncated,
            0 if asked == 1 => {
                DnsAnswer::Found(found(records, word(header, 6).unwrap_or_default(), self.family))
            }
            2 => failed("the resolver cannot find out (SERVFAIL)"),
            3 => DnsAnswer::Found(Found::NoSuchHost),
            5 => failed("the resolver refuses to answer"),
            _ => failed(NO_SENSE),
        }
    }
}

/// What is said of an answer that breaks the rules.
const NO_SENSE: &str = "the resolver's answer makes no sense";

fn failed(reason: &str) -> DnsAnswer {
    DnsAnswer::Found(Found::Failed(reason.to_owned()))
}

/// The addresses of a family in so many records, and the shortest time that one of all these records lives.
fn found(mut records: &[u8], count: u16, family: AddressFamily) -> Found {
    let (mut addresses, mut life) = (Vec::new(), u32::MAX);
    for _ in 0..count {
        let Some((record, rest)) = DnsRecord::of(records) else { return Found::Failed(NO_SENSE.to_owned()) };
        records = rest;
        life = life.min(record.life);
        addresses
            .extend(record.address().filter(|address| address.is_ipv4() == (family == AddressFamily::V4)));
    }
    if addresses.is_empty() {
        return Found::NoAddress;
    }
    Found::Addresses(addresses, Duration::from_secs(u64::from(life)))
}

/// One record of an answer (RFC 1035 §4.1.3).
struct DnsRecord<'m> {
    kind: u16,
    class: u16,
    /// In seconds.
    life: u32,
    data: &'m [u8],
}

impl<'m> DnsRecord<'m> {
    /// The record at the front, and what is behind it.
    fn of(bytes: &'m [u8]) -> Option<(DnsRecord<'m>, &'m [u8])> {
        let rest = bytes.get(name_length(bytes)?..)?;
        let (kind, class) = (word(rest, 0)?, word(rest, 2)?);
        let life = u32::from(word(rest, 4)?) << 16 | u32::from(word(rest, 6)?);
        let (data, rest) = rest.get(10..)?.split_at_checked(usize::from(word(rest, 8)?))?;
        // Times above are those of senders who know no better (RFC 2181 §8).
        let life = if life > i32::MAX as u32 { 0 } else { life };
        Some((DnsRecord { kind, class, life, data }, rest))
    }

    fn address(&self) -> Option<IpAddr> {
        if self.class != CLASS_IN {
            return None;
        }
        match self.kind {
            kind if kind == AddressFamily::V4 as u16 => <[u8; 4]>::try_from(self.data).ok().map(IpAddr::from),
            kind if kind == AddressFamily::V6 as u16 => {
                <[u8; 16]>::try_from(self.data).ok().map(IpAddr::from)
            }
            _ => None,
        }
    }
}

/// How long the name at the front is, up to its end or the pointer that ends it (RFC 1035 §4.1.4).
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < MAX_NAME_BYTES {
        match bytes.get(at)? {
            0 => return Some(at + 1),
            length if length >> 6 == 0b11 => return Some(at + 2),
            length if usize::from(*length) <= MAX_LABEL_BYTES => at += 1 + usize::from(*length),
            _ => return None,
        }
    }
    None
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok()).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: AddressFamily = AddressFamily::V4;

    fn question() -> DnsQuestion {
        DnsQuestion::new(0x1234, "App.internal", V4).unwrap()
    }

    /// An answer with these flags and records.
    fn message(flags: u16, records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = question().bytes;
        bytes[2..4].copy_from_slice(&(IS_ANSWER | flags).to_be_bytes());
        bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        bytes.extend(records.concat());
        bytes
    }

    fn record(name: &[u8], kind: u16, life: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = name.to_vec();
        for word in [kind, CLASS_IN, (life >> 16) as u16, life as u16, data.len() as u16] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(data);
        bytes
    }

    fn told(message: &[u8]) -> String {
        match question().answer(message) {
            DnsAnswer::Found(Found::Addresses(addresses, life)) => format!("{addresses:?} for {life:?}"),
            DnsAnswer::Found(Found::Failed(reason)) => reason,
            answer => format!("{answer:?}"),
        }
    }

    #[test]
    fn a_question_is_as_the_standard_says() {
        let expected = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03App\x08internal\0\0\x01\0\x01";
        assert_eq!(question().bytes(), expected);
        assert_eq!(DnsQuestion::new(0x1234, "App.internal.", V4).unwrap().bytes(), expected);
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        let long = "a.".repeat(127);
        assert!(DnsQuestion::new(1, &long, V4).is_some());
        for name in ["", ".", "a..b", ".a", "é.example", &"a".repeat(64), &"a.".repeat(128)] {
            assert!(DnsQuestion::new(1, name, V4).is_none(), "{name}");
        }
    }

    #[test]
    fn addresses_live_as_long_as_the_shortest_record_on_the_way() {
        let alias = record(&[0xc0, 12], 5, 7, b"\x01b\xc0\x0c");
        let first = record(b"\x01b\x08internal\0", 1, 60, &[192, 0, 2, 1]);
        let second = record(&[0xc0, 12], 1, 30, &[192, 0, 2, 2]);
        let other_family = record(&[0xc0, 12], 28, 60, &[0; 16]);
        let signature = record(&[0xc0, 12], 46, 900, b"of DNSSEC");
        let answer = message(0, &[&alias, &first, &second, &other_family, &signature]);
        assert_eq!(told(&answer), "[192.0.2.1, 192.0.2.2] for 7s");
    }

    #[test]
    fn what_a_server_says_instead_of_addresses() {
        for (flags, expected) in [
            (0, "Found(NoAddress)"),
            (2, "the resolver cannot find out (SERVFAIL)"),
            (3, "Found(NoSuchHost)"),
            (4, NO_SENSE),
            (5, "the resolver refuses to answer"),
            (IS_TRUNCATED, "Truncated"),
        ] {
            assert_eq!(told(&message(flags, &[])), expected, "{flags}");
        }
        // Without the question.
        assert_eq!(told(b"\x12\x34\x80\x05\0\0\0\0\0\0\0\0"), "the resolver refuses to answer");
    }

    #[test]
    fn what_belongs_to_no_question_is_passed_over() {
        let mut other_id = message(0, &[]);
        other_id[0] = 0;
        let mut other_name = message(0, &[]);
        other_name[14] = b'b';
        let mut other_family = message(0, &[]);
        other_family[27] = 28;
        for answer in
            [other_id, other_name, other_family, question().bytes, b"\x12\x34\x80".to_vec(), Vec::new()]
        {
            assert_eq!(told(&answer), "Other", "{answer:?}");
        }
    }

    /// Whatever comes, the end is an answer: cut anywhere, and with each byte replaced.
    #[test]
    fn broken_answers_end() {
        let whole = message(0, &[&record(&[0xc0, 12], 1, 60, &[192, 0, 2, 1])]);
        for end in 0..whole.len() {
            let told = told(&whole[..end]);
            assert!(told == "Other" || told == NO_SENSE, "{end}: {told}");
        }
        for at in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[at] = value;
                drop(question().answer(&changed));
            }
        }
    }
}
