//! `ringway version`: what this program is, and what this machine lets it do.

use clap::Args;

use crate::command::Exit;
use crate::runtime;

#[derive(Args)]
pub(super) struct Version {
    /// Also print features, kernel and io_uring abilities
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(arguments: &Version) -> Exit {
    println!("ringway {}", env!("CARGO_PKG_VERSION"));
    if arguments.verbose {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        println!("target: {}-{}", std::env::consts::ARCH, std::env::consts::OS);
        println!("features: http/1.1 downstream and upstream, access log, PROXY protocol v1 and v2");
        println!("tls: none in this version");
        println!("kernel: {}", kernel.trim());
        println!("io_uring: {}", runtime::abilities());
        println!("cpus: {}", runtime::usable_cpus().len());
    }
    Exit::Success
}
