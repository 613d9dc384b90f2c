//! The run: every scenario, round by round, one proxy after the other (A B C D A B C D).
//!
//! Every turn starts its proxy afresh, so no turn inherits connections or memory of the one before.

use crate::arguments::Plan;
use crate::client;
use crate::generator::Generator;
use crate::idle_memory;
use crate::interrupt;
use crate::latency;
use crate::proxy::{self, Kind, Proxy, Running};
use crate::scenario::{Load, PLAIN, Scenario, Work};
use crate::site::Site;
use crate::started::Started;
use ringway_bench::now;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What one turn of one proxy gave.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Load(LoadFigures),
    Memory(idle_memory::Figures),
    Latency(latency::Figures),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadFigures {
    /// CPU time of the proxy per request.
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) requests_per_second: f64,
    /// Share of its CPU that the proxy used, 0 to 1.
    pub(crate) busy: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// All turns of a scenario: `turns[round][proxy]`, proxies as in `kinds`.
pub(crate) struct Results {
    pub(crate) scenario: &'static Scenario,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) turns: Vec<Vec<Turn>>,
}

/// What every turn needs.
pub(crate) struct Bench<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) origin: SocketAddr,
    pub(crate) folder: &'a Path,
    /// For the scenarios with HTTPS.
    site: Arc<Site>,
}

/// Seconds before the first sample; caches, pools and branch predictors fill.
const WARM_UP_S: u64 = 1;

pub(crate) fn run(plan: &Plan) -> Result<Vec<Results>, String> {
    let folder = Folder::create()?;
    let origin = proxy::free_address()?;
    let listen = origin.to_string();
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
        let proxies: Vec<&Proxy> =
            self.plan.proxies.iter().filter(|proxy| scenario.fits(proxy.kind)).collect();
        let kinds = proxies.iter().map(|proxy| proxy.kind).collect();
        let mut results = Results { scenario, kinds, turns: Vec::new() };
        let rate = match scenario.work {
            Work::Latency { connections } => self.common_rate(connections)?,
            _ => 0.0,
        };
        for round in 1..=self.plan.rounds {
            let mut turns = Vec::new();
            for proxy in &proxies {
                let name = proxy.kind.name();
                let place = || format!("{}, round {round}, {name}", scenario.name);
                let turn = self.take_turn(scenario, proxy, rate).map_err(|e| format!("{}: {e}", place()))?;
                eprintln!("{}: {turn}", place());
                turns.push(turn);
            }
            results.turns.push(turns);
        }
        Ok(results)
    }

    fn take_turn(&self, scenario: &Scenario, proxy: &Proxy, rate: f64) -> Result<Turn, String> {
        interrupt::check()?;
        let site = scenario.is_secure().then_some(&self.site);
        let mut running = proxy.start(self.origin, self.plan.proxy_cpu, self.folder, site)?;
        let turn = match &scenario.work {
            Work::Load(load) => Turn::Load(self.measure_load(load, &running)?),
            Work::IdleMemory { connections, .. } => {
                Turn::Memory(idle_memory::measure(&running, *connections)?)
            }
            Work::Latency { connections } => {
                Turn::Latency(latency::measure(self, &running, *connections, rate)?)
            }
        };
        running.check_alive()?;
        Ok(turn)
    }

    /// Loads the proxy and samples CPU time and served requests at both ends of the measured window.
    fn measure_load(&self, load: &Load, running: &Running) -> Result<LoadFigures, String> {
        let warm_up_s = WARM_UP_S + load.extra_warm_up_s;
        // One second more than the window, so that the client still works when the second sample is taken.
        let seconds = warm_up_s + self.plan.seconds + 1;
        let cpu = self.plan.load_cpu;
        let served_before = self.served()?;
        let generator = Generator::start(load, running, seconds, cpu, self.folder)?;
        interrupt::sleep(Duration::from_secs(warm_up_s))?;
        let first = self.sample(running)?;
        interrupt::sleep(Duration::from_secs(self.plan.seconds))?;
        let last = self.sample(running)?;
        let counted = generator.finish()?;
        // wrk accepts redirects; an answer that the origin did not give was made by the proxy.
        let made_up = counted.requests - (self.served()? - served_before);
        if made_up > 0.0 {
            return Err(format!("{made_up} answers did not come from the origin"));
        }
        let requests = last.served - first.served;
        let wall_us = last.wall_us - first.wall_us;
        if requests < 1.0 {
            return Err("no request was served in the measured window".to_owned());
        }
        let cpu = last.cpu - first.cpu;
        Ok(LoadFigures {
            user_us: cpu.user_us / requests,
            system_us: cpu.system_us / requests,
            requests_per_second: requests / wall_us * 1e6,
            busy: cpu.total_us() / wall_us,
            p50_us: counted.p50_us,
            p99_us: counted.p99_us,
        })
    }

    /// The origin counts the requests, which leaves opening and closing of connections outside the window.
    fn sample(&self, running: &Running) -> Result<Sample, String> {
        Ok(Sample { served: self.served()?, cpu: running.cpu_time(), wall_us: wall_us() })
    }

    /// Requests that the origin has answered since its start.
    fn served(&self) -> Result<f64, String> {
        let served = client::get(self.origin, None, "/served")?;
        served.trim().parse().map_err(|_| format!("the origin served `{served}` requests"))
    }

    /// 60 % of what the slowest proxy can do, in requests per second.
    fn common_rate(&self, connections: usize) -> Result<f64, String> {
        let load = Load { connections, ..PLAIN };
        let mut slowest = f64::MAX;
        for proxy in &self.plan.proxies {
            let running = proxy.start(self.origin, self.plan.proxy_cpu, self.folder, None)?;
            let figures = self.measure_load(&load, &running);
            let figures = figures.map_err(|e| format!("maximum of {}: {e}", proxy.kind.name()))?;
            slowest = slowest.min(figures.requests_per_second);
        }
        eprintln!("latency: the slowest proxy does {slowest:.0} requests per second");
        Ok(slowest * latency::SHARE_OF_MAXIMUM)
    }
}

struct Sample {
    served: f64,
    cpu: crate::usage::CpuTime,
    wall_us: f64,
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
