//! Listeners at many ports, and backends that are asked at the port that the client came to.

use crate::admin::{command, status};
use crate::hand_over::upgraded;
use crate::support::{
    Backend, Client, Peer, Ringway, UdpBackend, UdpClient, echo_all, eventually, expect_refused, log_entries,
};
use serde_json::json;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Where backends are; they have the ports of the listener, which is at 127.0.0.1.
const BACKENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

/// Ports in a row that are free at all addresses, of TCP and of UDP. They are none that the kernel gives to others.
fn free_ports(count: u16) -> Range<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const MANY: u16 = 20_000;
    let begin = (std::process::id() % u32::from(MANY)) as u16;
    let is_free = |port: u16| {
        [Ipv4Addr::LOCALHOST]
            .iter()
            .chain(&BACKENDS)
            .all(|ip| TcpListener::bind((*ip, port)).is_ok() && UdpSocket::bind((*ip, port)).is_ok())
    };
    let mut tries = (0..1_000).map(|_| {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        FIRST + begin.wrapping_add(step) % MANY
    });
    let first = tries.find(|first| (*first..first + count).all(is_free)).expect("some ports are free");
    first..first + count
}

/// A listener at these ports, and a group with backends without one.
fn configuration(
    (protocol, ports): (&str, &str),
    listener: &str,
    group: &str,
    backends: &[Ipv4Addr],
) -> String {
    let backends: String =
        backends.iter().map(|ip| format!("[[server_group.backend]]\naddress = \"{ip}\"\n")).collect();
    format!(
        "config_version = 1\n[process]\nworkers = 2\npin = false\n[admin]\nsocket = \"admin.sock\"\n\
         [access_log]\npath = \"access.log\"\n\
         [[listener]]\nname = \"many\"\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1\"\nports = {ports}\n\
         default_group = \"app\"\n{listener}\n[[server_group]]\nname = \"app\"\nprotocol = \"{protocol}\"\n{group}\n{backends}"
    )
}

fn listener_at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A server of FTP as far as a client needs it that fetches a file in passive mode. The file is the name of the server.
fn ftp_server(ip: Ipv4Addr, control: u16, passive: Range<u16>) -> Backend {
    Backend::script_on(&format!("{ip}:{control}"), move |peer: &mut Peer| {
        peer.write(b"220 ready\r\n")?;
        let mut data = None;
        loop {
            let line = peer.read_some()?;
            match &line[..] {
                b"" => return Ok(()),
                b"EPSV\r\n" => {
                    let mut listeners = passive.clone().map(|port| TcpListener::bind((ip, port)));
                    let listener = listeners.find_map(Result::ok).ok_or(io::ErrorKind::AddrInUse)?;
                    let port = listener.local_addr()?.port();
                    data = Some(listener);
                    peer.write(format!("229 Entering Extended Passive Mode (|||{port}|)\r\n").as_bytes())?;
                }
                b"RETR name\r\n" => {
                    let (stream, _) = data.take().ok_or(io::ErrorKind::NotConnected)?.accept()?;
                    io::Write::write_all(&mut &stream, ip.to_string().as_bytes())?;
                    drop(stream);
                    peer.write(b"226 done\r\n")?;
                }
                _ => peer.write(b"502 unknown\r\n")?,
            }
        }
    })
}

/// What a client at this address gets; its address is told in front of each connection.
fn fetch(client: u8, control: u16) -> String {
    let header = format!("PROXY TCP4 192.0.2.{client} 192.0.2.200 4000 21\r\n");
    let connect = |port: u16| Client::connect_behind(listener_at(port), header.as_bytes());
    let line = |client: &mut Client| String::from_utf8(client.read_some()).expect("it is text");
    let mut session = connect(control);
    assert_eq!(line(&mut session), "220 ready\r\n");
    session.send("EPSV\r\n");
    let told = line(&mut session);
    let port = told.split("|||").nth(1).and_then(|rest| rest.split('|').next()).expect("a port");
    let mut data = connect(port.parse().expect("a port"));
    session.send("RETR name\r\n");
    let file = String::from_utf8(data.read_to_end()).expect("it is text");
    assert_eq!(line(&mut session), "226 done\r\n");
    file
}

#[test]
fn passive_ftp_finds_the_server_of_its_session() {
    let ports = free_ports(20);
    let (control, passive) = (ports.start, ports.start + 1..ports.end);
    let servers = BACKENDS.map(|ip| ftp_server(ip, control, passive.clone()));
    let range = format!("[\"{control}\", \"{}-{}\"]", passive.start, passive.end - 1);
    let group = "max_retries = 0\nsticky = { mode = \"source_ip\", timeout = \"1h\" }";
    let text = configuration(("tcp", &range), "proxy_protocol = \"accept\"", group, &BACKENDS);
    let ringway = Ringway::start(&text);
    let mut files: Vec<String> = Vec::new();
    for client in 1..=6 {
        let file = fetch(client, control);
        // Its next session is at the same server.
        assert_eq!(fetch(client, control), file);
        files.push(file);
    }
    files.sort();
    files.dedup();
    assert_eq!(files, BACKENDS.map(|ip| ip.to_string()), "all clients are at one server");
    assert_eq!(servers.iter().map(Backend::connections).sum::<usize>(), 12);
    let entries = log_entries(&ringway, 24);
    let asked: Vec<SocketAddr> =
        entries.iter().filter_map(|entry| entry["upstream_addr"].as_str()?.parse().ok()).collect();
    assert_eq!(asked.len(), 24, "{entries:?}");
    assert_eq!(asked.iter().filter(|address| address.port() == control).count(), 12, "{asked:?}");
    let groups = status(&ringway)["groups"][0]["backends"].clone();
    let told = [&groups[0]["address"], &groups[1]["address"]].map(|address| address.as_str());
    assert_eq!(told, [Some("127.0.0.2"), Some("127.0.0.3")]);
}

#[test]
fn a_session_of_udp_goes_to_the_port_of_its_client() {
    let ports = free_ports(5);
    let (first, last) = (ports.start, ports.end - 1);
    let backends = [first, last].map(|port| {
        UdpBackend::at((BACKENDS[0], port).into(), move |came| vec![[&port.to_be_bytes(), came].concat()])
    });
    let text = configuration(("udp", &format!("\"{first}-{last}\"")), "", "", &BACKENDS[..1]);
    let ringway = Ringway::start(&text);
    for (port, backend) in [first, last].into_iter().zip(&backends) {
        let client = UdpClient::connect(listener_at(port));
        client.send("x");
        assert_eq!(client.receive(), [&port.to_be_bytes(), &b"x"[..]].concat());
        assert_eq!(backend.received(), 1);
    }
    let told = status(&ringway)["listeners"][0]["addresses"].clone();
    assert_eq!(told, json!([format!("127.0.0.1:{first}-{last}")]));
    let explained = command(&ringway, &["explain", "--listener", "many"]);
    assert!(explained.stdout.contains("at the port that the client came to"), "{}", explained.stdout);
    drop(ringway);
}

#[test]
fn ports_at_which_nobody_serves_take_no_backend_out_of_service() {
    let ports = free_ports(12);
    let _server = Backend::script_on(&format!("{}:{}", BACKENDS[0], ports.start), echo_all);
    let range = format!("\"{}-{}\"", ports.start, ports.end - 1);
    let group = "when_all_down = \"fail\"\npassive_check = { consecutive_failures = 1 }";
    let ringway = Ringway::start(&configuration(("tcp", &range), "", group, &BACKENDS[..1]));
    for port in ports.start + 1..ports.end {
        expect_refused(listener_at(port));
    }
    let entries = log_entries(&ringway, 11);
    assert!(entries.iter().all(|entry| entry["reason"] == "connect_refused"), "{entries:?}");
    let mut client = Client::connect_in_the_clear(listener_at(ports.start));
    client.send("still here");
    assert_eq!(client.read_exactly(10), b"still here");
    assert_eq!(status(&ringway)["groups"][0]["backends"][0]["state"], "unchecked");
    // It was asked for, so it is told that it cannot be.
    assert!(ringway.stderr().contains("`passive_check` has no effect"), "{}", ringway.stderr());
}

#[test]
fn ports_that_stay_keep_their_sockets() {
    let ports = free_ports(10);
    let (first, last) = (ports.start, ports.end - 1);
    let servers = ports.clone().map(|port| Backend::script_on(&format!("{}:{port}", BACKENDS[0]), echo_all));
    let _servers: Vec<Backend> = servers.collect();
    let text = |first: u16, last: u16| {
        configuration(("tcp", &format!("\"{first}-{last}\"")), "", "", &BACKENDS[..1])
    };
    let is_open = |port: u16| TcpStream::connect(listener_at(port)).is_ok();
    let echoes = |client: &mut Client| {
        client.send("abc");
        client.read_exactly(3) == b"abc"
    };
    let ringway = Ringway::start(&text(first, last - 3));
    assert!(is_open(first) && !is_open(last));
    let mut early = Client::connect_in_the_clear(listener_at(first + 4));
    let mut removed = Client::connect_in_the_clear(listener_at(first));
    assert!(echoes(&mut early) && echoes(&mut removed));
    ringway.reload(&text(first + 3, last));
    ringway.wait_for_line(&format!("closed 127.0.0.1:{first}-{} (listener \"many\")", first + 2));
    ringway.wait_for_line(&format!("listening on tcp://127.0.0.1:{}-{last} (listener \"many\")", last - 2));
    eventually("the port that was removed is closed", || !is_open(first));
    assert!((first + 3..=last).all(is_open));
    assert!(echoes(&mut early) && echoes(&mut removed), "a reload ends no connection");
    let told = status(&ringway)["listeners"][0]["addresses"].clone();
    assert_eq!(told, json!([format!("127.0.0.1:{}-{last}", first + 3)]));
    upgraded(&ringway);
    assert!((first + 3..=last).all(is_open) && !is_open(first));
    let mut late = Client::connect_in_the_clear(listener_at(last));
    assert!(echoes(&mut late) && echoes(&mut early));
}

#[test]
fn another_process_at_one_of_the_ports_is_told() {
    let ports = free_ports(6);
    let (first, last) = (ports.start, ports.end - 1);
    let _taken = TcpListener::bind(listener_at(first + 4)).expect("it is free");
    let text = configuration(("tcp", &format!("\"{first}-{last}\"")), "", "", &BACKENDS[..1]);
    let mut ringway = Ringway::spawn(&text);
    assert!(!ringway.wait_for_exit(std::time::Duration::from_secs(10)).success());
    let told = ringway.stderr_to_end();
    assert!(told.contains(&format!("listener \"many\" cannot bind 127.0.0.1:{}:", first + 4)), "{told}");
}
