//! Where the configuration comes from, so that it can be read again and written back.

use std::path::Path;
use std::path::PathBuf;

use crate::config::Loaded;
use crate::config::Source;
use crate::control::change::journal;
use crate::control::change::journal::JournalReach;
use crate::control::change::journal::Recovery;
use crate::telemetry::operator::log_line;
use crate::telemetry::words::counted;

/// The files that were named at the start.
pub struct ConfigOrigin {
    /// Reads them again.
    pub read: Box<dyn Fn() -> Vec<Source> + Send>,
    /// Checks what was read.
    pub check: fn(Vec<Source>) -> Loaded,
    /// None: what came by standard input cannot be written back.
    pub new_objects: Option<NewObjects>,
    /// All files and their folders, where links lead.
    pub reach: Box<dyn Fn() -> JournalReach + Send>,
}

/// The file that new objects go to.
pub struct NewObjects {
    /// As it is named in messages.
    pub name: PathBuf,
    /// Absolute.
    pub path: PathBuf,
    /// The folder is read as a whole, in the order of the names in it; else it comes behind the first file.
    pub is_in_folder: bool,
}

impl ConfigOrigin {
    /// Ends a change that a crash interrupted, reads everything, and checks it.
    pub fn load(&self) -> Loaded {
        self.recover();
        (self.check)((self.read)())
    }

    /// Ends a change that a crash interrupted, and tells the operator.
    pub fn recover(&self) {
        let Some(new) = &self.new_objects else { return };
        match journal::recover(&journal::path_beside(&new.path), &(self.reach)()) {
            Recovery::Nothing => {}
            Recovery::Done(files) => log_line(&format!(
                "warning: a change was interrupted; it is ended now, and {} of the configuration say what it wanted",
                counted(files, "file")
            )),
            Recovery::Failed(reason) => log_line(&format!("error: {reason}")),
        }
    }
}

impl NewObjects {
    /// The folder, in which there are also the files that the process makes.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Adds the file to those that were read, where it will be read from now on.
    pub(in crate::control) fn add_to(&self, mut sources: Vec<Source>, text: String) -> Vec<Source> {
        let place = match self.is_in_folder {
            false => 1.min(sources.len()),
            true => {
                let comes_before = |source: &Source| {
                    source.path().is_some_and(|path| path.parent() == self.path.parent() && path < self.path)
                };
                sources.iter().take_while(|source| comes_before(source)).count()
            }
        };
        sources.insert(place, Source::file(&self.name, self.folder().to_owned(), Ok(text)));
        sources
    }
}
