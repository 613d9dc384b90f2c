//! One TLS connection as arithmetic: records in, plaintext out, and the other way round. No I/O.

use std::ops::Deref;
use std::sync::Arc;

use rustls::CommonState;
use rustls::Error;
use rustls::HandshakeKind;
use rustls::ProtocolVersion;
use rustls::client::ClientConnectionData;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::ServerConnectionData;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::ConnectionState;
use rustls::unbuffered::EncodeError;
use rustls::unbuffered::EncodeTlsData;
use rustls::unbuffered::EncryptError;
use rustls::unbuffered::InsufficientSizeError;
use rustls::unbuffered::UnbufferedConnectionCommon;
use rustls::unbuffered::UnbufferedStatus;

use crate::net::buffer::Buffer;
use crate::tls::client_hello::ClientOffer;
use crate::tls::client_hello::First;
use crate::tls::fingerprint::ClientFingerprints;
use crate::tls::fingerprint::HelloCarrier;
use crate::tls::framing::MAX_RECORD_LENGTH;
use crate::tls::framing::RECORD_HEADER_BYTES;
use crate::tls::framing::RECORD_PLAINTEXT_BYTES;
use crate::tls::framing::begins_with_record;
use crate::tls::framing::record_length;
use crate::tls::record::Records;
use crate::tls::record::UnprocessedInput;
use crate::tls::server_configs::ServerConfigs;
use crate::tls::zero_rtt::Listening;
use crate::tls::zero_rtt::NextRecord;
use crate::tls::zero_rtt::RejectedZeroRtt;

/// What sealing adds to a record: header 5, TLS 1.2 nonce 8 or TLS 1.3 content type 1, tag 16.
const RECORD_OVERHEAD_BYTES: usize = 29;
/// Room for a KeyUpdate that rustls may put before a record (RFC 8446 §4.6.3).
const KEY_UPDATE_BYTES: usize = 64;
/// In ALPN (RFC 9113 §3.1).
pub const HTTP2: &[u8] = b"h2";

/// One side of a TLS connection.
pub(super) struct Session {
    role: SessionRole,
    shown: Shown,
    /// Until somebody asks.
    agreed: Option<Box<Agreed>>,
    /// For a client with TLS 1.3, after the handshake: the server chose HTTP/2.
    has_chosen_http2: bool,
    /// Of the client, for a server that wants them, until somebody asks.
    fingerprints: Option<Box<ClientFingerprints>>,
    /// close_notify is sent; nothing may be sent behind it.
    close_notify_sent: bool,
}

/// What rustls knows of the received bytes.
#[derive(Default)]
struct Shown {
    /// Received bytes that it was shown and that are not consumed: it must see them again each time.
    bytes: usize,
    /// The early data that a client offered, until its end: it is not shown.
    early_data: Option<Box<RejectedZeroRtt>>,
}

enum SessionRole {
    /// A server that has not heard what its client offers.
    Unasked {
        configs: Arc<ServerConfigs>,
        wants_fingerprints: bool,
    },
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// TLS 1.3 after the handshake, in either role.
    Records(Box<Records>),
    /// The alert, if there is one, was handed out. Nothing else can be done.
    Failed,
}

/// What a handshake agreed on, and with whom.
pub(super) struct Agreed {
    pub(super) version: Option<ProtocolVersion>,
    /// By its IANA number.
    pub(super) cipher_suite: u16,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) resumed: bool,
    /// The peer's certificates, its own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

/// What [`Session::open`] found at the front of the received bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Received bytes that are done with; what follows is the beginning of a record.
    pub(super) consumed: usize,
    /// The peer said that nothing more follows (close_notify, RFC 8446 §6.1).
    pub(super) closed: bool,
    /// What is not consumed begins with whole records: parts of a handshake message whose rest is still
    /// to come. rustls looks at them whatever it is asked to do, so they must be shown to it each time.
    pub(super) held: bool,
}

impl Session {
    pub(super) fn server(configs: Arc<ServerConfigs>, wants_fingerprints: bool) -> Session {
        Session::new(SessionRole::Unasked { configs, wants_fingerprints })
    }

    pub(super) fn client(connection: UnbufferedClientConnection) -> Session {
        Session::new(SessionRole::Client(Box::new(connection)))
    }

    fn new(role: SessionRole) -> Session {
        Session {
            role,
            shown: Shown::default(),
            agreed: None,
            has_chosen_http2: false,
            fingerprints: None,
            close_notify_sent: false,
        }
    }

    /// What the handshake agreed on. A server with TLS 1.3 tells it once.
    pub(super) fn take_agreed(&mut self) -> Option<Box<Agreed>> {
        match &self.role {
            SessionRole::Server(connection) => Some(Box::new(Agreed::of(connection))),
            SessionRole::Client(connection) => Some(Box::new(Agreed::of(connection))),
            SessionRole::Unasked { .. } | SessionRole::Records(_) | SessionRole::Failed => self.agreed.take(),
        }
    }

    /// Those of the client, once.
    pub(super) fn take_fingerprints(&mut self) -> Option<Box<ClientFingerprints>> {
        self.fingerprints.take()
    }

    /// Whether the server of a client's handshake chose HTTP/2.
    pub(super) fn has_chosen_http2(&self) -> bool {
        match &self.role {
            SessionRole::Client(connection) => connection.alpn_protocol() == Some(HTTP2),
            _ => self.has_chosen_http2,
        }
    }

    /// Opens the complete records at the front of `incoming`: their content is appended to `plain`,
    /// and what the protocol has to answer to `outgoing`. After an error, `outgoing` holds the alert.
    pub(super) fn open(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Opened, Error> {
        let opened = self.open_in_role(incoming, plain, outgoing);
        if opened.is_err() {
            self.role = SessionRole::Failed;
        }
        opened
    }

    /// Seals as much from the front of `plain` into records as `out` has room for, and returns how
    /// much that was. `held` is what [`Opened::held`] tells of.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Buffer, held: &mut [u8]) -> Result<usize, Error> {
        if let SessionRole::Records(records) = &mut self.role {
            return records.seal(plain, out);
        }
        let mut sealed = 0;
        while sealed < plain.len() {
            let added = RECORD_OVERHEAD_BYTES + KEY_UPDATE_BYTES;
            let room = out.spare().saturating_sub(added).min(RECORD_PLAINTEXT_BYTES);
            let piece = plain.get(sealed..).unwrap_or_default();
            let piece = piece.get(..room).unwrap_or(piece);
            if piece.is_empty() {
                break;
            }
            out.append_with(piece.len() + added, |room| self.seal_record(piece, room, held))?;
            sealed += piece.len();
        }
        Ok(sealed)
    }

    /// Appends a close_notify alert, unless one was sent, the handshake is not over, or it failed.
    pub(super) fn close(&mut self, outgoing: &mut Vec<u8>, held: &mut [u8]) {
        let mut alert = [0; 64];
        let written = match &mut self.role {
            SessionRole::Server(connection) => close(connection.as_mut(), &mut alert, held),
            SessionRole::Client(connection) => close(connection.as_mut(), &mut alert, held),
            SessionRole::Records(records) => return records.close(outgoing),
            SessionRole::Unasked { .. } | SessionRole::Failed => 0,
        };
        self.close_notify_sent |= written > 0;
        outgoing.extend_from_slice(alert.get(..written).unwrap_or_default());
    }

    /// Whether the peer broke the protocol: nothing that still comes can be opened.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.role, SessionRole::Failed)
    }

    pub(super) fn is_handshaking(&self) -> bool {
        match &self.role {
            SessionRole::Unasked { .. } => true,
            SessionRole::Server(connection) => connection.is_handshaking(),
            SessionRole::Client(connection) => connection.is_handshaking(),
            SessionRole::Records(_) | SessionRole::Failed => false,
        }
    }

    fn open_in_role(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Opened, Error> {
        self.hear(incoming)?;
        let shown = &mut self.shown;
        let _listening = shown.early_data.as_ref().map(|_| Listening::begin());
        let mut opened = match &mut self.role {
            SessionRole::Unasked { .. } => Opened { held: begins_with_record(incoming), ..Opened::default() },
            SessionRole::Server(connection) => open(connection.as_mut(), shown, incoming, plain, outgoing)?,
            SessionRole::Client(connection) => open(connection.as_mut(), shown, incoming, plain, outgoing)?,
            SessionRole::Records(_) => Opened::default(),
            SessionRole::Failed => return Err(failed()),
        };
        self.take_over_records()?;
        if let SessionRole::Records(records) = &mut self.role {
            let rest = incoming.get(opened.consumed..).unwrap_or_default();
            let opening = records.open(rest, plain, outgoing)?;
            opened.consumed += opening.consumed;
            opened.closed |= opening.closed;
            opened.held = false;
        }
        Ok(opened)
    }

    /// Begins the handshake of a server, once it is known what the client offers.
    fn hear(&mut self, incoming: &[u8]) -> Result<(), Error> {
        let SessionRole::Unasked { configs, wants_fingerprints } = &self.role else { return Ok(()) };
        let first = First::of(incoming);
        let offered = match &first {
            First::Part => return Ok(()),
            First::Hello(hello) => ClientOffer::of(hello).unwrap_or_default(),
            First::Other => ClientOffer::default(),
        };
        if let (First::Hello(hello), true) = (&first, *wants_fingerprints) {
            self.fingerprints = ClientFingerprints::of(hello, HelloCarrier::Tcp).map(Box::new);
        }
        if offered.early_data {
            self.shown.early_data = Some(Box::default());
        }
        let connection = UnbufferedServerConnection::new(Arc::clone(configs.of(&offered)))?;
        self.role = SessionRole::Server(Box::new(connection));
        Ok(())
    }

    /// After a handshake of TLS 1.3, rustls is not needed for records any more. It has nothing to send
    /// then, for [`open`] asked; and it has seen nothing behind the handshake, where it could have been
    /// told to change its keys: it would hold its answer back until it seals something.
    fn take_over_records(&mut self) -> Result<(), Error> {
        let done = match &self.role {
            SessionRole::Server(connection) => has_left_to_us(connection),
            SessionRole::Client(connection) => has_left_to_us(connection),
            SessionRole::Unasked { .. } | SessionRole::Records(_) | SessionRole::Failed => false,
        };
        if !done {
            return Ok(());
        }
        let (secrets, rest) = match std::mem::replace(&mut self.role, SessionRole::Failed) {
            SessionRole::Server(connection) => {
                self.agreed = Some(Box::new(Agreed::of(&connection)));
                let (secrets, rest) = connection.dangerous_into_kernel_connection()?;
                (secrets, UnprocessedInput::Server(rest))
            }
            SessionRole::Client(connection) => {
                self.has_chosen_http2 = connection.alpn_protocol() == Some(HTTP2);
                let (secrets, rest) = connection.dangerous_into_kernel_connection()?;
                (secrets, UnprocessedInput::Client(rest))
            }
            SessionRole::Unasked { .. } | SessionRole::Records(_) | SessionRole::Failed => {
                return Err(failed());
            }
        };
        self.role = SessionRole::Records(Box::new(Records::new(secrets, rest, self.close_notify_sent)?));
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn records(&mut self) -> &mut Records {
        match &mut self.role {
            SessionRole::Records(records) => records,
            _ => panic!("the records of this session are rustls'"),
        }
    }

    fn seal_record(&mut self, plain: &[u8], room: &mut [u8], held: &mut [u8]) -> Result<usize, Error> {
        match &mut self.role {
            SessionRole::Server(connection) => seal_record(connection.as_mut(), plain, room, held),
            SessionRole::Client(connection) => seal_record(connection.as_mut(), plain, room, held),
            SessionRole::Unasked { .. } | SessionRole::Records(_) | SessionRole::Failed => Err(failed()),
        }
    }
}

impl Shown {
    /// How many bytes at the front of what came are rejected early data.
    fn skip_early_data(&mut self, connection: &CommonState, incoming: &[u8]) -> usize {
        let Some(early_data) = &mut self.early_data else { return 0 };
        early_data.learn(connection);
        let mut skipped = 0;
        // Early data never comes within a message of the handshake.
        while self.bytes == 0 {
            let rest = incoming.get(skipped..).unwrap_or_default();
            match early_data.next(connection, rest) {
                NextRecord::EarlyData(bytes) => skipped += bytes,
                NextRecord::Unknown => break,
                NextRecord::Handshake => {
                    self.early_data = None;
                    break;
                }
            }
        }
        skipped
    }
}

impl Agreed {
    fn of(connection: &CommonState) -> Agreed {
        Agreed {
            version: connection.protocol_version(),
            cipher_suite: connection.negotiated_cipher_suite().map_or(0, |suite| suite.suite().into()),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            chain: connection.peer_certificates().unwrap_or_default().to_vec(),
        }
    }
}

fn failed() -> Error {
    Error::General("the connection has failed".to_owned())
}

fn has_left_to_us(connection: &CommonState) -> bool {
    connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) && !connection.is_handshaking()
}

/// How many bytes rustls is to be shown after it has dealt with the first `shown`. In a handshake, one
/// record more, so that it sees nothing behind the handshake: with TLS 1.3 that is ours.
fn next_shown(connection: &CommonState, incoming: &[u8], shown: usize) -> usize {
    if has_left_to_us(connection) {
        return shown;
    }
    let fresh = incoming.get(shown..).unwrap_or_default();
    match record_length(fresh) {
        Some(length) if connection.is_handshaking() && length <= MAX_RECORD_LENGTH => {
            let whole = RECORD_HEADER_BYTES + length;
            if fresh.len() < whole { shown } else { shown + whole }
        }
        None if connection.is_handshaking() => shown,
        _ => incoming.len(),
    }
}

/// rustls has a connection type for each side, with the same methods.
trait Side: Deref<Target = UnbufferedConnectionCommon<Self::Kind>> {
    type Kind;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Kind>;
}

impl Side for UnbufferedServerConnection {
    type Kind = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Kind> {
        self.process_tls_records(incoming)
    }
}

impl Side for UnbufferedClientConnection {
    type Kind = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Kind> {
        self.process_tls_records(incoming)
    }
}

fn open<S: Side>(
    connection: &mut S,
    shown: &mut Shown,
    incoming: &mut [u8],
    plain: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
) -> Result<Opened, Error> {
    let mut opened = Opened::default();
    loop {
        let rest = incoming.get_mut(opened.consumed..).unwrap_or_default();
        let rest = rest.get_mut(..shown.bytes).unwrap_or_default();
        let UnbufferedStatus { mut discard, state } = connection.process(rest);
        let mut more = true;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    plain.extend_from_slice(record.payload);
                    discard += record.discard;
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, outgoing),
            // Whoever called sends it, so as far as rustls is concerned it is sent.
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            Ok(ConnectionState::PeerClosed) => opened.closed = true,
            Ok(ConnectionState::Closed) => {
                opened.closed = true;
                more = false;
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => more = false,
            // Early data is never accepted.
            Ok(_) => return Err(Error::General("an unexpected state".to_owned())),
            Err(error) => {
                take_alert(connection, outgoing);
                return Err(error);
            }
        }
        opened.consumed += discard;
        shown.bytes = shown.bytes.saturating_sub(discard);
        if more {
            continue;
        }
        // Now rustls has dealt with all that it saw.
        let rest = incoming.get(opened.consumed..).unwrap_or_default();
        opened.consumed += shown.skip_early_data(connection, rest);
        let rest = incoming.get(opened.consumed..).unwrap_or_default();
        let next = next_shown(connection, rest, shown.bytes);
        if next == shown.bytes {
            opened.held = begins_with_record(rest);
            return Ok(opened);
        }
        shown.bytes = next;
    }
}

/// After an error, rustls may still have an alert to send. It looks at what it received only when it
/// has nothing to send; by then, none of that may be gone or be looked at again.
fn take_alert<S: Side>(connection: &mut S, outgoing: &mut Vec<u8>) {
    while connection.wants_write() {
        match connection.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, outgoing),
            _ => return,
        }
    }
}

fn encode<D>(message: &mut EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) {
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = message.encode(&mut [])
    else {
        return;
    };
    let begin = outgoing.len();
    outgoing.resize(begin + required_size, 0);
    let written = message.encode(outgoing.get_mut(begin..).unwrap_or_default()).unwrap_or(0);
    outgoing.truncate(begin + written);
}

fn seal_record<S: Side>(
    connection: &mut S,
    plain: &[u8],
    room: &mut [u8],
    held: &mut [u8],
) -> Result<usize, Error> {
    match connection.process(held).state? {
        ConnectionState::WriteTraffic(mut traffic) => {
            traffic.encrypt(plain, room).map_err(|error| match error {
                EncryptError::EncryptExhausted => Error::EncryptError,
                EncryptError::InsufficientSize(_) => Error::General("no room for a record".to_owned()),
            })
        }
        _ => Err(Error::HandshakeNotComplete),
    }
}

fn close<S: Side>(connection: &mut S, alert: &mut [u8], held: &mut [u8]) -> usize {
    match connection.process(held).state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.queue_close_notify(alert).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(any(test, fuzzing))]
#[expect(clippy::unwrap_used, reason = "what is set up here by hand cannot fail")]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
