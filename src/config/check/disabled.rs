//! What `enabled = false` leaves unserved.

use crate::config::FinalAction;
use crate::config::Listener;
use crate::config::ListenerProtocol;
use crate::config::Rule;
use crate::config::ServerGroup;
use crate::config::check::references::Wanted;
use crate::config::check::server_group;
use crate::config::report::Location;
use crate::config::report::Report;

/// Warns about what is enabled and leads to what is not.
pub(super) fn check(
    (listeners, wanted): (&[Listener], &[Wanted]),
    groups: &[ServerGroup],
    rules: &[Rule],
    report: &mut Report,
) {
    let is_off = |index: &usize| groups.get(*index).is_some_and(|group| !group.enabled);
    if let Some(first) = listeners.first().filter(|_| listeners.iter().all(|listener| !listener.enabled)) {
        let message = "all listeners are disabled: nothing is served";
        report.warning(first.location, message, "remove enabled = false from one of them");
    }
    for (listener, wanted) in listeners.iter().zip(wanted).filter(|(listener, _)| listener.enabled) {
        let default_group =
            wanted.default_group.as_ref().filter(|_| listener.default_group.iter().any(is_off));
        if let Some(reference) = default_group {
            let name = reference.name.as_deref().unwrap_or_default();
            let consequence = match &listener.protocol {
                ListenerProtocol::Http(_) => "requests that no rule takes get 503",
                ListenerProtocol::Stream(_) => "connections that no rule takes are reset",
                ListenerProtocol::Datagram(_) => "datagrams are lost",
            };
            let message = format!("`default_group` \"{name}\" is disabled: {consequence}");
            warn(reference.location, message, report);
        }
        let target = listener.http().and_then(|http| http.redirect_to).and_then(|index| listeners.get(index));
        let reference = wanted.redirect_to.as_ref().filter(|_| target.is_some_and(|target| !target.enabled));
        if let Some(reference) = reference {
            let name = reference.name.as_deref().unwrap_or_default();
            let message =
                format!("`redirect_to` \"{name}\" is disabled: clients are sent where nobody listens");
            warn(reference.location, message, report);
        }
    }
    for group in groups.iter().filter(|group| group.enabled && !group.backends.is_empty()) {
        if group.backends.iter().all(|backend| !backend.enabled) {
            let consequence = server_group::without_backends(group.protocol);
            let message = format!("all backends of \"{}\" are disabled: {consequence}", group.name);
            warn(group.location, message, report);
        }
    }
    rules.iter().filter(|rule| rule.enabled).for_each(|rule| check_rule(rule, groups, report));
}

fn check_rule(rule: &Rule, groups: &[ServerGroup], report: &mut Report) {
    let disabled = |index: usize| groups.get(index).filter(|group| !group.enabled);
    let name = &rule.name;
    if let FinalAction::Forward(targets) = &rule.actions.last {
        let sharing = || targets.iter().filter(|target| target.weight > 0);
        let off: Vec<&str> =
            sharing().filter_map(|target| Some(disabled(target.group)?.name.as_str())).collect();
        if let Some(first) = off.first() {
            let share =
                if off.len() == sharing().count() { "its requests" } else { "a share of its requests" };
            let message =
                format!("the rule \"{name}\" forwards to \"{first}\", which is disabled: {share} get 503");
            warn(rule.location, message, report);
        }
    }
    let asked = rule.actions.gates.forward_auth.as_ref().and_then(|auth| disabled(auth.group));
    if let Some(group) = asked {
        let message =
            format!("the rule \"{name}\" asks \"{}\" by forward_auth, which is disabled", group.name);
        warn(rule.location, message, report);
    }
    if let Some(group) = rule.actions.mirror.as_ref().and_then(|mirror| disabled(mirror.group)) {
        let message = format!("the rule \"{name}\" mirrors to \"{}\", which is disabled", group.name);
        warn(rule.location, message, report);
    }
}

fn warn(location: Location, message: String, report: &mut Report) {
    report.warning(location, message, "enable what it leads to, or lead elsewhere");
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    const OFF: &str = "enabled = false\n";

    /// What is said of a listener, its group, the backend of that and a rule, with these lines each.
    fn report([listener, group, backend, rule]: [&str; 4]) -> String {
        let text = format!(
            "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n{listener}\
             default_group = \"app\"\n[[server_group]]\nname = \"app\"\n{group}[[server_group.backend]]\n\
             address = \"127.0.0.1:9001\"\n{backend}[[server_group]]\nname = \"other\"\n\
             [[server_group.backend]]\naddress = \"127.0.0.1:9002\"\n[[rule]]\nname = \"r\"\n\
             listener = \"web\"\npriority = 1\npath = \"/\"\n{rule}"
        );
        load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false)
    }

    #[test]
    fn what_is_left_unserved_is_warned_of() {
        let shared = "forward = [{ group = \"app\", weight = 1 }, { group = \"other\", weight = 1 }]\n";
        let aside = "mirror = { group = \"app\" }\nforward_auth = { group = \"app\", path = \"/\" }\ngroup = \"other\"\n";
        for (lines, said) in [
            ([OFF, "", "", "group = \"other\"\n"], "all listeners are disabled: nothing is served"),
            (["", OFF, "", "group = \"other\"\n"], "`default_group` \"app\" is disabled"),
            (["", "", OFF, "group = \"other\"\n"], "all backends of \"app\" are disabled"),
            (["", OFF, "", "group = \"app\"\n"], "\"app\", which is disabled: its requests get 503"),
            (["", OFF, "", shared], "which is disabled: a share of its requests get 503"),
            (["", OFF, "", aside], "the rule \"r\" mirrors to \"app\", which is disabled"),
            (["", OFF, "", aside], "the rule \"r\" asks \"app\" by forward_auth, which is disabled"),
        ] {
            let report = report(lines);
            assert!(report.contains(said) && report.contains("warning"), "{lines:?}: {report}");
        }
        for lines in
            [["", "", "", "group = \"other\"\n"], ["", "", "", "enabled = false\ngroup = \"other\"\n"]]
        {
            assert_eq!(report(lines), "", "{lines:?}");
        }
        // A rule that is disabled takes nothing, and leads nowhere.
        let off = report(["", OFF, "", "enabled = false\ngroup = \"app\"\n"]);
        assert!(!off.contains("the rule"), "{off}");
    }

    #[test]
    fn what_is_disabled_stands_in_nobodys_way() {
        let listeners = |enabled: &str| {
            format!(
                "config_version = 1\n[[server_group]]\nname = \"app\"\n[[server_group.backend]]\n\
                 address = \"127.0.0.1:9001\"\n[[listener]]\nname = \"a\"\naddress = \"0.0.0.0:8080\"\n\
                 default_group = \"app\"\n[[listener]]\nname = \"b\"\naddress = \"127.0.0.1:8080\"\n\
                 default_group = \"app\"\n{enabled}[[rule]]\nname = \"all\"\nlistener = \"a\"\npriority = 1\n\
                 path = \"/*\"\ngroup = \"app\"\n{enabled}[[rule]]\nname = \"some\"\nlistener = \"a\"\n\
                 priority = 2\npath = \"/some\"\ngroup = \"app\"\n"
            )
        };
        let said =
            |enabled| load(vec![Source::made_up("ringway.toml", listeners(enabled))]).report.to_text(false);
        assert_eq!(said(OFF), "");
        assert!(said("").contains("port 8080 is bound twice"), "{}", said(""));
        assert!(said("").contains("is never reached"), "{}", said(""));
    }
}
