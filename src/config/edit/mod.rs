//! Changes of the texts of a configuration: some of its objects come, go, or say something else. Comments, order, blank lines,
//! line ends and quotes of everything else stay byte for byte.

mod brackets;
mod compare;
pub mod diff;
mod document;
mod headings;
mod lines;
mod model;
pub mod order;
mod render;
mod rewrite;
mod syntax;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::config::edit::document::TextDocument;
use crate::config::edit::document::WantedObjects;
use crate::config::edit::model::Model;
use crate::config::edit::order::Edit;
use crate::config::edit::order::EditRefusal;
use crate::config::edit::order::FileText;

/// The files that the changes make others of, with their new texts. New objects go to the file `new`, which may be among
/// `files` or come into being.
///
/// # Errors
/// A change names what is not there, creates what is, or cannot be written.
pub fn edit(files: &[FileText], new: &Path, edits: &[Edit]) -> Result<Vec<FileText>, EditRefusal> {
    let mut model = Model::default();
    let mut documents = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let document = TextDocument::parse(file)?;
        model.add_file(index, &document.outline, &document.root);
        documents.push(document);
    }
    edits.iter().try_for_each(|edit| model.apply(edit))?;
    model.clean()?;
    let mut changed = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let wanted = WantedObjects::of_file(&model, index, document.file.path == new);
        if wanted.is_empty() {
            continue;
        }
        let now = document.rewritten(&wanted)?;
        if now != *document.file {
            changed.push(now);
        }
    }
    let is_new_there = files.iter().any(|file| file.path == new);
    let wanted = WantedObjects::created(&model);
    if !is_new_there && !wanted.is_empty() {
        let has_version = documents.iter().any(TextDocument::has_version);
        changed.push(document::new_file(new, has_version, &wanted)?);
    }
    Ok(changed)
}
