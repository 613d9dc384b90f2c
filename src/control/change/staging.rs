//! Files that are written as a whole: beside the file first, and on the disk, before they take its place.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;

/// Of a file of the configuration that was not there before: tokens may stand in it.
const NEW_FILE_MODE: u32 = 0o640;

/// Ends the name of what is to take the place of a file. It begins with a dot, so it is not read as a configuration.
const ENDING: &str = ".ringway-new";

/// Ends the name of what a file was, while it takes its place again.
const OLD_ENDING: &str = ".ringway-old";

/// What is to take the place of a file; removed if it does not.
pub(in crate::control) struct StagedFile {
    target: PathBuf,
    path: PathBuf,
    is_in_place: bool,
}

impl StagedFile {
    /// Writes what is to take the place of a file, with its mode and owner, or, where it is new, with the mode of the file
    /// `like`.
    ///
    /// # Errors
    /// The folder cannot be written, there is no room, or the owner cannot be kept.
    pub(super) fn write(target: &Path, text: &[u8], like: Option<&Path>) -> io::Result<StagedFile> {
        StagedFile::write_at(beside(target), target, text, |file| {
            match (fs::metadata(target), like.map(fs::metadata)) {
                (Ok(known), _) => take_after(file, &known),
                (Err(_), Some(Ok(model))) => file.set_permissions(mode_of(&model)),
                _ => file.set_permissions(Permissions::from_mode(NEW_FILE_MODE)),
            }
        })
    }

    /// Writes what is to take the place of a file, with this mode and never with a wider one.
    ///
    /// # Errors
    /// As above.
    pub(in crate::control) fn write_with_mode(
        target: &Path,
        text: &[u8],
        mode: u32,
    ) -> io::Result<StagedFile> {
        StagedFile::write_at(beside(target), target, text, |file| {
            file.set_permissions(Permissions::from_mode(mode))
        })
    }

    /// The same with what the file was before.
    pub(super) fn write_old(target: &Path, text: &[u8]) -> io::Result<StagedFile> {
        StagedFile::write_at(old_beside(target), target, text, |file| match fs::metadata(target) {
            Ok(known) => take_after(file, &known),
            Err(_) => file.set_permissions(Permissions::from_mode(NEW_FILE_MODE)),
        })
    }

    /// The file is its owner's alone until `admit` lets others in.
    fn write_at(
        path: PathBuf,
        target: &Path,
        text: &[u8],
        admit: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<StagedFile> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        // From here on, it is removed if anything fails.
        let staged = StagedFile { target: target.to_owned(), path, is_in_place: false };
        file.write_all(text)?;
        admit(&file)?;
        file.sync_all()?;
        Ok(staged)
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Others see to the rest.
    pub(super) fn leave(mut self) {
        self.is_in_place = true;
    }

    pub(in crate::control) fn put_in_place(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.is_in_place {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Mode and owner of the file before; who reads it by its group goes on to.
fn take_after(file: &File, known: &fs::Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (known.uid(), known.gid()) {
        fchown(file, Some(known.uid()), Some(known.gid()))?;
    }
    file.set_permissions(mode_of(known))
}

fn mode_of(model: &fs::Metadata) -> Permissions {
    Permissions::from_mode(model.mode() & 0o7777)
}

/// Where what is to take the place of a file is written.
pub(super) fn beside(target: &Path) -> PathBuf {
    hidden(target, ENDING)
}

/// Where what a file was is written.
pub(super) fn old_beside(target: &Path) -> PathBuf {
    hidden(target, OLD_ENDING)
}

/// Of a name in a folder, the name of the file whose place it is to take.
pub(super) fn target_of(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(ENDING)
}

fn hidden(target: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(ending);
    target.with_file_name(name)
}

/// Makes sure that the names in the folder of a file are on the disk.
pub(in crate::control) fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}
