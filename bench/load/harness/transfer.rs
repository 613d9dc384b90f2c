//! One GiB down or up over one stream of HTTP/2, by curl.

use crate::figures::LoadFigures;
use crate::interrupt;
use crate::proxy::Running;
use crate::started::Started;
use ringway_bench::now;
use ringway_bench::site::NAME;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Download,
    Upload,
}

const BYTES: u64 = 1 << 30;
pub(crate) const PROGRAM: &str = "/usr/bin/curl";
const BOUND: Duration = Duration::from_secs(60);

/// What the proxy used per MiB, in the place of a request.
pub(crate) fn measure(
    running: &Running,
    direction: Direction,
    cpu: usize,
    folder: &Path,
) -> Result<LoadFigures, String> {
    let port = running.address.port();
    let resolve = format!("{NAME}:{port}:{}", running.address.ip());
    let source = folder.join("gibibyte").display().to_string();
    let mut arguments =
        vec!["--silent", "--show-error", "--fail", "--insecure", "--http2", "--resolve", &resolve];
    arguments.extend(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}\n"]);
    let path = match direction {
        Direction::Download => format!("/bytes/{BYTES}"),
        Direction::Upload => {
            // Without blocks on the disk: reading it costs as little as can be.
            let file = File::create(&source).and_then(|file| file.set_len(BYTES));
            file.map_err(|e| format!("{source}: {e}"))?;
            arguments.extend(["--header", "Expect:", "--request", "POST", "--upload-file", &source]);
            "/".to_owned()
        }
    };
    let url = format!("https://{NAME}:{port}{path}");
    arguments.push(&url);
    let log = folder.join("curl.log");
    let _ = std::fs::remove_file(&log);
    interrupt::check()?;
    let (cpu_before, health_before, start) = (running.cpu_time(), running.health_cpu_time(), now());
    let mut process = Started::on_cpu(cpu, Path::new(PROGRAM), &arguments, folder)?;
    let status = process.finish(BOUND)?;
    let wall_us = start.elapsed().as_secs_f64() * 1e6;
    let (cpu, health) = (running.cpu_time() - cpu_before, running.health_cpu_time() - health_before);
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    if !status.success() || said.trim() != "2 200" {
        return Err(process.failure(&format!("ended with {status}")));
    }
    let mebibytes = (BYTES >> 20) as f64;
    let own = cpu - health;
    Ok(LoadFigures {
        user_us: own.user_us / mebibytes,
        system_us: own.system_us / mebibytes,
        health_us: health.total_us() / mebibytes,
        health_busy: health.total_us() / wall_us,
        requests_per_second: mebibytes / wall_us * 1e6,
        busy: cpu.total_us() / wall_us,
        p50_us: 0.0,
        p99_us: 0.0,
    })
}
