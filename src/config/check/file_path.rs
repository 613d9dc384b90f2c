//! Files that the configuration names and that are read elsewhere.

use serde_json::Value as Json;

use crate::config::NamedFile;
use crate::config::check::address::resolve;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// The path of a file, relative to the folder of the file it stands in.
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
