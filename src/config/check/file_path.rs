//! Files that the configuration names and that are read elsewhere.

use serde_json::Value as Json;

use crate::config::NamedFile;
use crate::config::check::address::resolve;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::named_file::credentials_folder;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// The path of a file, relative to the folder of the file it stands in, or a credential.
pub(super) struct File;

impl Kind for File {
    type Value = NamedFile;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<NamedFile> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if text.contains("-----BEGIN") {
            let help = "write the text into a file of its own, and the path of that file here";
            report.error(raw.location, format!("`{key}` holds the PEM text itself, not a path"), help);
            return None;
        }
        if let Some(name) = text.strip_prefix(CREDENTIAL) {
            return credential(key, name, raw.location, report);
        }
        let file = resolve(text, report.folder(raw.location));
        let path = file.filter(|path| !text.ends_with('/') && path.file_name().is_some());
        if path.is_none() {
            let message = format!("`{key}` is not the path of a file");
            report.error(raw.location, message, "write the path of a file, such as \"tls/site.pem\"");
        }
        path.map(|path| NamedFile { path, location: raw.location })
    }

    fn show(&self, value: &NamedFile) -> Json {
        Json::String(value.path.display().to_string())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=usize::MAX)
    }
}

/// What begins a file that the service manager passes on, with `LoadCredential=` of systemd.
const CREDENTIAL: &str = "credential:";

/// What systemd allows (systemd.exec(5)).
const MAX_CREDENTIAL_NAME: usize = 255;

fn credential(key: &str, name: &str, location: Location, report: &mut Report) -> Option<NamedFile> {
    let is_usual = |byte: u8| byte.is_ascii_graphic() && !b"/:".contains(&byte);
    if name.is_empty()
        || name.starts_with('.')
        || name.len() > MAX_CREDENTIAL_NAME
        || !name.bytes().all(is_usual)
    {
        let help =
            "write the name that LoadCredential= of the unit gives it, such as \"credential:site.key\"";
        report.error(location, format!("`{key}` does not name a credential"), help);
        return None;
    }
    Some(NamedFile { path: credentials_folder().join(name), location })
}

/// The path of a folder, relative to the folder of the file it stands in.
pub(super) struct Folder;

impl Kind for Folder {
    type Value = NamedFile;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<NamedFile> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let folder = resolve(text, report.folder(raw.location));
        if folder.is_none() {
            let message = format!("`{key}` is not the path of a folder");
            report.error(raw.location, message, "write the path of a folder, such as \"/var/lib/ringway\"");
        }
        folder.map(|path| NamedFile { path, location: raw.location })
    }

    fn show(&self, value: &NamedFile) -> Json {
        Json::String(value.path.display().to_string())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=usize::MAX)
    }
}

/// A list of files.
pub(super) struct FilePaths;

impl Kind for FilePaths {
    type Value = Vec<NamedFile>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<NamedFile>> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list of files such as [\"tls/clients.crl\"]", report);
        };
        let parsed: Vec<_> = values.iter().filter_map(|value| File.parse(key, value, report)).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Vec<NamedFile>) -> Json {
        value.iter().map(|file| File.show(file)).collect()
    }

    fn schema(&self) -> Json {
        schema::list(File.schema(), 0..=usize::MAX)
    }
}
