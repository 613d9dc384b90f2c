//! What probes, failing requests, reloads and time make of groups, without a single probe.

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::config::CheckMethod;
use crate::config::CheckProtocol;
use crate::config::HealthCheck;
use crate::net::address::Address;
use crate::snapshot::backend::Backend;
use crate::snapshot::backend::CheckFailure;
use crate::snapshot::backend::CheckResult;
use crate::snapshot::backend::CheckState;
use crate::snapshot::backend::Health;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::snapshot::group::GroupMember;
use crate::telemetry::backend_counters::Totals;

const REFUSED: ProbeResult = Err(ProbeError::Failed { failure: CheckFailure::ConnectRefused, status: 0 });
const FAULTY: ProbeResult = Err(ProbeError::Failed { failure: CheckFailure::ResponseMismatch, status: 503 });

fn check() -> HealthCheck {
    HealthCheck {
        protocol: CheckProtocol::Http,
        initial: crate::config::InitialState::Up,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        healthy_threshold: 2,
        unhealthy_threshold: 3,
        method: CheckMethod::Head,
        path: "/".to_owned(),
        host: None,
        port: 0,
        expect: vec![200..=299],
        payload: Vec::new(),
        expect_payload: None,
    }
}

fn backend(slot: u32, result: CheckResult) -> Arc<Backend> {
    let address: SocketAddr = ([127, 0, 0, 1], 9000 + slot as u16).into();
    let backend = Backend {
        address: Address::Ip(address),
        name: address.to_string(),
        slot,
        identity: u64::from(slot),
        counted_before: Totals::default(),
        health: Health::default(),
        room: crate::snapshot::quota::Quota::new(0),
    };
    backend.health.set_check_result(result, 1);
    Arc::new(backend)
}

/// A watchlist with one group, and time.
struct Scene {
    list: Watchlist,
    group: Arc<Group>,
    now_ms: u64,
    /// What is under way.
    jobs: Vec<Job>,
}

impl Scene {
    fn new(backends: &[Arc<Backend>], check: Option<HealthCheck>, change: impl FnOnce(&mut Group)) -> Scene {
        let group = Arc::new(Group::begin(String::new(), 0));
        let mut scene = Scene { list: Watchlist::default(), group, now_ms: 1_000, jobs: Vec::new() };
        scene.reload(backends, check, change);
        scene
    }

    fn reload(
        &mut self,
        backends: &[Arc<Backend>],
        check: Option<HealthCheck>,
        change: impl FnOnce(&mut Group),
    ) {
        let mut group = Group::begin("app".to_owned(), 0);
        group.members = backends
            .iter()
            .map(|backend| GroupMember {
                backend: Arc::clone(backend),
                host: None,
                weight: 10,
                is_standby: false,
                is_leaving: false,
                configured_weight: 0,
                said: Default::default(),
            })
            .collect();
        change(&mut group);
        self.group = Arc::new(group.complete(self.now_ms));
        let ejection_time = Duration::from_secs(30);
        let watch = Watch { group: Arc::clone(&self.group), check, ejection_time, tls: None };
        self.list.watch(vec![watch], self.now_ms);
    }

    /// Lets this much time pass, tick by tick, while probes of each slot end like this at once.
    fn pass(&mut self, milliseconds: u64, answer: impl Fn(u32) -> ProbeResult) {
        for _ in 0..milliseconds / 100 {
            self.now_ms += 100;
            self.list.pass_time(self.now_ms);
            self.collect_jobs();
            for job in self.jobs.split_off(0) {
                self.list.note_probe(job.id, answer(job.id.slot()), self.now_ms);
            }
            self.list.refresh(self.now_ms);
        }
    }

    fn collect_jobs(&mut self) {
        while let Some(job) = self.list.next_job(self.now_ms) {
            self.jobs.push(job);
        }
    }

    /// So many requests in a row fail at the backend in a slot.
    fn fail(&mut self, slot: u32, count: u32) {
        for _ in 0..count {
            self.group.members[slot as usize].backend.health.note_failure();
        }
        self.list.note_failures(slot, self.now_ms);
        self.list.refresh(self.now_ms);
    }

    /// Who gets requests, with weights.
    fn table(&self) -> Vec<(u32, u32)> {
        let (_, table) = self.group.table().load();
        table.candidates.iter().map(|candidate| (candidate.backend, candidate.weight)).collect()
    }

    fn candidates(&self) -> Vec<u32> {
        let (_, table) = self.group.table().load();
        if table.availability == Availability::AllDown {
            return Vec::new();
        }
        table.candidates.iter().map(|candidate| candidate.backend).collect()
    }

    fn events(&mut self) -> Vec<String> {
        let told = self.list.events.take(self.now_ms).into_iter().filter_map(|told| match told {
            Told::Line(news) => Some(news.message),
            Told::Event(_) => None,
            Told::Count(line) => Some(line),
        });
        told.collect()
    }
}

#[test]
fn verdicts_change_the_table_and_are_told() {
    let backends = [backend(0, CheckResult::INITIAL), backend(1, CheckResult::INITIAL)];
    let mut scene = Scene::new(&backends, Some(check()), |_| ());
    assert_eq!(scene.candidates(), [0u32; 0]);
    scene.pass(2_100, |_| Ok(()));
    assert_eq!(scene.candidates(), [0, 1]);
    let mut events = scene.events();
    events.sort();
    assert_eq!(events[0], "health: backend 127.0.0.1:9000 of group \"app\" is healthy (first probe)");

    // One failure too few, then enough.
    scene.pass(4_000, |slot| if slot == 0 { FAULTY } else { Ok(()) });
    scene.pass(2_000, |_| Ok(()));
    assert_eq!((scene.candidates(), scene.events()), (vec![0, 1], vec![]));
    scene.pass(6_000, |slot| if slot == 0 { FAULTY } else { Ok(()) });
    assert_eq!(scene.candidates(), [1]);
    let result = backends[0].health.check_result();
    assert_eq!((result.failure, result.status), (Some(CheckFailure::ResponseMismatch), 503));
    assert_eq!(
        scene.events(),
        ["health: backend 127.0.0.1:9000 of group \"app\" is unhealthy: RESPONSE_MISMATCH, \
         expected 200-299, got 503 (3 probes in a row failed)"]
    );

    scene.pass(10_000, |slot| if slot == 0 { REFUSED } else { Ok(()) });
    scene.pass(4_000, |_| Ok(()));
    assert_eq!((scene.candidates(), backends[0].health.check_result()), (vec![0, 1], CheckResult::HEALTHY));
    assert_eq!(
        scene.events(),
        [
            "health: backend 127.0.0.1:9000 of group \"app\" is healthy again after 14 s (2 probes in a row succeeded)"
        ]
    );
}

#[test]
fn a_probe_that_was_not_made_says_nothing() {
    let backends = [backend(0, CheckResult::HEALTHY)];
    let mut scene = Scene::new(&backends, Some(check()), |_| ());
    scene.pass(20_000, |_| Err(ProbeError::NoDescriptor));
    assert_eq!(scene.candidates(), [0]);
    let events = scene.events();
    assert!(events.len() == 1 && events[0].contains("no descriptor left"), "{events:?}");
}

#[test]
fn a_probe_that_panics_has_an_end_all_the_same() {
    let mut scene = Scene::new(&[backend(0, CheckResult::HEALTHY)], Some(check()), |_| ());
    scene.now_ms += 2_000;
    scene.list.pass_time(scene.now_ms);
    scene.collect_jobs();
    let id = scene.jobs.pop().unwrap().id;
    let results = Rc::new(ResultQueue::default());
    drop(ProbeReport { id, outcome: Err(ProbeError::Abandoned), results: Rc::clone(&results) });
    assert_eq!(results.take(), [(id, Err(ProbeError::Abandoned))]);
    scene.list.note_probe(id, Err(ProbeError::Abandoned), scene.now_ms);
    assert_eq!(scene.events(), [""; 0]);
    scene.pass(2_000, |_| REFUSED);
    scene.pass(4_000, |_| REFUSED);
    assert_eq!(scene.candidates(), [0u32; 0], "it was probed three times more");
}

#[test]
fn a_reload_keeps_what_is_remembered_of_the_same_probes() {
    let backends = [backend(0, CheckResult::HEALTHY), backend(1, CheckResult::HEALTHY)];
    let failing = |slot| if slot == 0 { REFUSED } else { Ok(()) };
    let mut scene = Scene::new(&backends, Some(check()), |_| ());
    scene.pass(4_000, failing);
    scene.reload(&backends, Some(check()), |_| ());
    scene.pass(2_000, failing);
    assert_eq!(scene.candidates(), [1], "the third failure in a row was not counted as such");

    // Other probes begin to count again.
    scene.pass(2_000, |_| Ok(()));
    let other = HealthCheck { path: "/other".to_owned(), ..check() };
    scene.reload(&backends, Some(other), |_| ());
    scene.pass(2_000, |_| Ok(()));
    assert_eq!(scene.candidates(), [1]);
    scene.pass(2_000, |_| Ok(()));
    assert_eq!(scene.candidates(), [0, 1]);
}

#[test]
fn a_probe_under_way_during_a_reload_counts_for_the_same_backend_only() {
    let backends = [backend(0, CheckResult::HEALTHY)];
    let strict = HealthCheck { unhealthy_threshold: 1, ..check() };
    for (after, is_same, expected) in [
        (backends.clone(), true, CheckState::Unhealthy),
        ([backend(0, CheckResult::HEALTHY)], true, CheckState::Healthy),
        ([backend(0, CheckResult::HEALTHY)], false, CheckState::Unchecked),
    ] {
        backends[0].health.set_check_result(CheckResult::HEALTHY, 1);
        let mut scene = Scene::new(&backends, Some(strict.clone()), |_| ());
        scene.now_ms += 2_000;
        scene.list.pass_time(scene.now_ms);
        scene.collect_jobs();
        let job = scene.jobs.pop().unwrap();
        scene.reload(&after, is_same.then(|| strict.clone()), |_| ());
        scene.list.note_probe(job.id, REFUSED, scene.now_ms);
        assert_eq!(after[0].health.check_result().state, expected);
    }
}

#[test]
fn a_backend_that_leaves_is_not_probed() {
    let backends = [backend(0, CheckResult::HEALTHY), backend(1, CheckResult::HEALTHY)];
    let mut scene = Scene::new(&backends, Some(check()), |group| {
        group.members[1].is_leaving = true;
    });
    scene.pass(20_000, |slot| if slot == 1 { REFUSED } else { Ok(()) });
    assert_eq!(backends[1].health.check_result(), CheckResult::HEALTHY);
}

#[test]
fn probes_in_flight_are_bounded_and_the_rest_waits_its_turn() {
    let backends: Vec<_> = (0..1_100).map(|slot| backend(slot, CheckResult::HEALTHY)).collect();
    let mut scene = Scene::new(&backends, Some(check()), |_| ());
    scene.now_ms += 2_000;
    scene.list.pass_time(scene.now_ms);
    scene.collect_jobs();
    assert_eq!(scene.jobs.len(), 1_024);
    // No backend is probed twice.
    scene.now_ms += 10_000;
    scene.list.pass_time(scene.now_ms);
    for job in scene.jobs.split_off(0) {
        scene.list.note_probe(job.id, Ok(()), scene.now_ms);
    }
    scene.collect_jobs();
    let slots: Vec<_> = scene.jobs.iter().map(|job| job.id.slot()).collect();
    assert_eq!(slots, (1_024..1_100).collect::<Vec<_>>());
}

#[test]
fn backends_that_are_gone_leave_room_for_the_probes_of_others() {
    let result = |slot| if slot < 600 { CheckResult::INITIAL } else { CheckResult::HEALTHY };
    let backends: Vec<_> = (0..620).map(|slot| backend(slot, result(slot))).collect();
    let mut scene = Scene::new(&backends, Some(check()), |_| ());
    scene.now_ms += 2_000;
    scene.list.pass_time(scene.now_ms);
    scene.collect_jobs();
    let in_service = scene.jobs.iter().filter(|job| job.id.slot() >= 600).count();
    assert_eq!((scene.jobs.len(), in_service), (512 + 20, 20));
}

fn passively(group: &mut Group) {
    group.max_failures = 5;
}

#[test]
fn failing_requests_eject_for_longer_each_time() {
    let backends = [backend(0, CheckResult::UNCHECKED), backend(1, CheckResult::UNCHECKED)];
    let mut scene = Scene::new(&backends, None, passively);
    scene.fail(0, 4);
    assert_eq!(scene.candidates(), [0, 1]);
    scene.fail(0, 1);
    assert_eq!(scene.candidates(), [1]);
    assert_eq!(
        scene.events(),
        ["health: backend 127.0.0.1:9000 of group \"app\" is ejected for 30 s: 5 requests in a row failed"]
    );
    scene.fail(0, 5);
    assert_eq!(scene.events(), [""; 0], "it is ejected already");
    scene.pass(29_900, |_| Ok(()));
    assert_eq!(scene.candidates(), [1]);
    scene.pass(200, |_| Ok(()));
    assert_eq!(scene.candidates(), [0, 1]);
    assert_eq!(scene.events(), ["health: backend 127.0.0.1:9000 of group \"app\" is no longer ejected"]);
    assert_eq!(backends[0].health.failures_in_a_row(), 0);
    scene.fail(0, 5);
    assert_eq!(backends[0].health.ejected_until_ms(), scene.now_ms + 60_000);
}

#[test]
fn the_last_available_backend_stays() {
    let backends = [backend(0, CheckResult::UNCHECKED), backend(1, CheckResult::UNCHECKED)];
    let mut scene = Scene::new(&backends, None, passively);
    scene.fail(0, 5);
    scene.fail(1, 5);
    assert_eq!(scene.candidates(), [1]);
    // Weight 0 takes no requests, so that it cannot be relied on.
    let mut scene = Scene::new(
        &[backend(0, CheckResult::UNCHECKED), backend(1, CheckResult::UNCHECKED)],
        None,
        |group| {
            passively(group);
            group.members[1].weight = 0;
        },
    );
    scene.fail(0, 5);
    assert_eq!(scene.candidates(), [0]);
}

#[test]
fn probes_that_find_a_recovery_end_an_ejection() {
    let backends = [backend(0, CheckResult::HEALTHY), backend(1, CheckResult::HEALTHY)];
    let mut scene = Scene::new(&backends, Some(check()), passively);
    scene.fail(0, 5);
    // Probes that go on to succeed end nothing.
    scene.pass(6_000, |_| Ok(()));
    assert_eq!(scene.candidates(), [1]);
    scene.pass(8_000, |slot| if slot == 0 { REFUSED } else { Ok(()) });
    scene.pass(4_100, |_| Ok(()));
    assert_eq!((scene.candidates(), backends[0].health.failures_in_a_row()), (vec![0, 1], 0));
    // It failed before it recovered, so the next ejection is longer.
    scene.fail(0, 5);
    assert_eq!(backends[0].health.ejected_until_ms(), scene.now_ms + 60_000);
}

#[test]
fn failures_of_an_unhealthy_backend_are_forgotten_with_its_recovery() {
    let backends = [backend(0, CheckResult::HEALTHY), backend(1, CheckResult::HEALTHY)];
    let mut scene = Scene::new(&backends, Some(check()), passively);
    scene.pass(8_000, |slot| if slot == 0 { REFUSED } else { Ok(()) });
    scene.fail(0, 9);
    assert!(!backends[0].health.is_ejected());
    scene.pass(4_100, |_| Ok(()));
    scene.fail(0, 0);
    assert_eq!(scene.candidates(), [0, 1]);
}

fn slowly(group: &mut Group) {
    group.slow_start = Duration::from_secs(30);
}

#[test]
fn a_backend_that_comes_back_begins_with_little() {
    let backends = [backend(0, CheckResult::HEALTHY), backend(1, CheckResult::HEALTHY)];
    let mut scene = Scene::new(&backends, Some(check()), slowly);
    scene.pass(8_000, |slot| if slot == 0 { REFUSED } else { Ok(()) });
    scene.pass(4_000, |_| Ok(()));
    let share = |scene: &Scene| scene.table().first().map_or(0, |(_, weight)| *weight);
    assert_eq!((scene.table().len(), share(&scene)), (2, 50));
    scene.pass(15_000, |_| Ok(()));
    assert!((450..=550).contains(&share(&scene)), "{:?}", scene.table());
    scene.pass(15_000, |_| Ok(()));
    assert_eq!((scene.table(), backends[0].health.slow_start_since_ms()), (vec![(0, 1_000), (1, 1_000)], 0));

    // Falling ill ends it.
    scene.pass(8_000, |slot| if slot == 0 { REFUSED } else { Ok(()) });
    scene.pass(4_000, |_| Ok(()));
    assert_ne!(backends[0].health.slow_start_since_ms(), 0);
    scene.pass(8_000, |slot| if slot == 0 { REFUSED } else { Ok(()) });
    assert_eq!(backends[0].health.slow_start_since_ms(), 0);
}

#[test]
fn a_whole_group_begins_at_full_share_and_who_joins_later_does_not() {
    let founders = [backend(0, CheckResult::INITIAL), backend(1, CheckResult::INITIAL)];
    let mut scene = Scene::new(&founders, Some(check()), slowly);
    scene.pass(2_100, |_| Ok(()));
    assert_eq!(scene.table(), [(0, 1_000), (1, 1_000)]);
    let [first, second] = founders;
    let joined = [first, second, backend(2, CheckResult::INITIAL)];
    scene.reload(&joined, Some(check()), slowly);
    scene.pass(2_100, |_| Ok(()));
    assert!(matches!(scene.table()[..], [(0, 1_000), (1, 1_000), (2, 50..=100)]), "{:?}", scene.table());

    let founders = [backend(0, CheckResult::UNCHECKED)];
    let mut scene = Scene::new(&founders, None, slowly);
    let [first] = founders;
    scene.reload(&[first, backend(1, CheckResult::UNCHECKED)], None, slowly);
    scene.pass(100, |_| Ok(()));
    assert_eq!(scene.table(), [(0, 1_000), (1, 50)]);
}

#[test]
fn nobody_begins_slowly_alone() {
    let backends = [backend(0, CheckResult::HEALTHY), backend(1, CheckResult::HEALTHY)];
    let mut scene = Scene::new(&backends, Some(check()), slowly);
    scene.pass(8_000, |_| REFUSED);
    scene.pass(6_000, |slot| if slot == 0 { REFUSED } else { Ok(()) });
    assert_eq!(scene.table(), [(1, 1_000)]);
}
