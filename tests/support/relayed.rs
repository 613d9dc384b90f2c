//! Listeners of layer 4, and backends that speak nothing in particular.

use super::backend::{Backend, Peer};
use super::ringway::Ringway;
use super::tls::Pair;
use std::io;
use std::net::SocketAddr;

/// A configuration with one listener of layer 4, `relay`, and one group `app`; everything else is added line by line.
#[derive(Clone)]
pub(crate) struct Relayed {
    protocol: &'static str,
    address: String,
    group_protocol: &'static str,
    process: String,
    listener: String,
    group: String,
    backends: String,
    tables: String,
    files: Vec<(String, String)>,
}

impl Relayed {
    /// Connections that are passed on to these backends.
    pub(crate) fn tcp(backends: &[SocketAddr]) -> Relayed {
        Relayed::over("tcp", backends)
    }

    /// Datagrams that are passed on to these backends.
    pub(crate) fn udp(backends: &[SocketAddr]) -> Relayed {
        Relayed::over("udp", backends)
    }

    fn over(protocol: &'static str, backends: &[SocketAddr]) -> Relayed {
        let backend = |address: &SocketAddr| format!("[[server_group.backend]]\naddress = \"{address}\"\n");
        Relayed {
            protocol,
            group_protocol: protocol,
            address: "127.0.0.1:0".to_owned(),
            process: String::new(),
            listener: String::new(),
            group: String::new(),
            backends: backends.iter().map(backend).collect(),
            tables: String::new(),
            files: Vec::new(),
        }
    }

    /// Listens there instead of at a port of 127.0.0.1.
    pub(crate) fn address(mut self, address: &str) -> Relayed {
        self.address = address.to_owned();
        self
    }

    /// Connections whose first message alone is looked into. Groups are in tables that the test adds.
    pub(crate) fn passed_through() -> Relayed {
        let relayed = Relayed { protocol: "tls", ..Relayed::tcp(&[]) };
        relayed.listener("passthrough = true")
    }

    /// The same, of clients that speak TLS with the listener, whose certificate is in `NAME.crt` and `NAME.key`.
    pub(crate) fn tls(backends: &[SocketAddr], (name, pair): (&str, &Pair)) -> Relayed {
        let table =
            format!("[[certificate]]\nname = \"{name}\"\nchain = \"{name}.crt\"\nkey = \"{name}.key\"");
        let relayed = Relayed { protocol: "tls", ..Relayed::tcp(backends) };
        relayed
            .listener(&format!("certificates = [\"{name}\"]"))
            .file(&format!("{name}.crt"), &pair.certificate)
            .file(&format!("{name}.key"), &pair.key)
            .table(&table)
    }

    /// What backends speak: `tcp` unless it is said.
    pub(crate) fn group_protocol(mut self, protocol: &'static str) -> Relayed {
        self.group_protocol = protocol;
        self
    }

    /// Adds a line to `[process]`.
    pub(crate) fn process(mut self, line: &str) -> Relayed {
        self.process += &format!("{line}\n");
        self
    }

    /// Adds a line to the listener.
    pub(crate) fn listener(mut self, line: &str) -> Relayed {
        self.listener += &format!("{line}\n");
        self
    }

    /// Adds a line to the group.
    pub(crate) fn group(mut self, line: &str) -> Relayed {
        self.group += &format!("{line}\n");
        self
    }

    /// Adds a line to the last backend.
    pub(crate) fn of_backend(mut self, line: &str) -> Relayed {
        self.backends += &format!("{line}\n");
        self
    }

    /// Adds a table at the end.
    pub(crate) fn table(mut self, table: &str) -> Relayed {
        self.tables += &format!("{table}\n");
        self
    }

    pub(crate) fn file(mut self, name: &str, content: &str) -> Relayed {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    pub(crate) fn text(&self) -> String {
        let Relayed { protocol, group_protocol, address, process, listener, group, backends, tables, .. } =
            self;
        let (default_group, group) = match backends.as_str() {
            "" => (String::new(), String::new()),
            backends => (
                "default_group = \"app\"\n".to_owned(),
                format!(
                    "[[server_group]]\nname = \"app\"\nprotocol = \"{group_protocol}\"\n{group}{backends}"
                ),
            ),
        };
        let workers = if process.contains("workers") { "" } else { "workers = 1\n" };
        format!(
            "config_version = 1\n[process]\n{workers}pin = false\n{process}\
             [access_log]\npath = \"access.log\"\n\
             [[listener]]\nname = \"relay\"\naddress = \"{address}\"\nprotocol = \"{protocol}\"\n\
             {default_group}{listener}{group}{tables}"
        )
    }

    pub(crate) fn start(&self) -> Ringway {
        Ringway::start_with(&self.text(), &self.files)
    }
}

/// A backend that sends back what it gets, and ends when its client has ended.
pub(crate) fn echo() -> Backend {
    Backend::script(echo_all)
}

/// See [`echo`].
pub(crate) fn echo_all(peer: &mut Peer) -> io::Result<()> {
    loop {
        let bytes = peer.read_some()?;
        if bytes.is_empty() {
            return peer.finish_sending();
        }
        peer.write(&bytes)?;
    }
}
