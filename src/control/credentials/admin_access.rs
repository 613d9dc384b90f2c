//! Who may ask at the admin address, and what it is secured with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::AdminRole;
use crate::config::Config;
use crate::config::NamedFile;
use crate::config::Report;
use crate::control::credentials::authorities::Complaint;
use crate::control::credentials::authorities::LoadedAuthority;
use crate::control::credentials::elb_keys::ElbAccess;
use crate::control::credentials::elb_keys::LoadedElbKeys;
use crate::control::files;
use crate::policy::bearer_tokens::BearerTokens;
use crate::tls::blocking::BlockingServer;
use crate::tls::x509::ca::TrustedCas;
use crate::tls::x509::certificates::Certificate;

/// A thousand tokens with comments.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Lines that are told of; a file of another kind has a fault in each.
const MAX_TOLD: usize = 20;

/// Beside [`Config::certificates`].
type Certificates = [Option<Arc<Certificate>>];

/// What came of the file with tokens.
#[derive(Default)]
pub struct LoadedTokens {
    /// None when one of the complaints is an error, or no file is named.
    pub tokens: Option<BearerTokens>,
    pub complaints: Vec<Complaint>,
}

/// What the admin server looks at when a client comes.
#[derive(Default)]
pub struct AdminAccess {
    pub tokens: BearerTokens,
    /// None: the address speaks HTTP in the clear.
    pub tls: Option<BlockingServer>,
    /// What a client with a certificate may do without a token.
    pub client_role: Option<AdminRole>,
    /// It is meant to be secured and cannot be: nobody is let in.
    pub is_closed: bool,
    pub audit: Option<PathBuf>,
    /// None: the ELB API is not served.
    pub elb: Option<ElbAccess>,
}

pub(super) fn load(config: &Config, report: &mut Report) -> LoadedTokens {
    let loaded = config.admin.tokens_file.as_ref().map(load_file).unwrap_or_default();
    for Complaint { is_error, location, message, help } in loaded.complaints.clone() {
        match is_error {
            true => report.error(location, message, help),
            false => report.warning(location, message, help),
        }
    }
    loaded
}

pub(super) fn load_file(file: &NamedFile) -> LoadedTokens {
    const MAKE_ONE: &str = "`ringway token --role read NAME` prints a token and the line for this file";
    let mut complaints = Vec::new();
    let name = file.path.display();
    let mut complain = |is_error, message, help: &str| {
        complaints.push(Complaint { is_error, location: file.location, message, help: help.to_owned() });
    };
    let roles = AdminRole::WORDS.map(|(word, _)| word);
    let tokens = match files::read_text(&file.path, MAX_FILE_BYTES) {
        Err(reason) => {
            complain(true, format!("cannot read {name}: {reason}"), MAKE_ONE);
            None
        }
        Ok(text) => match BearerTokens::parse(&text, &roles) {
            Ok(tokens) => Some(tokens),
            Err(faults) => {
                for fault in faults.iter().take(MAX_TOLD) {
                    complain(true, format!("line {} of {name}: {}", fault.line, fault.message), MAKE_ONE);
                }
                None
            }
        },
    };
    if tokens.as_ref().is_some_and(BearerTokens::is_empty) {
        complain(false, format!("{name} has no tokens"), MAKE_ONE);
    }
    let mode = fs::metadata(&file.path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o022 != 0 {
        let message = format!("{name} can be written by others than its owner, who could let themselves in");
        complain(true, message, "chmod go-w it");
    }
    LoadedTokens { tokens, complaints }
}

impl AdminAccess {
    /// Of the configuration in service, with its tokens, certificates and CAs as they are now.
    pub(super) fn new(
        config: &Config,
        (tokens, elb_keys): (&LoadedTokens, &LoadedElbKeys),
        trust: (&Certificates, &[LoadedAuthority]),
    ) -> AdminAccess {
        let tls = secured(config, trust);
        let wanted = config.admin.tls.as_ref();
        AdminAccess {
            tokens: tokens.tokens.clone().unwrap_or_default(),
            is_closed: wanted.is_some() && tls.is_none(),
            tls,
            client_role: wanted.filter(|tls| tls.client_ca.is_some()).map(|tls| tls.client_role),
            audit: config.admin.audit.as_ref().map(|file| file.path.clone()),
            elb: ElbAccess::new(config, elb_keys),
        }
    }
}

/// None also where something is missing, which was told.
fn secured(
    config: &Config,
    (certificates, authorities): (&Certificates, &[LoadedAuthority]),
) -> Option<BlockingServer> {
    let wanted = config.admin.tls.as_ref()?;
    let index = config.certificates.iter().position(|one| one.name == wanted.certificate.0)?;
    let certificate = certificates.get(index)?.as_ref()?;
    let trusted = match &wanted.client_ca {
        None => None,
        Some((name, _)) => {
            let index = config.authorities.iter().position(|one| one.name == *name)?;
            let authority = authorities.get(index)?.authority.clone()?;
            Some(Arc::new(TrustedCas::new(vec![authority])))
        }
    };
    BlockingServer::new(certificate, trusted).ok()
}
