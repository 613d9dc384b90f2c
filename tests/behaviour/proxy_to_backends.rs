//! The PROXY header in front of everything that a backend gets.

use crate::support::tls::{Issuer, client_config, server_config, versioned_config};
use crate::support::{
    Backend, BackendVersion, Client, PATIENCE, Pair, Peer, Ringway, Scenario, eventually, over_tls, within,
};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A header as a backend got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    /// All of it.
    bytes: Vec<u8>,
    /// None: from who speaks for itself.
    addresses: Option<(SocketAddr, SocketAddr)>,
    tlvs: BTreeMap<u8, Vec<u8>>,
}

const ALPN: u8 = 1;
const AUTHORITY: u8 = 2;
const CRC32C: u8 = 3;
const UNIQUE_ID: u8 = 5;
const SSL: u8 = 0x20;

/// Takes the header off a connection; it must be there in whole when anything is. None: nothing came.
fn take_header(peer: &Peer) -> io::Result<Option<Header>> {
    let mut stream = peer.stream();
    let mut seen = [0; 4096];
    let looked = within(PATIENCE, || match stream.peek(&mut seen) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        result => Some(result),
    });
    let count = looked.expect("a header comes")?;
    let seen = &seen[..count];
    if seen.is_empty() {
        return Ok(None);
    }
    let header = if seen.starts_with(b"PROXY ") { version_1(seen) } else { version_2(seen) };
    let mut taken = vec![0; header.bytes.len()];
    stream.read_exact(&mut taken)?;
    Ok(Some(header))
}

fn version_1(seen: &[u8]) -> Header {
    let end = seen.windows(2).position(|pair| pair == b"\r\n").expect("the line came in one piece") + 2;
    let line = std::str::from_utf8(&seen[..end - 2]).expect("it is text");
    let words: Vec<_> = line.split(' ').collect();
    let addresses = match words[..] {
        ["PROXY", "UNKNOWN"] => None,
        ["PROXY", "TCP4" | "TCP6", from, to, from_port, to_port] => {
            let address = |ip: &str, port: &str| {
                SocketAddr::new(ip.parse().expect("an address"), port.parse().expect("a port"))
            };
            Some((address(from, from_port), address(to, to_port)))
        }
        _ => panic!("{line}"),
    };
    Header { bytes: seen[..end].to_vec(), addresses, tlvs: BTreeMap::new() }
}

fn version_2(seen: &[u8]) -> Header {
    assert!(seen.starts_with(b"\r\n\r\n\0\r\nQUIT\n"), "{}", seen.escape_ascii());
    let length = 16 + usize::from(u16::from_be_bytes([seen[14], seen[15]]));
    assert!(seen.len() >= length, "the header came in one piece");
    assert!(length <= 348);
    let payload = &seen[16..length];
    let (addresses, tlvs) = match (seen[12], seen[13]) {
        (0x20, 0) => (None, payload),
        (0x21, 0x11) => {
            let address = |ip: usize, port: usize| {
                let ip: [u8; 4] = payload[ip..ip + 4].try_into().expect("four bytes");
                SocketAddr::from((ip, u16::from_be_bytes([payload[port], payload[port + 1]])))
            };
            (Some((address(0, 8), address(4, 10))), &payload[12..])
        }
        other => panic!("{other:x?}"),
    };
    Header { bytes: seen[..length].to_vec(), addresses, tlvs: tlvs_of(tlvs) }
}

fn tlvs_of(mut bytes: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut tlvs = BTreeMap::new();
    while let [kind, high, low, rest @ ..] = bytes {
        let (value, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        assert!(tlvs.insert(*kind, value.to_vec()).is_none(), "two of {kind:#x}");
        bytes = rest;
    }
    assert!(bytes.is_empty());
    tlvs
}

/// A backend that expects a header, tells it, and answers each request with the number of the connection.
fn backend(version: BackendVersion) -> (Backend, Receiver<Header>) {
    let (sender, headers) = channel();
    let backend =
        Backend::script(move |peer| if tell_header(peer, &sender)? { serve(peer, version) } else { Ok(()) });
    (backend, headers)
}

/// Whether a connection has begun.
fn tell_header(peer: &Peer, sender: &Sender<Header>) -> io::Result<bool> {
    let Some(header) = take_header(peer)? else { return Ok(false) };
    sender.send(header).map_err(|_| ErrorKind::BrokenPipe)?;
    Ok(true)
}

fn serve(peer: &mut Peer, version: BackendVersion) -> io::Result<()> {
    let number = peer.number.to_string();
    match version {
        BackendVersion::Http1 => {
            while peer.read_request()?.is_some() {
                peer.respond("200 OK", number.as_bytes())?;
            }
        }
        BackendVersion::Http2 => {
            let mut end = peer.http2(&[])?;
            while let Some(stream) = end.next_request()? {
                end.respond(stream, "200", number.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn next(headers: &Receiver<Header>) -> Header {
    headers.recv_timeout(PATIENCE).expect("a connection")
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

#[test]
fn both_versions_tell_of_the_client_in_front_of_everything() {
    for version in ["v1", "v2"] {
        let (backend, headers) = backend(BackendVersion::Http1);
        let ringway = Scenario::of(&backend).group(&format!("proxy_protocol = \"{version}\"")).start();
        let mut client = Client::connect(ringway.address());
        assert_eq!(client.get("/").text(), "0");
        let header = next(&headers);
        assert_eq!(header.addresses, Some((client.local_address(), ringway.address())), "{version}");
        if version == "v2" {
            assert!(header.tlvs.contains_key(&CRC32C));
            assert_eq!(header.tlvs.contains_key(&SSL), over_tls());
        }
    }
}

#[test]
fn a_connection_serves_one_client_alone() {
    Pair::each(|pair| {
        let (backend, headers) = backend(pair.backend);
        let ringway = pair.scenario(&backend).group("proxy_protocol = \"v2\"").start();
        let mut clients: Vec<_> = (0..3).map(|_| pair.connect(ringway.address())).collect();
        for round in 0..3 {
            for (index, client) in clients.iter_mut().enumerate() {
                let answer = client.get("/");
                assert_eq!(answer.body, index.to_string().as_bytes(), "in round {round}");
            }
        }
        assert_eq!(backend.connections(), 3);
        let mut ports: Vec<u16> = (0..3).map(|_| next(&headers).addresses.unwrap().0.port()).collect();
        ports.dedup();
        assert_eq!(ports.len(), 3, "{ports:?}");
        // Nothing of a client is left when it has gone.
        drop(clients.remove(0));
        eventually("its connection is closed", || backend.open_connections() == 2);
        assert_eq!(clients[0].get("/").body, b"1");
        drop(clients);
        eventually("all are closed", || backend.open_connections() == 0);
    });
}

#[test]
fn without_the_key_clients_share_connections() {
    let backend =
        Backend::per_request(|peer, _, _| peer.respond("200 OK", peer.number.to_string().as_bytes()));
    let ringway = Ringway::in_front_of(&[backend.address()]);
    for _ in 0..3 {
        assert_eq!(Client::connect(ringway.address()).get("/").text(), "0");
    }
}

#[test]
fn idle_connections_of_a_client_count_and_expire() {
    let (backend, _headers) = backend(BackendVersion::Http1);
    let scenario = Scenario::of(&backend).group("proxy_protocol = \"v2\"").workers(1);
    let ringway = scenario.group("keepalive_timeout = \"1s\"").group("keepalive_connections = 2").start();
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(ringway.address())).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    eventually("the third is not kept", || backend.open_connections() == 2);
    eventually("nothing is kept for longer", || backend.open_connections() == 0);
    // What they counted for is free again.
    assert_eq!(clients[2].get("/").text(), "3");
    assert_eq!(clients[2].get("/").text(), "3");
}

#[test]
fn what_a_backend_has_closed_is_not_used_again() {
    let (sender, headers) = channel();
    let backend = Backend::script(move |peer| {
        if tell_header(peer, &sender)? && peer.read_request()?.is_some() {
            peer.respond("200 OK", peer.number.to_string().as_bytes())?;
        }
        Ok(())
    });
    let ringway = Scenario::of(&backend).group("proxy_protocol = \"v1\"").start();
    let mut client = Client::connect(ringway.address());
    for number in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.read_response().text(), number.to_string());
        assert_eq!(next(&headers).addresses.unwrap().0, client.local_address());
        eventually("it is closed", || backend.open_connections() == 0);
    }
}

#[test]
fn another_backend_gets_the_header_as_well() {
    let (sender, first_headers) = channel();
    let failing = Backend::script(move |peer| {
        tell_header(peer, &sender)?;
        peer.read_request()?;
        Ok(())
    });
    let (serving, headers) = backend(BackendVersion::Http1);
    let scenario =
        Scenario::new().workers(1).group("proxy_protocol = \"v2\"").group("retry_on = [\"closed\"]");
    let ringway = scenario.backend(failing.address()).backend(serving.address()).start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..2 {
        assert_eq!(client.get("/").status, 200);
    }
    let told = [next(&first_headers), next(&headers)];
    for header in told {
        assert_eq!(header.addresses.unwrap().0, client.local_address());
    }
}

#[test]
fn it_stands_before_tls() {
    let issuer = Issuer::new("backends");
    let pair = issuer.server(&["backend.example"]);
    for (http2, offer) in [("false", "http/1.1"), ("true", "h2")] {
        let (sender, headers) = channel();
        let mut config = server_config(&pair, None);
        config.alpn_protocols = vec![offer.as_bytes().to_vec()];
        let config = Arc::new(config);
        let backend = Backend::script(move |peer| {
            if !tell_header(peer, &sender)? {
                return Ok(());
            }
            let session = rustls::ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            peer.secure(session.into())?;
            serve(peer, if offer == "h2" { BackendVersion::Http2 } else { BackendVersion::Http1 })
        });
        let ringway = Scenario::of(&backend)
            .group("proxy_protocol = \"v2\"")
            .group(&format!("http2 = {http2}"))
            .group_tls("verify = \"off\"")
            .start();
        let mut clients = [Client::connect(ringway.address()), Client::connect(ringway.address())];
        for _ in 0..2 {
            for (index, client) in clients.iter_mut().enumerate() {
                assert_eq!(client.get("/").text(), index.to_string(), "{offer}");
            }
        }
        for client in &clients {
            assert_eq!(next(&headers).addresses.unwrap().0, client.local_address());
        }
    }
}

#[test]
fn what_a_header_in_front_says_goes_on() {
    let tlvs: &[u8] = b"\x02\0\x0cedge.example\xea\0\x04vpce\x04\0\x01-\x05\0\x81";
    let incoming = |tlvs: &[u8]| {
        let addresses = b"\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x34\x01\xbb";
        let length = (addresses.len() + tlvs.len()) as u16;
        let front = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
        [&front[..], &length.to_be_bytes(), addresses, tlvs].concat()
    };
    let header_bytes = incoming(&[tlvs, &[b'x'; 129]].concat());
    for (version, tlvs, passed) in [("v1", "drop", false), ("v2", "drop", false), ("v2", "pass", true)] {
        let (backend, headers) = backend(BackendVersion::Http1);
        let ringway = Scenario::of(&backend)
            .listener("proxy_protocol = \"accept\"")
            .group(&format!("proxy_protocol = \"{version}\"\nproxy_protocol_tlvs = \"{tlvs}\""))
            .start();
        let mut client = Client::connect_behind(ringway.address(), &header_bytes);
        assert_eq!(client.get("/").status, 200);
        let header = next(&headers);
        let told = ("192.0.2.7:4660".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
        assert_eq!(header.addresses, Some(told), "{version} {tlvs}");
        assert_eq!(header.tlvs.get(&0xea).is_some_and(|value| value == b"vpce"), passed);
        // Under TLS, what this client named counts.
        let is_edge = header.tlvs.get(&AUTHORITY).is_some_and(|value| value == b"edge.example");
        assert!(is_edge == passed || over_tls());
        assert!(!header.tlvs.contains_key(&4) && !header.tlvs.contains_key(&UNIQUE_ID), "{header:?}");
    }
}

#[test]
fn what_is_known_of_tls_is_told() {
    let (sites, clients) = (Issuer::new("sites"), Issuer::new("clients"));
    let site = sites.server(&["site.example"]);
    let (backend, headers) = backend(BackendVersion::Http1);
    let ringway = Scenario::of(&backend)
        .certificate("site", &site)
        .authority("clients", &clients.pem, None)
        .client_auth("optional", "clients")
        .forwarded("x_request_id = true")
        .group("proxy_protocol = \"v2\"")
        .start();
    let verified =
        versioned_config(&[&sites.pem], &[&rustls::version::TLS13], Some(&clients.client("alice")));
    let stranger = Issuer::new("strangers").client("mallory");
    let unverified = versioned_config(&[&sites.pem], &[&rustls::version::TLS12], Some(&stranger));
    for (mut config, version, bits, verdict, name) in [
        (client_config(&[&sites.pem]), "TLSv1.3", 1, 1, None),
        (verified, "TLSv1.3", 7, 0, Some("alice")),
        (unverified, "TLSv1.2", 7, 1, None),
    ] {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client =
            Client::secured(ringway.address(), &Arc::new(config), "site.example").expect("a handshake");
        assert_eq!(client.get("/").status, 200);
        let tlvs = next(&headers).tlvs;
        assert_eq!(tlvs[&AUTHORITY], b"site.example");
        assert_eq!(tlvs[&ALPN], b"http/1.1");
        assert_eq!(tlvs[&UNIQUE_ID].len(), 32);
        let ssl = &tlvs[&SSL];
        assert_eq!((ssl[0], u32::from_be_bytes(ssl[1..5].try_into().unwrap())), (bits, verdict), "{name:?}");
        let parts = tlvs_of(&ssl[5..]);
        assert_eq!(parts[&0x21], version.as_bytes());
        assert_eq!(parts.get(&0x22).map(Vec::as_slice), name.map(str::as_bytes));
        assert!(!parts[&0x23].is_empty());
        assert_eq!(parts[&0x24], b"ecdsa-with-SHA256");
        assert_eq!(parts[&0x25], b"EC256");
    }
}

#[test]
fn a_question_and_a_copy_name_the_same_client() {
    let (backend, headers) = backend(BackendVersion::Http1);
    let (asked, asked_headers) = self::backend(BackendVersion::Http1);
    let (copied, copied_headers) = self::backend(BackendVersion::Http1);
    let group = |name: &str, backend: &Backend| {
        format!(
            "[[server_group]]\nname = \"{name}\"\nproxy_protocol = \"v2\"\n\
             [[server_group.backend]]\naddress = \"{}\"\n",
            backend.address()
        )
    };
    let ringway = Scenario::of(&backend)
        .group("proxy_protocol = \"v2\"")
        .table(&group("auth", &asked))
        .table(&group("copies", &copied))
        .table(
            "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/\"\ngroup = \"app\"\n\
             forward_auth = { group = \"auth\", path = \"/ask\" }\nmirror = { group = \"copies\" }\n",
        )
        .start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "0");
    }
    let address = client.local_address();
    for headers in [&headers, &asked_headers, &copied_headers] {
        assert_eq!(next(headers).addresses.unwrap().0, address);
    }
    drop(client);
    for backend in [&backend, &asked, &copied] {
        eventually("nothing is left of the client", || backend.open_connections() == 0);
    }
}

#[test]
fn probes_name_no_client() {
    for (version, protocol) in [("v1", "http"), ("v2", "http"), ("v2", "tcp"), ("v1", "tcp")] {
        let (backend, headers) = backend(BackendVersion::Http1);
        let _ringway = Scenario::of(&backend)
            .group(&format!("proxy_protocol = \"{version}\""))
            .group_table(&format!(
                "[server_group.health_check]\nprotocol = \"{protocol}\"\ninterval = \"1s\"\ntimeout = \"1s\"\n"
            ))
            .start();
        let header = next(&headers);
        if version == "v2" {
            assert_eq!(header.bytes, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "{protocol}");
        } else {
            // Its own ends: Apache takes no UNKNOWN.
            let (from, to) = header.addresses.expect("two addresses");
            assert!(is_loopback(from) && to == backend.address(), "{from} {to}, {protocol}");
        }
    }
}

#[test]
fn a_probe_of_another_port_has_no_header() {
    let (backend, headers) = backend(BackendVersion::Http1);
    let health = Backend::per_request(|peer, _, _| peer.respond("200 OK", b""));
    let _ringway = Scenario::of(&backend)
        .group("proxy_protocol = \"v2\"")
        .group_table(&format!(
            "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\nport = {}\n",
            health.address().port()
        ))
        .start();
    eventually("it is asked", || health.requests() > 1);
    assert!(headers.try_recv().is_err());
}

#[test]
fn relayed_connections_begin_with_it() {
    for version in ["v1", "v2"] {
        let (sender, headers) = channel();
        // It speaks first, as mail and databases do.
        let backend = Backend::script(move |peer| {
            tell_header(peer, &sender)?;
            peer.write(b"hello")?;
            let asked = peer.read_exactly(3)?;
            peer.write(&asked)
        });
        let ringway = Ringway::start(&format!(
            "config_version = 1\n[process]\nworkers = 1\npin = false\n[[listener]]\nname = \"mail\"\nprotocol = \"tcp\"\n\
             address = \"127.0.0.1:0\"\nproxy_protocol = \"accept\"\ndefault_group = \"mail\"\n\
             [[server_group]]\nname = \"mail\"\nprotocol = \"tcp\"\nproxy_protocol = \"{version}\"\n{}\
             [[server_group.backend]]\naddress = \"{}\"\n",
            if version == "v2" { "proxy_protocol_tlvs = \"pass\"\n" } else { "" },
            backend.address()
        ));
        let mut client = Client::connect_in_the_clear(ringway.address());
        client.send(
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x34\x01\xbb\xea\0\x02id",
        );
        assert_eq!(client.read_exactly(5), b"hello");
        client.send(b"abc");
        assert_eq!(client.read_exactly(3), b"abc");
        let header = next(&headers);
        let told = ("192.0.2.7:4660".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
        assert_eq!(header.addresses, Some(told));
        assert_eq!(header.tlvs.get(&0xea).is_some_and(|value| value == b"id"), version == "v2");
    }
}

#[test]
fn a_reload_switches_it_on_and_off() {
    let (expecting, headers) = backend(BackendVersion::Http1);
    let plain = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"plain"));
    let with = Scenario::of(&expecting).group("proxy_protocol = \"v2\"");
    let ringway = Scenario::of(&plain).start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").text(), "plain");
    ringway.reload(&with.text());
    assert_eq!(client.get("/").text(), "0");
    let header = next(&headers);
    assert_eq!(header.addresses.unwrap().0, client.local_address());
    assert!(is_loopback(header.addresses.unwrap().1));
    // That it came over TLS is told even so.
    assert_eq!(header.tlvs.contains_key(&SSL), over_tls());
    ringway.reload(&Scenario::of(&plain).text());
    assert_eq!(client.get("/").text(), "plain");
    std::thread::sleep(Duration::from_millis(10));
}
