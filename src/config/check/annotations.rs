//! Keys that say what a table is for, and who may change it: `description`, `tags` and protection.

use serde_json::Value as Json;
use serde_json::json;

use crate::config::Protection;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Section;
use crate::config::in_order;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// Characters of a description, and of the reason why nothing may be changed: a line or two of a table.
const MAX_DESCRIPTION: usize = 256;

/// Tags of one table, as many as the cloud products allow.
const MAX_TAGS: usize = 20;

/// Characters of the key of a tag, and of its value.
const MAX_TAG_KEY: usize = 64;
/// Characters of the value of a tag.
const MAX_TAG_VALUE: usize = 128;

/// What keys of tags are made of, so that they need no escapes in queries and on command lines.
const TAG_KEY_MARKS: &str = "-_.:/";

/// Reads `description`. Nothing but those who manage the configuration read it.
pub(super) fn description(section: &mut Section<'_, '_>) {
    section.read_present("description", &Line);
}

/// Reads `description` and `tags`.
pub(super) fn description_and_tags(section: &mut Section<'_, '_>) {
    description(section);
    section.read_present("tags", &Tags);
}

/// Reads who may change the table by the API.
pub(super) fn protection(section: &mut Section<'_, '_>) -> Protection {
    let deletion = section.read("deletion_protection", &Boolean, false);
    let modification = section.read_present("modification_protection", &Line);
    Protection { deletion, modification: modification.map(|(reason, _)| reason) }
}

/// A short text of one line.
struct Line;

impl Kind for Line {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if !(1..=MAX_DESCRIPTION).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            let help =
                format!("write 1 to {MAX_DESCRIPTION} characters in one line, without control characters");
            report.error(raw.location, format!("`{key}` is no short line of text"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=MAX_DESCRIPTION)
    }
}

/// Keys and values of the operator's own, such as `{ team = "edge" }`, in their order.
struct Tags;

impl Tags {
    fn value<'v>(&self, key: &str, entry: &'v raw::Entry, report: &mut Report) -> Option<&'v str> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || TAG_KEY_MARKS.contains(c);
        let name = entry.key.as_str();
        if name.is_empty() || name.len() > MAX_TAG_KEY || !name.chars().all(is_plain) {
            let help = format!(
                "a key has 1 to {MAX_TAG_KEY} characters: ASCII letters, digits and any of {TAG_KEY_MARKS}"
            );
            report.error(entry.key_location, format!("`{key}` has a key that is none"), help);
            return None;
        }
        let raw::Kind::Text(text) = &entry.value.kind else {
            let message = format!("`{key}` must have strings, and `{name}` is {}", entry.value.kind_name());
            report.error(entry.value.location, message, format!("write {name} = \"…\""));
            return None;
        };
        if text.chars().count() > MAX_TAG_VALUE || text.chars().any(char::is_control) {
            let help = format!(
                "a value has at most {MAX_TAG_VALUE} characters, and none of them is a control character"
            );
            report.error(
                entry.value.location,
                format!("`{key}` has a value for `{name}` that is none"),
                help,
            );
            return None;
        }
        Some(text)
    }
}

impl Kind for Tags {
    type Value = Vec<(String, String)>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Table(table) = &raw.kind else {
            return refuse_kind(key, raw, "a table such as { team = \"edge\" }", report);
        };
        if table.entries.len() > MAX_TAGS {
            let message = format!("`{key}` has {} tags", table.entries.len());
            report.error(raw.location, message, format!("write at most {MAX_TAGS}"));
            return None;
        }
        let tags = table.entries.iter().map(|entry| {
            let value = self.value(key, entry, report)?;
            Some((entry.key.clone(), value.to_owned()))
        });
        tags.collect::<Vec<_>>().into_iter().collect()
    }

    fn show(&self, value: &Self::Value) -> Json {
        Json::Object(in_order::object(value.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
    }

    fn schema(&self) -> Json {
        json!({
            "type": "object",
            "maxProperties": MAX_TAGS,
            "additionalProperties": schema::text_of(0..=MAX_TAG_VALUE),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    /// What is said of a listener with this line.
    fn report(line: &str) -> String {
        let text = format!(
            "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n{line}\n\
             default_group = \"app\"\n[[server_group]]\nname = \"app\"\n[[server_group.backend]]\n\
             address = \"127.0.0.1:9001\"\n"
        );
        load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false)
    }

    #[test]
    fn mistakes_are_named() {
        let long = format!("description = \"{}\"", "x".repeat(257));
        let long_value = format!("tags = {{ a = \"{}\" }}", "x".repeat(129));
        let tags: Vec<String> = (0..21).map(|number| format!("t{number} = \"\"")).collect();
        let many = format!("tags = {{ {} }}", tags.join(", "));
        for (line, said) in [
            ("description = \"Shops of Europe, größte zuerst\"", ""),
            ("tags = { team = \"edge\", \"cost/centre\" = \"4711\", empty = \"\" }", ""),
            ("tags = {}", ""),
            ("deletion_protection = true\nmodification_protection = \"frozen until Monday\"", ""),
            ("description = \"\"", "`description` is no short line of text"),
            ("description = \"a\\nb\"", "`description` is no short line of text"),
            (&long, "write 1 to 256 characters"),
            ("tags = \"edge\"", "`tags` must be a table such as { team = \"edge\" }"),
            ("tags = { team = 7 }", "`tags` must have strings, and `team` is an integer"),
            ("tags = { \"a b\" = \"\" }", "`tags` has a key that is none"),
            (&long_value, "at most 128 characters"),
            (&many, "`tags` has 21 tags"),
            ("deletion_protection = \"yes\"", "write deletion_protection = true"),
            ("modification_protection = true", "`modification_protection` must be a string"),
        ] {
            let report = report(line);
            assert!(report.contains(said), "{line}: {report}");
            assert_eq!(report.is_empty(), said.is_empty(), "{line}: {report}");
        }
    }
}
