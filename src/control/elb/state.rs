//! Where the objects of the ELB API are kept: one document in a folder of their own, which says all. The tables and the files
//! of certificates beside it are made of it.

#![expect(clippy::disallowed_types, reason = "no worker comes here")]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::Value as Json;

use crate::config::ElbApi;
use crate::config::Source;
use crate::control::change::staging::StagedFile;
use crate::control::change::staging::sync_folder;
use crate::control::elb::mapping;
use crate::control::elb::mapping::certificate;
use crate::control::elb::mapping::certificate::ElbFile;
use crate::control::elb::mapping::names::ElbTerms;
use crate::control::elb::object_set::ElbObjects;
use crate::control::files;

const DOCUMENT: &str = "objects.json";
const TABLES: &str = "elb.toml";

/// Keys are among what is kept.
const MODE: u32 = 0o600;

/// Ten thousand members, and certificates.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// The tables that stand for the objects, as one more text of the configuration.
pub fn source(api: &ElbApi) -> Source {
    let folder = &api.state.path;
    match load(folder) {
        Ok(objects) => {
            let text = mapping::text(&objects, &terms(api));
            Source::file(&tables_path(api), folder.clone(), Ok(text)).generated()
        }
        Err(reason) => Source::file(&folder.join(DOCUMENT), folder.clone(), Err(reason)).generated(),
    }
}

/// Where the tables are.
pub fn tables_path(api: &ElbApi) -> PathBuf {
    api.state.path.join(TABLES)
}

/// What the tables are made with.
pub fn terms(api: &ElbApi) -> ElbTerms<'_> {
    ElbTerms { folder: &api.state.path, default_address: &api.vip_address }
}

/// The objects that are kept; none where nothing is.
///
/// # Errors
/// The document cannot be read, or is none of this version: in words.
fn load(folder: &Path) -> Result<ElbObjects, String> {
    let path = folder.join(DOCUMENT);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ElbObjects::default()),
        _ => {}
    }
    let text = files::read_text(&path, MAX_DOCUMENT_BYTES)
        .map_err(|reason| format!("cannot read {}: {reason}", path.display()))?;
    let document: Result<Json, String> = serde_json::from_str(&text).map_err(|error| error.to_string());
    document
        .and_then(|document| ElbObjects::from_document(&document))
        .map_err(|reason| format!("the objects of the ELB API are damaged in {}: {reason}", path.display()))
}

/// Writes files of certificates that are not there yet.
///
/// # Errors
/// The system does not let them be written.
pub fn write_files(files: &[ElbFile]) -> io::Result<()> {
    let is_there = |file: &&ElbFile| fs::read(&file.path).is_ok_and(|known| known == file.text.as_bytes());
    for file in files.iter().filter(|file| !is_there(file)) {
        StagedFile::write_with_mode(&file.path, file.text.as_bytes(), MODE)?.put_in_place()?;
        sync_folder(&file.path)?;
    }
    Ok(())
}

/// Keeps the objects: from here on, a restart finds them. Then the tables that are made of them, which people read, and no
/// certificates of before.
///
/// # Errors
/// The system does not let the objects be written, and what was kept before still is.
pub fn save(api: &ElbApi, objects: &ElbObjects, tables: &str) -> io::Result<()> {
    let folder = &api.state.path;
    let document = format!("{}\n", objects.to_document()?);
    if document.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(io::Error::other(format!("the objects take more than {} MiB", MAX_DOCUMENT_BYTES >> 20)));
    }
    let path = folder.join(DOCUMENT);
    StagedFile::write_with_mode(&path, document.as_bytes(), MODE)?.put_in_place()?;
    sync_folder(&path)?;
    let terms = terms(api);
    // What follows can be made again of the document.
    drop(
        StagedFile::write_with_mode(&tables_path(api), tables.as_bytes(), MODE)
            .and_then(StagedFile::put_in_place),
    );
    remove_others(folder, &certificate::files(objects, &terms));
    Ok(())
}

/// Removes files of certificates that no listener names.
fn remove_others(folder: &Path, used: &[ElbFile]) {
    let is_ours = |path: &Path| path.extension().is_some_and(|ending| ending == "crt" || ending == "key");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(|path| is_ours(path) && !used.iter().any(|file| file.path == *path)) {
        drop(fs::remove_file(path));
    }
}

/// What differs whenever the document does: it is never changed, but replaced.
type DocumentStamp = Option<(u64, i64, i64, u64)>;

/// The objects as they are kept, read again only when they have changed.
#[derive(Default)]
pub struct KeptObjects {
    known: Mutex<Option<(DocumentStamp, Arc<ElbObjects>)>>,
}

impl KeptObjects {
    /// # Errors
    /// They cannot be read: in words.
    pub fn load(&self, folder: &Path) -> Result<Arc<ElbObjects>, String> {
        let stamp = stamp(folder);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, objects)) = &*known
            && *of == stamp
        {
            return Ok(Arc::clone(objects));
        }
        let objects = Arc::new(load(folder)?);
        *known = Some((stamp, Arc::clone(&objects)));
        Ok(objects)
    }

    /// Knows objects that were kept just now, so that the next call need not read them.
    pub fn remember(&self, folder: &Path, objects: &Arc<ElbObjects>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((stamp(folder), Arc::clone(objects)));
    }
}

fn stamp(folder: &Path) -> DocumentStamp {
    let found = fs::metadata(folder.join(DOCUMENT)).ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec(), found.len()))
}
