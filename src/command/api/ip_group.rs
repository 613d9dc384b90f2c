//! `ringway ip-group`: the IP groups of a running Ringway.

use clap::Args;
use clap::Subcommand;
use serde_json::Value as Json;
use serde_json::json;

use crate::command::api::form::ApiChange;
use crate::command::api::form::WriteForm;
use crate::command::api::form::text;
use crate::command::api::object::IP_GROUPS;
use crate::command::api::object::ListArguments;
use crate::command::api::object::NamedArguments;
use crate::command::api::object::ShowArguments;
use crate::command::api::object::words;
use crate::command::api::settings::given;
use crate::command::exit::Exit;
use crate::command::table::Column;
use crate::telemetry::operator::log_line;

#[derive(Subcommand)]
pub(crate) enum IpGroupVerb {
    /// List IP groups.
    List(ListArguments),
    /// Print an IP group as it is configured.
    Show(ShowArguments),
    /// Make an IP group.
    Create(IpGroupEntries),
    /// Add addresses and networks to an IP group.
    Add(IpGroupEntries),
    /// Take addresses and networks out of an IP group.
    Remove(IpGroupEntries),
    /// Remove an IP group that nothing asks for.
    Delete(NamedArguments),
}

#[derive(Args)]
pub(crate) struct IpGroupEntries {
    /// The IP group.
    name: String,
    /// IP addresses and networks, such as 192.0.2.7 and 10.0.0.0/8.
    #[arg(required = true)]
    entries: Vec<String>,
    #[command(flatten)]
    form: WriteForm,
}

pub(crate) fn run(verb: &IpGroupVerb) -> Exit {
    match verb {
        IpGroupVerb::List(arguments) => IP_GROUPS.list(
            arguments,
            &[
                (Column::Left("ENTRIES"), |settings| words(settings, "entries")),
                (Column::Left("FILE"), |settings| words(settings, "file")),
            ],
        ),
        IpGroupVerb::Show(arguments) => IP_GROUPS.show(arguments),
        IpGroupVerb::Create(IpGroupEntries { name, entries, form }) => {
            let settings =
                given([("name", Some(Json::from(name.as_str()))), ("entries", Some(json!(entries)))]);
            IP_GROUPS.create(settings, form)
        }
        IpGroupVerb::Add(arguments) => change(arguments, |known, named| {
            let is_new = |entry: &&String| !known.contains(entry);
            known.iter().chain(named.iter().filter(is_new)).cloned().collect()
        }),
        IpGroupVerb::Remove(arguments) => change(arguments, |known, named| {
            known.iter().filter(|entry| !named.contains(entry)).cloned().collect()
        }),
        IpGroupVerb::Delete(arguments) => IP_GROUPS.delete(arguments),
    }
}

/// Writes other entries in the place of those that are there, unless somebody was faster.
fn change(arguments: &IpGroupEntries, others: impl Fn(&[String], &[String]) -> Vec<String>) -> Exit {
    let IpGroupEntries { name, entries, form } = arguments;
    let document = match form.get(&IP_GROUPS.path_of(name)) {
        Ok(document) => document,
        Err(exit) => return exit,
    };
    let known = document["settings"]["entries"].as_array().into_iter().flatten();
    let known: Vec<String> = known.filter_map(Json::as_str).map(str::to_owned).collect();
    let others = others(&known, entries);
    if others == known {
        log_line(&format!("error: that changes nothing: \"{name}\" has {}", known.join(", ")));
        return Exit::Failure;
    }
    form.change(ApiChange {
        method: "PATCH",
        path: IP_GROUPS.path_of(name),
        content: Some(json!({ "entries": others })),
        if_match: Some(text(&document, "etag")),
    })
}
