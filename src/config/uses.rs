//! Which objects name which others.

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::objects::Object;
use crate::config::objects::ObjectKind;
use crate::config::objects::ObjectPath;

/// Keys that name others, wherever they stand in an object of the first kind: a name, or a list of such.
const REFERENCES: [(ObjectKind, &str, ObjectKind); 18] = [
    (ObjectKind::Listener, "certificates", ObjectKind::Certificate),
    (ObjectKind::Listener, "tls_policy", ObjectKind::TlsPolicy),
    (ObjectKind::Listener, "ca", ObjectKind::Authority),
    (ObjectKind::Listener, "default_group", ObjectKind::ServerGroup),
    (ObjectKind::Listener, "redirect_to", ObjectKind::Listener),
    (ObjectKind::Listener, "quic_listener", ObjectKind::Listener),
    (ObjectKind::Listener, "allow", ObjectKind::IpGroup),
    (ObjectKind::Listener, "deny", ObjectKind::IpGroup),
    (ObjectKind::ServerGroup, "client_certificate", ObjectKind::Certificate),
    (ObjectKind::ServerGroup, "ca", ObjectKind::Authority),
    (ObjectKind::ServerGroup, "allow", ObjectKind::IpGroup),
    (ObjectKind::ServerGroup, "deny", ObjectKind::IpGroup),
    (ObjectKind::Rule, "listener", ObjectKind::Listener),
    (ObjectKind::Rule, "group", ObjectKind::ServerGroup),
    (ObjectKind::Rule, "source_ip", ObjectKind::IpGroup),
    (ObjectKind::Rule, "allow", ObjectKind::IpGroup),
    (ObjectKind::Rule, "deny", ObjectKind::IpGroup),
    (ObjectKind::ErrorPage, "listener", ObjectKind::Listener),
];

/// The objects that name this one, in the order of the configuration.
pub fn users_of(objects: &[Object], kind: ObjectKind, name: &str) -> Vec<ObjectPath> {
    let users = objects.iter().filter(|object| {
        let keys: Vec<&str> = REFERENCES
            .iter()
            .filter(|(from, _, to)| *from == object.kind && *to == kind)
            .map(|(_, key, _)| *key)
            .collect();
        !keys.is_empty() && names(&object.settings, &keys, name)
    });
    users.map(Object::path).collect()
}

/// Recursion is bounded: the parser refuses deep nesting.
fn names(table: &Map<String, Json>, keys: &[&str], name: &str) -> bool {
    table.iter().any(|(key, value)| {
        let is_named = |value: &Json| value.as_str() == Some(name);
        let is_it = keys.contains(&key.as_str())
            && (is_named(value) || value.as_array().is_some_and(|list| list.iter().any(is_named)));
        is_it || names_within(value, keys, name)
    })
}

fn names_within(value: &Json, keys: &[&str], name: &str) -> bool {
    match value {
        Json::Object(table) => names(table, keys, name),
        Json::Array(list) => list.iter().any(|value| names_within(value, keys, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::config::load;

    #[test]
    fn whoever_names_an_object_uses_it() {
        let text = "
            [[listener]]
            name = \"web\"
            certificates = [\"a\", \"b\"]
            default_group = \"app\"
            allow = [\"office\", \"10.0.0.0/8\"]
            [listener.client_auth]
            ca = \"clients\"
            [[server_group]]
            name = \"app\"
            [server_group.tls]
            client_certificate = \"b\"
            ca = \"backends\"
            [[rule]]
            name = \"canary\"
            listener = [\"web\"]
            forward = { groups = [{ group = \"app\", weight = 1 }] }
            [[rule]]
            name = \"shadow\"
            listener = \"web\"
            actions = [{ mirror = { group = \"app\" } }, { set_header = { name = \"group\", value = \"app\" } }]
            maintenance = { allow = [\"office\"] }
            [[error_page]]
            listener = \"web\"
            ";
        let objects = load(vec![Source::made_up("text", text.to_owned())]).objects();
        let users = |kind, name| -> Vec<String> {
            users_of(&objects, kind, name).iter().map(ObjectPath::to_string).collect()
        };
        assert_eq!(users(ObjectKind::Certificate, "a"), ["listeners/web"]);
        assert_eq!(users(ObjectKind::Certificate, "b"), ["listeners/web", "server-groups/app"]);
        assert_eq!(users(ObjectKind::ServerGroup, "app"), ["listeners/web", "rules/canary", "rules/shadow"]);
        assert_eq!(users(ObjectKind::IpGroup, "office"), ["listeners/web", "rules/shadow"]);
        assert_eq!(users(ObjectKind::Authority, "clients"), ["listeners/web"]);
        assert_eq!(users(ObjectKind::Authority, "backends"), ["server-groups/app"]);
        let of_listener = ["rules/canary", "rules/shadow", "error-pages/error-page-1"];
        assert_eq!(users(ObjectKind::Listener, "web"), of_listener);
        assert_eq!(users(ObjectKind::TlsPolicy, "strict"), [""; 0]);
    }
}
