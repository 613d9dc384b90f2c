//! Forwarding policies and their rules as rules of the configuration.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::control::elb::index::ElbIndex;
use crate::control::elb::mapping::names;
use crate::control::elb::mapping::tables::Tables;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::objects::cors;
use crate::control::elb::objects::header_value;
use crate::control::elb::objects::policy;
use crate::control::elb::objects::rule;

/// One that has rules, and its place.
pub(super) fn table(
    index: &ElbIndex<'_>,
    (listener, policy): (&ElbObject, &ElbObject),
    place: usize,
    tables: &mut Tables,
) {
    tables.header("[[rule]]");
    tables.key("name", policy.id.as_str());
    if !policy.text("name").is_empty() {
        tables.key("description", policy.text("name"));
    }
    tables.key("listener", listener.id.as_str());
    tables.key("enabled", policy.truth("admin_state_up"));
    tables.key("priority", place);
    let conditions: Vec<Json> = index.rules_of(&policy.id).iter().map(|rule| condition(rule)).collect();
    tables.key("conditions", conditions);
    tables.key("actions", actions(index, listener, policy));
}

fn condition(rule: &ElbObject) -> Json {
    let values = rule::values(rule);
    match rule.text("type") {
        "HOST_NAME" => json!({ "host": values }),
        "METHOD" => json!({ "method": values }),
        "SOURCE_IP" => json!({ "source_ip": values }),
        "HEADER" => json!({ "header": { "name": rule::key(rule), "values": values } }),
        "QUERY_STRING" => json!({ "query": { "name": rule::key(rule), "values": values } }),
        "COOKIE" => json!({ "cookie": { "name": rule::key(rule), "values": values } }),
        _ => {
            let paths = values.into_iter().map(|value| path(rule.text("compare_type"), value));
            json!({ "path": paths.collect::<Vec<_>>() })
        }
    }
}

/// In paths of the API, `*` and `?` are themselves, and the beginning of a path may end within a segment.
fn path(comparison: &str, value: &str) -> String {
    let has_wildcard = value.contains(['*', '?']);
    match (comparison, has_wildcard) {
        ("REGEX", _) => format!("~{value}"),
        ("STARTS_WITH", false) => format!("{value}*"),
        ("STARTS_WITH", true) => format!("~^{}", escaped(value)),
        (_, false) => value.to_owned(),
        (_, true) => format!("~^{}$", escaped(value)),
    }
}

/// An expression that stands for nothing but this text.
fn escaped(text: &str) -> String {
    let mut expression = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(c) {
            expression.push('\\');
        }
        expression.push(c);
    }
    expression
}

fn actions(index: &ElbIndex<'_>, listener: &ElbObject, policy: &ElbObject) -> Vec<Json> {
    let mut actions = Vec::new();
    match policy.text("action") {
        policy::TO_POOL => {
            let extend = policy.table("redirect_pools_extend_config");
            actions.extend(extend.into_iter().flat_map(|extend| changes(index, listener, extend)));
            actions.extend(mirror(index, listener, policy));
            actions.push(json!({ "forward": targets(index, listener, policy) }));
        }
        policy::TO_URL => {
            let url = policy.table("redirect_url_config").map(redirect).unwrap_or_default();
            actions.push(json!({ "redirect": url }));
        }
        _ => {
            let response = policy.table("fixed_response_config");
            let of = |name: &str| response.and_then(|response| response.get(name));
            actions.extend(of("traffic_limit_config").and_then(Json::as_object).and_then(limit));
            let text = |name: &str| of(name).and_then(Json::as_str).unwrap_or_default();
            let code: u64 = text("status_code").parse().unwrap_or_default();
            let (content_type, body) = (text("content_type"), text("message_body"));
            actions.push(json!({ "respond": { "code": code, "content_type": content_type, "body": body } }));
        }
    }
    actions
}

/// The group that an id stands for.
fn group(index: &ElbIndex<'_>, listener: &ElbObject, id: &str) -> String {
    let pool = index.objects.find(ElbKind::Pool, id);
    pool.map(|pool| names::group_name(listener, pool)).unwrap_or_default()
}

fn mirror(index: &ElbIndex<'_>, listener: &ElbObject, policy: &ElbObject) -> Option<Json> {
    let extend = policy.table("redirect_pools_extend_config")?;
    let body = &extend.get("traffic_mirror_config")?["mirror_request_body_enable"];
    Some(json!({ "mirror": { "group": group(index, listener, policy::mirror(policy)?), "body": body } }))
}

fn targets(index: &ElbIndex<'_>, listener: &ElbObject, policy: &ElbObject) -> Json {
    let name = |id: &str| group(index, listener, id);
    let one = policy.text("redirect_pool_id");
    let groups: Vec<Json> = match one.is_empty() {
        false => vec![json!({ "group": name(one) })],
        true => {
            let weighted = policy::weighted(policy);
            weighted.map(|(pool, weight)| json!({ "group": name(pool), "weight": weight })).collect()
        }
    };
    let sticky = policy.table("redirect_pools_sticky_session_config");
    match sticky.filter(|sticky| sticky.get("enable") == Some(&Json::Bool(true))) {
        None => Json::Array(groups),
        Some(sticky) => {
            let minutes = sticky.get("timeout").and_then(Json::as_i64).unwrap_or(1_440);
            json!({ "groups": groups, "sticky": { "timeout": format!("{}s", minutes * 60) } })
        }
    }
}

/// What becomes of a request before it is forwarded.
fn changes(index: &ElbIndex<'_>, listener: &ElbObject, extend: &Map<String, Json>) -> Vec<Json> {
    let table = |name: &str| extend.get(name).and_then(Json::as_object);
    let mut actions: Vec<Json> = table("cors_config").map(cors_action).into_iter().collect();
    actions.extend(table("traffic_limit_config").and_then(limit));
    let is_rewritten = extend.get("rewrite_url_enable") == Some(&Json::Bool(true));
    let rewrite = table("rewrite_url_config")
        .filter(|_| is_rewritten)
        .map(|url| parts(url, &["host", "path", "query"]));
    actions.extend(rewrite.filter(|parts| !parts.is_empty()).map(|parts| json!({ "rewrite": parts })));
    let configs = |name: &str| {
        let list = table(name).and_then(|table| table.get("configs")).and_then(Json::as_array);
        list.into_iter().flatten()
    };
    let balancer = index.objects.find(ElbKind::LoadBalancer, listener.text("loadbalancer_id"));
    for header in configs("insert_headers_config") {
        let value = balancer.and_then(|balancer| header_value::find(header, balancer)).unwrap_or_default();
        let name = header["key"].as_str().unwrap_or_default().to_ascii_lowercase();
        actions.push(json!({ "set_header": { "name": name, "value": value } }));
    }
    for header in configs("remove_headers_config") {
        let name = header["key"].as_str().unwrap_or_default().to_ascii_lowercase();
        actions.push(json!({ "remove_header": { "name": name } }));
    }
    actions
}

/// Lists that say nothing are those of browsers.
fn cors_action(config: &Map<String, Json>) -> Json {
    let lists = cors::LISTS.iter().map(|name| ((*name).to_owned(), cors::texts(config, name)));
    let lists = lists.filter(|(_, texts)| !texts.is_empty()).map(|(key, texts)| (key, Json::from(texts)));
    let mut action: Map<String, Json> = lists.collect();
    action.insert("allow_origins".to_owned(), Json::from(cors::texts(config, "allow_origin")));
    action.insert("allow_credentials".to_owned(), config["allow_credentials"].clone());
    if let Some(age) = config.get("max_age").and_then(Json::as_i64) {
        // -1 forbids browsers to remember, and so does 0.
        action.insert("max_age".to_owned(), Json::from(format!("{}s", age.max(0))));
    }
    json!({ "cors": action })
}

/// None: there is none.
fn limit(limit: &Map<String, Json>) -> Option<Json> {
    const KEYS: [(&str, &str); 3] = [
        ("qps", "requests_per_second"),
        ("per_source_ip_qps", "per_client_requests_per_second"),
        ("burst", "burst"),
    ];
    let number = |name: &str| limit.get(name).and_then(Json::as_i64).filter(|number| *number > 0);
    let is_one = number("qps").or_else(|| number("per_source_ip_qps")).is_some();
    let of = |(name, key): (&str, &str)| Some((key.to_owned(), Json::from(number(name)?)));
    is_one.then(|| json!({ "limit": KEYS.into_iter().filter_map(of).collect::<Map<_, _>>() }))
}

fn redirect(url: &Map<String, Json>) -> Json {
    let text = |name: &str| url.get(name).and_then(Json::as_str).unwrap_or_default();
    let mut redirect = parts(url, &["host", "path", "query"]);
    redirect.insert("code".to_owned(), Json::from(text("status_code").parse::<u64>().unwrap_or(302)));
    if text("protocol") != "${protocol}" {
        redirect.insert("protocol".to_owned(), Json::from(text("protocol").to_ascii_lowercase()));
    }
    // Unless it is named, the port stays that of the listener there, and is that of the protocol here.
    let port = text("port").parse::<u16>().map_or_else(|_| Json::from(text("port")), Json::from);
    redirect.insert("port".to_owned(), port);
    Json::Object(redirect)
}

/// The parts of a URL that do not stay as they are.
fn parts(url: &Map<String, Json>, names: &[&str]) -> Map<String, Json> {
    let changed = |name: &&str| {
        let text = url.get(*name)?.as_str()?;
        (text != format!("${{{name}}}")).then(|| ((*name).to_owned(), Json::from(with_captures(text))))
    };
    names.iter().filter_map(changed).collect()
}

/// What an expression has captured is `$1` there and `${1}` here.
fn with_captures(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        written.push_str(before);
        match behind.chars().next().filter(char::is_ascii_digit) {
            Some(digit) => {
                written.push_str(&format!("${{{digit}}}"));
                rest = &behind[1..];
            }
            None => {
                written.push('$');
                rest = behind;
            }
        }
    }
    written.push_str(rest);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_by_the_letter() {
        for (comparison, value, expected) in [
            ("EQUAL_TO", "/a", "/a"),
            ("EQUAL_TO", "/a*b?", "~^/a\\*b\\?$"),
            ("STARTS_WITH", "/a", "/a*"),
            ("STARTS_WITH", "/a.*", "~^/a\\.\\*"),
            ("REGEX", "^/v[0-9]+/", "~^/v[0-9]+/"),
        ] {
            assert_eq!(path(comparison, value), expected, "{comparison} {value}");
        }
    }

    #[test]
    fn captures_have_braces_here() {
        for (text, expected) in [
            ("/new/$1/$2", "/new/${1}/${2}"),
            ("${path}/x", "${path}/x"),
            ("$1", "${1}"),
            ("$", "$"),
            ("a$b", "a$b"),
        ] {
            assert_eq!(with_captures(text), expected, "{text}");
        }
    }
}
