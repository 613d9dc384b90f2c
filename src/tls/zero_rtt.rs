//! Early data of a client (RFC 8446 §2.3) that resumes a session of some other server, or one of ours that is
//! over: the server has no key for it and skips it.
//!
//! rustls has a mode for this, but looks at each skipped record again whenever more bytes come and counts it
//! each time, so that it gives up long before its limit. Therefore no such record is shown to it.

use std::cell::Cell;
use std::cell::RefCell;

use aws_lc_rs::hkdf;
use rustls::CommonState;
use rustls::KeyLog;
use rustls::ProtocolVersion;

use crate::tls::framing::begins_with_record;
use crate::tls::framing::whole_record;
use crate::tls::record::keys::Keys;

/// Bytes of early data that are skipped, the overhead of its records included. Servers commonly allow 16 KiB
/// of content, some nearly 64 KiB. Each record costs a decryption that fails, so this bounds those, too.
const MAX_SKIPPED_BYTES: usize = 72 * 1024;

const APPLICATION_DATA: u8 = 23;

/// What rustls calls the secret that protects the rest of a client's handshake.
const HANDSHAKE_SECRET: &str = "CLIENT_HANDSHAKE_TRAFFIC_SECRET";

thread_local! {
    /// Whether the handshake that is advanced on this thread right now has early data to be skipped.
    static IS_WANTED: Cell<bool> = const { Cell::new(false) };
    /// Its secret, from when rustls derives it until [`RejectedZeroRtt::learn`].
    static SECRET: RefCell<Option<hkdf::Prk>> = const { RefCell::new(None) };
}

/// Takes the one secret that tells early data from the handshake, of connections with early data. None of it
/// is written anywhere.
#[derive(Debug)]
pub(super) struct HandshakeSecret;

impl KeyLog for HandshakeSecret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let hash = match secret.len() {
            32 => hkdf::HKDF_SHA256,
            48 => hkdf::HKDF_SHA384,
            _ => return,
        };
        if self.will_log(label) {
            SECRET.set(Some(hkdf::Prk::new_less_safe(hash, secret)));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        IS_WANTED.get() && label == HANDSHAKE_SECRET
    }
}

/// While it lives, the handshake that is advanced on this thread tells its secret.
pub(super) struct Listening;

impl Listening {
    pub(super) fn begin() -> Listening {
        IS_WANTED.set(true);
        Listening
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        IS_WANTED.set(false);
        SECRET.set(None);
    }
}

/// The early data of one handshake, none of which is wanted.
#[derive(Default)]
pub(super) struct RejectedZeroRtt {
    skipped_bytes: usize,
    /// What opens the client's first record behind its early data; None before our ServerHello.
    keys: Option<Keys>,
}

/// What the next bytes are.
pub(super) enum NextRecord {
    /// So many bytes of early data, to be forgotten.
    EarlyData(usize),
    /// Nothing that can be told from early data yet.
    Unknown,
    /// The handshake goes on; no early data follows.
    Handshake,
}

impl RejectedZeroRtt {
    /// Takes over the secret, once the handshake has come to it.
    pub(super) fn learn(&mut self, connection: &CommonState) {
        if self.keys.is_none()
            && let Some(secret) = SECRET.take()
            && let Some(suite) = connection.negotiated_cipher_suite()
        {
            self.keys = Keys::derived(suite.suite(), &secret);
        }
    }

    /// What stands at the front of what came. After a HelloRetryRequest, that is any record with content
    /// until the second ClientHello; after our ServerHello any record that the client's keys do not open
    /// (RFC 8446 §4.2.10).
    pub(super) fn next(&mut self, connection: &CommonState, incoming: &[u8]) -> NextRecord {
        if !begins_with_record(incoming) || connection.protocol_version().is_none() {
            return NextRecord::Unknown;
        }
        let record = whole_record(incoming);
        let is_over = connection.protocol_version() != Some(ProtocolVersion::TLSv1_3)
            || self.skipped_bytes + record.len() > MAX_SKIPPED_BYTES;
        if is_over {
            return NextRecord::Handshake;
        }
        if record.first() != Some(&APPLICATION_DATA) {
            return NextRecord::Unknown;
        }
        if self.keys.as_ref().is_some_and(|keys| keys.fit(record)) {
            return NextRecord::Handshake;
        }
        self.skipped_bytes += record.len();
        NextRecord::EarlyData(record.len())
    }
}
