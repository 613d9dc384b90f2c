//! What of a request, of a connection or of a datagram decides which backend it goes to.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::http::head::RequestHead;
use crate::policy::balance::cookies;
use crate::policy::balance::quic_ids;

/// What a consistent hash is taken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The value of this parameter of the query.
    Query(String),
    /// The first value of this header field; lower case.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
    Path,
    /// The address of the client, as trusted proxies tell it.
    SourceIp,
    /// Address and port of the client, and the port that it came to. Of connections and datagrams.
    Tuple,
    /// So many bytes from there of the destination connection ID of QUIC (RFC 9000 §5.1); the tuple where there are none. Of
    /// datagrams.
    QuicConnectionId {
        /// At most 19.
        offset: u8,
        /// 1 to 20, and no more than the longest ID has behind the offset.
        length: u8,
    },
}

/// What is known of a connection, or of a client's datagrams, before anything is passed on.
#[derive(Clone, Copy, Debug)]
pub struct FlowStart<'f> {
    pub client: SocketAddr,
    /// The port that the client came to.
    pub port: u16,
    /// The first datagram; empty for connections.
    pub datagram: &'f [u8],
}

impl HashKey {
    /// The hash of the key of a request; none if the request lacks it or leaves it empty.
    pub fn hash(&self, head: &RequestHead<'_, '_>, client: IpAddr) -> Option<u64> {
        let value = match self {
            HashKey::Query(name) => parameter(head.target.path_and_query, name)?,
            HashKey::Header(name) => header(head, name)?,
            HashKey::Cookie(name) => cookies::find(head.headers, name)?,
            HashKey::Path => path(head.target.path_and_query),
            HashKey::SourceIp => return Some(hash_of_address(client)),
            HashKey::Tuple | HashKey::QuicConnectionId { .. } => return None,
        };
        (!value.is_empty()).then(|| hash(value))
    }

    /// The hash of the key of a connection or of datagrams; none of what only requests have.
    pub fn hash_of_flow(&self, flow: &FlowStart<'_>) -> Option<u64> {
        match self {
            HashKey::SourceIp => Some(hash_of_address(flow.client.ip())),
            HashKey::Tuple => Some(hash_of_tuple(flow)),
            HashKey::QuicConnectionId { offset, length } => {
                let range = usize::from(*offset)..usize::from(*offset) + usize::from(*length);
                let id = quic_ids::part_of_destination(flow.datagram, range);
                Some(id.map_or_else(|| hash_of_tuple(flow), hash))
            }
            HashKey::Query(_) | HashKey::Header(_) | HashKey::Cookie(_) | HashKey::Path => None,
        }
    }
}

/// The hash of a client's address; an IPv4 address has one, however it is written.
pub fn hash_of_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

fn hash_of_tuple(flow: &FlowStart<'_>) -> u64 {
    mix(hash_of_address(flow.client.ip()) ^ u64::from(flow.client.port()) << 16 ^ u64::from(flow.port))
}

/// A hash that is the same on every machine and in every version, because a fleet must agree on it:
/// FNV-1a, whose bits [`mix`] makes equally good.
pub fn hash(bytes: &[u8]) -> u64 {
    let absorb = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, absorb))
}

/// Spreads every bit of a number over all bits, one to one (the finalizer of splitmix64).
pub fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// The first value of a parameter, as it was sent.
fn parameter<'b>(path_and_query: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let query = path_and_query.iter().position(|&byte| byte == b'?')? + 1;
    path_and_query.get(query..)?.split(|&byte| byte == b'&').find_map(|parameter| {
        let rest = parameter.strip_prefix(name.as_bytes())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"=") }
    })
}

fn header<'b>(head: &RequestHead<'_, 'b>, name: &str) -> Option<&'b [u8]> {
    let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(field.value)
}

fn path(path_and_query: &[u8]) -> &[u8] {
    match path_and_query.split(|&byte| byte == b'?').next() {
        // A query without a path stands for one behind `/`.
        None | Some(b"") => b"/",
        Some(path) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Method;
    use crate::http::head::Target;
    use crate::http::head::TargetForm;
    use crate::http::head::Version;
    use crate::http::headers::Headers;

    fn key(key: &HashKey, path_and_query: &str, fields: &[(&str, &str)], client: &str) -> Option<u64> {
        let mut headers = Headers::of(fields);
        let path_and_query = path_and_query.as_bytes();
        let target = Target { raw: path_and_query, form: TargetForm::Origin, path_and_query };
        let head =
            RequestHead { method: Method::Get, target, version: Version::Http11, headers: &mut headers };
        key.hash(&head, client.parse().unwrap())
    }

    #[test]
    fn a_parameter_of_the_query() {
        let user = HashKey::Query("user".to_owned());
        for (target, expected) in [
            ("/?user=a", Some("a")),
            ("?user=a", Some("a")),
            ("/x?b=1&user=a%20b&user=c", Some("a%20b")),
            ("/?users=b&user=a", Some("a")),
            ("/?user=a=b?c", Some("a=b?c")),
            ("/user=b?x&user=a", Some("a")),
            ("/?user=&user=a", None),
            ("/?user&user=a", None),
            ("/?User=a", None),
            ("/?xuser=a", None),
            ("/?", None),
            ("/", None),
            ("*", None),
        ] {
            let expected = expected.map(|value| hash(value.as_bytes()));
            assert_eq!(key(&user, target, &[], "::1"), expected, "{target}");
        }
    }

    #[test]
    fn the_path_without_its_query() {
        for (target, path) in [("/a?b", "/a"), ("/a", "/a"), ("/", "/"), ("?b", "/"), ("/?", "/"), ("*", "*")]
        {
            let expected = Some(hash(path.as_bytes()));
            assert_eq!(key(&HashKey::Path, target, &[], "::1"), expected, "{target}");
        }
    }

    #[test]
    fn a_field_and_a_cookie() {
        let fields = [("X-User", "a"), ("x-user", "b"), ("X-Empty", ""), ("cookie", "c=1; d=2")];
        for (wanted, expected) in [
            (HashKey::Header("x-user".to_owned()), Some("a")),
            (HashKey::Header("x-empty".to_owned()), None),
            (HashKey::Header("x-other".to_owned()), None),
            (HashKey::Cookie("d".to_owned()), Some("2")),
            (HashKey::Cookie("e".to_owned()), None),
        ] {
            let expected = expected.map(|value| hash(value.as_bytes()));
            assert_eq!(key(&wanted, "/", &fields, "::1"), expected, "{wanted:?}");
        }
    }

    #[test]
    fn an_address_counts_in_any_form() {
        let of = |client| key(&HashKey::SourceIp, "/", &[], client);
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8::2"));
    }

    #[test]
    fn a_tuple_is_of_both_ends() {
        let of = |client: &str, port| {
            HashKey::Tuple.hash_of_flow(&FlowStart { client: client.parse().unwrap(), port, datagram: b"" })
        };
        let one = of("192.0.2.1:5000", 443);
        assert_eq!(one, of("[::ffff:192.0.2.1]:5000", 443));
        for other in [of("192.0.2.1:5001", 443), of("192.0.2.1:5000", 444), of("192.0.2.2:5000", 443)] {
            assert_ne!(one, other);
        }
        assert_eq!(key(&HashKey::Tuple, "/", &[], "::1"), None);
    }

    #[test]
    fn a_connection_of_quic_is_known_by_its_id_whoever_sends() {
        let quic = HashKey::QuicConnectionId { offset: 1, length: 2 };
        let of = |client: &str, datagram| {
            quic.hash_of_flow(&FlowStart { client: client.parse().unwrap(), port: 443, datagram })
        };
        let short = of("192.0.2.1:1", b"\x40\x01\x02\x03rest");
        assert_eq!(short, of("192.0.2.2:2", b"\x40\x09\x02\x03"));
        assert_eq!(short, of("192.0.2.3:3", b"\xc0\0\0\0\x01\x03\x01\x02\x03\0"));
        assert_ne!(short, of("192.0.2.1:1", b"\x40\x01\x02\x04"));
        let flow = FlowStart { client: "192.0.2.1:1".parse().unwrap(), port: 443, datagram: b"" };
        assert_eq!(of("192.0.2.1:1", b"\x40\x01"), HashKey::Tuple.hash_of_flow(&flow));
    }

    #[test]
    fn hashes_are_the_same_in_every_version() {
        for (bytes, expected) in [
            (&b""[..], 0xf52a_15e9_a9b5_e89b),
            (b"a", 0x02c0_bdbf_4814_20f8),
            (b"ringway", 0x76f6_e3bd_6cab_0f12),
        ] {
            assert_eq!(hash(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn similar_keys_spread() {
        let mut counts = [0u32; 64];
        for number in 0..64_000 {
            let hash = hash(format!("user{number}").as_bytes());
            counts[(hash % 64) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
