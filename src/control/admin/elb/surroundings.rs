//! What scripts ask for before they make anything: there is one of each, and it is this host.

use serde_json::Value as Json;
use serde_json::json;

use crate::control::elb::object::ElbKind;

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
