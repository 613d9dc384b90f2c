//! What objects of all kinds have in common: lists, what one says, being switched and deleted.

use clap::Args;
use serde_json::Map;
use serde_json::Value as Json;

use crate::command::api::form::ApiChange;
use crate::command::api::form::ReadForm;
use crate::command::api::form::WriteForm;
use crate::command::api::form::text;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::table::Column;
use crate::command::table::TextTable;
use crate::config::toml_value;
use crate::control::admin::http_client::percent_encoded;

/// Objects that are asked for at a time.
const PAGE: usize = 1_000;

/// A kind of object, as paths of the API name it, and the header of its table.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) path: &'static str,
    pub(super) header: &'static str,
}

pub(super) const LISTENERS: Kind = Kind { path: "listeners", header: "listener" };
pub(super) const GROUPS: Kind = Kind { path: "server-groups", header: "server_group" };
pub(super) const CERTIFICATES: Kind = Kind { path: "certificates", header: "certificate" };
pub(super) const RULES: Kind = Kind { path: "rules", header: "rule" };
pub(super) const IP_GROUPS: Kind = Kind { path: "ip-groups", header: "ip_group" };

#[derive(Args)]
pub(crate) struct ListArguments {
    /// Only names like this; `*` and `?` stand for others.
    #[arg(long)]
    name: Option<String>,
    /// Only what has this tag: KEY or KEY=VALUE.
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    pub(super) form: ReadForm,
}

#[derive(Args)]
pub(crate) struct ShowArguments {
    /// What the object is called.
    name: String,
    #[command(flatten)]
    form: ReadForm,
}

#[derive(Args)]
pub(crate) struct NamedArguments {
    /// What the object is called.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) form: WriteForm,
}

impl Kind {
    /// The path of one of them.
    pub(super) fn path_of(self, name: &str) -> String {
        format!("{}/{}", self.path, percent_encoded(name))
    }

    /// Every object that is asked for, page by page.
    pub(super) fn all(self, arguments: &ListArguments) -> Result<Vec<Json>, Exit> {
        let filters = [("name", &arguments.name), ("tag", &arguments.tag)];
        let filters: String = filters
            .iter()
            .filter_map(|(key, value)| Some(format!("&{key}={}", percent_encoded(value.as_deref()?))))
            .collect();
        let get = |path: &str| arguments.form.get(path);
        all_pages(&format!("{}?limit={PAGE}{filters}", self.path), get)
    }

    /// Prints a table of them; `columns` tell of each what stands behind its name.
    pub(super) fn list(self, arguments: &ListArguments, columns: &[(Column, CellOf)]) -> Exit {
        self.list_arranged(arguments, columns, |_| Ok(()))
    }

    /// The same, of items that are put in order or completed before; JSON is printed as it came.
    pub(super) fn list_arranged(
        self,
        arguments: &ListArguments,
        columns: &[(Column, CellOf)],
        arrange: impl FnOnce(&mut Vec<Json>) -> Result<(), Exit>,
    ) -> Exit {
        let mut items = match self.all(arguments) {
            Ok(items) if arguments.form.json => return print(&Json::from(items).to_string()),
            Ok(items) => items,
            Err(exit) => return exit,
        };
        match arrange(&mut items) {
            Ok(()) => print(&table(&items, columns)),
            Err(exit) => exit,
        }
    }

    /// Prints one as it stands in the configuration.
    pub(super) fn show(self, arguments: &ShowArguments) -> Exit {
        match arguments.form.get(&self.path_of(&arguments.name)) {
            Ok(document) if arguments.form.json => print(&document.to_string()),
            Ok(document) => print(&written(self.header, &document)),
            Err(exit) => exit,
        }
    }

    pub(super) fn create(self, settings: Map<String, Json>, form: &WriteForm) -> Exit {
        form.change(ApiChange {
            method: "POST",
            path: self.path.to_owned(),
            content: Some(Json::Object(settings)),
            if_match: None,
        })
    }

    /// Changes these keys of one (RFC 7396: null takes a key away).
    pub(super) fn patch(self, name: &str, changes: Json, form: &WriteForm) -> Exit {
        form.change(ApiChange {
            method: "PATCH",
            path: self.path_of(name),
            content: Some(changes),
            if_match: None,
        })
    }

    /// Lets one do what it is for, or not.
    pub(super) fn enable(self, arguments: &NamedArguments, enabled: bool) -> Exit {
        self.patch(&arguments.name, serde_json::json!({ "enabled": enabled }), &arguments.form)
    }

    pub(super) fn delete(self, arguments: &NamedArguments) -> Exit {
        arguments.form.change(ApiChange {
            method: "DELETE",
            path: self.path_of(&arguments.name),
            content: None,
            if_match: None,
        })
    }
}

/// Every item of a list that comes in pages; `path` has a query already.
pub(super) fn all_pages(path: &str, get: impl Fn(&str) -> Result<Json, Exit>) -> Result<Vec<Json>, Exit> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let mut page = get(&format!("{path}{after}"))?;
        if let Json::Array(more) = page["items"].take() {
            items.extend(more);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", percent_encoded(next)),
            None => return Ok(items),
        }
    }
}

/// What stands in a column for the settings of an object.
pub(super) type CellOf = fn(&Json) -> String;

fn table(items: &[Json], columns: &[(Column, CellOf)]) -> String {
    let names = std::iter::once(Column::Left("NAME"));
    let heads: Vec<Column> = names.chain(columns.iter().map(|(column, _)| *column)).collect();
    let mut table = TextTable::new(&heads);
    for item in items {
        let name = std::iter::once(text(item, "name").to_owned());
        let cells = name.chain(columns.iter().map(|(_, cell)| cell(&item["settings"])));
        table.add(cells.map(Into::into).collect(), String::new());
    }
    table.to_text(0, false)
}

/// An object as TOML, with the place where it stands.
fn written(header: &str, document: &Json) -> String {
    let mut lines = vec![format!("# {}", text(document, "place")), format!("[[{header}]]")];
    // JSON has no order; what it is called stands first.
    let settings = || document["settings"].as_object().into_iter().flatten();
    let (named, others) = (settings().filter(|(key, _)| *key == "name"), settings());
    let others = others.filter(|(key, _)| *key != "name");
    lines.extend(named.chain(others).map(|(key, value)| format!("{key} = {}", toml_value(value))));
    lines.join("\n")
}

/// A key that is a text, or a list of them.
pub(super) fn words(settings: &Json, key: &str) -> String {
    match &settings[key] {
        Json::String(word) => word.clone(),
        Json::Array(words) => words.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "),
        Json::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Whether it is in service.
pub(super) fn switch(settings: &Json) -> String {
    if settings["enabled"] == false { "disabled" } else { "enabled" }.to_owned()
}
