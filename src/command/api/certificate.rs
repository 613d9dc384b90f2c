//! `ringway cert`: the certificates of a running Ringway.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use serde_json::Map;
use serde_json::Value as Json;

use crate::command::api::form::ReadForm;
use crate::command::api::form::WriteForm;
use crate::command::api::object::CERTIFICATES;
use crate::command::api::object::ListArguments;
use crate::command::api::object::NamedArguments;
use crate::command::api::object::ShowArguments;
use crate::command::api::object::words;
use crate::command::api::settings::MoreSettings;
use crate::command::exit::Exit;
use crate::command::table::Column;
use crate::config::in_order;
use crate::telemetry::operator::log_line;

/// What the API takes.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// No key of the configuration: when a certificate ends.
const EXPIRES: &str = "expires";

#[derive(Subcommand)]
pub(crate) enum CertificateVerb {
    /// List certificates with their names and when they end.
    List(ListArguments),
    /// Print a certificate as it is configured.
    Show(ShowArguments),
    /// Add a certificate with its key.
    Add(AddCertificate),
    /// Put another certificate and key in the place of those that are in service.
    Replace(ReplaceCertificate),
    /// Remove a certificate that no listener shows.
    Delete(NamedArguments),
}

#[derive(Args)]
struct PemFiles {
    /// PEM: the certificate first, then those that issued it.
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// PEM, not encrypted.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Name the files as they lie there, and follow them when they change. Without it, their content goes into files beside the
    /// configuration.
    #[arg(long)]
    in_place: bool,
}

#[derive(Args)]
pub(crate) struct AddCertificate {
    /// What the certificate is called.
    name: String,
    #[command(flatten)]
    files: PemFiles,
    #[command(flatten)]
    more: MoreSettings,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
pub(crate) struct ReplaceCertificate {
    /// The certificate.
    name: String,
    #[command(flatten)]
    files: PemFiles,
    #[command(flatten)]
    form: WriteForm,
}

pub(crate) fn run(verb: &CertificateVerb) -> Exit {
    let done = match verb {
        CertificateVerb::List(arguments) => Ok(CERTIFICATES.list_arranged(
            arguments,
            &[
                (Column::Left("CHAIN"), |settings| words(settings, "chain")),
                (Column::Left("KEY"), |settings| words(settings, "key")),
                (Column::Left("EXPIRES"), |settings| words(settings, EXPIRES)),
                (Column::Left("NAMES"), |settings| words(settings, "names")),
            ],
            |certificates| complete(certificates, &arguments.form),
        )),
        CertificateVerb::Show(arguments) => Ok(CERTIFICATES.show(arguments)),
        CertificateVerb::Add(arguments) => add(arguments),
        CertificateVerb::Replace(ReplaceCertificate { name, files, form }) => {
            files.settings().map(|settings| CERTIFICATES.patch(name, Json::Object(settings), form))
        }
        CertificateVerb::Delete(arguments) => Ok(CERTIFICATES.delete(arguments)),
    };
    done.unwrap_or_else(|error| {
        log_line(&format!("error: {error}"));
        Exit::Failure
    })
}

/// Adds when certificates end and the names that they are shown for, which the process knows of those in service.
fn complete(certificates: &mut [Json], form: &ReadForm) -> Result<(), Exit> {
    let status = form.get("status")?;
    let in_service = status["certificates"].as_array().map(Vec::as_slice).unwrap_or_default();
    for certificate in certificates {
        if let Some(told) = in_service.iter().find(|told| told["name"] == certificate["name"]) {
            certificate["settings"]["names"] = told["names"].clone();
            certificate["settings"][EXPIRES] = told["not_after"].clone();
        }
    }
    Ok(())
}

fn add(arguments: &AddCertificate) -> Result<Exit, String> {
    let AddCertificate { name, files, more, form } = arguments;
    let mut settings = files.settings()?;
    settings.insert("name".to_owned(), Json::from(name.as_str()));
    more.add_to(&mut settings);
    Ok(CERTIFICATES.create(settings, form))
}

impl PemFiles {
    fn settings(&self) -> Result<Map<String, Json>, String> {
        let of = |key: &str, file: &Path| -> Result<(String, Json), String> {
            match self.in_place {
                true => {
                    let path = std::path::absolute(file).map_err(|error| failure(file, &error))?;
                    Ok((key.to_owned(), Json::from(path.display().to_string())))
                }
                false => Ok((format!("{key}_pem"), Json::from(pem(file)?))),
            }
        };
        Ok(in_order::object([of("chain", &self.chain)?, of("key", &self.key)?]))
    }
}

fn pem(file: &Path) -> Result<String, String> {
    let size = fs::metadata(file).map_err(|error| failure(file, &error))?.len();
    if size > MAX_PEM_BYTES {
        return Err(format!(
            "{} is larger than 1 MiB; name the file of this certificate alone",
            file.display()
        ));
    }
    fs::read_to_string(file).map_err(|error| failure(file, &error))
}

fn failure(file: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}; name a file of PEM", file.display())
}
