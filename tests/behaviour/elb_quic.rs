//! Listeners of the ELB API for QUIC, and those for HTTPS that tell clients of them.

use crate::support::elb::{KEYS, TABLES, WRITER, elb, free_address, id, made, refused};
use crate::support::tls::{NAME, client_config, own_pair};
use crate::support::{Backend, Http2, Http3, Scenario};
use serde_json::{Value as Json, json};
use std::sync::Arc;

#[test]
fn clients_of_https_are_led_to_quic() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).table(TABLES).file("elb.keys", KEYS).start();
    let balancer = made(&ringway, "loadbalancers", "loadbalancer", &json!({ "availability_zone_list": [] }));
    let pair = own_pair();
    let certificate = json!({ "certificate": pair.certificate, "private_key": pair.key });
    let certificate = made(&ringway, "certificates", "certificate", &certificate);
    let pool =
        json!({ "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": balancer["id"] });
    let pool = made(&ringway, "pools", "pool", &pool);
    let address = backend.address();
    let member = json!({ "address": address.ip().to_string(), "protocol_port": address.port() });
    made(&ringway, &format!("pools/{}/members", id(&pool)), "member", &member);
    let listener = |protocol: &str, port: u16, quic: Json| {
        json!({
            "protocol": protocol, "protocol_port": port, "loadbalancer_id": balancer["id"],
            "default_pool_id": pool["id"], "default_tls_container_ref": certificate["id"],
            "http2_enable": protocol == "HTTPS", "quic_config": quic,
        })
    };
    let (over_udp, over_tcp) = (free_address(), free_address());
    let quic = made(&ringway, "listeners", "listener", &listener("QUIC", over_udp.port(), Json::Null));
    assert_eq!(Http3::connect(over_udp).get("/").status, 200);
    let leading = json!({ "quic_listener_id": quic["id"], "enable_quic_upgrade": true });
    let https = made(&ringway, "listeners", "listener", &listener("HTTPS", over_tcp.port(), leading));
    let mut config = client_config(&[&pair.certificate]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let told = || {
        let mut client = Http2::secured(over_tcp, &config, NAME).expect("it takes HTTP/2");
        client.get("/").field("alt-svc").map(str::to_owned)
    };
    assert_eq!(told(), Some(format!("h3=\":{}\"; ma=86400", over_udp.port())));

    let path = format!("listeners/{}", id(&quic));
    refused(
        &elb(&ringway, WRITER, ("DELETE", &path), &Json::Null),
        409,
        "ELB.8907",
        "`quic_config` of a listener",
    );
    let off = json!({ "listener": { "quic_config": null } });
    let answer = elb(&ringway, WRITER, ("PUT", &format!("listeners/{}", id(&https))), &off);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(told().as_deref(), Some("clear"), "who knows of it is to forget it");
    assert_eq!(elb(&ringway, WRITER, ("DELETE", &path), &Json::Null).status, 204);
}
