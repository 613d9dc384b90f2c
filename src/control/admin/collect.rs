//! Collecting the status of a serving process: from the published snapshot and its counters alone, so that no worker
//! notices it.

use std::collections::HashSet;
use std::time::Duration;

use crate::config::in_order;
use crate::control::active_config::Channels;
use crate::control::address_ranges::compact;
use crate::control::admin::load;
use crate::control::admin::load::RouteSums;
use crate::control::admin::status::AccessLogStatus;
use crate::control::admin::status::BackendStatus;
use crate::control::admin::status::BrokenFiles;
use crate::control::admin::status::CaStatus;
use crate::control::admin::status::CertificateStatus;
use crate::control::admin::status::DriverStatus;
use crate::control::admin::status::GroupStatus;
use crate::control::admin::status::LastReload;
use crate::control::admin::status::ListenerStatus;
use crate::control::admin::status::MaintenanceStatus;
use crate::control::admin::status::PredecessorStatus;
use crate::control::admin::status::ReloadsStatus;
use crate::control::admin::status::RuleStatus;
use crate::control::admin::status::RuntimeStatus;
use crate::control::admin::status::Status;
use crate::control::admin::status::TargetStatus;
use crate::control::admin::status::Usage;
use crate::control::admin::status::Word;
use crate::control::credentials::inventory::AuthorityEntry;
use crate::control::credentials::inventory::Broken;
use crate::control::credentials::inventory::CertificateEntry;
use crate::control::handover::generations::GenerationStanding;
use crate::control::handover::generations::GenerationStandings;
use crate::control::reload_stats::ReloadStats;
use crate::net::clock::monotonic_ms;
use crate::net::clock::wall_now;
use crate::snapshot::DisabledListener;
use crate::snapshot::Listener;
use crate::snapshot::Snapshot;
use crate::snapshot::backend::Backend;
use crate::snapshot::backend::CheckState;
use crate::snapshot::group::DisabledBackend;
use crate::snapshot::group::Group;
use crate::snapshot::group::GroupMember;
use crate::snapshot::group::MemberOverride;
use crate::snapshot::quota::Quota;
use crate::snapshot::rules::FinalAction;
use crate::snapshot::rules::Rule;
use crate::snapshot::rules::Targets;
use crate::snapshot::stream::StreamRule;
use crate::telemetry::backend_counters::BackendCounters;
use crate::telemetry::date::Dates;
use crate::telemetry::log_counters::LogCounters;

pub(super) fn status(channels: &Channels, started: Duration) -> Status {
    let (_, snapshot) = channels.publication.load();
    let present =
        Present { now_ms: monotonic_ms(), wall: wall_now(), backend_counters: &channels.backend_counters };
    let listeners = snapshot.listeners.iter().flatten().filter(|listener| {
        // One that was removed is of interest while it has connections.
        !listener.is_leaving() || listener.connections.used() > 0
    });
    let (_, inventory) = channels.inventory.load();
    let sums = RouteSums::of(&snapshot);
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        stopping: channels.readiness.is_stopping(),
        started: rfc3339(started),
        uptime_seconds: present.now_ms / 1000,
        uptime_ms: present.now_ms,
        epoch: snapshot.epoch,
        reloads: present.reloads(&channels.reloads),
        predecessors: present.predecessors(&channels.succession.generations),
        workers: snapshot.workers,
        drivers: drivers(channels),
        worker_load: load::workers(&channels.worker_counters),
        connections: usage(&channels.quota),
        request_buffer_bytes: usage(&channels.request_memory),
        access_logs: channels.log_counters.iter().map(|log| access_log(log)).collect(),
        listeners: listeners
            .map(|listener| self::listener(listener, &sums))
            .chain(snapshot.disabled_listeners.iter().map(disabled_listener))
            .collect(),
        certificates: inventory.certificates.iter().map(certificate).collect(),
        cas: inventory.authorities.iter().map(ca).collect(),
        groups: snapshot.groups.iter().map(|group| present.group(group, &sums)).collect(),
        maintenance: present.maintenance(&snapshot),
        leaving: present.leaving(&snapshot),
    }
}

fn access_log(log: &LogCounters) -> AccessLogStatus {
    AccessLogStatus { name: log.name.clone(), lines: log.written(), lines_dropped: log.lost() }
}

fn certificate(entry: &CertificateEntry) -> CertificateStatus {
    CertificateStatus {
        name: entry.name.clone(),
        names: entry.names.clone(),
        not_after: seconds(entry.not_after),
        since: rfc3339(entry.since),
        listeners: entry.listeners.clone(),
        broken: entry.broken.as_ref().map(broken),
    }
}

fn ca(entry: &AuthorityEntry) -> CaStatus {
    CaStatus {
        name: entry.name.clone(),
        next_update: entry.lists_end.map(seconds),
        since: rfc3339(entry.since),
        broken: entry.broken.as_ref().map(broken),
    }
}

fn broken(broken: &Broken) -> BrokenFiles {
    BrokenFiles { since: rfc3339(broken.since), errors: broken.errors.clone() }
}

/// A date in seconds since the Unix epoch.
fn seconds(date: i64) -> String {
    rfc3339(Duration::from_secs(u64::try_from(date).unwrap_or_default()))
}

fn drivers(channels: &Channels) -> Vec<DriverStatus> {
    let drivers = channels.drivers.get().into_iter().flatten();
    drivers.map(|(driver, workers)| DriverStatus { driver: driver.clone(), workers: *workers }).collect()
}

/// The moment of the status.
struct Present<'l> {
    /// The process's monotonic clock, by which the times of backends count.
    now_ms: u64,
    /// The same moment, as time since the Unix epoch.
    wall: Duration,
    backend_counters: &'l BackendCounters,
}

impl Present<'_> {
    fn predecessors(&self, generations: &GenerationStandings) -> Vec<PredecessorStatus> {
        let (_, generations) = generations.load();
        let status = |old: &GenerationStanding| PredecessorStatus {
            pid: old.pid,
            since: self.date(old.since_ms).unwrap_or_default(),
            seconds: self.seconds_since(old.since_ms).unwrap_or_default(),
            connections: old.connections,
        };
        generations.iter().map(status).collect()
    }

    fn reloads(&self, reloads: &ReloadStats) -> ReloadsStatus {
        let last = reloads.last().map(|last| LastReload {
            outcome: if last.is_success { "reloaded" } else { "refused" }.into(),
            at: self.date(last.at_ms),
            seconds: self.seconds_since(last.at_ms),
        });
        ReloadsStatus { succeeded: reloads.succeeded(), refused: reloads.refused(), last }
    }

    fn group(&self, group: &Group, sums: &RouteSums<'_>) -> GroupStatus {
        let (_, table) = group.table().load();
        let in_flight =
            group.members.iter().map(|member| self.backend_counters.in_flight(member.backend.slot)).sum();
        GroupStatus {
            name: group.name.clone(),
            protocol: group.protocol.into(),
            algorithm: group.algorithm.as_str().into(),
            availability: table.availability.as_str().into(),
            in_flight,
            requests: sums.requests_of_group(group),
            relayed: sums.relayed_of_group(group),
            bytes: group.counters.as_ref().map(|counters| load::bytes(counters.bytes())),
            datagrams: load::datagrams_of_group(group),
            queue: group
                .queue
                .as_ref()
                .map(|queue| Usage { in_use: queue.state.waiting(), limit: Some(queue.size) }),
            unresolved: group.unresolved.clone(),
            backends: self.backends(group),
        }
    }

    /// Its members, and behind them what the configuration does not use.
    fn backends(&self, group: &Group) -> Vec<BackendStatus> {
        let is_disabled =
            |member: &GroupMember| group.disabled.iter().any(|backend| backend.name == member.backend.name);
        // One that is drained is told as what it is now.
        let is_past = |member: &GroupMember| member.backend.health.drain_expired() && is_disabled(member);
        let members = group.members.iter().filter(|member| !is_past(member));
        let members: Vec<BackendStatus> =
            members.map(|member| self.member(member, is_disabled(member))).collect();
        let disabled = group.disabled.iter();
        let disabled = disabled.filter(|backend| members.iter().all(|member| member.address != backend.name));
        let disabled: Vec<BackendStatus> = disabled.map(disabled_backend).collect();
        members.into_iter().chain(disabled).collect()
    }

    fn member(&self, member: &GroupMember, is_disabled: bool) -> BackendStatus {
        let drain_reason = match member.is_leaving {
            true if is_disabled => Some("disabled"),
            true => Some("removed"),
            false if member.takes_requests() => None,
            false if member.said.is_nothing() => Some("weight"),
            false => Some("command"),
        };
        BackendStatus {
            role: Some(role(member.is_standby)),
            weight: Some(member.weight),
            name: member.host.as_deref().map(str::to_owned),
            runtime: (!member.said.is_nothing()).then(|| self.runtime(member)),
            drain_reason: drain_reason.map(Word::from),
            ..self.backend(&member.backend, !member.takes_requests())
        }
    }

    fn runtime(&self, member: &GroupMember) -> RuntimeStatus {
        let MemberOverride { weight, drains, since_ms } = member.said;
        RuntimeStatus {
            weight: weight.map(u32::from),
            drain: drains,
            configured_weight: member.configured_weight,
            since: self.date(since_ms),
            seconds: self.seconds_since(since_ms),
        }
    }

    fn maintenance(&self, snapshot: &Snapshot) -> Vec<MaintenanceStatus> {
        let on = snapshot.maintenance.iter().filter(|switch| switch.is_on());
        let on = on.map(|switch| MaintenanceStatus {
            kind: switch.owner.as_str().into(),
            name: switch.name.clone(),
            since: self.date(switch.since_ms()),
            seconds: self.seconds_since(switch.since_ms()),
        });
        on.collect()
    }

    /// Backends that no group has any more.
    fn leaving(&self, snapshot: &Snapshot) -> Vec<BackendStatus> {
        let members = snapshot.groups.iter().flat_map(|group| &group.members);
        let known: HashSet<u32> = members.map(|member| member.backend.slot).collect();
        let leaving = snapshot.leaving.iter().filter(|leaving| !known.contains(&leaving.backend.slot));
        leaving.map(|leaving| self.backend(&leaving.backend, true)).collect()
    }

    fn backend(&self, backend: &Backend, is_leaving: bool) -> BackendStatus {
        let health = &backend.health;
        let result = health.check_result();
        let state = State::of(backend, is_leaving);
        let since_ms = match state {
            State::Drained | State::Draining => health.draining_since_ms(),
            // Only its end is known.
            State::Ejected => 0,
            State::Found(_) => health.since_ms(),
        };
        let totals = self.backend_counters.totals(backend.slot).since(backend.counted_before);
        BackendStatus {
            address: backend.name.clone(),
            name: None,
            role: None,
            weight: None,
            runtime: None,
            drain_reason: None,
            state: state.as_str().into(),
            reason: result.failure.map(|failure| failure.as_str().into()),
            status: (result.status != 0).then_some(result.status),
            check: result.state.as_str().into(),
            available: !is_leaving && health.is_available(),
            ejected_until: self.date(health.ejected_until_ms()),
            since: self.date(since_ms),
            seconds: self.seconds_since(since_ms),
            in_flight: totals.in_flight,
            requests: totals.requests,
            failures: totals.failures,
            changes: health.changes(),
        }
    }

    /// A moment of the monotonic clock as a date; None for 0, which means never.
    fn date(&self, at_ms: u64) -> Option<String> {
        let wall = if at_ms <= self.now_ms {
            self.wall.saturating_sub(Duration::from_millis(self.now_ms - at_ms))
        } else {
            self.wall.saturating_add(Duration::from_millis(at_ms - self.now_ms))
        };
        (at_ms != 0).then(|| rfc3339(wall))
    }

    fn seconds_since(&self, at_ms: u64) -> Option<u64> {
        (at_ms != 0).then(|| self.now_ms.saturating_sub(at_ms) / 1000)
    }
}

/// What an operator wants to know of a backend first. Of several that hold, it is the first of these:
/// what lasts longer stands before what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It gets no new requests, and its drain is over.
    Drained,
    /// It gets no new requests.
    Draining,
    /// Real requests to it failed.
    Ejected,
    /// What probes say.
    Found(CheckState),
}

impl State {
    fn of(backend: &Backend, is_leaving: bool) -> State {
        let health = &backend.health;
        match health.check_result().state {
            _ if is_leaving && health.drain_expired() => State::Drained,
            _ if is_leaving => State::Draining,
            // The end of the ejection will not bring it back.
            CheckState::Unhealthy => State::Found(CheckState::Unhealthy),
            _ if health.is_ejected() => State::Ejected,
            state => State::Found(state),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            State::Drained => "drained",
            State::Draining => "draining",
            State::Ejected => "ejected",
            State::Found(state) => state.as_str(),
        }
    }
}

fn role(is_standby: bool) -> Word {
    if is_standby { "standby" } else { "active" }.into()
}

fn disabled_backend(backend: &DisabledBackend) -> BackendStatus {
    BackendStatus {
        address: backend.name.clone(),
        role: Some(role(backend.is_standby)),
        weight: Some(backend.weight),
        state: "disabled".into(),
        check: CheckState::Unchecked.as_str().into(),
        ..BackendStatus::default()
    }
}

fn disabled_listener(listener: &DisabledListener) -> ListenerStatus {
    ListenerStatus {
        name: listener.name.clone(),
        protocol: listener.protocol.into(),
        http3: listener.http3,
        quic_listener: listener.quic_listener.clone(),
        addresses: compact(listener.addresses.iter().copied()),
        disabled: true,
        ..ListenerStatus::default()
    }
}

fn listener(listener: &Listener, sums: &RouteSums<'_>) -> ListenerStatus {
    let http = listener.http();
    let default_group = listener.default_group.and_then(|index| listener.group(index));
    let rules = http.and_then(|http| http.rules.as_ref()).into_iter().flat_map(|rules| rules.iter());
    let of_stream = listener.stream().and_then(|stream| stream.rules.as_ref());
    let of_stream = of_stream.into_iter().flat_map(|rules| rules.iter());
    let disabled_rules = http.and_then(|http| http.disabled_rules.as_ref()).into_iter();
    let disabled_rules =
        disabled_rules.flat_map(|disabled| disabled.rules.iter().chain(&disabled.of_responses));
    let totals = listener.counters.as_ref().map(|counters| counters.totals());
    ListenerStatus {
        name: listener.name.clone(),
        protocol: listener.protocol_name().into(),
        http3: http.is_some_and(|http| http.quic.is_some()),
        quic_listener: http.and_then(|http| http.quic_listener.clone()),
        addresses: compact(listener.addresses.iter().copied()),
        connections: usage(&listener.connections),
        refused: in_order::map(
            listener.refused.each().map(|(refusal, count)| (refusal.as_str().into(), count)),
        ),
        accepted: totals.as_ref().map(|totals| totals.accepted),
        requests: sums.requests_of_listener(listener),
        relayed: sums.relayed_of_listener(listener),
        bytes: totals.as_ref().map(|totals| load::bytes(totals.traffic)),
        datagrams: totals.as_ref().and_then(|totals| load::datagrams(listener, totals)),
        reasons: in_order::map(
            totals
                .into_iter()
                .flat_map(|totals| totals.reasons)
                .map(|(reason, count)| (reason.into(), count)),
        ),
        rules: rules
            .map(|rule| self::rule(listener, rule))
            .chain(of_stream.map(|rule| stream_rule(listener, rule)))
            .collect(),
        disabled_rules: disabled_rules.map(|(name, _)| name.clone()).collect(),
        default_group: default_group.map(|group| group.name.clone()),
        redirect_port: http.and_then(|http| http.redirect_to.as_ref()).map(|target| target.port),
        leaving: listener.is_leaving(),
        disabled: false,
    }
}

fn rule(listener: &Listener, rule: &Rule) -> RuleStatus {
    let (action, groups) = match &rule.last {
        FinalAction::Forward(targets) => ("forward", self::targets(listener, targets)),
        FinalAction::Redirect(_) => ("redirect", Vec::new()),
        FinalAction::Respond(_) => ("respond", Vec::new()),
    };
    RuleStatus { name: rule.name.to_string(), priority: rule.priority, action: action.into(), groups }
}

/// The rule of a listener that relays connections.
fn stream_rule(listener: &Listener, rule: &StreamRule) -> RuleStatus {
    RuleStatus {
        name: rule.name.to_string(),
        priority: rule.priority,
        action: "forward".into(),
        groups: targets(listener, &rule.targets),
    }
}

fn targets(listener: &Listener, targets: &Targets) -> Vec<TargetStatus> {
    let target = |(index, weight)| Some(TargetStatus { name: listener.group(index)?.name.clone(), weight });
    targets.weights().filter_map(target).collect()
}

fn usage(quota: &Quota) -> Usage {
    Usage { in_use: quota.used(), limit: quota.limit() }
}

pub(super) fn rfc3339(wall: Duration) -> String {
    let mut dates = Dates::default();
    dates.advance(wall);
    format!("{}Z", dates.rfc3339())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde_json::json;

    use super::*;
    use crate::control::admin::reply::document;
    use crate::net::address::Address;
    use crate::snapshot::backend::CheckFailure;
    use crate::snapshot::backend::CheckResult;
    use crate::snapshot::backend::Health;
    use crate::telemetry::backend_counters::Totals;

    const MISMATCH: CheckResult = CheckResult {
        state: CheckState::Unhealthy,
        failure: Some(CheckFailure::ResponseMismatch),
        status: 503,
    };

    fn backend(change: impl FnOnce(&Health)) -> Backend {
        let address: SocketAddr = ([127, 0, 0, 1], 9000).into();
        let health = Health::default();
        change(&health);
        Backend {
            address: Address::Ip(address),
            name: address.to_string(),
            slot: 7,
            identity: 1,
            counted_before: Totals { in_flight: 0, requests: 1, failures: 1 },
            health,
            room: Quota::new(0),
        }
    }

    fn state(is_leaving: bool, change: impl FnOnce(&Health)) -> &'static str {
        State::of(&backend(change), is_leaving).as_str()
    }

    #[test]
    fn of_several_states_the_one_that_lasts_is_told() {
        let everything = |health: &Health| {
            health.set_check_result(MISMATCH, 1);
            health.eject(9);
            health.begin_drain(2);
        };
        assert_eq!(state(false, |_| ()), "unchecked");
        assert_eq!(state(false, |health| health.set_check_result(CheckResult::INITIAL, 1)), "initial");
        assert_eq!(state(false, |health| health.set_check_result(CheckResult::HEALTHY, 1)), "healthy");
        assert_eq!(state(false, |health| health.eject(9)), "ejected");
        assert_eq!(state(false, everything), "unhealthy");
        assert_eq!(state(true, everything), "draining");
        let closed = |health: &Health| {
            everything(health);
            health.expire_drain();
        };
        assert_eq!([state(true, closed), state(false, closed)], ["drained", "unhealthy"]);
    }

    #[test]
    fn a_backend_is_told_with_times_and_counters_of_its_own() {
        let backend_counters = BackendCounters::new(2);
        for worker in 0..2 {
            let own = backend_counters.own(worker, 7).unwrap();
            own.begin();
            own.fail();
        }
        let present = Present {
            now_ms: 65_000,
            wall: Duration::from_secs(784_111_777),
            backend_counters: &backend_counters,
        };
        let status = present.backend(&backend(|health| health.set_check_result(MISMATCH, 5_000)), false);
        let expected = json!({
            "address": "127.0.0.1:9000", "state": "unhealthy", "reason": "RESPONSE_MISMATCH", "status": 503,
            "check": "unhealthy", "available": false, "ejected_until": null, "since": "1994-11-06T08:48:37Z", "seconds": 60,
            "in_flight": 2, "requests": 1, "failures": 1, "changes": 0,
        });
        assert_eq!(document(&status), expected);
        let ejected = present.backend(&backend(|health| health.eject(75_000)), false);
        assert_eq!((&*ejected.state, ejected.since), ("ejected", None));
        assert_eq!(ejected.ejected_until.as_deref(), Some("1994-11-06T08:49:47Z"));
    }
}
