//! Files that the configuration names and that somebody else reads.

use serde_json::Value as Json;

use crate::config::FilePath;
use crate::config::check::address::resolve;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::raw;
use crate::config::report::Report;

/// One file.
pub(super) struct File;

impl Kind for File {
    type Value = FilePath;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<FilePath> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let path = resolve(text, report.folder(raw.location));
        let path = path.filter(|path| !text.ends_with('/') && path.file_name().is_some());
        if path.is_none() {
            let help = "write the path of a file; relative paths start at the folder of this one";
            report.error(raw.location, format!("`{key}` is not the path of a file"), help);
        }
        Some(FilePath { path: path?, location: raw.location })
    }

    fn show(&self, value: &FilePath) -> Json {
        Json::String(value.path.display().to_string())
    }
}

/// A list of files.
pub(super) struct Files;

impl Kind for Files {
    type Value = Vec<FilePath>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<FilePath>> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list of files such as [\"tls/clients.crl\"]", report);
        };
        let parsed: Vec<_> = values.iter().filter_map(|value| File.parse(key, value, report)).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Vec<FilePath>) -> Json {
        value.iter().map(|file| File.show(file)).collect()
    }
}
