//! Connections through Ringway's layer 4, nginx's stream module and HAProxy's mode tcp: CPU time of the proxy for each
//! connection, exchange or MiB, and its memory for each connection that is idle.
//!
//! All run with one worker, by turns, so that what else the host does meets all alike. Read `scenario.rs` first.

mod origin;
mod peers;
mod scenario;
mod session;

use peers::{Peer, Programs};
use ringway_bench::measured::least_and_middle;
use ringway_bench::options::Options;
use ringway_bench::process;
use ringway_bench::site::Site;
use scenario::Scenario;
use std::fs;
use std::path::Path;
use std::time::Duration;

const USAGE: &str = "usage: bench-stream [--ringway PATH] [--baseline PATH] [--nginx PATH] [--module PATH] [--haproxy PATH]
                    [--scenario connect|exchange|bulk|upload|tls|passthrough|idle]... [--seconds N] [--rounds N] [--connections N]

Without --scenario all are measured. --baseline is another program of Ringway, --module nginx's stream module.";

struct Plan {
    programs: Programs,
    scenarios: Vec<Scenario>,
    /// Of each turn.
    time: Duration,
    rounds: usize,
    /// Of the scenario `idle`.
    connections: usize,
}

fn main() {
    if let Err(message) = start() {
        eprintln!("bench-stream: {message}\n{USAGE}");
        std::process::exit(2);
    }
}

fn start() -> Result<(), String> {
    let plan = plan()?;
    process::raise_descriptor_limit().map_err(|e| format!("raising the descriptor limit: {e}"))?;
    let origin = origin::Origin::start().map_err(|e| format!("starting the origin: {e}"))?;
    let folder = std::env::temp_dir().join(format!("bench-stream-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|e| format!("making {}: {e}", folder.display()))?;
    let measured = Site::create(&folder).and_then(|site| {
        plan.scenarios.iter().try_for_each(|scenario| measure(&plan, *scenario, &origin, &site, &folder))
    });
    drop(fs::remove_dir_all(&folder));
    measured
}

fn plan() -> Result<Plan, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let programs = Programs { ringway: own.with_file_name("ringway"), ..Programs::default() };
    let mut plan =
        Plan { programs, scenarios: Vec::new(), time: Duration::from_secs(2), rounds: 5, connections: 5000 };
    let mut options = Options::of_process();
    while let Some(name) = options.next_name()? {
        match name.as_str() {
            "ringway" => plan.programs.ringway = options.value(&name)?,
            "baseline" => plan.programs.baseline = Some(options.value(&name)?),
            "nginx" => plan.programs.nginx = Some(options.value(&name)?),
            "module" => plan.programs.module = Some(options.value(&name)?),
            "haproxy" => plan.programs.haproxy = Some(options.value(&name)?),
            "scenario" => plan.scenarios.push(Scenario::named(&options.value::<String>(&name)?)?),
            "seconds" => plan.time = Duration::from_secs(options.value(&name)?),
            "rounds" => plan.rounds = options.value(&name)?,
            "connections" => plan.connections = options.value(&name)?,
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    if plan.scenarios.is_empty() {
        plan.scenarios = Scenario::ALL.to_vec();
    }
    Ok(plan)
}

/// Measures all proxies in one scenario, and prints a line for each.
fn measure(
    plan: &Plan,
    scenario: Scenario,
    origin: &origin::Origin,
    site: &Site,
    folder: &Path,
) -> Result<(), String> {
    let peers = plan.programs.start(scenario, origin, site, folder)?;
    if scenario == Scenario::Idle {
        return peers.iter().try_for_each(|peer| idle(peer, plan.connections));
    }
    let mut costs: Vec<Vec<f64>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for (peer, costs) in peers.iter().zip(&mut costs) {
            let before = peer.process.cpu_ns();
            let units = scenario
                .load(peer.address, site, plan.time)
                .map_err(|e| format!("{} through {}: {e}", scenario.name(), peer.process.name))?;
            costs.push((peer.process.cpu_ns() - before) as f64 / 1_000.0 / units);
        }
    }
    for (peer, costs) in peers.iter().zip(costs) {
        let (least, middle) = least_and_middle(costs);
        let (name, unit) = (peer.process.name, scenario.unit());
        println!("{:<12} {name:<10} {middle:9.2} µs for each {unit} (least {least:.2})", scenario.name());
    }
    Ok(())
}

/// What connections cost that had one exchange and are silent now.
fn idle(peer: &Peer, count: usize) -> Result<(), String> {
    let warm = session::exchanged(peer.address, 32).map_err(|e| e.to_string())?;
    drop(warm);
    std::thread::sleep(Duration::from_secs(1));
    let before = peer.process.resident_kib();
    let held = session::exchanged(peer.address, count).map_err(|e| e.to_string())?;
    // Ringway gives memory back ten seconds after the last has fallen silent.
    std::thread::sleep(Duration::from_secs(16));
    let after = peer.process.resident_kib();
    drop(held);
    let each = (after.saturating_sub(before) * 1024) as f64 / count as f64;
    println!("{:<12} {:<10} {each:9.0} bytes for each of {count} connections", "idle", peer.process.name);
    Ok(())
}
