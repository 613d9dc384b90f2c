//! `[listener.client_auth]`: whether clients show certificates, and whose.

use serde_json::Value as Json;

use crate::config::Admin;
use crate::config::Authority;
use crate::config::ClientAuth;
use crate::config::ClientAuthMode;
use crate::config::Listener;
use crate::config::ServerGroup;
use crate::config::Verify;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::listener_tls::Scheme;
use crate::config::check::nearest::nearest;
use crate::config::check::references::Reference;
use crate::config::check::references::Wanted;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::check::section::is_empty_list;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// `wanted` gets the names of CAs; [`resolve`] finds them.
pub(super) fn client_auth(
    listener: &mut Section<'_, '_>,
    scheme: Scheme,
    wanted: &mut Vec<Reference>,
) -> ClientAuth {
    let table = listener.table("client_auth");
    let is_unclear = listener.is_refused("protocol");
    let mut section = Section::single("listener.client_auth", table, listener.output);
    let mode = section.read("mode", &MODES, ClientAuthMode::Off);
    let names = section.read("ca", &NamePatterns, Vec::new());
    section.close();
    if let Some(table) = table {
        check(table, (mode, scheme.is_secure() || is_unclear), listener.output);
    }
    let named = table.and_then(|table| table.find("ca")).filter(names_something);
    if let Some(refused) = named.filter(|_| names.is_empty()) {
        wanted.push(Reference { name: None, location: refused.value.location });
    }
    wanted.extend(names.into_iter().map(|(name, location)| Reference { name: Some(name), location }));
    ClientAuth { mode, ca: Vec::new() }
}

const MODES: Choice<ClientAuthMode> = Choice {
    words: &[
        ("off", ClientAuthMode::Off),
        ("optional", ClientAuthMode::Optional),
        ("require", ClientAuthMode::Require),
    ],
    aliases: &[],
    later: &[],
};

/// What would let clients in whom the operator means to keep out is an error.
fn check(table: &raw::Table, (mode, may_ask): (ClientAuthMode, bool), output: &mut Output) {
    let report = &mut output.report;
    let names_ca =
        |entry: &&raw::Entry| !matches!(&entry.value.kind, raw::Kind::Array(values) if values.is_empty());
    let ca = table.find("ca").filter(names_ca);
    match (table.find("mode"), ca) {
        (None, Some(ca)) => {
            let help = "add mode = \"require\", or mode = \"off\" to leave it so";
            report.error(ca.value.location, "`ca` is set, but without `mode` no client is asked", help);
        }
        (Some(entry), None) if mode != ClientAuthMode::Off => {
            let help = "add ca = [\"clients\"], with a [[ca]] of this name";
            report.error(entry.value.location, "`ca` is missing: whose certificates are good?", help);
        }
        (Some(entry), _) if mode != ClientAuthMode::Off && !may_ask => {
            let help = "write protocol = \"https\", or remove [listener.client_auth]";
            report.error(entry.value.location, "clients show no certificates over plain HTTP", help);
        }
        _ => {}
    }
}

fn names_something(entry: &&raw::Entry) -> bool {
    !is_empty_list(entry)
}

/// Names, each with its place.
struct NamePatterns;

impl Kind for NamePatterns {
    type Value = Vec<(String, Location)>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, "a list of names such as [\"clients\"]", report);
        };
        let name = |value: &raw::Value| Some((Name.parse(key, value, report)?, value.location));
        let parsed: Vec<_> = values.iter().filter_map(name).collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|(name, _)| Json::from(name.as_str())).collect()
    }

    fn schema(&self) -> Json {
        schema::list(Name.schema(), 0..=usize::MAX)
    }
}

/// Fills in the CAs. `wanted` runs beside `listeners`.
pub(super) fn resolve(
    listeners: &mut [Listener],
    wanted: &[Wanted],
    authorities: &[Authority],
    report: &mut Report,
) {
    // A CA whose own name was refused may be the one that is meant.
    let may_be_hidden = report.is_broken_anywhere() || authorities.iter().any(|ca| ca.name.is_empty());
    let names: Vec<&str> = authorities.iter().map(|ca| ca.name.as_str()).collect();
    for (listener, wanted) in listeners.iter_mut().zip(wanted) {
        for Reference { name, location } in &wanted.authorities {
            let Some(name) = name else { continue };
            match names.iter().position(|known| known == name) {
                Some(index) if listener.client_auth.ca.contains(&index) => {
                    let message = format!("the CA \"{name}\" is already listed");
                    report.warning(*location, message, "list it once");
                }
                Some(index) => listener.client_auth.ca.push(index),
                None if may_be_hidden => {}
                None => {
                    let help = match nearest(name, &names) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None if names.is_empty() => "add a [[ca]] of this name".to_owned(),
                        None => format!("defined are \"{}\"", names.join("\", \"")),
                    };
                    report.error(*location, format!("the CA \"{name}\" is not defined"), help);
                }
            }
        }
    }
}

/// Warns about CAs that nothing names.
pub(super) fn check_use(
    wanted: &[Wanted],
    authorities: &[Authority],
    (groups, admin): (&[ServerGroup], &Admin),
    report: &mut Report,
) {
    let wanted = || wanted.iter().flat_map(|wanted| &wanted.authorities);
    if wanted().any(|reference| reference.name.is_none()) {
        return;
    }
    let backends: Vec<&Verify> =
        groups.iter().filter_map(|group| Some(&group.tls.as_ref()?.verify)).collect();
    for (index, authority) in authorities.iter().enumerate().filter(|(_, ca)| !ca.name.is_empty()) {
        let is_wanted = |reference: &Reference| reference.name.as_ref() == Some(&authority.name);
        let of_admin = admin.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        let is_of_admin = of_admin.is_some_and(|(name, _)| *name == authority.name);
        if !wanted().any(is_wanted) && !is_of_admin && !backends.contains(&&Verify::Ca(index)) {
            let message = format!("the CA \"{}\" is not used", authority.name);
            let help = "name it in a [listener.client_auth] or a [server_group.tls], or remove it";
            report.warning(authority.location, message, help);
        }
    }
}
