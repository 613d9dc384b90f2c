//! Taking away from this process what it does not need (landlock(7)): to write elsewhere than in a few folders, and to start
//! programs. Reading stays free: certificates may move, and other configurations may name other files.

use std::path::Path;
use std::path::PathBuf;

use landlock::ABI;
use landlock::AccessFs;
use landlock::CompatLevel;
use landlock::Compatible as _;
use landlock::PathBeneath;
use landlock::PathFd;
use landlock::Ruleset;
use landlock::RulesetAttr as _;
use landlock::RulesetCreatedAttr as _;
use landlock::RulesetError;

/// All that is asked for; of it, older kernels do what they can.
const NEWEST: ABI = ABI::V3;

/// From now on the calling thread, and those that it starts, write in these folders only, and start no programs. Folders that
/// are not there are left out. Without landlock in the kernel, nothing happens.
///
/// # Errors
/// The kernel knows the call and refuses it.
pub fn lock(writable: &[PathBuf]) -> Result<(), RulesetError> {
    let writing = AccessFs::from_write(NEWEST);
    let mut rules = Ruleset::default().handle_access(writing | AccessFs::Execute)?.create()?;
    for folder in writable {
        if let Ok(folder) = PathFd::new(folder) {
            rules = rules.add_rule(PathBeneath::new(folder, writing))?;
        }
    }
    rules.restrict_self().map(drop)
}

/// Whether the kernel can do it: rules are made, and thrown away.
pub fn is_available() -> bool {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    strict.handle_access(AccessFs::Execute).and_then(Ruleset::create).is_ok()
}

/// What `ringway version -v` tells.
pub fn ability() -> &'static str {
    match is_available() {
        true => "available",
        false => "not available: this kernel is older than 5.13, or it is off (lsm= of its command line)",
    }
}

/// The folders in which a file is: where its path leads, and where links on it lead.
pub fn folders_of(file: &Path) -> impl Iterator<Item = PathBuf> {
    let real = file.canonicalize().ok();
    let paths = [Some(file.to_owned()), real].into_iter().flatten();
    paths.filter_map(|path| {
        let folder = path.parent()?;
        Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_locked_thread_writes_in_its_folders_reads_everywhere_and_starts_nothing() {
        if !is_available() {
            return;
        }
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("file"), "text").unwrap();
        let (own, other) = (own.path().to_owned(), other.path().to_owned());
        let locked = move || {
            lock(&[own.clone(), PathBuf::from("/not/there")]).unwrap();
            fs::write(own.join("file"), "text").unwrap();
            fs::rename(own.join("file"), own.join("renamed")).unwrap();
            assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "text");
            for refused in [fs::write(other.join("new"), ""), fs::remove_file(other.join("file"))] {
                assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
            }
            Command::new("/bin/true").spawn().map(drop).unwrap_err().kind()
        };
        // The lock is of this thread alone.
        let refusal = std::thread::spawn(locked).join().unwrap();
        assert_eq!(refusal, std::io::ErrorKind::PermissionDenied);
        assert!(Command::new("/bin/true").status().unwrap().success());
    }

    #[test]
    fn the_folder_of_a_link_and_of_its_file_are_both_meant() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        fs::write(folder.path().join("real/log"), "").unwrap();
        std::os::unix::fs::symlink("real/log", folder.path().join("log")).unwrap();
        let real = folder.path().canonicalize().unwrap();
        let folders: Vec<_> = folders_of(&folder.path().join("log")).collect();
        assert_eq!(folders, [folder.path().to_owned(), real.join("real")]);
        assert_eq!(folders_of(Path::new("new.log")).collect::<Vec<_>>(), [PathBuf::from(".")]);
    }
}
