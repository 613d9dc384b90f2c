//! Files made of what was sent: certificates, keys and pages. They stand in folders of their own beside the configuration,
//! with a digest in their names, so that another content is another file and the change of the TOML decides.

use std::collections::BTreeSet;
use std::fs;
use std::fs::DirBuilder;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::ObjectKind;
use crate::config::ObjectPath;
use crate::config::edit::order::EditAction;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::ObjectChange;
use crate::control::change::order::RefusalKind;
use crate::control::change::refusals;
use crate::control::change::staging;
use crate::control::change::staging::StagedFile;
use crate::tls::x509::ca::sha256;

const FOLDER_MODE: u32 = 0o755;
const KEY_MODE: u32 = 0o600;
const OTHER_MODE: u32 = 0o644;

/// Hexadecimal digits of a digest in a name.
const DIGEST_DIGITS: usize = 16;

/// What is this old is of no change on its way, in no process: a change takes seconds.
const MIN_LEFT_BEHIND_SECONDS: u64 = 60;

/// Looked at in one change; more were left by something else than a kill now and then.
const MAX_LEFT_BEHIND: usize = 10_000;

/// Nothing larger is sent, and no configuration is.
const MAX_READ_BYTES: u64 = 32 << 20;

/// Endings of pages, by their media type.
const PAGES: [(&str, &str); 6] = [
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("application/json", "json"),
    ("application/xml", "xml"),
    ("image/svg+xml", "svg"),
    ("application/xhtml+xml", "xhtml"),
];

/// What can be sent in the place of the path of a file.
struct UploadKey {
    kind: ObjectKind,
    /// The key that was sent.
    sent: &'static str,
    /// The key that names the file.
    names: &'static str,
    ending: &'static str,
    mode: u32,
}

const KEYS: [UploadKey; 4] = [
    UploadKey {
        kind: ObjectKind::Certificate,
        sent: "chain_pem",
        names: "chain",
        ending: "crt",
        mode: OTHER_MODE,
    },
    UploadKey { kind: ObjectKind::Certificate, sent: "key_pem", names: "key", ending: "key", mode: KEY_MODE },
    UploadKey {
        kind: ObjectKind::Authority,
        sent: "bundle_pem",
        names: "bundle",
        ending: "pem",
        mode: OTHER_MODE,
    },
    UploadKey {
        kind: ObjectKind::ErrorPage,
        sent: "content",
        names: "file",
        ending: "html",
        mode: OTHER_MODE,
    },
];

/// Files that were made; removed if they are not kept.
#[derive(Default)]
pub(super) struct Uploads {
    /// All files that stand for what was sent, and the keys that it was sent under.
    sent: Vec<(PathBuf, &'static str)>,
    made: Vec<PathBuf>,
    made_folders: Vec<PathBuf>,
}

impl Uploads {
    /// Makes files of what the changes send, and has the settings name them. `folder` is that of new objects; `of_file` tells
    /// the folder of the file that an object stands in.
    ///
    /// # Errors
    /// A file cannot be made, or what was sent is no text.
    pub(super) fn make(
        &mut self,
        changes: &mut [ObjectChange],
        folder: &Path,
        of_file: impl Fn(&ObjectPath) -> Option<PathBuf>,
    ) -> Result<(), ChangeRefusal> {
        for change in changes {
            let ObjectPath::Named { kind, name } = &change.path else { continue };
            let settings = match &mut change.action {
                EditAction::Create(settings)
                | EditAction::Replace(settings)
                | EditAction::Merge(settings) => settings,
                EditAction::Delete => continue,
            };
            let is_beside = of_file(&change.path).is_none_or(|of_file| of_file == folder);
            for key in KEYS.iter().filter(|key| key.kind == *kind) {
                let Some(content) = take(settings, key, &change.path)? else { continue };
                check_secrecy(&content, key, &change.path)?;
                let ending = ending(settings, key, &change.path)?;
                let file = format!("{}-{}.{ending}", plain(name), digest_of(content.as_bytes()));
                let relative = Path::new(kind.segment()).join(file);
                let path = folder.join(&relative);
                self.sent.push((path.clone(), key.sent));
                self.write(&path, content.as_bytes(), key.mode)
                    .map_err(|error| refusals::of_writing_in(folder, &path, &error))?;
                let named = if is_beside { relative } else { path };
                settings.insert(key.names.to_owned(), Json::from(named.display().to_string()));
            }
        }
        Ok(())
    }

    /// A refusal in the words of those who sent the files, which they do not see and which go with the change.
    pub(super) fn in_sent_words(&self, refusal: ChangeRefusal) -> ChangeRefusal {
        let mut refusal = refusal;
        for (path, key) in &self.sent {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let without_path =
                |text: &str| without_path(&text.replace(&path.display().to_string(), key), file, key);
            refusal.sentence = without_path(&refusal.sentence);
            refusal.help = without_path(&refusal.help);
            for fault in &mut refusal.faults {
                let message = without_path(&fault.message);
                if message != fault.message || fault.place.contains(file) {
                    fault.place.clear();
                }
                fault.help = without_path(&fault.help);
                fault.message = message;
            }
        }
        refusal
    }

    /// They are in use.
    pub(super) fn keep(mut self) {
        self.made.clear();
        self.made_folders.clear();
    }

    fn write(&mut self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
        if let Some(found) = found
            && fs::read(path).is_ok_and(|known| known == content)
        {
            // Others may have made it for more readers; a key is for its owner alone.
            let is_wider = found.mode() & 0o777 & !mode != 0;
            if !is_wider || fs::set_permissions(path, Permissions::from_mode(mode)).is_ok() {
                return Ok(());
            }
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        if !folder.is_dir() {
            DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
            self.made_folders.push(folder.to_owned());
            staging::sync_folder(folder)?;
        }
        StagedFile::write_with_mode(path, content, mode)?.put_in_place()?;
        self.made.push(path.to_owned());
        staging::sync_folder(path)
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.made.iter().for_each(|path| drop(fs::remove_file(path)));
        self.made_folders.iter().for_each(|path| drop(fs::remove_dir(path)));
    }
}

/// Removes files that were made here and that nobody names: those that the configuration named before, and those that a
/// process left behind which was killed meanwhile.
pub(super) fn remove_unused(
    folder: &Path,
    before: &BTreeSet<PathBuf>,
    now: &BTreeSet<PathBuf>,
    at: Duration,
) {
    let mut unused: BTreeSet<PathBuf> = before.difference(now).cloned().collect();
    unused.extend(left_behind(folder, at).into_iter().filter(|path| !now.contains(path)));
    unused.retain(|path| is_made_here(folder, path));
    if unused.is_empty() {
        return;
    }
    // The folder may have several paths.
    let real: BTreeSet<PathBuf> = now.iter().filter_map(|path| path.canonicalize().ok()).collect();
    unused.retain(|path| path.canonicalize().is_ok_and(|path| !real.contains(&path)));
    // Another process may have its own configuration in this folder.
    let texts = texts_beside(folder);
    let is_named = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        texts.iter().any(|text| text.contains(name.as_ref()))
    };
    for path in unused.iter().filter(|path| !is_named(path)) {
        drop(fs::remove_file(path));
    }
}

/// What is not as new as that of a change on its way.
fn left_behind(folder: &Path, at: Duration) -> Vec<PathBuf> {
    let kinds: BTreeSet<&str> = KEYS.iter().map(|key| key.kind.segment()).collect();
    let entries = kinds.into_iter().filter_map(|kind| fs::read_dir(folder.join(kind)).ok()).flatten();
    let is_old = |found: &fs::Metadata| {
        let modified = u64::try_from(found.mtime()).unwrap_or_default();
        modified.saturating_add(MIN_LEFT_BEHIND_SECONDS) < at.as_secs()
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.metadata().is_ok_and(|found| is_old(&found)))
        .map(|entry| entry.path())
        .take(MAX_LEFT_BEHIND)
        .collect()
}

/// Everything in the folder that may be a configuration.
fn texts_beside(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let files = entries.map(|entry| entry.path()).filter(|path| {
        path.extension().is_some_and(|ending| ending == "toml")
            && fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= MAX_READ_BYTES)
    });
    files.filter_map(|path| Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())).collect()
}

/// Whether the name of a file in a folder of ours has the digest of what the file holds, which names of others do not.
fn is_made_here(folder: &Path, path: &Path) -> bool {
    let is_folder = |kind: ObjectKind| path.parent() == Some(&folder.join(kind.segment()));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !KEYS.iter().any(|key| is_folder(key.kind)) {
        return false;
    }
    // One that was not even put in its place holds no more than a part.
    if let Some(target) = staging::target_of(name) {
        return digest_in(target).is_some();
    }
    let Some(digest) = digest_in(name) else { return false };
    let is_file =
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() <= MAX_READ_BYTES);
    is_file && fs::read(path).is_ok_and(|content| digest_of(&content) == digest)
}

/// The digest in a name as those of uploads are.
fn digest_in(name: &str) -> Option<&str> {
    let (stem, _) = name.rsplit_once('.')?;
    let (_, digest) = stem.rsplit_once('-')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digest.len() == DIGEST_DIGITS && digest.bytes().all(is_digit)).then_some(digest)
}

/// A text that names a key in the place of each path to a file, however that begins.
fn without_path(text: &str, file: &str, key: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(file) {
        let begin = rest[..found].rfind([' ', '"', '`', '\'', '(', '=']).map_or(0, |at| at + 1);
        said.push_str(&rest[..begin]);
        said.push_str(key);
        rest = &rest[found + file.len()..];
    }
    said + rest
}

/// # Errors
/// A private key came where everybody may read the file.
fn check_secrecy(content: &str, key: &UploadKey, path: &ObjectPath) -> Result<(), ChangeRefusal> {
    let is_secret = |line: &str| line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----");
    if key.mode == KEY_MODE || key.kind == ObjectKind::ErrorPage || !content.lines().any(is_secret) {
        return Ok(());
    }
    let sentence =
        format!("`{}` of {path} holds a private key, and everybody may read certificates", key.sent);
    let help = match key.kind {
        ObjectKind::Certificate => "send the key as `key_pem`, and nothing but certificates here",
        _ => "send certificates only: a CA has no key here; the key of a certificate is its `key_pem`",
    };
    Err(ChangeRefusal::new(RefusalKind::Invalid, sentence, help))
}

/// What was sent under a key.
fn take(
    settings: &mut Map<String, Json>,
    key: &UploadKey,
    path: &ObjectPath,
) -> Result<Option<String>, ChangeRefusal> {
    match settings.remove(key.sent) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(_)) if settings.get(key.names).is_some_and(|named| !named.is_null()) => {
            let sentence = format!("{path} has both `{}` and `{}`", key.sent, key.names);
            Err(ChangeRefusal::new(RefusalKind::Invalid, sentence, "send one of the two"))
        }
        Some(Json::String(content)) => Ok(Some(content)),
        Some(_) => {
            let sentence = format!("`{}` of {path} is no text", key.sent);
            Err(ChangeRefusal::new(RefusalKind::Invalid, sentence, "send the text of the file as a string"))
        }
    }
}

fn ending(
    settings: &mut Map<String, Json>,
    key: &UploadKey,
    path: &ObjectPath,
) -> Result<&'static str, ChangeRefusal> {
    if key.kind != ObjectKind::ErrorPage {
        return Ok(key.ending);
    }
    let Some(wanted) = settings.remove("content_type") else { return Ok(key.ending) };
    let wanted = wanted.as_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
    let found = PAGES.iter().find(|(media_type, _)| wanted.eq_ignore_ascii_case(media_type));
    found.map(|(_, ending)| *ending).ok_or_else(|| {
        let known: Vec<&str> = PAGES.iter().map(|(media_type, _)| *media_type).collect();
        let sentence = format!("`content_type` of {path} is none of a page");
        ChangeRefusal::new(RefusalKind::Invalid, sentence, format!("known are: {}", known.join(", ")))
    })
}

fn digest_of(content: &[u8]) -> String {
    let digest = sha256([content].into_iter());
    digest.iter().take(DIGEST_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// A name as it may stand in that of a file.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(64).collect();
    plain.trim_start_matches('.').to_owned()
}
