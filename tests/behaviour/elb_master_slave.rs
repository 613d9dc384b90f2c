//! Master-slave pools of the ELB API: the slave serves while the master is down.

use crate::support::elb::{KEYS, TABLES, WRITER, elb, free_address, id, made, refused};
use crate::support::{Backend, Client, Ringway, Scenario, eventually};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;

fn says(word: &str) -> Backend {
    Backend::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{word}", word.len()))
}

fn start() -> (Ringway, Json, Backend) {
    let native = Backend::echo_head();
    let ringway = Scenario::of(&native).table(TABLES).file("elb.keys", KEYS).start();
    let balancer = made(&ringway, "loadbalancers", "loadbalancer", &json!({ "availability_zone_list": [] }));
    (ringway, balancer, native)
}

fn sent(balancer: &Json, members: &[(SocketAddr, &str)]) -> Json {
    let member = |(at, role): &(SocketAddr, &str)| json!({ "address": at.ip().to_string(), "protocol_port": at.port(), "role": role, "name": role });
    json!({
        "name": "pair", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": balancer["id"],
        "members": members.iter().map(member).collect::<Vec<_>>(),
        "connection_drain": { "enable": true, "timeout": 20 },
        "healthmonitor": { "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1 },
    })
}

#[test]
fn the_slave_serves_while_the_master_is_down() {
    let (ringway, balancer, _native) = start();
    let (master, slave) = (says("master"), says("slave"));
    let members = [(slave.address(), "slave"), (master.address(), "master")];
    let pool = made(&ringway, "master-slave-pools", "pool", &sent(&balancer, &members));
    assert_eq!(
        (&pool["members"][0]["role"], &pool["members"][1]["role"]),
        (&json!("slave"), &json!("master"))
    );
    assert_eq!(
        (&pool["healthmonitor"]["max_retries_down"], &pool["connection_drain"]["timeout"]),
        (&json!(1), &json!(20))
    );
    assert!(!pool.to_string().contains("master_slave"), "{pool}");
    let at = free_address();
    let listener = json!({
        "protocol": "TCP", "protocol_port": at.port(), "loadbalancer_id": balancer["id"], "default_pool_id": pool["id"],
    });
    let listener = made(&ringway, "listeners", "listener", &listener);
    let asks = || Client::connect(at).get("/").body;
    assert_eq!((asks(), asks(), asks()), (b"master".to_vec(), b"master".to_vec(), b"master".to_vec()));
    let path = format!("master-slave-pools/{}", id(&pool));
    let statuses = || {
        let shown = elb(&ringway, WRITER, ("GET", &path), &Json::Null).json();
        let members = shown["pool"]["members"].as_array().expect("it has members");
        members.iter().map(|member| member["operating_status"].to_string()).collect::<Vec<_>>().join(" ")
    };
    eventually("both are online", || statuses() == "\"ONLINE\" \"ONLINE\"");
    master.stop();
    assert_eq!(asks(), b"slave");
    eventually("the master is offline", || statuses() == "\"ONLINE\" \"OFFLINE\"");
    assert_eq!(asks(), b"slave");
    let tree = format!("loadbalancers/{}/statuses", id(&balancer));
    let tree = elb(&ringway, WRITER, ("GET", &tree), &Json::Null).json();
    let shown = &tree["statuses"]["loadbalancer"]["listeners"][0]["pools"][0];
    assert_eq!((&shown["id"], &shown["operating_status"]), (&pool["id"], &json!("DEGRADED")), "{tree}");

    assert_eq!(elb(&ringway, WRITER, ("DELETE", &path), &Json::Null).status, 204);
    refused(&elb(&ringway, WRITER, ("GET", &path), &Json::Null), 404, "ELB.8904", "there is no");
    let shown = elb(&ringway, WRITER, ("GET", &format!("listeners/{}", id(&listener))), &Json::Null).json();
    assert_eq!(shown["listener"]["default_pool_id"], Json::Null);
}

#[test]
fn it_is_made_and_deleted_as_a_whole() {
    let (ringway, balancer, _native) = start();
    let at = free_address();
    let listener =
        json!({ "protocol": "TCP", "protocol_port": at.port(), "loadbalancer_id": balancer["id"] });
    let listener = made(&ringway, "listeners", "listener", &listener);
    let backends = [says("one"), says("two")];
    let [one, two] = [backends[0].address(), backends[1].address()];
    let mut of_listener = sent(&balancer, &[(one, "master"), (two, "slave")]);
    of_listener["listener_id"] = listener["id"].clone();
    let pool = made(&ringway, "master-slave-pools", "pool", &of_listener);
    assert_eq!(pool["listeners"], json!([{ "id": listener["id"] }]));
    assert_eq!(Client::connect(at).get("/").body, b"one");
    let member = id(&pool["members"][0]);
    let count = |path: &str, list: &str| {
        elb(&ringway, WRITER, ("GET", path), &Json::Null).json()[list].as_array().map_or(9, Vec::len)
    };
    assert_eq!(
        (count("pools", "pools"), count("members", "members"), count("healthmonitors", "healthmonitors")),
        (0, 0, 0)
    );
    let address = format!("master-slave-pools?member_address={}", one.ip());
    assert_eq!((count("master-slave-pools", "pools"), count(&address, "pools")), (1, 1));
    assert_eq!(count("master-slave-pools?name=other", "pools"), 0);
    for (method, path) in [
        ("DELETE", format!("pools/{}", id(&pool))),
        ("PUT", format!("pools/{}", id(&pool))),
        ("DELETE", format!("pools/{}/members/{member}", id(&pool))),
        ("POST", format!("pools/{}/members", id(&pool))),
        ("DELETE", format!("healthmonitors/{}", id(&pool["healthmonitor"]))),
        ("DELETE", format!("master-slave-pools/{member}")),
    ] {
        let wrapper = if path.ends_with("members") { "member" } else { "pool" };
        let content = if method == "DELETE" { Json::Null } else { json!({ wrapper: {} }) };
        refused(&elb(&ringway, WRITER, (method, &path), &content), 404, "ELB.8904", "there is no");
    }
    let path = format!("loadbalancers/{}/force-elb", id(&balancer));
    assert_eq!(elb(&ringway, WRITER, ("DELETE", &path), &Json::Null).status, 204);
    assert_eq!(count("master-slave-pools", "pools"), 0);
    let kept = std::fs::read_to_string(ringway.folder().join("elb/objects.json")).expect("it is kept");
    assert!(!kept.contains(member), "{kept}");
}

#[test]
fn what_is_wrong_with_one_is_named_and_leaves_nothing() {
    let (ringway, balancer, _native) = start();
    let [one, two]: [SocketAddr; 2] =
        ["127.0.0.1:9001", "127.0.0.1:9002"].map(|at| at.parse().expect("it is one"));
    let good = || sent(&balancer, &[(one, "master"), (two, "slave")]);
    let with = |name: &str, value: Json| {
        let mut sent = good();
        sent[name] = value;
        sent
    };
    let mut monitor = good()["healthmonitor"].clone();
    monitor["type"] = json!("UDP_CONNECT");
    for (sent, words) in [
        (sent(&balancer, &[(one, "master")]), "`members` must be two"),
        (sent(&balancer, &[(one, "master"), (two, "master")]), "`members` must be two"),
        (sent(&balancer, &[(one, "master"), (two, "backup")]), "`members.role` must be one of master, slave"),
        (with("members", Json::Null), "`members` is missing"),
        (with("healthmonitor", Json::Null), "`healthmonitor` is missing"),
        (with("healthmonitor", json!({ "type": "TCP" })), "`healthmonitor.delay` is missing"),
        (with("healthmonitor", monitor), "`type` must be UDP_CONNECT"),
        (with("protocol", json!("HTTP")), "`protocol` must be one of TCP, TLS, UDP, QUIC"),
        (with("slow_start", json!({ "enable": true })), "`slow_start` is not known here"),
    ] {
        let told = elb(&ringway, WRITER, ("POST", "master-slave-pools"), &json!({ "pool": sent }));
        refused(&told, 400, "ELB.8902", words);
    }
    let twice = sent(&balancer, &[(one, "master"), (one, "slave")]);
    let told = elb(&ringway, WRITER, ("POST", "master-slave-pools"), &json!({ "pool": twice }));
    refused(&told, 409, "ELB.8907", "already");
    let list = elb(&ringway, WRITER, ("GET", "master-slave-pools"), &Json::Null).json();
    assert_eq!(list["pools"], json!([]), "{list}");
}
