//! A configuration put together by what a test cares about.

use super::backend::Backend;
use super::ringway::Ringway;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use super::message::Head;

/// One listener `web`, one group `app`; everything else is added line by line.
#[derive(Clone)]
pub(crate) struct Scenario {
    workers: usize,
    process: String,
    address: String,
    listener: String,
    forwarded: String,
    group: String,
    backends: String,
    access_log: Option<&'static str>,
}

impl Scenario {
    pub(crate) fn new() -> Scenario {
        Scenario {
            workers: 1,
            process: String::new(),
            address: "\"127.0.0.1:0\"".to_owned(),
            listener: String::new(),
            forwarded: String::new(),
            group: String::new(),
            backends: String::new(),
            access_log: None,
        }
    }

    /// In front of this backend.
    pub(crate) fn of(backend: &Backend) -> Scenario {
        Scenario::new().backend(backend.address())
    }

    pub(crate) fn workers(mut self, workers: usize) -> Scenario {
        self.workers = workers;
        self
    }

    /// A TOML string or list of them.
    pub(crate) fn address(mut self, address: &str) -> Scenario {
        address.clone_into(&mut self.address);
        self
    }

    /// Adds a line to `[process]`.
    pub(crate) fn process(mut self, line: &str) -> Scenario {
        self.process += &format!("{line}\n");
        self
    }

    /// Adds a line to the listener.
    pub(crate) fn listener(mut self, line: &str) -> Scenario {
        self.listener += &format!("{line}\n");
        self
    }

    /// Adds a line to `[listener.forwarded]`.
    pub(crate) fn forwarded(mut self, line: &str) -> Scenario {
        self.forwarded += &format!("{line}\n");
        self
    }

    /// Adds a line to the group.
    pub(crate) fn group(mut self, line: &str) -> Scenario {
        self.group += &format!("{line}\n");
        self
    }

    pub(crate) fn backend(self, address: SocketAddr) -> Scenario {
        self.backend_at(&address.to_string(), 100)
    }

    pub(crate) fn backend_at(mut self, address: &str, weight: u8) -> Scenario {
        self.backends += &format!("[[server_group.backend]]\naddress = \"{address}\"\nweight = {weight}\n");
        self
    }

    /// Writes the access log to `access.log` in the folder of the configuration.
    pub(crate) fn logged(mut self, format: &'static str) -> Scenario {
        self.access_log = Some(format);
        self
    }

    pub(crate) fn start(&self) -> Ringway {
        Ringway::start(&self.text())
    }

    pub(crate) fn text(&self) -> String {
        let log = self
            .access_log
            .map(|format| format!("[access_log]\npath = \"access.log\"\nformat = \"{format}\"\n"));
        format!(
            "config_version = 1\n[process]\nworkers = {}\npin = false\n{}{}\
             [[listener]]\nname = \"web\"\naddress = {}\nprotocol = \"http\"\ndefault_group = \"app\"\n{}\
             [listener.forwarded]\n{}[[server_group]]\nname = \"app\"\nprotocol = \"http\"\n{}{}",
            self.workers,
            self.process,
            log.unwrap_or_default(),
            self.address,
            self.listener,
            self.forwarded,
            self.group,
            self.backends,
        )
    }
}

/// A backend that answers each request with 200 and `ok`, and tells what it got.
pub(crate) fn recording() -> (Backend, Receiver<(Head, Vec<u8>)>) {
    let (sender, received) = channel();
    let backend = Backend::per_request(move |peer, head, body| {
        sender.send((head.clone(), body.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        peer.respond("200 OK", b"ok")
    });
    (backend, received)
}

/// The lines of `access.log` once there are at least `count`.
pub(crate) fn log_lines(ringway: &Ringway, count: usize) -> Vec<String> {
    let path = ringway.folder().join("access.log");
    let lines = super::clock::within(super::clock::PATIENCE, || {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    });
    lines.unwrap_or_else(|| panic!("{count} lines in {:?}", std::fs::read_to_string(&path)))
}

/// The same, parsed.
pub(crate) fn log_entries(ringway: &Ringway, count: usize) -> Vec<serde_json::Value> {
    let lines = log_lines(ringway, count);
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
