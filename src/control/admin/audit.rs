//! The audit: a line for each change that somebody has asked for, in a file that is only appended to.

use std::fs;
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

use crate::config::AdminRole;
use crate::control::active_config::Channels;
use crate::control::admin::access::Actor;
use crate::control::admin::collect;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::next_request_id;
use crate::net::clock::wall_now;
use crate::telemetry::operator::log_line;

/// What of the end of the file is looked at for those who want to read it.
const MAX_READ_BYTES: u64 = 4 << 20;

/// Where changes are written down.
pub(super) struct Audit {
    /// None: nowhere.
    file: Option<File>,
}

/// Why a change cannot be written down, and so is not made.
pub(super) struct UnwritableAudit {
    pub(super) sentence: String,
    pub(super) help: String,
}

/// An object that was to be changed: its path, and its entity tags before and after; empty: there was none.
#[derive(Default)]
pub(super) struct AuditedObject {
    pub(super) object: String,
    pub(super) before: String,
    pub(super) after: String,
}

impl Audit {
    /// Opens it for a change that is about to be made.
    ///
    /// # Errors
    /// The system does not let it be written.
    pub(super) fn open(channels: &Channels) -> Result<Audit, UnwritableAudit> {
        let (_, access) = channels.admin_access.load();
        let Some(path) = &access.audit else { return Ok(Audit { file: None }) };
        let file = open(path).map_err(|error| UnwritableAudit {
            sentence: format!("the change cannot be written down in {}: {error}", path.display()),
            help: match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("make its folder {}, writable for ringway", path.parent().unwrap_or(path).display())
                }
                _ => "let the user of ringway write there (systemd: LogsDirectory=, ReadWritePaths=), or change \
                      admin.audit"
                    .to_owned(),
            },
        })?;
        Ok(Audit { file: Some(file) })
    }

    /// Writes down what came of a call, a line for each object.
    pub(super) fn note_call(
        &mut self,
        (actor, request): (&Actor, &AdminRequest),
        (request_id, status): (&str, u16),
        audited: &[AuditedObject],
    ) {
        let nothing = [AuditedObject::default()];
        for audited in if audited.is_empty() { &nothing } else { audited } {
            let is_dry_run = request.parameter("dry_run").is_some_and(|value| value != "false");
            self.note((actor, request_id), (&request.method, &request.path), audited, (is_dry_run, status));
        }
    }

    /// Writes down what came of a command over the socket.
    pub(super) fn note_command(&mut self, actor: &Actor, word: &str, object: String, status: u16) {
        let audited = AuditedObject { object, ..AuditedObject::default() };
        self.note((actor, &next_request_id()), ("COMMAND", word), &audited, (false, status));
    }

    fn note(
        &mut self,
        (actor, request_id): (&Actor, &str),
        (method, path): (&str, &str),
        AuditedObject { object, before, after }: &AuditedObject,
        (dry_run, status): (bool, u16),
    ) {
        let Some(file) = &mut self.file else { return };
        let known = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        let line = AuditLine {
            time: collect::rfc3339(wall_now()),
            request_id,
            actor: &actor.name,
            role: actor.role.map(AdminRole::as_str),
            source: actor.source.to_string(),
            method,
            path,
            object: known(object),
            before: known(before),
            after: known(after),
            dry_run,
            status,
        };
        if let Err(error) = write(file, &line) {
            log_line(&format!("error: a change cannot be written down in admin.audit: {error}"));
        }
    }
}

/// One line. It has no settings: who reads it learns no secrets.
#[derive(Debug, Serialize)]
struct AuditLine<'l> {
    /// RFC 3339, UTC.
    time: String,
    request_id: &'l str,
    actor: &'l str,
    role: Option<&'static str>,
    source: String,
    method: &'l str,
    path: &'l str,
    /// The path of the object; None: it was about no object.
    object: Option<String>,
    /// Entity tags; None where there was nothing, or nothing came about.
    before: Option<String>,
    after: Option<String>,
    dry_run: bool,
    status: u16,
}

/// Opens the file to append to it; makes it for its owner alone.
///
/// # Errors
/// The system does not let it be written.
fn open(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for who reads it.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("it is no file, but a folder, a pipe or a device"));
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Writes a line as one piece, so that lines of several clients do not mix.
fn write(file: &mut File, line: &AuditLine<'_>) -> io::Result<()> {
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
                object: Some("rules/a".to_owned()),
                before: None,
                after: Some("\"1\"".to_owned()),
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
