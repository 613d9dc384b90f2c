//! `ringway version`: what this program is, and what this machine lets it do.

use clap::Args;

use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::process::lock;
use crate::control::process::rlimits;
use crate::runtime;
use crate::tls::tls_policy;

#[derive(Args)]
pub(super) struct Arguments {
    /// Also print features, and what the kernel can do.
    #[arg(short, long)]
    verbose: bool,
}

const FEATURES: &str = "HTTP/1.1 and HTTP/2 on both sides, WebSocket, gRPC, PROXY protocol v1 and v2, compression by gzip \
                        and brotli, relays of TCP, TLS and UDP, \
                        health checks over HTTP, HTTPS, gRPC, TCP and UDP, access log, control socket";

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut text = format!("ringway {}\n", env!("CARGO_PKG_VERSION"));
    if arguments.verbose {
        let [tls, ciphers, groups] = tls_policy::built_in();
        let lines = [
            ("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
            ("features", FEATURES.to_owned()),
            tls,
            ciphers,
            groups,
            ("kernel", rlimits::kernel_release()),
            ("io_uring", runtime::abilities()),
            ("landlock", lock::ability().to_owned()),
        ];
        let lines = lines.into_iter().chain(runtime::cpu_layout());
        text.extend(lines.map(|(name, value)| format!("{name}: {value}\n")));
    }
    print(&text)
}
