//! Workers and CPUs: how many there are, where they run, and what is told of one that stands still.

use crate::admin::{command, scenario, status};
use crate::support::{Backend, Client, PATIENCE, Ringway, StoppedThread, eventually, within};
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The CPUs that this process may use.
fn usable_cpus() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").expect("it is there");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("it is told");
    let ranges = list.trim().split(',').map(|range| range.split_once('-').unwrap_or((range, range)));
    let number = |text: &str| text.parse::<usize>().expect("a number");
    ranges.flat_map(|(first, last)| number(first)..=number(last)).collect()
}

/// As many workers as there are CPUs, each on its own.
fn automatic(backend: &Backend) -> String {
    scenario(backend).text().replace("workers = 2\npin = false", "workers = \"auto\"\npin = true")
}

fn workers(ringway: &Ringway) -> u64 {
    status(ringway)["workers"].as_u64().expect("a number")
}

/// The CPUs that a thread may use, as the kernel lists them.
fn cpus_of(ringway: &Ringway, thread: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{}/task/{thread}/status", ringway.id())).expect("it runs");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.expect("it is told").trim().to_owned()
}

fn set_cpus(thread: i32, cpu: usize) {
    let arguments = ["-pc", &cpu.to_string(), &thread.to_string()].map(str::to_owned);
    let ended = Command::new("taskset").args(arguments).output().expect("`taskset` of util-linux runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A control group of our own, which is removed when it is dropped.
struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Makes one where a controller is mounted, with these files; None where that is not allowed.
    fn with(controller: &str, files: &[(&str, &str)]) -> Option<ControlGroup> {
        let folder = Path::new("/sys/fs/cgroup").join(controller);
        let group = folder.join(format!("ringway-test-{}-{controller}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let group = ControlGroup(group);
        files.iter().all(|(name, text)| group.set(name, text)).then_some(group)
    }

    fn set(&self, name: &str, text: &str) -> bool {
        fs::write(self.0.join(name), text).is_ok()
    }

    /// Starts there.
    fn start(&self, configuration: &str) -> Ringway {
        let group = self.0.display().to_string();
        let script = "group=$1; shift; echo $$ > $group/cgroup.procs && exec \"$@\"";
        Ringway::start_under(&["sh", "-c", script, "sh", &group], configuration)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // It is in use for a moment longer than its processes live.
        within(PATIENCE, || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn workers_follow_the_affinity_of_the_process() {
    let backend = Backend::echo_head();
    let last = *usable_cpus().last().expect("a CPU");
    let ringway = Ringway::start_under(&["taskset", "-c", &last.to_string()], &automatic(&backend));
    assert_eq!(workers(&ringway), 1);
    assert_eq!(cpus_of(&ringway, ringway.worker_thread(0)), last.to_string());
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
}

#[test]
fn workers_follow_the_quota_of_the_control_group() {
    let backend = Backend::echo_head();
    let quota_of = |percent: u32| {
        let text = (percent * 1_000).to_string();
        let version_1 =
            || ControlGroup::with("cpu", &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", &text)]);
        version_1().or_else(|| ControlGroup::with("", &[("cpu.max", &format!("{text} 100000"))]))
    };
    for (percent, expected) in [(50, 1), (110, 2)] {
        let Some(group) = quota_of(percent) else {
            return eprintln!("skipped: no control group can be made here");
        };
        let ringway = group.start(&automatic(&backend));
        assert_eq!(workers(&ringway), expected.min(usable_cpus().len() as u64), "{percent} per cent");
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    }
}

#[test]
fn a_worker_whose_cpu_is_taken_away_is_told_of() {
    let backend = Backend::echo_head();
    let cpus = usable_cpus();
    let [first, second, ..] = cpus[..] else { return eprintln!("skipped: one CPU alone") };
    let ringway = Ringway::start(&automatic(&backend));
    let thread = ringway.worker_thread(1);
    assert_eq!(cpus_of(&ringway, thread), second.to_string());
    set_cpus(thread, first);
    ringway.wait_for_line(&format!("warning: worker 1 is no longer pinned to CPU {second}: "));
    let told = command(&ringway, &["events", "--json"]).stdout;
    let mut events = told.lines().map(|line| serde_json::from_str::<Json>(line).expect("it is JSON"));
    let event = events.find(|event| event["kind"] == "worker_unpinned");
    assert_eq!(event.expect("it is told")["subject"]["worker"], "1");
}

#[test]
fn a_cpuset_that_shrinks_unpins_a_worker() {
    let backend = Backend::echo_head();
    let cpus = usable_cpus();
    let [first, second, ..] = cpus[..] else { return eprintln!("skipped: one CPU alone") };
    let both = format!("{first},{second}");
    let Some(group) = ControlGroup::with("cpuset", &[("cpuset.mems", "0"), ("cpuset.cpus", &both)]) else {
        return eprintln!("skipped: no cpuset can be made here");
    };
    let ringway = group.start(&automatic(&backend));
    assert_eq!(workers(&ringway), 2);
    assert!(group.set("cpuset.cpus", &first.to_string()));
    ringway.wait_for_line(&format!("warning: worker 1 is no longer pinned to CPU {second}: "));
    assert_eq!(cpus_of(&ringway, ringway.worker_thread(1)), first.to_string());
    // It serves on, beside the other one.
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(ringway.address())).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
}

#[test]
fn a_worker_that_stands_still_is_told_of_until_it_runs_again() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let load = |worker: usize| status(&ringway)["worker_load"][worker].clone();
    let stopped = StoppedThread::of(ringway.worker_thread(1));
    ringway.wait_for_line("warning: worker 1 has stood still for ");
    eventually("the status says so", || load(1)["is_stalled"] == true);
    let stalls = load(1)["stalls"].clone();
    assert!(stalls.as_u64() >= Some(1), "{stalls}");
    // A busy machine may hold up the other for a moment.
    eventually("the other is told apart", || load(0)["is_stalled"] == false);
    drop(stopped);
    ringway.wait_for_line("worker 1 runs again after ");
    eventually("the status says so", || load(1)["is_stalled"] == false);
    assert!(load(1)["stalls"].as_u64() >= stalls.as_u64());
    let told = command(&ringway, &["events"]).stdout;
    assert!(told.contains(" worker_stalled ") && told.contains(" worker_resumed "), "{told}");
}
