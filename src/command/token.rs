//! `ringway token`: a new token for clients of the admin address.

use clap::Args;
use clap::ValueEnum;

use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::policy::bearer_tokens::new_token;
use crate::telemetry::operator::log_line;

#[derive(Args)]
pub(super) struct Arguments {
    /// Who will have it, as the audit names it: letters, digits, `-`, `_`, `.` and `@`.
    name: String,
    /// What it allows: to look, to change weights, drains and maintenance, or to change the configuration.
    #[arg(long, value_enum, default_value_t = TokenRole::Read)]
    role: TokenRole,
}

#[derive(Clone, Copy, ValueEnum)]
enum TokenRole {
    Read,
    Operate,
    Write,
}

/// Prints the line for the file, and tells the token itself beside it: so `>> admin.tokens` takes the line alone.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let role = match arguments.role {
        TokenRole::Read => "read",
        TokenRole::Operate => "operate",
        TokenRole::Write => "write",
    };
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let name = &arguments.name;
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_usual) {
        log_line("error: a name has 1 to 64 letters, digits, `-`, `_`, `.` and `@`");
        return Exit::Usage;
    }
    let Some((token, digest)) = new_token() else {
        log_line("error: the system has no random bytes");
        return Exit::Failure;
    };
    log_line(&format!(
        "the token, which is shown only now: {token}\nthe line on standard output belongs into admin.tokens_file"
    ));
    print(&format!("{role} {name} {digest}"))
}
