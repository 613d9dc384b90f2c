//! The records of a TLS 1.3 connection after its handshake (RFC 8446 §4.6, §5, §6). No I/O.
//!
//! rustls does the handshake and gives the keys out; what remains of it derives the next keys and, for
//! a client, remembers tickets. Content is opened straight into the buffer of whoever asked for it and
//! sealed in the buffer that is sent: no record costs an allocation.

use rustls::AlertDescription;
use rustls::ContentType;
use rustls::Error;
use rustls::ExtractedSecrets;
use rustls::HandshakeType;
use rustls::InvalidMessage;
use rustls::PeerMisbehaved;
use rustls::SupportedCipherSuite;
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;

use crate::net::buffer::Buffer;
use crate::tls::record::keys::Keys;
use crate::tls::record::keys::TAG_BYTES;

pub(super) mod keys;

/// The most content in one record (RFC 8446 §5.1).
const CONTENT_BYTES: usize = 16 * 1024;
/// "The length MUST NOT exceed 2^14 + 256 bytes" (RFC 8446 §5.2).
const SEALED_BYTES: usize = CONTENT_BYTES + 256;
const HEADER_BYTES: usize = 5;
/// What sealing adds to content: header, type and tag.
const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + TAG_BYTES;
/// The KeyUpdate that may have to stand before a record: a header, one byte, and the record's own.
const KEY_UPDATE_BYTES: usize = 4 + 1 + OVERHEAD_BYTES;
/// The longest handshake message; tickets are the only long ones. As rustls has it.
const MESSAGE_BYTES: usize = 0xffff;
/// Empty records and KeyUpdates without any content between them, as rustls and BoringSSL have it.
const EMPTY_RECORDS: u8 = 32;
const KEY_UPDATES: u8 = 32;
/// user_canceled alerts per connection, as rustls has it.
const CANCELLATIONS: u8 = 4;

/// One end of a connection.
pub(super) struct Records {
    rest: UnprocessedInput,
    read: Keys,
    write: Keys,
    /// Records that the cipher may seal with one key (RFC 8446 §5.5).
    limit: u64,
    /// The beginning of a handshake message whose rest comes in another record.
    message: Vec<u8>,
    /// The peer wants new keys from us: they come before the next content.
    owes_key_update: bool,
    /// We said close_notify: nothing more is sealed.
    close_notify_sent: bool,
    /// The peer said it: nothing more is opened.
    peer_closed: bool,
    /// Since the last content.
    empty_records: u8,
    key_updates: u8,
    cancellations: u8,
}

/// What is left of rustls' connection.
pub(super) enum UnprocessedInput {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

/// What [`Records::open`] did.
pub(super) struct Opening {
    pub(super) consumed: usize,
    pub(super) closed: bool,
}

impl Records {
    pub(super) fn new(
        secrets: ExtractedSecrets,
        rest: UnprocessedInput,
        close_notify_sent: bool,
    ) -> Result<Records, Error> {
        let limit = match rest.cipher_suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            _ => return Err(Error::General("these are records of TLS 1.3".to_owned())),
        };
        Ok(Records {
            rest,
            read: Keys::new(secrets.rx)?,
            write: Keys::new(secrets.tx)?,
            limit,
            message: Vec::new(),
            owes_key_update: false,
            close_notify_sent,
            peer_closed: false,
            empty_records: 0,
            key_updates: 0,
            cancellations: 0,
        })
    }

    /// Opens the complete records at the front of `incoming` and appends their content to `plain`.
    /// After an error, `outgoing` has the alert, and no other method may be called.
    pub(super) fn open(
        &mut self,
        incoming: &[u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Opening, Error> {
        let mut consumed = 0;
        while !self.peer_closed {
            match self.open_first(incoming.get(consumed..).unwrap_or_default(), plain) {
                Ok(0) => break,
                Ok(count) => consumed += count,
                Err(error) => {
                    if let Some(alert) = alert_for(&error).filter(|_| !self.close_notify_sent) {
                        self.write.seal(ContentType::Alert, &[FATAL, alert.into()], outgoing)?;
                    }
                    return Err(error);
                }
            }
        }
        if self.peer_closed {
            // "Any data received after a closure alert has been received MUST be ignored" (§6.1).
            consumed = incoming.len();
        }
        Ok(Opening { consumed, closed: self.peer_closed })
    }

    /// Seals as much from the front of `plain` as `out` has room for, and returns how much that was.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Buffer) -> Result<usize, Error> {
        if self.close_notify_sent {
            return Err(Error::General("nothing follows close_notify".to_owned()));
        }
        let mut sealed = 0;
        while sealed < plain.len() {
            let room = out.spare().saturating_sub(OVERHEAD_BYTES + KEY_UPDATE_BYTES).min(CONTENT_BYTES);
            let piece = plain.get(sealed..).unwrap_or_default();
            let piece = piece.get(..room).unwrap_or(piece);
            if piece.is_empty() {
                break;
            }
            // The last record that the limit allows is the one that tells of the next keys.
            if self.owes_key_update || self.write.sequence() >= self.limit.saturating_sub(1) {
                self.update_write_keys(out.tail())?;
            }
            self.write.seal(ContentType::ApplicationData, piece, out.tail())?;
            sealed += piece.len();
        }
        Ok(sealed)
    }

    /// Appends a close_notify alert, once.
    pub(super) fn close(&mut self, outgoing: &mut Vec<u8>) {
        if !self.close_notify_sent {
            self.close_notify_sent = true;
            let alert = [WARNING, AlertDescription::CloseNotify.into()];
            // Without numbers left there is no good-bye; the peer will see a cut connection.
            let _ = self.write.seal(ContentType::Alert, &alert, outgoing);
        }
    }

    /// Returns how long the record at the front was, or 0 if it is not there in full.
    fn open_first(&mut self, incoming: &[u8], plain: &mut Vec<u8>) -> Result<usize, Error> {
        let Some(([kind, major, _, high, low], rest)) = incoming.split_first_chunk() else { return Ok(0) };
        check_header((*kind).into(), *major)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        // "The full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets" (§5.4).
        if length > SEALED_BYTES {
            return Err(Error::PeerSentOversizedRecord);
        }
        let Some(sealed) = rest.get(..length) else { return Ok(0) };
        if length > CONTENT_BYTES + 1 + TAG_BYTES {
            return Err(Error::PeerSentOversizedRecord);
        }
        let begin = plain.len();
        self.read.open(sealed, plain)?;
        let kept = self.take_inner(plain.get(begin..).unwrap_or_default());
        plain.truncate(begin + kept.as_ref().map_or(0, |kept| *kept));
        kept?;
        Ok(HEADER_BYTES + length)
    }

    /// Looks into an opened record and returns how many of its bytes are content.
    fn take_inner(&mut self, inner: &[u8]) -> Result<usize, Error> {
        // "If a receiving implementation does not find a non-zero octet in the cleartext, it MUST
        // terminate the connection with an "unexpected_message" alert" (§5.4).
        let end = inner.iter().rposition(|byte| *byte != 0);
        let Some((content, [kind, ..])) = end.and_then(|end| inner.split_at_checked(end)) else {
            return Err(PeerMisbehaved::IllegalTlsInnerPlaintext.into());
        };
        let kind = ContentType::from(*kind);
        if !self.message.is_empty() && kind != ContentType::Handshake {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        match kind {
            ContentType::ApplicationData => {
                self.count_content(content)?;
                return Ok(content.len());
            }
            ContentType::Alert => self.take_alert(content)?,
            ContentType::Handshake => self.take_messages(content)?,
            ContentType::ChangeCipherSpec => {
                return Err(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into());
            }
            kind => return Err(inappropriate(kind)),
        }
        Ok(0)
    }

    fn count_content(&mut self, content: &[u8]) -> Result<(), Error> {
        if !content.is_empty() {
            (self.empty_records, self.key_updates) = (0, 0);
            return Ok(());
        }
        count(&mut self.empty_records, EMPTY_RECORDS, PeerMisbehaved::TooManyEmptyFragments)
    }

    fn take_alert(&mut self, content: &[u8]) -> Result<(), Error> {
        let description = match content {
            [_, description] => AlertDescription::from(*description),
            [] => return Err(inappropriate(ContentType::Alert)),
            [_] => return Err(InvalidMessage::MissingData("AlertDescription").into()),
            _ => return Err(InvalidMessage::TrailingData("AlertMessagePayload").into()),
        };
        match description {
            AlertDescription::CloseNotify => self.peer_closed = true,
            AlertDescription::UserCanceled => {
                let misbehaved = PeerMisbehaved::TooManyWarningAlertsReceived;
                return count(&mut self.cancellations, CANCELLATIONS, misbehaved);
            }
            // "MUST be treated as error alerts when received regardless of the AlertLevel" (§6.2).
            _ => return Err(Error::AlertReceived(description)),
        }
        Ok(())
    }

    /// Handshake messages may share records and may go over several.
    fn take_messages(&mut self, content: &[u8]) -> Result<(), Error> {
        if content.is_empty() {
            return Err(inappropriate(ContentType::Handshake));
        }
        let mut messages = std::mem::take(&mut self.message);
        messages.extend_from_slice(content);
        let mut rest = messages.as_slice();
        while let Some((kind, body, behind)) = self.first_message(rest)? {
            match kind {
                HandshakeType::KeyUpdate => self.take_key_update(body, behind.is_empty())?,
                _ => self.rest.take_ticket(body)?,
            }
            rest = behind;
        }
        if !rest.is_empty() {
            let taken = messages.len() - rest.len();
            messages.drain(..taken);
            self.message = messages;
        }
        Ok(())
    }

    /// The message that is complete at the front, and what stands behind it. What cannot become one is
    /// refused as soon as that shows.
    #[expect(clippy::type_complexity, reason = "type, body, and what stands behind")]
    fn first_message<'m>(
        &self,
        messages: &'m [u8],
    ) -> Result<Option<(HandshakeType, &'m [u8], &'m [u8])>, Error> {
        let Some(kind) = messages.first() else { return Ok(None) };
        let kind = HandshakeType::from(*kind);
        let longest = match (kind, &self.rest) {
            (HandshakeType::KeyUpdate, _) => 1,
            (HandshakeType::NewSessionTicket, UnprocessedInput::Client(_)) => MESSAGE_BYTES,
            _ => {
                let mut expect_types = vec![HandshakeType::KeyUpdate];
                if let UnprocessedInput::Client(_) = self.rest {
                    expect_types.push(HandshakeType::NewSessionTicket);
                }
                return Err(Error::InappropriateHandshakeMessage { expect_types, got_type: kind });
            }
        };
        let Some(([_, high, middle, low], rest)) = messages.split_first_chunk() else { return Ok(None) };
        // A length of 24 bits fits.
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        if length > longest {
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        Ok(rest.split_at_checked(length).map(|(body, behind)| (kind, body, behind)))
    }

    fn take_key_update(&mut self, body: &[u8], ends_record: bool) -> Result<(), Error> {
        // "Handshake messages MUST NOT span key changes" (§5.1).
        if !ends_record {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        count(&mut self.key_updates, KEY_UPDATES, PeerMisbehaved::TooManyKeyUpdateRequests)?;
        let requested = match body {
            [0] => false,
            [1] => true,
            [] => return Err(InvalidMessage::MissingData("KeyUpdateRequest").into()),
            _ => return Err(InvalidMessage::InvalidKeyUpdate.into()),
        };
        self.read = Keys::new(match &mut self.rest {
            UnprocessedInput::Server(rest) => rest.update_rx_secret()?,
            UnprocessedInput::Client(rest) => rest.update_rx_secret()?,
        })?;
        // Requests that came before the answer could leave are answered together (§4.6.3).
        self.owes_key_update |= requested;
        Ok(())
    }

    /// Tells the peer that new keys follow, and uses them.
    fn update_write_keys(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.write.seal(ContentType::Handshake, &KEY_UPDATE, out)?;
        self.owes_key_update = false;
        self.next_write_keys()
    }

    fn next_write_keys(&mut self) -> Result<(), Error> {
        self.write = Keys::new(match &mut self.rest {
            UnprocessedInput::Server(rest) => rest.update_tx_secret()?,
            UnprocessedInput::Client(rest) => rest.update_tx_secret()?,
        })?;
        Ok(())
    }
}

impl UnprocessedInput {
    fn cipher_suite(&self) -> SupportedCipherSuite {
        match self {
            UnprocessedInput::Server(rest) => rest.negotiated_cipher_suite(),
            UnprocessedInput::Client(rest) => rest.negotiated_cipher_suite(),
        }
    }

    fn take_ticket(&mut self, body: &[u8]) -> Result<(), Error> {
        match self {
            // Refused before it comes to this.
            UnprocessedInput::Server(_) => Ok(()),
            UnprocessedInput::Client(rest) => rest.handle_new_session_ticket(body),
        }
    }
}

/// A KeyUpdate message that says update_not_requested.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// Alert levels (RFC 8446 §6).
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// After the handshake, all records are sealed.
fn check_header(kind: ContentType, major: u8) -> Result<(), Error> {
    match kind {
        ContentType::ApplicationData if major == 3 => Ok(()),
        ContentType::ApplicationData => Err(InvalidMessage::UnknownProtocolVersion.into()),
        ContentType::ChangeCipherSpec => Err(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into()),
        kind => Err(inappropriate(kind)),
    }
}

fn count(counter: &mut u8, most: u8, misbehaved: PeerMisbehaved) -> Result<(), Error> {
    if *counter >= most {
        return Err(misbehaved.into());
    }
    *counter += 1;
    Ok(())
}

fn inappropriate(got_type: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type }
}

/// How the peer is told of an error; an alert is not answered.
fn alert_for(error: &Error) -> Option<AlertDescription> {
    Some(match error {
        Error::AlertReceived(_) => return None,
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => AlertDescription::IllegalParameter,
        Error::InvalidMessage(invalid) => (*invalid).into(),
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => AlertDescription::UnexpectedMessage,
        _ => AlertDescription::InternalError,
    })
}

#[cfg(any(test, fuzzing))]
impl Records {
    /// Sends a KeyUpdate that nobody asked for.
    pub(super) fn send_key_update(&mut self, request: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        let message = [24, 0, 0, 1, request.into()];
        self.write.seal(ContentType::Handshake, &message, out)?;
        self.next_write_keys()
    }
}

#[cfg(test)]
mod tests;
