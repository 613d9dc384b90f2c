//! Names that nobody can foretell.

use std::fmt::Write as _;

use aws_lc_rs::rand;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;

/// The id of a new object, in the form that objects of its kind have.
///
/// # Errors
/// The system has no random bytes.
pub fn of_kind(kind: ElbKind) -> Result<String, ElbFault> {
    let id = uuid().ok_or_else(|| ElbFault::internal("this host has no random bytes"))?;
    Ok(if kind == ElbKind::Certificate { id.replace('-', "") } else { id })
}

/// A random UUID (RFC 9562 §5.4). None: the system has no random bytes.
fn uuid() -> Option<String> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).ok()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_form_and_differ() {
        let (one, other) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(one.as_bytes()[14] == b'4' && b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }
}
