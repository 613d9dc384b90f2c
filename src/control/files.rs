//! Noticing that a file changed.
//!
//! Files are looked at several times a second instead of being watched by inotify: that follows
//! symbolic links however deep they are swapped (certbot, Kubernetes), works on every file system,
//! and has no limit on watches. A look costs about a microsecond per file.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::is_credential;
use crate::control::process::users;

/// Reads the bytes of a file, but no more than `most`.
///
/// Pipes are refused: opening one waits for its writer, which may never come, and what it gives is gone
/// when it is to be read again.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let read = || {
        let kind = std::fs::metadata(path)?.file_type();
        if !kind.is_file() && !kind.is_dir() {
            return Err(io::Error::other("it is a pipe or a device, not a file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| explained(path, error))
}

/// The same error, but where a permission is missing one that says whose, of what, and how to give it; and where a
/// credential is missing, one that says when it is there.
pub fn explained(path: &Path, error: io::Error) -> io::Error {
    let kind = error.kind();
    let words = match kind {
        io::ErrorKind::PermissionDenied => denial(path),
        io::ErrorKind::NotFound if is_credential(path) => Some(CREDENTIALS_AT_REST.to_owned()),
        _ => None,
    };
    words.map_or(error, |words| io::Error::new(kind, words))
}

/// systemd makes the folder at the start of the service and takes it away at its end.
const CREDENTIALS_AT_REST: &str = "it is no credential of a service ringway that runs. LoadCredential= of the unit makes \
     it, while the service runs; to check at rest, put files of these names into a folder and write \
     `CREDENTIALS_DIRECTORY=FOLDER ringway check -c FILE`";

/// None where it cannot be found out.
fn denial(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    // The first folder whose content cannot be looked at, or else the file itself.
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    let is_shut = |place: &&[&Path]| {
        let denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        place.get(1).is_some_and(|inner| std::fs::metadata(inner).err().is_some_and(denied))
    };
    let shut = way.windows(2).find(is_shut).and_then(|place| place.first().copied());
    let (place, permission) = shut.map_or((path.as_path(), "r"), |folder| (folder, "x"));
    let metadata = std::fs::metadata(place).ok()?;
    let user = users::own_id();
    Some(format!(
        "Permission denied to user {user}: {0} has the mode {1:04o} and belongs to user {2}, group {3}; give it by \
         `setfacl -m u:{user}:{permission} {0}` (package acl), or by chgrp and chmod",
        place.display(),
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
    ))
}

/// The files whose changes matter, each as it was when it was looked at last.
pub struct Files {
    known: HashMap<PathBuf, Option<Stamp>>,
}

/// What differs whenever the content does. Programs may set the time of modification back; nobody
/// can set the time of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// The files as they are now.
    pub(super) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Files {
        Files { known: paths.into_iter().map(|path| (path.clone(), stamp(&path))).collect() }
    }

    /// The files that changed since the last look, and when the last of them did, as time since the
    /// Unix epoch.
    pub(super) fn changed(&mut self) -> Option<(Vec<PathBuf>, Option<Duration>)> {
        let mut paths = Vec::new();
        let mut last = None;
        for (path, known) in &mut self.known {
            let now = stamp(path);
            if now != *known {
                *known = now;
                paths.push(path.clone());
                last = last.max(now.and_then(|stamp| stamp.changed_at()));
            }
        }
        (!paths.is_empty()).then_some((paths, last))
    }
}

impl Stamp {
    fn changed_at(&self) -> Option<Duration> {
        let (seconds, nanoseconds) = self.changed;
        Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?))
    }
}

/// None: there is no such file, or it cannot be looked at.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// A text of at most so many bytes.
///
/// # Errors
/// In words.
pub fn read_text(path: &Path, max_bytes: u64) -> Result<String, String> {
    let bytes = read(path, max_bytes + 1).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!("it is larger than {} MiB", max_bytes >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_are_read_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "12345").unwrap();
        assert_eq!(read(&path("file"), 9).unwrap(), b"12345");
        assert_eq!(read(&path("file"), 3).unwrap(), b"123");
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        for odd in [path("pipe"), "/dev/zero".into()] {
            assert_eq!(read(&odd, 9).unwrap_err().to_string(), "it is a pipe or a device, not a file");
        }
        assert_eq!(read(folder.path(), 9).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn a_missing_permission_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.key");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let user = fs::metadata(&path).unwrap().uid();
        let words = explained(&path, denied()).to_string();
        let name = path.display();
        assert!(words.contains(&format!("{name} has the mode 0600 and belongs to user {user}")), "{words}");
        assert!(words.contains(&format!("`setfacl -m u:{user}:r {name}` (package acl)")), "{words}");
        // What is not there has no mode.
        let gone = explained(&folder.path().join("gone"), denied());
        assert_eq!(gone.to_string(), denied().to_string());
        let other = explained(&path, io::ErrorKind::NotFound.into());
        assert_eq!(other.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn every_way_to_change_a_file_is_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("v1")).unwrap();
        fs::create_dir(path("v2")).unwrap();
        fs::write(path("v1/site.crt"), "one").unwrap();
        fs::write(path("v2/site.crt"), "two").unwrap();
        symlink("v1", path("current")).unwrap();
        let watched = path("current/site.crt");
        let mut files = Files::new([watched.clone(), path("never.crt")]);
        assert!(files.changed().is_none());

        let mut notice = |what: &str| {
            let (paths, _) = files.changed().unwrap_or_else(|| panic!("{what} was not noticed"));
            assert_eq!(paths, std::slice::from_ref(&watched), "{what}");
            assert!(files.changed().is_none(), "{what} was noticed twice");
        };
        fs::write(path("v1/site.crt"), "ONE").unwrap();
        notice("writing");
        fs::write(path("new"), "one").unwrap();
        fs::rename(path("new"), path("v1/site.crt")).unwrap();
        notice("renaming over it");
        symlink("v2", path("swap")).unwrap();
        fs::rename(path("swap"), path("current")).unwrap();
        notice("swapping a symbolic link to its folder");
        fs::remove_file(path("v2/site.crt")).unwrap();
        notice("removing");
        fs::write(path("v2/site.crt"), "two").unwrap();
        notice("writing it again");
    }
}
