//! Datagrams through Ringway and through nginx's stream module: CPU time of the proxy for each question with its answer,
//! and Ringway's memory for each session.
//!
//! Both run with one worker, by turns, so that what else the host does meets both alike. The origin sends back what it
//! gets; the client asks on as many sockets as there are to be sessions, a burst at a time.

use ringway_bench::measured::{MeasuredProxy, least_and_middle};
use ringway_bench::now;
use ringway_bench::options::Options;
use ringway_bench::process;
use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn main() {
    if let Err(message) = start() {
        eprintln!("bench-udp: {message}");
        eprintln!(
            "usage: bench-udp [--ringway PATH] [--nginx PATH --module PATH] [--sessions N] [--bytes N] [--burst N] \
             [--seconds N] [--rounds N]"
        );
        std::process::exit(2);
    }
}

struct Plan {
    ringway: PathBuf,
    nginx: Option<PathBuf>,
    module: Option<PathBuf>,
    sessions: usize,
    /// Of each datagram.
    bytes: usize,
    /// Questions that are under way at a time.
    burst: usize,
    /// Of each round.
    time: Duration,
    rounds: usize,
}

fn start() -> Result<(), String> {
    let plan = plan()?;
    process::raise_descriptor_limit().map_err(|e| format!("raising the descriptor limit: {e}"))?;
    let origin = origin().map_err(|e| format!("starting the origin: {e}"))?;
    let folder = std::env::temp_dir().join(format!("bench-udp-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|e| format!("making {}: {e}", folder.display()))?;
    let measured = measure(&plan, origin, &folder);
    drop(fs::remove_dir_all(&folder));
    measured
}

fn plan() -> Result<Plan, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut plan = Plan {
        ringway: own.with_file_name("ringway"),
        nginx: None,
        module: None,
        sessions: 100,
        bytes: 512,
        burst: 32,
        time: Duration::from_secs(2),
        rounds: 5,
    };
    let mut options = Options::of_process();
    while let Some(name) = options.next_name()? {
        match name.as_str() {
            "ringway" => plan.ringway = options.value(&name)?,
            "nginx" => plan.nginx = Some(options.value(&name)?),
            "module" => plan.module = Some(options.value(&name)?),
            "sessions" => plan.sessions = options.value(&name)?,
            "bytes" => plan.bytes = options.value(&name)?,
            "burst" => plan.burst = options.value(&name)?,
            "seconds" => plan.time = Duration::from_secs(options.value(&name)?),
            "rounds" => plan.rounds = options.value(&name)?,
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    if plan.sessions == 0 || plan.burst == 0 || plan.bytes > 60_000 {
        return Err(
            "at least one session, one question at a time, and datagrams of up to 60000 bytes".to_owned()
        );
    }
    Ok(plan)
}

/// Sends back what it gets, on a thread that lasts as long as this process.
fn origin() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // Whoever has gone wants none.
            drop(socket.send_to(&buffer[..length], from));
        }
    });
    Ok(address)
}

/// A proxy with its clients.
struct Proxy {
    process: MeasuredProxy,
    address: SocketAddr,
    clients: Vec<UdpSocket>,
}

fn measure(plan: &Plan, origin: SocketAddr, folder: &Path) -> Result<(), String> {
    let mut proxies = vec![ringway(plan, origin, folder)?];
    if let Some(nginx) = &plan.nginx {
        proxies.push(self::nginx(nginx, plan, origin, folder)?);
    }
    for proxy in &mut proxies {
        let before = proxy.process.resident_kib();
        proxy.open(plan.sessions)?;
        // Every session is opened by its first question.
        proxy.ask_all(plan, 0)?;
        let after = proxy.process.resident_kib();
        let each = (after.saturating_sub(before) * 1024) as f64 / plan.sessions as f64;
        println!(
            "{:<8} {} sessions: {before} KiB, then {after} KiB: {each:.0} bytes each",
            proxy.process.name, plan.sessions
        );
    }
    let mut costs: Vec<Vec<f64>> = proxies.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for (proxy, costs) in proxies.iter().zip(&mut costs) {
            costs.push(proxy.round(plan)?);
        }
    }
    for (proxy, costs) in proxies.iter().zip(costs) {
        let (least, middle) = least_and_middle(costs);
        println!(
            "{:<8} CPU for a question and its answer: {middle:.2} µs (least {least:.2})",
            proxy.process.name
        );
    }
    Ok(())
}

impl Proxy {
    fn open(&mut self, sessions: usize) -> Result<(), String> {
        for index in 0..sessions {
            // More clients than one address has ports come from several.
            let from = format!("127.0.0.{}:0", 1 + index / 20_000);
            let socket = UdpSocket::bind(from).and_then(|socket| {
                socket.connect(self.address)?;
                socket.set_read_timeout(Some(Duration::from_secs(1)))?;
                Ok(socket)
            });
            self.clients.push(socket.map_err(|e| format!("opening client {index}: {e}"))?);
        }
        Ok(())
    }

    /// Lets a burst of clients ask, from this one on, and waits for all answers; gives how many came.
    fn burst(&self, plan: &Plan, first: usize, buffer: &mut [u8]) -> usize {
        let clients = || (0..plan.burst).filter_map(|at| self.clients.get((first + at) % self.clients.len()));
        let question = vec![b'q'; plan.bytes];
        clients().for_each(|client| drop(client.send(&question)));
        clients().filter(|client| client.recv(buffer).is_ok_and(|length| length == plan.bytes)).count()
    }

    fn ask_all(&self, plan: &Plan, begin: usize) -> Result<(), String> {
        let mut buffer = vec![0; 65_536];
        let bursts = self.clients.len().div_ceil(plan.burst);
        let came: usize = (0..bursts).map(|at| self.burst(plan, begin + at * plan.burst, &mut buffer)).sum();
        if came < self.clients.len() { Err(format!("{}: {came} answers", self.process.name)) } else { Ok(()) }
    }

    /// CPU time of the proxy for each pair, in microseconds.
    fn round(&self, plan: &Plan) -> Result<f64, String> {
        let mut buffer = vec![0; 65_536];
        let (mut pairs, mut lost, mut at) = (0_usize, 0_usize, 0_usize);
        let (cpu, end) = (self.process.cpu_ns(), now() + plan.time);
        while now() < end {
            let came = self.burst(plan, at, &mut buffer);
            at += plan.burst;
            pairs += came;
            lost += plan.burst - came;
        }
        if pairs == 0 || lost > pairs / 100 {
            return Err(format!("{}: {lost} of {} questions were lost", self.process.name, pairs + lost));
        }
        Ok((self.process.cpu_ns() - cpu) as f64 / 1_000.0 / pairs as f64)
    }
}

/// A port that is free at this moment.
fn free_port() -> Result<SocketAddr, String> {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(|e| e.to_string())
}

fn ringway(plan: &Plan, origin: SocketAddr, folder: &Path) -> Result<Proxy, String> {
    let address = free_port()?;
    let file = folder.join("ringway.toml");
    let text = format!(
        "config_version = 1\n[process]\nworkers = 1\n[[listener]]\nname = \"u\"\naddress = \"{address}\"\n\
         protocol = \"udp\"\ndefault_group = \"o\"\nidle_timeout = \"600s\"\n[[server_group]]\nname = \"o\"\n\
         protocol = \"udp\"\n[[server_group.backend]]\naddress = \"{origin}\"\n"
    );
    fs::write(&file, text).map_err(|e| e.to_string())?;
    let mut command = Command::new(&plan.ringway);
    command.args(["run", "-c"]).arg(file);
    begin("ringway", command, address)
}

fn nginx(nginx: &Path, plan: &Plan, origin: SocketAddr, folder: &Path) -> Result<Proxy, String> {
    let address = free_port()?;
    let file = folder.join("nginx.conf");
    let module =
        plan.module.as_ref().map_or(String::new(), |module| format!("load_module {};", module.display()));
    let text = format!(
        "{module}\nworker_processes 1;\ndaemon off;\nmaster_process off;\nerror_log {0}/error.log;\npid {0}/nginx.pid;\n\
         worker_rlimit_nofile 200000;\nevents {{ worker_connections 100000; }}\n\
         stream {{ upstream o {{ server {origin}; }} server {{ listen {address} udp rcvbuf=4m sndbuf=4m; \
         proxy_pass o; proxy_timeout 600s; }} }}\n",
        folder.display()
    );
    fs::write(&file, text).map_err(|e| e.to_string())?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(folder).arg("-c").arg(file);
    begin("nginx", command, address)
}

fn begin(name: &'static str, command: Command, address: SocketAddr) -> Result<Proxy, String> {
    let proxy = Proxy { process: MeasuredProxy::start(name, command)?, address, clients: Vec::new() };
    let probe = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    probe.set_read_timeout(Some(Duration::from_millis(100))).map_err(|e| e.to_string())?;
    for _ in 0..100 {
        drop(probe.send_to(b"x", address));
        if probe.recv(&mut [0; 8]).is_ok() {
            return Ok(proxy);
        }
    }
    Err(format!("{name} does not answer at {address}"))
}
