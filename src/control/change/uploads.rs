//! Files made of what was sent: certificates, keys and pages. They stand in folders of their own beside the configuration,
//! with a digest in their names, so that another content is another file and the change of the TOML decides.

use std::collections::BTreeSet;
use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

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
                let ending = ending(settings, key, &change.path)?;
                let file = format!("{}-{}.{ending}", plain(name), digest_of(&content));
                let relative = Path::new(kind.segment()).join(file);
                let path = folder.join(&relative);
                self.write(&path, content.as_bytes(), key.mode)
                    .map_err(|error| refusals::of_writing(&path, &error))?;
                let named = if is_beside { relative } else { path };
                settings.insert(key.names.to_owned(), Json::from(named.display().to_string()));
            }
        }
        Ok(())
    }

    /// They are in use.
    pub(super) fn keep(mut self) {
        self.made.clear();
        self.made_folders.clear();
    }

    fn write(&mut self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        if fs::read(path).is_ok_and(|known| known == content) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        if !folder.is_dir() {
            DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
            self.made_folders.push(folder.to_owned());
            staging::sync_folder(folder)?;
        }
        let staged = StagedFile::write(path, content, None)?;
        fs::set_permissions(staging::beside(path), fs::Permissions::from_mode(mode))?;
        staged.put_in_place()?;
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

/// Removes files that were made here, which the configuration named before and names no more.
pub(super) fn remove_unused(folder: &Path, before: &BTreeSet<PathBuf>, now: &BTreeSet<PathBuf>) {
    for path in before.difference(now).filter(|path| is_made_here(folder, path)) {
        drop(fs::remove_file(path));
    }
}

fn is_made_here(folder: &Path, path: &Path) -> bool {
    let is_folder = |kind: ObjectKind| path.parent() == Some(&folder.join(kind.segment()));
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let digest = stem.rsplit('-').next().unwrap_or_default();
    KEYS.iter().any(|key| is_folder(key.kind))
        && digest.len() == DIGEST_DIGITS
        && digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
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

fn digest_of(content: &str) -> String {
    let digest = sha256([content.as_bytes()].into_iter());
    digest.iter().take(DIGEST_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// A name as it may stand in that of a file.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(64).collect();
    plain.trim_start_matches('.').to_owned()
}
