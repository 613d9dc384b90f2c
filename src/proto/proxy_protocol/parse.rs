//! Reads a header.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use crate::proto::proxy_protocol::SIGNATURE;
use crate::proto::proxy_protocol::V2_PREFIX_BYTES;
use crate::proto::proxy_protocol::crc32c::crc32c_with_gap;
use crate::proto::proxy_protocol::tlv;
use crate::proto::proxy_protocol::tlv::Tlvs;

/// What a look at the received bytes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderParse<'b> {
    /// Valid so far; look again when more has come.
    Incomplete,
    Complete(ProxyHeader<'b>),
}

/// Who connected to whom, as the hop before us tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader<'b> {
    /// Absent when the sender speaks for itself (LOCAL), does not know, or names no IP address: then
    /// the addresses of the connection itself count (§2.1, §2.2).
    pub source: Option<SocketAddr>,
    pub destination: Option<SocketAddr>,
    /// The header's bytes; what follows is the connection's own.
    pub length: usize,
    /// What version 2 tells besides, for [`Tlvs`]; empty when the sender speaks for itself.
    pub tlvs: &'b [u8],
}

/// The peer does not speak the protocol, or speaks it wrongly. The connection must be closed (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// Neither version begins like this.
    NoSignature,
    /// The line of version 1 breaks §2.1.
    BadLine,
    /// No line end within [`MAX_LINE_BYTES`].
    LineTooLong,
    BadVersion,
    BadCommand,
    BadFamily,
    /// The addresses do not fit into the announced length.
    BadLength,
    /// The announced length is beyond [`MAX_PAYLOAD_BYTES`].
    TooLong,
    /// The TLVs do not fill the announced length exactly.
    BadTlv,
    /// A checksum is there and does not agree (§2.2.3).
    BadChecksum,
}

impl ProxyError {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            ProxyError::NoSignature => "proxy_no_signature",
            ProxyError::BadLine => "proxy_bad_line",
            ProxyError::LineTooLong => "proxy_line_too_long",
            ProxyError::BadVersion => "proxy_bad_version",
            ProxyError::BadCommand => "proxy_bad_command",
            ProxyError::BadFamily => "proxy_bad_family",
            ProxyError::BadLength => "proxy_bad_length",
            ProxyError::TooLong => "proxy_too_long",
            ProxyError::BadTlv => "proxy_bad_tlv",
            ProxyError::BadChecksum => "proxy_bad_checksum",
        }
    }
}

/// Reads the header that must stand before anything else on the connection.
pub fn parse(bytes: &[u8]) -> Result<HeaderParse<'_>, ProxyError> {
    if bytes.first() == SIGNATURE.first() { parse_v2(bytes) } else { parse_v1(bytes) }
}

/// §2.1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`.
fn parse_v1(bytes: &[u8]) -> Result<HeaderParse<'_>, ProxyError> {
    if !starts_alike(bytes, b"PROXY ") {
        return Err(ProxyError::NoSignature);
    }
    let bytes = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_LINE_BYTES {
            Ok(HeaderParse::Incomplete)
        } else {
            Err(ProxyError::LineTooLong)
        };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).ok_or(ProxyError::BadLine)?;
    let (source, destination) = parse_line(line).ok_or(ProxyError::BadLine)?;
    Ok(HeaderParse::Complete(ProxyHeader { source, destination, length: end + 1, tlvs: b"" }))
}

fn parse_line(line: &str) -> Option<(Option<SocketAddr>, Option<SocketAddr>)> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        // "the receiver must ignore anything presented before the CRLF is found"
        return (!line.contains('\r')).then_some((None, None));
    }
    let address = |word: Option<&str>| match family {
        "TCP4" => word?.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => word?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let (source, destination) = (address(words.next())?, address(words.next())?);
    let (source_port, destination_port) = (parse_port(words.next()?)?, parse_port(words.next()?)?);
    let addresses = (SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port));
    words.next().is_none().then_some((Some(addresses.0), Some(addresses.1)))
}

/// Decimal, without a sign; a leading zero stands only in `0` itself.
fn parse_port(word: &str) -> Option<u16> {
    let canonical = word == "0" || word.starts_with(|first: char| matches!(first, '1'..='9'));
    if canonical { word.parse().ok() } else { None }
}

/// §2.2: signature, version and command, family and transport, length, addresses, TLVs.
fn parse_v2(bytes: &[u8]) -> Result<HeaderParse<'_>, ProxyError> {
    if !starts_alike(bytes, SIGNATURE) {
        return Err(ProxyError::NoSignature);
    }
    let mut fields = bytes.iter().skip(SIGNATURE.len()).copied();
    let command = match fields.next() {
        None => return Ok(HeaderParse::Incomplete),
        Some(0x20) => ProxyCommand::Local,
        Some(0x21) => ProxyCommand::Proxy,
        Some(byte) if byte >> 4 != 2 => return Err(ProxyError::BadVersion),
        Some(_) => return Err(ProxyError::BadCommand),
    };
    let family = match fields.next() {
        None => return Ok(HeaderParse::Incomplete),
        Some(byte) if byte & 0xf > 2 || byte >> 4 > 3 => return Err(ProxyError::BadFamily),
        Some(byte) => byte,
    };
    let (Some(high), Some(low)) = (fields.next(), fields.next()) else {
        return Ok(HeaderParse::Incomplete);
    };
    let payload_length = usize::from(u16::from_be_bytes([high, low]));
    if payload_length > MAX_PAYLOAD_BYTES {
        return Err(ProxyError::TooLong);
    }
    let length = V2_PREFIX_BYTES + payload_length;
    let Some(header) = bytes.get(..length) else {
        return Ok(HeaderParse::Incomplete);
    };
    let payload = header.get(V2_PREFIX_BYTES..).unwrap_or_default();
    // "the receiver must accept this connection as valid and must use the real connection endpoints and
    // discard the protocol block including the family which is ignored"
    let ((source, destination), tlvs) = match command {
        ProxyCommand::Local => ((None, None), &b""[..]),
        ProxyCommand::Proxy => parse_payload(family, payload, header)?,
    };
    Ok(HeaderParse::Complete(ProxyHeader { source, destination, length, tlvs }))
}

enum ProxyCommand {
    Local,
    Proxy,
}

/// Source and destination.
type HeaderAddresses = (Option<SocketAddr>, Option<SocketAddr>);

/// The addresses, and the TLVs behind them.
fn parse_payload<'b>(
    family: u8,
    payload: &'b [u8],
    header: &[u8],
) -> Result<(HeaderAddresses, &'b [u8]), ProxyError> {
    let address_bytes = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    let (addresses, tlvs) = payload.split_at_checked(address_bytes).ok_or(ProxyError::BadLength)?;
    check_tlvs(tlvs, header)?;
    // Transport 0 means that the sender does not know what it forwards; then its addresses say nothing.
    if family & 0xf == 0 {
        return Ok(((None, None), tlvs));
    }
    let addresses = match family >> 4 {
        1 => parse_addresses::<4>(addresses),
        2 => parse_addresses::<16>(addresses),
        _ => None,
    };
    Ok((addresses.unzip(), tlvs))
}

/// Source address, destination address, source port, destination port, all in network order.
fn parse_addresses<const SIZE: usize>(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; SIZE]>,
{
    let (source, rest) = bytes.split_first_chunk::<SIZE>()?;
    let (destination, rest) = rest.split_first_chunk::<SIZE>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let destination_port = rest.first_chunk()?;
    Some((
        SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(*source_port)),
        SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes(*destination_port)),
    ))
}

/// Nothing of them is used but a checksum over the header.
fn check_tlvs(bytes: &[u8], header: &[u8]) -> Result<(), ProxyError> {
    let mut tlvs = Tlvs::new(bytes);
    while let Some((kind, value)) = tlvs.next() {
        if kind == tlv::CRC32C {
            let expected = value.try_into().map(u32::from_be_bytes).map_err(|_| ProxyError::BadTlv)?;
            let at = header.len() - tlvs.rest().len() - value.len();
            if crc32c_with_gap(header, at) != expected {
                return Err(ProxyError::BadChecksum);
            }
        }
    }
    if tlvs.rest().is_empty() { Ok(()) } else { Err(ProxyError::BadTlv) }
}

/// Whether what is there agrees with `expected` as far as both go.
fn starts_alike(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, expected)| byte == expected)
}

/// "a 108-byte buffer is always enough to store all the line and a trailing zero" (§2.1).
pub const MAX_LINE_BYTES: usize = 107;

/// After the first 16 bytes. The specification sets no bound; the largest thing senders put there is a
/// client certificate.
pub const MAX_PAYLOAD_BYTES: usize = 4096;

/// A header is complete at one length only: shorter pieces are incomplete or wrong in the same way, and
/// what follows it changes nothing.
#[cfg(any(test, fuzzing))]
pub fn fuzz_proxy_protocol(bytes: &[u8]) {
    let whole = parse(bytes);
    let outcomes = (0..=bytes.len()).map(|cut| parse(bytes.get(..cut).unwrap_or_default()));
    let decided = outcomes.enumerate().find(|(_, outcome)| *outcome != Ok(HeaderParse::Incomplete));
    match decided {
        None => assert_eq!(whole, Ok(HeaderParse::Incomplete)),
        Some((cut, outcome)) => {
            assert_eq!(outcome, whole);
            assert!(cut <= V2_PREFIX_BYTES + MAX_PAYLOAD_BYTES);
            if let Ok(HeaderParse::Complete(header)) = outcome {
                assert_eq!(header.length, cut);
                assert_eq!(header.source.is_some(), header.destination.is_some());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<Option<(&str, &str)>, ProxyError>) {
        let mut with_more = input.to_vec();
        with_more.extend_from_slice(b"GET");
        let expected_parse = expected.map(|addresses| {
            let parsed = addresses.map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
            let (source, destination) = parsed.unzip();
            HeaderParse::Complete(ProxyHeader { source, destination, length: input.len(), tlvs: b"" })
        });
        let parsed = parse(&with_more).map(|parsed| match parsed {
            HeaderParse::Complete(header) => HeaderParse::Complete(ProxyHeader { tlvs: b"", ..header }),
            HeaderParse::Incomplete => HeaderParse::Incomplete,
        });
        assert_eq!(parsed, expected_parse, "{:?}", input.escape_ascii().to_string());
        // Cut anywhere, it is incomplete or fails for the same reason, and never completes.
        for cut in 0..input.len() {
            let part = parse(input.get(..cut).unwrap());
            let same_fault = part.is_err() && part == expected_parse;
            assert!(part == Ok(HeaderParse::Incomplete) || same_fault, "cut at {cut}: {part:?}");
        }
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(payload.len() as u16).to_be_bytes()[..], payload].concat()
    }

    const IPV4: &[u8] = b"\x0a\0\0\x01\x0a\0\0\x02\x30\x39\x01\xbb";
    const IPV4_TEXT: Option<(&str, &str)> = Some(("10.0.0.1:12345", "10.0.0.2:443"));

    #[test]
    fn version_1() {
        check(b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n", Ok(IPV4_TEXT));
        check(b"PROXY TCP6 ::1 2001:db8::2 0 65535\r\n", Ok(Some(("[::1]:0", "[2001:db8::2]:65535"))));
        check(b"PROXY UNKNOWN\r\n", Ok(None));
        check(b"PROXY UNKNOWN ffff:f... whatever 1\r\n", Ok(None));
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.256 1 2\r\n",
            "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
            "PROXY UNKNOWN\rX\r\n",
            "PROXY UNKNOWNX\r\n",
        ] {
            check(line.as_bytes(), Err(ProxyError::BadLine));
        }
        let padded = |length: usize| [b"PROXY UNKNOWN ", &vec![b'x'; length - 16][..], b"\r\n"].concat();
        check(&padded(MAX_LINE_BYTES), Ok(None));
        check(&padded(MAX_LINE_BYTES + 1), Err(ProxyError::LineTooLong));
    }

    #[test]
    fn no_header_at_all_is_seen_at_once() {
        for input in [&b"G"[..], b"POST", b"PROXX", b"\x16\x03", b"\r\n\r\n\0\r\nQUIT\r", b"\r\nGET"] {
            assert_eq!(parse(input), Err(ProxyError::NoSignature));
        }
        assert_eq!(parse(b""), Ok(HeaderParse::Incomplete));
    }

    #[test]
    fn version_2() {
        check(&v2(0x21, 0x11, IPV4), Ok(IPV4_TEXT));
        check(&v2(0x21, 0x12, IPV4), Ok(IPV4_TEXT));
        let ipv6 = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 16], &[0, 1, 0, 2]].concat();
        check(&v2(0x21, 0x21, &ipv6), Ok(Some(("[::1]:1", "[::]:2"))));
        check(&v2(0x21, 0x31, &[0; 216]), Ok(None));
        check(&v2(0x21, 0x00, b""), Ok(None));
        check(&v2(0x21, 0x10, IPV4), Ok(None));
        check(&v2(0x20, 0x00, b""), Ok(None));
        check(&v2(0x20, 0x11, b"junk"), Ok(None));
        check(&v2(0x21, 0x11, &[IPV4, b"\x04\0\x02ab\x20\0\0"].concat()), Ok(IPV4_TEXT));
        check(&v2(0x21, 0x11, IPV4.get(..11).unwrap()), Err(ProxyError::BadLength));
        check(&v2(0x21, 0x21, IPV4), Err(ProxyError::BadLength));
        check(&v2(0x21, 0x11, &[IPV4, b"\x04\0"].concat()), Err(ProxyError::BadTlv));
        check(&v2(0x21, 0x11, &[IPV4, b"\x04\0\x03ab"].concat()), Err(ProxyError::BadTlv));
        check(&v2(0x11, 0x11, IPV4), Err(ProxyError::BadVersion));
        check(&v2(0x22, 0x11, IPV4), Err(ProxyError::BadCommand));
        check(&v2(0x21, 0x13, IPV4), Err(ProxyError::BadFamily));
        check(&v2(0x21, 0x41, IPV4), Err(ProxyError::BadFamily));
        check(&v2(0x20, 0, &[0; MAX_PAYLOAD_BYTES]), Ok(None));
        check(&v2(0x20, 0, &[0; MAX_PAYLOAD_BYTES + 1]), Err(ProxyError::TooLong));
    }

    #[test]
    fn tlvs_are_handed_out() {
        let tlvs_of = |input: &[u8]| match parse(input) {
            Ok(HeaderParse::Complete(header)) => header.tlvs.to_vec(),
            other => panic!("{other:?}"),
        };
        let tlvs = b"\x02\0\x03a.b\xea\0\0";
        assert_eq!(tlvs_of(&v2(0x21, 0x11, &[IPV4, tlvs].concat())), tlvs);
        assert_eq!(tlvs_of(&v2(0x21, 0x31, &[&[0; 216][..], tlvs].concat())), tlvs);
        assert_eq!(tlvs_of(&v2(0x20, 0x11, &[IPV4, tlvs].concat())), b"");
        assert_eq!(tlvs_of(b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n"), b"");
        let told: Vec<_> = Tlvs::new(tlvs).collect();
        assert_eq!(told, [(tlv::AUTHORITY, &b"a.b"[..]), (0xea, b"")]);
    }

    #[test]
    fn checksums_are_verified() {
        let mut header = v2(0x21, 0x11, &[IPV4, b"\x03\0\x04\0\0\0\0\x04\0\x01x"].concat());
        let crc = crc32c_with_gap(&header, 31).to_be_bytes();
        header.splice(31..35, crc);
        check(&header, Ok(IPV4_TEXT));
        *header.get_mut(34).unwrap() ^= 1;
        check(&header, Err(ProxyError::BadChecksum));
        check(&v2(0x21, 0x11, &[IPV4, b"\x03\0\x03abc"].concat()), Err(ProxyError::BadTlv));
    }
}
