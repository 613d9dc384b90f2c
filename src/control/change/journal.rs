//! Several files change as one: a journal says what is left to do, and the next start does it. Where it is not there yet, nothing
//! was done; where it is there, everything will be.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::control::change::staging;
use crate::control::change::staging::StagedFile;
use crate::control::json_reader;

/// No journal of ours is larger.
const MAX_JOURNAL_BYTES: u64 = 1 << 20;

const NAME: &str = ".ringway-change.json";

/// What a file becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::control) enum FileStep {
    /// What was written beside it.
    Replaced(PathBuf),
    /// What it was before.
    Restored(PathBuf),
    /// It goes.
    Removed(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Journal {
    steps: Vec<FileStep>,
}

/// What [`recover`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Recovery {
    Nothing,
    /// So many files were changed.
    Done(usize),
    Failed(String),
}

/// Where the journal is, for a file of the configuration.
pub fn path_beside(file: &Path) -> PathBuf {
    file.with_file_name(NAME)
}

/// Makes all changes, or leaves word of what is left to do. `done` counts the steps that were taken.
///
/// # Errors
/// The system refuses a step.
pub(super) fn carry_out(journal: &Path, steps: &[FileStep], done: &mut usize) -> io::Result<()> {
    let has_journal = steps.len() > 1 || journal.exists();
    if has_journal {
        let text = serde_json::to_string(&Journal { steps: steps.to_vec() }).map_err(io::Error::other)?;
        StagedFile::write(journal, text.as_bytes(), None)?.put_in_place()?;
        staging::sync_folder(journal)?;
    }
    for step in steps {
        take(step)?;
        *done += 1;
    }
    steps.iter().try_for_each(|step| staging::sync_folder(path_of(step)))?;
    if has_journal {
        fs::remove_file(journal)?;
        staging::sync_folder(journal)?;
    }
    Ok(())
}

/// Whether a change is to be ended.
pub fn is_there(journal: &Path) -> bool {
    journal.exists()
}

/// What a journal may reach.
pub struct JournalReach {
    /// The files of the configuration, where links lead, whatever their names are.
    pub files: Vec<PathBuf>,
    /// Their folders: files come and go in them.
    pub folders: Vec<PathBuf>,
}

impl JournalReach {
    /// A file takes the place of another only from the same folder, so a journal of a stranger reaches nothing by a link that
    /// the stranger could not reach anyway. What is removed is always a file that was new, which has a name of ours.
    fn has(&self, step: &FileStep) -> bool {
        let path = path_of(step);
        let is_known = !matches!(step, FileStep::Removed(_)) && self.files.iter().any(|file| file == path);
        let is_configuration = path.extension().is_some_and(|ending| ending == "toml");
        let is_beside =
            path.parent().is_some_and(|parent| self.folders.iter().any(|folder| folder == parent));
        is_known || is_configuration && is_beside
    }
}

/// Ends a change that was interrupted. A journal that names other files than these is none of ours.
pub fn recover(journal: &Path, reach: &JournalReach) -> Recovery {
    match fs::metadata(journal) {
        Ok(found) if found.len() > MAX_JOURNAL_BYTES => return foreign(journal),
        Ok(_) => {}
        Err(_) => return Recovery::Nothing,
    }
    let text = fs::read_to_string(journal).unwrap_or_default();
    let Ok(Journal { steps }) = json_reader::read_text(&text) else { return foreign(journal) };
    if !steps.iter().all(|step| reach.has(step)) {
        return foreign(journal);
    }
    let finish = || -> io::Result<()> {
        steps.iter().try_for_each(take_again)?;
        steps.iter().try_for_each(|step| staging::sync_folder(path_of(step)))?;
        fs::remove_file(journal)?;
        staging::sync_folder(journal)
    };
    match finish() {
        Ok(()) => Recovery::Done(steps.len()),
        Err(error) => Recovery::Failed(format!(
            "a change of the configuration was interrupted, and cannot be ended as {} says: {error}",
            journal.display()
        )),
    }
}

fn foreign(journal: &Path) -> Recovery {
    Recovery::Failed(format!("{} is no journal of a change: remove it", journal.display()))
}

pub(super) fn path_of(step: &FileStep) -> &Path {
    match step {
        FileStep::Replaced(path) | FileStep::Restored(path) | FileStep::Removed(path) => path,
    }
}

/// What was done before the process ended stays done.
fn take_again(step: &FileStep) -> io::Result<()> {
    match take(step) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn take(step: &FileStep) -> io::Result<()> {
    match step {
        FileStep::Replaced(path) => fs::rename(staging::beside(path), path),
        FileStep::Restored(path) => fs::rename(staging::old_beside(path), path),
        FileStep::Removed(path) => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_change_that_was_interrupted_anywhere_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let reach = JournalReach { files: Vec::new(), folders: vec![folder.path().to_owned()] };
        let journal = path_beside(&path("a.toml"));
        for taken in 0..=2 {
            write(&path("a.toml"), "old a");
            write(&path("b.toml"), "old b");
            write(&path("c.toml"), "old c");
            for name in ["a.toml", "b.toml"] {
                drop(StagedFile::write(&path(name), b"new", None).unwrap());
                write(&staging::beside(&path(name)), "new");
            }
            let steps = vec![
                FileStep::Replaced(path("a.toml")),
                FileStep::Replaced(path("b.toml")),
                FileStep::Removed(path("c.toml")),
            ];
            write(&journal, &serde_json::to_string(&Journal { steps: steps.clone() }).unwrap());
            steps[..taken].iter().for_each(|step| take(step).unwrap());
            assert_eq!(recover(&journal, &reach), Recovery::Done(3));
            let read = |name: &str| fs::read_to_string(path(name)).ok();
            assert_eq!((read("a.toml"), read("b.toml")), (Some("new".to_owned()), Some("new".to_owned())));
            assert_eq!(read("c.toml"), None);
            assert_eq!(recover(&journal, &reach), Recovery::Nothing);
        }
    }

    #[test]
    fn files_that_links_lead_to_are_ended_whatever_their_names_are() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("ringway.conf");
        let new = folder.path().join("api.toml");
        let journal = path_beside(&new);
        write(&target, "old");
        write(&staging::beside(&target), "new");
        write(&new, "new");
        let steps = vec![FileStep::Replaced(new.clone()), FileStep::Replaced(target.clone())];
        write(&journal, &serde_json::to_string(&Journal { steps }).unwrap());
        let folders = vec![folder.path().to_owned(), elsewhere.path().to_owned()];
        let reach = JournalReach { files: vec![target.clone()], folders };
        assert_eq!(recover(&journal, &reach), Recovery::Done(2));
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    fn a_journal_reaches_no_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let journal = path_beside(&folder.path().join("a.toml"));
        let victim = other.path().join("victim.toml");
        write(&victim, "stays");
        let secret = folder.path().join("secret.key");
        write(&secret, "stays");
        // Where a link of that name leads there, it is still not removed.
        let reach = JournalReach { files: vec![secret.clone()], folders: vec![folder.path().to_owned()] };
        for path in [victim.clone(), folder.path().join("../victim.toml"), secret.clone()] {
            write(
                &journal,
                &serde_json::to_string(&Journal { steps: vec![FileStep::Removed(path)] }).unwrap(),
            );
            assert!(
                matches!(recover(&journal, &reach), Recovery::Failed(said) if said.ends_with("remove it"))
            );
        }
        write(&journal, "no journal");
        assert!(matches!(recover(&journal, &reach), Recovery::Failed(_)));
        assert!(victim.exists() && secret.exists());
    }

    #[test]
    fn a_step_that_is_refused_leaves_word_of_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("b.toml/not-empty")).unwrap();
        let journal = path_beside(&path("a.toml"));
        for name in ["a.toml", "b.toml"] {
            write(&staging::beside(&path(name)), "new");
        }
        let steps = [FileStep::Replaced(path("a.toml")), FileStep::Replaced(path("b.toml"))];
        let mut done = 0;
        assert!(carry_out(&journal, &steps, &mut done).is_err());
        assert_eq!((done, journal.exists()), (1, true));
        let mut undone = 0;
        carry_out(&journal, &[FileStep::Removed(path("a.toml"))], &mut undone).unwrap();
        assert!(!journal.exists() && !path("a.toml").exists());
        assert!(path("b.toml").is_dir());
    }
}
