//! `ringway demo`: the load balancer and two backends in one process, with nothing to set up.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;

use crate::command::demo_backend;
use crate::command::exit::Exit;
use crate::command::serve;
use crate::command::serve::Manner;
use crate::config;
use crate::config::Source;
use crate::config::toml_string;
use crate::net::clock::wall_now;
use crate::telemetry::operator::log_line;
use crate::tls::x509::self_signed;

#[derive(Args)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    http: SocketAddr,
    /// Where to listen for HTTPS, with a certificate made in memory; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443", value_parser = listen_address)]
    https: SocketAddr,
}

/// What the demo's configuration calls the files of a certificate that is on no disk.
const CHAIN: &str = "/<demo>/certificate.pem";
const KEY: &str = "/<demo>/key.pem";

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut backends = Vec::new();
    for name in ["one", "two"] {
        match demo_backend::start(name) {
            Ok(address) => backends.push(address),
            Err(error) => {
                log_line(&format!("error: cannot start the embedded backend {name}: {error}"));
                return Exit::CannotStart;
            }
        }
    }
    let names = ["localhost", "127.0.0.1", "::1"];
    let Some((chain, key)) = self_signed::for_names(&names, wall_now().as_secs()) else {
        log_line("error: cannot make a certificate");
        return Exit::CannotStart;
    };
    let read_file = move |path: &Path| match path.to_str() {
        Some(CHAIN) => Ok(chain.clone().into_bytes()),
        Some(KEY) => Ok(key.clone().into_bytes()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let loaded = config::load(vec![Source::made_up("<demo>", configuration(arguments, &backends))]);
    let another =
        |address: SocketAddr| SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(8081));
    let bind_help = format!(
        "take other addresses: ringway demo --http {} --https {}",
        another(arguments.http),
        another(arguments.https)
    );
    serve::serve(
        loaded,
        Manner {
            greet: Some(things_to_try),
            bind_help: Some(bind_help),
            read_file: Box::new(read_file),
            origin: None,
            ..Manner::default()
        },
    )
}

fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:8081")
}

fn configuration(arguments: &Arguments, backends: &[SocketAddr]) -> String {
    let listen = toml_string(&arguments.http.to_string());
    let secure = toml_string(&arguments.https.to_string());
    let told = "[listener.forwarded]
x_forwarded_port = true
x_forwarded_host = true
x_real_ip = true";
    let mut text = format!(
        "config_version = 1

[access_log]
path = \"stdout\"

[[listener]]
name = \"demo\"
address = {listen}
default_group = \"hello\"

{told}

[[certificate]]
name = \"demo\"
chain = \"{CHAIN}\"
key = \"{KEY}\"

[[listener]]
name = \"demo-secure\"
address = {secure}
protocol = \"https\"
certificates = [\"demo\"]
default_group = \"hello\"

{told}
tls_protocol = true
tls_cipher = true
tls_sni = true

[[server_group]]
name = \"hello\"
# The backends have a thread for each connection.
keepalive_connections = 32

[server_group.health_check]
method = \"GET\"
path = \"/\"
"
    );
    for backend in backends {
        text.push_str(&format!(
            "\n[[server_group.backend]]\naddress = {}\n",
            toml_string(&backend.to_string())
        ));
    }
    text
}

/// Command lines that work as they stand.
fn things_to_try(listening: &[SocketAddr]) -> String {
    let &[http, https] = listening else { return String::new() };
    let (reachable, secure) = (reachable(http), reachable(https));
    let lines = [
        ("/form", "-d name=value ", "a request with a body, echoed with the X-Forwarded-* headers"),
        ("/bytes/1000000", "-so /dev/null -w '%{http_code} %{size_download}\\n' ", "a million bytes"),
        ("/stream", "-N ", "an answer that comes in pieces"),
        ("/slow", "", "an answer that takes two seconds"),
        ("/status/503", "-i ", "any status you like"),
    ];
    let mut text = format!(
        "\nTry, in another terminal:\n  curl -s http://{reachable}/ http://{reachable}/  # round robin over the backends\n"
    );
    for (path, options, what) in lines {
        let command = format!("curl {options}http://{reachable}{path}");
        text.push_str(&format!("  {command}  # {what}\n"));
    }
    text.push_str(&format!(
        "  curl -k https://{secure}/form -d name=value  # the same over TLS, with a certificate made just now\n  \
         openssl s_client -connect {secure} </dev/null  # what is negotiated\n"
    ));
    text.push_str("The access log follows on standard output. Ctrl-C ends the demo.\n");
    text
}

/// Where a client on this host finds a listener.
fn reachable(listening: SocketAddr) -> SocketAddr {
    match listening {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}
