//! HTTP/3 through Ringway, Caddy and Envoy: CPU time of the proxy for each request, MiB or connection, and its memory for
//! each connection that is idle.
//!
//! All run with one worker on one CPU, by turns, so that what else the host does meets all alike; the client and the origin
//! have another CPU. Only the scenario `workers` lets all run on every CPU. Read `scenario.rs` first.

mod client;
mod datagrams;
mod message;
mod peers;
mod scenario;
mod session;

use peers::{Peer, Programs};
use ringway_bench::measured::least_and_middle;
use ringway_bench::options::Options;
use ringway_bench::process;
use ringway_bench::site::Site;
use scenario::{LoadTerms, Scenario, Turn};
use std::fs;
use std::path::Path;
use std::time::Duration;

const USAGE: &str = "usage: bench-h3 [--ringway PATH] [--baseline PATH] [--caddy PATH] [--envoy PATH]
                [--scenario requests|bulk|handshake|idle|workers]... [--seconds N] [--rounds N] [--connections N] [--loss PERCENT]
                [--rate N] [--proxy-cpu N] [--load-cpu N]

Without --scenario all are measured. --baseline is another program of Ringway. With --loss the client drops so much of what it
sends and gets. --rate is requests a second for each worker of the scenario `workers`.";

struct Plan {
    programs: Programs,
    scenarios: Vec<Scenario>,
    /// Of each turn.
    time: Duration,
    rounds: usize,
    /// Of the scenario `idle`.
    connections: usize,
    /// In per cent.
    loss: f64,
    /// Requests a second for each worker of the scenario `workers`.
    rate: f64,
    proxy_cpu: usize,
    load_cpu: usize,
}

fn main() {
    if let Err(message) = start() {
        eprintln!("bench-h3: {message}\n{USAGE}");
        std::process::exit(2);
    }
}

fn start() -> Result<(), String> {
    let plan = plan()?;
    process::raise_descriptor_limit().map_err(|e| format!("raising the descriptor limit: {e}"))?;
    process::pin_to_cpu(plan.load_cpu).map_err(|e| format!("pinning: {e}"))?;
    let origin = plan.programs.start_origin()?;
    let folder = std::env::temp_dir().join(format!("bench-h3-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|e| format!("making {}: {e}", folder.display()))?;
    let measured = Site::create(&folder).and_then(|site| {
        plan.scenarios.iter().try_for_each(|scenario| measure(&plan, *scenario, &origin, &site, &folder))
    });
    drop(fs::remove_dir_all(&folder));
    measured
}

fn plan() -> Result<Plan, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let programs = Programs {
        ringway: own.with_file_name("ringway"),
        origin: own.with_file_name("bench-origin"),
        ..Programs::default()
    };
    let mut plan = Plan {
        programs,
        scenarios: Vec::new(),
        time: Duration::from_secs(2),
        rounds: 5,
        connections: 2000,
        loss: 0.0,
        rate: 8_000.0,
        proxy_cpu: 0,
        load_cpu: 1,
    };
    let mut options = Options::of_process();
    while let Some(name) = options.next_name()? {
        match name.as_str() {
            "ringway" => plan.programs.ringway = options.value(&name)?,
            "baseline" => plan.programs.baseline = Some(options.value(&name)?),
            "caddy" => plan.programs.caddy = Some(options.value(&name)?),
            "envoy" => plan.programs.envoy = Some(options.value(&name)?),
            "scenario" => plan.scenarios.push(Scenario::named(&options.value::<String>(&name)?)?),
            "seconds" => plan.time = Duration::from_secs(options.value(&name)?),
            "rounds" => plan.rounds = options.value(&name)?,
            "connections" => plan.connections = options.value(&name)?,
            "loss" => plan.loss = options.value(&name)?,
            "rate" => plan.rate = options.value(&name)?,
            "proxy-cpu" => plan.proxy_cpu = options.value(&name)?,
            "load-cpu" => plan.load_cpu = options.value(&name)?,
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    if plan.scenarios.is_empty() {
        plan.scenarios = Scenario::ALL.to_vec();
    }
    if !(0.0..=50.0).contains(&plan.loss) || plan.connections == 0 {
        return Err("a loss of 0 to 50 per cent, and at least one connection".to_owned());
    }
    Ok(plan)
}

/// Measures all proxies in one scenario, and prints a line for each.
fn measure(plan: &Plan, scenario: Scenario, origin: &Peer, site: &Site, folder: &Path) -> Result<(), String> {
    if scenario == Scenario::Workers {
        return measure_workers(plan, origin, site, folder);
    }
    let peers = plan.programs.start(origin.address, site, folder, plan.proxy_cpu)?;
    process::pin_to_cpu(plan.load_cpu).map_err(|e| format!("pinning: {e}"))?;
    if scenario == Scenario::Idle {
        return peers.iter().try_for_each(|peer| idle(peer, site, plan.connections));
    }
    let mut turns: Vec<Vec<Turn>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for (peer, turns) in peers.iter().zip(&mut turns) {
            let terms = LoadTerms { time: plan.time, loss: plan.loss, rate: None };
            let turn = scenario
                .load(peer, site, &terms)
                .map_err(|e| format!("{} through {}: {e}", scenario.name(), peer.process.name))?;
            turns.push(turn);
        }
    }
    for (peer, turns) in peers.iter().zip(turns) {
        report(scenario, peer, &turns);
    }
    Ok(())
}

/// Measures two workers beside one, each with the same share of the load.
fn measure_workers(plan: &Plan, origin: &Peer, site: &Site, folder: &Path) -> Result<(), String> {
    process::unpin().map_err(|e| format!("unpinning: {e}"))?;
    let peers = plan.programs.start_workers(origin.address, site, folder)?;
    let mut turns = [Vec::new(), Vec::new()];
    for _ in 0..plan.rounds {
        for ((workers, peer), turns) in peers.iter().zip(&mut turns) {
            let rate = Some(plan.rate * f64::from(*workers));
            let terms = LoadTerms { time: plan.time, loss: plan.loss, rate };
            turns.push(Scenario::Workers.load(peer, site, &terms)?);
        }
    }
    for ((_, peer), turns) in peers.iter().zip(turns) {
        report(Scenario::Workers, peer, &turns);
    }
    Ok(())
}

/// A proxy that was busy for less of the time than others was waiting for the client or the origin.
fn report(scenario: Scenario, peer: &Peer, turns: &[Turn]) {
    let (least, middle) = least_and_middle(turns.iter().map(|turn| turn.cpu_us / turn.units).collect());
    let (_, rate) = least_and_middle(turns.iter().map(|turn| turn.units / turn.seconds).collect());
    let (_, busy) =
        least_and_middle(turns.iter().map(|turn| turn.cpu_us / turn.seconds / 10_000.0).collect());
    let (scenario, name, unit) = (scenario.name(), peer.process.name, scenario.unit());
    println!(
        "{scenario:<10} {name:<8} {middle:9.2} µs for each {unit} (least {least:.2}), {rate:.0} a second, {busy:.0} % busy"
    );
}

/// What connections cost that had one request each and are silent now.
fn idle(peer: &Peer, site: &Site, count: usize) -> Result<(), String> {
    scenario::served(peer, site, 32, scenario::OPENING)?.close();
    std::thread::sleep(Duration::from_secs(1));
    let before = peer.process.resident_kib();
    let mut held = scenario::served(peer, site, count, scenario::OPENING)?;
    // Ringway gives memory back ten seconds after the last has fallen silent.
    held.run(ringway_bench::now() + Duration::from_secs(16), false)?;
    let after = peer.process.resident_kib();
    held.close();
    let each = (after.saturating_sub(before) * 1024) as f64 / count as f64;
    println!("{:<10} {:<8} {each:9.0} bytes for each of {count} connections", "idle", peer.process.name);
    Ok(())
}
