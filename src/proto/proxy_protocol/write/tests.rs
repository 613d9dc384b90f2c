use crate::proto::proxy_protocol::V2_PREFIX_BYTES;
use crate::proto::proxy_protocol::tlv;
use crate::proto::proxy_protocol::tlv::Tlvs;
use crate::proto::proxy_protocol::write::HeaderFacts;
use crate::proto::proxy_protocol::write::MAX_HEADER_BYTES;
use crate::proto::proxy_protocol::write::ProxiedCertificate;
use crate::proto::proxy_protocol::write::ProxiedTls;
use crate::proto::proxy_protocol::write::ProxiedTransport;
use crate::proto::proxy_protocol::write::UNKNOWN;
use crate::proto::proxy_protocol::write::fuzz::fuzz_written_header;
use crate::proto::proxy_protocol::write::write_v1;
use crate::proto::proxy_protocol::write::write_v2;

fn facts<'f>(client: &str, destination: &str) -> HeaderFacts<'f> {
    HeaderFacts {
        client: client.parse().unwrap(),
        destination: destination.parse().unwrap(),
        transport: ProxiedTransport::Tcp,
        tls: None,
        unique_id: b"",
        passed_name: "",
        received: b"",
    }
}

fn tls() -> ProxiedTls {
    ProxiedTls {
        alpn: b"h2"[..].into(),
        server_name: "shop.example".into(),
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        signature_algorithm: "ecdsa-with-SHA256",
        key_algorithm: "EC256".into(),
        certificate: Some(ProxiedCertificate {
            common_name: "alice".into(),
            is_verified: true,
            is_of_session: false,
        }),
    }
}

/// Types, and values as text.
fn told(header: &[u8], addresses: usize) -> Vec<(u8, String)> {
    let tlvs = Tlvs::new(header.get(V2_PREFIX_BYTES + addresses..).unwrap());
    tlvs.map(|(kind, value)| (kind, value.escape_ascii().to_string())).collect()
}

#[test]
fn version_1_has_a_line() {
    let line = |client, destination| {
        let header = write_v1(&facts(client, destination));
        String::from_utf8(header.to_vec()).unwrap()
    };
    assert_eq!(line("10.0.0.1:1", "10.0.0.2:443"), "PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n");
    assert_eq!(line("[2001:db8::7]:1", "[::1]:443"), "PROXY TCP6 2001:db8::7 ::1 1 443\r\n");
    assert_eq!(line("10.0.0.1:1", "[::1]:443"), "PROXY TCP6 ::ffff:10.0.0.1 ::1 1 443\r\n");
    assert_eq!(line("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:2"), "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
    let udp = HeaderFacts { transport: ProxiedTransport::Udp, ..facts("10.0.0.1:1", "10.0.0.2:53") };
    assert_eq!(&write_v1(&udp)[..], UNKNOWN);
}

#[test]
fn version_2_has_bytes() {
    let header = write_v2(&facts("10.0.0.1:12345", "10.0.0.2:443"));
    let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\x0a\0\0\x01\x0a\0\0\x02\x30\x39\x01\xbb\x03\0\x04";
    assert!(header.starts_with(expected), "{}", header.escape_ascii());
    let udp = HeaderFacts { transport: ProxiedTransport::Udp, ..facts("10.0.0.1:1", "[::1]:53") };
    let header = write_v2(&udp);
    assert_eq!(header.get(13), Some(&0x22));
    let mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01\0\0\0\0";
    assert_eq!(header.get(16..36), Some(&mapped[..]));
}

#[test]
fn what_is_known_of_tls_is_told() {
    let tls = tls();
    let facts = HeaderFacts { tls: Some(&tls), unique_id: b"7f3b", ..facts("10.0.0.1:1", "10.0.0.2:443") };
    let header = write_v2(&facts);
    let told = told(&header, 12);
    let kinds: Vec<u8> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [tlv::ALPN, tlv::AUTHORITY, tlv::UNIQUE_ID, tlv::SSL, tlv::CRC32C]);
    let ssl = "\\x07\\x00\\x00\\x00\\x00!\\x00\\x07TLSv1.3\\\"\\x00\\x05alice#\\x00\\x16TLS_AES_128_GCM_SHA256\
               %\\x00\\x05EC256$\\x00\\x11ecdsa-with-SHA256";
    assert_eq!(told.get(3).unwrap().1, ssl);
}

#[test]
fn what_is_of_little_use_makes_room() {
    let mut tls = tls();
    let long_name = "n".repeat(200);
    tls.server_name = long_name.as_str().into();
    let received = b"\xea\0\x14aws-vpce-12345678901";
    let facts = HeaderFacts {
        tls: Some(&tls),
        unique_id: &[b'u'; 32],
        received,
        ..facts("[2001:db8::7]:1", "[::1]:443")
    };
    let header = write_v2(&facts);
    assert_eq!(header.len(), MAX_HEADER_BYTES - 4);
    let told = told(&header, 36);
    let kinds: Vec<u8> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [0xea, tlv::ALPN, tlv::AUTHORITY, tlv::UNIQUE_ID, tlv::SSL]);
    let ssl = &told.last().unwrap().1;
    assert!(ssl.contains("alice") && !ssl.contains("TLS_AES"), "{ssl}");
}

#[test]
fn what_came_is_passed_on_but_for_what_is_written_here() {
    let received =
        b"\x01\0\x02h3\x02\0\x01a\x03\0\x04abcd\x04\0\x01-\x05\0\x02id\x20\0\x05\x01\0\0\0\x01\xee\0\x05\x01abcd\xe0\0\0";
    let plain = HeaderFacts { received, ..facts("10.0.0.1:1", "10.0.0.2:443") };
    let kinds = |facts: &HeaderFacts<'_>| -> Vec<u8> {
        told(&write_v2(facts), 12).iter().map(|(kind, _)| *kind).collect()
    };
    assert_eq!(kinds(&plain), [1, 2, 5, 0x20, 0xee, 0xe0, 3]);
    let tls = ProxiedTls { server_name: "".into(), ..tls() };
    // A name that is looked up in what is passed on stands for what the hop before us has told of one.
    let passed = HeaderFacts { passed_name: "site.example", ..plain };
    let authority = |facts: &HeaderFacts<'_>| {
        let tlvs = told(&write_v2(facts), 12);
        tlvs.into_iter()
            .filter(|(kind, _)| *kind == tlv::AUTHORITY)
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    assert_eq!(authority(&passed), ["site.example"]);
    assert_eq!(authority(&plain), ["a"]);
    let secure = HeaderFacts { tls: Some(&tls), unique_id: b"u", ..plain };
    assert_eq!(kinds(&secure), [2, 0xee, 0xe0, 1, 5, 0x20, 3]);
    let long = [&b"\x05\0\x81"[..], &[b'x'; 129], b"\xea\0\x01a"].concat();
    assert_eq!(kinds(&HeaderFacts { received: &long, ..plain }), [0xea, 3]);
}

#[test]
fn headers_are_read_back_as_they_were_meant() {
    let mut state = 7u64;
    for length in 0..2_000 {
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..length % 700).map(|_| random()).collect();
        fuzz_written_header(&bytes);
    }
}
