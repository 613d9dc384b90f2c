//! `ringway group`: the server groups of a running Ringway.

use clap::Args;
use clap::Subcommand;
use serde_json::Value as Json;
use serde_json::json;

use crate::command::api::form::WriteForm;
use crate::command::api::object::GROUPS;
use crate::command::api::object::ListArguments;
use crate::command::api::object::NamedArguments;
use crate::command::api::object::ShowArguments;
use crate::command::api::object::switch;
use crate::command::api::settings::MoreSettings;
use crate::command::api::settings::given;
use crate::command::exit::Exit;
use crate::command::table::Column;

#[derive(Subcommand)]
pub(crate) enum GroupVerb {
    /// List server groups.
    List(ListArguments),
    /// Print a server group as it is configured.
    Show(ShowArguments),
    /// Add a server group.
    Create(CreateGroup),
    /// Let a disabled server group serve again.
    Enable(NamedArguments),
    /// Answer the requests of a server group with 503, and leave it in the configuration.
    Disable(NamedArguments),
    /// Remove a server group that nothing leads to.
    Delete(NamedArguments),
}

#[derive(Args)]
pub(crate) struct CreateGroup {
    /// What the server group is called.
    name: String,
    /// Where a backend is: 10.0.0.11:9000, name.example:9000 or unix:/run/app.sock; may be repeated.
    #[arg(long, required = true, value_name = "ADDRESS")]
    backend: Vec<String>,
    /// http, https, h2c, grpc, tcp, tls or udp.
    #[arg(long)]
    protocol: Option<String>,
    /// How backends share requests, such as weighted_least_connections.
    #[arg(long)]
    algorithm: Option<String>,
    /// The path of HTTP health checks.
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    #[command(flatten)]
    more: MoreSettings,
    #[command(flatten)]
    form: WriteForm,
}

pub(crate) fn run(verb: &GroupVerb) -> Exit {
    match verb {
        GroupVerb::List(arguments) => GROUPS.list(
            arguments,
            &[
                (Column::Left("STATE"), switch),
                (Column::Left("PROTOCOL"), |settings| or(settings, "protocol", "http")),
                (Column::Left("ALGORITHM"), |settings| or(settings, "algorithm", "weighted_round_robin")),
                (Column::Right("BACKENDS"), backends),
            ],
        ),
        GroupVerb::Show(arguments) => GROUPS.show(arguments),
        GroupVerb::Create(arguments) => create(arguments),
        GroupVerb::Enable(arguments) => GROUPS.enable(arguments, true),
        GroupVerb::Disable(arguments) => GROUPS.enable(arguments, false),
        GroupVerb::Delete(arguments) => GROUPS.delete(arguments),
    }
}

fn or(settings: &Json, key: &str, default: &str) -> String {
    settings[key].as_str().unwrap_or(default).to_owned()
}

fn backends(settings: &Json) -> String {
    settings["backend"].as_array().map_or(0, Vec::len).to_string()
}

fn create(arguments: &CreateGroup) -> Exit {
    let CreateGroup { name, backend, protocol, algorithm, health_path, more, form } = arguments;
    let backends: Json = backend.iter().map(|address| json!({ "address": address })).collect();
    let mut settings = given([
        ("name", Some(Json::from(name.as_str()))),
        ("protocol", protocol.as_deref().map(Json::from)),
        ("algorithm", algorithm.as_deref().map(Json::from)),
        ("backend", Some(backends)),
        ("health_check", health_path.as_ref().map(|path| json!({ "path": path }))),
    ]);
    more.add_to(&mut settings);
    GROUPS.create(settings, form)
}
