//! What scripts ask for before they make anything: there is one of each, and it is this host.

use std::net::IpAddr;
use std::net::UdpSocket;

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::TlsVersion;
use crate::config::tls_policies::Predefined;
use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::store;

/// Attributes of load balancers where listeners are bound.
const ADDRESSES: [&str; 2] = ["vip_address", "ipv6_vip_address"];

/// Whether listeners could be bound at the addresses that are named, if any are.
///
/// # Errors
/// It names the attribute.
pub(super) fn check_addresses(sent: &Map<String, Json>) -> Result<(), ElbFault> {
    for name in ADDRESSES {
        let address = sent.get(name).and_then(Json::as_str).and_then(|text| text.parse::<IpAddr>().ok());
        // A port of UDP is in nobody's way.
        let refused = address.and_then(|address| UdpSocket::bind((address, 0)).err());
        if let Some(error) = refused {
            let why = format!("is an address that this host cannot bind: {error}; name one of its own");
            return Err(ElbFault::attribute(name, why));
        }
    }
    Ok(())
}

pub(super) fn versions() -> Json {
    json!({ "versions": [{ "id": "v3", "status": "CURRENT" }] })
}

/// The document at this place below the project.
pub(super) fn find(word: &str) -> Option<Json> {
    Some(match word {
        "availability-zones" => json!({
            "availability_zones": [[{
                "code": "ringway", "state": "ACTIVE", "category": 0, "public_border_group": "center",
                "protocol": ["L4", "L7"],
            }]],
        }),
        "flavors" => json!({
            "flavors": [flavor("L4_flavor.ringway", "L4"), flavor("L7_flavor.ringway", "L7")],
            "page_info": { "current_count": 2 },
        }),
        "quotas" => quotas(),
        _ => return None,
    })
}

/// The policies that `tls_ciphers_policy` names, in the form of the real service: with spaces and colons between words.
pub(super) fn security_policies(project: &str) -> Json {
    let policy = |policy: &Predefined| {
        let versions = policy.versions.iter().map(|version| match version {
            TlsVersion::Tls10 => "TLSv1",
            TlsVersion::Tls11 => "TLSv1.1",
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        });
        let suites = policy.cipher_suites().map(|suite| suite.openssl);
        json!({
            "name": policy.name, "project_id": project, "protocols": versions.collect::<Vec<_>>().join(" "),
            "ciphers": suites.collect::<Vec<_>>().join(":"),
        })
    };
    let policies = store::SYSTEM_POLICIES.iter().filter_map(|name| Predefined::named(name)).map(policy);
    json!({ "system_security_policies": policies.collect::<Vec<Json>>() })
}

fn flavor(name: &str, kind: &str) -> Json {
    json!({
        "id": name, "name": name, "type": kind, "shared": true, "flavor_sold_out": false, "status": "ACTIVE",
        "info": {},
    })
}

fn quotas() -> Json {
    let mut quota = json!({});
    for kind in ElbKind::ALL {
        quota[kind.word()] = Json::from(kind.quota());
    }
    json!({ "quota": quota })
}
