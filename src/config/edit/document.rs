//! A file of the configuration, taken apart and put together again.

use std::path::Path;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::edit::brackets;
use crate::config::edit::headings;
use crate::config::edit::headings::HeadedTable;
use crate::config::edit::lines::TextChange;
use crate::config::edit::model::EditedObject;
use crate::config::edit::model::KindTables;
use crate::config::edit::model::Model;
use crate::config::edit::order::EditRefusal;
use crate::config::edit::order::FileText;
use crate::config::edit::render;
use crate::config::edit::rewrite;
use crate::config::edit::syntax;
use crate::config::edit::syntax::Assignment;
use crate::config::edit::syntax::TextOutline;
use crate::config::objects::ObjectKind;

/// Stands above what is written into a new file.
const PREAMBLE: &str = "# The management API writes here what it creates. What you change or add yourself stays as you write it.\n";

/// Needed in one file of a configuration.
const VERSION: &str = "config_version";

/// A file with the place of everything in it.
pub(super) struct TextDocument<'f> {
    pub file: &'f FileText,
    pub outline: TextOutline,
    pub root: HeadedTable,
}

/// What is to become of the objects of a file.
pub(super) struct WantedObjects<'m> {
    /// Those that stand there, in the order of the text.
    standing: Vec<&'m EditedObject>,
    created: Vec<&'m EditedObject>,
}

impl<'m> WantedObjects<'m> {
    /// `takes_new`: objects that are created go there.
    pub(super) fn of_file(model: &'m Model, file: usize, takes_new: bool) -> WantedObjects<'m> {
        let standing = model.elements.iter().filter(|element| element.file == Some(file)).collect();
        let created = if takes_new { WantedObjects::created(model).created } else { Vec::new() };
        WantedObjects { standing, created }
    }

    /// All that is created, alone.
    pub(super) fn created(model: &'m Model) -> WantedObjects<'m> {
        let elements = model.elements.iter();
        let created = elements.filter(|element| element.file.is_none() && !element.is_deleted);
        WantedObjects { standing: Vec::new(), created: created.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.created.is_empty() && self.standing.iter().all(|element| !element.is_changed)
    }

    fn standing_of(&self, kind: ObjectKind) -> impl Iterator<Item = &'m EditedObject> {
        self.standing.iter().copied().filter(move |element| element.kind == kind)
    }

    fn created_of(&self, kind: ObjectKind) -> impl Iterator<Item = &'m EditedObject> {
        self.created.iter().copied().filter(move |element| element.kind == kind)
    }

    /// What the objects of a kind are to be.
    fn settings(&self, kind: ObjectKind) -> Vec<&'m Map<String, Json>> {
        let all = self.standing_of(kind).filter(|element| !element.is_deleted).chain(self.created_of(kind));
        all.map(|element| &element.settings).collect()
    }
}

impl<'f> TextDocument<'f> {
    pub(super) fn parse(file: &'f FileText) -> Result<TextDocument<'f>, EditRefusal> {
        let outline = syntax::read(&file.text).map_err(|at| {
            let line = file.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            EditRefusal::Broken { path: file.path.clone(), line }
        })?;
        let root = headings::root(&outline);
        Ok(TextDocument { file, outline, root })
    }

    /// Whether it names the version of the configuration.
    pub(super) fn has_version(&self) -> bool {
        let first = self.outline.sections.first();
        let mut assignments = first.into_iter().flat_map(|first| &first.assignments);
        assignments.any(|assignment| matches!(&assignment.path[..], [key] if key == VERSION))
    }

    /// The file with its objects as they are to be.
    pub(super) fn rewritten(&self, wanted: &WantedObjects<'_>) -> Result<FileText, EditRefusal> {
        let mut change = TextChange::new(&self.file.text, &self.outline);
        let mut created = Vec::new();
        for kind in ObjectKind::ALL.into_iter().filter(|kind| wanted.changes(*kind)) {
            match KindTables::find(kind, &self.outline, &self.root) {
                KindTables::Inline(assignment) => inline(&mut change, assignment, kind, wanted),
                KindTables::Headed(elements) => {
                    let pairs = elements.iter().zip(wanted.standing_of(kind));
                    for (table, element) in pairs.filter(|(_, element)| element.is_changed) {
                        let settings = (!element.is_deleted).then_some(&element.settings);
                        rewrite::element(&mut change, table, kind.table(), settings);
                    }
                    created.extend(wanted.created_of(kind));
                }
                KindTables::None => created.extend(wanted.created_of(kind)),
            }
        }
        // What is added to the last object comes first.
        created.into_iter().for_each(|element| create(&mut change, element));
        let text = FileText { path: self.file.path.clone(), text: change.finish() };
        self.verify(&text, wanted)?;
        Ok(text)
    }

    /// Makes sure that the text says what it is to say, and nothing else.
    fn verify(&self, text: &FileText, wanted: &WantedObjects<'_>) -> Result<(), EditRefusal> {
        let intricate = || EditRefusal::Intricate(text.path.clone());
        let now = TextDocument::parse(text).map_err(|_| intricate())?;
        for kind in ObjectKind::ALL {
            let said = KindTables::find(kind, &now.outline, &now.root).settings(&now.outline);
            if !said.iter().eq(wanted.settings(kind)) {
                return Err(intricate());
            }
        }
        if self.others() == now.others() { Ok(()) } else { Err(intricate()) }
    }

    /// What it says beside objects.
    fn others(&self) -> Map<String, Json> {
        let is_other = |key: &str| ObjectKind::ALL.iter().all(|kind| kind.table() != key);
        let mut others = Map::new();
        let assignments = self.outline.sections.first().map_or(&[][..], |first| &first.assignments);
        assignments
            .iter()
            .filter(|assignment| assignment.path.first().is_some_and(|key| is_other(key)))
            .for_each(|assignment| syntax::put(&mut others, assignment));
        for (key, child) in self.root.children.iter().filter(|(key, _)| is_other(key)) {
            // Keys with dots may say something of such a table, too.
            let begun = others.remove(key).unwrap_or_default();
            others.insert(key.clone(), Json::from(vec![begun, child.to_json(&self.outline)]));
        }
        others
    }
}

impl WantedObjects<'_> {
    fn changes(&self, kind: ObjectKind) -> bool {
        self.created_of(kind).next().is_some() || self.standing_of(kind).any(|element| element.is_changed)
    }
}

/// Changes a list of objects in braces.
fn inline(change: &mut TextChange<'_>, list: &Assignment, kind: ObjectKind, wanted: &WantedObjects<'_>) {
    let standing = wanted.standing_of(kind).enumerate();
    let kept = standing.filter(|(_, element)| !element.is_deleted).map(|(place, _)| Some(place));
    let places: Vec<Option<usize>> = kept.chain(wanted.created_of(kind).map(|_| None)).collect();
    let settings: Vec<Json> = wanted.settings(kind).into_iter().cloned().map(Json::Object).collect();
    let text = brackets::rewritten_list(change.text, &list.value, &settings, &places);
    change.replace(list.value.span.clone(), text);
}

/// Adds a new object at the end of the text.
fn create(change: &mut TextChange<'_>, element: &EditedObject) {
    let end = change.text.len();
    let path = [element.kind.table().to_owned()];
    let section = render::section(&path, &element.settings, true, change.eol);
    let gap = if end == 0 { "" } else { change.eol };
    change.insert(end, format!("{gap}{section}"));
}

/// A file that there was not before.
pub(super) fn new_file(
    path: &Path,
    has_version: bool,
    wanted: &WantedObjects<'_>,
) -> Result<FileText, EditRefusal> {
    let version = if has_version { String::new() } else { format!("\n{VERSION} = 1\n") };
    let empty = FileText { path: path.to_owned(), text: format!("{PREAMBLE}{version}") };
    TextDocument::parse(&empty)?.rewritten(wanted)
}
