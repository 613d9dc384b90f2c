//! The configuration in service as it was written, for those who read and change it object by object.

use std::path::PathBuf;

use crate::config::Effective;
use crate::config::Loaded;
use crate::config::Object;
use crate::config::ObjectKind;
use crate::config::Report;
use crate::config::Source;

/// What the texts of the configuration in service say. It changes only as a whole, with the configuration.
#[derive(Default)]
pub struct WrittenConfig {
    /// By kind, and in the order of the texts.
    pub objects: Vec<Object>,
    effective: Effective,
    report: Report,
}

impl WrittenConfig {
    pub fn new(loaded: Loaded) -> WrittenConfig {
        WrittenConfig { objects: loaded.objects(), effective: loaded.effective, report: loaded.report }
    }

    pub fn of_kind(&self, kind: ObjectKind) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |object| object.kind == kind)
    }

    pub fn find(&self, kind: ObjectKind, name: &str) -> Option<&Object> {
        self.of_kind(kind).find(|object| object.name == name)
    }

    /// `file:line` of an object.
    pub fn place(&self, object: &Object) -> String {
        self.report.place(object.location)
    }

    /// The file that an object stands in.
    pub(in crate::control) fn path_of(&self, object: &Object) -> Option<PathBuf> {
        self.report.source_of(object.location)?.path()
    }

    /// Whether an object stands in a text that is made of something else.
    pub(in crate::control) fn is_generated(&self, object: &Object) -> bool {
        self.report.source_of(object.location).is_some_and(Source::is_generated)
    }

    /// The texts, in the order in which they were read.
    pub(in crate::control) fn sources(&self) -> &[Source] {
        self.report.sources()
    }

    /// The texts with their paths, without what may hold secrets.
    pub(in crate::control) fn shown_texts(&self) -> Vec<(Option<PathBuf>, String)> {
        self.report.shown_texts()
    }

    /// What was said of it.
    pub(in crate::control) fn messages(&self) -> impl Iterator<Item = &str> {
        self.report.diagnostics().into_iter().map(|found| found.message.as_str())
    }

    /// All of it with every default and where each value came from, as JSON.
    pub fn effective_json(&self) -> String {
        self.effective.to_json(&self.report)
    }

    /// The same as TOML.
    pub fn effective_toml(&self) -> String {
        self.effective.to_toml(&self.report)
    }
}
