//! Security policies of the ELB API: what clients of a listener may speak.

use crate::support::elb::{KEYS, TABLES, WRITER, elb, free_address, id, made, refused, service};
use crate::support::tls::{Issuer, ask, versioned_config};
use crate::support::{Backend, Ringway, Scenario};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// A load balancer with a certificate.
struct Site {
    ringway: Ringway,
    issuer: Issuer,
    balancer: Json,
    pool: Json,
    certificate: Json,
    _backend: Backend,
}

impl Site {
    fn new() -> Site {
        let backend = Backend::echo_head();
        let ringway = Scenario::of(&backend).table(TABLES).file("elb.keys", KEYS).start();
        let (balancer, pool, _) = service(&ringway, free_address());
        let issuer = Issuer::new("sites");
        let pair = issuer.server(&["a.example"]);
        let sent = json!({ "certificate": pair.certificate, "private_key": pair.key });
        let certificate = made(&ringway, "certificates", "certificate", &sent);
        Site { ringway, issuer, balancer, pool, certificate, _backend: backend }
    }

    fn listener(&self, protocol: &str, port: u16, more: Json) -> Json {
        let mut sent = more;
        sent["protocol"] = json!(protocol);
        sent["protocol_port"] = json!(port);
        sent["loadbalancer_id"] = self.balancer["id"].clone();
        sent["default_tls_container_ref"] = self.certificate["id"].clone();
        json!({ "listener": sent })
    }

    fn policy(&self, protocols: &Json, ciphers: &Json) -> Json {
        let sent = json!({ "name": "ours", "protocols": protocols, "ciphers": ciphers });
        made(&self.ringway, "security-policies", "security_policy", &sent)
    }

    fn put(&self, path: &str, sent: &Json) -> Json {
        let told = elb(&self.ringway, WRITER, ("PUT", path), sent);
        assert_eq!(told.status, 200, "{}", told.text);
        told.json()
    }

    /// Whether clients of TLS 1.2 and of TLS 1.3 are let in.
    fn lets_in(&self, at: SocketAddr) -> [bool; 2] {
        let roots = [self.issuer.pem.as_str()];
        let is_let_in = |version: &'static SupportedProtocolVersion| {
            ask(at, &Arc::new(versioned_config(&roots, &[version], None)), "a.example").is_ok()
        };
        [is_let_in(&TLS12), is_let_in(&TLS13)]
    }
}

fn old() -> Json {
    json!(["ECDHE-ECDSA-AES128-GCM-SHA256", "AES128-SHA"])
}

#[test]
fn a_security_policy_says_what_clients_may_speak() {
    let site = Site::new();
    let policy = site.policy(&json!(["TLSv1.3"]), &json!(["TLS_AES_128_GCM_SHA256"]));
    assert_eq!((&policy["listeners"], &policy["name"]), (&json!([]), &json!("ours")));
    let at = free_address();
    let sent = json!({
        "default_pool_id": site.pool["id"], "security_policy_id": policy["id"], "tls_ciphers_policy": "tls-1-2",
    });
    let sent = site.listener("HTTPS", at.port(), sent);
    let listener = made(&site.ringway, "listeners", "listener", &sent["listener"]);
    assert_eq!(site.lets_in(at), [false, true]);
    let path = format!("security-policies/{}", id(&policy));
    let shown = elb(&site.ringway, WRITER, ("GET", &path), &Json::Null).json();
    assert_eq!(shown["security_policy"]["listeners"], json!([{ "id": listener["id"] }]), "{shown}");
    refused(&elb(&site.ringway, WRITER, ("DELETE", &path), &Json::Null), 409, "ELB.8907", "a listener");

    let changed = json!({ "security_policy": { "protocols": ["TLSv1", "TLSv1.2"], "ciphers": old() } });
    assert_eq!(site.put(&path, &changed)["security_policy"]["ciphers"], old());
    assert_eq!(site.lets_in(at), [true, false]);
    let both = json!({ "security_policy": {
        "protocols": ["TLSv1.2", "TLSv1.3"], "ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384"],
    } });
    site.put(&path, &both);
    assert_eq!(site.lets_in(at), [true, true]);
    // Without it, the other attribute counts again.
    let of_listener = format!("listeners/{}", id(&listener));
    let told = site.put(&of_listener, &json!({ "listener": { "security_policy_id": null } }));
    assert_eq!(told["listener"]["security_policy_id"], Json::Null);
    assert_eq!(site.lets_in(at), [true, false]);
    assert_eq!(elb(&site.ringway, WRITER, ("DELETE", &path), &Json::Null).status, 204);
    let list = elb(&site.ringway, WRITER, ("GET", "security-policies"), &Json::Null).json();
    assert_eq!(list["security_policies"], json!([]), "{list}");
}

#[test]
fn what_nothing_is_left_of_is_refused() {
    let site = Site::new();
    for (protocols, ciphers, words) in [
        (json!(["TLSv1", "TLSv1.1"]), old(), "`protocols` needs TLSv1.2 or TLSv1.3"),
        (json!(["TLSv1.3"]), old(), "`ciphers` needs a cipher suite"),
        (json!(["SSLv3"]), old(), "`protocols` must be a list of some of TLSv1,"),
        (json!(["TLSv1.2"]), json!(["RC4-SHA"]), "`ciphers` must be a list of some of"),
        (json!([]), old(), "`protocols` must be a list"),
        (Json::Null, old(), "`protocols` is missing"),
    ] {
        let sent = json!({ "security_policy": { "protocols": protocols, "ciphers": ciphers } });
        let told = elb(&site.ringway, WRITER, ("POST", "security-policies"), &sent);
        refused(&told, 400, "ELB.8902", words);
    }
    let for_rsa = site.policy(&json!(["TLSv1.2"]), &json!(["ECDHE-RSA-AES128-GCM-SHA256"]));
    for (protocol, policy, words) in [
        ("HTTPS", &json!("unknown"), "`security_policy_id` names no security policy"),
        ("HTTPS", &for_rsa["id"], "has no suite for ECDSA keys"),
        ("QUIC", &for_rsa["id"], "`security_policy_id` needs TLSv1.3"),
    ] {
        let sent = site.listener(protocol, free_address().port(), json!({ "security_policy_id": policy }));
        let told = elb(&site.ringway, WRITER, ("POST", "listeners"), &sent);
        refused(&told, 400, "ELB.8902", words);
    }
    let newest = site.policy(&json!(["TLSv1.3"]), &json!(["TLS_AES_128_GCM_SHA256"]));
    let quic = site.listener("QUIC", free_address().port(), json!({ "security_policy_id": newest["id"] }));
    made(&site.ringway, "listeners", "listener", &quic["listener"]);
    let path = format!("security-policies/{}", id(&newest));
    let older = json!({ "security_policy": { "protocols": ["TLSv1.2"], "ciphers": old() } });
    let told = elb(&site.ringway, WRITER, ("PUT", &path), &older);
    refused(&told, 400, "ELB.8902", "`protocols` needs TLSv1.3");
}

#[test]
fn system_policies_are_told_and_each_can_be_chosen() {
    let site = Site::new();
    let told = elb(&site.ringway, WRITER, ("GET", "system-security-policies"), &Json::Null).json();
    let policies = told["system_security_policies"].as_array().expect("they are a list");
    assert_eq!(policies.len(), 10, "{told}");
    let strict = policies.iter().find(|policy| policy["name"] == "tls-1-2-fs-with-1-3").expect("it is there");
    assert_eq!(strict["protocols"], "TLSv1.2 TLSv1.3");
    assert!(
        strict["ciphers"].as_str().is_some_and(|text| text.contains("ECDHE-RSA-AES128-SHA256:")),
        "{strict}"
    );
    let sent = site.listener("TLS", free_address().port(), json!({}));
    let listener = made(&site.ringway, "listeners", "listener", &sent["listener"]);
    for policy in policies {
        let path = format!("listeners/{}", id(&listener));
        site.put(&path, &json!({ "listener": { "tls_ciphers_policy": policy["name"] } }));
    }
}
