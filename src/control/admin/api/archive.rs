//! All objects as one document, with what their files hold; and taking such a document in again.

use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::config::AdminRole;
use crate::config::Object;
use crate::config::ObjectKind;
use crate::config::ObjectPath;
use crate::config::edit::order::EditAction;
use crate::control::admin::api::call::ApiAnswer;
use crate::control::admin::api::call::ApiCall;
use crate::control::admin::api::changes;
use crate::control::admin::api::problem::ApiProblem;
use crate::control::admin::collect;
use crate::control::admin::http::response::AdminResponse;
use crate::control::change::order::ObjectChange;
use crate::control::files;
use crate::control::written_config::WrittenConfig;
use crate::net::clock::wall_now;

/// The form of the document.
const FORMAT: u64 = 1;

/// A chain of certificates, or a page.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Keys that name a file, the keys that hold what is in it instead, and whether that is secret.
const FILES: [(ObjectKind, &str, &str, bool); 4] = [
    (ObjectKind::Certificate, "chain", "chain_pem", false),
    (ObjectKind::Certificate, "key", "key_pem", true),
    (ObjectKind::Authority, "bundle", "bundle_pem", false),
    (ObjectKind::ErrorPage, "file", "content", false),
];

pub(super) fn export(call: &ApiCall<'_>) -> ApiAnswer {
    let with_keys = call.truth("keys")?;
    if with_keys && call.request.actor.role < Some(AdminRole::Write) {
        let detail = "keys are given to the role write only";
        return Err(ApiProblem::new(403, detail, "leave keys=true out, or ask with another token"));
    }
    let (_, written) = call.channels().written.load();
    let mut objects = Map::new();
    for kind in ObjectKind::ALL {
        let all: Result<Vec<Json>, _> = written
            .of_kind(kind)
            .map(|object| whole(&written, object, with_keys).map(Json::Object))
            .collect();
        objects.insert(kind.segment().to_owned(), Json::Array(all?));
    }
    let document = json!({
        "format": FORMAT, "version": env!("CARGO_PKG_VERSION"), "created": collect::rfc3339(wall_now()),
        "objects": objects,
    });
    let name = "attachment; filename=\"ringway-export.json\"";
    Ok(AdminResponse::json(200, &document).with("Content-Disposition", name))
}

/// The settings of an object with the content of its files. Keys stay away where they are not wanted.
fn whole(
    written: &WrittenConfig,
    object: &Object,
    with_keys: bool,
) -> Result<Map<String, Json>, Box<ApiProblem>> {
    let mut settings = object.settings.clone();
    settings.entry("name").or_insert_with(|| Json::from(object.name.as_str()));
    for (_, names, holds, is_secret) in FILES.iter().filter(|(kind, ..)| *kind == object.kind) {
        let Some(path) =
            settings.get(*names).and_then(Json::as_str).and_then(|path| path_at(written, object, path))
        else {
            continue;
        };
        if !is_secret || with_keys {
            let content = files::read_text(&path, MAX_FILE_BYTES).map_err(|reason| {
                let detail = format!("{} of {} cannot be read: {reason}", path.display(), object.path());
                ApiProblem::new(409, detail, "let the user of ringway read it")
            })?;
            let content = if with_keys { content } else { without_keys(&content) };
            settings.insert((*holds).to_owned(), Json::from(content));
            if *holds == "content" {
                settings.insert("content_type".to_owned(), Json::from(media_type(&path)));
            }
        }
        settings.remove(*names);
    }
    Ok(settings)
}

/// PEM without blocks of private keys, which may stand beside certificates.
fn without_keys(pem: &str) -> String {
    let mut is_in_key = false;
    let kept = |line: &&str| {
        let is_secret = is_in_key || line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY");
        is_in_key = is_secret && !line.starts_with("-----END ");
        !is_secret
    };
    pem.split_inclusive('\n').filter(kept).collect()
}

/// Where a file is that an object names; None for what only the service manager has.
fn path_at(written: &WrittenConfig, object: &Object, path: &str) -> Option<PathBuf> {
    let folder = written.path_of(object)?.parent()?.to_owned();
    (!path.starts_with("credential:")).then(|| folder.join(path))
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        _ => "text/html",
    }
}

/// What [`export`] has made, here or elsewhere.
#[derive(Deserialize)]
struct Archive {
    format: u64,
    objects: Map<String, Json>,
}

pub(super) fn import(call: &ApiCall<'_>) -> ApiAnswer {
    let archive: Archive = call.parsed()?;
    if archive.format != FORMAT {
        let detail = format!("the format {} is not known to this version", archive.format);
        return Err(ApiProblem::new(422, detail, format!("export again; known is {FORMAT}")));
    }
    let prunes = call.truth("prune")?;
    let (_, written) = call.channels().written.load();
    let mut changes = Vec::new();
    for (segment, wanted) in &archive.objects {
        let Some(kind) = ObjectKind::of_segment(segment) else {
            let detail = format!("there is no kind \"{}\"", segment.escape_debug());
            return Err(ApiProblem::new(422, detail, "see the kinds of GET /api/v1/"));
        };
        let wanted = named(segment, wanted)?;
        for (name, settings) in &wanted {
            changes.extend(change(&written, kind, name, settings)?);
        }
        let unwanted = written.of_kind(kind).filter(|object| {
            prunes && !written.is_generated(object) && !wanted.iter().any(|(name, _)| *name == object.name)
        });
        changes.extend(unwanted.map(|object| ObjectChange {
            path: object.path(),
            action: EditAction::Delete,
            if_match: None,
        }));
    }
    changes::apply(call, changes, None)
}

/// Objects by their names.
type NamedSettings<'a> = Vec<(&'a str, &'a Map<String, Json>)>;

/// The objects of a list.
fn named<'a>(segment: &str, list: &'a Json) -> Result<NamedSettings<'a>, Box<ApiProblem>> {
    let named = |settings: &'a Json| {
        let settings = settings.as_object()?;
        Some((settings.get("name")?.as_str()?, settings))
    };
    let all: Option<Vec<_>> = list.as_array().and_then(|list| list.iter().map(named).collect());
    all.ok_or_else(|| {
        let detail = format!("`{segment}` is no list of objects with names");
        ApiProblem::new(422, detail, "import what GET /api/v1/export gives")
    })
}

/// What makes this object of the one that is there; None if it is the same.
fn change(
    written: &WrittenConfig,
    kind: ObjectKind,
    name: &str,
    settings: &Map<String, Json>,
) -> Result<Option<ObjectChange>, Box<ApiProblem>> {
    let path = ObjectPath::Named { kind, name: name.to_owned() };
    let mut settings = settings.clone();
    let Some(known) = written.find(kind, name) else {
        if kind == ObjectKind::Certificate
            && !settings.contains_key("key")
            && !settings.contains_key("key_pem")
        {
            let detail = format!("the archive has no key of the certificate \"{}\"", name.escape_debug());
            return Err(ApiProblem::new(
                422,
                detail,
                "export with ?keys=true, or upload the certificate first",
            ));
        }
        return Ok(Some(ObjectChange { path, action: EditAction::Create(settings), if_match: None }));
    };
    // Content that is there already needs no other file; a key that is not in the archive stays.
    for (_, names, holds, _) in FILES.iter().filter(|(of, ..)| *of == kind) {
        let there = known.settings.get(*names).and_then(Json::as_str);
        let content = there
            .and_then(|there| path_at(written, known, there))
            .and_then(|path| files::read_text(&path, MAX_FILE_BYTES).ok());
        let sent = settings.get(*holds).and_then(Json::as_str);
        let is_same = sent.is_none_or(|sent| {
            content.as_deref().is_some_and(|content| sent == content || sent == without_keys(content))
        });
        if let Some(there) = there.filter(|_| is_same && !settings.contains_key(*names)) {
            settings.insert((*names).to_owned(), Json::from(there));
            settings.remove(*holds);
            if *holds == "content" {
                settings.remove("content_type");
            }
        }
    }
    if !known.settings.contains_key("name") {
        settings.remove("name");
    }
    let is_same = settings == known.settings;
    Ok((!is_same).then_some(ObjectChange { path, action: EditAction::Replace(settings), if_match: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beside_certificates_are_left_out() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN EC PRIVATE KEY-----\nSECRET\n-----END EC PRIVATE KEY-----\n";
        let text = format!("{key}{certificate}# more\n{key}{certificate}");
        assert_eq!(without_keys(&text), format!("{certificate}# more\n{certificate}"));
        assert_eq!(without_keys(certificate), certificate);
        assert_eq!(without_keys("-----BEGIN PRIVATE KEY-----\nSECRET"), "");
    }
}
