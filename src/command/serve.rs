//! What `run`, `demo` and `proxy` share: from a loaded configuration to a serving process.

use crate::command::Exit;
use crate::command::diagnostics;
use crate::config::AccessLogFormat;
use crate::config::Config;
use crate::config::Loaded;
use crate::config::LogDestination;
use crate::control::build;
use crate::control::build::Host;
use crate::control::limits;
use crate::runtime;
use crate::runtime::Plan;
use crate::runtime::RuntimeError;
use crate::telemetry::access_log::Format;
use crate::telemetry::log_writer::Sink;

/// Serves until a signal ends it. `greet` runs once the listeners accept and gets their lines.
pub(super) fn serve(mut loaded: Loaded, greet: impl FnOnce(&[String])) -> Exit {
    let plan = loaded.config.as_ref().and_then(|config| {
        let host = host(config);
        let limit = host.connections;
        build::build(config, &host, &mut loaded.report)
            .map(|snapshot| (Plan::new(config, snapshot, access_log(config)), limit))
    });
    diagnostics::print(&loaded.report);
    let Some((plan, limit)) = plan else { return Exit::ConfigurationInvalid };
    let announce = |lines: &[String]| {
        eprintln!("ringway {}: {}", env!("CARGO_PKG_VERSION"), lines.first().map_or("", String::as_str));
        eprintln!("descriptor limit allows {limit} client connections");
        for line in lines.iter().skip(1) {
            eprintln!("{line}");
        }
        greet(lines);
    };
    match runtime::run(plan, announce) {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                RuntimeError::WorkerDied { .. } => Exit::Failure,
                _ => Exit::CannotStart,
            }
        }
    }
}

fn host(config: &Config) -> Host {
    // Without the answer, assume the traditional limit.
    const TRADITIONAL_LIMIT: u64 = 1024;
    let descriptors = limits::raise_descriptor_limit().unwrap_or(TRADITIONAL_LIMIT);
    Host {
        name: limits::host_name(),
        connections: limits::connections_within(descriptors),
        workers: runtime::worker_count(config.process.workers),
    }
}

fn access_log(config: &Config) -> Option<(Sink, Format)> {
    let log = config.access_log.as_ref()?;
    let sink = match &log.destination {
        LogDestination::Stdout => Sink::Stdout,
        LogDestination::Stderr => Sink::Stderr,
        LogDestination::File(path) => Sink::File(path.clone()),
    };
    let format = match log.format {
        AccessLogFormat::Json => Format::Json,
        AccessLogFormat::Combined => Format::Combined,
    };
    Some((sink, format))
}
