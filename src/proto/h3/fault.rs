//! Why a stream or the connection ends: codes that the peer is told, and words for logs.

/// A fault, by its code on the wire (RFC 9114 §8.1, RFC 9204 §6).
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
    pub fn code(self) -> u64 {
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

/// What the client did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A second stream of a kind that there is once (RFC 9114 §6.2.1, RFC 9204 §4.2).
    SecondStream,
    /// It opened a push stream, which only servers do (RFC 9114 §6.2.2).
    PushStream,
    /// A control stream, or one of QPACK, ended (RFC 9114 §6.2.1).
    CriticalStreamClosed,
    /// The first frame of its control stream is another one (RFC 9114 §6.2.1).
    MissingSettings,
    /// A frame that may not stand there (RFC 9114 §7.2), or one of HTTP/2 (§7.2.8).
    UnexpectedFrame,
    /// A frame whose length does not fit what it holds, or that its stream cuts off (RFC 9114 §7.1).
    FrameLength,
    /// A setting twice, one of HTTP/2, or a value that it may not have (RFC 9114 §7.2.4).
    Settings,
    /// A push that was never promised, or an identifier that went down (RFC 9114 §5.2, §7.2.7).
    Id,
    /// A field section that refers to a table that we do not allow, or is broken (RFC 9204 §2.2).
    Qpack,
    /// An instruction for a table that we do not allow (RFC 9204 §3.2.3, §4.3).
    QpackEncoder,
    /// An acknowledgement of what was never sent (RFC 9204 §4.4).
    QpackDecoder,
    /// Far more work than what it asks for explains.
    TooMuchWork,
}

impl Fault {
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
            Fault::TooMuchWork => ErrorCode::ExcessiveLoad,
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
            Fault::Settings => "h3_settings",
            Fault::Id => "h3_id",
            Fault::Qpack => "h3_qpack",
            Fault::QpackEncoder => "h3_qpack_encoder",
            Fault::QpackDecoder => "h3_qpack_decoder",
            Fault::TooMuchWork => "h3_work",
        }
    }
}
