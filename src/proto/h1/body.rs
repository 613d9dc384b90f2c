//! A body as it comes in, whatever delimits it (RFC 9112 §6).

use crate::proto::h1::chunked::ChunkProgress;
use crate::proto::h1::chunked::ChunkedDecoder;
use crate::proto::h1::error::ChunkError;
use crate::proto::h1::framing::Framing;

/// Why a body cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormatError {
    Chunk(ChunkError),
    /// More than the receiver takes, or announced to be.
    TooLarge,
    /// The connection ended before the body did (RFC 9112 §8).
    Truncated,
}

impl BodyFormatError {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            BodyFormatError::Chunk(error) => error.reason(),
            BodyFormatError::TooLarge => "body_too_large",
            BodyFormatError::Truncated => "truncated_body",
        }
    }

    /// The status that a client gets for such a request, if it can still get one.
    pub fn status(self) -> u16 {
        match self {
            BodyFormatError::Chunk(_) | BodyFormatError::Truncated => 400,
            BodyFormatError::TooLarge => 413,
        }
    }
}

impl From<ChunkError> for BodyFormatError {
    fn from(error: ChunkError) -> BodyFormatError {
        BodyFormatError::Chunk(error)
    }
}

/// Finds the bytes of one body among the received ones.
#[derive(Debug)]
pub struct BodyDecoder {
    rest: RemainingBody,
    /// What may still come before the body is too large.
    allowance: u64,
    drops_trailers: bool,
}

impl BodyDecoder {
    /// `max_body_bytes` is for requests; a length beyond it is refused at once, before any byte came.
    pub fn new(framing: Framing, max_body_bytes: Option<u64>) -> Result<BodyDecoder, BodyFormatError> {
        let allowance = max_body_bytes.unwrap_or(u64::MAX);
        match framing {
            Framing::Length(length) if length > allowance => Err(BodyFormatError::TooLarge),
            _ => Ok(BodyDecoder { allowance, ..BodyDecoder::unlimited(framing) }),
        }
    }

    /// For bodies that may be of any length, as responses are.
    pub fn unlimited(framing: Framing) -> BodyDecoder {
        let rest = match framing {
            Framing::Empty => RemainingBody::Length(0),
            Framing::Length(length) => RemainingBody::Length(length),
            Framing::Chunked => RemainingBody::Chunked(ChunkedDecoder::new()),
            Framing::UntilClose => RemainingBody::UntilClose,
        };
        BodyDecoder { rest, allowance: u64::MAX, drops_trailers: false }
    }

    /// The same, but no trailer passes: some are named in the Connection field and have to go
    /// (RFC 9110 §7.6.1), or could be taken for a header that we add under a name of the operator's choice.
    /// For so rare a case they may take the others along (RFC 9112 §7.1.2).
    pub fn without_trailers(self, drops_trailers: bool) -> BodyDecoder {
        BodyDecoder { drops_trailers, ..self }
    }

    /// Tells what of the received bytes is body, moving bytes only to close the gaps between chunks.
    /// After an error the decoder must not be asked again.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<ChunkProgress, BodyFormatError> {
        let progress = match &mut self.rest {
            RemainingBody::Length(remaining) => {
                let run = (*remaining).min(bytes.len() as u64);
                *remaining -= run;
                ChunkProgress { consumed: run as usize, body: 0..run as usize, finished: *remaining == 0 }
            }
            RemainingBody::Chunked(decoder) => decoder.decode(bytes)?,
            RemainingBody::UntilClose => {
                ChunkProgress { consumed: bytes.len(), body: 0..bytes.len(), finished: false }
            }
        };
        self.allowance =
            self.allowance.checked_sub(progress.body.len() as u64).ok_or(BodyFormatError::TooLarge)?;
        match &self.rest {
            RemainingBody::Chunked(decoder) if decoder.announced() > self.allowance => {
                Err(BodyFormatError::TooLarge)
            }
            _ => Ok(progress),
        }
    }

    /// Whether the body is complete, so that what follows is another message.
    pub fn is_finished(&self) -> bool {
        match &self.rest {
            RemainingBody::Length(remaining) => *remaining == 0,
            RemainingBody::Chunked(decoder) => decoder.is_finished(),
            RemainingBody::UntilClose => false,
        }
    }

    /// The connection has ended: was that the end of the body, or was it cut off? Over TLS the caller
    /// must first know that the end was announced (RFC 9112 §9.8).
    pub fn finish_at_eof(&self) -> Result<(), BodyFormatError> {
        match self.rest {
            RemainingBody::UntilClose => Ok(()),
            _ if self.is_finished() => Ok(()),
            _ => Err(BodyFormatError::Truncated),
        }
    }

    /// What a body of known length still lacks.
    pub fn remaining(&self) -> Option<u64> {
        match self.rest {
            RemainingBody::Length(remaining) => Some(remaining),
            RemainingBody::Chunked(_) | RemainingBody::UntilClose => None,
        }
    }

    /// The trailer lines that may be forwarded, each with its CRLF; complete once finished.
    pub fn trailers(&self) -> &[u8] {
        match &self.rest {
            RemainingBody::Chunked(decoder) if !self.drops_trailers => decoder.trailers(),
            _ => &[],
        }
    }
}

#[derive(Debug)]
enum RemainingBody {
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came out: body, bytes consumed, finished, clean at the end of the connection.
    type Outcome<'a> = Result<(&'a str, usize, bool, bool), BodyFormatError>;

    fn check(framing: Framing, max_body_bytes: Option<u64>, input: &str, expected: Outcome<'_>) {
        let mut bytes = input.as_bytes().to_vec();
        let actual = BodyDecoder::new(framing, max_body_bytes).and_then(|mut decoder| {
            let progress = decoder.decode(&mut bytes)?;
            assert_eq!(progress.finished, decoder.is_finished());
            Ok((progress, decoder.finish_at_eof().is_ok()))
        });
        let actual = actual.as_ref().map_err(|&error| error).map(|(progress, clean)| {
            let body = std::str::from_utf8(bytes.get(progress.body.clone()).unwrap()).unwrap();
            (body, progress.consumed, progress.finished, *clean)
        });
        assert_eq!(actual, expected, "{framing:?} {input:?}");
    }

    #[test]
    fn every_framing_ends_where_it_says() {
        check(Framing::Empty, None, "GET", Ok(("", 0, true, true)));
        check(Framing::Length(0), Some(0), "GET", Ok(("", 0, true, true)));
        check(Framing::Length(3), None, "abcd", Ok(("abc", 3, true, true)));
        check(Framing::Length(3), None, "ab", Ok(("ab", 2, false, false)));
        check(Framing::Chunked, None, "1\r\na\r\n0\r\n\r\nb", Ok(("a", 11, true, true)));
        check(Framing::Chunked, None, "1\r\na\r\n0\r\n\r", Ok(("a", 10, false, false)));
        check(Framing::UntilClose, None, "abc", Ok(("abc", 3, false, true)));
    }

    #[test]
    fn large_bodies_are_refused_as_soon_as_they_announce_themselves() {
        check(Framing::Length(4), Some(3), "", Err(BodyFormatError::TooLarge));
        check(Framing::Length(3), Some(3), "abc", Ok(("abc", 3, true, true)));
        check(Framing::Chunked, Some(3), "4\r\n", Err(BodyFormatError::TooLarge));
        check(Framing::Chunked, Some(3), "2\r\nab\r\n2\r\n", Err(BodyFormatError::TooLarge));
        check(Framing::Chunked, Some(3), "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", Ok(("abc", 18, true, true)));
        check(Framing::UntilClose, Some(3), "abcd", Err(BodyFormatError::TooLarge));
    }
}
