//! Facts out of arbitrary bytes, and what must hold of the headers that tell them.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use crate::proto::proxy_protocol::parse::HeaderParse;
use crate::proto::proxy_protocol::parse::ProxyHeader;
use crate::proto::proxy_protocol::parse::parse;
use crate::proto::proxy_protocol::tlv;
use crate::proto::proxy_protocol::tlv::Tlvs;
use crate::proto::proxy_protocol::write::HeaderBytes;
use crate::proto::proxy_protocol::write::HeaderFacts;
use crate::proto::proxy_protocol::write::ProxiedCertificate;
use crate::proto::proxy_protocol::write::ProxiedTls;
use crate::proto::proxy_protocol::write::ProxiedTransport;
use crate::proto::proxy_protocol::write::of_one_family;
use crate::proto::proxy_protocol::write::write_v1;
use crate::proto::proxy_protocol::write::write_v2;

/// What is written is read back as it was meant, whatever a client or the hop before us chose of it.
pub fn fuzz_written_header(bytes: &[u8]) {
    let mut input = bytes;
    let client = address(&mut input);
    let destination = address(&mut input);
    let [choice] = take(&mut input);
    let transport = if choice & 1 == 0 { ProxiedTransport::Tcp } else { ProxiedTransport::Udp };
    let tls = (choice & 2 != 0).then(|| tls(&mut input, choice));
    let unique_id = text(&mut input);
    let facts = HeaderFacts {
        client,
        destination,
        transport,
        tls: tls.as_ref(),
        passed_name: "",
        unique_id,
        received: input,
    };
    check(&facts);
}

/// The next bytes, and zeros behind the last one.
fn take<const COUNT: usize>(input: &mut &[u8]) -> [u8; COUNT] {
    let (front, rest) = input.split_at(COUNT.min(input.len()));
    *input = rest;
    let mut taken = [0; COUNT];
    taken.iter_mut().zip(front).for_each(|(to, from)| *to = *from);
    taken
}

fn text<'b>(input: &mut &'b [u8]) -> &'b [u8] {
    let [length] = take(input);
    let (front, rest) = input.split_at(usize::from(length).min(input.len()));
    *input = rest;
    front
}

fn address(input: &mut &[u8]) -> SocketAddr {
    let [family] = take(input);
    let ip: IpAddr = match family % 3 {
        0 => Ipv4Addr::from(take::<4>(input)).into(),
        1 => Ipv6Addr::from(take::<16>(input)).into(),
        _ => Ipv4Addr::from(take::<4>(input)).to_ipv6_mapped().into(),
    };
    SocketAddr::new(ip, u16::from_be_bytes(take(input)))
}

fn tls(input: &mut &[u8], choice: u8) -> ProxiedTls {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
    let has_certificate = choice & 4 != 0;
    ProxiedTls {
        alpn: text(input).into(),
        server_name: name(text(input)),
        version: if choice & 8 == 0 { "TLSv1.3" } else { "" },
        cipher: if choice & 16 == 0 { "TLS_AES_128_GCM_SHA256" } else { "" },
        signature_algorithm: if choice & 32 == 0 { "ecdsa-with-SHA256" } else { "" },
        key_algorithm: name(text(input)),
        certificate: has_certificate.then(|| ProxiedCertificate {
            common_name: name(text(input)),
            is_verified: choice & 64 != 0,
            is_of_session: choice & 128 != 0,
        }),
    }
}

fn read_back(header: &HeaderBytes) -> ProxyHeader<'_> {
    match parse(header) {
        Ok(HeaderParse::Complete(read)) => {
            assert_eq!(read.length, header.len());
            read
        }
        other => panic!("{other:?}: {}", header.escape_ascii()),
    }
}

fn check(facts: &HeaderFacts<'_>) {
    let (client, destination) = of_one_family(facts);
    let version_1 = write_v1(facts);
    let read = read_back(&version_1);
    assert_eq!(read.source, (facts.transport == ProxiedTransport::Tcp).then_some(client));
    let version_2 = write_v2(facts);
    let read = read_back(&version_2);
    assert_eq!((read.source, read.destination), (Some(client), Some(destination)));
    assert_eq!(client.ip().to_canonical(), facts.client.ip().to_canonical());
    let told: Vec<_> = Tlvs::new(read.tlvs).collect();
    let of = |kind: u8| told.iter().filter(move |(told, _)| *told == kind).map(|(_, value)| *value);
    let came: Vec<_> = Tlvs::new(facts.received).collect();
    for (kind, value) in &told {
        let is_ours = match *kind {
            tlv::CRC32C => true,
            tlv::SSL => facts.tls.is_some(),
            tlv::ALPN => facts.tls.is_some_and(|tls| *tls.alpn == **value),
            tlv::AUTHORITY => facts.tls.is_some_and(|tls| tls.server_name.as_bytes() == *value),
            tlv::UNIQUE_ID => facts.unique_id == *value,
            _ => false,
        };
        assert!(is_ours || came.contains(&(*kind, *value)), "{kind:#x}");
    }
    assert!(of(tlv::CRC32C).count() <= 1);
    let Some(tls) = facts.tls else { return };
    let ssl: Vec<_> = of(tlv::SSL).collect();
    let [[client_bits, verify @ ..]] = ssl[..] else { panic!("{ssl:?}") };
    let (verify, parts) = verify.split_first_chunk::<4>().expect("a verdict");
    let is_verified = tls.certificate.as_ref().is_some_and(|shown| shown.is_verified);
    assert_eq!(*verify == [0; 4], is_verified);
    assert_eq!(client_bits & tlv::CLIENT_CERTIFICATE_IN_SESSION != 0, tls.certificate.is_some());
    let common_name = Tlvs::new(parts).find(|(kind, _)| *kind == tlv::SSL_COMMON_NAME);
    let shown = tls.certificate.as_ref().map_or("", |shown| &shown.common_name);
    assert!(common_name.is_none_or(|(_, value)| value == shown.as_bytes()));
}
