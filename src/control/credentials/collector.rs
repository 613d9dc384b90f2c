//! The files that `[tracing]` names for its collector.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use crate::config;
use crate::config::Collector;
use crate::config::Config;
use crate::config::NamedFile;
use crate::config::Report;
use crate::config::frames_requests;
use crate::control::credentials::authorities;
use crate::control::files;
use crate::tls::x509::ca::Ca;

/// A few headers.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What the files held.
#[derive(Default)]
pub struct LoadedCollector {
    /// None: the CAs of this host are trusted.
    pub ca: Option<Arc<Ca>>,
    /// Secret.
    pub headers: Vec<(String, String)>,
}

/// Reads what the collector of a configuration needs; tells the report what is wrong.
pub(super) fn load(config: &Config, report: &mut Report) -> LoadedCollector {
    let Some(Collector { ca_file, headers_file, .. }) = &config.tracing.collector else {
        return LoadedCollector::default();
    };
    let ca = ca_file.as_ref().and_then(|file| {
        let bundle = file.clone();
        let authority =
            config::Authority { name: String::new(), location: bundle.location, bundle, crl: Vec::new() };
        let loaded = [authorities::load_one(&authority)];
        authorities::report(&loaded, report);
        let [loaded] = loaded;
        loaded.authority
    });
    let headers = headers_file.as_ref().map_or_else(Vec::new, |file| headers(file, report));
    LoadedCollector { ca, headers }
}

/// Whether the collector is known by the CAs of this host.
pub(super) fn wants_system_roots(config: &Config) -> Option<&Collector> {
    let collector = config.tracing.collector.as_ref();
    collector.filter(|collector| collector.url.is_secure && collector.ca_file.is_none())
}

/// The headers in a file: a line for each, with its name, a colon and its value.
fn headers(file: &NamedFile, report: &mut Report) -> Vec<(String, String)> {
    let name = file.path.display();
    let bytes = match files::read(&file.path, MAX_FILE_BYTES + 1) {
        Ok(bytes) if bytes.len() as u64 <= MAX_FILE_BYTES => bytes,
        Ok(_) => {
            report.error(
                file.location,
                format!("{name} is larger than 64 KiB"),
                "write a line for each header",
            );
            return Vec::new();
        }
        Err(error) => {
            let help = "name a file that ringway may read";
            report.error(file.location, format!("cannot read {name}: {error}"), help);
            return Vec::new();
        }
    };
    let mode = fs::metadata(&file.path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o044 != 0 {
        let message = format!("{name} can be read by other users, who could use its secrets");
        report.warning(file.location, message, format!("chmod 600 {name}"));
    }
    let mut found = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match header(line) {
            Some((header, _)) if frames_requests(&header) => {
                let message = format!("line {} of {name} cannot have a header \"{header}\"", index + 1);
                report.error(file.location, message, "remove it: Ringway frames requests itself");
            }
            Some(header) => found.push(header),
            None => {
                // The line may hold a secret.
                let message = format!("line {} of {name} is no header", index + 1);
                report.error(file.location, message, "write lines such as Authorization: Bearer TOKEN");
            }
        }
    }
    found
}

fn header(line: &[u8]) -> Option<(String, String)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_value = |byte: u8| matches!(byte, b' '..=b'~' | b'\t');
    let is_header = !name.is_empty() && name.bytes().all(is_name) && value.bytes().all(is_value);
    is_header.then(|| (name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_headers() {
        let read = |line: &str| header(line.as_bytes());
        let expected = ("Authorization".to_owned(), "Bearer a:b".to_owned());
        assert_eq!(read("Authorization:  Bearer a:b "), Some(expected));
        for wrong in ["Authorization", ": b", "a b: c", "a: b\u{7f}", "a: \u{e9}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn headers_that_frame_requests_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        for name in ["Host", "content-length", "Transfer-Encoding", "Connection", "Content-Type"] {
            fs::write(&path, format!("# ours\nx-a: b\n{name}: s3cr3t\nx-c: d\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let mut report = Report::new(Vec::new());
            let file = NamedFile { path: path.clone(), ..NamedFile::default() };
            let found = headers(&file, &mut report);
            let said = report.to_text(false);
            let expected = format!("line 3 of {} cannot have a header \"{name}\"", path.display());
            assert!(report.has_errors() && said.contains(&expected) && !said.contains("s3cr3t"), "{said}");
            assert_eq!(found.len(), 2, "{found:?}");
        }
    }
}
