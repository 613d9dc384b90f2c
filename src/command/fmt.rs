//! `ringway fmt`: lays configurations out.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;

use crate::command::diagnostics;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::exit::print_as_is;
use crate::command::sources;
use crate::config::Formatted;
use crate::config::format;
use crate::telemetry::operator::log_line;

#[derive(Args)]
pub(super) struct Arguments {
    /// A file, a folder of *.toml files, or - for standard input, which goes to standard output.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Change nothing: print the names of files that would change, and end with 1 if there are any.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let exits = arguments.files.iter().map(|path| match path.is_dir() {
        true => format_folder(path, arguments.check),
        false => format_one(path, arguments.check),
    });
    worst(exits)
}

/// What cannot be read says more than that a file would change.
fn worst(exits: impl Iterator<Item = Exit>) -> Exit {
    exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Success)
}

fn format_folder(path: &Path, only_checks: bool) -> Exit {
    match sources::files_of_folder(path) {
        Ok(files) => worst(files.iter().map(|file| format_one(file, only_checks))),
        Err(reason) => {
            log_line(&format!(
                "error: {}: {reason}\nhelp: name a folder with *.toml files, or a file",
                path.display()
            ));
            Exit::ConfigurationInvalid
        }
    }
}

fn format_one(path: &Path, only_checks: bool) -> Exit {
    let is_input = sources::is_standard_input(path);
    let Some(formatted) = formatted(path) else { return Exit::ConfigurationInvalid };
    match formatted {
        Formatted { is_changed: false, .. } if only_checks => Exit::Success,
        _ if only_checks => match print(&path.display().to_string()) {
            Exit::Success => Exit::Failure,
            failure => failure,
        },
        Formatted { text, .. } if is_input => print_as_is(&text),
        Formatted { is_changed: false, .. } => Exit::Success,
        Formatted { text, .. } => match replace(path, &text) {
            Ok(()) => Exit::Success,
            Err(error) => {
                let help = "the file is as it was; whoever runs this must be allowed to write to its folder, and \
                            must be root to keep the owner of somebody else's file";
                log_line(&format!("error: cannot write {}: {error}\nhelp: {help}", path.display()));
                Exit::Failure
            }
        },
    }
}

/// None after saying what is wrong.
fn formatted(path: &Path) -> Option<Formatted> {
    let (formatted, report) = format(sources::source(path));
    if formatted.is_none() {
        diagnostics::print(&report);
    }
    formatted
}

/// Puts a file with this text into the place of another one, with its mode, owner and group. Whoever reads meanwhile
/// gets the old text or the new one, also after a crash. A symbolic link stays; what it leads to is replaced.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let no_folder = || io::Error::other("it has no folder");
    let (folder, name) = path.parent().zip(path.file_name()).ok_or_else(no_folder)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = folder.join(beside);
    let written = write_new(&beside, text, &metadata).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // It may not have been made, and the first error is the one that tells.
        let _ = fs::remove_file(&beside);
        return written;
    }
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, text: &str, like: &Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    // After the change of owner, which takes the set-id bits away.
    file.set_permissions(like.permissions())?;
    file.sync_all()
}
