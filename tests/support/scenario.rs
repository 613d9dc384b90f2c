//! A configuration put together by what a test cares about.

use super::backend::Backend;
use super::ringway::Ringway;
use super::tls::Pair;
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
    /// Tables of the group, such as `[server_group.health_check]`.
    group_tables: String,
    backends: String,
    access_log: Option<&'static str>,
    /// Further lines of `[access_log]`.
    log: String,
    /// Names of the listener's certificates; none in cleartext.
    certificates: Vec<String>,
    client_auth: String,
    group_protocol: &'static str,
    group_tls: String,
    /// Further tables.
    tables: String,
    /// Files beside the configuration.
    files: Vec<(String, String)>,
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
            group_tables: String::new(),
            backends: String::new(),
            access_log: None,
            log: String::new(),
            certificates: Vec::new(),
            client_auth: String::new(),
            group_protocol: "http",
            group_tls: String::new(),
            tables: String::new(),
            files: Vec::new(),
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

    /// Adds a table of the group, such as `[server_group.sticky]`, with its lines.
    pub(crate) fn group_table(mut self, table: &str) -> Scenario {
        self.group_tables += &format!("{table}\n");
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

    /// Adds a line to `[access_log]`.
    pub(crate) fn log(mut self, line: &str) -> Scenario {
        self.log += &format!("{line}\n");
        self
    }

    /// A listener for HTTPS with one more certificate, which is in `NAME.crt` and `NAME.key`.
    pub(crate) fn certificate(mut self, name: &str, pair: &Pair) -> Scenario {
        self.certificates.push(name.to_owned());
        self.known_certificate(name, pair)
    }

    /// A certificate that the listener does not show.
    pub(crate) fn known_certificate(self, name: &str, pair: &Pair) -> Scenario {
        let table =
            format!("[[certificate]]\nname = \"{name}\"\nchain = \"{name}.crt\"\nkey = \"{name}.key\"");
        self.file(&format!("{name}.crt"), &pair.certificate)
            .file(&format!("{name}.key"), &pair.key)
            .table(&table)
    }

    /// A CA in `NAME.crt`, with a revocation list in `NAME.crl` if there is one.
    pub(crate) fn authority(self, name: &str, bundle: &str, list: Option<&str>) -> Scenario {
        let table = format!("[[ca]]\nname = \"{name}\"\nbundle = \"{name}.crt\"");
        let scenario = self.file(&format!("{name}.crt"), bundle);
        match list {
            Some(list) => {
                scenario.file(&format!("{name}.crl"), list).table(&format!("{table}\ncrl = [\"{name}.crl\"]"))
            }
            None => scenario.table(&table),
        }
    }

    /// Whether clients show certificates, and whose are good.
    pub(crate) fn client_auth(mut self, mode: &str, authority: &str) -> Scenario {
        self.client_auth = format!("[listener.client_auth]\nmode = \"{mode}\"\nca = [\"{authority}\"]\n");
        self
    }

    /// A listener that speaks HTTP/2: by ALPN with the certificate of the kit.
    pub(crate) fn secured(self) -> Scenario {
        self.certificate("kit", super::tls::own_pair())
    }

    /// The same with HTTP/3 at the same addresses.
    pub(crate) fn http3(self) -> Scenario {
        self.secured().listener("http3 = true")
    }

    /// A listener in cleartext that takes HTTP/2 from clients that begin with it.
    pub(crate) fn prior_knowledge(self) -> Scenario {
        self.listener("http2 = true")
    }

    /// What the backends speak, such as `h2c`.
    pub(crate) fn group_protocol(mut self, protocol: &'static str) -> Scenario {
        self.group_protocol = protocol;
        self
    }

    /// Backends that speak HTTPS; adds a line to `[server_group.tls]`.
    pub(crate) fn group_tls(mut self, line: &str) -> Scenario {
        self.group_tls += &format!("{line}\n");
        self
    }

    /// Adds a table at the end.
    pub(crate) fn table(mut self, table: &str) -> Scenario {
        self.tables += &format!("{table}\n");
        self
    }

    pub(crate) fn file(mut self, name: &str, content: &str) -> Scenario {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    pub(crate) fn start(&self) -> Ringway {
        Ringway::start_with(&self.text(), &self.files)
    }

    /// Starts without waiting.
    pub(crate) fn spawn(&self) -> Ringway {
        Ringway::spawn_with(&self.text(), &self.files)
    }

    pub(crate) fn text(&self) -> String {
        let log = self.access_log.map(|format| {
            format!("[access_log]\npath = \"access.log\"\nformat = \"{format}\"\n{}", self.log)
        });
        let protocol = match &self.certificates[..] {
            [] => "protocol = \"http\"".to_owned(),
            names => format!("protocol = \"https\"\ncertificates = {names:?}"),
        };
        let (group_protocol, group_tls) = match self.group_tls.as_str() {
            "" => (self.group_protocol, String::new()),
            lines => ("https", format!("[server_group.tls]\n{lines}")),
        };
        format!(
            "config_version = 1\n[process]\nworkers = {}\npin = false\n{}{}\
             [[listener]]\nname = \"web\"\naddress = {}\n{protocol}\ndefault_group = \"app\"\n{}\
             [listener.forwarded]\n{}{}[[server_group]]\nname = \"app\"\nprotocol = \"{group_protocol}\"\n\
             {}{group_tls}{}{}{}",
            self.workers,
            self.process,
            log.unwrap_or_default(),
            self.address,
            self.listener,
            self.forwarded,
            self.client_auth,
            self.group,
            self.group_tables,
            self.backends,
            self.tables,
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
