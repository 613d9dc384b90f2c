//! `ringway completions`: what shells complete command lines by. Names of things come from the running process, by
//! `ringway names`.

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

/// Verbs whose first argument is a name, with what is named there.
const NAMED: [(&str, &[&str], &str); 7] = [
    ("listener", &["show", "update", "enable", "disable", "delete", "copy"], "listener"),
    ("group", &["show", "enable", "disable", "delete"], "group"),
    ("backend", &["remove", "weight", "drain"], "backend"),
    ("backend", &["list", "add"], "group"),
    ("cert", &["show", "replace", "delete"], "cert"),
    ("rule", &["show", "move", "enable", "disable", "delete"], "rule"),
    ("ip-group", &["show", "add", "remove", "delete"], "ip-group"),
];

/// Options whose value is a name, of the verbs above.
const NAMED_OPTIONS: [(&str, &str, &str); 7] = [
    ("listener", "group", "group"),
    ("listener", "quic-listener", "listener"),
    ("listener", "cert", "cert"),
    ("rule", "group", "group"),
    ("rule", "listener", "listener"),
    ("rule", "before", "rule"),
    ("rule", "after", "rule"),
];

pub(super) fn run(arguments: &Arguments, mut command: Command) -> Exit {
    let shell = match arguments.shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "ringway", &mut script);
    let script = String::from_utf8_lossy(&script);
    print_as_is(&match arguments.shell {
        CompletedShell::Bash => script.replacen("_ringway() {\n", &bash(), 1),
        CompletedShell::Zsh => script.replacen("_ringway() {\n", &zsh(), 1),
        CompletedShell::Fish => format!("{script}{}", fish()),
    })
}

/// The beginning of the function for bash: what it completes itself, before all that the program alone knows.
fn bash() -> String {
    let names = "COMPREPLY=($(compgen -W \"$(ringway names \"$named\" 2>/dev/null)\" -- \"$2\"))";
    format!(
        "_ringway() {{\n    local named=\"\"\n    [[ $COMP_CWORD -eq 3 && $2 != -* ]] && case \"${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}\" in\n\
         {}    esac\n    case \"${{COMP_WORDS[1]}} $3\" in\n{}    esac\n    if [[ -n $named ]]; then\n        {names}\n        return 0\n    fi\n",
        arms("named", 8),
        option_arms("named", 8),
    )
}

/// The same for zsh.
fn zsh() -> String {
    format!(
        "_ringway() {{\n    local named=\"\"\n    (( CURRENT == 4 )) && [[ $words[CURRENT] != -* ]] && case \"$words[2] $words[3]\" in\n\
         {}    esac\n    case \"$words[2] $words[CURRENT-1]\" in\n{}    esac\n    if [[ -n $named ]]; then\n        \
         compadd -- ${{(f)\"$(ringway names $named 2>/dev/null)\"}}\n        return 0\n    fi\n",
        arms("named", 8),
        option_arms("named", 8),
    )
}

/// A line for each verb: the pattern that it is, and what is named there.
fn arms(variable: &str, indent: usize) -> String {
    let arm = |(verb, inner, kind): &(&str, &[&str], &str)| {
        let patterns: Vec<String> = inner.iter().map(|inner| format!("\"{verb} {inner}\"")).collect();
        format!("{:indent$}{}) {variable}={kind} ;;\n", "", patterns.join("|"))
    };
    NAMED.iter().map(arm).collect()
}

fn option_arms(variable: &str, indent: usize) -> String {
    let arm = |(verb, option, kind): &(&str, &str, &str)| {
        format!("{:indent$}\"{verb} --{option}\") {variable}={kind} ;;\n", "")
    };
    NAMED_OPTIONS.iter().map(arm).collect()
}

/// Lines behind those that clap makes for fish.
fn fish() -> String {
    let names = |kind: &str| format!("\"(ringway names {kind} 2>/dev/null)\"");
    let of_verb = |(verb, inner, kind): &(&str, &[&str], &str)| {
        let inner = inner.join(" ");
        format!(
            "complete -c ringway -n \"__fish_ringway_using_subcommand {verb}; and __fish_seen_subcommand_from {inner}\" -f -a {}\n",
            names(kind)
        )
    };
    let of_option = |(verb, option, kind): &(&str, &str, &str)| {
        format!(
            "complete -c ringway -n \"__fish_ringway_using_subcommand {verb}\" -l {option} -r -f -a {}\n",
            names(kind)
        )
    };
    let verbs: String = NAMED.iter().map(of_verb).collect();
    verbs + &NAMED_OPTIONS.iter().map(of_option).collect::<String>()
}
