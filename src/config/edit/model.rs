//! All objects of the texts, and what changes make of them.

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::edit::headings::HeadedChild;
use crate::config::edit::headings::HeadedTable;
use crate::config::edit::order::Edit;
use crate::config::edit::order::EditAction;
use crate::config::edit::order::EditRefusal;
use crate::config::edit::order::merge;
use crate::config::edit::render;
use crate::config::edit::syntax::Assignment;
use crate::config::edit::syntax::TextContent;
use crate::config::edit::syntax::TextOutline;
use crate::config::objects::ObjectKind;
use crate::config::objects::ObjectPath;

/// An object, and what is to become of it.
pub(super) struct EditedObject {
    pub kind: ObjectKind,
    name: String,
    /// Index of its file. None: it is new.
    pub file: Option<usize>,
    pub settings: Map<String, Json>,
    pub is_changed: bool,
    pub is_deleted: bool,
}

#[derive(Default)]
pub(super) struct Model {
    /// Those of one kind and file stand in the order of the text.
    pub elements: Vec<EditedObject>,
}

/// Where the objects of one kind stand in a text.
pub(super) enum KindTables<'s> {
    None,
    /// `[[listener]]`.
    Headed(&'s [HeadedTable]),
    /// `listener = [{ … }]`.
    Inline(&'s Assignment),
}

impl<'s> KindTables<'s> {
    pub(super) fn find(kind: ObjectKind, outline: &'s TextOutline, root: &'s HeadedTable) -> KindTables<'s> {
        if let Some(HeadedChild::List(elements)) = root.child(kind.table()) {
            return KindTables::Headed(elements);
        }
        let assignments = outline.sections.first().map_or(&[][..], |first| &first.assignments);
        let found = assignments
            .iter()
            .find(|assignment| matches!(&assignment.path[..], [key] if key == kind.table()));
        match found.map(|found| (found, &found.value.content)) {
            Some((found, TextContent::List(_))) => KindTables::Inline(found),
            _ => KindTables::None,
        }
    }

    /// What each says.
    pub(super) fn settings(&self, outline: &TextOutline) -> Vec<Map<String, Json>> {
        match self {
            KindTables::None => Vec::new(),
            KindTables::Headed(elements) => elements.iter().map(|element| element.to_json(outline)).collect(),
            KindTables::Inline(list) => match list.value.to_json() {
                Json::Array(list) => list.into_iter().filter_map(table_of).collect(),
                _ => Vec::new(),
            },
        }
    }
}

fn table_of(value: Json) -> Option<Map<String, Json>> {
    match value {
        Json::Object(table) => Some(table),
        _ => None,
    }
}

impl Model {
    /// Takes up the objects of a file.
    pub(super) fn add_file(&mut self, file: usize, outline: &TextOutline, root: &HeadedTable) {
        for kind in ObjectKind::ALL {
            let before = self.elements.iter().filter(|element| element.kind == kind).count();
            let tables = KindTables::find(kind, outline, root).settings(outline);
            for (place, settings) in tables.into_iter().enumerate() {
                let name = settings.get("name").and_then(Json::as_str);
                let name = name.map_or_else(|| format!("error-page-{}", before + place + 1), str::to_owned);
                let (is_changed, is_deleted) = (false, false);
                self.elements.push(EditedObject {
                    kind,
                    name,
                    file: Some(file),
                    settings,
                    is_changed,
                    is_deleted,
                });
            }
        }
    }

    /// Changes the objects.
    ///
    /// # Errors
    /// It names what is not there, or creates what is.
    pub(super) fn apply(&mut self, edit: &Edit) -> Result<(), EditRefusal> {
        match &edit.path {
            ObjectPath::Named { kind, name } => self.apply_to_named((*kind, name), edit),
            ObjectPath::Backend { group, address } => {
                let group = self.group(group)?;
                apply_to_backend(&mut group.settings, address, edit)
            }
            ObjectPath::HealthCheck { group } => {
                let group = self.group(group)?;
                apply_to_health_check(&mut group.settings, edit)
            }
        }
    }

    /// Leaves out what is null.
    ///
    /// # Errors
    /// Settings hold what TOML does not have.
    pub(super) fn clean(&mut self) -> Result<(), EditRefusal> {
        for element in self.elements.iter_mut().filter(|element| element.is_changed && !element.is_deleted) {
            let unwritable = |what| {
                let path = ObjectPath::Named { kind: element.kind, name: element.name.clone() };
                EditRefusal::Unwritable(path, what)
            };
            element.settings = render::writable_settings(&element.settings).map_err(unwritable)?;
        }
        Ok(())
    }

    fn find(&mut self, kind: ObjectKind, name: &str) -> Option<&mut EditedObject> {
        let mut living = self.elements.iter_mut().filter(|element| !element.is_deleted);
        living.find(|element| element.kind == kind && element.name == name)
    }

    fn group(&mut self, name: &str) -> Result<&mut EditedObject, EditRefusal> {
        let kind = ObjectKind::ServerGroup;
        let group = self.find(kind, name);
        let group =
            group.ok_or_else(|| EditRefusal::Missing(ObjectPath::Named { kind, name: name.to_owned() }))?;
        group.is_changed = true;
        Ok(group)
    }

    fn apply_to_named(&mut self, (kind, name): (ObjectKind, &str), edit: &Edit) -> Result<(), EditRefusal> {
        let found = self.find(kind, name);
        match (found, edit.action.clone()) {
            (Some(_), EditAction::Create(_)) => return Err(EditRefusal::Exists(edit.path.clone())),
            (None, EditAction::Create(mut settings)) => {
                settings.entry("name").or_insert_with(|| Json::from(name));
                let (is_changed, is_deleted) = (true, false);
                let name = name.to_owned();
                self.elements.push(EditedObject { kind, name, file: None, settings, is_changed, is_deleted });
            }
            (None, _) => return Err(EditRefusal::Missing(edit.path.clone())),
            (Some(element), EditAction::Replace(mut settings)) => {
                if let Some(name) = element.settings.remove("name") {
                    settings.entry("name").or_insert(name);
                }
                (element.settings, element.is_changed) = (settings, true);
            }
            (Some(element), EditAction::Merge(patch)) => {
                merge(&mut element.settings, &patch);
                element.is_changed = true;
            }
            (Some(element), EditAction::Delete) => (element.is_deleted, element.is_changed) = (true, true),
        }
        Ok(())
    }
}

fn apply_to_backend(group: &mut Map<String, Json>, address: &str, edit: &Edit) -> Result<(), EditRefusal> {
    let backends = group.entry("backend").or_insert_with(|| Json::Array(Vec::new()));
    let Json::Array(backends) = backends else { return Err(EditRefusal::Missing(edit.path.clone())) };
    let is_it = |backend: &Json| backend.get("address").and_then(Json::as_str) == Some(address);
    let place = backends.iter().position(is_it);
    let addressed = |mut settings: Map<String, Json>| {
        settings.entry("address").or_insert_with(|| Json::from(address));
        Json::Object(settings)
    };
    match (place, edit.action.clone()) {
        (Some(_), EditAction::Create(_)) => return Err(EditRefusal::Exists(edit.path.clone())),
        (None, EditAction::Create(settings)) => backends.push(addressed(settings)),
        (None, _) => return Err(EditRefusal::Missing(edit.path.clone())),
        (Some(place), EditAction::Replace(settings)) => backends[place] = addressed(settings),
        (Some(place), EditAction::Merge(patch)) => {
            if let Json::Object(backend) = &mut backends[place] {
                merge(backend, &patch);
            }
        }
        (Some(place), EditAction::Delete) => drop(backends.remove(place)),
    }
    if backends.is_empty() {
        group.remove("backend");
    }
    Ok(())
}

fn apply_to_health_check(group: &mut Map<String, Json>, edit: &Edit) -> Result<(), EditRefusal> {
    let found = group.get_mut("health_check");
    match (found, edit.action.clone()) {
        (Some(_), EditAction::Create(_)) => return Err(EditRefusal::Exists(edit.path.clone())),
        (None, EditAction::Delete) => return Err(EditRefusal::Missing(edit.path.clone())),
        (Some(_), EditAction::Delete) => drop(group.remove("health_check")),
        (_, EditAction::Create(settings) | EditAction::Replace(settings)) => {
            group.insert("health_check".to_owned(), Json::Object(settings));
        }
        (found, EditAction::Merge(patch)) => {
            let mut settings = found.and_then(|found| found.as_object().cloned()).unwrap_or_default();
            merge(&mut settings, &patch);
            group.insert("health_check".to_owned(), Json::Object(settings));
        }
    }
    Ok(())
}
