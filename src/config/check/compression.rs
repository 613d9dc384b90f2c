//! `compression` of a listener: a switch, or a table of what is compressed and how well.

use serde_json::Value as Json;

use crate::config::check::kind::Boolean;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Size;
use crate::config::check::kind::list;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::http::content_coding::MAX_BROTLI_LEVEL;
use crate::http::content_coding::MAX_GZIP_LEVEL;
use crate::policy::compression::CompressionTerms;

pub(super) struct CompressionTable;

const KEYS: [&str; 4] = ["types", "min_bytes", "brotli_level", "gzip_level"];
/// Every response is compared with them.
const MAX_TYPES: usize = 64;
/// What may be the shortest content that is compressed.
const MIN_BYTES: Size = Size(1..=1 << 30);
/// A media type, a family of them or all, as a regular expression.
const MEDIA_TYPE: &str = "^([!#$&^_.+0-9A-Za-z-]+/([*]|[!#$&^_.+0-9A-Za-z-]+)|[*])$";

impl Kind for CompressionTable {
    type Value = Option<CompressionTerms>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let table = match &raw.kind {
            raw::Kind::Table(table) => table,
            raw::Kind::Boolean(_) => {
                return Boolean.parse(key, raw, report).map(|wanted| wanted.then(CompressionTerms::default));
            }
            _ => return refuse_kind(key, raw, "true, false, or a table such as { min_bytes = 500 }", report),
        };
        report_unknown(&table.entries, &KEYS, &format!("`{key}`"), report);
        let mut terms = CompressionTerms::default();
        if let Some(entry) = table.find("types") {
            terms.types = Some(types(&entry.value, report)?);
        }
        if let Some(entry) = table.find("min_bytes") {
            terms.min_bytes = MIN_BYTES.parse("min_bytes", &entry.value, report)?;
        }
        for (name, most, level) in [
            ("brotli_level", MAX_BROTLI_LEVEL, &mut terms.brotli_level),
            ("gzip_level", MAX_GZIP_LEVEL, &mut terms.gzip_level),
        ] {
            if let Some(entry) = table.find(name) {
                *level =
                    u8::try_from(Integer(0..=most).parse(name, &entry.value, report)?).unwrap_or(u8::MAX);
            }
        }
        if terms.brotli_level == 0 && terms.gzip_level == 0 {
            let message = format!("`{key}` uses no coding: both levels are 0");
            report.error(raw.location, message, "give one of them a level, or write compression = false");
            return None;
        }
        Some(Some(terms))
    }

    fn show(&self, value: &Self::Value) -> Json {
        let Some(terms) = value else { return Json::Bool(false) };
        if *terms == CompressionTerms::default() {
            return Json::Bool(true);
        }
        let mut shown = serde_json::json!({
            "min_bytes": terms.min_bytes, "brotli_level": terms.brotli_level, "gzip_level": terms.gzip_level,
        });
        if let (Some(types), Json::Object(shown)) = (&terms.types, &mut shown) {
            shown.insert("types".to_owned(), Json::from(types.as_slice()));
        }
        shown
    }

    fn schema(&self) -> Json {
        let types = schema::list(schema::pattern(MEDIA_TYPE), 1..=MAX_TYPES);
        let [brotli, gzip] = [MAX_BROTLI_LEVEL, MAX_GZIP_LEVEL].map(|most| Integer(0..=most).schema());
        let keys = KEYS.into_iter().zip([types, MIN_BYTES.schema(), brotli, gzip]);
        schema::any_of([Boolean.schema(), schema::table(keys, &[])])
    }
}

/// Media types, families of them such as `text/*`, or `*`.
fn types(raw: &raw::Value, report: &mut Report) -> Option<Vec<String>> {
    let values = list("types", raw, "a list such as [\"text/*\", \"application/json\"]", report)?;
    if values.len() > MAX_TYPES {
        report.error(
            raw.location,
            format!("`types` has more than {MAX_TYPES} types"),
            "write some as text/*",
        );
        return None;
    }
    let mut types = Vec::with_capacity(values.len());
    for value in values {
        let raw::Kind::Text(text) = &value.kind else {
            return refuse_kind("types", value, "a list of strings such as \"text/html\"", report);
        };
        if !is_type(text) {
            let message = format!("`types` has \"{}\", which is no media type", text.escape_debug());
            report.error(value.location, message, "write \"text/html\", \"text/*\" or \"*\"");
            return None;
        }
        types.push(text.to_ascii_lowercase());
    }
    Some(types)
}

fn is_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let (family, subtype) = text.split_once('/').unwrap_or((text, ""));
    text == "*" || is_token(family) && (subtype == "*" || is_token(subtype))
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    #[test]
    fn mistakes_are_named() {
        for (value, said) in [
            ("true", ""),
            ("{ types = [\"text/*\", \"application/json\"], min_bytes = 256, brotli_level = 4 }", ""),
            ("{ types = [\"*\"], gzip_level = 9 }", ""),
            ("\"on\"", "`compression` must be true, false, or a table"),
            ("{ types = [\"html\"] }", "`types` has \"html\", which is no media type"),
            ("{ types = [] }", "`types` is an empty list"),
            ("{ brotli_level = 7 }", "`brotli_level` is out of range"),
            ("{ brotli_level = 0, gzip_level = 0 }", "uses no coding"),
            ("{ minimum = 7 }", "unknown key `minimum`"),
        ] {
            let text = format!(
                "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
                 default_group = \"app\"\ncompression = {value}\n\
                 [[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\n"
            );
            let loaded = load(vec![Source::made_up("test.toml", text)]);
            let report = loaded.report.to_text(false);
            assert_eq!(loaded.config.is_some(), said.is_empty(), "{value}: {report}");
            assert!(report.contains(said), "{value}: {report}");
        }
    }
}
