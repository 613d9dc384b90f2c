//! What is to change about the objects of a configuration, and why it may not come about.

use std::fmt;
use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::objects::ObjectKind;
use crate::config::objects::ObjectPath;

/// A file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Absolute.
    pub path: PathBuf,
    pub text: String,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Edit {
    pub path: ObjectPath,
    pub action: EditAction,
}

#[derive(Clone, Debug)]
pub enum EditAction {
    /// Settings without a name, or address, get that of the path.
    Create(Map<String, Json>),
    /// Takes the place of all settings. A health check may come into being that way.
    Replace(Map<String, Json>),
    /// RFC 7396: what is null goes.
    Merge(Map<String, Json>),
    Delete,
}

/// Why texts cannot be changed that way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditRefusal {
    Missing(ObjectPath),
    Exists(ObjectPath),
    /// The settings hold something that TOML does not have; what.
    Unwritable(ObjectPath, String),
    /// A file is not TOML; where.
    Broken {
        path: PathBuf,
        line: usize,
    },
    /// The file says it in a form that only its writer can change.
    Intricate(PathBuf),
}

impl EditRefusal {
    /// What helps; where the management API has a call for it, that.
    pub fn help(&self) -> String {
        let help = match self {
            EditRefusal::Missing(path) => return format!("GET /api/v1/{} lists them", list_of(path)),
            EditRefusal::Exists(path) => {
                return format!("PATCH /api/v1/{path} changes it; or take another name");
            }
            EditRefusal::Unwritable(..) => "leave it out, or write a value that the key takes",
            EditRefusal::Broken { .. } => "correct the file by hand: ringway check says what is wrong",
            EditRefusal::Intricate(_) => "write the tables of the object under headers such as [[listener]]",
        };
        help.to_owned()
    }
}

/// The list that has the object, or has it within one of its objects.
fn list_of(path: &ObjectPath) -> String {
    match path {
        ObjectPath::Named { kind, .. } => kind.segment().to_owned(),
        ObjectPath::Backend { group, .. } => format!("server-groups/{group}/backends"),
        ObjectPath::HealthCheck { .. } => ObjectKind::ServerGroup.segment().to_owned(),
    }
}

impl fmt::Display for EditRefusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditRefusal::Missing(path) => write!(out, "there is no {path}"),
            EditRefusal::Exists(path) => write!(out, "{path} exists already"),
            EditRefusal::Unwritable(path, what) => write!(out, "{path} cannot be written: it has {what}"),
            EditRefusal::Broken { path, line } => {
                write!(out, "{}:{line}: this is not TOML", path.display())
            }
            EditRefusal::Intricate(path) => {
                write!(out, "{} says this in a form that cannot be changed for you", path.display())
            }
        }
    }
}

/// Changes settings as a patch says (RFC 7396 §2).
pub fn merge(settings: &mut Map<String, Json>, patch: &Map<String, Json>) {
    for (key, value) in patch {
        match value {
            Json::Null => drop(settings.remove(key)),
            Json::Object(patch) => {
                let inner = settings.entry(key.as_str()).or_insert(Json::Null);
                if !inner.is_object() {
                    *inner = Json::Object(Map::new());
                }
                if let Json::Object(inner) = inner {
                    merge(inner, patch);
                }
            }
            value => drop(settings.insert(key.clone(), value.clone())),
        }
    }
}
