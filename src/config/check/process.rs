//! `[process]`: what is decided once for the whole process.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::config::HealthCpu;
use crate::config::IoDriver;
use crate::config::Location;
use crate::config::NamedFile;
use crate::config::Process;
use crate::config::Workers;
use crate::config::check::address::Resolvers;
use crate::config::check::file_path::File;
use crate::config::check::file_path::Folder;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::FieldValue;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Size;
use crate::config::check::kind::Time;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

const MIB: u64 = 1 << 20;

pub(super) fn process(table: Option<&raw::Table>, output: &mut Output) -> Process {
    let mut section = Section::single("process", table, output);
    let process = Process {
        workers: section.read("workers", &WorkerCount, Workers::Auto),
        pin: section.read("pin", &Boolean, true),
        balance_connections: section.read("balance_connections", &Boolean, true),
        ring_entries: section.read("ring_entries", &Integer(256..=32_768), 4_096),
        io_driver: section.read("io_driver", &IO_DRIVERS, IoDriver::Auto),
        shutdown_delay: section.read(
            "shutdown_delay",
            &Time(Duration::ZERO..=Duration::from_secs(3_600)),
            Duration::ZERO,
        ),
        shutdown_timeout: section.read(
            "shutdown_timeout",
            &Time(Duration::ZERO..=Duration::from_secs(3_600)),
            Duration::from_secs(30),
        ),
        upgrade_drain_timeout: section.read(
            "upgrade_drain_timeout",
            &Time(Duration::ZERO..=Duration::from_secs(86_400)),
            Duration::from_secs(3_600),
        ),
        max_connections: section.read("max_connections", &Integer(0..=10_000_000), 0),
        request_buffer_memory: section.read("request_buffer_memory", &Size(MIB..=64 << 30), 64 * MIB),
        instance_id: section
            .read_optional("instance_id", &FieldValue, "the name of this host is used")
            .map(|(id, _)| id),
        ticket_seed_file: section
            .read_optional("ticket_seed_file", &File, "the keys of session tickets are random")
            .map(|(file, _)| file),
        health_cpu: section.read("health_cpu", &CpuNumber, HealthCpu::Auto),
        resolvers: section.read("resolvers", &Resolvers, Vec::new()),
        state_folder: section.read("state_folder", &Folder, default_state_folder()),
        user: section.read_optional("user", &UserName, "the process runs as whoever starts it"),
        group: section.read_optional("group", &UserName, "that of the user"),
        landlock: section.read("landlock", &Boolean, true),
    };
    if process.user.is_none() {
        section.warn_idle("group", Some("`user` is not set"));
    }
    section.close();
    process
}

/// Where systemd makes a folder with `StateDirectory=ringway`.
fn default_state_folder() -> NamedFile {
    NamedFile { path: PathBuf::from("/var/lib/ringway"), location: Location::default() }
}

const IO_DRIVERS: Choice<IoDriver> = Choice {
    words: &[("auto", IoDriver::Auto), ("io_uring", IoDriver::IoUring), ("epoll", IoDriver::Epoll)],
    aliases: &[],
    later: &[],
};

/// `"auto"` or a number.
struct WorkerCount;

/// Worker threads; hosts have no more CPUs.
const MAX_WORKERS: i128 = 1_024;

impl Kind for WorkerCount {
    type Value = Workers;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Workers> {
        match &raw.kind {
            raw::Kind::Text(text) if text == "auto" => Some(Workers::Auto),
            raw::Kind::Integer(count @ 1..=MAX_WORKERS) => u16::try_from(*count).ok().map(Workers::Count),
            raw::Kind::Integer(_) => {
                let help = "allowed are 1 to 1024, or \"auto\" for one per CPU";
                report.error(raw.location, format!("`{key}` is out of range"), help);
                None
            }
            _ => refuse_kind(key, raw, "\"auto\" or an integer", report),
        }
    }

    fn show(&self, value: &Workers) -> Json {
        match value {
            Workers::Auto => Json::from("auto"),
            Workers::Count(count) => Json::from(*count),
        }
    }

    fn schema(&self) -> Json {
        schema::any_of([schema::words(["auto"]), schema::integer(1..=MAX_WORKERS as u64)])
    }
}

/// `"auto"` or a number.
struct CpuNumber;

/// The highest number of a CPU that the health checker can be pinned to.
const MAX_CPU_NUMBER: i128 = 1_023;

impl Kind for CpuNumber {
    type Value = HealthCpu;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<HealthCpu> {
        match &raw.kind {
            raw::Kind::Text(text) if text == "auto" => Some(HealthCpu::Auto),
            raw::Kind::Integer(number @ 0..=MAX_CPU_NUMBER) => {
                u16::try_from(*number).ok().map(HealthCpu::Cpu)
            }
            raw::Kind::Integer(_) => {
                let help = "allowed are 0 to 1023, or \"auto\"";
                report.error(raw.location, format!("`{key}` is out of range"), help);
                None
            }
            _ => refuse_kind(key, raw, "\"auto\" or an integer", report),
        }
    }

    fn show(&self, value: &HealthCpu) -> Json {
        match value {
            HealthCpu::Auto => Json::from("auto"),
            HealthCpu::Cpu(number) => Json::from(*number),
        }
    }

    fn schema(&self) -> Json {
        schema::any_of([schema::words(["auto"]), schema::integer(0..=MAX_CPU_NUMBER as u64)])
    }
}

/// The name of a user or group of the host, which is looked up elsewhere.
struct UserName;

/// What useradd(8) allows.
const MAX_USER_NAME: usize = 32;

impl Kind for UserName {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a name such as \"ringway\"", report);
        };
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte);
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty()
            || text.len() > MAX_USER_NAME
            || is_number
            || text.starts_with('-')
            || !text.bytes().all(is_usual)
        {
            let help = "write its name, such as \"ringway\": at most 32 letters, digits, `-`, `_`, `.`, and not digits only";
            report.error(raw.location, format!("`{key}` is not a name of this host"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=MAX_USER_NAME)
    }
}
