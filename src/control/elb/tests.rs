//! What whole sets of objects are in the configuration.

use std::path::Path;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config;
use crate::config::Source;
use crate::control::credentials::tls_offer;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::mapping;
use crate::control::elb::mapping::names::ElbTerms;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::store::ElbCreation;
use crate::net::clock::wall_now;
use crate::tls::x509::self_signed;

/// Files are named, and not written.
fn terms() -> ElbTerms<'static> {
    ElbTerms { folder: Path::new("/nowhere"), default_address: "127.0.0.1" }
}

fn object(value: Json) -> Map<String, Json> {
    value.as_object().cloned().unwrap()
}

/// Makes an object with this id.
fn create(
    objects: &mut ElbObjects,
    (kind, owner): (ElbKind, &str),
    id: &str,
    sent: Json,
) -> Result<(), ElbFault> {
    let creation = ElbCreation { project: "p", id: id.to_owned(), now: "2026-01-01T00:00:00Z" };
    objects.create(kind, owner, &object(sent), creation)
}

fn report(objects: &ElbObjects) -> String {
    let head = Source::made_up("main", "config_version = 1\nlistener = []\n".to_owned());
    let made = Source::made_up("elb.toml", mapping::text(objects, &terms()));
    let mut loaded = config::load(vec![head, made]);
    if let Some(config) = &loaded.config {
        tls_offer::offers(config, &mut loaded.report);
    }
    loaded.report.to_text(false)
}

fn kept(objects: &ElbObjects) -> Json {
    serde_json::from_str(&objects.to_document().unwrap()).unwrap()
}

fn assert_accepted(objects: &ElbObjects) {
    let report = report(objects);
    assert!(!report.contains("error:"), "{report}\n{}", mapping::text(objects, &terms()));
    // And it is the same after it was kept.
    assert_eq!(ElbObjects::from_document(&kept(objects)).as_ref(), Ok(objects));
}

/// A certificate that is good for a name.
fn certificate() -> Json {
    let (chain, key) = self_signed::for_names(&["a.example"], wall_now().as_secs()).expect("one can be made");
    json!({ "certificate": chain, "private_key": key })
}

#[test]
fn defaults_are_those_of_the_api() {
    let mut objects = ElbObjects::default();
    let balancer =
        json!({ "availability_zone_list": ["a"], "ipv6_vip_address": "::1", "vip_address": "127.0.0.2" });
    create(&mut objects, (ElbKind::LoadBalancer, ""), "lb", balancer).unwrap();
    let pool = json!({ "protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS", "loadbalancer_id": "lb" });
    create(&mut objects, (ElbKind::Pool, ""), "pool", pool).unwrap();
    let listener = json!({
        "name": "front", "loadbalancer_id": "lb", "protocol": "HTTP", "protocol_port": 8080, "default_pool_id": "pool",
    });
    create(&mut objects, (ElbKind::Listener, ""), "1234-5678", listener).unwrap();
    assert_eq!(
        mapping::text(&objects, &terms()),
        "# Made of the objects of the ELB API, which replaces this file: change them there.\n\n[[listener]]\n\
         name = \"1234-5678\"\ndescription = \"front\"\nenabled = true\naddress = [\"127.0.0.2:8080\", \"[::1]:8080\"]\n\
         protocol = \"http\"\ndefault_group = \"pool.12345678\"\nmax_connections = 0\n\
         connections_per_second = 0\nidle_timeout = \"60s\"\nhttp2 = false\ncompression = false\nclient_header_timeout = \"60s\"\n\
         client_body_timeout = \"60s\"\n\n[listener.forwarded]\nx_forwarded_for = \"append\"\n\
         x_forwarded_host = true\nx_forwarded_proto = false\nx_forwarded_port = false\nx_forwarded_for_port = false\nx_real_ip = false\n\n\
         [[server_group]]\nname = \"pool.12345678\"\nenabled = true\nprotocol = \"http\"\n\
         algorithm = \"LEAST_CONNECTIONS\"\nresponse_timeout = \"60s\"\nmax_retries = 1\nwhen_all_down = \"fail\"\n\
         backend = []\n"
    );
    assert_eq!(report(&objects), "");
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// Ids of one object of each kind, of those that come up again and again.
struct Ids {
    balancer: String,
    listener: String,
    pool: String,
    member: String,
    monitor: String,
    certificate: String,
    policy: String,
    rule: String,
    group: String,
    security: String,
}

impl Ids {
    fn new(numbers: &mut Numbers) -> Ids {
        // Few load balancers, so that objects of one meet.
        let balancer = format!("lb{}", numbers.below(2));
        let mut id = |kind: &str| format!("{kind}{}", numbers.below(4));
        Ids {
            balancer,
            listener: id("listener"),
            pool: id("pool"),
            member: id("member"),
            monitor: id("monitor"),
            certificate: id("cert"),
            policy: id("policy"),
            rule: id("rule"),
            group: id("group"),
            security: id("security"),
        }
    }

    fn kinds(&self) -> [(ElbKind, &str); 10] {
        [
            (ElbKind::LoadBalancer, &self.balancer),
            (ElbKind::Listener, &self.listener),
            (ElbKind::Pool, &self.pool),
            (ElbKind::Member, &self.member),
            (ElbKind::HealthMonitor, &self.monitor),
            (ElbKind::Policy, &self.policy),
            (ElbKind::Rule, &self.rule),
            (ElbKind::Certificate, &self.certificate),
            (ElbKind::IpGroup, &self.group),
            (ElbKind::SecurityPolicy, &self.security),
        ]
    }
}

/// What most other objects need.
fn beginning() -> ElbObjects {
    let mut objects = ElbObjects::default();
    let balancer = json!({ "availability_zone_list": [], "vip_address": "127.0.0.1" });
    create(&mut objects, (ElbKind::LoadBalancer, ""), "lb0", balancer).unwrap();
    let pool = json!({ "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": "lb0" });
    create(&mut objects, (ElbKind::Pool, ""), "pool0", pool).unwrap();
    let listener = json!({ "protocol": "HTTP", "protocol_port": 8_200, "loadbalancer_id": "lb0" });
    create(&mut objects, (ElbKind::Listener, ""), "listener0", listener).unwrap();
    objects
}

/// Tries to make, change or delete something; what does not go together is refused.
fn step(objects: &mut ElbObjects, numbers: &mut Numbers, certificate: &Json) -> Result<(), ElbFault> {
    let ids = Ids::new(numbers);
    let now = "2026-01-02T00:00:00Z";
    match numbers.below(24) {
        0 => {
            // Ports are those of one load balancer.
            let address = if ids.balancer == "lb0" { "127.0.0.1" } else { "127.0.0.2" };
            let sent = json!({ "availability_zone_list": [], "vip_address": address });
            create(objects, (ElbKind::LoadBalancer, ""), &ids.balancer, sent)
        }
        1 => create(objects, (ElbKind::Pool, ""), &ids.pool, some_pool(&ids, numbers)),
        2 | 3 => create(objects, (ElbKind::Listener, ""), &ids.listener, some_listener(&ids, numbers)),
        4 | 5 if objects.find(ElbKind::Pool, &ids.pool).is_some() => {
            let sent = json!({
                "address": numbers.one_of(&["127.0.0.1", "::1"]), "protocol_port": numbers.below(9),
                "weight": numbers.below(3),
            });
            create(objects, (ElbKind::Member, &ids.pool), &ids.member, sent)
        }
        6 => {
            let kind = numbers.one_of(&["HTTP", "HTTPS", "TCP", "GRPC", "UDP_CONNECT"]);
            let sent = json!({ "pool_id": ids.pool, "type": kind, "delay": 5, "timeout": 3, "max_retries": 2, "monitor_port": 80 });
            create(objects, (ElbKind::HealthMonitor, ""), &ids.monitor, sent)
        }
        7 => create(objects, (ElbKind::Certificate, ""), &ids.certificate, certificate.clone()),
        8 => change(objects, (ElbKind::Listener, &ids.listener), json!({ "default_pool_id": ids.pool })),
        9 => {
            let (kind, id) = ids.kinds()[numbers.below(6)];
            change(objects, (kind, id), json!({ "admin_state_up": numbers.below(2) == 0 }))
        }
        10 if numbers.below(20) == 0 => objects.delete_whole(ElbKind::LoadBalancer, &ids.balancer),
        10 if numbers.below(10) == 0 => objects.delete_whole(ElbKind::Listener, &ids.listener),
        11 | 12 => create(objects, (ElbKind::Policy, ""), &ids.policy, some_policy(&ids, numbers)),
        13 => create(objects, (ElbKind::Rule, &ids.policy), &ids.rule, some_rule(numbers)),
        14 => {
            let list = [json!([]), json!([{ "ip": "192.0.2.1-192.0.2.9" }, { "ip": "2001:db8::/32" }])];
            let sent = json!({ "ip_list": list[numbers.below(2)] });
            create(objects, (ElbKind::IpGroup, ""), &ids.group, sent)
        }
        15 => change(objects, (ElbKind::Listener, &ids.listener), some_change(&ids, numbers)),
        16 => create(objects, (ElbKind::SecurityPolicy, ""), &ids.security, some_security(numbers)),
        18 => create_master_slave(objects, ids, numbers),
        19 => delete_master_slave(objects),
        17 => change(objects, (ElbKind::SecurityPolicy, &ids.security), some_security(numbers)),
        _ => {
            let (kind, id) = ids.kinds()[numbers.below(10)];
            objects.delete(kind, id, now)
        }
    }
}

fn some_security(numbers: &mut Numbers) -> Json {
    let protocols = [json!(["TLSv1"]), json!(["TLSv1", "TLSv1.2"]), json!(["TLSv1.3", "TLSv1.2", "TLSv1.2"])];
    let ciphers = [
        json!(["AES128-SHA", "ECDHE-ECDSA-AES128-GCM-SHA256", "AES128-SHA"]),
        json!(["TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]),
    ];
    json!({ "protocols": protocols[numbers.below(3)], "ciphers": ciphers[numbers.below(2)] })
}

fn some_change(ids: &Ids, numbers: &mut Numbers) -> Json {
    let all = [
        json!({ "ipgroup": { "ipgroup_id": ids.group, "type": numbers.one_of(&["white", "black"]) } }),
        json!({ "ipgroup": null }),
        json!({ "enhance_l7policy_enable": numbers.below(3) > 0 }),
        json!({ "http2_enable": numbers.below(2) > 0 }),
        json!({ "security_policy_id": ids.security }),
        json!({ "security_policy_id": null }),
    ];
    all[numbers.below(6)].clone()
}

/// Makes one, for a listener that leads nowhere if there is such a one.
fn create_master_slave(objects: &mut ElbObjects, ids: Ids, numbers: &mut Numbers) -> Result<(), ElbFault> {
    let is_free = |one: &&ElbObject| {
        one.text("default_pool_id").is_empty() && ["TCP", "TLS", "UDP"].contains(&one.text("protocol"))
    };
    let listener = objects.of_kind(ElbKind::Listener).find(is_free).cloned();
    let sent = some_master_slave(listener.as_ref(), &ids.balancer, numbers);
    let creation = ElbCreation { project: "p", id: ids.pool, now: "2026-01-02T00:00:00Z" };
    objects.create_master_slave(&object(sent), &creation)
}

fn delete_master_slave(objects: &mut ElbObjects) -> Result<(), ElbFault> {
    let found = objects.of_kind(ElbKind::Pool).find(|pool| pool.is_of_master_slave());
    let id = found.map(|pool| pool.id.clone()).unwrap_or_default();
    objects.delete_master_slave(&id, "2026-01-02T00:00:00Z")
}

/// One for this listener, if there is one.
fn some_master_slave(listener: Option<&ElbObject>, balancer: &str, numbers: &mut Numbers) -> Json {
    let any = numbers.one_of(&["TCP", "TLS", "UDP", "QUIC"]);
    let protocol = listener.map_or(any, |listener| listener.text("protocol"));
    let kind = if ["UDP", "QUIC"].contains(&protocol) { "UDP_CONNECT" } else { "TCP" };
    json!({
        "protocol": protocol, "lb_algorithm": "ROUND_ROBIN", "listener_id": listener.map(|listener| &listener.id),
        "loadbalancer_id": listener.map_or(balancer, |listener| listener.text("loadbalancer_id")),
        "members": [
            { "address": "127.0.0.1", "protocol_port": 80, "role": "slave" },
            { "address": "::1", "protocol_port": 81, "role": numbers.one_of(&["master", "master", "slave"]) },
        ],
        "healthmonitor": { "type": kind, "delay": 5, "timeout": 3, "max_retries": 2 },
    })
}

fn change(objects: &mut ElbObjects, (kind, id): (ElbKind, &str), sent: Json) -> Result<(), ElbFault> {
    objects.update(kind, id, &object(sent), "2026-01-02T00:00:00Z")
}

fn some_pool(ids: &Ids, numbers: &mut Numbers) -> Json {
    let protocol = numbers.one_of(&["HTTP", "HTTP", "HTTPS", "GRPC", "TCP", "TLS", "UDP", "QUIC"]);
    let algorithm = numbers.one_of(&["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "QUIC_CID"]);
    let sticky = numbers.one_of(&["HTTP_COOKIE", "SOURCE_IP", "SOURCE_IP"]);
    json!({
        "protocol": protocol, "lb_algorithm": algorithm, "loadbalancer_id": ids.balancer,
        "session_persistence": { "type": sticky }, "slow_start": { "enable": numbers.below(3) == 0 }, "any_port_enable": numbers.below(8) == 0,
    })
}

fn some_listener(ids: &Ids, numbers: &mut Numbers) -> Json {
    let protocols = ["HTTP", "HTTP", "TERMINATED_HTTPS", "TERMINATED_HTTPS", "TCP", "TLS", "UDP", "QUIC"];
    let protocol = numbers.one_of(&protocols);
    let is_relayed = ["TCP", "TLS", "UDP"].contains(&protocol);
    let port = 8_000 + numbers.below(100);
    let has_ranges = is_relayed && numbers.below(2) == 0;
    let ranges =
        json!([{ "start_port": port, "end_port": port + 5 }, { "start_port": 9_000, "end_port": 9_000 }]);
    json!({
        "loadbalancer_id": ids.balancer, "protocol": protocol, "protocol_port": if has_ranges { 0 } else { port },
        "port_ranges": if has_ranges { ranges } else { json!([]) },
        "http2_enable": !is_relayed && numbers.below(2) == 0,
        "default_tls_container_ref": Some(&ids.certificate).filter(|_| !["HTTP", "TCP", "UDP"].contains(&protocol)),
        "default_pool_id": Some(&ids.pool).filter(|_| numbers.below(2) == 0),
        "security_policy_id": Some(&ids.security).filter(|_| numbers.below(3) == 0),
        "enhance_l7policy_enable": numbers.below(3) > 0,
        "proxy_protocol_enable": protocol == "TLS" && numbers.below(2) == 0,
        "quic_config": (protocol == "TERMINATED_HTTPS" && numbers.below(2) == 0).then(|| json!({
            "quic_listener_id": format!("listener{}", numbers.below(4)), "enable_quic_upgrade": true,
        })),
    })
}

fn some_policy(ids: &Ids, numbers: &mut Numbers) -> Json {
    let mut sent = match numbers.below(5) {
        0 => {
            json!({ "action": "REDIRECT_TO_LISTENER", "redirect_listener_id": format!("listener{}", numbers.below(4)) })
        }
        1 => json!({
            "action": "REDIRECT_TO_URL",
            "redirect_url_config": { "status_code": "301", "protocol": "HTTPS", "port": "443", "query": "" },
        }),
        2 => json!({
            "action": "FIXED_RESPONSE",
            "fixed_response_config": { "status_code": "403", "message_body": "no \"way\"\n" },
        }),
        3 => json!({
            "action": "REDIRECT_TO_POOL",
            "redirect_pools_config": [
                { "pool_id": ids.pool, "weight": "3" }, { "pool_id": format!("pool{}", numbers.below(4)), "weight": 0 },
            ],
            "redirect_pools_sticky_session_config": { "enable": numbers.below(2) == 0, "timeout": 60 },
        }),
        _ => json!({
            "action": "REDIRECT_TO_POOL", "redirect_pool_id": ids.pool,
            "redirect_pools_extend_config": {
                "rewrite_url_enable": true, "rewrite_url_config": { "path": "/v2${path}" },
                "insert_headers_config": { "configs": [
                    { "key": "X-From", "value_type": "SYSTEM_DEFINED", "value": "ELB-ID" },
                    { "key": "x-ip", "value_type": "SYSTEM_DEFINED", "value": "CLIENT-IP" },
                ] },
                "traffic_limit_config": { "qps": 100, "per_source_ip_qps": 0, "burst": 20 },
            },
        }),
    };
    if sent["action"] == "REDIRECT_TO_POOL" && numbers.below(3) == 0 {
        let copies = json!({ "target_ids": [ids.pool], "mirror_request_body_enable": numbers.below(2) == 0 });
        sent["redirect_pools_extend_config"]["traffic_mirror_config"] = copies;
    }
    if sent["action"] == "REDIRECT_TO_POOL" && numbers.below(3) > 0 {
        sent["redirect_pools_extend_config"]["cors_config"] = json!({
            "allow_origin": [numbers.one_of(&["*", "https://*.a.example:8443"])], "allow_headers": ["X-A", "*"],
            "max_age": -1,
        });
    }
    sent["listener_id"] = Json::from(ids.listener.as_str());
    if numbers.below(2) == 0 {
        sent["rules"] = json!([{ "type": "PATH", "compare_type": "STARTS_WITH", "value": numbers.one_of(&["/a", "/a/b", "/c*"]) }]);
    }
    sent
}

fn some_rule(numbers: &mut Numbers) -> Json {
    match numbers.below(6) {
        0 => {
            json!({ "type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": numbers.one_of(&["a.example", "*.b.example"]) })
        }
        1 => json!({ "type": "PATH", "compare_type": "EQUAL_TO", "value": "/exactly" }),
        2 => json!({ "type": "PATH", "compare_type": "REGEX", "value": "^/v[0-9]+/" }),
        3 => json!({
            "type": "HEADER", "compare_type": "EQUAL_TO",
            "conditions": [{ "key": "x-a", "value": "1*" }, { "key": "x-a", "value": "2" }],
        }),
        4 => json!({ "type": "METHOD", "compare_type": "EQUAL_TO", "conditions": [{ "value": "POST" }] }),
        _ => {
            json!({ "type": "SOURCE_IP", "compare_type": "EQUAL_TO", "conditions": [{ "value": "192.0.2.0/24" }] })
        }
    }
}

#[test]
fn whatever_is_made_and_deleted_the_configuration_is_accepted() {
    let certificate = certificate();
    let mut numbers = Numbers(7);
    let (mut taken, mut most) = (0, 0);
    // What has to come up at all.
    let mut unseen = vec!["[[tls_policy]]", "{ cors = ", "{ mirror = ", "role = \"standby\""];
    for _ in 0..50 {
        let mut objects = beginning();
        for _ in 0..200 {
            let mut next = objects.clone();
            let is_new = |one: &ElbObject| objects.find(one.kind, &one.id).is_none();
            if step(&mut next, &mut numbers, &certificate).is_err() {
                continue;
            }
            // Ids are random where they are made; here some come twice.
            let ids: Vec<(ElbKind, &str)> = ElbKind::ALL
                .iter()
                .flat_map(|kind| next.of_kind(*kind))
                .map(|one| (one.kind, one.id.as_str()))
                .collect();
            let is_unique = ids.iter().enumerate().all(|(place, id)| !ids[..place].contains(id));
            if !is_unique {
                continue;
            }
            taken += usize::from(ElbKind::ALL.iter().any(|kind| next.of_kind(*kind).any(is_new)));
            most = most.max(ids.len());
            objects = next;
            assert_accepted(&objects);
            let text = mapping::text(&objects, &terms());
            unseen.retain(|word| !text.contains(word));
        }
    }
    assert!(unseen.is_empty(), "{unseen:?}");
    assert!(taken > 400 && most > 12, "{taken} {most}");
}

#[test]
fn a_damaged_document_is_told_with_its_place() {
    let mut objects = ElbObjects::default();
    create(&mut objects, (ElbKind::IpGroup, ""), "g1", json!({ "ip_list": [] })).unwrap();
    let whole = kept(&objects);
    for (damage, told) in [
        (json!({ "format": 2 }), "`format` is 2, and this version reads 1"),
        (json!({ "objects": {} }), "`objects` is no list"),
        (json!({ "objects": [{ "kind": "ipgroup" }] }), "`id` of objects[0] is missing"),
        (json!({ "objects": [{ "kind": "other", "id": "1" }] }), "`kind` of objects[0] is missing"),
    ] {
        let mut document = whole.clone();
        document.as_object_mut().unwrap().append(&mut object(damage));
        let refused = ElbObjects::from_document(&document).unwrap_err();
        assert!(refused.starts_with(told), "{refused}");
    }
}
