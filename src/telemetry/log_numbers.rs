//! Numbers in lines of the access log. A line has a dozen of them; `core::fmt` takes over a hundred instructions for each.

use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::time::Duration;

/// As many as u64 has.
const MAX_DIGITS: usize = 20;

/// In decimal.
#[inline]
pub(super) fn decimal(out: &mut Vec<u8>, value: u64) {
    padded(out, value, 1);
}

/// In decimal with at least `width` digits, at most [`MAX_DIGITS`].
pub(super) fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; MAX_DIGITS];
    let (mut rest, mut begin) = (value, MAX_DIGITS);
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        if rest == 0 {
            break;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        begin = place;
    }
    let begin = begin.min(MAX_DIGITS - width.min(MAX_DIGITS));
    out.extend_from_slice(digits.get(begin..).unwrap_or_default());
}

/// In hexadecimal with `width` digits, at most 16; what goes beyond is cut off.
pub(super) fn hexadecimal(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; 16];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
    }
    out.extend_from_slice(digits.get(16 - width.min(16)..).unwrap_or_default());
}

/// Seconds with three decimals, rounded.
pub(super) fn seconds(out: &mut Vec<u8>, time: Duration) {
    let rounded = time.saturating_add(Duration::from_micros(500));
    decimal(out, rounded.as_secs());
    out.push(b'.');
    padded(out, rounded.subsec_millis().into(), 3);
}

/// Whole milliseconds.
pub(super) fn milliseconds(out: &mut Vec<u8>, time: Duration) {
    decimal(out, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

/// As texts of addresses are written (RFC 5952).
pub(super) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => v4(out, address),
        // Writing to a vector cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

fn v4(out: &mut Vec<u8>, address: Ipv4Addr) {
    let [first, rest @ ..] = address.octets();
    decimal(out, first.into());
    for octet in rest {
        out.push(b'.');
        decimal(out, octet.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        for value in [0, 1, 9, 10, 99, 100, 502, 65_535, 4_294_967_296, u64::MAX - 1, u64::MAX] {
            assert_eq!(text(|out| decimal(out, value)), value.to_string());
            assert_eq!(text(|out| padded(out, value, 3)), format!("{value:03}"));
            assert_eq!(text(|out| hexadecimal(out, value, 16)), format!("{value:016x}"));
        }
        assert_eq!(text(|out| hexadecimal(out, 0xabcd, 4)), "abcd");
        assert_eq!(text(|out| hexadecimal(out, 0x1_0002, 4)), "0002");
        assert_eq!(text(|out| padded(out, 7, 100)).len(), MAX_DIGITS);
    }

    #[test]
    fn times_are_rounded_to_milliseconds() {
        for (us, expected) in
            [(0, "0.000"), (499, "0.000"), (500, "0.001"), (12_345, "0.012"), (1_999_500, "2.000")]
        {
            assert_eq!(text(|out| seconds(out, Duration::from_micros(us))), expected);
        }
        assert_eq!(text(|out| seconds(out, Duration::MAX)), format!("{}.999", u64::MAX));
        assert_eq!(text(|out| milliseconds(out, Duration::from_micros(12_999))), "12");
    }

    #[test]
    fn addresses_are_those_of_the_standard_library() {
        for name in ["0.0.0.0", "255.255.255.255", "192.0.2.7", "::1", "2001:db8::7", "::ffff:192.0.2.7"] {
            assert_eq!(text(|out| address(out, name.parse().unwrap())), name);
        }
    }
}
