//! `ringway events`: what happened to a running Ringway, and with `-f` what happens.

use std::io;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::command::admin_client::AdminEndpoint;
use crate::command::admin_client::AskFailure;
use crate::command::admin_client::ask_at;
use crate::command::exit::Exit;
use crate::command::exit::printed_as;
use crate::config::parse_duration;
use crate::control::admin::EVENTS;
use crate::control::admin::events::EventReply;
use crate::control::admin::events::EventsQuestion;
use crate::control::admin::events::EventsReply;
use crate::net::clock::wall_now;
use crate::telemetry::date;
use crate::telemetry::operator::log_line;
use crate::telemetry::words::counted;

/// The answer needs no other thread of the process.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two questions of a follower.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// Questions in a row that may be refused, as where many ask at a time.
const MAX_REFUSALS: usize = 20;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// Go on with what happens, until the process or this command is ended.
    #[arg(short, long)]
    follow: bool,
    /// Print each event as a line of JSON.
    #[arg(long)]
    json: bool,
    /// Print what has happened since then: a date as 2026-11-21T08:40:00Z, or so long ago, as 10m or 2h.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Duration>,
}

/// A moment, as time since the Unix epoch.
fn since(text: &str) -> Result<Duration, String> {
    let ago = parse_duration(text).map(|ago| wall_now().saturating_sub(ago));
    ago.or_else(|| date::parse(text)).ok_or_else(|| {
        "write a date as 2026-11-21T08:40:00Z, or so long ago, as 30s, 10m, 2h or 1d".to_owned()
    })
}

/// Why a follower ends.
enum End {
    /// Nobody reads what it prints.
    Output(io::Error),
    /// A sentence.
    Failure(String),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let path = match arguments.endpoint.path() {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    let end = match ask(&path, 0) {
        Ok(first) => match print(arguments, &first.events) {
            Ok(()) if arguments.follow => follow(arguments, &path, first),
            Ok(()) => return Exit::Success,
            Err(error) => End::Output(error),
        },
        Err(failure) => End::Failure(failure.to_string()),
    };
    match end {
        End::Output(error) => printed_as(Err(error)),
        End::Failure(sentence) => {
            log_line(&format!("error: {sentence}"));
            Exit::Failure
        }
    }
}

fn ask(path: &Path, after: u64) -> Result<EventsReply, AskFailure> {
    // A number has a form in JSON.
    let question = serde_json::to_string(&EventsQuestion { after }).unwrap_or_default();
    ask_at(path, &format!("{EVENTS} {question}"), ANSWER_TIMEOUT).map(|(_, reply)| reply)
}

/// Prints what happens, until it cannot go on.
fn follow(arguments: &Arguments, path: &Path, first: EventsReply) -> End {
    let EventsReply { pid, started, mut newest, .. } = first;
    let mut refusals = 0;
    loop {
        thread::sleep(FOLLOW_INTERVAL);
        let reply = match ask(path, newest) {
            Ok(reply) => reply,
            Err(AskFailure::Refused(_)) if refusals < MAX_REFUSALS => {
                refusals += 1;
                continue;
            }
            Err(AskFailure::Unreachable(error)) => {
                return End::Failure(format!(
                    "process {pid}, which was followed, does not answer any more: {error}"
                ));
            }
            Err(failure) => return End::Failure(failure.to_string()),
        };
        refusals = 0;
        if (reply.pid, &reply.started) != (pid, &started) {
            return End::Failure(format!(
                "process {pid}, which was followed, has ended; process {} answers now, begin again to follow it",
                reply.pid
            ));
        }
        let told = missed(arguments, reply.missed).and_then(|()| print(arguments, &reply.events));
        if let Err(error) = told {
            return End::Output(error);
        }
        newest = reply.newest;
    }
}

/// Tells how many events came faster than they were asked for.
fn missed(arguments: &Arguments, missed: u64) -> io::Result<()> {
    if missed == 0 {
        return Ok(());
    }
    let line = match arguments.json {
        true => format!("{{\"missed\":{missed}}}"),
        false => format!("({} missed)", counted(usize::try_from(missed).unwrap_or(usize::MAX), "event")),
    };
    write(&format!("{line}\n"))
}

fn print(arguments: &Arguments, events: &[EventReply]) -> io::Result<()> {
    let is_wanted = |event: &&EventReply| {
        let at = date::parse(&event.time);
        arguments.since.is_none_or(|since| at.is_none_or(|at| at >= since))
    };
    let lines = events.iter().filter(is_wanted).map(|event| match arguments.json {
        // Everything in an event has a form in JSON.
        true => serde_json::to_string(event).unwrap_or_default() + "\n",
        false => line(event),
    });
    write(&lines.collect::<String>())
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    // Whoever follows reads what has happened now.
    stdout.flush()
}

fn line(event: &EventReply) -> String {
    let EventReply { time, kind, message, .. } = event;
    let mut text = format!("{time} {kind:<17} ");
    for (index, line) in message.lines().enumerate() {
        if index > 0 {
            text.push_str("    ");
        }
        // What a name or a path contains cannot play tricks on the terminal.
        text.push_str(&line.replace(char::is_control, "?"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_and_its_further_lines_are_indented() {
        let event = EventReply {
            time: "2026-11-21T08:40:00.250Z".to_owned(),
            kind: "reload_refused".into(),
            message: "a.toml:1:2: error: one\x1b[2J\nerror: two".to_owned(),
            ..EventReply::default()
        };
        let expected =
            "2026-11-21T08:40:00.250Z reload_refused    a.toml:1:2: error: one?[2J\n    error: two\n";
        assert_eq!(line(&event), expected);
    }

    #[test]
    fn a_moment_is_a_date_or_so_long_ago() {
        assert_eq!(since("1994-11-06T08:49:37Z"), Ok(Duration::from_secs(784_111_777)));
        let hour = wall_now().saturating_sub(Duration::from_secs(3_600));
        assert!(since("1h").unwrap().abs_diff(hour) < Duration::from_secs(60));
        for other in ["", "1", "yesterday", "-1h", "2026-11-21"] {
            assert!(since(other).unwrap_err().contains("2026-11-21T08:40:00Z"), "{other}");
        }
    }
}
