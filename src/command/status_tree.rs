//! The operating status of a process, its listeners, their rules, and groups with their backends, as a tree in which what
//! is wrong below shows above.

use std::collections::HashSet;

use serde::Serialize;

use crate::command::table::Cell;
use crate::command::table::Colour;
use crate::command::table::Column;
use crate::command::table::TextTable;
use crate::control::admin::status::BackendStatus;
use crate::control::admin::status::GroupStatus;
use crate::control::admin::status::ListenerStatus;
use crate::control::admin::status::RuleStatus;
use crate::control::admin::status::Status;
use crate::control::admin::status::TargetStatus;
use crate::control::admin::status::protocol_label;

/// The words of clouds' load balancers; `docs/admin.md` explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum OperatingStatus {
    Online,
    /// Something below it is offline.
    Degraded,
    /// Only of a backend.
    Offline,
    /// Only of a backend: nobody probes it.
    NoMonitor,
    /// It was taken out of service on purpose.
    Disabled,
}

#[derive(Debug, Serialize)]
pub(super) struct StatusTree {
    version: String,
    pid: u32,
    stopping: bool,
    epoch: u64,
    operating_status: OperatingStatus,
    listeners: Vec<ListenerNode>,
    groups: Vec<GroupNode>,
}

#[derive(Debug, Serialize)]
struct ListenerNode {
    name: String,
    operating_status: OperatingStatus,
    protocol: String,
    http3: bool,
    quic_listener: Option<String>,
    addresses: Vec<String>,
    leaving: bool,
    disabled: bool,
    rules: Vec<RuleNode>,
    disabled_rules: Vec<String>,
    default_group: Option<TargetNode>,
    redirect_port: Option<u16>,
}

#[derive(Debug, Serialize)]
struct RuleNode {
    name: String,
    operating_status: OperatingStatus,
    priority: u32,
    action: String,
    maintenance: bool,
    groups: Vec<TargetNode>,
}

#[derive(Debug, Serialize)]
struct TargetNode {
    name: String,
    operating_status: OperatingStatus,
    /// Its share of a rule's requests. None: it gets all.
    weight: Option<u32>,
}

#[derive(Debug, Serialize)]
struct GroupNode {
    name: String,
    operating_status: OperatingStatus,
    availability: String,
    maintenance: bool,
    backends: Vec<BackendNode>,
}

#[derive(Debug, Serialize)]
struct BackendNode {
    address: String,
    operating_status: OperatingStatus,
    role: Option<String>,
    weight: Option<u32>,
    state: String,
    reason: Option<String>,
}

impl OperatingStatus {
    fn as_str(self) -> &'static str {
        match self {
            OperatingStatus::Online => "ONLINE",
            OperatingStatus::Degraded => "DEGRADED",
            OperatingStatus::Offline => "OFFLINE",
            OperatingStatus::NoMonitor => "NO_MONITOR",
            OperatingStatus::Disabled => "DISABLED",
        }
    }

    fn colour(self) -> Colour {
        match self {
            OperatingStatus::Online => Colour::Green,
            OperatingStatus::Degraded => Colour::Yellow,
            OperatingStatus::Offline => Colour::Red,
            OperatingStatus::NoMonitor | OperatingStatus::Disabled => Colour::None,
        }
    }

    /// Of a backend in this state, which gets new requests or not.
    fn of_backend(state: &str, is_available: bool) -> OperatingStatus {
        match state {
            "healthy" => OperatingStatus::Online,
            // It serves until its first probe says otherwise.
            "initial" if is_available => OperatingStatus::Online,
            "unchecked" => OperatingStatus::NoMonitor,
            "disabled" | "drained" | "draining" => OperatingStatus::Disabled,
            // Unhealthy, ejected, or not probed yet: none of them gets requests while others can.
            _ => OperatingStatus::Offline,
        }
    }

    /// What those below something make of it. What is disabled on purpose degrades nothing, but nothing is left where
    /// all are.
    fn above(below: impl IntoIterator<Item = OperatingStatus>) -> OperatingStatus {
        let below: Vec<OperatingStatus> = below.into_iter().collect();
        let is_wrong =
            |status: &OperatingStatus| matches!(status, OperatingStatus::Offline | OperatingStatus::Degraded);
        match &*below {
            [] => OperatingStatus::Online,
            all if all.iter().all(|status| *status == OperatingStatus::Disabled) => OperatingStatus::Disabled,
            all if all.iter().any(is_wrong) => OperatingStatus::Degraded,
            _ => OperatingStatus::Online,
        }
    }
}

impl StatusTree {
    pub(super) fn of(status: &Status) -> StatusTree {
        let groups: Vec<GroupNode> = status
            .groups
            .iter()
            .map(|group| GroupNode::of(group, is_in_maintenance(status, "server_group", &group.name)))
            .collect();
        let listeners: Vec<ListenerNode> =
            status.listeners.iter().map(|listener| ListenerNode::of(listener, status, &groups)).collect();
        let below = listeners.iter().map(|listener| listener.operating_status);
        // Groups that no listener leads to count as well: requests are mirrored to them, or their users are asked for.
        let spare: Vec<OperatingStatus> =
            spare_groups(&listeners, &groups).map(|group| group.operating_status).collect();
        let operating_status = match status.stopping {
            true => OperatingStatus::Disabled,
            false => OperatingStatus::above(below.chain(spare)),
        };
        StatusTree {
            version: status.version.clone(),
            pid: status.pid,
            stopping: status.stopping,
            epoch: status.epoch,
            operating_status,
            listeners,
            groups,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    pub(super) fn to_text(&self, in_colour: bool) -> String {
        let mut shown = HashSet::new();
        let mut branches: Vec<Branch> =
            self.listeners.iter().map(|listener| listener.branch(&self.groups, &mut shown)).collect();
        branches.extend(spare_groups(&self.listeners, &self.groups).map(|group| group.branch("", true)));
        let stopping = if self.stopping { ", stopping" } else { "" };
        let root = Branch {
            label: format!("ringway {}", self.version),
            status: self.operating_status,
            remark: format!("process {}, config generation {}{stopping}", self.pid, self.epoch),
            branches,
        };
        let columns = [Column::Left("OBJECT"), Column::Left("STATUS"), Column::Left("REMARK")];
        let mut table = TextTable::new(&columns);
        root.add_to(&mut table, "", "");
        table.to_text(0, in_colour)
    }
}

fn is_in_maintenance(status: &Status, kind: &str, name: &str) -> bool {
    status.maintenance.iter().any(|entry| entry.kind == kind && entry.name == name)
}

/// Groups to which no listener forwards.
fn spare_groups<'g>(
    listeners: &[ListenerNode],
    groups: &'g [GroupNode],
) -> impl Iterator<Item = &'g GroupNode> + use<'g> {
    let of_rules = listeners.iter().flat_map(|listener| &listener.rules).flat_map(|rule| &rule.groups);
    let targets = of_rules.chain(listeners.iter().filter_map(|listener| listener.default_group.as_ref()));
    let used: HashSet<String> = targets.map(|target| target.name.clone()).collect();
    groups.iter().filter(move |group| !used.contains(&group.name))
}

impl ListenerNode {
    fn of(listener: &ListenerStatus, status: &Status, groups: &[GroupNode]) -> ListenerNode {
        let rule =
            |rule: &RuleStatus| RuleNode::of(rule, is_in_maintenance(status, "rule", &rule.name), groups);
        let rules: Vec<RuleNode> = listener.rules.iter().map(rule).collect();
        let default_group = listener.default_group.as_ref().map(|name| TargetNode::of(name, None, groups));
        let below = rules.iter().map(|rule| rule.operating_status);
        let below = below.chain(default_group.as_ref().map(|target| target.operating_status));
        ListenerNode {
            name: listener.name.clone(),
            operating_status: match listener.leaving || listener.disabled {
                true => OperatingStatus::Disabled,
                false => OperatingStatus::above(below),
            },
            protocol: listener.protocol.to_string(),
            http3: listener.http3,
            quic_listener: listener.quic_listener.clone(),
            addresses: listener.addresses.clone(),
            leaving: listener.leaving,
            disabled: listener.disabled,
            rules,
            disabled_rules: listener.disabled_rules.clone(),
            default_group,
            redirect_port: listener.redirect_port,
        }
    }

    fn branch(&self, groups: &[GroupNode], shown: &mut HashSet<String>) -> Branch {
        let redirect = self.redirect_port.map(|port| Branch {
            label: "redirect".to_owned(),
            status: OperatingStatus::Online,
            remark: format!("to port {port}, before all rules"),
            branches: Vec::new(),
        });
        let mut branches: Vec<Branch> = redirect.into_iter().collect();
        branches.extend(self.rules.iter().map(|rule| rule.branch(groups, shown)));
        branches.extend(self.disabled_rules.iter().map(|name| Branch {
            label: format!("rule {name}"),
            status: OperatingStatus::Disabled,
            remark: "disabled".to_owned(),
            branches: Vec::new(),
        }));
        branches.extend(self.default_group.as_ref().map(|target| Branch {
            label: "no rule".to_owned(),
            status: target.operating_status,
            remark: "what no rule takes".to_owned(),
            branches: vec![target.branch(groups, shown)],
        }));
        let protocol = protocol_label(&self.protocol, self.http3);
        let http3 = self.quic_listener.as_ref().map(|name| format!(", HTTP/3 at the listener {name}"));
        let http3 = http3.unwrap_or_default();
        let leaving = match (self.leaving, self.disabled) {
            (true, _) => ", being removed",
            (false, true) => ", disabled",
            (false, false) => "",
        };
        Branch {
            label: format!("listener {}", self.name),
            status: self.operating_status,
            remark: format!("{protocol} at {}{http3}{leaving}", self.addresses.join(" ")),
            branches,
        }
    }
}

impl RuleNode {
    fn of(rule: &RuleStatus, maintenance: bool, groups: &[GroupNode]) -> RuleNode {
        let target =
            |TargetStatus { name, weight }: &TargetStatus| TargetNode::of(name, Some(*weight), groups);
        let targets: Vec<TargetNode> = rule.groups.iter().map(target).collect();
        // One of weight 0 gets nothing.
        let below = targets.iter().filter(|target| target.weight != Some(0));
        let operating_status = match maintenance {
            true => OperatingStatus::Disabled,
            false => OperatingStatus::above(below.map(|target| target.operating_status)),
        };
        RuleNode {
            name: rule.name.clone(),
            operating_status,
            priority: rule.priority,
            action: rule.action.to_string(),
            maintenance,
            groups: targets,
        }
    }

    fn branch(&self, groups: &[GroupNode], shown: &mut HashSet<String>) -> Branch {
        let maintenance = if self.maintenance { ", in maintenance" } else { "" };
        Branch {
            label: format!("rule {}", self.name),
            status: self.operating_status,
            remark: format!("priority {}, {}{maintenance}", self.priority, self.action),
            branches: self.groups.iter().map(|target| target.branch(groups, shown)).collect(),
        }
    }
}

impl TargetNode {
    fn of(name: &str, weight: Option<u32>, groups: &[GroupNode]) -> TargetNode {
        let group = groups.iter().find(|group| group.name == name);
        let operating_status = group.map_or(OperatingStatus::Offline, |group| group.operating_status);
        TargetNode { name: name.to_owned(), operating_status, weight }
    }

    /// The backends of a group stand where it is shown first.
    fn branch(&self, groups: &[GroupNode], shown: &mut HashSet<String>) -> Branch {
        let weight = self.weight.map(|weight| format!("weight {weight}, ")).unwrap_or_default();
        let is_first = shown.insert(self.name.clone());
        match groups.iter().find(|group| group.name == self.name) {
            Some(group) => group.branch(&weight, is_first),
            None => Branch {
                label: format!("group {}", self.name),
                status: self.operating_status,
                remark: "nothing is known of it".to_owned(),
                branches: Vec::new(),
            },
        }
    }
}

impl GroupNode {
    fn of(group: &GroupStatus, maintenance: bool) -> GroupNode {
        let unresolved = group.unresolved.iter().map(|name| BackendNode::unresolved(name));
        let backends: Vec<BackendNode> =
            group.backends.iter().map(BackendNode::of).chain(unresolved).collect();
        let operating_status = match maintenance || backends.is_empty() {
            true => OperatingStatus::Disabled,
            false => OperatingStatus::above(backends.iter().map(|backend| backend.operating_status)),
        };
        GroupNode {
            name: group.name.clone(),
            operating_status,
            availability: group.availability.to_string(),
            maintenance,
            backends,
        }
    }

    fn branch(&self, weight: &str, with_backends: bool) -> Branch {
        let serving = availability(&self.availability);
        let maintenance = if self.maintenance { ", in maintenance" } else { "" };
        let above = if with_backends { "" } else { ", its backends stand above" };
        let backends = self.backends.iter().filter(|_| with_backends);
        Branch {
            label: format!("group {}", self.name),
            status: self.operating_status,
            remark: format!("{weight}{serving}{maintenance}{above}"),
            branches: backends.map(BackendNode::branch).collect(),
        }
    }
}

impl BackendNode {
    fn of(backend: &BackendStatus) -> BackendNode {
        BackendNode {
            address: backend.address.clone(),
            operating_status: OperatingStatus::of_backend(&backend.state, backend.available),
            role: backend.role.as_ref().map(ToString::to_string),
            weight: backend.weight,
            state: backend.state.to_string(),
            reason: backend.reason.as_ref().map(ToString::to_string),
        }
    }

    /// One whose name has no address yet.
    fn unresolved(name: &str) -> BackendNode {
        BackendNode {
            address: name.to_owned(),
            operating_status: OperatingStatus::Offline,
            role: None,
            weight: None,
            state: "unresolved".to_owned(),
            reason: None,
        }
    }

    fn branch(&self) -> Branch {
        let weight = self.weight.map(|weight| format!("weight {weight}"));
        let parts = [self.role.clone(), weight, Some(self.state.clone()), self.reason.clone()];
        Branch {
            label: self.address.clone(),
            status: self.operating_status,
            remark: parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
            branches: Vec::new(),
        }
    }
}

/// Who serves the requests of a group, in words.
pub(super) fn availability(word: &str) -> &str {
    match word {
        "active" => "active backends serve",
        "standby" => "standbys serve",
        "all_down" => "all backends are down",
        "nobody" => "no backend takes requests",
        other => other,
    }
}

/// A line of the tree, and what hangs below it.
struct Branch {
    label: String,
    status: OperatingStatus,
    remark: String,
    branches: Vec<Branch>,
}

impl Branch {
    /// `stem` stands before its own line, `trunk` before those below.
    fn add_to(&self, table: &mut TextTable, stem: &str, trunk: &str) {
        let status = Cell::coloured(self.status.as_str(), self.status.colour());
        let cells = vec![format!("{stem}{}", self.label).into(), status, (*self.remark).into()];
        table.add(cells, String::new());
        for (place, branch) in self.branches.iter().enumerate() {
            let (fork, line) =
                if place + 1 == self.branches.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            branch.add_to(table, &format!("{trunk}{fork}"), &format!("{trunk}{line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;
    use serde_json::json;

    use super::*;

    fn backend(address: &str, state: &str) -> Json {
        let reason = (state == "unhealthy").then_some("CONNECT_FAILED");
        json!({"address": address, "role": "active", "weight": 100, "state": state, "reason": reason})
    }

    fn group(name: &str, states: &[&str]) -> Json {
        let backends =
            states.iter().zip(1..).map(|(state, number)| backend(&format!("10.0.0.{number}:80"), state));
        json!({"name": name, "availability": "active", "backends": backends.collect::<Vec<_>>()})
    }

    fn rule(name: &str, groups: &[(&str, u32)]) -> Json {
        let groups: Vec<Json> =
            groups.iter().map(|(name, weight)| json!({"name": name, "weight": weight})).collect();
        let action = if groups.is_empty() { "redirect" } else { "forward" };
        json!({"name": name, "priority": 10, "action": action, "groups": groups})
    }

    fn tree(status: Json) -> StatusTree {
        StatusTree::of(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn what_those_below_make_of_it() {
        use OperatingStatus::*;
        for (below, expected) in [
            (&[][..], Online),
            (&[Online, NoMonitor], Online),
            (&[NoMonitor], Online),
            (&[Online, Disabled], Online),
            (&[Disabled, Disabled], Disabled),
            (&[Online, Offline], Degraded),
            (&[Offline], Degraded),
            (&[Disabled, Degraded], Degraded),
        ] {
            assert_eq!(OperatingStatus::above(below.iter().copied()), expected, "{below:?}");
        }
    }

    #[test]
    fn each_state_of_a_backend_has_a_status() {
        use OperatingStatus::*;
        for (state, expected) in [
            ("healthy", Online),
            ("unchecked", NoMonitor),
            ("unhealthy", Offline),
            ("ejected", Offline),
            ("initial", Offline),
            ("draining", Disabled),
            ("drained", Disabled),
        ] {
            assert_eq!(OperatingStatus::of_backend(state, false), expected, "{state}");
        }
        assert_eq!(OperatingStatus::of_backend("initial", true), Online);
    }

    #[test]
    fn what_is_wrong_below_shows_above() {
        let status = |states: &[&str], weight: u32, stopping: bool| {
            let listener = json!({"name": "web", "rules": [rule("api", &[("app", weight), ("b", 1)])]});
            let groups = [group("app", states), group("b", &["healthy"])];
            let tree = tree(json!({"stopping": stopping, "listeners": [listener], "groups": groups}));
            let listener = &tree.listeners[0];
            let rule = &listener.rules[0];
            [
                tree.groups[0].operating_status,
                rule.operating_status,
                listener.operating_status,
                tree.operating_status,
            ]
            .map(OperatingStatus::as_str)
        };
        assert_eq!(status(&["healthy", "unchecked"], 1, false), ["ONLINE"; 4]);
        assert_eq!(status(&["healthy", "ejected"], 1, false), ["DEGRADED"; 4]);
        assert_eq!(status(&["unhealthy"], 0, false), ["DEGRADED", "ONLINE", "ONLINE", "ONLINE"]);
        assert_eq!(status(&["drained"], 1, false), ["DISABLED", "ONLINE", "ONLINE", "ONLINE"]);
        assert_eq!(status(&["healthy"], 1, true), ["ONLINE", "ONLINE", "ONLINE", "DISABLED"]);
    }

    #[test]
    fn a_tree_as_text() {
        let mut broken = group("broken", &["draining"]);
        broken["unresolved"] = json!(["app.internal:80"]);
        let status = json!({
            "version": "0.1.0", "pid": 4711, "epoch": 2,
            "listeners": [
                {"name": "plain", "protocol": "http", "addresses": ["0.0.0.0:80"], "redirect_port": 443},
                {"name": "web", "protocol": "https", "addresses": ["0.0.0.0:443", "[::]:443"], "http3": true,
                 "rules": [rule("api", &[("app", 80), ("b\u{1b}[0m", 20)]), rule("old", &[]), rule("shop", &[("shop", 1)])],
                 "default_group": "app"},
                {"name": "shop", "protocol": "https", "addresses": ["0.0.0.0:8443"], "quic_listener": "fast"},
                {"name": "gone", "protocol": "http", "addresses": ["0.0.0.0:81"], "leaving": true},
            ],
            "groups": [group("app", &["healthy", "unhealthy"]), group("b\u{1b}[0m", &["unchecked"]),
                group("shop", &["healthy"]), broken],
            "maintenance": [{"kind": "rule", "name": "old"}, {"kind": "server_group", "name": "shop"}],
        });
        let tree = tree(status);
        let text = tree.to_text(false);
        insta::assert_snapshot!("status_tree", text);
        assert!(tree.to_text(true).contains("\x1b[31mOFFLINE\x1b[0m"));
    }
}
