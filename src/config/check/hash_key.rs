//! What a consistent hash is taken of: `hash_key = { query = "user" }` and the like.

use serde_json::Value as Json;

use crate::config::check::kind::Kind;
use crate::config::check::kind::is_token;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::report_unknown;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::balance::hash_key::HashKey;

/// A table with exactly one of [`PARTS`].
pub(super) struct HashKeyTable;

const PARTS: [&str; 7] = ["query", "header", "cookie", "path", "source_ip", "tuple", "quic_cid"];
/// The longest connection ID of QUIC (RFC 9000 §17.2).
const MAX_CONNECTION_ID_BYTES: u8 = 20;
/// Characters of the name of the header, cookie or query parameter that is hashed.
const MAX_NAME_LENGTH: usize = 100;

impl Kind for HashKeyTable {
    type Value = HashKey;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<HashKey> {
        let raw::Kind::Table(table) = &raw.kind else {
            return refuse_kind(key, raw, "a table such as { query = \"user\" }", report);
        };
        report_unknown(&table.entries, &PARTS, &format!("`{key}`"), report);
        match table.entries.as_slice() {
            [part] => hash_key(part, report),
            several if several.iter().any(|part| !PARTS.contains(&part.key.as_str())) => None,
            _ => {
                let help = "write one of { query = \"…\" }, { header = \"…\" }, { cookie = \"…\" }, \
                            { path = true }, { source_ip = true }, { tuple = true } and \
                            { quic_cid = { offset = 0, length = 8 } }";
                report.error(raw.location, format!("`{key}` must name one part of what comes"), help);
                None
            }
        }
    }

    fn show(&self, value: &HashKey) -> Json {
        match value {
            HashKey::Query(name) => serde_json::json!({ "query": name }),
            HashKey::Header(name) => serde_json::json!({ "header": name }),
            HashKey::Cookie(name) => serde_json::json!({ "cookie": name }),
            HashKey::Path => serde_json::json!({ "path": true }),
            HashKey::SourceIp => serde_json::json!({ "source_ip": true }),
            HashKey::Tuple => serde_json::json!({ "tuple": true }),
            HashKey::QuicConnectionId { offset, length } => {
                serde_json::json!({ "quic_cid": { "offset": offset, "length": length } })
            }
        }
    }

    fn schema(&self) -> Json {
        let name = || schema::text_of(1..=MAX_NAME_LENGTH);
        let only_true = || serde_json::json!({ "const": true });
        let most = u64::from(MAX_CONNECTION_ID_BYTES);
        let bytes = [("offset", schema::integer(0..=most - 1)), ("length", schema::integer(1..=most))];
        let quic = schema::table(bytes, &["length"]);
        let keys =
            PARTS.into_iter().zip([name(), name(), name(), only_true(), only_true(), only_true(), quic]);
        let mut table = schema::table(keys, &[]);
        table["minProperties"] = Json::from(1);
        table["maxProperties"] = Json::from(1);
        table
    }
}

/// None for a part that is not known, too.
fn hash_key(part: &raw::Entry, report: &mut Report) -> Option<HashKey> {
    match part.key.as_str() {
        "query" => name(part, is_parameter, PARAMETER, report).map(HashKey::Query),
        "header" => {
            let name = name(part, is_token, TOKEN, report)?.to_ascii_lowercase();
            if name == "cookie" {
                let help = "write { cookie = \"…\" } with the name of one of them";
                report.error(part.value.location, "`header` \"cookie\" means all cookies at once", help);
                return None;
            }
            Some(HashKey::Header(name))
        }
        "cookie" => name(part, is_token, TOKEN, report).map(HashKey::Cookie),
        "path" => is_true(part, report).then_some(HashKey::Path),
        "source_ip" => is_true(part, report).then_some(HashKey::SourceIp),
        "tuple" => is_true(part, report).then_some(HashKey::Tuple),
        "quic_cid" => quic_connection_id(part, report),
        _ => None,
    }
}

const PARAMETER: &str = "as it stands in a URL, visible ASCII without `&`, `=` and `#`";
const TOKEN: &str = "ASCII letters, digits and any of !#$%&'*+-.^_`|~";

fn is_parameter(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte))
}

/// `form` is what `is_name` wants, for the operator.
fn name(part: &raw::Entry, is_name: fn(&str) -> bool, form: &str, report: &mut Report) -> Option<String> {
    let raw::Kind::Text(text) = &part.value.kind else {
        return refuse_kind(&part.key, &part.value, "a string", report);
    };
    if !is_name(text) || text.len() > MAX_NAME_LENGTH {
        let message = format!("`{}` is not a valid name", part.key);
        let help = format!("a name has 1 to {MAX_NAME_LENGTH} characters: {form}");
        report.error(part.value.location, message, help);
        return None;
    }
    Some(text.clone())
}

/// Which bytes of a connection ID: those where the servers that make it tell which of them it is.
fn quic_connection_id(part: &raw::Entry, report: &mut Report) -> Option<HashKey> {
    let raw::Kind::Table(table) = &part.value.kind else {
        return refuse_kind(&part.key, &part.value, "a table such as { offset = 0, length = 8 }", report);
    };
    report_unknown(&table.entries, &["offset", "length"], "`quic_cid`", report);
    let number = |name: &str| {
        let entry = table.entries.iter().find(|entry| entry.key == name)?;
        match entry.value.kind {
            raw::Kind::Integer(number) => u8::try_from(number).ok().or(Some(u8::MAX)),
            _ => Some(u8::MAX),
        }
    };
    let (offset, length) = (number("offset").unwrap_or(0), number("length").unwrap_or(0));
    if length == 0 || u16::from(offset) + u16::from(length) > u16::from(MAX_CONNECTION_ID_BYTES) {
        let message = "`quic_cid` names no bytes of a connection ID";
        let help = format!(
            "an ID has up to {MAX_CONNECTION_ID_BYTES} bytes: write the `offset` of the first that counts, from 0, and their number as `length`, \
             at least 1; both together are no more than {MAX_CONNECTION_ID_BYTES}"
        );
        report.error(part.value.location, message, help);
        return None;
    }
    Some(HashKey::QuicConnectionId { offset, length })
}

fn is_true(part: &raw::Entry, report: &mut Report) -> bool {
    let is_true = matches!(part.value.kind, raw::Kind::Boolean(true));
    if !is_true {
        let message = format!("`{}` can only be true", part.key);
        report.error(part.value.location, message, format!("write {{ {} = true }}", part.key));
    }
    is_true
}
