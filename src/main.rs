use std::process::ExitCode;

fn main() -> ExitCode {
    ringway::command::run(std::env::args_os()).into()
}
