//! `ringway export` and `ringway import`: all objects as one document.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value as Json;

use crate::command::admin_client::AdminEndpoint;
use crate::command::api::form::ApiChange;
use crate::command::api::form::WriteForm;
use crate::command::api::form::document;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::sources;
use crate::telemetry::operator::log_line;

#[derive(Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// With the keys of certificates: what comes of it is secret.
    #[arg(long)]
    keys: bool,
    /// Write it to a new file, for its owner alone, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ImportArguments {
    /// What `ringway export` has written; - for standard input.
    archive: PathBuf,
    /// Delete what it does not have.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    form: WriteForm,
}

pub(crate) fn export(arguments: &ExportArguments) -> Exit {
    let path = if arguments.keys { "export?keys=true" } else { "export" };
    let archive = match document(&arguments.endpoint, path, false) {
        Ok(archive) => format!("{archive:#}"),
        Err(exit) => return exit,
    };
    let Some(output) = &arguments.output else { return print(&archive) };
    match write_new(output, &archive) {
        Ok(()) => Exit::Success,
        Err(error) => {
            let help = "name a file that is not there yet, in a folder that you may write to";
            log_line(&format!("error: cannot write {}: {error}\nhelp: {help}", output.display()));
            Exit::Failure
        }
    }
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

pub(crate) fn import(arguments: &ImportArguments) -> Exit {
    let text = match sources::text_of(&arguments.archive) {
        Ok(text) => text,
        Err(reason) => {
            log_line(&format!("error: {}: {reason}", arguments.archive.display()));
            return Exit::Usage;
        }
    };
    let archive: Json = match serde_json::from_str(&text) {
        Ok(archive) => archive,
        Err(error) => {
            let path = arguments.archive.display();
            log_line(&format!(
                "error: {path} is no JSON: {error}\nhelp: name what ringway export has written"
            ));
            return Exit::Usage;
        }
    };
    let path = if arguments.prune { "import?prune=true" } else { "import" };
    arguments.form.change(ApiChange {
        method: "POST",
        path: path.to_owned(),
        content: Some(archive),
        if_match: None,
    })
}
