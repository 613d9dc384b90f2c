//! Forwarding policies, rules and IP groups of the ELB API, and what they do to requests.

use crate::support::elb::{KEYS, TABLES, WRITER, elb, free_address, id, made, refused, service};
use crate::support::{Backend, Client, Ringway, Scenario};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;

/// A listener whose default answers with `default`, and one more group for each of the words that answers with it.
struct Site {
    ringway: Ringway,
    at: SocketAddr,
    balancer: Json,
    listener: Json,
    pools: Vec<Json>,
    _backends: Vec<Backend>,
}

fn says(word: &str) -> Backend {
    Backend::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{word}", word.len()))
}

impl Site {
    fn new(words: &[&str]) -> Site {
        let backends: Vec<Backend> = ["default"].iter().chain(words).map(|word| says(word)).collect();
        let ringway = Scenario::of(&backends[0]).table(TABLES).file("elb.keys", KEYS).start();
        let at = free_address();
        let (balancer, pool, listener) = service(&ringway, at);
        let mut pools = vec![pool];
        for _ in words {
            let attributes = json!({
                "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": id(&balancer),
            });
            pools.push(made(&ringway, "pools", "pool", &attributes));
        }
        for (pool, backend) in pools.iter().zip(&backends) {
            let address = backend.address();
            let attributes = json!({ "address": address.ip().to_string(), "protocol_port": address.port() });
            made(&ringway, &format!("pools/{}/members", id(pool)), "member", &attributes);
        }
        Site { ringway, at, balancer, listener, pools, _backends: backends }
    }

    /// The content that a request gets.
    fn asks(&self, target: &str, fields: &str) -> String {
        let mut client = Client::connect(self.at);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"));
        String::from_utf8_lossy(&client.read_response().body).into_owned()
    }

    fn policy(&self, attributes: Json) -> Json {
        let mut attributes = attributes;
        attributes["listener_id"] = self.listener["id"].clone();
        made(&self.ringway, "l7policies", "l7policy", &attributes)
    }

    fn changes(&self, attributes: &Json) {
        let path = format!("listeners/{}", id(&self.listener));
        let told = elb(&self.ringway, WRITER, ("PUT", &path), &json!({ "listener": attributes }));
        assert_eq!(told.status, 200, "{}", told.text);
    }

    fn refuses(&self, (method, path): (&str, &str), sent: &Json, words: &str) {
        let told = elb(&self.ringway, WRITER, (method, path), sent);
        let code = if told.status == 409 { "ELB.8907" } else { "ELB.8902" };
        refused(&told, if code == "ELB.8907" { 409 } else { 400 }, code, words);
    }
}

#[test]
fn rules_send_requests_to_groups_in_their_order() {
    let site = Site::new(&["api", "v1"]);
    let (api, exact) = (&site.pools[1], &site.pools[2]);
    // Without rules it takes nothing yet.
    let policy = site.policy(json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": id(api) }));
    assert_eq!((&policy["priority"], &policy["rules"]), (&json!(1), &json!([])));
    assert_eq!(site.asks("/api/v1", ""), "default");
    let path = format!("l7policies/{}/rules", id(&policy));
    let rule = json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/api" });
    let rule = made(&site.ringway, &path, "rule", &rule);
    assert_eq!((site.asks("/apis", ""), site.asks("/", "")), ("api".to_owned(), "default".to_owned()));
    // Made later, and asked first: whole paths go before beginnings of them.
    site.policy(json!({
        "action": "REDIRECT_TO_POOL", "redirect_pool_id": id(exact),
        "rules": [{ "type": "PATH", "compare_type": "EQUAL_TO", "value": "/api/v1" }],
    }));
    assert_eq!((site.asks("/api/v1", ""), site.asks("/api/v1/x", "")), ("v1".to_owned(), "api".to_owned()));

    let tree = format!("loadbalancers/{}/statuses", id(&site.balancer));
    let tree = elb(&site.ringway, WRITER, ("GET", &tree), &Json::Null).json();
    let listener = &tree["statuses"]["loadbalancer"]["listeners"][0];
    assert_eq!(listener["l7policies"][0]["rules"][0]["id"], rule["id"], "{tree}");
    assert_eq!(listener["pools"].as_array().map(Vec::len), Some(3), "{tree}");

    for (path, words) in [
        (format!("pools/{}", id(api)), "its backend servers"),
        (format!("listeners/{}", id(&site.listener)), "its forwarding policies"),
    ] {
        site.refuses(("DELETE", &path), &Json::Null, words);
    }
    let told = elb(&site.ringway, WRITER, ("DELETE", &format!("{path}/{}", id(&rule))), &Json::Null);
    assert_eq!(told.status, 204, "{}", told.text);
    assert_eq!(site.asks("/apis", ""), "default");
    let told = elb(&site.ringway, WRITER, ("DELETE", &format!("l7policies/{}", id(&policy))), &Json::Null);
    assert_eq!(told.status, 204, "{}", told.text);
}

#[test]
fn policies_with_priorities_ask_for_more_and_change_places() {
    let site = Site::new(&["one", "two"]);
    let conditions = json!([{
        "type": "HEADER", "compare_type": "EQUAL_TO",
        "conditions": [{ "key": "x-canary", "value": "1" }, { "key": "x-canary", "value": "beta-*" }],
    }]);
    let to = |pool: &Json| {
        json!({
            "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool["id"], "rules": conditions,
            "listener_id": site.listener["id"],
        })
    };
    let refused = json!({ "l7policy": to(&site.pools[1]) });
    site.refuses(("POST", "l7policies"), &refused, "`type` cannot be so: only HOST_NAME and PATH");
    site.changes(&json!({ "enhance_l7policy_enable": true }));
    let (one, two) = (site.policy(to(&site.pools[1])), site.policy(to(&site.pools[2])));
    assert_eq!((&one["priority"], &two["priority"]), (&json!(1), &json!(2)));
    let asks = || site.asks("/", "X-Canary: beta-7\r\n");
    assert_eq!((asks(), site.asks("/", "X-Canary: 2\r\n")), ("one".to_owned(), "default".to_owned()));
    let places =
        json!({ "l7policies": [{ "id": one["id"], "priority": 2 }, { "id": two["id"], "priority": 1 }] });
    let told = elb(&site.ringway, WRITER, ("POST", "l7policies/batch-update-priority"), &places);
    assert_eq!((told.status, asks()), (200, "two".to_owned()), "{}", told.text);
    let taken = json!({ "l7policies": [{ "id": one["id"], "priority": 1 }] });
    site.refuses(("POST", "l7policies/batch-update-priority"), &taken, "`priority` 1 is that of");
    let path = format!("l7policies/{}", id(&two));
    let told =
        elb(&site.ringway, WRITER, ("PUT", &path), &json!({ "l7policy": { "admin_state_up": false } }));
    assert_eq!((told.status, asks()), (200, "one".to_owned()), "{}", told.text);
    let simple = json!({ "listener": { "enhance_l7policy_enable": false } });
    let path = format!("listeners/{}", id(&site.listener));
    site.refuses(("PUT", &path), &simple, "`enhance_l7policy_enable` cannot become false");
}

#[test]
fn policies_answer_redirect_and_change_requests() {
    let site = Site::new(&["other"]);
    site.changes(&json!({ "enhance_l7policy_enable": true }));
    let path = |comparison: &str, value: &str| json!([{ "type": "PATH", "compare_type": comparison, "value": value }]);
    site.policy(json!({
        "action": "FIXED_RESPONSE", "rules": path("EQUAL_TO", "/closed"),
        "fixed_response_config": { "status_code": "503", "content_type": "text/html", "message_body": "<p>Later." },
    }));
    let answer = Client::connect(site.at).get("/closed");
    assert_eq!((answer.status, answer.field("content-type")), (503, Some("text/html")));
    assert_eq!(answer.body, b"<p>Later.");
    site.policy(json!({
        "action": "REDIRECT_TO_URL", "rules": path("REGEX", "^/shop/([0-9]+)$"),
        "redirect_url_config": { "status_code": "308", "host": "b.example", "port": "8443", "protocol": "HTTPS",
                                 "path": "/products/$1" },
    }));
    let answer = Client::connect(site.at).get("/shop/42?x=1");
    let location = answer.field("location");
    assert_eq!((answer.status, location), (308, Some("https://b.example:8443/products/42?x=1")));
    let weighted = json!({
        "action": "REDIRECT_TO_POOL", "rules": path("STARTS_WITH", "/some"),
        "redirect_pools_config": [
            { "pool_id": site.pools[0]["id"], "weight": "0" }, { "pool_id": site.pools[1]["id"], "weight": "100" },
        ],
    });
    let policy = site.policy(weighted);
    assert_eq!(policy["redirect_pools_config"][1]["weight"], 100);
    assert_eq!(site.asks("/something", ""), "other");
}

#[test]
fn what_is_wrong_with_a_policy_is_named() {
    let site = Site::new(&["other"]);
    let path = |comparison: &str, value: &str| json!([{ "type": "PATH", "compare_type": comparison, "value": value }]);
    for (sent, words) in [
        (json!({ "action": "REDIRECT_TO_POOL" }), "`redirect_pool_id` is missing"),
        (json!({ "action": "REDIRECT_TO_URL" }), "`redirect_url_config` is missing"),
        (
            json!({ "action": "FIXED_RESPONSE", "fixed_response_config": { "status_code": "700" } }),
            "`fixed_response_config.status_code` must be",
        ),
        (json!({ "action": "REDIRECT_TO_POOL", "redirect_pool_id": "x" }), "`redirect_pool_id` names no"),
        (
            json!({
                "action": "REDIRECT_TO_URL", "redirect_url_config": { "status_code": "301" }, "position": 3,
            }),
            "`position` is not taken",
        ),
        (
            json!({
                "action": "REDIRECT_TO_URL", "rules": path("REGEX", "^/a("),
                "redirect_url_config": { "status_code": "301", "path": "/b" },
            }),
            "`rules` of the forwarding policy",
        ),
        (
            json!({
                "action": "REDIRECT_TO_POOL", "redirect_pool_id": site.pools[1]["id"],
                "redirect_pools_extend_config": { "insert_headers_config": { "configs": [
                    { "key": "x", "value_type": "SYSTEM_DEFINED", "value": "ELB-EIP" },
                ] } },
            }),
            "`redirect_pools_extend_config.insert_headers_config.configs.value` is not known",
        ),
    ] {
        let mut sent = sent;
        sent["listener_id"] = site.listener["id"].clone();
        site.refuses(("POST", "l7policies"), &json!({ "l7policy": sent }), words);
    }
}

#[test]
fn headers_and_rewrites_of_policies_reach_backends() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(TABLES).file("elb.keys", KEYS).start();
    let at = free_address();
    let (balancer, pool, listener) = service(&ringway, at);
    let address = backend.address();
    let attributes = json!({ "address": address.ip().to_string(), "protocol_port": address.port() });
    made(&ringway, &format!("pools/{}/members", id(&pool)), "member", &attributes);
    let policy = json!({
        "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool["id"], "listener_id": listener["id"],
        "rules": [{ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/" }],
        "redirect_pools_extend_config": {
            "rewrite_url_enable": true, "rewrite_url_config": { "path": "/v2${path}" },
            "insert_headers_config": { "configs": [
                { "key": "X-Balancer", "value_type": "SYSTEM_DEFINED", "value": "ELB-ID" },
                { "key": "x-ip", "value_type": "SYSTEM_DEFINED", "value": "CLIENT-IP" },
                { "key": "x-agent", "value_type": "REFERENCE_HEADER", "value": "User-Agent" },
            ] },
            "remove_headers_config": { "configs": [{ "key": "x-secret" }] },
        },
    });
    made(&ringway, "l7policies", "l7policy", &policy);
    let mut client = Client::connect(at);
    client.send("GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: u\r\nX-Secret: s\r\n\r\n");
    let head = String::from_utf8_lossy(&client.read_response().body).to_lowercase();
    for expected in
        ["get /v2/x ", "x-ip: 127.0.0.1\r\n", "x-agent: u\r\n", &format!("x-balancer: {}\r\n", id(&balancer))]
    {
        assert!(head.contains(expected), "{expected}: {head}");
    }
    assert!(!head.contains("x-secret"), "{head}");
}

#[test]
fn ip_groups_let_clients_in_or_keep_them_out() {
    let site = Site::new(&[]);
    let group =
        json!({ "name": "office", "ip_list": [{ "ip": "192.0.2.1-192.0.2.9", "description": "desks" }] });
    let group = made(&site.ringway, "ipgroups", "ipgroup", &group);
    let is_served = || {
        let mut client = Client::connect(site.at);
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() && client.try_read_response().is_ok()
    };
    site.changes(&json!({ "ipgroup": { "ipgroup_id": group["id"] } }));
    assert!(!is_served());
    let path = format!("ipgroups/{}", id(&group));
    site.refuses(("DELETE", &path), &Json::Null, "a listener");
    let list =
        json!({ "ipgroup": { "ip_list": [{ "ip": "127.0.0.0/8" }, { "ip": "192.0.2.1-192.0.2.9" }] } });
    let add = format!("{path}/iplist/create-or-update");
    let told = elb(&site.ringway, WRITER, ("POST", &add), &list);
    assert_eq!((told.status, is_served()), (200, true), "{}", told.text);
    let expected = json!([{ "ip": "192.0.2.1-192.0.2.9", "description": "" }, { "ip": "127.0.0.0/8", "description": "" }]);
    assert_eq!(told.json()["ipgroup"]["ip_list"], expected);
    site.changes(&json!({ "ipgroup": { "ipgroup_id": group["id"], "type": "black" } }));
    assert!(!is_served());
    site.changes(
        &json!({ "ipgroup": { "ipgroup_id": group["id"], "type": "black", "enable_ipgroup": false } }),
    );
    assert!(is_served());
    site.changes(&json!({ "ipgroup": { "ipgroup_id": group["id"], "type": "black" } }));
    let gone = json!({ "ipgroup": { "ip_list": [{ "ip": "127.0.0.0/8" }] } });
    let told = elb(&site.ringway, WRITER, ("POST", &format!("{path}/iplist/batch-delete")), &gone);
    assert_eq!((told.status, is_served()), (200, true), "{}", told.text);
    let told = elb(&site.ringway, WRITER, ("GET", &format!("{path}/related-listeners")), &Json::Null);
    assert_eq!(told.json()["listeners"], json!([{ "id": site.listener["id"] }]), "{}", told.text);
    // An empty white list bars everybody.
    let empty = json!({ "ipgroup": { "ip_list": [] } });
    assert_eq!(elb(&site.ringway, WRITER, ("PUT", &path), &empty).status, 200);
    site.changes(&json!({ "ipgroup": { "ipgroup_id": group["id"], "type": "white" } }));
    assert!(!is_served());
    let wrong = json!({ "ipgroup": { "ip_list": [{ "ip": "192.0.2.9-192.0.2.1" }] } });
    site.refuses(("PUT", &path), &wrong, "`ip_list.ip` must be an address");
    site.changes(&json!({ "ipgroup": null }));
    assert!(is_served());
    assert_eq!(elb(&site.ringway, WRITER, ("DELETE", &path), &Json::Null).status, 204);
}

#[test]
fn addresses_and_ports_that_this_host_does_not_give_are_named() {
    let site = Site::new(&[]);
    for name in ["vip_address", "ipv6_vip_address"] {
        let address = if name == "vip_address" { "192.0.2.77" } else { "2001:db8::77" };
        let words = format!("`{name}` is an address that this host cannot bind");
        let elsewhere = json!({ "loadbalancer": { "availability_zone_list": [], name: address } });
        site.refuses(("POST", "loadbalancers"), &elsewhere, &words);
        let path = format!("loadbalancers/{}", id(&site.balancer));
        site.refuses(("PUT", &path), &json!({ "loadbalancer": { name: address } }), &words);
    }
    let listener = |balancer: &Json, port: u16| json!({ "listener": { "protocol": "HTTP", "protocol_port": port, "loadbalancer_id": balancer["id"] } });
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it has an address").port();
    site.refuses(
        ("POST", "listeners"),
        &listener(&site.balancer, port),
        "attribute `protocol_port`: cannot bind 127.0.0.1:",
    );
    let listeners = elb(&site.ringway, WRITER, ("GET", "listeners"), &Json::Null).json();
    assert_eq!(listeners["listeners"].as_array().map(Vec::len), Some(1), "{listeners}");
}
