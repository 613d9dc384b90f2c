//! What `ringway(8)` says besides its command line: how commands end, files, signals, examples.

use crate::command::man::roff::Page;

/// How commands end; the line of `ringway --help` says the same.
pub(super) const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "success"),
    ("1", "failure while running"),
    ("2", "wrong usage"),
    ("3", "invalid configuration"),
    ("4", "cannot start: an address is taken, or a privilege or an ability of the kernel is missing"),
    ("5", "a reload, an upgrade or a change is refused and what was in service still is"),
];

const FILES: [(&str, &str); 5] = [
    (
        "/etc/ringway/*.toml",
        "The configuration, as the unit reads it: every file, in the order of their names. See `ringway.toml`(5).",
    ),
    (
        "/run/ringway/admin.sock",
        "Where commands look for the running Ringway: `socket` below `[admin]` names it.",
    ),
    ("/var/lib/ringway", "What outlives the process: `state_folder` below `[process]`."),
    ("/var/log/ringway", "Access logs, where the configuration puts them there."),
    ("/usr/share/doc/ringway", "Documentation and examples, which packages bring along."),
];

const SIGNALS: [(&str, &str); 5] = [
    ("TERM, INT", "Stop gracefully within `shutdown_timeout`; a second one stops at once."),
    ("QUIT", "Stop gracefully without a time limit; a TERM, INT or QUIT after it stops at once."),
    ("HUP", "Reload the configuration, and every file that it names. Standard error tells the outcome."),
    ("USR1", "Reopen the access logs."),
    ("USR2", "Upgrade: another process takes everything over. Standard error tells the outcome."),
];

const ENVIRONMENT: [(&str, &str); 2] = [
    (
        "CREDENTIALS_DIRECTORY",
        "Where paths that begin with `credential:` are; systemd sets it for units with `LoadCredential=`.",
    ),
    ("NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS", "As `systemd.service`(5) and `sd_listen_fds`(3) have them."),
];

const EXAMPLES: [(&str, &str); 5] = [
    ("Try it, with nothing to set up:", "ringway demo"),
    ("Serve without a configuration:", "ringway proxy --from 127.0.0.1:8080 --to 127.0.0.1:9001"),
    (
        "Look for mistakes before anything depends on it:",
        "ringway check -c /etc/ringway && ringway doctor -c /etc/ringway",
    ),
    ("Put a changed configuration into service:", "ringway reload"),
    ("Put a new program into service, without a lost connection:", "ringway upgrade"),
];

pub(super) fn sections(page: &mut Page) {
    page.macro_line("SH", "EXIT STATUS");
    terms(page, &EXIT_STATUS);
    page.line("The codes of `ringway doctor` are in its own page.");
    page.macro_line("SH", "ENVIRONMENT");
    terms(page, &ENVIRONMENT);
    page.macro_line("SH", "FILES");
    terms(page, &FILES);
    page.macro_line("SH", "SIGNALS");
    page.line("What a process that serves does at a signal:");
    terms(page, &SIGNALS);
    page.macro_line("SH", "EXAMPLES");
    for (what, command) in EXAMPLES {
        page.macro_line("PP", "");
        page.line(what);
        page.macro_line("PP", "");
        page.macro_line("RS", "4");
        page.macro_line("nf", "");
        page.literal(command);
        page.macro_line("fi", "");
        page.macro_line("RE", "");
    }
}

fn terms(page: &mut Page, terms: &[(&str, &str)]) {
    for (term, meaning) in terms {
        page.macro_line("TP", "");
        page.line(&format!("`{term}`"));
        page.line(meaning);
    }
    page.macro_line("PP", "");
}
