//! `[admin]`: how control commands get in, and where metrics are served.

use std::net::SocketAddr;

use serde_json::Value as Json;

use crate::config::Admin;
use crate::config::AdminRole;
use crate::config::AdminTls;
use crate::config::NamedFile;
use crate::config::check::address::ADDRESS_WITH_PORT;
use crate::config::check::address::MAX_SOCKET_PATH;
use crate::config::check::address::is_dns_name;
use crate::config::check::address::resolve;
use crate::config::check::elb_api;
use crate::config::check::file_path::File;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::names::Names;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

pub(super) fn admin(table: Option<&raw::Table>, output: &mut Output) -> Admin {
    let mut section = Section::single("admin", table, output);
    let socket = section.read_optional("socket", &SocketPath, "there are no control commands");
    let address =
        section.read_optional("address", &HttpAddress, "metrics and the API are not served by HTTP");
    let idle = address.is_none().then_some("without `address`, nothing is served by HTTP");
    let hosts = section.read_unless(idle, "hosts", &HostNames, Vec::new());
    let tokens_file = section.read_optional("tokens_file", &File, "there are no tokens");
    section.warn_idle("tokens_file", tokens_file.as_ref().and(idle));
    let audit = section.read_optional("audit", &File, "only messages of the process tell of changes");
    let tls_table = section.table("tls");
    section.warn_idle("tls", tls_table.and(idle));
    let elb_table = section.table("elb_api");
    section.close();
    let tls = tls_table.and_then(|table| tls(table, output));
    let elb_api = elb_table.and_then(|table| elb_api::elb_api(table, output));
    let admin = Admin {
        socket: socket.map(|(socket, _)| socket),
        address,
        hosts,
        tls,
        tokens_file: tokens_file.map(|(file, _)| file),
        audit: audit.map(|(file, _)| file),
        elb_api,
    };
    check_reach(&admin, &mut output.report);
    check_elb_reach(&admin, &mut output.report);
    admin
}

fn tls(table: &raw::Table, output: &mut Output) -> Option<AdminTls> {
    let mut section = Section::single("admin.tls", Some(table), output);
    let certificate = section.read_required("certificate", &Name, "certificate = \"admin\"");
    let client_ca = section.read_optional("client_ca", &Name, "clients show no certificates");
    let idle = client_ca.is_none().then_some("without `client_ca`, clients show no certificates");
    let client_role = section.read_unless(idle, "client_role", &ROLES, AdminRole::Read);
    section.close();
    Some(AdminTls { certificate: certificate?, client_ca, client_role })
}

const ROLES: Choice<AdminRole> = Choice { words: &AdminRole::WORDS, aliases: &[], later: &[] };

/// Who is reached from other machines has to know who asks.
fn check_reach(admin: &Admin, report: &mut Report) {
    let Some((address, location)) = admin.address.filter(|(address, _)| !address.ip().is_loopback()) else {
        return;
    };
    let knows_clients = admin.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if admin.tokens_file.is_none() && !knows_clients {
        let message =
            format!("`address` \"{address}\" is reached from other machines, and anybody could read there");
        let help = "write tokens_file = \"admin.tokens\" or tls = { certificate = \"…\", client_ca = \"…\" }, or \
                    address = \"127.0.0.1:9180\"";
        report.error(location, message, help);
    } else if admin.tls.is_none() {
        let message =
            format!("`address` \"{address}\" is reached from other machines, which send tokens in the clear");
        report.warning(location, message, "write tls = { certificate = \"…\" }");
    }
}

/// What is signed can be repeated by who has seen it.
fn check_elb_reach(admin: &Admin, report: &mut Report) {
    let Some(elb) = &admin.elb_api else { return };
    match admin.address {
        None => {
            let message = "[admin.elb_api] has no address: it is served at `address` of [admin]";
            report.error(elb.location, message, "write address = \"127.0.0.1:9180\" in [admin]");
        }
        Some((address, _)) if !address.ip().is_loopback() && admin.tls.is_none() => {
            let message = format!(
                "[admin.elb_api] at \"{address}\" would be reached from other machines in the clear, and who \
                         sees a signed request can repeat it"
            );
            let help = "write tls = { certificate = \"…\" } in [admin], or address = \"127.0.0.1:9180\"";
            report.error(elb.location, message, help);
        }
        Some(_) => {}
    }
}

/// Finds the names that `[admin.tls]` refers to.
pub(super) fn check_references(
    admin: &Admin,
    (certificates, authorities): (&Names<'_>, &Names<'_>),
    report: &mut Report,
) {
    let Some(AdminTls { certificate: (name, location), client_ca, .. }) = &admin.tls else { return };
    certificates.find("certificate", (name, *location), report);
    if let Some((name, location)) = client_ca {
        authorities.find("client_ca", (name, *location), report);
    }
}

/// An address with a port.
struct HttpAddress;

impl Kind for HttpAddress {
    type Value = SocketAddr;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<SocketAddr> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "an address such as \"127.0.0.1:9180\"", report);
        };
        let address = text.parse::<SocketAddr>().ok();
        if address.is_none() {
            let help = "write \"127.0.0.1:9180\" or \"[::1]:9180\"";
            let message = format!("`{key}` \"{}\" is not an IP address with a port", text.escape_debug());
            report.error(raw.location, message, help);
        }
        address
    }

    fn show(&self, value: &SocketAddr) -> Json {
        Json::String(value.to_string())
    }

    fn schema(&self) -> Json {
        schema::pattern(ADDRESS_WITH_PORT)
    }
}

/// Names by which a client may call the address.
struct HostNames;

/// Names by which the admin address may be called.
const MAX_HOST_NAMES: usize = 16;

impl Kind for HostNames {
    type Value = Vec<String>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<String>> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list such as [\"edge.example.com\"]", report);
        };
        if values.len() > MAX_HOST_NAMES {
            let message = format!("`{key}` has {} items", values.len());
            report.error(raw.location, message, format!("allowed are up to {MAX_HOST_NAMES}"));
            return None;
        }
        let name = |value: &raw::Value| match &value.kind {
            raw::Kind::Text(text) if is_dns_name(text) => Some(text.to_ascii_lowercase()),
            _ => None,
        };
        let wrong = values.iter().find(|value| name(value).is_none());
        if let Some(wrong) = wrong {
            let help = "write names without a port, such as \"edge.example.com\"";
            report.error(wrong.location, format!("`{key}` holds what is no host name"), help);
            return None;
        }
        Some(values.iter().filter_map(name).collect())
    }

    fn show(&self, value: &Vec<String>) -> Json {
        value.iter().map(|name| Json::String(name.clone())).collect()
    }

    fn schema(&self) -> Json {
        schema::list(schema::text_of(1..=usize::MAX), 0..=MAX_HOST_NAMES)
    }
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

    fn schema(&self) -> Json {
        schema::text_of(1..=MAX_SOCKET_PATH)
    }
}
