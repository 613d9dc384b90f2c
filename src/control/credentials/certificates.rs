//! The certificates of a configuration, read from their files.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crate::config;
use crate::config::Location;
use crate::config::NamedFile;
use crate::control::files;
use crate::net::clock;
use crate::tls::x509::certificate_faults::CertificateFault;
use crate::tls::x509::certificate_faults::CertificateFinding;
use crate::tls::x509::certificate_faults::FileFault;
use crate::tls::x509::certificate_faults::Part;
use crate::tls::x509::certificates;
use crate::tls::x509::certificates::Certificate;
use crate::tls::x509::certificates::CertificateFile;
use crate::tls::x509::certificates::CertificateFiles;
use crate::tls::x509::certificates::CheckedFiles;
use crate::tls::x509::certificates::MAX_FILE_BYTES;

/// With so few, a second thread is not worth its start.
const PER_THREAD_MIN: usize = 64;

/// How files are read. Those that no disk holds can be made up.
pub type ReadFile<'r> = dyn Fn(&Path) -> io::Result<Vec<u8>> + Sync + 'r;

/// The same, for those who read again later.
pub type KeptReadFile = Box<dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync>;

/// What came of the files of one certificate.
pub struct LoadOutcome {
    /// None when one of the findings is an error.
    pub certificate: Option<Arc<Certificate>>,
    pub findings: Vec<CertificateFinding>,
}

/// Reads a file whole, unless it is far too large; then a little more than is allowed.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    files::read(path, MAX_FILE_BYTES as u64 + 1)
}

/// Reads the files of all certificates, on as many threads as there are CPUs.
pub fn read_all(list: &[config::Certificate], read_file: &ReadFile<'_>) -> Vec<LoadOutcome> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let share = list.len().div_ceil(cpus).max(PER_THREAD_MIN);
    let mut outcomes = Vec::with_capacity(list.len());
    thread::scope(|scope| {
        let mut shares = list.chunks(share);
        let own = shares.next().unwrap_or_default();
        let read_share = move |share: &[config::Certificate]| -> Vec<LoadOutcome> {
            share.iter().map(|certificate| read_one(certificate, read_file)).collect()
        };
        let threads: Vec<_> = shares.map(|share| scope.spawn(move || read_share(share))).collect();
        outcomes.extend(read_share(own));
        for thread in threads {
            outcomes.extend(thread.join().expect("reading a certificate does not panic"));
        }
    });
    outcomes
}

/// Reads the files of one certificate.
pub fn read_one(wanted: &config::Certificate, read_file: &ReadFile<'_>) -> LoadOutcome {
    let read = |part, file: &NamedFile| {
        let name = file.path.display().to_string();
        match read_file(&file.path) {
            Ok(bytes) => Ok((name, bytes)),
            Err(error) => {
                let fault = CertificateFault::File(FileFault::Unreadable(error.to_string()));
                Err(CertificateFinding { part, file: name, fault })
            }
        }
    };
    let staple = wanted.ocsp.as_ref().map(|file| read(Part::Staple, file));
    let files = (read(Part::Chain, &wanted.chain), read(Part::Key, &wanted.key), staple.transpose());
    let (chain, key, staple) = match files {
        (Ok(chain), Ok(key), Ok(staple)) => (chain, key, staple),
        (chain, key, staple) => {
            let findings = [chain.err(), key.err(), staple.err()].into_iter().flatten().collect();
            return LoadOutcome { certificate: None, findings };
        }
    };
    let files = CertificateFiles {
        chain: CertificateFile { name: &chain.0, bytes: &chain.1 },
        key: CertificateFile { name: &key.0, bytes: &key.1 },
        staple: staple.as_ref().map(|(name, bytes)| CertificateFile { name, bytes }),
    };
    let now = i64::try_from(clock::wall_now().as_secs()).unwrap_or(i64::MAX);
    match certificates::read(&files, now) {
        Ok(CheckedFiles { certificate, remarks }) => match chosen(certificate, wanted, &chain.0) {
            Ok(certificate) => LoadOutcome { certificate: Some(Arc::new(certificate)), findings: remarks },
            Err(foreign) => LoadOutcome { certificate: None, findings: [remarks, foreign].concat() },
        },
        Err(findings) => LoadOutcome { certificate: None, findings },
    }
}

/// The certificate with those of its names by which clients are to get it.
fn chosen(
    mut certificate: Certificate,
    wanted: &config::Certificate,
    chain: &str,
) -> Result<Certificate, Vec<CertificateFinding>> {
    let Some((names, _)) = &wanted.names else { return Ok(certificate) };
    let foreign = names.iter().filter(|name| !certificate.names.contains(name));
    let foreign: Vec<_> = foreign
        .map(|name| CertificateFinding {
            part: Part::Names,
            file: chain.to_owned(),
            fault: CertificateFault::ForeignName { name: name.clone(), own: certificate.names.clone() },
        })
        .collect();
    if !foreign.is_empty() {
        return Err(foreign);
    }
    certificate.names.retain(|name| names.contains(name));
    Ok(certificate)
}

/// Where what a finding is about is named.
pub fn place_of(finding: &CertificateFinding, certificate: &config::Certificate) -> Location {
    match finding.part {
        Part::Chain => certificate.chain.location,
        Part::Key => certificate.key.location,
        Part::Names => certificate.names.as_ref().map_or(certificate.location, |(_, location)| *location),
        Part::Staple => certificate.ocsp.as_ref().map_or(certificate.location, |file| file.location),
    }
}
