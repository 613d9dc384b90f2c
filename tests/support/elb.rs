//! A client of the ELB API, whose signatures are made here once more.

use super::Ringway;
use super::api::{Told, admin_address, call_at};
use aws_lc_rs::{digest, hmac};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

/// Who asks: an access key, its secret and its project.
pub(crate) type ElbKey = (&'static str, &'static str, &'static str);

pub(crate) const WRITER: ElbKey = ("AKWRITE", "secret-of-writer", "p1");
pub(crate) const READER: ElbKey = ("AKREAD", "secret-of-reader", "p1");

/// The keys as a file has them.
pub(crate) const KEYS: &str = "# ours\nAKWRITE secret-of-writer p1\nAKREAD secret-of-reader p1 read\n";

/// The tables that the API needs.
pub(crate) const TABLES: &str = "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"\naudit = \"audit.log\"\n\
    [admin.elb_api]\nkeys_file = \"elb.keys\"\nstate = \"elb\"\nvip_address = \"127.0.0.1\"\n";

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A signed call below `/v3/PROJECT/elb/`. `query` is in canonical order.
pub(crate) fn elb(ringway: &Ringway, key: ElbKey, (method, path): (&str, &str), content: &Json) -> Told {
    let (access, secret, project) = key;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = format!("/v3/{project}/elb/{path}");
    let address = admin_address(ringway);
    let content = if content.is_null() { String::new() } else { content.to_string() };
    let date = Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]).output().expect("date runs");
    let date = String::from_utf8(date.stdout).expect("it is text").trim().to_owned();
    let body = hexadecimal(digest::digest(&digest::SHA256, content.as_bytes()).as_ref());
    let signed = "host;x-sdk-date";
    let canonical =
        format!("{method}\n{path}/\n{query}\nhost:{address}\nx-sdk-date:{date}\n\n{signed}\n{body}");
    let canonical = hexadecimal(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("SDK-HMAC-SHA256\n{date}\n{canonical}");
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hexadecimal(hmac::sign(&secret, to_sign.as_bytes()).as_ref());
    let authorization =
        format!("SDK-HMAC-SHA256 Access={access}, SignedHeaders={signed}, Signature={signature}");
    let target = if query.is_empty() { path } else { format!("{path}?{query}") };
    let fields = [("X-Sdk-Date", date.as_str()), ("Authorization", authorization.as_str())];
    call_at(address, (method, &target), &fields, &content)
}

/// Makes an object, and gives its attributes.
#[track_caller]
pub(crate) fn made(ringway: &Ringway, path: &str, kind: &str, attributes: &Json) -> Json {
    let told = elb(ringway, WRITER, ("POST", path), &json!({ kind: attributes }));
    assert_eq!(told.status, 201, "{}", told.text);
    told.json()[kind].clone()
}

/// The id of an object.
pub(crate) fn id(object: &Json) -> &str {
    object["id"].as_str().expect("it has an id")
}

/// A load balancer, a group and a listener that leads to it.
pub(crate) fn service(ringway: &Ringway, at: SocketAddr) -> (Json, Json, Json) {
    let balancer = made(
        ringway,
        "loadbalancers",
        "loadbalancer",
        &json!({ "name": "lb", "availability_zone_list": ["ringway"] }),
    );
    let pool = made(
        ringway,
        "pools",
        "pool",
        &json!({ "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": id(&balancer) }),
    );
    let listener = made(
        ringway,
        "listeners",
        "listener",
        &json!({
            "name": "front", "protocol": "HTTP", "protocol_port": at.port(), "loadbalancer_id": id(&balancer),
            "default_pool_id": id(&pool),
        }),
    );
    (balancer, pool, listener)
}

#[track_caller]
pub(crate) fn refused(told: &Told, status: u16, code: &str, words: &str) {
    let document = told.json();
    assert!(
        told.status == status && document["error_code"] == code && told.text.contains(words),
        "{} {}",
        told.status,
        told.text
    );
    assert_eq!(document["request_id"].as_str(), told.field("X-Request-Id"));
}

/// An address at which nothing listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free")
}
