//! `ringway demo`: the load balancer and two backends in one process, with nothing to set up.

use std::net::SocketAddr;

use clap::Args;

use crate::command::Exit;
use crate::command::demo_backend;
use crate::command::serve;
use crate::command::serve::Manner;
use crate::config;
use crate::config::Source;
use crate::config::toml_string;
use crate::telemetry::operator::tell;

#[derive(Args)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    http: SocketAddr,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut backends = Vec::new();
    for name in ["one", "two"] {
        match demo_backend::start(name) {
            Ok(address) => backends.push(address),
            Err(error) => {
                tell(&format!("error: cannot start the embedded backend {name}: {error}"));
                return Exit::CannotStart;
            }
        }
    }
    let loaded = config::load(vec![Source::made_up("<demo>", configuration(arguments.http, &backends))]);
    let another_port = arguments.http.port().checked_add(1).unwrap_or(8081);
    let another = SocketAddr::new(arguments.http.ip(), another_port);
    let bind_help = Some(format!("take another address: ringway demo --http {another}"));
    serve::serve(loaded, Manner { greet: Some(things_to_try), bind_help })
}

fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:8081")
}

fn configuration(http: SocketAddr, backends: &[SocketAddr]) -> String {
    let listen = toml_string(&http.to_string());
    let mut text = format!(
        "config_version = 1

[access_log]
path = \"stdout\"

[[listener]]
name = \"demo\"
address = {listen}
default_group = \"hello\"

[listener.forwarded]
x_forwarded_port = true
x_forwarded_host = true
x_real_ip = true

[[server_group]]
name = \"hello\"
# The backends have a thread for each connection.
keepalive_connections = 32
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
    let Some(&listening) = listening.first() else { return String::new() };
    let reachable = match listening {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    };
    let lines = [
        ("/form", "-d name=value ", "a request with a body, echoed with the X-Forwarded-* headers"),
        ("/bytes/1000000", "-so /dev/null -w '%{http_code} %{size_download}\\n' ", "a million bytes"),
        ("/stream", "-N ", "an answer that comes in pieces"),
        ("/slow", "", "an answer that takes two seconds"),
        ("/status/503", "-i ", "any status you like"),
    ];
    let mut text = format!(
        "\nTry, in another terminal:\n  curl -s http://{reachable}/ http://{reachable}/  # the backends take turns\n"
    );
    for (path, options, what) in lines {
        let command = format!("curl {options}http://{reachable}{path}");
        text.push_str(&format!("  {command}  # {what}\n"));
    }
    text.push_str("The access log follows on standard output. Ctrl-C ends the demo.\n");
    text
}
