//! The ELB API: objects that are made by signed calls serve, are kept, and stay apart from those of files.

use crate::hand_over::upgraded;
use crate::support::api::{admin_address, call, call_at};
use crate::support::elb::{KEYS, READER, TABLES, WRITER, elb, free_address, id, made, refused, service};
use crate::support::{Backend, Client, Ringway, Scenario};
use serde_json::{Value as Json, json};
use std::os::unix::fs::PermissionsExt as _;

fn start(backend: &Backend) -> Ringway {
    Scenario::of(backend).table(TABLES).file("elb.keys", KEYS).start()
}

fn member(ringway: &Ringway, pool: &Json, backend: &Backend) -> Json {
    let address = backend.address();
    let attributes = json!({ "address": address.ip().to_string(), "protocol_port": address.port() });
    made(ringway, &format!("pools/{}/members", id(pool)), "member", &attributes)
}

#[test]
fn objects_serve_and_are_kept_and_go_in_the_usual_order() {
    let (native, backend) = (Backend::echo_head(), Backend::echo_head());
    let ringway = start(&native);
    let at = free_address();
    let (balancer, pool, listener) = service(&ringway, at);
    assert_eq!(listener["keepalive_timeout"], 60);
    let answer = Client::connect(at).get("/");
    assert_eq!((answer.status, answer.field("x-router-code")), (503, Some("40000")));
    let one = member(&ringway, &pool, &backend);
    assert_eq!((&one["weight"], &one["operating_status"]), (&json!(1), &json!("NO_MONITOR")));
    assert_eq!(Client::connect(at).get("/").status, 200);
    assert_eq!(Client::connect(ringway.address_of("web")).get("/").status, 200);

    let kept = ringway.folder().join("elb/objects.json");
    assert_eq!(kept.metadata().expect("it is kept").permissions().mode() & 0o777, 0o600);
    assert_eq!(call(&ringway, "POST", "/api/v1/reload", "").status, 200);
    assert_eq!(Client::connect(at).get("/").status, 200);

    let path = format!("loadbalancers/{}", id(&balancer));
    refused(&elb(&ringway, WRITER, ("DELETE", &path), &Json::Null), 409, "ELB.8907", "its listeners");
    let of_pool = format!("pools/{}", id(&pool));
    refused(
        &elb(&ringway, WRITER, ("DELETE", &of_pool), &Json::Null),
        409,
        "ELB.8907",
        "its backend servers",
    );
    for path in [
        format!("{of_pool}/members/{}", id(&one)),
        of_pool.clone(),
        format!("listeners/{}", id(&listener)),
        path.clone(),
    ] {
        let told = elb(&ringway, WRITER, ("DELETE", &path), &Json::Null);
        assert_eq!((told.status, told.text.as_str()), (204, ""), "{path}");
        refused(&elb(&ringway, WRITER, ("GET", &path), &Json::Null), 404, "ELB.8904", "there is no");
    }
    assert!(std::net::TcpStream::connect(at).is_err());
    assert_eq!(Client::connect(ringway.address_of("web")).get("/").status, 200);
}

#[test]
fn what_is_not_signed_or_not_allowed_changes_nothing() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let balancer = json!({ "loadbalancer": { "availability_zone_list": ["ringway"] } });
    let wrong = ("AKWRITE", "another-secret", "p1");
    refused(&elb(&ringway, wrong, ("POST", "loadbalancers"), &balancer), 401, "APIGW.0301", "verify");
    let unknown = ("AKNONE", "secret-of-writer", "p1");
    refused(&elb(&ringway, unknown, ("GET", "loadbalancers"), &Json::Null), 401, "APIGW.0301", "verify");
    refused(&elb(&ringway, READER, ("POST", "loadbalancers"), &balancer), 403, "ELB.8903", "role read");
    let elsewhere = ("AKWRITE", "secret-of-writer", "p2");
    refused(&elb(&ringway, elsewhere, ("GET", "loadbalancers"), &Json::Null), 403, "ELB.8903", "project");
    refused(&elb(&ringway, WRITER, ("GET", "logtanks"), &Json::Null), 404, "APIGW.0101", "no such call");
    let unsigned = call_at(admin_address(&ringway), ("GET", "/v3/p1/elb/loadbalancers"), &[], "");
    refused(&unsigned, 401, "APIGW.0301", "not signed");
    let token = [("Authorization", "Bearer secret-of-writer")];
    let by_token = call_at(admin_address(&ringway), ("GET", "/v3/p1/elb/loadbalancers"), &token, "");
    refused(&by_token, 401, "APIGW.0301", "SDK-HMAC-SHA256");
    let told = elb(&ringway, READER, ("GET", "loadbalancers"), &Json::Null);
    assert_eq!(told.json()["loadbalancers"], json!([]), "{}", told.text);
    let audit = std::fs::read_to_string(ringway.folder().join("audit.log")).unwrap_or_default();
    assert!(!audit.contains("201") && !audit.contains("secret"), "{audit}");
}

#[test]
fn neither_api_changes_what_the_other_has_made() {
    let (native, backend) = (Backend::echo_head(), Backend::echo_head());
    let ringway = start(&native);
    let at = free_address();
    let (balancer, pool, listener) = service(&ringway, at);
    member(&ringway, &pool, &backend);
    let path = format!("/api/v1/listeners/{}", id(&listener));
    let shown = call(&ringway, "GET", &path, "").json();
    assert_eq!(shown["settings"]["description"], "front");
    assert!(shown.to_string().contains("elb.toml"), "{shown}");
    let told = call(&ringway, "PATCH", &path, "{\"max_connections\": 5}");
    assert!(told.status == 409 && told.text.contains("made by the ELB API"), "{} {}", told.status, told.text);
    assert_eq!(call(&ringway, "PATCH", "/api/v1/listeners/web", "{\"max_connections\": 500}").status, 200);
    // A port that a listener of the file has.
    let taken = json!({ "listener": {
        "protocol": "HTTP", "protocol_port": ringway.address_of("web").port(), "loadbalancer_id": id(&balancer),
    } });
    let before = elb(&ringway, WRITER, ("GET", "listeners"), &Json::Null).json()["listeners"].clone();
    let told = elb(&ringway, WRITER, ("POST", "listeners"), &taken);
    refused(&told, 409, "ELB.8907", "attribute `protocol_port`");
    assert_eq!(elb(&ringway, WRITER, ("GET", "listeners"), &Json::Null).json()["listeners"], before);
    assert_eq!(
        (Client::connect(at).get("/").status, Client::connect(ringway.address_of("web")).get("/").status),
        (200, 200)
    );
}

#[test]
fn what_is_wrong_is_named_by_its_attribute() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let (balancer, _, listener) = service(&ringway, free_address());
    let path = format!("listeners/{}", id(&listener));
    for (sent, words) in [
        (json!({ "keepalive_timeout": 5000 }), "`keepalive_timeout` must be a number from 0 to 4000"),
        (json!({ "idle_timeout": 5 }), "`idle_timeout` is not known here"),
        (json!({ "protocol_port": 1 }), "`protocol_port` cannot be changed"),
        (json!({ "default_pool_id": "x" }), "`default_pool_id` names no backend server group"),
        (
            json!({ "insert_headers": { "X-Forwarded-ELB-IP": true } }),
            "`insert_headers.X-Forwarded-ELB-IP` needs `vip_address`",
        ),
        (
            json!({ "insert_headers": { "X-Forwarded-Elb": true } }),
            "`insert_headers.X-Forwarded-Elb` is not known",
        ),
        (
            json!({ "quic_config": { "quic_listener_id": "x" } }),
            "`quic_config` goes with the protocol HTTPS only",
        ),
        (json!({ "ssl_early_data_enable": true }), "`ssl_early_data_enable` is not taken"),
    ] {
        let told = elb(&ringway, WRITER, ("PUT", &path), &json!({ "listener": sent }));
        refused(&told, 400, "ELB.8902", words);
    }
    let certificate = json!({ "certificate": { "certificate": "x", "private_key": "y" } });
    refused(&elb(&ringway, WRITER, ("POST", "certificates"), &certificate), 400, "ELB.1011", "is not PEM");
    let secured = json!({ "listener": {
        "protocol": "HTTPS", "protocol_port": free_address().port(), "loadbalancer_id": id(&balancer),
    } });
    let told = elb(&ringway, WRITER, ("POST", "listeners"), &secured);
    refused(&told, 400, "ELB.8902", "`default_tls_container_ref` is missing");
}

#[test]
fn lists_are_filtered_by_what_objects_say_and_by_what_they_lead_to() {
    let backend = Backend::echo_head();
    let ringway = start(&backend);
    let (balancer, pool, listener) = service(&ringway, free_address());
    member(&ringway, &pool, &backend);
    let other = made(
        &ringway,
        "pools",
        "pool",
        &json!({
            "name": "other", "protocol": "TCP", "lb_algorithm": "SOURCE_IP", "loadbalancer_id": id(&balancer),
        }),
    );
    let ids = |path: &str, kind: &str| -> Vec<String> {
        let told = elb(&ringway, WRITER, ("GET", path), &Json::Null);
        assert_eq!(told.status, 200, "{path}: {}", told.text);
        let list = told.json()[kind].as_array().cloned().unwrap_or_default();
        list.iter().map(|object| id(object).to_owned()).collect()
    };
    assert_eq!(ids("pools?lb_algorithm=SOURCE_IP", "pools"), [id(&other)]);
    assert_eq!(ids("pools?member_address=127.0.0.1", "pools"), [id(&pool)]);
    assert_eq!(ids("listeners?member_address=127.0.0.1", "listeners"), [id(&listener)]);
    assert_eq!(ids("loadbalancers?member_address=127.0.0.1", "loadbalancers"), [id(&balancer)]);
    assert!(ids("loadbalancers?member_address=127.0.0.9", "loadbalancers").is_empty());
    assert_eq!(ids(&format!("members?pool_id={}", id(&pool)), "members").len(), 1);
    assert_eq!(ids(&format!("members?loadbalancer_id={}", id(&balancer)), "members").len(), 1);
    assert!(ids(&format!("members?pool_id={}", id(&other)), "members").is_empty());
    let told = elb(&ringway, WRITER, ("GET", "pools?lb_algorithms=SOURCE_IP"), &Json::Null);
    refused(&told, 400, "ELB.8902", "attribute `lb_algorithms` is none by which pools are found");
}

#[test]
fn objects_outlive_an_upgrade_and_can_be_changed_after_it() {
    let (native, backend) = (Backend::echo_head(), Backend::echo_head());
    let ringway = start(&native);
    let at = free_address();
    let (_, pool, listener) = service(&ringway, at);
    let first = member(&ringway, &pool, &backend);
    let mut client = Client::connect(at);
    assert_eq!(client.get("/before").status, 200);
    for _ in 0..2 {
        upgraded(&ringway);
        assert_eq!(Client::connect(at).get("/after").status, 200);
        let shown = elb(&ringway, WRITER, ("GET", "listeners"), &Json::Null).json();
        assert_eq!(shown["listeners"][0], listener);
        // What is kept is what the next process finds.
        let path = format!("pools/{}/members/{}", id(&pool), id(&first));
        let told = elb(&ringway, WRITER, ("PUT", &path), &json!({ "member": { "weight": 7 } }));
        assert_eq!((told.status, &told.json()["member"]["weight"]), (200, &json!(7)), "{}", told.text);
    }
    let path = format!("listeners/{}/force", id(&listener));
    assert_eq!(elb(&ringway, WRITER, ("DELETE", &path), &Json::Null).status, 204);
    assert!(std::net::TcpStream::connect(at).is_err());
}

#[test]
fn a_document_that_is_damaged_while_it_serves_is_told_and_takes_nothing_away() {
    let (native, backend) = (Backend::echo_head(), Backend::echo_head());
    let ringway = start(&native);
    let at = free_address();
    let (_, pool, _) = service(&ringway, at);
    member(&ringway, &pool, &backend);
    let document = ringway.folder().join("elb/objects.json");
    let whole = std::fs::read(&document).expect("it is kept");
    std::fs::write(&document, "{").expect("it can be written");
    let told = elb(&ringway, WRITER, ("GET", "pools"), &Json::Null);
    refused(&told, 500, "ELB.8906", "objects.json: EOF while parsing");
    let told = elb(
        &ringway,
        WRITER,
        ("POST", "pools"),
        &json!({ "pool": {
        "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
    } }),
    );
    refused(&told, 500, "ELB.8906", "are damaged in");
    let told = call(&ringway, "POST", "/api/v1/reload", "");
    assert!(told.status == 422 && told.text.contains("objects.json:1:1"), "{} {}", told.status, told.text);
    assert_eq!(Client::connect(at).get("/").status, 200);
    assert_eq!(std::fs::read(&document).expect("it is there"), b"{", "nobody writes over it");
    std::fs::write(&document, whole).expect("it can be written");
    assert_eq!(call(&ringway, "POST", "/api/v1/reload", "").status, 200);
    assert_eq!(Client::connect(at).get("/").status, 200);
    let told = elb(&ringway, WRITER, ("GET", "pools"), &Json::Null);
    assert_eq!(told.json()["pools"].as_array().map(Vec::len), Some(1), "{}", told.text);
}
