//! What can be wrong with a message of HTTP/1.1.

/// The sender of the head broke RFC 9112, or a limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    BadRequestLine,
    BadStatusLine,
    BadVersion,
    BadTarget,
    BadFieldName,
    BadFieldValue,
    /// A line ends with LF alone. RFC 9112 §2.2 allows to accept that; two hops that differ in it
    /// see different messages.
    BareLineFeed,
    /// A CR is not followed by LF, or something stands between the version and the line's end.
    BadLineEnd,
    MissingHost,
    RepeatedHost,
    BadHost,
    UriTooLong,
    HeadTooLarge,
    TooManyFields,
}

impl HeadError {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            HeadError::BadRequestLine => "bad_request_line",
            HeadError::BadStatusLine => "bad_status_line",
            HeadError::BadVersion => "http_version",
            HeadError::BadTarget => "bad_target",
            HeadError::BadFieldName => "bad_header_name",
            HeadError::BadFieldValue => "bad_header_value",
            HeadError::BareLineFeed => "bare_line_feed",
            HeadError::BadLineEnd => "bad_line_end",
            HeadError::MissingHost => "missing_host",
            HeadError::RepeatedHost => "repeated_host",
            HeadError::BadHost => "bad_host",
            HeadError::UriTooLong => "uri_too_long",
            HeadError::HeadTooLarge => "header_too_large",
            HeadError::TooManyFields => "too_many_headers",
        }
    }

    /// The status that a client gets for such a request. A backend's fault is always a 502.
    pub fn status(self) -> u16 {
        if self == HeadError::UriTooLong { 414 } else { 400 }
    }
}

/// The sender broke the coding. What was decoded before stays valid, the message cannot end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    BadSize,
    SizeOverflow,
    BadExtension,
    ExtensionTooLong,
    BadChunkEnd,
    BadTrailer,
    TrailersTooLarge,
}

impl ChunkError {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            ChunkError::BadSize => "bad_chunk_size",
            ChunkError::SizeOverflow => "chunk_size_overflow",
            ChunkError::BadExtension => "bad_chunk_extension",
            ChunkError::ExtensionTooLong => "chunk_extension_too_long",
            ChunkError::BadChunkEnd => "bad_chunk_end",
            ChunkError::BadTrailer => "bad_trailer",
            ChunkError::TrailersTooLarge => "trailers_too_large",
        }
    }
}
