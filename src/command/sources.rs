//! The files and folders named with `-c`, read and loaded as one configuration.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::config;
use crate::config::Loaded;
use crate::config::Location;
use crate::config::LogDestination;
use crate::config::Report;
use crate::config::RouteTest;
use crate::config::Source;
use crate::config::in_order;
use crate::control::change::journal;
use crate::control::change::journal::JournalReach;
use crate::control::elb::state;
use crate::control::files;
use crate::control::origin::ConfigOrigin;
use crate::control::origin::NewObjects;

/// No configuration is this large; whatever is, was named by mistake.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// What stands for standard input, as with most commands.
const STANDARD_INPUT: &str = "-";

/// Where the management API writes what it creates.
const NEW_OBJECTS: &str = "api.toml";

/// Standard input was read.
static IS_INPUT_READ: AtomicBool = AtomicBool::new(false);

/// Reads and checks. What cannot be read is an error of the report like any other.
pub(super) fn load(paths: &[PathBuf]) -> Loaded {
    let mut loaded = check(sources(paths));
    if let Some(new) = file_of_new_objects(paths)
        && journal::is_there(&journal::path_beside(&new.path))
    {
        let message = "a change of the files was interrupted, and is ended at the next start or reload";
        loaded.report.warning(Location::default(), message, "ringway reload, or start it");
    }
    loaded
}

/// Where these files are read from again, and written back to.
pub(super) fn origin(paths: &[PathBuf]) -> ConfigOrigin {
    let (read_again, look_again) = (paths.to_vec(), paths.to_vec());
    ConfigOrigin {
        read: Box::new(move || sources(&read_again)),
        check,
        new_objects: file_of_new_objects(paths),
        reach: Box::new(move || reach(&look_again)),
    }
}

fn check(sources: Vec<Source>) -> Loaded {
    let mut loaded = config::load(sources);
    warn_of_missing_folder(&mut loaded);
    loaded
}

fn sources(paths: &[PathBuf]) -> Vec<Source> {
    let mut sources = named_sources(paths);
    // What the objects of the ELB API are in tables comes behind everything else.
    if let Some(api) = config::elb_api(&sources) {
        sources.push(state::source(&api));
    }
    sources
}

fn named_sources(paths: &[PathBuf]) -> Vec<Source> {
    let mut known = HashSet::new();
    let sources = paths.iter().enumerate().flat_map(|(index, path)| {
        let is_new = known.insert(path.canonicalize().unwrap_or_else(|_| path.clone()));
        match path {
            path if !is_new => {
                vec![Source::file(path, PathBuf::new(), Err("it is named twice with -c".to_owned()))]
            }
            path if is_standard_input(path) => vec![standard_input()],
            path if path.is_dir() => folder(path),
            path if index == 0 => {
                [path].into_iter().chain(&file_beside(path, paths)).map(|path| file(path)).collect()
            }
            path => vec![file(path)],
        }
    });
    sources.collect()
}

/// The files and their folders, where links lead.
fn reach(paths: &[PathBuf]) -> JournalReach {
    let files: Vec<PathBuf> = paths
        .iter()
        .flat_map(|path| match path.is_dir() {
            true => files_of_folder(path)
                .unwrap_or_default()
                .into_iter()
                .chain([path.join(NEW_OBJECTS)])
                .collect(),
            false => vec![path.clone(), path.with_file_name(NEW_OBJECTS)],
        })
        .collect();
    let real: Vec<PathBuf> = files.iter().filter_map(|file| file.canonicalize().ok()).collect();
    let folders = files.iter().flat_map(|file| {
        let real = file.canonicalize().ok().and_then(|file| file.parent().map(Path::to_owned));
        let named = std::path::absolute(file).ok().and_then(|file| file.parent()?.canonicalize().ok());
        real.into_iter().chain(named)
    });
    let folders = folders.collect::<BTreeSet<PathBuf>>().into_iter().collect();
    JournalReach { files: real, folders }
}

/// The file that new objects are written to: in the folder named first, or beside the file named first. None: what comes
/// from standard input cannot be written back.
fn file_of_new_objects(paths: &[PathBuf]) -> Option<NewObjects> {
    if paths.iter().any(|path| is_standard_input(path)) {
        return None;
    }
    let first = paths.first()?;
    let is_in_folder = first.is_dir();
    let name = if is_in_folder { first.join(NEW_OBJECTS) } else { first.with_file_name(NEW_OBJECTS) };
    Some(NewObjects { path: std::path::absolute(&name).ok()?, name, is_in_folder })
}

/// The file of new objects beside the first file, if it is there and not read anyway.
fn file_beside(first: &Path, paths: &[PathBuf]) -> Option<PathBuf> {
    file_of_new_objects(paths)?;
    let beside = first.with_file_name(NEW_OBJECTS);
    let real = beside.canonicalize().ok()?;
    let is_read = |path: &PathBuf| {
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        path == real || path.is_dir() && real.parent() == Some(&path)
    };
    (!paths.iter().any(is_read)).then_some(beside)
}

/// Reads a table of requests for `ringway test`.
pub(super) fn load_route_tests(path: &Path) -> (Vec<RouteTest>, Report) {
    config::load_route_tests(source(path))
}

/// A file, or standard input.
pub(super) fn source(path: &Path) -> Source {
    if is_standard_input(path) { standard_input() } else { file(path) }
}

/// The text of a file, or of standard input.
///
/// # Errors
/// In words.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    if is_standard_input(path) { text(std::io::stdin().lock(), path) } else { read(path) }
}

pub(super) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}

fn folder(path: &Path) -> Vec<Source> {
    match files_of_folder(path) {
        Ok(files) => files.iter().map(|path| file(path)).collect(),
        Err(reason) => vec![Source::file(path, PathBuf::new(), Err(reason))],
    }
}

/// The `*.toml` files of a folder in the order of their names, of which there is at least one. Hidden files are leftovers
/// of editors.
pub(super) fn files_of_folder(path: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = path.read_dir().map_err(|error| format!("cannot read the folder: {error}"))?;
    let is_configuration = |path: &PathBuf| {
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        path.extension().is_some_and(|extension| extension == "toml") && !is_hidden && !path.is_dir()
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_configuration).collect();
    in_order::sort_by(&mut files, PathBuf::cmp);
    if files.is_empty() {
        return Err("the folder has no *.toml file".to_owned());
    }
    Ok(files)
}

fn file(path: &Path) -> Source {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    Source::file(path, without_steps_back(folder), read(path))
}

/// The folder without `..`, so that the paths in a file are the same however it was named. Links stay as they are, unless a
/// step back leads out of one.
fn without_steps_back(folder: &Path) -> PathBuf {
    match folder.components().any(|part| part == Component::ParentDir) {
        true => folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
        false => folder.to_owned(),
    }
}

/// Relative paths in it start at the working folder.
fn standard_input() -> Source {
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let text = if IS_INPUT_READ.swap(true, Ordering::Relaxed) {
        Err("standard input was read at the start and cannot be read again: restart instead".to_owned())
    } else {
        text(std::io::stdin().lock(), Path::new(STANDARD_INPUT))
    };
    Source::file(Path::new("<stdin>"), folder, text)
}

fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    text(file, path)
}

fn unreadable(path: &Path, error: io::Error) -> String {
    format!("cannot read the file: {}", files::explained(path, error))
}

fn text(input: impl Read, path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    input.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("the file is not UTF-8 text: line {line}")
    })
}

/// The service manager may make the folder at start, so this is no error.
fn warn_of_missing_folder(loaded: &mut Loaded) {
    let logs = loaded.config.iter().flat_map(|config| &config.access_logs);
    for log in logs {
        let LogDestination::File(path) = &log.destination else { continue };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let message = format!("the folder of the access log, {}, is not there", folder.display());
            let fix = "make it before the start, writable for ringway";
            loaded.report.warning(log.location, message, fix);
        }
    }
}
