//! Listeners of the ELB API whose connections and datagrams are relayed.

use crate::support::elb::{KEYS, TABLES, WRITER, elb, free_address, id, made, refused};
use crate::support::{Backend, Client, Ringway, Scenario};
use serde_json::{Value as Json, json};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

fn start(backend: &Backend) -> Ringway {
    Scenario::of(backend).table(TABLES).file("elb.keys", KEYS).start()
}

fn balancer(ringway: &Ringway) -> Json {
    made(ringway, "loadbalancers", "loadbalancer", &json!({ "availability_zone_list": [] }))
}

fn pool(ringway: &Ringway, balancer: &Json, mut more: Json, member: SocketAddr) -> Json {
    more["loadbalancer_id"] = balancer["id"].clone();
    more["lb_algorithm"] = json!("ROUND_ROBIN");
    let has_port = more["any_port_enable"] != true;
    let pool = made(ringway, "pools", "pool", &more);
    let port = if has_port { member.port() } else { 0 };
    let attributes = json!({ "address": member.ip().to_string(), "protocol_port": port });
    made(ringway, &format!("pools/{}/members", id(&pool)), "member", &attributes);
    pool
}

fn listener(ringway: &Ringway, balancer: &Json, mut more: Json) -> Json {
    more["loadbalancer_id"] = balancer["id"].clone();
    made(ringway, "listeners", "listener", &more)
}

#[test]
fn connections_are_relayed_also_at_ranges_of_ports() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let balancer = balancer(&ringway);
    let at = free_address();
    // It leads nowhere yet.
    let first = listener(&ringway, &balancer, json!({ "protocol": "TCP", "protocol_port": at.port() }));
    assert_eq!(first["keepalive_timeout"], 300);
    let reset = TcpStream::connect(at).and_then(|mut stream| stream.read(&mut [0]));
    assert!(!matches!(reset, Ok(1)), "{reset:?}");
    let group = pool(&ringway, &balancer, json!({ "protocol": "TCP" }), backend.address());
    let path = format!("listeners/{}", id(&first));
    let change = json!({ "listener": { "default_pool_id": group["id"] } });
    let told = elb(&ringway, WRITER, ("PUT", &path), &change);
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(Client::connect(at).get("/").status, 200);

    let (one, other) = (free_address(), free_address());
    let ranges = json!([
        { "start_port": one.port(), "end_port": one.port() }, { "start_port": other.port(), "end_port": other.port() },
    ]);
    let more = json!({ "protocol": "TCP", "port_ranges": ranges, "default_pool_id": group["id"] });
    let second = listener(&ringway, &balancer, more);
    assert_eq!((&second["protocol_port"], &second["port_ranges"]), (&json!(0), &ranges));
    assert_eq!((Client::connect(one).get("/").status, Client::connect(other).get("/").status), (200, 200));
    let taken = json!({ "listener": {
        "protocol": "HTTP", "protocol_port": one.port(), "loadbalancer_id": balancer["id"],
    } });
    let told = elb(&ringway, WRITER, ("POST", "listeners"), &taken);
    refused(&told, 409, "ELB.8907", "`protocol_port`");
    // A backend without a port is asked at the one that the client came to.
    let any =
        pool(&ringway, &balancer, json!({ "protocol": "TCP", "any_port_enable": true }), backend.address());
    let members = elb(&ringway, WRITER, ("GET", &format!("pools/{}/members", id(&any))), &Json::Null).json();
    assert_eq!(members["members"][0]["protocol_port"], 0, "{members}");
}

#[test]
fn datagrams_are_relayed_and_their_backends_probed() {
    let native = Backend::echo_head();
    let ringway = start(&native);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let backend = socket.local_addr().expect("it has an address");
    thread::spawn(move || {
        let mut datagram = [0; 100];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..length], from);
        }
    });
    let balancer = balancer(&ringway);
    let group = pool(&ringway, &balancer, json!({ "protocol": "UDP" }), backend);
    let monitor =
        json!({ "pool_id": group["id"], "type": "UDP_CONNECT", "delay": 1, "timeout": 1, "max_retries": 1 });
    made(&ringway, "healthmonitors", "healthmonitor", &monitor);
    let at = free_address();
    let more = json!({ "protocol": "UDP", "protocol_port": at.port(), "default_pool_id": group["id"] });
    listener(&ringway, &balancer, more);
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it can wait");
    client.send_to(b"hello", at).expect("it is sent");
    let mut answer = [0; 100];
    let (length, from) = client.recv_from(&mut answer).expect("an answer comes");
    assert_eq!((&answer[..length], from), (&b"hello"[..], at));
    // Ports of TCP are apart from those of UDP.
    listener(&ringway, &balancer, json!({ "protocol": "HTTP", "protocol_port": at.port() }));
}

#[test]
fn what_does_not_go_with_a_protocol_is_named() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let balancer = balancer(&ringway);
    let http = pool(&ringway, &balancer, json!({ "protocol": "HTTP" }), backend.address());
    for (sent, words) in [
        (
            json!({ "protocol": "TCP", "protocol_port": 9000, "gzip_enable": true }),
            "`gzip_enable` is not taken",
        ),
        (
            json!({ "protocol": "UDP", "protocol_port": 9000, "client_timeout": 5 }),
            "`client_timeout` is not taken",
        ),
        (
            json!({ "protocol": "TCP", "protocol_port": 9000, "insert_headers": { "X-Real-IP": true } }),
            "`insert_headers.X-Real-IP` is not taken",
        ),
        (
            json!({ "protocol": "TCP", "protocol_port": 9000, "keepalive_timeout": 5 }),
            "`keepalive_timeout` must be",
        ),
        (json!({ "protocol": "TLS", "protocol_port": 9000 }), "`default_tls_container_ref` is missing: TLS"),
        (
            json!({ "protocol": "QUIC", "protocol_port": 9000 }),
            "`default_tls_container_ref` is missing: QUIC",
        ),
        (
            json!({ "protocol": "TCP", "protocol_port": 9000, "proxy_protocol_enable": true }),
            "`proxy_protocol_enable`",
        ),
        (json!({ "protocol": "TCP" }), "`protocol_port` is missing"),
        (
            json!({ "protocol": "HTTP", "port_ranges": [{ "start_port": 1, "end_port": 2 }] }),
            "`port_ranges` are not",
        ),
        (
            json!({ "protocol": "TCP", "port_ranges": [{ "start_port": 9, "end_port": 2 }] }),
            "`port_ranges` must begin before",
        ),
        (
            json!({ "protocol": "TCP", "protocol_port": 9000, "default_pool_id": http["id"] }),
            "`default_pool_id` has the protocol HTTP",
        ),
        (json!({ "protocol": "IP", "protocol_port": 0 }), "`protocol` must be one of"),
    ] {
        let mut sent = sent;
        sent["loadbalancer_id"] = balancer["id"].clone();
        let told = elb(&ringway, WRITER, ("POST", "listeners"), &json!({ "listener": sent }));
        refused(&told, 400, "ELB.8902", words);
    }
}

#[test]
fn what_does_not_go_with_a_group_is_named() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let balancer = balancer(&ringway);
    for (sent, words) in [
        (
            json!({ "protocol": "TCP", "session_persistence": { "type": "HTTP_COOKIE" } }),
            "`session_persistence.type`",
        ),
        (json!({ "protocol": "TCP", "lb_algorithm": "QUIC_CID" }), "`lb_algorithm` is not taken"),
        (json!({ "protocol": "HTTP", "any_port_enable": true }), "`any_port_enable` is not taken"),
        (
            json!({ "protocol": "HTTP", "connection_drain": { "enable": true } }),
            "`connection_drain` is not taken",
        ),
    ] {
        let mut sent = sent;
        sent["loadbalancer_id"] = balancer["id"].clone();
        if sent["lb_algorithm"].is_null() {
            sent["lb_algorithm"] = json!("ROUND_ROBIN");
        }
        let told = elb(&ringway, WRITER, ("POST", "pools"), &json!({ "pool": sent }));
        refused(&told, 400, "ELB.8902", words);
    }
}
