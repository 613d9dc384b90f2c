//! `ringway man`: writes the manual pages, for those who make packages.

mod program_page;
mod reference_page;
mod roff;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use clap::Args;
use clap::Command;
use clap_mangen::Man;

use crate::command::exit::Exit;
use crate::command::man::roff::MANUAL;
use crate::command::man::roff::Page;
use crate::telemetry::date;
use crate::telemetry::operator::log_line;

/// Commands for administrators (man-pages(7)).
const SECTION: &str = "8";

/// The page of the program itself.
const PROGRAM: &str = "ringway";

#[derive(Args)]
pub(super) struct Arguments {
    /// The folder that gets ringway.8, a page for each command, and ringway.toml.5.
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments, command: Command) -> Exit {
    let folder = &arguments.folder;
    match write_all(folder, command) {
        Ok(()) => Exit::Success,
        Err(error) => {
            log_line(&format!(
                "error: cannot write to {}: {error}\nhelp: name a folder that is there and may be written to",
                folder.display()
            ));
            Exit::Failure
        }
    }
}

fn write_all(folder: &Path, command: Command) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let date = date_of_source();
    write_commands(folder, &command, &date)?;
    fs::write(folder.join("ringway.toml.5"), reference_page::page(&date, &source()))
}

fn source() -> String {
    format!("ringway {}", env!("CARGO_PKG_VERSION"))
}

/// Commands are nested two deep, so this ends.
fn write_commands(folder: &Path, command: &Command, date: &str) -> io::Result<()> {
    let man = Man::new(command.clone().disable_version_flag(true));
    let title = man.get_filename().to_uppercase().trim_end_matches(".1").to_owned();
    let man = man.title(title).section(SECTION).date(date).source(source()).manual(MANUAL);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(last_sections(command).as_bytes());
    fs::write(folder.join(man.get_filename()), page)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_commands(folder, inner, date)?;
    }
    Ok(())
}

/// What no command line tells.
fn last_sections(command: &Command) -> String {
    let mut page = Page::continued();
    let is_program = command.get_name() == PROGRAM;
    if is_program {
        program_page::sections(&mut page);
    }
    page.macro_line("SH", "SEE ALSO");
    let program = if is_program { "" } else { "`ringway`(8), " };
    page.line(&format!("{program}`ringway.toml`(5), `systemd.service`(5)"));
    page.into_text()
}

/// The day of what pages are made of (reproducible-builds.org/specs/source-date-epoch); where nobody says it, that of the
/// program, so that the same program always makes the same pages.
fn date_of_source() -> String {
    let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let wall = said.map(Duration::from_secs).or_else(date_of_program).unwrap_or_default();
    date::stamp(wall).split('T').next().unwrap_or_default().to_owned()
}

fn date_of_program() -> Option<Duration> {
    fs::metadata("/proc/self/exe").ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_the_page_tell_the_same_of_exit_codes() {
        let codes = program_page::EXIT_STATUS.map(|(code, meaning)| format!("{code} {meaning}")).join(", ");
        assert_eq!(crate::command::EXIT_CODES.replace('\n', " "), format!("Exit codes: {codes}."));
    }

    #[test]
    fn the_page_of_the_program_has_what_manuals_have() {
        let page = last_sections(&Command::new(PROGRAM));
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let wanted = [
            "\"EXIT STATUS\"",
            "\"ENVIRONMENT\"",
            "\"FILES\"",
            "\"SIGNALS\"",
            "\"EXAMPLES\"",
            "\"SEE ALSO\"",
        ];
        assert_eq!(headings, wanted);
        assert!(last_sections(&Command::new("ringway-check")).contains("\\fBringway\\fR(8), "));
    }
}
