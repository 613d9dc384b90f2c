//! Whether as much content comes as Content-Length says.

use crate::proto::fields::message::Malformed;
use crate::proto::fields::message::UNKNOWN_LENGTH;

/// What Content-Length promised and has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) struct ContentCount {
    /// [`UNKNOWN_LENGTH`] without the field.
    left: u64,
}

impl ContentCount {
    pub(in crate::proto) const UNKNOWN: ContentCount = ContentCount { left: UNKNOWN_LENGTH };

    /// Of a message whose head says so, or [`UNKNOWN_LENGTH`].
    pub(in crate::proto) fn new(content_length: u64) -> ContentCount {
        ContentCount { left: content_length }
    }

    /// A DATA frame comes. "The sum of the DATA frame payload lengths that form the content" must equal Content-Length
    /// (RFC 9113 §8.1.1, RFC 9114 §4.1.2).
    pub(in crate::proto) fn take(&mut self, bytes: u64) -> Result<(), Malformed> {
        if self.left != UNKNOWN_LENGTH {
            self.left = self.left.checked_sub(bytes).ok_or(Malformed::ContentLength)?;
        }
        Ok(())
    }

    /// The message ends, with its content or with trailers.
    pub(in crate::proto) fn end(self) -> Result<(), Malformed> {
        if matches!(self.left, 0 | UNKNOWN_LENGTH) { Ok(()) } else { Err(Malformed::ContentLength) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_equals_its_announced_length() {
        let check = |length: u64, frames: &[u64], expected: Result<(), Malformed>| {
            let mut count = ContentCount::new(length);
            let outcome = frames.iter().try_for_each(|&bytes| count.take(bytes)).and_then(|()| count.end());
            assert_eq!(outcome, expected, "{length}: {frames:?}");
        };
        let wrong = Err(Malformed::ContentLength);
        check(3, &[1, 0, 2, 0], Ok(()));
        check(0, &[], Ok(()));
        check(UNKNOWN_LENGTH, &[7, u64::MAX, 8], Ok(()));
        check(3, &[2], wrong);
        check(3, &[4], wrong);
        check(3, &[3, 1], wrong);
        check(1, &[], wrong);
    }
}
