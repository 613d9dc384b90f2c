//! Parts of lists: filters by any attribute, and pages.

use serde_json::Value as Json;
use serde_json::json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::object::ElbKind;
use crate::control::elb::store;

/// Objects of a page.
const MAX_LIMIT: usize = 2_000;

/// What says which part of a list is wanted, or how it is shown where there is one way only.
const OF_PAGES: [&str; 6] =
    ["limit", "marker", "page_reverse", "display_all_rules", "include_recycle_bin", "list_all"];

/// What objects have besides the attributes that clients give them, whether all kinds have it or not.
const OF_ALL: [&str; 11] = [
    "id",
    "project_id",
    "enterprise_project_id",
    "created_at",
    "updated_at",
    "provisioning_status",
    "operating_status",
    "ip_version",
    "member_type",
    "healthmonitor_id",
    "member_address",
];

/// The objects of a list that are asked for, and where they stand in it. Values of one filter are alternatives, filters
/// must all hold.
///
/// # Errors
/// It names the parameter.
pub(super) fn page(
    kind: ElbKind,
    all: Vec<Json>,
    parameters: &[(String, String)],
) -> Result<(Vec<Json>, Json), ElbFault> {
    let is_known =
        |name: &str| OF_PAGES.contains(&name) || OF_ALL.contains(&name) || store::has_attribute(kind, name);
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !is_known(name)) {
        let why = format!("is none by which {} are found", kind.plural());
        return Err(ElbFault::attribute(name, why));
    }
    let last = |name: &str| {
        parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    let limit = match last("limit").map(str::parse) {
        None => MAX_LIMIT,
        Some(Ok(limit)) if limit <= MAX_LIMIT => limit,
        Some(_) => {
            return Err(ElbFault::attribute("limit", format!("must be a number from 0 to {MAX_LIMIT}")));
        }
    };
    let is_reverse = match last("page_reverse") {
        None => false,
        Some("true" | "True") => true,
        Some("false" | "False") => false,
        Some(_) => return Err(ElbFault::attribute("page_reverse", "must be true or false")),
    };
    let matching: Vec<Json> = all.into_iter().filter(|object| is_wanted(object, parameters)).collect();
    let place = |id: &str| matching.iter().position(|object| object["id"] == id);
    let unknown = || ElbFault::attribute("marker", "names no object of this list");
    let marker = last("marker").filter(|marker| !marker.is_empty());
    let marker = marker.map(|marker| place(marker).ok_or_else(unknown)).transpose()?;
    let (start, end) = match (marker, is_reverse) {
        (None, _) => (0, limit.min(matching.len())),
        (Some(marker), false) => (marker + 1, (marker + 1 + limit).min(matching.len())),
        (Some(marker), true) => (marker.saturating_sub(limit), marker),
    };
    let page = matching.get(start..end).unwrap_or_default().to_vec();
    let mut page_info = json!({ "current_count": page.len() });
    if let (Some(last), true) = (page.last(), end < matching.len()) {
        page_info["next_marker"] = last["id"].clone();
    }
    if let (Some(first), true) = (page.first(), start > 0) {
        page_info["previous_marker"] = first["id"].clone();
    }
    Ok((page, page_info))
}

fn is_wanted(object: &Json, parameters: &[(String, String)]) -> bool {
    let mut filters = parameters.iter().filter(|(name, _)| !OF_PAGES.contains(&name.as_str()));
    filters.all(|(name, _)| {
        let mut values = parameters.iter().filter(|(known, _)| known == name);
        values.any(|(_, value)| has(object, name, value))
    })
}

/// Parts and references are asked for by what they have, as in `loadbalancer_id` of a listener, or in `healthmonitor_id` and
/// `member_address` of a master-slave pool.
fn has(object: &Json, name: &str, value: &str) -> bool {
    let is_it = |found: &Json| match found {
        Json::String(text) => text == value,
        Json::Bool(truth) => value.eq_ignore_ascii_case(&truth.to_string()),
        Json::Number(number) => number.to_string() == value,
        _ => false,
    };
    let of_parts = || {
        let (part, key) = name.rsplit_once('_')?;
        match object.get(part) {
            Some(part) => Some(is_it(&part[key])),
            None => {
                let list = object.get(format!("{part}s"))?.as_array()?;
                Some(list.iter().any(|one| is_it(&one[key])))
            }
        }
    };
    match object.get(name) {
        Some(Json::Array(list)) => list.iter().any(is_it),
        Some(found) => is_it(found),
        None => of_parts().unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(query: &[(&str, &str)]) -> Result<(Vec<String>, Json), ElbFault> {
        let all = (0..5).map(|number| {
            json!({
                "id": number.to_string(), "client_timeout": number % 2, "admin_state_up": number < 3,
                "name": format!("n{number}"), "loadbalancers": [{ "id": format!("b{number}") }],
                "healthmonitor": { "id": format!("m{number}") },
            })
        });
        let parameters: Vec<(String, String)> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (page, info) = page(ElbKind::Listener, all.collect(), &parameters)?;
        Ok((page.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect(), info))
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let (page, info) = ids(&[("limit", "2")]).unwrap();
        assert_eq!(
            (page.join(","), info),
            ("0,1".to_owned(), json!({ "current_count": 2, "next_marker": "1" }))
        );
        let (page, info) = ids(&[("limit", "2"), ("marker", "1")]).unwrap();
        let expected = json!({ "current_count": 2, "next_marker": "3", "previous_marker": "2" });
        assert_eq!((page.join(","), info), ("2,3".to_owned(), expected));
        let (page, info) = ids(&[("limit", "2"), ("marker", "3")]).unwrap();
        assert_eq!(
            (page.join(","), info),
            ("4".to_owned(), json!({ "current_count": 1, "previous_marker": "4" }))
        );
        let (page, _) = ids(&[("limit", "2"), ("marker", "3"), ("page_reverse", "true")]).unwrap();
        assert_eq!(page.join(","), "1,2");
        assert_eq!(ids(&[("limit", "0")]).unwrap().0.len(), 0);
        for wrong in [("limit", "2001"), ("limit", "x"), ("marker", "9"), ("page_reverse", "1")] {
            assert!(ids(&[wrong]).unwrap_err().message.contains(wrong.0), "{wrong:?}");
        }
    }

    #[test]
    fn filters_hold_together_and_their_values_are_alternatives() {
        for (query, expected) in [
            (&[("client_timeout", "1")][..], "1,3"),
            (&[("client_timeout", "1"), ("admin_state_up", "true")], "1"),
            (&[("name", "n1"), ("name", "n4")], "1,4"),
            (&[("loadbalancer_id", "b2")], "2"),
            (&[("healthmonitor_id", "m3")], "3"),
            (&[("enterprise_project_id", "x")], ""),
            (&[("include_recycle_bin", "false")], "0,1,2,3,4"),
        ] {
            assert_eq!(ids(query).unwrap().0.join(","), expected, "{query:?}");
        }
        let refused = ids(&[("client_timeouts", "1")]).unwrap_err();
        assert_eq!(refused.message, "attribute `client_timeouts` is none by which listeners are found");
    }
}
