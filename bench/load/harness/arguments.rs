//! The command line of the harness: what to measure, how long, with which programs.

use crate::h2load;
use crate::proxy::Proxy;
use crate::proxy_kind::Kind;
use crate::scenario::{SCENARIOS, Scenario};
use crate::transfer;
use ringway_bench::options::Options;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: scripts/bench [options]

  --scenario NAME[,NAME…]  what to measure (default: all)
                           keepalive-64 keepalive-1000 keepalive-8000 one-mebibyte new-connections post-4k
                           idle-memory latency https-keepalive-64 https-one-mebibyte https-handshake-full
                           https-handshake-resumed https-idle-memory
                           http2-64x16 http2-1x100 http2-download http2-upload http2-idle-memory
                           backends (the cost as backends grow, from 2 to 1,000)
                           rules (the cost of rules and limits, beside the peers')
                           logs (the cost of metrics and access logs, beside the peers')
  --proxies NAME[,NAME…]   which proxies, in this order (default: ringway,nginx,haproxy,h2o,relay);
                           h2o takes part with HTTP/2 only
  --ringway PATH           the binary to measure (default: target/release/ringway)
  --baseline PATH          another Ringway binary to compare with, shown as ringway-before
  --rounds N               interleaved rounds (default: 5)
  --seconds N              measured seconds per proxy and round (default: 4), after one second of warm-up
  --proxy-cpu N            CPU of the proxy (default: 0)
  --load-cpu N             CPU of the load generator and the origin (default: 1)
  --write                  put the tables into docs/benchmarks.md
  --help                   this text
";

pub(crate) struct Plan {
    pub(crate) scenarios: Vec<&'static Scenario>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) proxy_cpu: usize,
    pub(crate) load_cpu: usize,
    pub(crate) write: bool,
    /// Where bench-origin and bench-relay are: beside this program.
    pub(crate) programs: PathBuf,
}

impl Plan {
    /// The plan that the command line asks for; `None` when it asks for help.
    pub(crate) fn of_process() -> Result<Option<Plan>, String> {
        let own = std::env::current_exe().map_err(|e| format!("finding this program: {e}"))?;
        let programs = own.parent().map(PathBuf::from).unwrap_or_default();
        Plan::parse(Options::of_process(), programs)
    }

    fn parse(mut options: Options, programs: PathBuf) -> Result<Option<Plan>, String> {
        let mut kinds = vec![Kind::Ringway, Kind::Nginx, Kind::Haproxy, Kind::H2o, Kind::Relay];
        let mut ringway = programs.join("ringway");
        let mut baseline = None;
        let mut plan = Plan {
            scenarios: SCENARIOS.iter().collect(),
            proxies: Vec::new(),
            rounds: 5,
            seconds: 4,
            proxy_cpu: 0,
            load_cpu: 1,
            write: false,
            programs,
        };
        while let Some(name) = options.next_name()? {
            match name.as_str() {
                "scenario" => plan.scenarios = list(&options.value::<String>(&name)?, scenario_named)?,
                "proxies" => kinds = list(&options.value::<String>(&name)?, Kind::named)?,
                "ringway" => ringway = options.value(&name)?,
                "baseline" => baseline = Some(options.value::<PathBuf>(&name)?),
                "rounds" => plan.rounds = options.value(&name)?,
                "seconds" => plan.seconds = options.value(&name)?,
                "proxy-cpu" => plan.proxy_cpu = options.value(&name)?,
                "load-cpu" => plan.load_cpu = options.value(&name)?,
                "write" => plan.write = true,
                "help" => return Ok(None),
                _ => return Err(format!("unknown option --{name}")),
            }
        }
        if baseline.is_some() && !kinds.contains(&Kind::RingwayBefore) {
            kinds.insert(0, Kind::RingwayBefore);
        }
        if plan.rounds == 0 || plan.seconds == 0 {
            return Err("--rounds and --seconds must be at least 1".to_owned());
        }
        for kind in kinds {
            let program = match kind {
                Kind::Ringway => ringway.clone(),
                Kind::RingwayBefore => baseline.clone().ok_or("ringway-before needs --baseline PATH")?,
                Kind::Nginx => PathBuf::from("/usr/sbin/nginx"),
                Kind::Haproxy => PathBuf::from("/usr/sbin/haproxy"),
                Kind::H2o => PathBuf::from("/usr/bin/h2o"),
                Kind::Relay => plan.programs.join("bench-relay"),
            };
            if plan.scenarios.iter().any(|scenario| scenario.fits(kind)) {
                plan.proxies.push(Proxy { kind, program });
            }
        }
        plan.check_programs()?;
        Ok(Some(plan))
    }

    /// Says what is missing, and how to get it, before anything starts.
    fn check_programs(&self) -> Result<(), String> {
        let mut needed = vec![(PathBuf::from("/usr/bin/wrk"), "apt-get install wrk")];
        needed.push((PathBuf::from("/usr/bin/taskset"), "apt-get install util-linux"));
        needed.push((self.programs.join("bench-origin"), "cargo build --release -p ringway-bench"));
        if self.scenarios.iter().any(|scenario| scenario.is_http2()) {
            needed.push((PathBuf::from(h2load::PROGRAM), "apt-get install nghttp2-client"));
            needed.push((PathBuf::from(transfer::PROGRAM), "apt-get install curl"));
        }
        for proxy in &self.proxies {
            needed.push((proxy.program.clone(), proxy.kind.how_to_get()));
        }
        let missing = needed.iter().filter(|(program, _)| !program.exists());
        let lines: Vec<String> =
            missing.map(|(program, remedy)| format!("{} is missing: {remedy}", program.display())).collect();
        if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
    }
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(parse).collect()
}

fn scenario_named(name: &str) -> Result<&'static Scenario, String> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| format!("no scenario `{name}`"))
}
