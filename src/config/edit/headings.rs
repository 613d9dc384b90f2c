//! The tables that the headers of a text make, with the sections that each is written in.

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::edit::syntax;
use crate::config::edit::syntax::TextOutline;

/// A table.
#[derive(Default)]
pub(super) struct HeadedTable {
    /// Index of the section with its own keys. None: only tables in it have headers.
    pub section: Option<usize>,
    /// In the order of the text.
    pub children: Vec<(String, HeadedChild)>,
}

pub(super) enum HeadedChild {
    Table(HeadedTable),
    List(Vec<HeadedTable>),
}

/// The table that holds all others.
pub(super) fn root(outline: &TextOutline) -> HeadedTable {
    let mut root = HeadedTable { section: Some(0), children: Vec::new() };
    for (index, section) in outline.sections.iter().enumerate() {
        let Some(header) = &section.header else { continue };
        let Some((key, tables)) = header.path.split_last() else { continue };
        let parent = tables.iter().try_fold(&mut root, |table, key| table.descend(key));
        if let Some(parent) = parent {
            parent.open(key, index, header.is_element);
        }
    }
    root
}

impl HeadedTable {
    pub(super) fn child(&self, key: &str) -> Option<&HeadedChild> {
        self.children.iter().find(|(known, _)| known == key).map(|(_, child)| child)
    }

    /// Every section that the table and those in it are written in.
    pub(super) fn sections(&self) -> Vec<usize> {
        let mut sections: Vec<usize> = self.section.into_iter().collect();
        sections.extend(self.children.iter().flat_map(|(_, child)| child.sections()));
        sections
    }

    /// What it says.
    pub(super) fn to_json(&self, outline: &TextOutline) -> Map<String, Json> {
        let mut object = Map::new();
        let own = self.section.and_then(|section| outline.sections.get(section));
        own.iter()
            .flat_map(|section| &section.assignments)
            .for_each(|assignment| syntax::put(&mut object, assignment));
        for (key, child) in &self.children {
            match (child, object.get_mut(key)) {
                // Keys with dots begin such a table, too.
                (HeadedChild::Table(table), Some(Json::Object(begun))) => {
                    begun.extend(table.to_json(outline));
                }
                _ => drop(object.insert(key.clone(), child.to_json(outline))),
            }
        }
        object
    }

    /// What it says of one key.
    pub(super) fn to_json_of(&self, key: &str, outline: &TextOutline) -> Option<Json> {
        self.to_json(outline).remove(key)
    }

    /// Whether its own section says something of a key.
    pub(super) fn has_assignments_of(&self, key: &str, outline: &TextOutline) -> bool {
        let own = self.section.and_then(|section| outline.sections.get(section));
        let mut assignments = own.into_iter().flat_map(|section| &section.assignments);
        assignments.any(|assignment| assignment.path.first().is_some_and(|first| first == key))
    }

    fn slot(&mut self, key: &str, fresh: fn() -> HeadedChild) -> Option<&mut HeadedChild> {
        if self.child(key).is_none() {
            self.children.push((key.to_owned(), fresh()));
        }
        self.children.iter_mut().find(|(known, _)| known == key).map(|(_, child)| child)
    }

    /// The table that a header means by this key: of a list, the last.
    fn descend(&mut self, key: &str) -> Option<&mut HeadedTable> {
        match self.slot(key, || HeadedChild::Table(HeadedTable::default()))? {
            HeadedChild::Table(table) => Some(table),
            HeadedChild::List(elements) => elements.last_mut(),
        }
    }

    fn open(&mut self, key: &str, section: usize, is_element: bool) {
        let fresh = match is_element {
            true => || HeadedChild::List(Vec::new()),
            false => || HeadedChild::Table(HeadedTable::default()),
        };
        match self.slot(key, fresh) {
            Some(HeadedChild::List(elements)) => {
                elements.push(HeadedTable { section: Some(section), children: Vec::new() });
            }
            Some(HeadedChild::Table(table)) => table.section = Some(section),
            None => {}
        }
    }
}

impl HeadedChild {
    pub(super) fn sections(&self) -> Vec<usize> {
        match self {
            HeadedChild::Table(table) => table.sections(),
            HeadedChild::List(elements) => elements.iter().flat_map(HeadedTable::sections).collect(),
        }
    }

    pub(super) fn to_json(&self, outline: &TextOutline) -> Json {
        match self {
            HeadedChild::Table(table) => Json::Object(table.to_json(outline)),
            HeadedChild::List(elements) => {
                elements.iter().map(|element| Json::Object(element.to_json(outline))).collect()
            }
        }
    }
}
