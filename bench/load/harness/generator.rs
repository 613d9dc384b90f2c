//! The client that makes the requests: wrk, which tells what it counted through a script of ours, or a client of our own.

use crate::figures::Counted;
use crate::h2load::H2load;
use crate::handshakes::{Extent, Handshakes};
use crate::proxy::Running;
use crate::rules::{Asked, Rules};
use crate::scenario::{Client, Load};
use crate::started::Started;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A client at work.
pub(crate) enum Generator {
    Wrk(Wrk),
    Handshakes(Handshakes),
    H2load(H2load),
}

/// wrk at work.
pub(crate) struct Wrk {
    process: Started,
    results: PathBuf,
    seconds: u64,
}

/// How long one answer may take before wrk calls it an error.
const ANSWER_BOUND: &str = "10s";

impl Generator {
    pub(crate) fn start(
        (load, rules): (&Load, Rules),
        running: &Running,
        seconds: u64,
        cpu: usize,
        folder: &Path,
    ) -> Result<Generator, String> {
        match load.client {
            Client::Wrk => Wrk::start((load, rules), running, (seconds, cpu), folder).map(Generator::Wrk),
            Client::Handshakes(kind) => {
                let site = running.site.as_ref().ok_or("handshakes need HTTPS")?;
                let extent = Extent { connections: load.connections, seconds, cpu };
                Handshakes::start(kind, running.address, site, &extent).map(Generator::Handshakes)
            }
            Client::H2load { streams } => {
                H2load::start(load, streams, running, (seconds, cpu), folder).map(Generator::H2load)
            }
        }
    }

    /// Waits for the end. Any answer that is not good and any socket error is an error here.
    pub(crate) fn finish(self) -> Result<Counted, String> {
        match self {
            Generator::Wrk(wrk) => wrk.finish(),
            Generator::Handshakes(handshakes) => handshakes.finish(),
            Generator::H2load(h2load) => h2load.finish(),
        }
    }
}

impl Wrk {
    fn start(
        (load, rules): (&Load, Rules),
        running: &Running,
        (seconds, cpu): (u64, usize),
        folder: &Path,
    ) -> Result<Wrk, String> {
        let script = folder.join("wrk.lua");
        let results = folder.join("wrk.results");
        // The file of the turn before must not be taken for this one.
        let _ = fs::remove_file(&results);
        fs::write(&script, script_for(load, &results)).map_err(|e| format!("{}: {e}", script.display()))?;
        let (connections, duration) = (load.connections.to_string(), format!("{seconds}s"));
        let scheme = if load.secure { "https" } else { "http" };
        let Asked { host, path } = rules.asked();
        let path = if rules == Rules::None { load.path } else { &path };
        let url = format!("{scheme}://{}{path}", running.address);
        let script = script.display().to_string();
        let mut arguments = vec!["-t", "1", "-c", &connections, "-d", &duration, "--timeout", ANSWER_BOUND];
        arguments.extend(["-s", &script]);
        if load.close {
            arguments.extend(["-H", "Connection: close"]);
        }
        let host = host.map(|host| format!("Host: {host}"));
        if let Some(host) = &host {
            arguments.extend(["-H", host]);
        }
        arguments.push(&url);
        let process = Started::on_cpu(cpu, Path::new("/usr/bin/wrk"), &arguments, folder)?;
        Ok(Wrk { process, results, seconds })
    }

    /// Waits for the end. Any status above 399 and any socket error is an error here.
    fn finish(mut self) -> Result<Counted, String> {
        let status = self.process.finish(Duration::from_secs(self.seconds + 20))?;
        if !status.success() {
            return Err(self.process.failure(&format!("ended with {status}")));
        }
        let text =
            fs::read_to_string(&self.results).map_err(|e| format!("reading the results of wrk: {e}"))?;
        parse(&text)
    }
}

/// The script sets the request and, at the end, writes the counts to a file that is easy to read.
fn script_for(load: &Load, results: &Path) -> String {
    let post = if load.post_bytes == 0 {
        String::new()
    } else {
        format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {})\n", load.post_bytes)
    };
    format!(
        r#"{post}
function done(summary, latency, requests)
  local e = summary.errors
  local file = assert(io.open("{}", "w"))
  file:write(string.format("requests %d\nconnect %d\nread %d\nwrite %d\nstatus %d\ntimeout %d\np50 %d\np99 %d\n",
    summary.requests, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99)))
  file:close()
end
"#,
        results.display()
    )
}

fn parse(text: &str) -> Result<Counted, String> {
    let number = |name: &str| -> Result<f64, String> {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| format!("wrk said nothing of `{name}`"))
    };
    let mut wrong = Vec::new();
    for (name, meaning) in [
        ("connect", "failed connects"),
        ("read", "failed reads"),
        ("write", "failed writes"),
        ("status", "answers with a status above 399"),
        ("timeout", "answers that came too late"),
    ] {
        let count = number(name)?;
        if count > 0.0 {
            wrong.push(format!("{count} {meaning}"));
        }
    }
    let requests = number("requests")?;
    if requests < 1.0 {
        wrong.push("no request was answered".to_owned());
    }
    if !wrong.is_empty() {
        return Err(format!("wrk counted {}", wrong.join(", ")));
    }
    Ok(Counted { requests, p50_us: number("p50")?, p99_us: number("p99")? })
}

#[cfg(test)]
mod tests {
    use super::{Counted, parse};

    #[test]
    fn errors_of_the_generator_fail_the_run() {
        let good = "requests 10\nconnect 0\nread 0\nwrite 0\nstatus 0\ntimeout 0\np50 100\np99 200\n";
        assert_eq!(parse(good), Ok(Counted { requests: 10.0, p50_us: 100.0, p99_us: 200.0 }));
        let bad = good.replace("status 0", "status 3").replace("read 0", "read 1");
        assert_eq!(
            parse(&bad),
            Err("wrk counted 1 failed reads, 3 answers with a status above 399".to_owned())
        );
        assert!(parse("").is_err());
    }
}
