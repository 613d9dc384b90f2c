//! The backends of one group: what follows from their probes, from failures of real requests, and from
//! time that passes.

use std::fmt;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::HealthCheck;
use crate::control::health::event_log::EventLog;
use crate::control::health::outcome::ProbeError;
use crate::control::health::outcome::ProbeResult;
use crate::control::health::probe::Probe;
use crate::control::health::probe::ProbeTransport;
use crate::control::health::schedule::Acquaintance;
use crate::control::health::schedule::Schedule;
use crate::control::health::verdict::Change;
use crate::control::health::verdict::Thresholds;
use crate::control::health::verdict::Verdict;
use crate::control::health::watch::Watch;
use crate::policy::balance::slow_start;
use crate::policy::outlier::Outlier;
use crate::snapshot::backend::Backend;
use crate::snapshot::backend::CheckFailure;
use crate::snapshot::backend::CheckResult;
use crate::snapshot::backend::CheckState;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::snapshot::group::GroupMember;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::tls::connect::TlsClient;
use crate::tls::connect::UpstreamTls;

/// A group and what is remembered of its members. Times are milliseconds of the process's monotonic clock.
pub(super) struct WatchedGroup {
    pub(super) group: Arc<Group>,
    check: Option<HealthCheck>,
    ejection_time: Duration,
    /// For HTTPS probes of a group that speaks in cleartext.
    terms: Option<Arc<UpstreamTls>>,
    /// In the order of the group's members.
    pub(super) members: Vec<Watched>,
    /// Something changed that the table in service does not say yet.
    is_stale: bool,
    /// Who serves the group, as it was told last.
    pub(super) availability: Option<Availability>,
}

/// What is remembered of one backend.
pub(super) struct Watched {
    pub(super) backend: Arc<Backend>,
    pub(super) probing: Option<Probing>,
    outlier: Outlier,
    /// When the next step of its slow start is due.
    step_due_ms: Option<u64>,
    /// It appeared together with its whole group and has had no verdict since: there was no time at which
    /// others did its work.
    is_founder: bool,
}

/// How one backend is probed.
pub(super) struct Probing {
    /// Tells the probes of this time from those of an earlier one, of another backend in this slot.
    pub(super) number: u64,
    check: HealthCheck,
    transport: ProbeTransport,
    pub(super) probe: Rc<Probe>,
    verdict: Verdict,
    pub(super) schedule: Schedule,
    /// With the terms that it was made of.
    client: Option<(Arc<UpstreamTls>, Rc<TlsClient>)>,
}

/// Where probings get their numbers from, and the random moments of their first probes.
#[derive(Default)]
pub(super) struct Sequence {
    drawn: u64,
    random: RandomState,
}

impl Sequence {
    /// A number that was never given before, and one that cannot be foreseen.
    fn next(&mut self) -> (u64, u64) {
        self.drawn += 1;
        (self.drawn, self.random.hash_one(self.drawn))
    }
}

impl WatchedGroup {
    pub(super) fn new(watch: Watch) -> WatchedGroup {
        let Watch { group, check, ejection_time, tls } = watch;
        let terms = tls.map(Arc::new);
        WatchedGroup {
            group,
            check,
            ejection_time,
            terms,
            members: Vec::new(),
            is_stale: true,
            availability: None,
        }
    }

    /// Takes over the members, with what was remembered of them.
    pub(super) fn adopt(
        &mut self,
        mut known: impl FnMut(&Backend) -> Option<Watched>,
        sequence: &mut Sequence,
        now_ms: u64,
    ) {
        let group = Arc::clone(&self.group);
        let known: Vec<_> = group.members.iter().map(|member| known(&member.backend)).collect();
        let is_new = known.iter().all(Option::is_none);
        for (index, (member, known)) in group.members.iter().zip(known).enumerate() {
            let joins = !is_new && known.is_none();
            let mut watched = known.unwrap_or_else(|| Watched::new(&member.backend, is_new));
            let check = self.check.as_ref().filter(|_| !member.is_leaving);
            watched.probe_by(check.map(|check| (check, ProbeTransport::of(&group))), sequence, now_ms);
            let health = &member.backend.health;
            if self.check.is_none() && health.check_result().state != CheckState::Unchecked {
                // A probe that was under way when the builder said so came to its end later.
                health.set_check_result(CheckResult::UNCHECKED, now_ms);
            }
            // The length of a slow start may be another now.
            watched.step_due_ms = (health.slow_start_since_ms() != 0).then_some(now_ms);
            self.members.push(watched);
            if joins && matches!(health.check_result().state, CheckState::Unchecked | CheckState::Presumed) {
                self.warm_up(index, now_ms);
            }
        }
    }

    /// What the members are probed with, where that takes TLS.
    pub(super) fn client(&mut self, index: usize) -> Option<Rc<TlsClient>> {
        let probing = self.members.get_mut(index)?.probing.as_mut()?;
        if !probing.probe.is_secure() {
            return None;
        }
        let terms = match &self.group.tls {
            Some(published) => published.load(),
            None => Arc::clone(self.terms.as_ref()?),
        };
        match &probing.client {
            Some((known, client)) if Arc::ptr_eq(known, &terms) => Some(Rc::clone(client)),
            _ => {
                let client = Rc::new(terms.client());
                probing.client = Some((terms, Rc::clone(&client)));
                Some(client)
            }
        }
    }

    /// A probe of a member has ended.
    pub(super) fn note_probe(
        &mut self,
        index: usize,
        outcome: ProbeResult,
        now_ms: u64,
        events: &mut EventLog,
    ) {
        let Some(watched) = self.members.get_mut(index) else { return };
        let Some(probing) = &mut watched.probing else { return };
        probing.schedule.end();
        let (failure, status) = match outcome {
            Ok(()) => (None, 0),
            Err(ProbeError::Failed { failure, status }) => (Some(failure), status),
            Err(
                ProbeError::NoDescriptor
                | ProbeError::NoLocalPort
                | ProbeError::NoSource(_)
                | ProbeError::Abandoned,
            ) => return,
        };
        let health = &watched.backend.health;
        let Some(change) = probing.verdict.note(failure.is_none(), probing.thresholds()) else {
            if failure.is_some() && health.awaits_first_probe() {
                health.set_check_result(CheckResult { state: CheckState::Initial, failure, status }, now_ms);
            }
            return;
        };
        let is_founding = change.to != CheckState::Initial
            && std::mem::take(&mut watched.is_founder)
            && matches!(change.from, CheckState::Initial | CheckState::Presumed);
        let probe = Rc::clone(&probing.probe);
        let lasted_ms = now_ms.saturating_sub(health.since_ms());
        health.set_check_result(CheckResult { state: change.to, failure, status }, now_ms);
        self.is_stale = true;
        if change.to == CheckState::Healthy {
            // Failures from before its recovery say nothing about it.
            health.note_success();
            if health.is_ejected() && change.from == CheckState::Unhealthy {
                health.end_ejection();
                watched.outlier.end_ejection(Duration::from_millis(now_ms));
            }
            // What was presumed to be healthy has served since it appeared.
            if !is_founding && change.from != CheckState::Presumed {
                self.warm_up(index, now_ms);
            }
        } else {
            watched.cool_down();
        }
        events.add(now_ms, || {
            let sentence = describe(change, failure, status, lasted_ms, &probe);
            let kind = match change.to {
                CheckState::Healthy => EventKind::BackendUp,
                _ => EventKind::BackendDown,
            };
            self.news(kind, index, &sentence)
        });
    }

    /// Real requests to a member failed, as many in a row as eject a backend.
    pub(super) fn note_failures(&mut self, index: usize, now_ms: u64, events: &mut EventLog) {
        let most = self.group.max_failures;
        let is_asked_for = |member: &GroupMember| {
            let health = &member.backend.health;
            most != 0 && !member.is_leaving && health.is_available() && health.failures_in_a_row() >= most
        };
        if !self.group.member(index).is_some_and(is_asked_for) || !self.has_others(index) {
            return;
        }
        let Some(watched) = self.members.get_mut(index) else { return };
        let until = watched.outlier.eject(Duration::from_millis(now_ms), self.ejection_time);
        let until_ms = until.as_millis() as u64;
        let failures = watched.backend.health.failures_in_a_row();
        watched.backend.health.eject(until_ms);
        watched.cool_down();
        self.is_stale = true;
        events.add(now_ms, || {
            let time = Seconds(until_ms.saturating_sub(now_ms));
            let sentence = format!("is ejected for {time}: {failures} requests in a row failed");
            self.news(EventKind::BackendEjected, index, &sentence)
        });
    }

    /// Readmits members whose ejection is over, and goes on with slow starts.
    pub(super) fn pass_time(&mut self, now_ms: u64, events: &mut EventLog) {
        for index in 0..self.members.len() {
            let Some(watched) = self.members.get_mut(index) else { return };
            let health = &watched.backend.health;
            if health.is_ejected() && now_ms >= health.ejected_until_ms() {
                health.end_ejection();
                self.is_stale = true;
                self.warm_up(index, now_ms);
                events.add(now_ms, || self.news(EventKind::BackendReturned, index, "is no longer ejected"));
            } else if watched.step_due_ms.is_some_and(|due_ms| now_ms >= due_ms) {
                watched.step(self.group.slow_start, now_ms);
                self.is_stale = true;
            }
        }
    }

    /// Lets the table in service say what is known.
    pub(super) fn refresh(&mut self, now_ms: u64, events: &mut EventLog) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        self.group.refresh(now_ms);
        let (_, table) = self.group.table().load();
        let now = table.availability;
        let before = self.availability.replace(now);
        // What is not known yet is no news, and that active backends serve is what is expected.
        let is_news = match before {
            Some(before) => before != now,
            None => now != Availability::Active,
        };
        if before.is_none() && self.group.has_unprobed() {
            self.availability = None;
        } else if is_news {
            events.add(now_ms, || {
                let group = &self.group.name;
                let sentence = match now {
                    Availability::Active => "active backends serve again",
                    Availability::Standby => "standbys serve: no active backend is available",
                    Availability::AllDown => "all backends are down",
                    Availability::NoBackends => "no backend takes requests",
                    Availability::Disabled => "it is disabled",
                };
                let message = format!("health: group \"{group}\": {sentence}");
                News::new(EventKind::GroupAvailability, message).of("group", group)
            });
        }
    }

    /// A member comes into service. Where others can carry the load meanwhile, its share begins small.
    fn warm_up(&mut self, index: usize, now_ms: u64) {
        if self.group.slow_start.is_zero() || !self.has_others(index) {
            return;
        }
        let Some(watched) = self.members.get_mut(index) else { return };
        let health = &watched.backend.health;
        if health.is_available() {
            health.begin_slow_start(now_ms);
            watched.step(self.group.slow_start, now_ms);
            self.is_stale = true;
        }
    }

    /// Whether requests could go elsewhere.
    fn has_others(&self, index: usize) -> bool {
        let mut others = self.group.members.iter().enumerate().filter(|(other, _)| *other != index);
        others.any(|(_, member)| member.is_available())
    }

    /// What happened to a member.
    fn news(&self, kind: EventKind, index: usize, sentence: &str) -> News {
        let backend = self.members.get(index).map_or("", |watched| &watched.backend.name);
        let group = &self.group.name;
        let message = format!("health: backend {backend} of group \"{group}\" {sentence}");
        News::new(kind, message).of("group", group).of("backend", backend)
    }
}

impl Watched {
    fn new(backend: &Arc<Backend>, is_founder: bool) -> Watched {
        Watched {
            backend: Arc::clone(backend),
            probing: None,
            outlier: Outlier::new(),
            step_due_ms: None,
            is_founder,
        }
    }

    /// Goes on with its probes if they are to be the same, else begins those that this check asks for.
    fn probe_by(
        &mut self,
        wanted: Option<(&HealthCheck, ProbeTransport)>,
        sequence: &mut Sequence,
        now_ms: u64,
    ) {
        let Some((check, transport)) = wanted else {
            self.probing = None;
            return;
        };
        let is_same = |probing: &Probing| probing.check == *check && probing.transport == transport;
        if !self.probing.as_ref().is_some_and(is_same) {
            self.probing = Some(Probing::new((check, transport), &self.backend, sequence, now_ms));
        }
    }

    /// One step of its slow start.
    fn step(&mut self, slow_start: Duration, now_ms: u64) {
        let health = &self.backend.health;
        let slow_start_since_ms = health.slow_start_since_ms();
        let elapsed = Duration::from_millis(now_ms.saturating_sub(slow_start_since_ms));
        let next = if slow_start_since_ms == 0 { None } else { slow_start::next_step(elapsed, slow_start) };
        self.step_due_ms = next.map(|next| slow_start_since_ms + next.as_micros().div_ceil(1000) as u64);
        if next.is_none() {
            health.end_slow_start();
        }
    }

    /// It goes out of service, which ends a slow start.
    fn cool_down(&mut self) {
        self.backend.health.end_slow_start();
        self.step_due_ms = None;
    }
}

impl Probing {
    fn new(
        (check, transport): (&HealthCheck, ProbeTransport),
        backend: &Backend,
        sequence: &mut Sequence,
        now_ms: u64,
    ) -> Probing {
        let (number, random) = sequence.next();
        let state = backend.health.check_result().state;
        let acquaintance = match state {
            CheckState::Initial | CheckState::Presumed => Acquaintance::New,
            _ => Acquaintance::Known,
        };
        Probing {
            number,
            check: check.clone(),
            transport,
            probe: Rc::new(Probe::new(check, &backend.address, transport)),
            verdict: Verdict::new(state),
            schedule: Schedule::new(check.interval, acquaintance, random, now_ms),
            client: None,
        }
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds { healthy: self.check.healthy_threshold, unhealthy: self.check.unhealthy_threshold }
    }
}

/// A change as the rest of a sentence about the backend.
fn describe(
    change: Change,
    failure: Option<CheckFailure>,
    status: u16,
    lasted_ms: u64,
    probe: &Probe,
) -> String {
    let probes = change.probes;
    match (failure, change.from) {
        (Some(failure), _) => {
            let word = failure.as_str();
            let mismatch = match failure {
                CheckFailure::ResponseMismatch => format!(", expected {}, got {status}", probe.expected()),
                _ => String::new(),
            };
            let counted = match probes {
                1 => "1 probe failed".to_owned(),
                _ => format!("{probes} probes in a row failed"),
            };
            match change.to {
                CheckState::Initial => {
                    format!("failed its first probe and serves once one succeeds: {word}{mismatch}")
                }
                _ => format!("is unhealthy: {word}{mismatch} ({counted})"),
            }
        }
        (None, CheckState::Unhealthy) => {
            let counted = match probes {
                1 => "1 probe succeeded".to_owned(),
                _ => format!("{probes} probes in a row succeeded"),
            };
            format!("is healthy again after {} ({counted})", Seconds(lasted_ms))
        }
        (None, _) if probes == 1 => "is healthy (first probe)".to_owned(),
        (None, _) => format!("is healthy (probe {probes})"),
    }
}

/// Milliseconds, shown as seconds: with a decimal while that tells something.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 + 50) / 100;
        match tenths % 10 {
            0 => write!(out, "{} s", tenths / 10),
            _ if tenths >= 100 => write!(out, "{} s", (tenths + 5) / 10),
            rest => write!(out, "{}.{rest} s", tenths / 10),
        }
    }
}
