//! `cors_config` of a forwarding policy: which pages of other origins may read responses.

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::field;
use crate::policy::cors::WebOrigin;

/// Seconds for which browsers may remember what is allowed; -1 forbids it.
const AGES: ElbForm = ElbForm::Number(-1, 172_800);

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    field("allow_origin", ElbForm::Texts, ElbPresence::Required),
    field("allow_methods", ElbForm::Texts, ElbPresence::Default("[]")),
    field("allow_headers", ElbForm::Texts, ElbPresence::Default("[]")),
    field("expose_headers", ElbForm::Texts, ElbPresence::Default("[]")),
    field("allow_credentials", ElbForm::Truth, ElbPresence::Default("false")),
    field("max_age", AGES, ElbPresence::Nullable),
];

/// The lists of names, which Ringway calls by the same words.
pub(in crate::control::elb) const LISTS: [&str; 3] = ["allow_methods", "allow_headers", "expose_headers"];

/// Where it stands in a policy.
const PLACE: &str = "redirect_pools_extend_config.cors_config";

/// The texts of one of its lists.
pub(in crate::control::elb) fn texts<'c>(cors: &'c Map<String, Json>, name: &str) -> Vec<&'c str> {
    let list = cors.get(name).and_then(Json::as_array);
    list.into_iter().flatten().filter_map(Json::as_str).collect()
}

/// Whether browsers and Ringway understand it.
///
/// # Errors
/// It names the attribute.
pub(in crate::control::elb) fn check(cors: &Map<String, Json>) -> Result<(), ElbFault> {
    let fault = |name: &str, why: String| Err(ElbFault::attribute(&format!("{PLACE}.{name}"), why));
    let origins = texts(cors, "allow_origin");
    if origins.is_empty() {
        return fault("allow_origin", "must name an origin, or be [\"*\"]".to_owned());
    }
    let is_any = origins.contains(&"*");
    if is_any && origins.len() > 1 {
        return fault("allow_origin", "has \"*\", beside which nothing else can stand".to_owned());
    }
    if let Some(origin) = origins.iter().find(|origin| !is_origin(origin)) {
        let why = format!(
            "must have origins such as https://app.example.com and https://*.example.com, without a path: \"{}\"",
            origin.escape_debug()
        );
        return fault("allow_origin", why);
    }
    let has_credentials = cors.get("allow_credentials") == Some(&Json::Bool(true));
    if has_credentials && is_any {
        return fault("allow_credentials", "is refused by browsers where `allow_origin` is \"*\"".to_owned());
    }
    for name in LISTS {
        let names = texts(cors, name);
        if let Some(text) = names.iter().find(|text| !is_token(text)) {
            return fault(
                name,
                format!("must have names without spaces and commas: \"{}\"", text.escape_debug()),
            );
        }
        if has_credentials && names.contains(&"*") {
            return fault(
                name,
                "must name all: with `allow_credentials`, \"*\" is but a name to browsers".to_owned(),
            );
        }
    }
    Ok(())
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some((scheme @ ("http" | "https"), host)) = text.split_once("://") else { return false };
    let (host, is_pattern) = host.strip_prefix("*.").map_or((host, false), |host| (host, true));
    let origin = format!("{scheme}://{host}");
    WebOrigin::parse(&origin).is_some_and(|origin| !is_pattern || !origin.host.starts_with('['))
}

/// A name of a method or a header (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(cors: Json) -> String {
        check(cors.as_object().unwrap()).err().map(|fault| fault.message).unwrap_or_default()
    }

    #[test]
    fn mistakes_are_named_by_their_attributes() {
        for (cors, words) in [
            (json!({ "allow_origin": ["*"], "allow_methods": ["*"], "max_age": -1 }), ""),
            (
                json!({ "allow_origin": ["http://*.a.example:80", "https://[::1]:8443"], "allow_credentials": true }),
                "",
            ),
            (json!({ "allow_origin": [] }), "allow_origin` must name"),
            (json!({ "allow_origin": ["*", "https://a.example"] }), "allow_origin` has \"*\""),
            (json!({ "allow_origin": ["a.example"] }), "allow_origin` must have origins"),
            (json!({ "allow_origin": ["null"] }), "allow_origin` must have origins"),
            (json!({ "allow_origin": ["https://a.example/"] }), "allow_origin` must have origins"),
            (json!({ "allow_origin": ["https://a.*.example"] }), "allow_origin` must have origins"),
            (json!({ "allow_origin": ["https://*.[::1]"] }), "allow_origin` must have origins"),
            (json!({ "allow_origin": ["*"], "allow_credentials": true }), "allow_credentials` is refused"),
            (
                json!({ "allow_origin": ["*"], "allow_methods": ["GET, PUT"] }),
                "allow_methods` must have names",
            ),
            (json!({ "allow_origin": ["*"], "expose_headers": [""] }), "expose_headers` must have names"),
            (
                json!({ "allow_origin": ["http://a"], "allow_credentials": true, "allow_headers": ["*"] }),
                "allow_headers` must name all",
            ),
        ] {
            let said = said(cors.clone());
            assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{cors}: {said}");
        }
    }
}
