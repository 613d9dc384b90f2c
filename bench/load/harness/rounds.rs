//! The run: every scenario, round by round, one proxy after the other (A B C D A B C D).
//!
//! Every turn starts its proxy afresh, so no turn inherits connections or memory of the one before.

use crate::arguments::Plan;
use crate::client;
use crate::figures::LoadFigures;
use crate::generator::Generator;
use crate::idle_memory;
use crate::interrupt;
use crate::latency;
use crate::proxy::{self, Proxy, Running};
use crate::proxy_kind::Kind;
use crate::row::{ONLY, Row, Upstream};
use crate::scenario::{Load, PLAIN, Scenario, Work};
use crate::started::Started;
use crate::transfer;
use crate::usage::CpuTime;
use ringway_bench::now;
use ringway_bench::site::Site;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What one turn of one proxy gave.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Load(LoadFigures),
    Growth(LoadFigures),
    /// Per MiB instead of per request.
    Transfer(LoadFigures),
    Memory(idle_memory::Figures),
    Latency(latency::Figures),
}

/// A proxy and how it is configured: one row of a table.
#[derive(Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) row: &'static Row,
}

/// All turns of a scenario: `turns[round][contender]`, contenders as in `contenders`.
pub(crate) struct Results {
    pub(crate) scenario: &'static Scenario,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) turns: Vec<Vec<Turn>>,
}

/// What every turn needs.
struct Bench<'a> {
    plan: &'a Plan,
    origin: SocketAddr,
    folder: &'a Path,
    /// For the scenarios with HTTPS.
    site: Arc<Site>,
}

/// Seconds before the first sample; caches, pools and branch predictors fill.
const WARM_UP_S: u64 = 1;

pub(crate) fn run(plan: &Plan) -> Result<Vec<Results>, String> {
    let folder = Folder::create()?;
    let origin = proxy::free_address()?;
    let listen = listening_address(plan, origin).to_string();
    let program = plan.programs.join("bench-origin");
    let mut process = Started::on_cpu(plan.load_cpu, &program, &["--listen", &listen], &folder.path)?;
    proxy::wait_for_answer(&mut process, origin, None)?;
    let site = Arc::new(Site::create(&folder.path)?);
    let bench = Bench { plan, origin, folder: &folder.path, site };
    let mut all = Vec::new();
    for scenario in &plan.scenarios {
        all.push(bench.run_scenario(scenario)?);
        process.check_alive()?;
    }
    Ok(all)
}

impl Bench<'_> {
    fn run_scenario(&self, scenario: &'static Scenario) -> Result<Results, String> {
        let proxies = self.plan.proxies.iter().filter(|proxy| scenario.fits(proxy.kind));
        let rows: Vec<(&Proxy, &'static Row)> = proxies
            .flat_map(|proxy| scenario.rows().iter().map(move |row| (proxy, row)))
            .filter(|(proxy, row)| row.fits(proxy.kind))
            .collect();
        let contender = |&(proxy, row): &(&Proxy, _)| Contender { kind: proxy.kind, row };
        let contenders: Vec<Contender> = rows.iter().map(contender).collect();
        let mut results = Results { scenario, contenders, turns: Vec::new() };
        let rate = match scenario.work {
            Work::Latency { connections } => self.common_rate(connections)?,
            _ => 0.0,
        };
        for round in 1..=self.plan.rounds {
            let mut turns = Vec::new();
            for (row, contender) in rows.iter().zip(&results.contenders) {
                let place = || format!("{}, round {round}, {contender}", scenario.name);
                let turn = self.take_turn(scenario, *row, rate).map_err(|e| format!("{}: {e}", place()))?;
                eprintln!("{}: {turn}", place());
                turns.push(turn);
            }
            results.turns.push(turns);
        }
        Ok(results)
    }

    fn take_turn(
        &self,
        scenario: &Scenario,
        (proxy, row): (&Proxy, &'static Row),
        rate: f64,
    ) -> Result<Turn, String> {
        interrupt::check()?;
        let site = scenario.is_secure().then_some(&self.site);
        let upstream = Upstream { origin: self.origin, row };
        let mut running = proxy.start(upstream, self.plan.proxy_cpu, self.folder, site)?;
        let turn = match &scenario.work {
            Work::Load(load) => Turn::Load(self.measure_load(load, row, &running)?),
            Work::Growth { load, .. } => Turn::Growth(self.measure_load(load, row, &running)?),
            Work::IdleMemory { connections, http2, .. } => {
                Turn::Memory(idle_memory::measure(&running, *connections, *http2)?)
            }
            Work::Transfer(direction) => {
                Turn::Transfer(transfer::measure(&running, *direction, self.plan.load_cpu, self.folder)?)
            }
            Work::Latency { connections } => Turn::Latency(latency::measure(
                &running,
                (*connections, rate),
                (self.plan.load_cpu, self.plan.seconds),
            )?),
        };
        running.check_alive()?;
        Ok(turn)
    }

    /// Loads the proxy and samples CPU time and served requests at both ends of the measured window.
    fn measure_load(&self, load: &Load, row: &Row, running: &Running) -> Result<LoadFigures, String> {
        let warm_up_s = WARM_UP_S + load.extra_warm_up_s;
        // One second more than the window, so that the client still works when the second sample is taken.
        let seconds = warm_up_s + self.plan.seconds + 1;
        let cpu = self.plan.load_cpu;
        let served_before = self.counts()?.served;
        let generator = Generator::start((load, row.rules), running, seconds, cpu, self.folder)?;
        interrupt::sleep(Duration::from_secs(warm_up_s))?;
        let first = self.sample(running)?;
        interrupt::sleep(Duration::from_secs(self.plan.seconds))?;
        let last = self.sample(running)?;
        let counted = generator.finish()?;
        // wrk accepts redirects; an answer that the origin did not give was made by the proxy.
        let made_up = counted.requests - (self.counts()?.served - served_before);
        if made_up > 0.0 {
            return Err(format!("{made_up} answers did not come from the origin"));
        }
        let requests = last.counts.served - first.counts.served;
        let wall_us = last.wall_us - first.wall_us;
        check_probes(
            last.counts.probed - first.counts.probed,
            row.backends.probes_per_second() * wall_us / 1e6,
        )?;
        if requests < 1.0 {
            return Err("no request was served in the measured window".to_owned());
        }
        let (cpu, health) = (last.cpu - first.cpu, last.health_cpu - first.health_cpu);
        let without_health = cpu - health;
        Ok(LoadFigures {
            user_us: without_health.user_us / requests,
            system_us: without_health.system_us / requests,
            health_us: health.total_us() / requests,
            health_busy: health.total_us() / wall_us,
            requests_per_second: requests / wall_us * 1e6,
            busy: cpu.total_us() / wall_us,
            p50_us: counted.p50_us,
            p99_us: counted.p99_us,
        })
    }

    /// The origin counts the requests, which leaves opening and closing of connections outside the window.
    fn sample(&self, running: &Running) -> Result<Sample, String> {
        let (cpu, health_cpu) = (running.cpu_time(), running.health_cpu_time());
        Ok(Sample { counts: self.counts()?, cpu, health_cpu, wall_us: wall_us() })
    }

    /// What the origin has answered since its start.
    fn counts(&self) -> Result<Counts, String> {
        let text = client::get(self.origin, None, "/served")?;
        let counts = text.split_once(' ').and_then(|(served, probed)| {
            Some(Counts { served: served.parse().ok()?, probed: probed.parse().ok()? })
        });
        counts.ok_or_else(|| format!("the origin served `{text}`"))
    }

    /// 60 % of what the slowest proxy can do, in requests per second.
    fn common_rate(&self, connections: usize) -> Result<f64, String> {
        let load = Load { connections, ..PLAIN };
        let mut slowest = f64::MAX;
        for proxy in &self.plan.proxies {
            let upstream = Upstream { origin: self.origin, row: &ONLY };
            let running = proxy.start(upstream, self.plan.proxy_cpu, self.folder, None)?;
            let figures = self.measure_load(&load, &ONLY, &running);
            let figures = figures.map_err(|e| format!("maximum of {}: {e}", proxy.kind.name()))?;
            slowest = slowest.min(figures.requests_per_second);
        }
        eprintln!("latency: the slowest proxy does {slowest:.0} requests per second");
        Ok(slowest * latency::SHARE_OF_MAXIMUM)
    }
}

impl Display for Contender {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let gap = if self.row.name.is_empty() { "" } else { " " };
        write!(out, "{}{gap}{}", self.kind.name(), self.row.name)
    }
}

struct Sample {
    counts: Counts,
    cpu: CpuTime,
    health_cpu: CpuTime,
    wall_us: f64,
}

struct Counts {
    served: f64,
    probed: f64,
}

/// Only where there are many backends does the origin listen at more than one address.
fn listening_address(plan: &Plan, origin: SocketAddr) -> SocketAddr {
    let mut rows = plan.scenarios.iter().flat_map(|scenario| scenario.rows());
    if rows.any(|row| row.backends.count > 1) {
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), origin.port())
    } else {
        origin
    }
}

/// A proxy that probes much less, or more, than it was told to gives no figure.
fn check_probes(counted: f64, expected: f64) -> Result<(), String> {
    const TOLERANCE: f64 = 0.2;
    if (counted - expected).abs() > expected * TOLERANCE {
        return Err(format!("{counted} probes in the measured window instead of {expected:.0}"));
    }
    Ok(())
}

/// Microseconds since the first call.
fn wall_us() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    now().duration_since(*START.get_or_init(now)).as_secs_f64() * 1e6
}

/// A folder for configurations and logs that is removed at the end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create() -> Result<Folder, String> {
        let path = std::env::temp_dir().join(format!("ringway-bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Folder { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
