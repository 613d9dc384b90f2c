//! `ringway top`: what workers, listeners, groups and backends of a running Ringway do, once a second.

mod asking;
mod figures;
mod page;
mod pane;
mod screen;
mod tally;
mod terminal;
mod view;

use std::io::IsTerminal as _;
use std::path::Path;
use std::thread;

use clap::Args;

use crate::command::admin_client::AdminEndpoint;
use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::top::asking::INTERVAL;
use crate::command::top::asking::ask;
use crate::command::top::figures::Figures;
use crate::command::top::tally::Window;
use crate::telemetry::operator::log_line;

/// A process that is started again while `--once` counts is asked anew.
const MAX_ATTEMPTS: usize = 3;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// Count for a second, print everything as text, and end.
    #[arg(long)]
    once: bool,
    /// With --once: print the figures as JSON.
    #[arg(long, requires = "once")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let path = match arguments.endpoint.path() {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    let in_colour = diagnostics::wants_colour(std::io::stdout().is_terminal());
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let outcome = match (arguments.once, is_terminal) {
        (true, _) => once(&path).map(|figures| match serde_json::to_string(&figures) {
            Ok(json) if arguments.json => print(&json),
            _ => print(&page::text(&figures, in_colour)),
        }),
        (false, true) => terminal::run(&path, in_colour),
        (false, false) => {
            Err("this is no terminal to draw on: `ringway top --once` prints one screen as text, \
                               with --json as JSON; over ssh, -t gives a terminal"
                .to_owned())
        }
    };
    outcome.unwrap_or_else(|error| {
        log_line(&format!("error: {error}"));
        Exit::Failure
    })
}

/// The figures of one interval.
fn once(path: &Path) -> Result<Figures, String> {
    let mut window = Window::default();
    window.add(&ask(path)?);
    for _ in 0..MAX_ATTEMPTS {
        thread::sleep(INTERVAL);
        let status = ask(path)?;
        window.add(&status);
        if window.seconds(1) > 0.0 {
            return Ok(Figures::of(&status, &window, 1));
        }
    }
    Err(format!("the process at {} is another one each second; look at its standard error", path.display()))
}
