//! Writes a header, into memory of a fixed size.

/// What must hold of every header.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::proto::proxy_protocol::SIGNATURE;
use crate::proto::proxy_protocol::V2_PREFIX_BYTES;
use crate::proto::proxy_protocol::crc32c::crc32c_with_gap;
use crate::proto::proxy_protocol::tlv;
use crate::proto::proxy_protocol::tlv::PREFIX_BYTES;
use crate::proto::proxy_protocol::tlv::Tlvs;

/// The longest header that every reader takes that we know of: Varnish refuses one of 349 bytes, Postfix takes 536,
/// nginx 1,024. What does not fit is left out, the least useful first.
pub const MAX_HEADER_BYTES: usize = 348;

const CHECKSUM_BYTES: usize = 4;

/// A written header.
pub type HeaderBytes = ArrayVec<u8, MAX_HEADER_BYTES>;

/// Of version 1, from who does not say for whom it speaks (§2.1).
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// What a header tells.
#[derive(Clone, Copy, Debug)]
pub struct HeaderFacts<'f> {
    /// Who connected.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub destination: SocketAddr,
    pub transport: ProxiedTransport,
    /// None: the client came without TLS.
    pub tls: Option<&'f ProxiedTls>,
    /// The name that the client asks for in TLS that is passed on to the backend. Empty: none, or it is not known.
    pub passed_name: &'f str,
    /// By what the connection is known in our logs. Empty, or longer than [`tlv::MAX_UNIQUE_ID_BYTES`]: it is not told.
    pub unique_id: &'f [u8],
    /// TLVs to pass on, as a header brought them; but for the types that are written here.
    pub received: &'f [u8],
}

impl<'f> HeaderFacts<'f> {
    /// The name that the client asked for, wherever its TLS ends.
    fn authority(&self) -> &'f str {
        self.tls.map_or(self.passed_name, |tls| &tls.server_name)
    }
}

/// How the client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxiedTransport {
    Tcp,
    Udp,
}

/// What a header tells of the client's TLS connection. What is empty is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxiedTls {
    /// The protocol agreed on (RFC 7301).
    pub alpn: Box<[u8]>,
    /// The name that the client asked for.
    pub server_name: Box<str>,
    /// As OpenSSL names it: `TLSv1.3`.
    pub version: &'static str,
    /// Likewise: `TLS_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// What the certificate that the client was shown is signed with: `ecdsa-with-SHA256`.
    pub signature_algorithm: &'static str,
    /// What its key is: `RSA2048`, `EC256`.
    pub key_algorithm: Box<str>,
    /// None: the client showed no certificate.
    pub certificate: Option<ProxiedCertificate>,
}

/// A certificate of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxiedCertificate {
    /// From its subject. Empty: it has none.
    pub common_name: Box<str>,
    pub is_verified: bool,
    /// It was shown in the handshake of a session that this connection resumes.
    pub is_of_session: bool,
}

/// Writes a header of version 1 (§2.1). It knows TCP alone: for UDP it says that it does not know.
pub fn write_v1(facts: &HeaderFacts<'_>) -> HeaderBytes {
    let mut out = HeaderBytes::new();
    if facts.transport == ProxiedTransport::Udp {
        put(&mut out, UNKNOWN);
        return out;
    }
    let (client, destination) = of_one_family(facts);
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let addresses = (client.ip(), destination.ip(), client.port(), destination.port());
    let (from, to, from_port, to_port) = addresses;
    // It cannot fail: a line has 107 bytes at most.
    let _ = write!(out, "PROXY {family} {from} {to} {from_port} {to_port}\r\n");
    out
}

/// Writes a header of version 2 (§2.2), with all TLVs that fit.
pub fn write_v2(facts: &HeaderFacts<'_>) -> HeaderBytes {
    const PROXY: u8 = 0x21;
    let mut out = HeaderBytes::new();
    put(&mut out, SIGNATURE);
    let (client, destination) = of_one_family(facts);
    let family = if client.is_ipv4() { 0x10 } else { 0x20 };
    let transport = match facts.transport {
        ProxiedTransport::Tcp => 1,
        ProxiedTransport::Udp => 2,
    };
    put(&mut out, &[PROXY, family | transport, 0, 0]);
    put_ip(&mut out, client.ip());
    put_ip(&mut out, destination.ip());
    put(&mut out, &client.port().to_be_bytes());
    put(&mut out, &destination.port().to_be_bytes());
    let has_checksum = put_tlvs(&mut out, facts);
    let length = (out.len() - V2_PREFIX_BYTES) as u16;
    overwrite(&mut out, V2_PREFIX_BYTES - 2, &length.to_be_bytes());
    if has_checksum {
        fill_checksum_in(&mut out);
    }
    out
}

/// The addresses, an IPv4 address beside one of IPv6 as IPv6 has it (RFC 4291 §2.5.5.2): a header has one family.
fn of_one_family(facts: &HeaderFacts<'_>) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, destination) = (canonical(facts.client), canonical(facts.destination));
    if client.is_ipv4() == destination.is_ipv4() {
        return (client, destination);
    }
    let widened = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (widened(client), widened(destination))
}

fn put_ip(out: &mut HeaderBytes, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => put(out, &ip.octets()),
        IpAddr::V6(ip) => put(out, &ip.octets()),
    }
}

/// What is left of a header for TLVs that are yet to be written.
struct Room(usize);

impl Room {
    /// Keeps room for a TLV with this value; false if there is none, or nothing to tell.
    fn take(&mut self, value: &[u8]) -> bool {
        let bytes = PREFIX_BYTES + value.len();
        let fits = !value.is_empty() && bytes <= self.0;
        if fits {
            self.0 -= bytes;
        }
        fits
    }
}

/// In the order of their use for who reads them, so that what has no room is what is missed least. What clients choose
/// (the name that they ask for, their certificate) stands behind what the hop before us says, which they must not drive
/// out. True if the last one is a checksum that is yet to be filled in.
fn put_tlvs(out: &mut HeaderBytes, facts: &HeaderFacts<'_>) -> bool {
    let mut room = Room(MAX_HEADER_BYTES - out.len());
    let mut ssl = facts.tls.map(|tls| SslTlv::begin(tls, &mut room));
    put_received(out, facts, &mut room);
    if let Some(tls) = facts.tls {
        let common_name = tls.certificate.as_ref().map_or("", |shown| &shown.common_name);
        ssl.iter_mut().for_each(|ssl| ssl.add(tlv::SSL_COMMON_NAME, common_name, &mut room));
        put_if_room(out, tlv::ALPN, &tls.alpn, &mut room);
    }
    put_if_room(out, tlv::AUTHORITY, facts.authority().as_bytes(), &mut room);
    if facts.unique_id.len() <= tlv::MAX_UNIQUE_ID_BYTES {
        put_if_room(out, tlv::UNIQUE_ID, facts.unique_id, &mut room);
    }
    if let (Some(tls), Some(ssl)) = (facts.tls, &mut ssl) {
        ssl.add(tlv::SSL_CIPHER, tls.cipher, &mut room);
        ssl.add(tlv::SSL_KEY_ALGORITHM, &tls.key_algorithm, &mut room);
        ssl.add(tlv::SSL_SIGNATURE_ALGORITHM, tls.signature_algorithm, &mut room);
        ssl.put(out);
    }
    put_if_room(out, tlv::CRC32C, &[0; CHECKSUM_BYTES], &mut room)
}

/// Passes on what a header brought.
fn put_received(out: &mut HeaderBytes, facts: &HeaderFacts<'_>, room: &mut Room) {
    let tls = facts.tls;
    for (kind, value) in Tlvs::new(facts.received) {
        let is_kept = match kind {
            tlv::CRC32C | tlv::NOOP => false,
            tlv::SSL => tls.is_none(),
            tlv::ALPN => tls.is_none_or(|tls| tls.alpn.is_empty()),
            tlv::AUTHORITY => facts.authority().is_empty(),
            tlv::UNIQUE_ID => facts.unique_id.is_empty() && value.len() <= tlv::MAX_UNIQUE_ID_BYTES,
            _ => true,
        };
        if is_kept && room.0 >= PREFIX_BYTES + value.len() {
            room.0 -= PREFIX_BYTES + value.len();
            put_tlv(out, kind, value);
        }
    }
}

/// The TLV of what is known of TLS, with those within it that have found room (§2.2.6).
struct SslTlv<'t> {
    client: u8,
    is_verified: bool,
    parts: ArrayVec<(u8, &'t str), 5>,
}

impl<'t> SslTlv<'t> {
    /// Bits and verdict, in front of the parts.
    const FIXED_BYTES: usize = 5;

    fn begin(tls: &'t ProxiedTls, room: &mut Room) -> SslTlv<'t> {
        let shown = tls.certificate.as_ref();
        let certificate = shown.map_or(0, |shown| match shown.is_of_session {
            true => tlv::CLIENT_CERTIFICATE_IN_SESSION,
            false => tlv::CLIENT_CERTIFICATE_ON_CONNECTION | tlv::CLIENT_CERTIFICATE_IN_SESSION,
        });
        // Behind the addresses there is room for it.
        room.take(&[0; SslTlv::FIXED_BYTES]);
        let mut begun = SslTlv {
            client: tlv::CLIENT_SSL | certificate,
            is_verified: shown.is_some_and(|shown| shown.is_verified),
            parts: ArrayVec::new(),
        };
        begun.add(tlv::SSL_VERSION, tls.version, room);
        begun
    }

    fn add(&mut self, kind: u8, value: &'t str, room: &mut Room) {
        if !self.parts.is_full() && room.take(value.as_bytes()) {
            self.parts.push((kind, value));
        }
    }

    fn put(&self, out: &mut HeaderBytes) {
        let parts = self.parts.iter().map(|(_, value)| PREFIX_BYTES + value.len()).sum::<usize>();
        put_prefix(out, tlv::SSL, SslTlv::FIXED_BYTES + parts);
        put(out, &[self.client]);
        // "zero if the client presented a certificate and it was successfully verified, and non-zero otherwise"
        put(out, &u32::from(!self.is_verified).to_be_bytes());
        self.parts.iter().for_each(|(kind, value)| put_tlv(out, *kind, value.as_bytes()));
    }
}

fn put_if_room(out: &mut HeaderBytes, kind: u8, value: &[u8], room: &mut Room) -> bool {
    let fits = room.take(value);
    if fits {
        put_tlv(out, kind, value);
    }
    fits
}

fn put_tlv(out: &mut HeaderBytes, kind: u8, value: &[u8]) {
    put_prefix(out, kind, value.len());
    put(out, value);
}

fn put_prefix(out: &mut HeaderBytes, kind: u8, length: usize) {
    // What fits into a header is shorter than 64 KiB.
    let [high, low] = (length as u16).to_be_bytes();
    put(out, &[kind, high, low]);
}

/// The last bytes of the header become its checksum.
fn fill_checksum_in(out: &mut HeaderBytes) {
    let gap = out.len() - CHECKSUM_BYTES;
    let checksum = crc32c_with_gap(out, gap);
    overwrite(out, gap, &checksum.to_be_bytes());
}

fn overwrite(out: &mut HeaderBytes, place: usize, bytes: &[u8]) {
    if let Some(old) = out.get_mut(place..place + bytes.len()) {
        old.copy_from_slice(bytes);
    }
}

/// Who writes has looked for room.
fn put(out: &mut HeaderBytes, bytes: &[u8]) {
    let written = out.try_extend_from_slice(bytes);
    debug_assert!(written.is_ok(), "{} bytes behind {}", bytes.len(), out.len());
}
