//! The files of `[[ca]]`: read at the start, and again when they change.

use std::path::Path;
use std::sync::Arc;

use crate::config;
use crate::config::ClientAuthMode;
use crate::config::Config;
use crate::config::Location;
use crate::config::NamedFile;
use crate::config::Report;
use crate::control::files;
use crate::tls::x509::ca::Ca;
use crate::tls::x509::ca::TrustedCas;
use crate::tls::x509::ca_files::CaFile;

/// The lists of large CAs have some tens of MiB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// What came of the files of one `[[ca]]`.
#[derive(Default)]
pub struct LoadedAuthority {
    /// None when one of the complaints is an error.
    pub authority: Option<Arc<Ca>>,
    pub complaints: Vec<Complaint>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug)]
pub struct Complaint {
    pub is_error: bool,
    /// Where the path stands in the configuration.
    pub location: Location,
    pub message: String,
    pub help: String,
}

/// Every `[[ca]]`, in the order of [`Config::authorities`].
pub fn load(config: &Config) -> Vec<LoadedAuthority> {
    config.authorities.iter().map(load_one).collect()
}

/// Tells the report what was found.
pub fn report(loaded: &[LoadedAuthority], report: &mut Report) {
    for complaint in loaded.iter().flat_map(|loaded| &loaded.complaints) {
        let Complaint { is_error, location, message, help } = complaint.clone();
        match is_error {
            true => report.error(location, message, help),
            false => report.warning(location, message, help),
        }
    }
}

/// What this listener trusts; None if it asks no client, or if a CA of it could not be loaded.
pub fn of_listener(listener: &config::Listener, loaded: &[LoadedAuthority]) -> Option<Arc<TrustedCas>> {
    if listener.client_auth.mode == ClientAuthMode::Off {
        return None;
    }
    let wanted = listener.client_auth.ca.iter();
    let authorities: Option<Vec<_>> =
        wanted.map(|index| loaded.get(*index)?.authority.as_ref().map(Arc::clone)).collect();
    // Without any CA no client could be verified, and that must not come to mean that each is.
    Some(Arc::new(TrustedCas::new(authorities?)))
}

/// The files of one `[[ca]]`.
pub fn load_one(authority: &config::Authority) -> LoadedAuthority {
    let mut complaints = Vec::new();
    let mut read_file = |file: &NamedFile| {
        let name = file.path.display().to_string();
        match read(&file.path) {
            Ok(bytes) => Some((name, bytes, file.location)),
            Err(reason) => {
                let help = "name a file that ringway may read".to_owned();
                let message = format!("cannot read {name}: {reason}");
                complaints.push(Complaint { is_error: true, location: file.location, message, help });
                None
            }
        }
    };
    let bundle = read_file(&authority.bundle);
    let lists: Option<Vec<_>> =
        authority.crl.iter().map(&mut read_file).collect::<Vec<_>>().into_iter().collect();
    let (Some(bundle), Some(lists)) = (bundle, lists) else {
        return LoadedAuthority { authority: None, complaints };
    };
    let files: Vec<_> = lists.iter().map(|(name, bytes, _)| CaFile { name, bytes }).collect();
    let (loaded, findings) = Ca::load(CaFile { name: &bundle.0, bytes: &bundle.1 }, &files);
    for finding in findings {
        let place = lists.iter().find(|(name, ..)| *name == finding.file).unwrap_or(&bundle);
        complaints.push(Complaint {
            is_error: finding.problem.is_error(),
            location: place.2,
            message: finding.message(),
            help: finding.fix(),
        });
    }
    LoadedAuthority { authority: loaded.map(Arc::new), complaints }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = files::read(path, MAX_FILE_BYTES + 1).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Source;

    /// A CA as `openssl` makes it; a fixture, so that the test needs no tools.
    const CA: &str = include_str!("authorities/ca.crt");

    #[test]
    fn what_is_wrong_with_files_is_told_at_their_place() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.crt"), CA).unwrap();
        fs::write(folder.path().join("text.crl"), "hello").unwrap();
        fs::write(folder.path().join("ringway.key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let text = "config_version = 1\n[[ca]]\nname = \"a\"\nbundle = \"ca.crt\"\ncrl = [\"text.crl\", \"gone.crl\"]\n\
                    [[ca]]\nname = \"b\"\nbundle = \"gone.crt\"\n[[ca]]\nname = \"c\"\nbundle = \"ringway.key\"\n\
                    [[ca]]\nname = \"d\"\nbundle = \"ca.crt\"\ncrl = [\"text.crl\"]\n[[ca]]\nname = \"e\"\nbundle = \"ca.crt\"\n\
                    [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\n\
                    [listener.client_auth]\nmode = \"off\"\nca = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n";
        let source = Source::file(Path::new("a.toml"), folder.path().to_owned(), Ok(text.to_owned()));
        let mut config = config::load(vec![source]);
        let mut listener = config.config.as_ref().unwrap().listeners[0].clone();
        let loaded = load(config.config.as_ref().unwrap());
        report(&loaded, &mut config.report);
        let told = config.report.to_text(false);
        let errors: Vec<_> = told.lines().filter(|line| line.contains(": error: ")).collect();
        let folder = folder.path().display();
        assert_eq!(
            errors,
            [
                format!(
                    "a.toml:5:20: error: cannot read {folder}/gone.crl: No such file or directory (os error 2)"
                ),
                format!(
                    "a.toml:8:10: error: cannot read {folder}/gone.crt: No such file or directory (os error 2)"
                ),
                format!("a.toml:11:10: error: there is a private key in {folder}/ringway.key"),
                format!("a.toml:15:8: error: {folder}/text.crl is not a PEM file"),
            ]
        );
        let has = |index: usize| loaded[index].authority.is_some();
        assert_eq!([0, 1, 2, 3, 4].map(has), [false, false, false, false, true]);
        // No client is let in where a CA is missing, and none is asked where the mode is off.
        assert!(of_listener(&listener, &loaded).is_none());
        listener.client_auth = config::ClientAuth { mode: ClientAuthMode::Require, ca: vec![4] };
        assert!(of_listener(&listener, &loaded).is_some());
        listener.client_auth.ca.push(3);
        assert!(of_listener(&listener, &loaded).is_none());
    }
}
