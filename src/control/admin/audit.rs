//! The audit: a line for each change that somebody has asked for, in a file that is only appended to.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value as Json;

/// What of the end of the file is looked at for those who want to read it.
const MAX_READ_BYTES: u64 = 4 << 20;

/// One line. It has no settings: who reads it learns no secrets.
#[derive(Debug, Serialize)]
pub(super) struct AuditLine<'l> {
    /// RFC 3339, UTC.
    pub(super) time: String,
    pub(super) request_id: &'l str,
    pub(super) actor: &'l str,
    pub(super) role: Option<&'static str>,
    pub(super) source: String,
    pub(super) method: &'l str,
    pub(super) path: &'l str,
    /// The path of the object; None: it was about no object.
    pub(super) object: Option<&'l str>,
    /// Entity tags; None where there was nothing, or nothing came about.
    pub(super) before: Option<&'l str>,
    pub(super) after: Option<&'l str>,
    pub(super) dry_run: bool,
    pub(super) status: u16,
}

/// Opens the file to append to it; makes it for its owner alone.
///
/// # Errors
/// The system does not let it be written.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Writes a line as one piece, so that lines of several clients do not mix.
pub(super) fn write(file: &mut File, line: &AuditLine<'_>) -> io::Result<()> {
    let text = format!("{}\n", serde_json::to_string(line)?);
    file.write_all(text.as_bytes())
}

/// The last lines, the newest first.
pub(super) fn last(path: &Path, count: usize) -> io::Result<Vec<Json>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(MAX_READ_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line of a part is seldom whole.
    let lines = text.lines().skip(usize::from(start > 0));
    let parsed: Vec<Json> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(parsed.into_iter().rev().take(count).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn lines_are_appended_and_read_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for status in [200, 409, 422] {
            let line = AuditLine {
                time: "2026-01-01T00:00:00Z".to_owned(),
                request_id: "1-2",
                actor: "ada",
                role: Some("write"),
                source: "unix".to_owned(),
                method: "PUT",
                path: "/api/v1/rules/a",
                object: Some("rules/a"),
                before: None,
                after: Some("\"1\""),
                dry_run: false,
                status,
            };
            write(&mut open(&path).unwrap(), &line).unwrap();
        }
        let last = last(&path, 2).unwrap();
        let statuses: Vec<_> = last.iter().map(|line| line["status"].as_u64()).collect();
        assert_eq!(statuses, [Some(422), Some(409)]);
        assert_eq!((&last[0]["actor"], &last[0]["before"]), (&Json::from("ada"), &Json::Null));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
