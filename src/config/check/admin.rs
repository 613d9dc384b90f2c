//! `[admin]`: how control commands get in.

use serde_json::Value as Json;

use crate::config::Admin;
use crate::config::NamedFile;
use crate::config::check::address::MAX_SOCKET_PATH;
use crate::config::check::address::resolve;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;

pub(super) fn admin(table: Option<&raw::Table>, output: &mut Output) -> Admin {
    let mut section = Section::single("admin", table, output).with_later(&["address"]);
    let socket = section.read_optional("socket", &SocketPath, "there are no control commands");
    section.close();
    Admin { socket: socket.map(|(socket, _)| socket) }
}

/// The path of a unix socket to be made, relative to the folder of the file it stands in.
struct SocketPath;

impl Kind for SocketPath {
    type Value = NamedFile;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<NamedFile> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let is_file_name = !text.ends_with('/');
        let problem = match resolve(text, report.folder(raw.location)) {
            _ if text.starts_with("unix:") => "begins with \"unix:\", which only backends do",
            Some(path) if path.as_os_str().len() > MAX_SOCKET_PATH => {
                "is longer than the 107 bytes a socket path may have"
            }
            Some(path) if is_file_name && path.file_name().is_some() => {
                return Some(NamedFile { path, location: raw.location });
            }
            _ => "is not the path of a socket",
        };
        let help = "write the path of a unix socket, such as \"/run/ringway/admin.sock\"";
        report.error(raw.location, format!("`{key}` \"{}\" {problem}", text.escape_debug()), help);
        None
    }

    fn show(&self, value: &NamedFile) -> Json {
        Json::String(value.path.display().to_string())
    }
}
