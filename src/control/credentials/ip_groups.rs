//! The entries of `[[ip_group]]`: read at the start, and again when their file changes.

use std::path::Path;
use std::sync::Arc;

use crate::config;
use crate::config::Config;
use crate::config::Report;
use crate::control::credentials::authorities::Complaint;
use crate::control::files;
use crate::policy::access_list::AccessList;
use crate::policy::ip_list;
use crate::policy::network_set::NetworkSet;

/// Some millions of entries.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Lines of one file that are told of; a file of another kind has a fault in each.
const MAX_TOLD: usize = 100;

/// What came of one `[[ip_group]]`.
#[derive(Default)]
pub struct LoadedIpGroup {
    /// None when one of the complaints is an error.
    pub networks: Option<Arc<NetworkSet>>,
    pub complaints: Vec<Complaint>,
}

/// Every `[[ip_group]]`, in the order of [`Config::ip_groups`]; tells the report what is wrong.
pub(super) fn load(config: &Config, report: &mut Report) -> Vec<LoadedIpGroup> {
    let loaded: Vec<_> = config.ip_groups.iter().map(load_one).collect();
    for complaint in loaded.iter().flat_map(|loaded| &loaded.complaints) {
        let Complaint { is_error, location, message, help } = complaint.clone();
        match is_error {
            true => report.error(location, message, help),
            false => report.warning(location, message, help),
        }
    }
    for listener in &config.listeners {
        let Some(allow) = &listener.access.allow else { continue };
        let is_empty =
            |index: &usize| loaded.get(*index)?.networks.as_ref().map(|networks| networks.is_empty());
        if allow.iter().all(|index| is_empty(index) == Some(true)) {
            let message = format!(
                "nobody may connect to the listener \"{}\": what `allow` names has no entries",
                listener.name
            );
            report.warning(
                listener.access.location,
                message,
                "add entries to the [[ip_group]], or remove `allow`",
            );
        }
    }
    loaded
}

/// The entries of one `[[ip_group]]`.
pub(super) fn load_one(group: &config::IpGroup) -> LoadedIpGroup {
    let mut networks = group.entries.clone();
    let mut complaints = Vec::new();
    if let Some(file) = &group.file {
        let name = file.path.display();
        let mut complain = |is_error, message, help: &str| {
            complaints.push(Complaint { is_error, location: file.location, message, help: help.to_owned() });
        };
        match read(&file.path) {
            Err(reason) => {
                complain(true, format!("cannot read {name}: {reason}"), "name a file that ringway may read");
            }
            Ok(text) => {
                let (entries, faults) = ip_list::parse(&text);
                for fault in faults.iter().take(MAX_TOLD) {
                    let help = match fault.is_error {
                        true => "write one address such as 192.0.2.7 or network such as 192.0.2.0/24 a line",
                        false => "write the network without host bits",
                    };
                    complain(fault.is_error, format!("line {} of {name}: {}", fault.line, fault.text), help);
                }
                if let Some(more @ 1..) = faults.len().checked_sub(MAX_TOLD) {
                    let is_error = faults.iter().skip(MAX_TOLD).any(|fault| fault.is_error);
                    let message = format!("{more} more lines of {name} have faults");
                    complain(is_error, message, "is it a list of addresses at all?");
                }
                networks.extend(entries);
            }
        }
    }
    let is_usable = complaints.iter().all(|complaint| !complaint.is_error);
    LoadedIpGroup { networks: is_usable.then(|| Arc::new(NetworkSet::new(networks))), complaints }
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = files::read(path, MAX_FILE_BYTES + 1).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())
}

/// The entries of the group with this index; nothing if it could not be loaded.
pub fn networks(loaded: &[LoadedIpGroup], index: usize) -> Option<Arc<NetworkSet>> {
    loaded.get(index)?.networks.as_ref().map(Arc::clone)
}

/// Who may connect to a listener; None: everybody. Where a list of those who may not is missing, nobody may.
pub fn access(listener: &config::Listener, loaded: &[LoadedIpGroup]) -> Option<AccessList> {
    let config::Access { allow, deny, .. } = &listener.access;
    if allow.is_none() && deny.is_empty() {
        return None;
    }
    let find = |indices: &[usize]| -> Option<Vec<_>> {
        indices.iter().map(|index| networks(loaded, *index)).collect()
    };
    let allow = allow.as_deref().map(|indices| find(indices).unwrap_or_default());
    let nobody = || AccessList { allow: Some(Vec::new()), deny: Vec::new() };
    Some(find(deny).map_or_else(nobody, |deny| AccessList { allow, deny }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Source;

    #[test]
    fn what_is_wrong_with_lines_is_told_and_nobody_gets_in_by_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good"), "10.0.0.0/8\n").unwrap();
        fs::write(folder.path().join("bad"), "10.0.0.0/8\nhello\n10.1.2.3/16\n").unwrap();
        fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
        fs::write(folder.path().join("empty"), "# nobody yet\n").unwrap();
        let group = |name: &str| format!("[[ip_group]]\nname = \"{name}\"\nfile = \"{name}\"\n");
        let groups: String = ["good", "bad", "binary", "gone", "empty"].map(group).concat();
        let text = format!(
            "config_version = 1\n{groups}[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\n\
             allow = [\"empty\"]\ndeny = [\"good\", \"bad\", \"binary\", \"gone\"]\n"
        );
        let source = Source::file(Path::new("a.toml"), folder.path().to_owned(), Ok(text));
        let mut config = config::load(vec![source]);
        let listener = config.config.as_ref().unwrap().listeners[0].clone();
        let loaded = load(config.config.as_ref().unwrap(), &mut config.report);
        let told = config.report.to_text(false);
        let folder = folder.path().display();
        let told: Vec<_> = told.lines().filter(|line| line.starts_with("a.toml:")).collect();
        assert_eq!(
            told,
            [
                &format!(
                    "a.toml:7:8: error: line 2 of {folder}/bad: \"hello\" is neither an IP address nor a network"
                ),
                &format!(
                    "a.toml:7:8: warning: line 3 of {folder}/bad: \"10.1.2.3/16\" is read as \"10.1.0.0/16\""
                ),
                &format!("a.toml:10:8: error: cannot read {folder}/binary: it is no text in UTF-8"),
                &format!(
                    "a.toml:13:8: error: cannot read {folder}/gone: No such file or directory (os error 2)"
                ),
                "a.toml:18:8: warning: the listener \"web\" has no default_group: every request gets 404",
                "a.toml:20:9: warning: nobody may connect to the listener \"web\": what `allow` names has no entries",
            ]
        );
        let admits = |allow: Option<&[usize]>, deny: &[usize]| {
            let access = config::Access {
                allow: allow.map(<[usize]>::to_vec),
                deny: deny.to_vec(),
                location: config::Location::default(),
            };
            let listener = config::Listener { access, ..listener.clone() };
            access_of(&listener, &loaded)
        };
        fn access_of(listener: &config::Listener, loaded: &[LoadedIpGroup]) -> Option<bool> {
            access(listener, loaded).map(|list| list.admits("10.1.1.1".parse().unwrap()))
        }
        assert_eq!(admits(None, &[]), None);
        assert_eq!(admits(Some(&[0]), &[]), Some(true));
        assert_eq!(admits(Some(&[4]), &[]), Some(false));
        // One that could not be read counts for the worst.
        assert_eq!(admits(Some(&[1]), &[]), Some(false));
        assert_eq!(admits(None, &[1]), Some(false));
    }
}
