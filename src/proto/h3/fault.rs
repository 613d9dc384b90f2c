//! Why a stream or the connection ends: the code for the client and the word for the log.

use crate::proto::fields::message::Malformed;
use crate::proto::h3::limits::Limit;
use crate::proto::scope::Scope;

/// RFC 9114 §8.1, RFC 9204 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// There is nothing wrong.
    NoError,
    GeneralProtocolError,
    InternalError,
    StreamCreationError,
    ClosedCriticalStream,
    FrameUnexpected,
    FrameError,
    ExcessiveLoad,
    IdError,
    SettingsError,
    MissingSettings,
    RequestRejected,
    RequestCancelled,
    RequestIncomplete,
    MessageError,
    ConnectError,
    VersionFallback,
    QpackDecompressionFailed,
    QpackEncoderStreamError,
    QpackDecoderStreamError,
}

impl ErrorCode {
    pub fn to_wire(self) -> u64 {
        match self {
            ErrorCode::NoError => 0x100,
            ErrorCode::GeneralProtocolError => 0x101,
            ErrorCode::InternalError => 0x102,
            ErrorCode::StreamCreationError => 0x103,
            ErrorCode::ClosedCriticalStream => 0x104,
            ErrorCode::FrameUnexpected => 0x105,
            ErrorCode::FrameError => 0x106,
            ErrorCode::ExcessiveLoad => 0x107,
            ErrorCode::IdError => 0x108,
            ErrorCode::SettingsError => 0x109,
            ErrorCode::MissingSettings => 0x10a,
            ErrorCode::RequestRejected => 0x10b,
            ErrorCode::RequestCancelled => 0x10c,
            ErrorCode::RequestIncomplete => 0x10d,
            ErrorCode::MessageError => 0x10e,
            ErrorCode::ConnectError => 0x10f,
            ErrorCode::VersionFallback => 0x110,
            ErrorCode::QpackDecompressionFailed => 0x200,
            ErrorCode::QpackEncoderStreamError => 0x201,
            ErrorCode::QpackDecoderStreamError => 0x202,
        }
    }
}

/// The client broke RFC 9114 or RFC 9204, or a limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A second stream of a kind that there is once (RFC 9114 §6.2.1, RFC 9204 §4.2).
    SecondStream,
    /// It opened a push stream, which only servers do (RFC 9114 §6.2.2).
    PushStream,
    /// A control stream, or one of QPACK, ended (RFC 9114 §6.2.1, RFC 9204 §4.2).
    CriticalStreamClosed,
    /// The first frame of its control stream is another one (RFC 9114 §6.2.1).
    MissingSettings,
    /// A frame that may not stand there (RFC 9114 §7.2), or one of HTTP/2 (§7.2.8).
    UnexpectedFrame,
    /// A frame whose length does not fit what it holds, or that its stream cuts off (RFC 9114 §7.1).
    FrameLength,
    /// A setting twice, one of HTTP/2, or a value that it may not have (RFC 9114 §7.2.4).
    Settings,
    /// A push that was never promised, an identifier that goes the wrong way (RFC 9114 §5.2, §7.2.3, §7.2.7), or a priority
    /// for no request (RFC 9218 §7.2).
    Id,
    /// A field section that refers to a table that we do not allow, or is broken (RFC 9204 §2.2).
    Qpack,
    /// An instruction for a table that we do not allow (RFC 9204 §3.2.3, §4.3).
    QpackEncoder,
    /// An acknowledgement of what was never sent (RFC 9204 §4.4).
    QpackDecoder,
    /// A stream that ends without a request (RFC 9114 §4.1).
    RequestIncomplete,
    Malformed(Malformed),
    Limit(Limit),
}

impl From<Limit> for Fault {
    fn from(limit: Limit) -> Fault {
        Fault::Limit(limit)
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault::Malformed(malformed)
    }
}

impl Fault {
    /// Whom it ends: a stream alone is reset, and its reading stopped, with [`Fault::code`] (RFC 9114 §8).
    pub fn scope(self) -> Scope {
        match self {
            Fault::RequestIncomplete | Fault::Malformed(_) => Scope::Stream,
            _ => Scope::Connection,
        }
    }

    /// What the client is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Fault::SecondStream | Fault::PushStream => ErrorCode::StreamCreationError,
            Fault::CriticalStreamClosed => ErrorCode::ClosedCriticalStream,
            Fault::MissingSettings => ErrorCode::MissingSettings,
            Fault::UnexpectedFrame => ErrorCode::FrameUnexpected,
            Fault::FrameLength => ErrorCode::FrameError,
            Fault::Settings => ErrorCode::SettingsError,
            Fault::Id => ErrorCode::IdError,
            Fault::Qpack => ErrorCode::QpackDecompressionFailed,
            Fault::QpackEncoder => ErrorCode::QpackEncoderStreamError,
            Fault::QpackDecoder => ErrorCode::QpackDecoderStreamError,
            Fault::RequestIncomplete => ErrorCode::RequestIncomplete,
            Fault::Malformed(Malformed::TooLarge) | Fault::Limit(_) => ErrorCode::ExcessiveLoad,
            Fault::Malformed(_) => ErrorCode::MessageError,
        }
    }

    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::SecondStream => "h3_second_stream",
            Fault::PushStream => "h3_push_stream",
            Fault::CriticalStreamClosed => "h3_critical_stream_closed",
            Fault::MissingSettings => "h3_missing_settings",
            Fault::UnexpectedFrame => "h3_unexpected_frame",
            Fault::FrameLength => "h3_frame_length",
            Fault::Settings => "h3_setting",
            Fault::Id => "h3_id",
            Fault::Qpack => "h3_qpack",
            Fault::QpackEncoder => "h3_qpack_encoder",
            Fault::QpackDecoder => "h3_qpack_decoder",
            Fault::RequestIncomplete => "h3_request_incomplete",
            Fault::Malformed(malformed) => reason_of(malformed),
            Fault::Limit(limit) => limit.reason(),
        }
    }
}

/// The words of HTTP/2 for the same, with another beginning.
fn reason_of(malformed: Malformed) -> &'static str {
    match malformed {
        Malformed::FieldName => "h3_field_name",
        Malformed::FieldValue => "h3_field_value",
        Malformed::ConnectionField => "h3_connection_field",
        Malformed::PseudoField => "h3_pseudo_field",
        Malformed::MissingPseudoField => "h3_missing_pseudo_field",
        Malformed::Method => "h3_method",
        Malformed::Scheme => "h3_scheme",
        Malformed::Path => "h3_path",
        Malformed::Authority => "h3_authority",
        Malformed::Host => "h3_host",
        Malformed::Status => "h3_status",
        Malformed::ContentLength => "h3_content_length",
        Malformed::Connect => "h3_connect",
        Malformed::TooLarge => "h3_fields_too_large",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_end_whom_the_standard_says() {
        for (fault, scope, code) in [
            (Fault::RequestIncomplete, Scope::Stream, 0x10d),
            (Fault::Malformed(Malformed::Path), Scope::Stream, 0x10e),
            (Fault::Malformed(Malformed::TooLarge), Scope::Stream, 0x107),
            (Fault::Limit(Limit::UselessFrames), Scope::Connection, 0x107),
            (Fault::UnexpectedFrame, Scope::Connection, 0x105),
            (Fault::FrameLength, Scope::Connection, 0x106),
            (Fault::Qpack, Scope::Connection, 0x200),
        ] {
            assert_eq!((fault.scope(), fault.code().to_wire()), (scope, code), "{fault:?}");
        }
    }
}
