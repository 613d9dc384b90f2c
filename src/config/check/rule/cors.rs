//! `cors`: which pages of other origins may read responses.

use serde_json::Value as Json;

use crate::config::check::kind::Boolean;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Time;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::rule::texts;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::cors::CorsPolicy;
use crate::policy::cors::OriginTest;
use crate::policy::cors::WebOrigin;
use crate::policy::router::Condition;

/// Origins that one rule may allow: each request of a page is compared with them.
const MAX_ORIGINS: usize = 100;

/// Names in one list, which every answer to a preflight carries.
const MAX_NAMES: usize = 100;

/// Seconds for which browsers may remember what is allowed, as ALB and ELB have it: two days.
const MAX_AGE_S: u64 = 172_800;

const KEYS: [&str; 6] =
    ["allow_origins", "allow_methods", "allow_headers", "expose_headers", "allow_credentials", "max_age"];

/// How long browsers may be told to remember the answer to a preflight.
const MAX_AGE: Time = seconds(0, MAX_AGE_S);

/// What [`cors`] takes.
pub(super) fn cors_schema() -> Json {
    let list = |most| schema::any_of([texts::text_schema(), schema::list(texts::text_schema(), 1..=most)]);
    let names = || list(MAX_NAMES);
    let values = [list(MAX_ORIGINS), names(), names(), names(), Boolean.schema(), MAX_AGE.schema()];
    schema::table(KEYS.into_iter().zip(values), &["allow_origins"])
}

/// Reads the table; None after reporting what is wrong.
pub(super) fn cors(key: &str, raw: &raw::Value, report: &mut Report) -> Option<CorsPolicy> {
    let raw::Kind::Table(table) = &raw.kind else {
        let expected = "a table such as { allow_origins = [\"https://app.example.com\"] }";
        return refuse_kind(key, raw, expected, report);
    };
    report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
    let Some(entry) = table.find("allow_origins") else {
        let help = "add allow_origins = [\"https://app.example.com\"]";
        report.error(raw.location, format!("`allow_origins` is missing in `{key}`"), help);
        return None;
    };
    let origins = origins(&entry.value, report)?;
    let credentials = match table.find("allow_credentials") {
        Some(entry) => Boolean.parse("allow_credentials", &entry.value, report)?,
        None => false,
    };
    if credentials && origins.contains(&OriginTest::Any) {
        let message = "browsers refuse `allow_credentials` for every origin (\"*\")";
        let help = "name the origins, as [\"https://app.example.com\", \"https://*.example.com\"], or remove \
                    allow_credentials";
        report.error(entry.value.location, message, help);
        return None;
    }
    let max_age = match table.find("max_age") {
        Some(entry) => Some(MAX_AGE.parse("max_age", &entry.value, report)?),
        None => None,
    };
    let mut names = |word: &str, default: &str| match table.find(word) {
        Some(entry) => names((word, credentials), &entry.value, report),
        None => Some(default.to_owned()),
    };
    Some(CorsPolicy {
        // Those that need no permission; a list must not be empty.
        methods: names("allow_methods", "GET, HEAD, POST")?,
        headers: names("allow_headers", "")?,
        exposed: names("expose_headers", "")?,
        origins,
        credentials,
        max_age: max_age.map(|age| age.as_secs().to_string()),
    })
}

/// Warns where no preflight comes to the rule.
pub(super) fn check_conditions(conditions: &[Condition], location: Location, report: &mut Report) {
    let methods = conditions.iter().filter_map(|condition| match condition {
        Condition::Method(methods) => Some(methods),
        _ => None,
    });
    if methods.into_iter().any(|methods| !methods.iter().any(|method| method == "OPTIONS")) {
        let message = "the rule takes no OPTIONS, with which browsers ask what `cors` allows";
        report.warning(
            location,
            message,
            "add \"OPTIONS\" to `method`: others than preflights are forwarded",
        );
    }
}

fn origins(raw: &raw::Value, report: &mut Report) -> Option<Vec<OriginTest>> {
    let origins = texts::list("allow_origins", raw, report, origin)?;
    if origins.len() > MAX_ORIGINS {
        let message = format!("`allow_origins` has more than {MAX_ORIGINS} origins");
        report.error(raw.location, message, "write \"https://*.example.com\" for all hosts of a domain");
        return None;
    }
    if origins.len() > 1 && origins.contains(&OriginTest::Any) {
        report.error(raw.location, "\"*\" allows every origin", "remove the others, or \"*\"");
        return None;
    }
    Some(origins)
}

fn origin(key: &str, raw: &raw::Value, report: &mut Report) -> Option<OriginTest> {
    let text = texts::text(key, raw, report)?;
    match text {
        "*" => return Some(OriginTest::Any),
        "null" => return Some(OriginTest::Opaque),
        _ => {}
    }
    let below = text.split_once("://*.").map(|(scheme, rest)| format!("{scheme}://{rest}"));
    let parsed = WebOrigin::parse(below.as_deref().unwrap_or(text)).map(|origin| origin.to_lower_case());
    match parsed {
        Some(origin) if below.is_some() && !origin.host.starts_with('[') => {
            Some(OriginTest::Below(WebOrigin { host: format!(".{}", origin.host), ..origin }))
        }
        Some(origin) if below.is_none() => Some(OriginTest::Exact(origin)),
        _ => {
            let help = "write scheme, host and, unless it is that of the scheme, the port: \
                        \"https://app.example.com\", \"https://*.example.com\", \"http://localhost:3000\"; no path";
            report.error(raw.location, format!("`{key}` \"{}\" is no origin", text.escape_debug()), help);
            None
        }
    }
}

/// Names as they are sent. With credentials, `*` is but a name to browsers.
fn names((key, credentials): (&str, bool), raw: &raw::Value, report: &mut Report) -> Option<String> {
    let names = texts::list(key, raw, report, |key, value, report| {
        let text = texts::text(key, value, report)?;
        if credentials && text == "*" {
            let message = format!("with `allow_credentials`, browsers do not take \"*\" of `{key}` for all");
            report.error(value.location, message, "name them");
            return None;
        }
        if !is_token(text) {
            let message = format!("{text:?} in `{key}` is no name");
            report.error(value.location, message, "ASCII letters, digits and any of !#$%&'*+-.^_`|~");
            return None;
        }
        Some(text.to_owned())
    })?;
    if names.len() > MAX_NAMES {
        let message = format!("`{key}` has more than {MAX_NAMES} names");
        report.error(raw.location, message, "name those that matter, or write [\"*\"]");
        return None;
    }
    Some(names.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::config::tests::report_of_rule as report;

    #[test]
    fn mistakes_are_named() {
        for (table, said) in [
            ("{ allow_origins = \"https://a.example\" }", ""),
            (
                "{ allow_origins = [\"*\"], allow_methods = [\"*\"], allow_headers = [\"*\", \"authorization\"] }",
                "",
            ),
            (
                "{ allow_origins = [\"https://*.a.example:8443\", \"null\", \"capacitor://localhost\"], max_age = \"0s\" }",
                "",
            ),
            ("{ allow_methods = [\"GET\"] }", "`allow_origins` is missing in `cors`"),
            ("{ allow_origins = [] }", "`allow_origins` is an empty list"),
            ("{ allow_origins = [\"*\", \"null\"] }", "\"*\" allows every origin"),
            ("{ allow_origins = [\"app.example\"] }", "\"app.example\" is no origin"),
            ("{ allow_origins = [\"https://app.example/\"] }", "is no origin"),
            ("{ allow_origins = [\"https://app.*.example\"] }", "is no origin"),
            ("{ allow_origins = [\"https://*.[::1]\"] }", "is no origin"),
            ("{ allow_origins = [\"https://*\"] }", "is no origin"),
            (
                "{ allow_origins = [\"*\"], allow_credentials = true }",
                "browsers refuse `allow_credentials` for every origin",
            ),
            (
                "{ allow_origins = [\"null\"], allow_credentials = true, allow_headers = [\"*\"] }",
                "browsers do not take \"*\" of `allow_headers` for all",
            ),
            (
                "{ allow_origins = [\"*\"], expose_headers = [\"a b\"] }",
                "\"a b\" in `expose_headers` is no name",
            ),
            ("{ allow_origins = [\"*\"], max_age = \"3d\" }", "`max_age` is out of range"),
            ("{ allow_origin = [\"*\"] }", "did you mean `allow_origins`?"),
            ("\"*\"", "a table such as"),
        ] {
            let report = report(&format!("cors = {table}"));
            assert!(report.contains(said) && report.is_empty() == said.is_empty(), "{table}: {report}");
            assert!(said.is_empty() || report.starts_with("ringway.toml:16:"), "{table}: {report}");
        }
    }

    #[test]
    fn a_rule_that_preflights_pass_by_is_warned_of() {
        let cors = "cors = { allow_origins = [\"*\"] }";
        assert_eq!(report(&format!("method = [\"PUT\", \"OPTIONS\"]\n{cors}")), "");
        let report = report(&format!("method = \"PUT\"\n{cors}"));
        assert!(report.contains("warning: the rule takes no OPTIONS"), "{report}");
    }
}
