//! Everything that a configuration names and only files have: certificates, keys, secrets. Starting
//! and checking go through here, so both find the same errors.

pub mod admin_access;
pub mod elb_keys;
pub mod authorities;
pub mod certificates;
pub mod collector;
pub mod error_pages;
pub(super) mod expiry;
pub mod inventory;
pub mod ip_groups;
pub mod password_files;
pub mod tls_offer;
pub mod file_reload;
pub mod tls;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use crate::config;
use crate::config::Config;
use crate::config::ListenerTls;
use crate::config::Location;
use crate::config::NamedFile;
use crate::config::Report;
use crate::config::ServerGroup;
use crate::config::Verify;
use crate::control::credentials::admin_access::LoadedTokens;
use crate::control::credentials::authorities::LoadedAuthority;
use crate::control::credentials::certificates::ReadFile;
use crate::control::credentials::collector::LoadedCollector;
use crate::control::credentials::elb_keys::LoadedElbKeys;
use crate::control::credentials::error_pages::LoadedPage;
use crate::control::credentials::ip_groups::LoadedIpGroup;
use crate::control::credentials::password_files::LoadedPasswordFile;
use crate::tls::connect;
use crate::tls::connect::NoSystemRoots;
use crate::tls::connect::SystemRoots;
use crate::tls::sni::CertificateIndex;
use crate::tls::sni::Shadowed;
use crate::tls::sni::SniMatch;
use crate::tls::tickets::MIN_SEED_BYTES;
use crate::tls::tls_policy::Offer;
use crate::tls::x509::certificates::Certificate;
use crate::tls::x509::certificates::MAX_FILE_BYTES;

/// What the files held. Where the report has errors, something is missing.
pub struct Credentials {
    /// Beside [`Config::certificates`].
    pub certificates: Vec<Option<Arc<Certificate>>>,
    /// Beside [`Config::listeners`]; None for a listener without TLS.
    pub listeners: Vec<Option<ListenerCredentials>>,
    /// Beside [`Config::authorities`].
    pub authorities: Vec<LoadedAuthority>,
    /// Those of [`Config::error_pages`], and behind them those of fixed responses and of maintenance.
    pub error_pages: Vec<LoadedPage>,
    /// Beside [`Config::ip_groups`].
    pub ip_groups: Vec<LoadedIpGroup>,
    /// What `basic_auth` of rules names.
    pub password_files: Vec<LoadedPasswordFile>,
    pub collector: LoadedCollector,
    /// Of clients of the admin address.
    pub admin_tokens: LoadedTokens,
    pub elb_keys: LoadedElbKeys,
    /// Read only if a server group or the collector wants them.
    pub system_roots: Option<SystemRoots>,
    pub ticket_seed: Option<Vec<u8>>,
}

pub struct ListenerCredentials {
    pub offer: Offer,
    pub index: Arc<CertificateIndex>,
}

impl Credentials {
    /// Makes the index of a listener again, from the certificates as they are now. Warnings were given
    /// when it was made first.
    pub fn index_anew(&mut self, listener: usize, tls: &ListenerTls) {
        let own = tls.certificates.iter().map(|index| self.certificates.get(*index)?.clone());
        let (Some(own), Some(Some(credentials))) =
            (own.collect::<Option<Vec<_>>>(), self.listeners.get_mut(listener))
        else {
            return;
        };
        credentials.index = Arc::new(CertificateIndex::new(&own, sni_match(tls)).0);
    }
}

/// Reads and checks all files, and reports what is wrong where they are named.
pub fn load(config: &Config, read_file: &ReadFile<'_>, report: &mut Report) -> Credentials {
    let certificates = certificates(config, read_file, report);
    let offers = tls_offer::offers(config, report);
    let listeners = config.listeners.iter().zip(offers).map(|(listener, offer)| {
        let tls = listener.tls.as_ref()?;
        let own: Option<Vec<_>> = tls.certificates.iter().map(|index| certificates[*index].clone()).collect();
        let own = own.filter(|own| !own.is_empty())?;
        let index = index(tls, &own, config, report);
        check_fit(tls, &own, offer.as_ref()?, report);
        Some(ListenerCredentials { offer: offer?, index: Arc::new(index) })
    });
    let listeners = listeners.collect();
    let ticket_seed =
        config.process.ticket_seed_file.as_ref().and_then(|file| ticket_seed(file, read_file, report));
    let authorities = authorities::load(config);
    authorities::report(&authorities, report);
    let ip_groups = ip_groups::load(config, report);
    let password_files = password_files::load(config, report);
    let error_pages = error_pages::load(config, read_file, report);
    let collector = collector::load(config, report);
    let admin_tokens = admin_access::load(config, report);
    let elb_keys = elb_keys::load(config, report);
    let system_roots = system_roots(config, report);
    Credentials {
        certificates,
        listeners,
        authorities,
        error_pages,
        ip_groups,
        password_files,
        collector,
        admin_tokens,
        elb_keys,
        system_roots,
        ticket_seed,
    }
}

/// Every file that [`load`] reads.
pub fn named_files(config: &Config) -> Vec<&NamedFile> {
    let certificates = config.certificates.iter();
    let of_certificates = certificates.flat_map(|one| [&one.chain, &one.key].into_iter().chain(&one.ocsp));
    let of_authorities = config.authorities.iter().flat_map(|one| [&one.bundle].into_iter().chain(&one.crl));
    let of_ip_groups = config.ip_groups.iter().filter_map(|group| group.file.as_ref());
    let of_collector =
        config.tracing.collector.iter().flat_map(|one| one.ca_file.iter().chain(&one.headers_file));
    of_certificates
        .chain(of_authorities)
        .chain(of_ip_groups)
        .chain(password_files::named(config))
        .chain(error_pages::named(config).into_iter().map(|page| page.file))
        .chain(of_collector)
        .chain(&config.process.ticket_seed_file)
        .chain(&config.admin.tokens_file)
        .chain(config.admin.elb_api.as_ref().map(|api| &api.keys_file))
        .collect()
}

fn system_roots(config: &Config, report: &mut Report) -> Option<SystemRoots> {
    let wants = |group: &&ServerGroup| group.tls.as_ref().is_some_and(|tls| tls.verify == Verify::System);
    let install = "install them (Debian: apt-get install ca-certificates), or name";
    let (location, what, help) = match config.server_groups.iter().find(wants) {
        Some(group) => {
            (group.location, "verify = \"system\"", format!("{install} a [[ca]] with verify = \"ca\""))
        }
        None => {
            collector::wants_system_roots(config)?;
            (Location::default(), "`otlp` begins with https", format!("{install} the CA by `ca_file`"))
        }
    };
    match connect::system_roots() {
        Ok(roots) => Some(roots),
        Err(NoSystemRoots(reasons)) => {
            report.error(location, format!("{what}, but this host has no CA certificates: {reasons}"), help);
            None
        }
    }
}

/// Warnings about names are of interest only where clients ask by them.
fn certificates(
    config: &Config,
    read_file: &ReadFile<'_>,
    report: &mut Report,
) -> Vec<Option<Arc<Certificate>>> {
    let mut is_asked_for = vec![false; config.certificates.len()];
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        tls.certificates.iter().for_each(|index| is_asked_for[*index] = true);
    }
    let outcomes = certificates::read_all(&config.certificates, read_file);
    let mut certificates = Vec::with_capacity(outcomes.len());
    for ((outcome, wanted), is_asked_for) in outcomes.into_iter().zip(&config.certificates).zip(is_asked_for)
    {
        for finding in outcome.findings {
            let location = certificates::place_of(&finding, wanted);
            match finding.is_warning() {
                true if finding.is_about_names() && !is_asked_for => {}
                true if finding.is_note() => report.note(location, finding.message(), finding.fix()),
                true => report.warning(location, finding.message(), finding.fix()),
                false => report.error(location, finding.message(), finding.fix()),
            }
        }
        certificates.push(outcome.certificate);
    }
    certificates
}

fn index(
    tls: &ListenerTls,
    own: &[Arc<Certificate>],
    config: &Config,
    report: &mut Report,
) -> CertificateIndex {
    let (index, shadowed) = CertificateIndex::new(own, sni_match(tls));
    let name = |number: usize| {
        tls.certificates.get(number).map_or("", |index| config.certificates[*index].name.as_str())
    };
    let is_same_pair = |a: &Shadowed, b: &Shadowed| (a.certificate, a.by) == (b.certificate, b.by);
    for pair in shadowed.chunk_by(is_same_pair) {
        let Some(first) = pair.first() else { continue };
        let more = match pair.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let message = format!(
            "the certificates \"{by}\" and \"{other}\" have the same kind of key and both name {named}{more}: \
             \"{by}\" is shown",
            by = name(first.by),
            other = name(first.certificate),
            named = first.name,
        );
        report.warning(tls.location, message, "name each host once, or once with RSA and once with ECDSA");
    }
    index
}

fn sni_match(tls: &ListenerTls) -> SniMatch {
    match tls.sni_match {
        config::SniMatch::Wildcard => SniMatch::Wildcard,
        config::SniMatch::LongestSuffix => SniMatch::LongestSuffix,
    }
}

/// Whether the offer has a cipher suite for each certificate.
fn check_fit(tls: &ListenerTls, own: &[Arc<Certificate>], offer: &Offer, report: &mut Report) {
    let unfit = own.iter().filter(|certificate| !offer.fits(certificate.is_ecdsa)).count();
    let Some(first) = own.iter().find(|certificate| !offer.fits(certificate.is_ecdsa)) else { return };
    let kind = if first.is_ecdsa { "ECDSA" } else { "RSA" };
    let policy = &tls.policy.name;
    let fix = format!("add \"1.3\", or a suite such as \"ECDHE-{kind}-AES128-GCM-SHA256\", to the policy");
    if unfit == own.len() {
        let message =
            format!("no handshake can succeed: the policy \"{policy}\" has no suite for {kind} keys");
        report.error(tls.location, message, fix);
    } else {
        let message = format!(
            "certificates with {kind} keys are never shown: the policy \"{policy}\" has no suite for them"
        );
        report.warning(tls.location, message, fix);
    }
}

fn ticket_seed(file: &NamedFile, read_file: &ReadFile<'_>, report: &mut Report) -> Option<Vec<u8>> {
    let make_one = "make one for the whole fleet: openssl rand -out FILE 64; chmod 600 FILE";
    let name = file.path.display();
    let bytes = match read_file(&file.path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.error(file.location, format!("cannot read {name}: {error}"), make_one);
            return None;
        }
    };
    if !(MIN_SEED_BYTES..=MAX_FILE_BYTES).contains(&bytes.len()) {
        let message = format!("{name} has {} bytes; a seed has at least {MIN_SEED_BYTES}", bytes.len());
        report.error(file.location, message, make_one);
        return None;
    }
    let mode = fs::metadata(&file.path).map_or(0, |metadata| metadata.permissions().mode());
    // That of a credential has the mask of its access list in the place of the group.
    if mode & 0o044 != 0 && !file.is_credential() {
        let message = format!("{name} can be read by other users, who could decrypt recorded sessions");
        report.warning(file.location, message, format!("chmod 600 {name}"));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
