//! Why a stream or a connection ends: the code for the peer and the word for the log.

use crate::proto::fields::error::DecodeError;
use crate::proto::fields::message::Malformed;
use crate::proto::h2::limits::Limit;
use crate::proto::scope::Scope;

/// RFC 9113 §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    NoError,
    ProtocolError,
    InternalError,
    FlowControlError,
    SettingsTimeout,
    StreamClosed,
    FrameSizeError,
    RefusedStream,
    Cancel,
    CompressionError,
    ConnectError,
    EnhanceYourCalm,
    InadequateSecurity,
    Http11Required,
}

const CODES: [ErrorCode; 14] = [
    ErrorCode::NoError,
    ErrorCode::ProtocolError,
    ErrorCode::InternalError,
    ErrorCode::FlowControlError,
    ErrorCode::SettingsTimeout,
    ErrorCode::StreamClosed,
    ErrorCode::FrameSizeError,
    ErrorCode::RefusedStream,
    ErrorCode::Cancel,
    ErrorCode::CompressionError,
    ErrorCode::ConnectError,
    ErrorCode::EnhanceYourCalm,
    ErrorCode::InadequateSecurity,
    ErrorCode::Http11Required,
];

impl ErrorCode {
    /// "Unknown or unsupported error codes MUST NOT trigger any special behavior. These MAY be treated by an
    /// implementation as being equivalent to INTERNAL_ERROR" (RFC 9113 §7).
    pub fn from_wire(code: u32) -> ErrorCode {
        CODES.get(code as usize).copied().unwrap_or(ErrorCode::InternalError)
    }

    pub fn to_wire(self) -> u32 {
        self as u32
    }
}

/// The peer broke RFC 9113, or a limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    BadPreface,
    /// The first frame is no SETTINGS.
    MissingSettings,
    FrameTooLarge,
    /// Not the length that this kind of frame has.
    BadFrameLength,
    /// A PRIORITY of another length is the fault of its stream alone (RFC 9113 §6.3).
    BadPriorityLength,
    /// Stream 0 where a stream is needed, a stream where none may stand, or a stream that is the other's
    /// to open.
    BadStreamId,
    BadPadding,
    /// Something else between HEADERS and the CONTINUATION that it announced.
    MissingContinuation,
    StrayContinuation,
    BadSetting,
    /// SETTINGS_INITIAL_WINDOW_SIZE beyond 2^31-1, or what it makes of an open stream's window.
    WindowSettingTooLarge,
    SettingsTimedOut,
    /// A connection's window beyond 2^31-1.
    WindowOverflow,
    StreamWindowOverflow,
    ZeroIncrement,
    StreamZeroIncrement,
    /// More DATA than the connection's window allows.
    WindowExceeded,
    StreamWindowExceeded,
    /// A frame on a stream that was never opened.
    IdleStream,
    /// A frame on a stream that has long ended.
    ClosedStream,
    /// DATA or HEADERS behind END_STREAM.
    EndedStream,
    /// We never allow a push.
    Push,
    /// A stream that depends on itself.
    SelfDependency,
    Compression(DecodeError),
    Malformed(Malformed),
    /// HEADERS behind the head without END_STREAM.
    TrailersWithoutEnd,
    ContentWithoutHead,
    /// An interim response ends the stream.
    InterimEnd,
    /// More streams at a time than we allow.
    TooManyStreams,
    /// Too little was taken of what a stream has to send.
    Stalled,
    Limit(Limit),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault::Malformed(malformed)
    }
}

impl From<Limit> for Fault {
    fn from(limit: Limit) -> Fault {
        Fault::Limit(limit)
    }
}

impl Fault {
    /// Whether it is about the header block that was decoded last, and that of a request.
    pub fn is_of_head(self) -> bool {
        matches!(self, Fault::Malformed(_) | Fault::TooManyStreams | Fault::SelfDependency)
    }

    pub fn scope(self) -> Scope {
        match self {
            Fault::BadPriorityLength
            | Fault::StreamWindowOverflow
            | Fault::StreamZeroIncrement
            | Fault::StreamWindowExceeded
            | Fault::EndedStream
            | Fault::SelfDependency
            | Fault::Malformed(_)
            | Fault::TrailersWithoutEnd
            | Fault::ContentWithoutHead
            | Fault::InterimEnd
            | Fault::TooManyStreams
            | Fault::Stalled => Scope::Stream,
            _ => Scope::Connection,
        }
    }

    /// What the peer is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Fault::FrameTooLarge | Fault::BadFrameLength | Fault::BadPriorityLength => {
                ErrorCode::FrameSizeError
            }
            Fault::WindowSettingTooLarge
            | Fault::WindowOverflow
            | Fault::StreamWindowOverflow
            | Fault::WindowExceeded
            | Fault::StreamWindowExceeded => ErrorCode::FlowControlError,
            Fault::SettingsTimedOut => ErrorCode::SettingsTimeout,
            Fault::ClosedStream | Fault::EndedStream => ErrorCode::StreamClosed,
            Fault::Compression(DecodeError::TooMuchWork) | Fault::Limit(_) | Fault::Stalled => {
                ErrorCode::EnhanceYourCalm
            }
            Fault::Compression(_) => ErrorCode::CompressionError,
            Fault::TooManyStreams => ErrorCode::RefusedStream,
            _ => ErrorCode::ProtocolError,
        }
    }

    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::BadPreface => "h2_preface",
            Fault::MissingSettings => "h2_missing_settings",
            Fault::FrameTooLarge => "h2_frame_too_large",
            Fault::BadFrameLength | Fault::BadPriorityLength => "h2_frame_length",
            Fault::BadStreamId => "h2_stream_id",
            Fault::BadPadding => "h2_padding",
            Fault::MissingContinuation => "h2_missing_continuation",
            Fault::StrayContinuation => "h2_stray_continuation",
            Fault::BadSetting | Fault::WindowSettingTooLarge => "h2_setting",
            Fault::SettingsTimedOut => "h2_settings_timeout",
            Fault::WindowOverflow | Fault::StreamWindowOverflow => "h2_window_overflow",
            Fault::ZeroIncrement | Fault::StreamZeroIncrement => "h2_zero_increment",
            Fault::WindowExceeded | Fault::StreamWindowExceeded => "h2_window_exceeded",
            Fault::IdleStream => "h2_idle_stream",
            Fault::ClosedStream | Fault::EndedStream => "h2_closed_stream",
            Fault::Push => "h2_push",
            Fault::SelfDependency => "h2_self_dependency",
            Fault::Compression(error) => error.reason(),
            Fault::Malformed(malformed) => reason_of(malformed),
            Fault::TrailersWithoutEnd => "h2_trailers_without_end",
            Fault::ContentWithoutHead => "h2_content_without_head",
            Fault::InterimEnd => "h2_interim_end",
            Fault::TooManyStreams => "h2_too_many_streams",
            Fault::Stalled => "h2_stalled",
            Fault::Limit(limit) => limit.reason(),
        }
    }
}

fn reason_of(malformed: Malformed) -> &'static str {
    match malformed {
        Malformed::FieldName => "h2_field_name",
        Malformed::FieldValue => "h2_field_value",
        Malformed::ConnectionField => "h2_connection_field",
        Malformed::PseudoField => "h2_pseudo_field",
        Malformed::MissingPseudoField => "h2_missing_pseudo_field",
        Malformed::Method => "h2_method",
        Malformed::Scheme => "h2_scheme",
        Malformed::Path => "h2_path",
        Malformed::Authority => "h2_authority",
        Malformed::Host => "h2_host",
        Malformed::Status => "h2_status",
        Malformed::ContentLength => "h2_content_length",
        Malformed::Connect => "h2_connect",
        Malformed::TooLarge => "h2_fields_too_large",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_wire() {
        for (number, code) in (0..).zip(CODES) {
            assert_eq!((code.to_wire(), ErrorCode::from_wire(number)), (number, code));
        }
        assert_eq!(ErrorCode::from_wire(14), ErrorCode::InternalError);
        assert_eq!(ErrorCode::from_wire(u32::MAX), ErrorCode::InternalError);
    }
}
