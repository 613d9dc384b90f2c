//! Measures Ringway beside nginx, HAProxy and a blind byte relay, interleaved, and prints a table.
//!
//! How it measures stands in docs/benchmarks.md. Read `rounds.rs` first.

mod arguments;
mod backends;
mod client;
mod configuration;
mod figures;
mod generator;
mod h2load;
mod handshakes;
mod http2;
mod idle_memory;
mod interrupt;
mod latency;
mod logging;
mod proxy;
mod proxy_kind;
mod report;
mod rounds;
mod row;
mod rules;
mod scenario;
mod started;
mod transfer;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let plan = match arguments::Plan::of_process() {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            print!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("bench-load: {message}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match measure(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench-load: {message}");
            ExitCode::FAILURE
        }
    }
}

fn measure(plan: &arguments::Plan) -> Result<(), String> {
    interrupt::watch();
    ringway_bench::process::raise_descriptor_limit()
        .map_err(|e| format!("raising the descriptor limit: {e}"))?;
    let machine = report::Machine::read(plan);
    let results = rounds::run(plan)?;
    let tables = report::tables(&results);
    println!("{tables}");
    if plan.write {
        report::write_page(&machine, plan, &tables)?;
    }
    Ok(())
}
