//! The files of this package, as text.

use crate::code;
use std::fs;
use std::path::Path;

/// The folder of the workspace.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A Rust source file.
pub(crate) struct Source {
    /// Relative to the workspace, such as `src/http/mod.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text before the tests, with comments and literals blanked; empty for a file of tests.
    pub(crate) code: String,
}

/// A Markdown page.
pub(crate) struct Document {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let is_all_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        let code =
            if is_all_tests { String::new() } else { code::before_tests(&code::blank(text)).to_owned() };
        Source { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// The path inside `src/`, if the file is there.
    pub(crate) fn in_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/")
    }

    /// Module names from the crate down: `src/proto/h1/mod.rs` and `src/proto/h1.rs` are `[proto, h1]`.
    pub(crate) fn module_path(&self) -> Vec<&str> {
        self.module_path_below("src/")
    }

    /// The same for a crate whose first file is in the folder `root`.
    pub(crate) fn module_path_below(&self, root: &str) -> Vec<&str> {
        let path = self.path.strip_prefix(root).and_then(|path| path.strip_suffix(".rs"));
        let Some(path) = path else { return Vec::new() };
        let mut names: Vec<&str> = path.split('/').collect();
        if matches!(names.last(), Some(&"mod" | &"lib" | &"main" | &"data_path")) {
            names.pop();
        }
        names
    }
}

/// All Rust files under a folder of the workspace; `""` means every folder that holds our code.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let folders = if folder.is_empty() { vec!["src", "tests", "bench", "fuzz"] } else { vec![folder] };
    let paths = folders.into_iter().flat_map(|folder| files_under(folder, "rs"));
    paths.map(|path| Source::new(&path, &read(&path))).collect()
}

/// The pages of `docs/` and the README.
pub(crate) fn documents() -> Vec<Document> {
    let mut paths = files_under("docs", "md");
    if exists("README.md") {
        paths.push("README.md".to_owned());
    }
    paths.into_iter().map(|path| Document { text: read(&path), path }).collect()
}

/// Relative paths of the files under `folder` with this extension, sorted; none when the folder does not exist.
pub(crate) fn files_under(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(Path::new(ROOT).join(&folder)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            if entry.path().is_dir() {
                if !matches!(name.as_str(), "target" | "corpus" | "artifacts") {
                    folders.push(path);
                }
            } else if name.ends_with(&format!(".{extension}")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn exists(path: &str) -> bool {
    Path::new(ROOT).join(path).exists()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).expect("a file that was listed can be read")
}
