//! `[[ip_group]]`, and `allow` and `deny` of listeners.

use crate::config::Access;
use crate::config::IpGroup;
use crate::config::Listener;
use crate::config::ResponseRule;
use crate::config::Rule;
use crate::config::ServerGroup;
use crate::config::check::address::Networks;
use crate::config::check::annotations;
use crate::config::check::file_path::File;
use crate::config::check::kind::Name;
use crate::config::check::names::NameList;
use crate::config::check::names::Names;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::policy::ip_list::parse_network;
use crate::policy::router::Condition;

pub(super) fn ip_group(table: &raw::Table, output: &mut Output) -> IpGroup {
    let mut section = Section::element("ip_group", table, output);
    let name = section.read_required("name", &Name, "name = \"office\"");
    if let Some((name, location)) = name.as_ref().filter(|(name, _)| parse_network(name).is_some()) {
        let message = format!("the name \"{name}\" is an address, which a rule would take for itself");
        section.report().error(*location, message, "choose another name");
    }
    let entries = section.read("entries", &Networks, Vec::new());
    let file = section.read_optional("file", &File, "all entries stand in `entries`");
    annotations::description(&mut section);
    section.close();
    IpGroup {
        location: name.as_ref().map_or(table.location, |(_, location)| *location),
        name: name.map(|(name, _)| name).unwrap_or_default(),
        entries: entries.into_iter().map(|(network, _)| network).collect(),
        file: file.map(|(file, _)| file),
    }
}

/// The names that keys may refer to.
pub(super) fn names<'n>(groups: &'n [IpGroup], report: &Report) -> Names<'n> {
    Names::new("[[ip_group]]", groups.iter().map(|group| group.name.as_str()), report)
}

const NAMES: NameList = NameList { example: "[\"office\"]" };

/// Who may connect to a listener.
pub(super) fn access(section: &mut Section<'_, '_>, known: &Names<'_>) -> Access {
    let allow = section.read_optional("allow", &NAMES, "everybody may connect");
    let location = allow.as_ref().map_or(Location::default(), |(_, location)| *location);
    let allow = allow.map(|(names, _)| find_all("allow", names, section, known));
    let deny = section.read_optional("deny", &NAMES, "nobody is kept from connecting");
    let deny = deny.map(|(names, _)| find_all("deny", names, section, known)).unwrap_or_default();
    Access { allow, deny, location }
}

/// The indices of these groups, each once.
fn find_all(
    key: &str,
    names: Vec<(String, Location)>,
    section: &mut Section<'_, '_>,
    known: &Names<'_>,
) -> Vec<usize> {
    let mut indices = Vec::with_capacity(names.len());
    for (name, location) in names {
        if let Some(index) = known.find(key, (&name, location), section.report())
            && !indices.contains(&index)
        {
            indices.push(index);
        }
    }
    indices
}

/// Warns about groups that nothing asks for.
pub(super) fn check_use(
    groups: &[IpGroup],
    listeners: &[Listener],
    (rules, response_rules, server_groups): (&[Rule], &[ResponseRule], &[ServerGroup]),
    report: &mut Report,
) {
    let mut is_used = vec![false; groups.len()];
    let of_listeners = listeners.iter().flat_map(|listener| {
        let Access { allow, deny, .. } = &listener.access;
        allow.iter().flatten().chain(deny)
    });
    let conditions = rules.iter().flat_map(|rule| &rule.conditions);
    let conditions = conditions.chain(response_rules.iter().flat_map(|rule| &rule.conditions));
    let of_rules = conditions.flat_map(|condition| match condition {
        Condition::SourceIp(test) => test.groups.as_slice(),
        _ => &[],
    });
    let maintenances = rules.iter().filter_map(|rule| rule.maintenance.as_ref());
    let maintenances =
        maintenances.chain(server_groups.iter().filter_map(|group| group.maintenance.as_ref()));
    let of_maintenances = maintenances.flat_map(|maintenance| &maintenance.allow.groups);
    for index in of_listeners.copied().chain(of_rules.chain(of_maintenances).map(|group| group.index)) {
        if let Some(is_used) = is_used.get_mut(index) {
            *is_used = true;
        }
    }
    let unused = groups.iter().zip(is_used).filter(|(group, is_used)| !is_used && !group.name.is_empty());
    for (group, _) in unused {
        let message = format!("the IP group \"{}\" is not used", group.name);
        report.warning(group.location, message, "name it in allow, deny or source_ip, or remove it");
    }
}
