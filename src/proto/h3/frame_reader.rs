//! The frames of a stream, from bytes that are cut anywhere.

use std::ops::Range;

use crate::proto::h3::frame::FrameHead;
use crate::proto::h3::frame::FrameKind;
use crate::proto::h3::frame::MAX_HEAD_BYTES;

/// What became of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<Event> {
    /// So many are done with: without an event, all of them.
    pub consumed: usize,
    /// With an event, the rest of the bytes has not been looked at.
    pub event: Option<Event>,
}

/// The first bytes of something short that a cut divides.
#[derive(Clone, Copy, Default)]
pub(super) struct Partial {
    bytes: [u8; MAX_HEAD_BYTES],
    length: u8,
}

impl Partial {
    /// Whether nothing has begun.
    pub(super) fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Decodes what has begun, together with `input`, off which it takes what belongs to it: all of it, if that is still
    /// not enough. Nothing may be longer than [`MAX_HEAD_BYTES`].
    pub(super) fn complete<T>(
        &mut self,
        input: &mut &[u8],
        decode: impl Fn(&mut &[u8]) -> Option<T>,
    ) -> Option<T> {
        let before = usize::from(self.length);
        if before == 0
            && let Some(whole) = decode(input)
        {
            return Some(whole);
        }
        let added = input.len().min(MAX_HEAD_BYTES - before);
        let (first, rest) = input.split_at_checked(added).unwrap_or_default();
        if let Some(room) = self.bytes.get_mut(before..before + added) {
            room.copy_from_slice(first);
        }
        let known = self.bytes.get(..before + added).unwrap_or_default();
        let mut left = known;
        let Some(whole) = decode(&mut left) else {
            self.length = known.len() as u8;
            *input = rest;
            return None;
        };
        let used = known.len() - left.len();
        *input = input.get(used.saturating_sub(before)..).unwrap_or_default();
        self.length = 0;
        Some(whole)
    }
}

/// A frame in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FramePart {
    Head(FrameHead),
    /// What there is of its payload, as a range of the bytes that were handed in. An empty frame has one part of none.
    Payload {
        kind: FrameKind,
        bytes: Range<usize>,
        is_last: bool,
    },
}

/// Where on the stream we are.
#[derive(Default)]
pub(super) struct FrameReader {
    partial: Partial,
    /// The frame that has begun, with the length that is still to come.
    current: Option<FrameHead>,
}

impl FrameReader {
    /// The next part in `input`, and how many bytes were taken; without a part, all.
    pub(super) fn next(&mut self, input: &[u8]) -> (usize, Option<FramePart>) {
        let Some(FrameHead { kind, length }) = self.current else {
            let mut rest = input;
            let head = self.partial.complete(&mut rest, FrameHead::decode);
            self.current = head;
            return (input.len() - rest.len(), head.map(FramePart::Head));
        };
        // At most what there is, so it fits.
        let taken = length.min(input.len() as u64) as usize;
        if taken == 0 && length > 0 {
            return (0, None);
        }
        let left = length - taken as u64;
        self.current = (left > 0).then_some(FrameHead { kind, length: left });
        (taken, Some(FramePart::Payload { kind, bytes: 0..taken, is_last: left == 0 }))
    }

    /// Whether every frame that has begun is complete.
    pub(super) fn is_between_frames(&self) -> bool {
        self.current.is_none() && self.partial.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h3::frame::write_data_head;
    use crate::proto::h3::frame::write_head;

    /// The frames in pieces of this length, with their payloads put together.
    fn frames(bytes: &[u8], piece: usize) -> Vec<(FrameKind, u64, Vec<u8>)> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut rest = piece;
            loop {
                let (taken, part) = reader.next(rest);
                match part {
                    None => break assert_eq!(taken, rest.len()),
                    Some(FramePart::Head(head)) => frames.push((head.kind, head.length, Vec::new())),
                    Some(FramePart::Payload { kind, bytes, is_last }) => {
                        let (begun, length, payload) = frames.last_mut().unwrap();
                        payload.extend_from_slice(rest.get(bytes).unwrap());
                        assert_eq!((*begun, *length == payload.len() as u64), (kind, is_last));
                    }
                }
                rest = rest.split_at(taken).1;
            }
        }
        assert!(reader.is_between_frames());
        frames
    }

    #[test]
    fn cuts_change_nothing() {
        let mut bytes = Vec::new();
        write_data_head(&mut bytes, 0);
        write_head(&mut bytes, 0x21, 70);
        bytes.extend_from_slice(&[7; 70]);
        // Longer than it has to be.
        bytes.extend_from_slice(&[0xc0, 0, 0, 0, 0, 0, 0, 1, 0xc0, 0, 0, 0, 0, 0, 0, 2, 8, 9]);
        write_head(&mut bytes, 0x4, 0);
        let expected = [
            (FrameKind::Data, 0, vec![]),
            (FrameKind::Unknown, 70, vec![7; 70]),
            (FrameKind::Headers, 2, vec![8, 9]),
            (FrameKind::Settings, 0, vec![]),
        ];
        for piece in 1..=bytes.len() {
            assert_eq!(frames(&bytes, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_is_known() {
        let mut bytes = Vec::new();
        write_data_head(&mut bytes, 300);
        bytes.extend_from_slice(&[0; 300]);
        for end in 0..bytes.len() {
            let mut reader = FrameReader::default();
            let mut rest = bytes.split_at(end).0;
            while let (taken, Some(_)) = reader.next(rest) {
                rest = rest.split_at(taken).1;
            }
            assert_eq!(reader.is_between_frames(), end == 0, "{end}");
        }
    }
}
