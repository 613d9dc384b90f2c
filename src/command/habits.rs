//! What to write instead of what the command lines of other servers take.

use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;

/// The fix for a command line that is wrong in a way that is known from elsewhere.
pub(super) fn fix(usage: &clap::Error) -> Option<String> {
    let kind = match usage.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::MissingRequiredArgument => return missing(usage),
        _ => return None,
    };
    let Some(ContextValue::String(word)) = usage.get(kind) else { return None };
    let known = CURES.iter().find(|(words, _)| words.contains(&word.as_str()));
    if let Some((_, fix)) = known {
        return Some((*fix).to_owned());
    }
    let is_file = !word.starts_with('-') && (word.contains('/') || word.ends_with(".toml"));
    let verb = if kind == ContextKind::InvalidSubcommand { "ringway run " } else { "" };
    is_file.then(|| format!("write {verb}-c {word}"))
}

/// With other servers, `test` looks at the configuration alone.
fn missing(usage: &clap::Error) -> Option<String> {
    let Some(ContextValue::Strings(arguments)) = usage.get(ContextKind::InvalidArg) else { return None };
    let fix = "write ringway check -c FILE to check a configuration; ringway test compares a table of requests with it";
    arguments.iter().any(|argument| argument == "<ROUTES>").then(|| fix.to_owned())
}

const CURES: [(&[&str], &str); 7] = [
    (&["start", "serve", "server", "-c", "-f"], "write ringway run -c FILE, or ringway check -c FILE"),
    (
        &["stop", "quit", "shutdown", "restart"],
        "it runs in the foreground: end it with Ctrl-C or the signal TERM, or as a service with systemctl",
    ),
    (&["configtest", "validate", "verify"], "write ringway check -c FILE"),
    (
        &["--user", "-u"],
        "write user = \"NAME\" below [process] of the configuration; ringway check --user NAME -c FILE checks as another user",
    ),
    (&["-s"], "write ringway reload; the signal TERM ends a running Ringway, USR1 reopens its access log"),
    (&["-T"], "write ringway config show --effective -c FILE"),
    (&["-v"], "write ringway version -v"),
];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command::CommandLine;

    #[test]
    fn command_lines_of_others_are_answered_with_ours() {
        for (line, expected) in [
            ("-c ringway.toml", "write ringway run -c FILE"),
            ("-s reload", "write ringway reload;"),
            ("-v", "write ringway version -v"),
            ("-T -c ringway.toml", "write ringway config show"),
            ("start", "write ringway run -c FILE"),
            ("stop", "it runs in the foreground"),
            ("/etc/ringway", "write ringway run -c /etc/ringway"),
            ("run ringway.toml", "write -c ringway.toml"),
            ("check ./ringway.toml", "write -c ./ringway.toml"),
            ("test -c ringway.toml", "write ringway check"),
            ("stauts", ""),
            ("run --user ringway -c a.toml", "write user = \"NAME\" below [process]"),
            ("run --quux", ""),
            ("run", ""),
        ] {
            let words = ["ringway"].into_iter().chain(line.split(' '));
            let usage = CommandLine::try_parse_from(words).err().expect("it is wrong");
            let said = fix(&usage).unwrap_or_default();
            assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{line}: {said}");
        }
    }
}
