//! As much of HTTP/3 (RFC 9114) and QPACK (RFC 9204) as a client of the bench needs.
//!
//! Field sections name the static table only, as the client's SETTINGS allow no other. It is tolerant, and no example of a
//! correct client.

use ringway_bench::site::NAME;

/// A control stream with empty SETTINGS (RFC 9114 §6.2.1, §7.2.4): no dynamic table.
pub(crate) const CONTROL_STREAM: [u8; 3] = [0x00, 0x04, 0x00];

const DATA: u64 = 0x00;
const HEADERS: u64 = 0x01;
/// `:status: 200` of the static table (RFC 9204 appendix A, entry 25).
const STATUS_200: u8 = 0xc0 | 25;
/// The longest head of a response that is looked at.
const LONGEST_HEAD: u64 = 16_384;

/// A GET of this path, at most 127 bytes long, as the bytes of its stream.
pub(crate) fn get(path: &str) -> Vec<u8> {
    // Required insert count and base 0, then `:method: GET` and `:scheme: https` (entries 17 and 23).
    let mut section = vec![0, 0, 0xc0 | 17, 0xc0 | 23];
    // `:authority` and `:path` (entries 0 and 1) with literal values, not in Huffman code.
    for (entry, value) in [(0_u8, NAME), (1, path)] {
        section.extend([0x50 | entry, value.len() as u8]);
        section.extend_from_slice(value.as_bytes());
    }
    let mut stream = vec![HEADERS as u8];
    stream.extend((0x4000 | section.len() as u16).to_be_bytes());
    stream.extend(section);
    stream
}

/// The response of one stream, as it comes.
#[derive(Default)]
pub(crate) struct Response {
    /// The head of a frame that has not come whole yet.
    head: Vec<u8>,
    kind: u64,
    /// Of the frame, how many bytes have not come.
    rest: u64,
    fields: Vec<u8>,
    /// Bytes of content so far.
    pub(crate) content: u64,
}

impl Response {
    /// Takes what came next.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.rest == 0 {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                self.begin_frame()?;
                continue;
            }
            let (of_frame, after) = bytes.split_at(bytes.len().min(self.rest as usize));
            self.rest -= of_frame.len() as u64;
            match self.kind {
                DATA => self.content += of_frame.len() as u64,
                HEADERS => self.fields.extend_from_slice(of_frame),
                // RFC 9114 §9: unknown frames are passed over.
                _ => {}
            }
            bytes = after;
        }
        Ok(())
    }

    /// Reads type and length once both are there.
    fn begin_frame(&mut self) -> Result<(), String> {
        let Some((kind, length)) = frame_head(&self.head) else { return Ok(()) };
        self.head.clear();
        if kind == HEADERS && length > LONGEST_HEAD {
            return Err(format!("a field section of {length} bytes"));
        }
        (self.kind, self.rest) = (kind, length);
        Ok(())
    }

    /// Whether a stream that has ended now held a whole response with this status and length.
    pub(crate) fn check(&self, length: u64) -> Result<(), String> {
        if self.fields.get(2) != Some(&STATUS_200) {
            return Err(format!(
                "the status is not 200; the field section begins with {:02x?}",
                self.begin()
            ));
        }
        if self.rest > 0 || !self.head.is_empty() || self.content != length {
            return Err(format!("{} of {length} bytes of content came", self.content));
        }
        Ok(())
    }

    fn begin(&self) -> &[u8] {
        &self.fields[..self.fields.len().min(8)]
    }
}

fn frame_head(bytes: &[u8]) -> Option<(u64, u64)> {
    let (kind, rest) = number(bytes)?;
    let (length, _) = number(rest)?;
    Some((kind, length))
}

/// A variable-length integer (RFC 9000 §16) and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (own, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    let value = own[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_in_any_pieces() {
        // A frame of a reserved type, HEADERS with status 200, two DATA frames, one with a length of two bytes.
        let stream = [0x21, 1, 9, 1, 3, 0, 0, 0xd9, 0, 2, b'a', b'b', 0, 0x40, 1, b'c'];
        for size in 1..=stream.len() {
            let mut response = Response::default();
            stream.chunks(size).for_each(|piece| response.take(piece).expect("a valid piece"));
            assert_eq!(response.check(3), Ok(()), "in pieces of {size}");
            assert!(response.check(4).is_err());
        }
    }

    #[test]
    fn another_status_and_a_cut_frame_are_errors() {
        let mut response = Response::default();
        response.take(&[1, 3, 0, 0, 0xc0 | 27]).expect("a head");
        assert!(response.check(0).is_err());
        let mut response = Response::default();
        response.take(&[1, 3, 0, 0, 0xd9, 0, 2, b'a']).expect("a cut frame");
        assert!(response.check(1).is_err());
    }

    #[test]
    fn a_request_is_as_rfc_9204_has_it() {
        let bytes = get("/");
        assert_eq!(bytes[..7], [1, 0x40, 22, 0, 0, 0xd1, 0xd7]);
        assert_eq!(bytes[7..9], [0x50, 13]);
        assert!(bytes.ends_with(&[0x51, 1, b'/']));
        assert_eq!(usize::from(bytes[2]), bytes.len() - 3);
    }
}
