//! What happens on the streams of a connection, as their readers tell it.

use std::ops::Range;

use crate::proto::h3::priority::Priority;

/// What happened on a request stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// [`Connection::request`](crate::proto::h3::connection::Connection::request) gives it, until the next field section of any stream is read.
    Head,
    /// A head that passed our limits. It may be answered with 431, and reading be stopped.
    HeadTooLarge,
    /// Content, where it lies in the bytes that were handled; never of no bytes.
    Content(Range<usize>),
    /// [`Connection::fields`](crate::proto::h3::connection::Connection::fields) gives them, until the next field section of any stream is read. Nothing follows but the end.
    Trailers,
}

/// What happened on a unidirectional stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnidirectionalEvent {
    /// The stream is of no type that we know. Its reading may be stopped, with H3_STREAM_CREATION_ERROR (RFC 9114 §6.2);
    /// else what comes is passed over.
    UnknownStream,
    /// The client's SETTINGS have come: [`Connection::peer`](crate::proto::h3::connection::Connection::peer).
    Settings,
    /// The client takes no pushes any more, of which we send none (RFC 9114 §5.2). It may be about to leave.
    GoAway,
    /// The priority of a request (RFC 9218 §7.2), which may not have come yet. If the client may not open this stream,
    /// the connection is over with [`Fault::Id`](crate::proto::h3::fault::Fault::Id); how many it may open is known to QUIC.
    Priority { stream: u64, priority: Priority },
}
