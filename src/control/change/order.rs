//! What is wanted of the configuration in service, and what comes of it.

use std::io;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::config::Diagnostic;
use crate::config::Location;
use crate::config::ObjectKey;
use crate::config::ObjectPath;
use crate::config::Report;
use crate::config::Severity;
use crate::config::edit::order::EditAction;
use crate::config::edit::order::EditRefusal;

/// Changes of objects, of which all are made or none.
pub struct ChangeOrder {
    pub changes: Vec<ObjectChange>,
    /// Tell only what would come of it.
    pub is_dry_run: bool,
    /// Change what is protected, too.
    pub is_forced: bool,
    /// Who wants it, for the operator.
    pub actor: String,
}

/// Another text in the place of one that is made of something else, which is kept beside it.
pub struct GeneratedChange {
    /// Where the text stands.
    pub path: PathBuf,
    pub text: String,
    /// Who wants it, for the operator.
    pub actor: String,
    /// Keeps what the text is made of, once it is in service.
    pub keep: Box<dyn FnOnce() -> io::Result<()> + Send>,
}

/// A change of one object.
///
/// Settings of a certificate may have `chain_pem` and `key_pem` in the place of `chain` and `key`, of a CA `bundle_pem`, of an
/// error page `content` with `content_type`: files are made of these.
pub struct ObjectChange {
    pub path: ObjectPath,
    pub action: EditAction,
    /// The entity tag that the object has to have.
    pub if_match: Option<String>,
}

impl ObjectChange {
    /// The name, or of a backend the address, that an object gets in the place of the one it has.
    pub(in crate::control) fn new_name(&self) -> Option<&str> {
        let (EditAction::Replace(settings) | EditAction::Merge(settings)) = &self.action else { return None };
        let (key, known) = match &self.path {
            ObjectPath::Named { name, .. } => ("name", name),
            ObjectPath::Backend { address, .. } => ("address", address),
            ObjectPath::HealthCheck { .. } => return None,
        };
        settings.get(key).and_then(Json::as_str).filter(|new| new != known)
    }
}

pub type ChangeOutcome = Result<Changed, ChangeRefusal>;

/// What is in service, and in the files, now.
#[derive(Debug)]
pub struct Changed {
    /// False: it was tried only, or changes nothing.
    pub is_applied: bool,
    /// The number of the configuration in service.
    pub generation: u64,
    pub sentence: String,
    /// What the configuration was not warned of before.
    pub warnings: Vec<ChangeFault>,
    /// What changes in the files, as `diff -u` writes it.
    pub diff: String,
}

/// Why everything stays as it was.
#[derive(Debug)]
pub struct ChangeRefusal {
    pub kind: RefusalKind,
    pub sentence: String,
    pub help: String,
    /// Each fault, where it is the configuration that is wrong.
    pub faults: Vec<ChangeFault>,
    /// Who uses what was to be deleted.
    pub used_by: Vec<ObjectPath>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such object.
    Missing,
    /// There is such an object already.
    Exists,
    /// Others name what was to be deleted.
    InUse,
    /// `deletion_protection` or `modification_protection`.
    Protected,
    /// The object has another entity tag.
    Stale,
    /// A file is not what was loaded.
    Conflict,
    /// A file cannot be written.
    ReadOnly,
    /// The disk is full.
    NoSpace,
    /// The configuration came from no file.
    Elsewhere,
    /// The configuration would be wrong.
    Invalid,
    /// A listener cannot have its address.
    Bind,
    /// The process is handing over, or stopping.
    Busy,
    /// The system refused something else.
    System,
}

/// One thing that is wrong, or of which there is a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeFault {
    pub severity: Severity,
    pub subject: ObjectKey,
    pub message: String,
    pub help: String,
    /// `file:line:column` in the files as they would be.
    pub place: String,
}

impl ChangeRefusal {
    pub(in crate::control) fn new(
        kind: RefusalKind,
        sentence: impl Into<String>,
        help: impl Into<String>,
    ) -> ChangeRefusal {
        let (sentence, help) = (sentence.into(), help.into());
        ChangeRefusal { kind, sentence, help, faults: Vec::new(), used_by: Vec::new() }
    }
}

impl From<EditRefusal> for ChangeRefusal {
    fn from(refusal: EditRefusal) -> ChangeRefusal {
        let kind = match refusal {
            EditRefusal::Missing(_) => RefusalKind::Missing,
            EditRefusal::Exists(_) => RefusalKind::Exists,
            EditRefusal::Broken { .. } => RefusalKind::Conflict,
            EditRefusal::Unwritable(..) | EditRefusal::Intricate(_) => RefusalKind::Invalid,
        };
        ChangeRefusal::new(kind, refusal.to_string(), refusal.help())
    }
}

/// The diagnostics of a report that are wanted; `subject_of` tells what each is about, which takes a while.
pub(super) fn faults(
    report: &Report,
    is_wanted: impl Fn(&Diagnostic) -> bool,
    subject_of: impl Fn(Location) -> ObjectKey,
) -> Vec<ChangeFault> {
    let found = report.diagnostics().into_iter().filter(|found| is_wanted(found));
    let fault = |found: &Diagnostic| ChangeFault {
        severity: found.severity,
        subject: subject_of(found.location),
        message: found.message.clone(),
        help: found.help.clone(),
        place: report.exact_place(found.location),
    };
    found.map(fault).collect()
}
