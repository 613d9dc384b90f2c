//! h2load, which makes requests of HTTP/2: several streams at a time on each connection.

use crate::figures::Counted;
use crate::proxy::Running;
use crate::scenario::Load;
use crate::started::Started;
use ringway_bench::site::NAME;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// h2load at work.
pub(crate) struct H2load {
    process: Started,
    /// What it says at its end; that of turns before stands in front.
    said: PathBuf,
    /// A line for each request: when, its status, how long it took.
    requests: PathBuf,
    seconds: u64,
}

pub(crate) const PROGRAM: &str = "/usr/bin/h2load";

impl H2load {
    pub(crate) fn start(
        load: &Load,
        streams: usize,
        running: &Running,
        (seconds, cpu): (u64, usize),
        folder: &Path,
    ) -> Result<H2load, String> {
        let requests = folder.join("h2load.requests");
        let _ = fs::remove_file(&requests);
        let arguments = [
            format!("--clients={}", load.connections),
            format!("--max-concurrent-streams={streams}"),
            format!("--duration={seconds}"),
            "--threads=1".to_owned(),
            format!("--log-file={}", requests.display()),
            format!("--connect-to={}", running.address),
            format!("https://{NAME}:{}{}", running.address.port(), load.path),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = Started::on_cpu(cpu, Path::new(PROGRAM), &arguments, folder)?;
        Ok(H2load { process, said: folder.join("h2load.log"), requests, seconds })
    }

    /// Waits for the end. Any status but 2xx and any stream or connection that failed is an error here.
    pub(crate) fn finish(mut self) -> Result<Counted, String> {
        let status = self.process.finish(Duration::from_secs(self.seconds + 20))?;
        if !status.success() {
            return Err(self.process.failure(&format!("ended with {status}")));
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let requests = count(&read(&self.said)?)?;
        let mut took: Vec<f64> = read(&self.requests)?.lines().filter_map(duration_us).collect();
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied();
        let (p50_us, p99_us) = at(0.5).zip(at(0.99)).ok_or("h2load told of no request")?;
        Ok(Counted { requests, p50_us, p99_us })
    }
}

fn duration_us(line: &str) -> Option<f64> {
    line.split('\t').nth(2)?.parse().ok()
}

/// The requests of the last run in this text.
fn count(said: &str) -> Result<f64, String> {
    let last = said.rfind("\nrequests: ").ok_or("h2load counted nothing")?;
    let mut lines = said[last + 1..].lines();
    let number = |line: &str, word: &str| -> Option<f64> {
        let before = line.split(word).next()?.trim_end();
        before.rsplit([' ', ',']).next()?.parse().ok()
    };
    let (counts, codes) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let succeeded = number(counts, "succeeded").ok_or_else(|| format!("h2load said `{counts}`"))?;
    let wrong = ["failed", "errored", "timeout"].map(|word| number(counts, word));
    let other_codes = ["3xx", "4xx", "5xx"].map(|word| number(codes, word));
    if succeeded < 1.0 || wrong.iter().chain(&other_codes).any(|count| *count != Some(0.0)) {
        return Err(format!("h2load counted `{counts}` and `{codes}`"));
    }
    Ok(succeeded)
}

#[cfg(test)]
mod tests {
    use super::{count, duration_us};

    #[test]
    fn only_a_run_without_errors_counts() {
        let good = "requests: 7 total\n\nfinished in 1s, 7.00 req/s, 1KB/s\n\
            requests: 4321 total, 4400 started, 4321 done, 4321 succeeded, 0 failed, 0 errored, 0 timeout\n\
            status codes: 4321 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        assert_eq!(count(good), Ok(4321.0));
        assert!(count(&good.replace("0 errored", "3 errored")).is_err());
        assert!(count(&good.replace("0 4xx", "1 4xx")).is_err());
        assert!(count(&good.replace("4321 succeeded", "0 succeeded")).is_err());
        assert!(count("").is_err());
        assert_eq!(duration_us("1700000000000000\t200\t512"), Some(512.0));
    }
}
