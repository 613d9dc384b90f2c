//! What forwarding policies of the ELB API do besides: pages of other origins, and copies of requests.

use crate::support::elb::{KEYS, TABLES, WRITER, elb, free_address, id, made, refused, service};
use crate::support::{Backend, Client, PATIENCE, Ringway, Scenario};
use serde_json::{Value as Json, json};
use std::sync::mpsc::{Receiver, channel};

/// A backend that tells each request.
fn recording() -> (Backend, Receiver<String>) {
    let (sender, told) = channel();
    let backend = Backend::script(move |peer| {
        while let Some((head, body)) = peer.read_request()? {
            drop(sender.send(format!("{} {}", head.start_line, String::from_utf8_lossy(&body))));
            peer.respond("200 OK", b"served")?;
        }
        Ok(())
    });
    (backend, told)
}

fn pool(ringway: &Ringway, balancer: &Json, backend: &Backend) -> Json {
    let attributes =
        json!({ "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": balancer["id"] });
    let pool = made(ringway, "pools", "pool", &attributes);
    let address = backend.address();
    let attributes = json!({ "address": address.ip().to_string(), "protocol_port": address.port() });
    made(ringway, &format!("pools/{}/members", id(&pool)), "member", &attributes);
    pool
}

fn policy(listener: &Json, pool: &Json, extend: &Json) -> Json {
    json!({
        "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool["id"], "listener_id": listener["id"],
        "rules": [{ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/" }],
        "redirect_pools_extend_config": extend,
    })
}

#[test]
fn pages_of_other_origins_are_let_in_by_a_policy() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(TABLES).file("elb.keys", KEYS).start();
    let at = free_address();
    let (balancer, _, listener) = service(&ringway, at);
    let group = pool(&ringway, &balancer, &backend);
    let cors = json!({
        "allow_origin": ["https://*.app.example"], "allow_methods": ["GET", "PUT"], "allow_headers": ["x-token"],
        "expose_headers": ["x-total"], "allow_credentials": true, "max_age": 600,
    });
    let made =
        made(&ringway, "l7policies", "l7policy", &policy(&listener, &group, &json!({ "cors_config": cors })));
    assert_eq!(made["redirect_pools_extend_config"]["cors_config"], cors);
    let asks = |method: &str, origin: &str| {
        let mut client = Client::connect(at);
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
        ));
        client.read_response()
    };
    let preflight = asks("OPTIONS", "https://one.app.example");
    let of = |name: &str| preflight.field(name).unwrap_or_default();
    assert_eq!(preflight.status, 204);
    assert_eq!(of("access-control-allow-origin"), "https://one.app.example");
    assert_eq!(
        (of("access-control-allow-methods"), of("access-control-allow-headers")),
        ("GET, PUT", "x-token")
    );
    assert_eq!((of("access-control-allow-credentials"), of("access-control-max-age")), ("true", "600"));
    assert_eq!(asks("OPTIONS", "https://app.example.other").status, 403);
    let answer = asks("GET", "https://one.app.example");
    assert_eq!((answer.status, answer.field("access-control-expose-headers")), (200, Some("x-total")));
    // Without it, backends are asked.
    let path = format!("l7policies/{}", id(&made));
    let sent = json!({ "l7policy": { "redirect_pools_extend_config": { "cors_config": null } } });
    let told = elb(&ringway, WRITER, ("PUT", &path), &sent);
    assert_eq!((told.status, asks("OPTIONS", "https://one.app.example").status), (200, 200), "{}", told.text);
}

#[test]
fn copies_of_requests_go_to_the_group_that_a_policy_names() {
    let ((backend, _), (shadow, copies)) = (recording(), recording());
    let ringway = Scenario::of(&backend).table(TABLES).file("elb.keys", KEYS).start();
    let at = free_address();
    let (balancer, _, listener) = service(&ringway, at);
    let (group, target) = (pool(&ringway, &balancer, &backend), pool(&ringway, &balancer, &shadow));
    let extend = json!({
        "rewrite_url_enable": true, "rewrite_url_config": { "path": "/v2${path}" },
        "traffic_mirror_config": { "target_ids": [target["id"]] },
    });
    let policy = made(&ringway, "l7policies", "l7policy", &policy(&listener, &group, &extend));
    let asks = || {
        let mut client = Client::connect(at);
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ntext");
        assert_eq!(client.read_response().body, b"served");
        copies.recv_timeout(PATIENCE).expect("a copy comes")
    };
    assert_eq!(asks(), "POST /v2/x HTTP/1.1 text");
    let shown = elb(&ringway, WRITER, ("GET", &format!("pools/{}", id(&target))), &Json::Null).json();
    assert_eq!(shown["pool"]["listeners"], json!([{ "id": listener["id"] }]), "{shown}");
    let path = format!("l7policies/{}", id(&policy));
    let without = json!({ "target_ids": [target["id"]], "mirror_request_body_enable": false });
    let sent =
        json!({ "l7policy": { "redirect_pools_extend_config": { "traffic_mirror_config": without } } });
    assert_eq!(elb(&ringway, WRITER, ("PUT", &path), &sent).status, 200);
    assert_eq!(asks(), "POST /x HTTP/1.1 ");
    // What it leads to by copies alone is needed, too.
    let member =
        elb(&ringway, WRITER, ("GET", &format!("pools/{}/members", id(&target))), &Json::Null).json();
    let member = format!("pools/{}/members/{}", id(&target), id(&member["members"][0]));
    assert_eq!(elb(&ringway, WRITER, ("DELETE", &member), &Json::Null).status, 204);
    let told = elb(&ringway, WRITER, ("DELETE", &format!("pools/{}", id(&target))), &Json::Null);
    refused(&told, 409, "ELB.8907", "a forwarding policy that leads to it");
}

#[test]
fn what_cannot_be_had_is_named() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(TABLES).file("elb.keys", KEYS).start();
    let (balancer, group, listener) = service(&ringway, free_address());
    let relayed =
        json!({ "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": balancer["id"] });
    let relayed = made(&ringway, "pools", "pool", &relayed);
    let mirror = |ids: Json| json!({ "traffic_mirror_config": { "target_ids": ids } });
    for (extend, words) in [
        (json!({ "cors_config": {} }), "`redirect_pools_extend_config.cors_config.allow_origin` is missing"),
        (
            json!({ "cors_config": { "allow_origin": ["*"], "allow_credentials": true } }),
            "`redirect_pools_extend_config.cors_config.allow_credentials` is refused",
        ),
        (
            json!({ "cors_config": { "allow_origin": ["*"], "max_age": 172_801 } }),
            "`redirect_pools_extend_config.cors_config.max_age` must be a number from -1 to 172800",
        ),
        (mirror(json!([])), "`redirect_pools_extend_config.traffic_mirror_config.target_ids` must name one"),
        (mirror(json!([group["id"], relayed["id"]])), "traffic_mirror_config.target_ids` must name one"),
        (mirror(json!(["x"])), "traffic_mirror_config.target_ids` names no backend server group"),
        (mirror(json!([relayed["id"]])), "traffic_mirror_config.target_ids` has the protocol TCP"),
    ] {
        let sent = json!({ "l7policy": policy(&listener, &group, &extend) });
        refused(&elb(&ringway, WRITER, ("POST", "l7policies"), &sent), 400, "ELB.8902", words);
    }
}
