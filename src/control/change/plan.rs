//! A change on its way: from the files as they are to the files as they are to be.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::config::Diagnostic;
use crate::config::Loaded;
use crate::config::ObjectPath;
use crate::config::Severity;
use crate::config::Source;
use crate::config::edit;
use crate::config::edit::diff;
use crate::config::edit::order::Edit;
use crate::config::edit::order::FileText;
use crate::control::change::journal;
use crate::control::change::journal::FileStep;
use crate::control::change::order::ChangeFault;
use crate::control::change::order::ChangeOrder;
use crate::control::change::order::ChangeRefusal;
use crate::control::change::order::RefusalKind;
use crate::control::change::order::faults;
use crate::control::change::refusals;
use crate::control::change::rules;
use crate::control::change::staging::StagedFile;
use crate::control::change::uploads;
use crate::control::change::uploads::Uploads;
use crate::control::origin::ConfigOrigin;
use crate::control::origin::NewObjects;
use crate::control::written_config::WrittenConfig;
use crate::net::clock::wall_now;

/// No file of a configuration is larger when it is read.
const MAX_FILE_BYTES: usize = 16 << 20;

/// A change that can be put into service.
pub(super) struct ChangePlan {
    order: ChangeOrder,
    /// As they are on the disk.
    before: Vec<FileText>,
    /// Those of them that become others, and those that are new.
    changed: Vec<FileText>,
    journal: PathBuf,
    folder: PathBuf,
    uploads: Uploads,
    staged: Vec<StagedFile>,
}

impl ChangePlan {
    /// Makes sure that the files are what was loaded, and changes their texts.
    ///
    /// # Errors
    /// The change cannot be made.
    pub(super) fn new(
        mut order: ChangeOrder,
        written: &WrittenConfig,
        origin: &ConfigOrigin,
    ) -> Result<ChangePlan, ChangeRefusal> {
        let new = origin.new_objects.as_ref().ok_or_else(refusals::elsewhere)?;
        let before = unchanged_files(written, &(origin.read)(), new)?;
        rules::check_before(&order, written)?;
        let mut uploads = Uploads::default();
        let of_file = |path: &ObjectPath| match path {
            ObjectPath::Named { kind, name } => {
                let path = written.path_of(written.find(*kind, name)?)?;
                path.parent().map(Path::to_owned)
            }
            _ => None,
        };
        uploads.make(&mut order.changes, new.folder(), of_file)?;
        let edits: Vec<Edit> = order
            .changes
            .iter()
            .map(|change| Edit { path: change.path.clone(), action: change.action.clone() })
            .collect();
        let changed = edit::edit(&before, &new.path, &edits)?;
        if let Some(large) = changed.iter().find(|file| file.text.len() > MAX_FILE_BYTES) {
            let sentence =
                format!("{} would be larger than {} MiB", large.path.display(), MAX_FILE_BYTES >> 20);
            return Err(ChangeRefusal::new(
                RefusalKind::Invalid,
                sentence,
                "write some of it into another file",
            ));
        }
        let (journal, folder) = (journal::path_beside(&new.path), new.folder().to_owned());
        Ok(ChangePlan { order, before, changed, journal, folder, uploads, staged: Vec::new() })
    }

    /// Says of files that are gone with the change what was sent for them.
    pub(super) fn in_sent_words(&self, refusal: ChangeRefusal) -> ChangeRefusal {
        self.uploads.in_sent_words(refusal)
    }

    pub(super) fn order(&self) -> &ChangeOrder {
        &self.order
    }

    /// Whether nothing becomes other than it is.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// The configuration as it would be.
    pub(super) fn load(&self, written: &WrittenConfig, origin: &ConfigOrigin) -> Loaded {
        let text_of = |source: &Source| {
            let path = source.path()?;
            let changed = self.changed.iter().find(|file| file.path == path)?;
            Some(source.with_text(changed.text.clone()))
        };
        let sources = written.sources().iter();
        let mut sources: Vec<Source> = sources
            .map(|source| text_of(source).unwrap_or_else(|| source.with_text(source.text().to_owned())))
            .collect();
        if let Some(new) = &origin.new_objects
            && let Some(file) = self.changed.iter().find(|file| file.path == new.path)
            && !self.is_there(&new.path)
        {
            sources = new.add_to(sources, file.text.clone());
        }
        (origin.check)(sources)
    }

    /// # Errors
    /// What is deleted is used.
    pub(super) fn check_uses(&self, loaded: &Loaded) -> Result<(), ChangeRefusal> {
        rules::check_after(&self.order, loaded)
    }

    /// What the configuration as it would be is warned of, and that in service is not.
    pub(super) fn new_warnings(&self, loaded: &Loaded, written: &WrittenConfig) -> Vec<ChangeFault> {
        let known: BTreeSet<&str> = written.messages().collect();
        let is_new = |found: &Diagnostic| {
            found.severity == Severity::Warning && !known.contains(found.message.as_str())
        };
        faults(&loaded.report, is_new, |location| loaded.subject(location))
    }

    /// What changes in the files. Lines that may hold secrets are not shown.
    pub(super) fn diff(&self, loaded: &Loaded, written: &WrittenConfig) -> String {
        let of_file = |file: &FileText| {
            let name = file.path.display().to_string();
            let shown = |sources: Vec<(Option<PathBuf>, String)>| {
                let found = sources.into_iter().find(|(path, _)| path.as_ref() == Some(&file.path));
                found.map(|(_, text)| text)
            };
            let (old, new) = (shown(written.shown_texts()), shown(loaded.report.shown_texts()));
            diff::unified(&name, old.as_deref(), new.as_deref())
        };
        self.changed.iter().map(of_file).collect()
    }

    /// Writes everything that will take the place of files, so that what can fail fails before anything has changed.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn stage(&mut self) -> Result<(), ChangeRefusal> {
        let like = self.before.first().map(|file| real(&file.path));
        for file in &self.changed {
            let target = real(&file.path);
            let staged = StagedFile::write(&target, file.text.as_bytes(), like.as_deref())
                .map_err(|error| refusals::of_writing(&target, &error))?;
            self.staged.push(staged);
        }
        Ok(())
    }

    /// Has the files say what is in service now. If that fails, they are as they were. `before` and `now` are the files that
    /// the configurations name.
    ///
    /// # Errors
    /// The system refuses it.
    pub(super) fn commit(
        mut self,
        before: &BTreeSet<PathBuf>,
        now: &BTreeSet<PathBuf>,
    ) -> Result<(), ChangeRefusal> {
        self.look_again()?;
        let staged = std::mem::take(&mut self.staged);
        let steps: Vec<FileStep> =
            staged.iter().map(|staged| FileStep::Replaced(staged.target().to_owned())).collect();
        let mut done = 0;
        let outcome = journal::carry_out(&self.journal, &steps, &mut done);
        match outcome {
            Ok(()) => {
                staged.into_iter().for_each(StagedFile::leave);
                std::mem::take(&mut self.uploads).keep();
                uploads::remove_unused(&self.folder, before, now, wall_now());
                Ok(())
            }
            Err(error) => {
                let path = steps.get(done).or(steps.last()).map_or(self.journal.as_path(), journal::path_of);
                let mut refusal = refusals::of_writing(path, &error);
                if let Err(error) = self.undo(&steps[..done]) {
                    refusal.help =
                        format!("{error}; compare the files with what is in service: ringway diff");
                }
                Err(refusal)
            }
        }
    }

    /// Makes sure that nobody has saved a file since it was read.
    fn look_again(&self) -> Result<(), ChangeRefusal> {
        for file in &self.changed {
            let before = self.before.iter().find(|before| before.path == file.path);
            let is_same = match before {
                Some(before) => fs::read(&file.path).is_ok_and(|now| now == before.text.as_bytes()),
                None => fs::symlink_metadata(&file.path).is_err(),
            };
            if !is_same {
                return Err(refusals::conflict(&file.path, "has changed"));
            }
        }
        Ok(())
    }

    /// Gives files that were replaced their texts back.
    fn undo(&self, done: &[FileStep]) -> io::Result<()> {
        let mut steps = Vec::new();
        let mut staged = Vec::new();
        for step in done {
            let FileStep::Replaced(path) = step else { continue };
            match self.before.iter().find(|file| real(&file.path) == *path) {
                Some(file) => {
                    staged.push(StagedFile::write_old(path, file.text.as_bytes())?);
                    steps.push(FileStep::Restored(path.clone()));
                }
                None => steps.push(FileStep::Removed(path.clone())),
            }
        }
        journal::carry_out(&self.journal, &steps, &mut 0)?;
        staged.into_iter().for_each(StagedFile::leave);
        Ok(())
    }

    fn is_there(&self, path: &Path) -> bool {
        self.before.iter().any(|file| file.path == path)
    }
}

/// The configuration as it was loaded.
pub(super) fn load_again(written: &WrittenConfig, origin: &ConfigOrigin) -> Loaded {
    let sources = written.sources().iter();
    (origin.check)(sources.map(|source| source.with_text(source.text().to_owned())).collect())
}

/// The files that were loaded.
///
/// # Errors
/// They are not the same on the disk.
fn unchanged_files(
    written: &WrittenConfig,
    on_disk: &[Source],
    new: &NewObjects,
) -> Result<Vec<FileText>, ChangeRefusal> {
    let loaded = written.sources();
    let mut files = Vec::with_capacity(loaded.len());
    for source in loaded {
        let path = source.path().ok_or_else(refusals::elsewhere)?;
        match on_disk.iter().find(|now| now.path().as_ref() == Some(&path)) {
            Some(now) => match now.failure() {
                Some(reason) => return Err(refusals::unreadable(&path, reason)),
                None if now.text() == source.text() => {}
                None => return Err(refusals::conflict(&path, "has changed")),
            },
            None => return Err(refusals::conflict(&path, "is gone")),
        }
        files.push(FileText { path, text: source.text().to_owned() });
    }
    let is_known = |path: &PathBuf| files.iter().any(|file| file.path == *path);
    if let Some(path) = on_disk.iter().filter_map(Source::path).find(|path| !is_known(path)) {
        return Err(refusals::conflict(&path, "has come"));
    }
    if !is_known(&new.path) && fs::symlink_metadata(&new.path).is_ok() {
        return Err(refusals::conflict(&new.path, "has come"));
    }
    Ok(files)
}

/// Where links lead, also for a file that is to come.
fn real(path: &Path) -> PathBuf {
    let beside = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(beside).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_to_come_stands_where_the_link_to_its_folder_leads() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().canonicalize().unwrap().join("there");
        let link = folder.path().join("link");
        fs::create_dir(&there).unwrap();
        std::os::unix::fs::symlink(&there, &link).unwrap();
        // A journal with another path would be taken for that of a stranger.
        assert_eq!(real(&link.join("api.toml")), there.join("api.toml"));
        fs::write(there.join("api.toml"), "").unwrap();
        assert_eq!(real(&link.join("api.toml")), there.join("api.toml"));
    }
}
