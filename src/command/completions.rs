//! `ringway completions`: what shells complete command lines by.

use clap::Args;
use clap::Command;
use clap::ValueEnum;
use clap_complete::Shell;
use clap_complete::generate;

use crate::command::exit::Exit;
use crate::command::exit::print_as_is;

#[derive(Args)]
pub(super) struct Arguments {
    /// The shell that reads what is printed.
    #[arg(value_enum)]
    shell: CompletedShell,
}

#[derive(Clone, Copy, ValueEnum)]
enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(arguments: &Arguments, mut command: Command) -> Exit {
    let shell = match arguments.shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "ringway", &mut script);
    print_as_is(&String::from_utf8_lossy(&script))
}
