//! A server group: its backends, and the table by which workers choose among them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::net::address::ConnectSource;
use crate::policy::balance::Algorithm;
use crate::policy::balance::Candidate;
use crate::policy::balance::WhenAllDown;
use crate::policy::balance::least_connections::Tournament;
use crate::policy::balance::maglev::Maglev;
use crate::policy::balance::maglev::Member;
use crate::policy::balance::power_of_two::Pairs;
use crate::policy::balance::random::Alias;
use crate::policy::balance::slow_start;
use crate::policy::balance::sticky::BackendTokens;
use crate::policy::balance::sticky::StickyMode;
use crate::policy::balance::sticky::WrittenAttributes;
use crate::policy::balance::weighted_round_robin::RoundSchedule;
use crate::policy::proxy_header::ProxyHeaderTerms;
use crate::policy::retry::RetryOn;
use crate::snapshot::affinity::Affinity;
use crate::snapshot::backend::Backend;
use crate::snapshot::rcu_cell::RcuCell;
use crate::snapshot::request_queue::RequestQueue;
use crate::telemetry::group_counters::GroupCounters;
use crate::tls::SwapCell;
use crate::tls::connect::UpstreamTls;

/// A set of backends that serve the same requests.
pub struct Group {
    pub name: String,
    /// A small number that a group of this name keeps over reloads.
    pub slot: u32,
    /// Otherwise it has no members.
    pub is_enabled: bool,
    pub members: Vec<GroupMember>,
    /// Backends that the configuration names and does not use.
    pub disabled: Vec<DisabledBackend>,
    /// Names of backends that have no address yet, with their ports.
    pub unresolved: Vec<String>,
    pub algorithm: Algorithm,
    pub when_all_down: WhenAllDown,
    /// Zero: none.
    pub slow_start: Duration,
    pub drain_timeout: Duration,
    /// Relayed connections to a backend that fails end while others serve.
    pub cuts_off_failing: bool,
    /// Failures of real requests in a row that eject a backend; 0 = none do.
    pub max_failures: u32,
    /// While no backend is available, requests wait a moment for the first probes.
    pub awaits_probes: bool,
    pub sticky: Option<Sticky>,
    /// Kept over reloads. None: nothing is measured.
    pub counters: Option<Arc<GroupCounters>>,
    pub connect_timeout: Duration,
    /// Where what is sent to backends comes from; of what is relayed, only without `keeps_client_address`.
    pub source: ConnectSource,
    /// What is relayed comes from the address of its client.
    pub keeps_client_address: bool,
    /// A backend silent for this long has failed.
    pub response_timeout: Duration,
    pub keepalive_timeout: Duration,
    /// Idle upstream connections, over all backends and workers.
    pub keepalive_connections: usize,
    pub max_retries: u32,
    pub retry_on: RetryOn,
    /// None: no backend has a limit.
    pub queue: Option<RequestQueue>,
    /// Bytes of a request's content that are received before a backend is chosen; 0: what comes with the head.
    pub request_buffer: usize,
    /// What the head of a response may be like.
    pub response_limits: ResponseLimits,
    /// The host of requests that name none. None: the listener's, or else `first_host`.
    pub default_host: Option<String>,
    /// The address of the first backend.
    pub first_host: String,
    /// Backends that speak HTTP/1.1 get requests of HTTP/1.0 in HTTP/1.0.
    pub speaks_http10: bool,
    pub versions: Versions,
    /// What is spoken to backends, as the configuration calls it.
    pub protocol: &'static str,
    /// Requests say that trailers are welcome, as those of gRPC do (its protocol wants `te: trailers`).
    pub is_grpc: bool,
    /// Each connection to a backend serves one client, of which a PROXY header tells. None: connections are shared.
    pub proxy_header: Option<ProxyHeaderTerms>,
    /// None: HTTP in cleartext.
    pub tls: Option<SwapCell<UpstreamTls>>,
    /// Differs where backends are trusted or spoken to in another way, or may say more.
    pub security: u64,
    /// Who owns which keys, whatever their health.
    maglev: Option<Maglev>,
    /// Indices of members by the lower half of their identity, in its order.
    by_identity: Vec<(u32, u32)>,
    table: RcuCell<SelectionTable>,
}

/// Beyond these, a response is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    pub max_header_bytes: usize,
    pub max_headers: usize,
}

/// Which versions of HTTP the backends of a group are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    Http1,
    Http2,
    /// What the backend chooses in the TLS handshake.
    Both,
}

/// A backend as a member of its group.
pub struct GroupMember {
    pub backend: Arc<Backend>,
    /// The host and port that the configuration names it by. None where it gives the address.
    pub host: Option<Arc<str>>,
    /// 0..=100; 0: no new requests.
    pub weight: u32,
    /// Serves only while no active backend is available.
    pub is_standby: bool,
    /// The configuration names it no more; it stays until its drain is over.
    pub is_leaving: bool,
    /// What the configuration says of its weight.
    pub configured_weight: u32,
    pub said: MemberOverride,
}

/// What was said of a member by command. `weight` of the member is what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberOverride {
    /// 0..=100. None: as configured.
    pub weight: Option<u8>,
    /// It gets no new requests.
    pub drains: bool,
    /// When it was said, in milliseconds of the monotonic clock.
    pub since_ms: u64,
}

impl MemberOverride {
    pub fn is_nothing(self) -> bool {
        self.weight.is_none() && !self.drains
    }

    /// The weight that counts.
    pub fn weigh(self, configured: u32) -> u32 {
        if self.drains { 0 } else { self.weight.map_or(configured, u32::from) }
    }
}

/// A backend with `enabled = false`, or of a group that is disabled.
pub struct DisabledBackend {
    /// As the configuration names it.
    pub name: String,
    pub weight: u32,
    pub is_standby: bool,
}

/// How clients stay with their backends.
pub struct Sticky {
    pub mode: StickyMode,
    pub cookie: String,
    pub timeout_s: u32,
    /// The attributes of the cookie that Ringway inserts.
    pub attributes: WrittenAttributes,
    /// By index of the member.
    pub tokens: BackendTokens,
    /// What Ringway has to remember itself; empty for cookies that carry a token.
    pub affinity: Option<Arc<Affinity>>,
}

/// Who may be chosen at present, and how. Immutable; replaced when the health of a backend changes.
pub struct SelectionTable {
    /// None only where requests can go nowhere.
    pub candidates: Vec<Candidate>,
    /// By index of the member.
    is_candidate: Vec<bool>,
    pub picker: Picker,
    pub availability: Availability,
}

/// What a choice looks into.
pub enum Picker {
    Round(RoundSchedule),
    Alias(Alias),
    Pairs(Pairs),
    /// Each worker has its own tournament.
    Tournament,
    /// Requests without a key go by the schedule.
    Hash(RoundSchedule),
}

/// Who the candidates of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Active backends that are healthy.
    Active,
    /// Standbys, because no active backend is healthy.
    Standby,
    /// No backend is healthy.
    AllDown,
    /// No backend takes new requests: all weights are 0.
    NoBackends,
    /// The group is disabled.
    Disabled,
}

impl Availability {
    pub fn as_str(self) -> &'static str {
        match self {
            Availability::Active => "active",
            Availability::Standby => "standby",
            Availability::AllDown => "all_down",
            Availability::NoBackends => "nobody",
            Availability::Disabled => "disabled",
        }
    }
}

/// The weight of a backend of weight 1, its slow start over.
const FULL_WEIGHT: u32 = 100;

impl Group {
    /// Where what is relayed for a client comes from.
    pub fn source_for(&self, client: IpAddr) -> ConnectSource {
        if self.keeps_client_address { ConnectSource::Client(client) } else { self.source }
    }

    /// Completes a group whose members and terms stand, with a first table for this moment of the
    /// process's monotonic clock.
    pub fn complete(mut self, now_ms: u64) -> Group {
        let identities = self.members.iter().map(|member| member.backend.identity as u32);
        self.by_identity = identities.zip(0u32..).collect();
        self.by_identity.sort_unstable();
        let remembers = self.sticky.as_ref().is_some_and(|sticky| sticky.affinity.is_some());
        // A client that is not remembered is sent where it would have been sent before a restart.
        if remembers || matches!(self.algorithm, Algorithm::ConsistentHash(_)) {
            let members = (0u32..).zip(&self.members).filter(|(_, member)| member.takes_requests());
            let members = members.map(|(backend, member)| Member {
                backend,
                weight: member.weight,
                identity: member.backend.identity,
            });
            self.maglev = Some(Maglev::new(&members.collect::<Vec<_>>()));
        }
        let table = SelectionTable::new(&self, now_ms);
        self.cut_off_failing(table.availability);
        self.table = RcuCell::new(Arc::new(table));
        self
    }

    /// A group without members, to be filled in and completed.
    pub fn begin(name: String, slot: u32) -> Group {
        let empty = SelectionTable {
            candidates: Vec::new(),
            is_candidate: Vec::new(),
            picker: Picker::Pairs(Pairs::default()),
            availability: Availability::NoBackends,
        };
        Group {
            name,
            slot,
            is_enabled: true,
            members: Vec::new(),
            disabled: Vec::new(),
            unresolved: Vec::new(),
            algorithm: Algorithm::WeightedRoundRobin,
            when_all_down: WhenAllDown::Forward,
            slow_start: Duration::ZERO,
            drain_timeout: Duration::ZERO,
            cuts_off_failing: false,
            max_failures: 0,
            awaits_probes: false,
            sticky: None,
            counters: None,
            connect_timeout: Duration::ZERO,
            source: ConnectSource::Any,
            keeps_client_address: false,
            response_timeout: Duration::ZERO,
            keepalive_timeout: Duration::ZERO,
            keepalive_connections: 0,
            max_retries: 0,
            retry_on: RetryOn::DEFAULT,
            queue: None,
            request_buffer: 0,
            response_limits: ResponseLimits { max_header_bytes: 0, max_headers: 0 },
            default_host: None,
            first_host: String::new(),
            speaks_http10: false,
            versions: Versions::Http1,
            protocol: "http",
            is_grpc: false,
            proxy_header: None,
            tls: None,
            security: 0,
            maglev: None,
            by_identity: Vec::new(),
            table: RcuCell::new(Arc::new(empty)),
        }
    }

    /// Whether its backends get requests of HTTP, and not what is relayed.
    pub fn speaks_http(&self) -> bool {
        !matches!(self.protocol, "tcp" | "tls" | "udp")
    }

    pub fn member(&self, index: usize) -> Option<&GroupMember> {
        self.members.get(index)
    }

    pub fn table(&self) -> &RcuCell<SelectionTable> {
        &self.table
    }

    /// Makes and publishes the table that the present health of the backends asks for, unless the one in
    /// service says the same; true if it was published.
    pub fn refresh(&self, now_ms: u64) -> bool {
        let next = Candidates::of(self, now_ms);
        self.cut_off_failing(next.availability);
        let (_, current) = self.table.load();
        if current.candidates == next.list && current.availability == next.availability {
            return false;
        }
        self.table.publish(Arc::new(SelectionTable::of(self, next)));
        true
    }

    /// Marks the backends whose connections end, because they fail while others serve.
    fn cut_off_failing(&self, availability: Availability) {
        let others_serve = matches!(availability, Availability::Active | Availability::Standby);
        for member in &self.members {
            let health = &member.backend.health;
            health.set_cut_off(self.cuts_off_failing && others_serve && !health.is_available());
        }
    }

    /// Whether a backend that could serve has yet to be probed for the first time.
    pub fn has_unprobed(&self) -> bool {
        let mut members = self.members.iter().filter(|member| member.takes_requests());
        members.any(|member| member.backend.health.awaits_first_probe())
    }

    /// Who owns a key among the candidates of a table.
    pub fn owner(&self, key: u64, is_eligible: impl Fn(u32) -> bool) -> Option<u32> {
        self.maglev.as_ref()?.pick(key, is_eligible)
    }

    /// Takes room for a request at a member; false if it has none left.
    pub fn takes_room(&self, member: u32) -> bool {
        self.member(member as usize).is_some_and(|member| member.backend.room.acquire())
    }

    /// The member with this lower half of its identity.
    pub fn by_identity(&self, identity: u32) -> Option<u32> {
        let place = self.by_identity.binary_search_by_key(&identity, |(identity, _)| *identity).ok()?;
        self.by_identity.get(place).map(|(_, index)| *index)
    }
}

impl GroupMember {
    /// Whether it takes new requests, if it is healthy.
    pub fn takes_requests(&self) -> bool {
        self.weight > 0 && !self.is_leaving
    }

    /// Whether it takes new requests at this moment.
    pub fn is_available(&self) -> bool {
        self.takes_requests() && self.backend.health.is_available()
    }

    /// Whether clients that stick to it may still be sent to it: it is healthy, and if it gets no new
    /// clients, its drain is not over.
    pub fn keeps_clients(&self) -> bool {
        self.backend.health.is_available() && (self.takes_requests() || !self.backend.health.drain_expired())
    }
}

/// Who may be chosen, before a picker is made.
struct Candidates {
    list: Vec<Candidate>,
    availability: Availability,
}

impl Candidates {
    fn of(group: &Group, now_ms: u64) -> Candidates {
        let select = |chosen: &dyn Fn(&GroupMember) -> bool| {
            let members = (0u32..).zip(&group.members).filter(|(_, member)| chosen(member));
            let weigh = |(backend, member): (u32, &GroupMember)| Candidate {
                backend,
                weight: group.weight(member, now_ms),
            };
            members.map(weigh).collect::<Vec<_>>()
        };
        let active = select(&|member| member.is_available() && !member.is_standby);
        if !active.is_empty() {
            return Candidates { list: active, availability: Availability::Active };
        }
        let standby = select(&|member| member.is_available() && member.is_standby);
        if !standby.is_empty() {
            return Candidates { list: standby, availability: Availability::Standby };
        }
        let mut down = select(&|member| member.takes_requests() && !member.is_standby);
        if down.is_empty() {
            down = select(&|member| member.takes_requests());
        }
        let availability = match down.is_empty() {
            _ if !group.is_enabled => Availability::Disabled,
            true => Availability::NoBackends,
            false => Availability::AllDown,
        };
        if group.when_all_down == WhenAllDown::Fail {
            down.clear();
        }
        Candidates { list: down, availability }
    }
}

impl Group {
    fn weight(&self, member: &GroupMember, now_ms: u64) -> u32 {
        let weight = if self.algorithm == Algorithm::RoundRobin { 1 } else { member.weight };
        let slow_start_since = member.backend.health.slow_start_since_ms();
        if slow_start_since == 0 || self.slow_start.is_zero() {
            return weight * FULL_WEIGHT;
        }
        slow_start::weight(
            weight,
            Duration::from_millis(now_ms.saturating_sub(slow_start_since)),
            self.slow_start,
        )
    }
}

impl SelectionTable {
    fn new(group: &Group, now_ms: u64) -> SelectionTable {
        SelectionTable::of(group, Candidates::of(group, now_ms))
    }

    fn of(group: &Group, candidates: Candidates) -> SelectionTable {
        let Candidates { list, availability } = candidates;
        let mut is_candidate = vec![false; group.members.len()];
        for candidate in &list {
            if let Some(place) = is_candidate.get_mut(candidate.backend as usize) {
                *place = true;
            }
        }
        let picker = match group.algorithm {
            Algorithm::WeightedRoundRobin | Algorithm::RoundRobin => Picker::Round(RoundSchedule::new(&list)),
            Algorithm::WeightedLeastConnections => Picker::Tournament,
            Algorithm::PowerOfTwo => Picker::Pairs(Pairs::new(&list)),
            Algorithm::Random => Picker::Alias(Alias::new(&list)),
            Algorithm::ConsistentHash(_) => Picker::Hash(RoundSchedule::new(&list)),
        };
        SelectionTable { candidates: list, is_candidate, picker, availability }
    }

    /// Whether the member with this index may be chosen.
    pub fn has(&self, backend: u32) -> bool {
        self.is_candidate.get(backend as usize).copied().unwrap_or(false)
    }

    /// A worker's tournament, where the table asks for one.
    pub fn tournament(&self) -> Option<Tournament> {
        matches!(self.picker, Picker::Tournament).then(|| Tournament::new(&self.candidates))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::address::Address;
    use crate::snapshot::backend::CheckResult;
    use crate::snapshot::backend::CheckState;
    use crate::snapshot::backend::Health;
    use crate::snapshot::quota::Quota;
    use crate::telemetry::backend_counters::Totals;

    const DOWN: CheckResult = CheckResult { state: CheckState::Unhealthy, failure: None, status: 0 };

    fn group(weights: &[(u32, bool)], change: impl FnOnce(&mut Group)) -> Group {
        let mut group = Group::begin("app".to_owned(), 0);
        for (slot, &(weight, is_standby)) in (0u32..).zip(weights) {
            let address: SocketAddr = ([127, 0, 0, 1], 9000 + slot as u16).into();
            let backend = Backend {
                address: Address::Ip(address),
                name: address.to_string(),
                slot,
                identity: u64::from(slot) + 1000,
                counted_before: Totals::default(),
                health: Health::default(),
                room: Quota::new(0),
            };
            group.members.push(GroupMember {
                backend: Arc::new(backend),
                host: None,
                weight,
                is_standby,
                is_leaving: false,
                configured_weight: weight,
                said: MemberOverride::default(),
            });
        }
        change(&mut group);
        group.complete(0)
    }

    fn present(group: &Group) -> (Availability, Vec<(u32, u32)>) {
        let (_, table) = group.table().load();
        let candidates = table.candidates.iter();
        (table.availability, candidates.map(|candidate| (candidate.backend, candidate.weight)).collect())
    }

    #[test]
    fn health_decides_who_is_a_candidate() {
        let group = group(&[(100, false), (50, false), (0, false), (10, true)], |_| ());
        assert_eq!(present(&group), (Availability::Active, vec![(0, 10_000), (1, 5_000)]));
        assert!(!group.refresh(1));

        group.members[0].backend.health.set_check_result(DOWN, 2);
        let generation = group.table().generation();
        assert!(group.refresh(2));
        assert_ne!(group.table().generation(), generation);
        assert_eq!(present(&group), (Availability::Active, vec![(1, 5_000)]));

        group.members[1].backend.health.eject(9);
        group.refresh(3);
        assert_eq!(present(&group), (Availability::Standby, vec![(3, 1_000)]));

        group.members[3].backend.health.set_check_result(CheckResult::INITIAL, 4);
        group.refresh(4);
        assert_eq!(present(&group), (Availability::AllDown, vec![(0, 10_000), (1, 5_000)]));
        group.members[1].backend.health.end_ejection();
        group.refresh(5);
        assert_eq!(present(&group), (Availability::Active, vec![(1, 5_000)]));
    }

    #[test]
    fn all_down_can_mean_nowhere() {
        let failing = |group: &mut Group| group.when_all_down = WhenAllDown::Fail;
        let group = group(&[(100, false)], failing);
        group.members[0].backend.health.set_check_result(DOWN, 1);
        group.refresh(1);
        assert_eq!(present(&group), (Availability::AllDown, vec![]));
        let nobody = self::group(&[(0, false)], |_| ());
        assert_eq!(present(&nobody), (Availability::NoBackends, vec![]));
    }

    #[test]
    fn a_share_grows_during_a_slow_start() {
        let slowly = |group: &mut Group| group.slow_start = Duration::from_secs(30);
        let group = group(&[(10, false), (10, false)], slowly);
        group.members[1].backend.health.begin_slow_start(1_000);
        group.refresh(1_000);
        let weights = |now_ms| {
            group.refresh(now_ms);
            present(&group).1.iter().map(|(_, weight)| *weight).collect::<Vec<_>>()
        };
        let early = weights(1_000);
        assert_eq!(early[0], 1_000);
        assert!((1..=100).contains(&early[1]), "{early:?}");
        let half = weights(16_000);
        assert!((450..=550).contains(&half[1]), "{half:?}");
        assert_eq!(weights(31_000), [1_000, 1_000]);
    }

    #[test]
    fn members_are_found_by_their_identity() {
        let group = group(&[(1, false), (1, false)], |_| ());
        assert_eq!([1000, 1001, 1002].map(|identity| group.by_identity(identity)), [Some(0), Some(1), None]);
    }
}
