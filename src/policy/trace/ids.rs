//! The identities of traces and spans, as the digits that stand in headers and logs.

/// Hexadecimal digits of a trace's identity.
pub const TRACE_DIGITS: usize = 32;
/// Hexadecimal digits of a span's identity.
pub const SPAN_DIGITS: usize = 16;

/// The identity of a trace: 32 hexadecimal digits in lower case, not all of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; TRACE_DIGITS]);

/// The identity of a span: 16 hexadecimal digits in lower case, not all of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId([u8; SPAN_DIGITS]);

impl TraceId {
    /// A new one. The nonce should be unpredictable: samplers of others take its last seven bytes for random ones.
    pub fn of(nonce: [u8; TRACE_DIGITS / 2]) -> TraceId {
        let mut digits = [0; TRACE_DIGITS];
        write_digits(&nonce, &mut digits);
        mend(&mut digits);
        TraceId(digits)
    }

    /// None unless the digits are as many as there must be, in lower case and not all 0.
    pub(super) fn read(digits: &[u8]) -> Option<TraceId> {
        read(digits).map(TraceId)
    }

    /// One of 64 bits, which stands for itself with zeros in front (the specification of B3 propagation).
    pub(super) fn read_short(digits: &[u8]) -> Option<TraceId> {
        let short: [u8; SPAN_DIGITS] = read(digits)?;
        let mut whole = [b'0'; TRACE_DIGITS];
        whole.get_mut(TRACE_DIGITS - SPAN_DIGITS..)?.copy_from_slice(&short);
        Some(TraceId(whole))
    }

    pub fn digits(&self) -> &[u8; TRACE_DIGITS] {
        &self.0
    }

    /// Its last 56 bits, which are random ones (Trace Context level 2 §2.2.4).
    pub(super) fn random_bits(&self) -> u64 {
        let last = self.0.last_chunk::<14>().map_or(&[][..], |digits| digits);
        last.iter().fold(0, |bits, digit| bits << 4 | u64::from(value(*digit)))
    }
}

impl SpanId {
    /// A new one.
    pub fn of(nonce: u64) -> SpanId {
        let mut digits = [0; SPAN_DIGITS];
        write_digits(&nonce.to_be_bytes(), &mut digits);
        mend(&mut digits);
        SpanId(digits)
    }

    /// As for traces.
    pub(super) fn read(digits: &[u8]) -> Option<SpanId> {
        read(digits).map(SpanId)
    }

    pub fn digits(&self) -> &[u8; SPAN_DIGITS] {
        &self.0
    }
}

/// All zeros mean that there is none.
fn mend(digits: &mut [u8]) {
    if let Some(last) = digits.last_mut().filter(|last| **last == b'0') {
        *last = b'1';
    }
}

fn read<const COUNT: usize>(digits: &[u8]) -> Option<[u8; COUNT]> {
    let digits: [u8; COUNT] = digits.try_into().ok()?;
    let is_lower_hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    (digits.iter().all(is_lower_hex) && digits.iter().any(|digit| *digit != b'0')).then_some(digits)
}

/// Two hexadecimal digits in lower case.
pub(super) fn read_byte(digits: &[u8]) -> Option<u8> {
    let [high, low]: [u8; 2] = digits.try_into().ok()?;
    let is_lower_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    (is_lower_hex(high) && is_lower_hex(low)).then(|| value(high) << 4 | value(low))
}

fn write_digits(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
}

/// The value of a digit in lower case.
fn value(digit: u8) -> u8 {
    if digit <= b'9' { digit.wrapping_sub(b'0') } else { digit.wrapping_sub(b'a').wrapping_add(10) & 0xf }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_of_all_bytes_and_never_nothing() {
        let nonce = 0x0123_4567_89ab_cdef_0099_aaff_f0e1_d2c3_u128;
        assert_eq!(TraceId::of(nonce.to_be_bytes()).digits(), format!("{nonce:032x}").as_bytes());
        assert_eq!(TraceId::of([0; 16]).digits(), b"00000000000000000000000000000001");
        assert_eq!(SpanId::of(0xf0e1_d2c3_0000_ab12).digits(), b"f0e1d2c30000ab12");
        assert_eq!(SpanId::of(0).digits(), b"0000000000000001");
    }

    #[test]
    fn read_strictly() {
        let id = TraceId::read(b"4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(id.random_bits(), 0x00ce_929d_0e0e_4736);
        assert_eq!(
            TraceId::read_short(b"a3ce929d0e0e4736").unwrap().digits(),
            b"0000000000000000a3ce929d0e0e4736"
        );
        assert_eq!(TraceId::read(b"00000000000000000000000000000000"), None);
        assert_eq!(TraceId::read(b"4BF92f3577b34da6a3ce929d0e0e4736"), None);
        assert_eq!(TraceId::read(b"4bf92f3577b34da6a3ce929d0e0e473"), None);
        assert_eq!(SpanId::read(b"0000000000000000"), None);
        assert_eq!(SpanId::read(b"00f067aa0ba902g7"), None);
        assert_eq!((read_byte(b"0f"), read_byte(b"0F"), read_byte(b"0")), (Some(15), None, None));
    }
}
