//! `ringway version`: what this program is, and what this machine lets it do.

use clap::Args;

use crate::command::Exit;
use crate::command::print;
use crate::runtime;

#[derive(Args)]
pub(super) struct Arguments {
    /// Also print features, and what the kernel can do.
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut text = format!("ringway {}\n", env!("CARGO_PKG_VERSION"));
    if arguments.verbose {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let lines = [
            ("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
            ("features", "HTTP/1.1 on both sides, access log, PROXY protocol v1 and v2".to_owned()),
            ("tls", "none in this version".to_owned()),
            ("kernel", kernel.trim().to_owned()),
            ("io_uring", runtime::abilities()),
            ("cpus", runtime::usable_cpus().len().to_string()),
        ];
        text.extend(lines.map(|(name, value)| format!("{name}: {value}\n")));
    }
    print(&text);
    Exit::Success
}
