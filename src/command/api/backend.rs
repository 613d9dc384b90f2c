//! `ringway backend`: the backends of a running Ringway, their weights and drains.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use serde_json::Value as Json;
use serde_json::json;

use crate::command::api::form::ApiChange;
use crate::command::api::form::ReadForm;
use crate::command::api::form::WriteForm;
use crate::command::api::form::text;
use crate::command::api::object::GROUPS;
use crate::command::api::settings::MoreSettings;
use crate::command::api::settings::given;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::command::status::remark;
use crate::command::table::Column;
use crate::command::table::TextTable;
use crate::control::admin::BACKEND;
use crate::control::admin::http_client::percent_encoded;
use crate::control::admin::status::BackendStatus;
use crate::control::backend_order::BackendChange;
use crate::control::backend_order::BackendOrder;
use crate::control::backend_order::BackendReply;
use crate::control::json_reader;
use crate::telemetry::operator::log_line;

/// A reload may be before it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(70);

#[derive(Subcommand)]
pub(crate) enum BackendVerb {
    /// List backends with their states and weights.
    List(ListBackends),
    /// Add a backend to a server group.
    Add(AddBackend),
    /// Take a backend out of its server group; what it has begun ends as the group's drain_timeout allows.
    Remove(RemoveBackend),
    /// Give a backend another weight, at once and until the configuration says another one.
    Weight(WeightArguments),
    /// Send a backend no new requests but those of clients that stick to it, for the drain_timeout of its group.
    Drain(DrainArguments),
}

#[derive(Args)]
pub(crate) struct ListBackends {
    /// Only those of this server group.
    group: Option<String>,
    #[command(flatten)]
    form: ReadForm,
}

#[derive(Args)]
pub(crate) struct AddBackend {
    #[command(flatten)]
    target: BackendTarget,
    /// The share of requests, 0 to 100.
    #[arg(long)]
    weight: Option<u32>,
    /// active or standby.
    #[arg(long)]
    role: Option<String>,
    #[command(flatten)]
    more: MoreSettings,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
pub(crate) struct RemoveBackend {
    #[command(flatten)]
    target: BackendTarget,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
pub(crate) struct WeightArguments {
    #[command(flatten)]
    target: BackendTarget,
    /// 0 to 100, or `configured` for that of the configuration; with --persist, `configured` takes the key out of it.
    weight: WantedWeight,
    #[command(flatten)]
    persistence: Persistence,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
pub(crate) struct DrainArguments {
    #[command(flatten)]
    target: BackendTarget,
    /// Whether the drain begins or ends.
    #[arg(value_enum, default_value = "on")]
    state: DrainState,
    #[command(flatten)]
    persistence: Persistence,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
struct Persistence {
    /// Write it into the configuration, so that it outlives a restart: `weight`, or `enabled` for a drain. What was said by
    /// command ends with it.
    #[arg(long)]
    persist: bool,
}

#[derive(Args)]
struct BackendTarget {
    /// The server group and, as the configuration names it, the backend: app/10.0.0.11:9000.
    #[arg(value_name = "GROUP/ADDRESS")]
    backend: BackendName,
}

/// A backend and its group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BackendName {
    group: String,
    address: String,
}

impl FromStr for BackendName {
    type Err = String;

    fn from_str(text: &str) -> Result<BackendName, String> {
        // Names of groups have no slash, and paths of sockets may.
        let parts = text.split_once('/').filter(|(group, address)| !group.is_empty() && !address.is_empty());
        let (group, address) =
            parts.ok_or("it is written GROUP/ADDRESS, as in app/10.0.0.11:9000 or app/unix:/run/app.sock")?;
        Ok(BackendName { group: group.to_owned(), address: address.to_owned() })
    }
}

impl BackendName {
    fn path(&self) -> String {
        format!("{}/{}", self.list_path(), percent_encoded(&self.address))
    }

    fn list_path(&self) -> String {
        format!("{}/backends", GROUPS.path_of(&self.group))
    }
}

/// None: that of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WantedWeight(Option<u32>);

impl FromStr for WantedWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<WantedWeight, String> {
        match text.parse() {
            Ok(weight @ 0..=100) => Ok(WantedWeight(Some(weight))),
            _ if text == "configured" => Ok(WantedWeight(None)),
            _ => Err("a weight is 0 to 100, or `configured`".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DrainState {
    On,
    Off,
}

pub(crate) fn run(verb: &BackendVerb) -> Exit {
    match verb {
        BackendVerb::List(arguments) => list(arguments),
        BackendVerb::Add(arguments) => add(arguments),
        BackendVerb::Remove(RemoveBackend { target, form }) => form.change(ApiChange {
            method: "DELETE",
            path: target.backend.path(),
            content: None,
            if_match: None,
        }),
        BackendVerb::Weight(WeightArguments { target, weight, persistence, form }) => {
            match persistence.persist {
                // RFC 7396: null takes the key away.
                true => persist(&target.backend, json!({ "weight": weight.0 }), Some(WEIGHT_ENDS), form),
                false => order(&target.backend, BackendChange::Weight(weight.0), form),
            }
        }
        BackendVerb::Drain(DrainArguments { target, state, persistence, form }) => {
            let drain = *state == DrainState::On;
            match persistence.persist {
                true => {
                    let ended = (!drain).then_some(DRAIN_ENDS);
                    persist(&target.backend, json!({ "enabled": !drain }), ended, form)
                }
                false => order(&target.backend, BackendChange::Drain(drain), form),
            }
        }
    }
}

fn list(arguments: &ListBackends) -> Exit {
    let status = match arguments.form.get("status") {
        Ok(status) => status,
        Err(exit) => return exit,
    };
    let groups = status["groups"].as_array().into_iter().flatten();
    let wanted = |group: &&Json| arguments.group.as_ref().is_none_or(|wanted| text(group, "name") == wanted);
    let groups: Vec<&Json> = groups.filter(wanted).collect();
    if let Some(unknown) = arguments.group.as_ref().filter(|_| groups.is_empty()) {
        log_line(&format!("error: there is no server group \"{unknown}\"; ringway group list tells them"));
        return Exit::Failure;
    }
    if arguments.form.json {
        return print(&json!(groups).to_string());
    }
    let mut table = TextTable::new(&[
        Column::Left("BACKEND"),
        Column::Left("STATE"),
        Column::Right("WEIGHT"),
        Column::Left("ROLE"),
        Column::Right("IN FLIGHT"),
    ]);
    for group in groups {
        for backend in group["backends"].as_array().into_iter().flatten() {
            let number =
                |name: &str| backend[name].as_u64().map_or("-".to_owned(), |number| number.to_string());
            let cells = [
                format!("{}/{}", text(group, "name"), text(backend, "address")),
                text(backend, "state").to_owned(),
                number("weight"),
                text(backend, "role").to_owned(),
                number("in_flight"),
            ];
            // A process of another version may say more or less.
            let told = json_reader::read::<BackendStatus>(backend).unwrap_or_default();
            table.add(cells.map(Into::into).into(), remark(&told));
        }
    }
    print(&table.to_text(0, false))
}

fn add(arguments: &AddBackend) -> Exit {
    let AddBackend { target, weight, role, more, form } = arguments;
    let mut settings = given([
        ("address", Some(Json::from(target.backend.address.as_str()))),
        ("weight", weight.map(Json::from)),
        ("role", role.as_deref().map(Json::from)),
    ]);
    more.add_to(&mut settings);
    form.change(ApiChange {
        method: "POST",
        path: target.backend.list_path(),
        content: Some(Json::Object(settings)),
        if_match: None,
    })
}

/// The call that ends what was said by command: its path below that of the backend, its key, and what that has to be.
type EndOfCommand = (&'static str, Json);

const WEIGHT_ENDS: EndOfCommand = ("weight", Json::Null);
const DRAIN_ENDS: EndOfCommand = ("drain", Json::Bool(false));

/// Writes it into the configuration, and ends what was said by command. The file may have said so before, and nothing but the
/// command was in its way.
fn persist(backend: &BackendName, changes: Json, ended: Option<EndOfCommand>, form: &WriteForm) -> Exit {
    let path = backend.path();
    let written = form.change(ApiChange {
        method: "PATCH",
        path: path.clone(),
        content: Some(changes),
        if_match: None,
    });
    match ended {
        Some((key, value)) if written == Exit::Success && !form.dry_run => {
            form.follow(&format!("{path}/{key}"), &json!({ key: value }))
        }
        _ => written,
    }
}

fn order(backend: &BackendName, change: BackendChange, form: &WriteForm) -> Exit {
    if form.dry_run {
        log_line("error: --dry-run is for what is written: add --persist, or leave it away");
        return Exit::Usage;
    }
    let BackendName { group, address } = backend.clone();
    let order = BackendOrder { group, address, change };
    // Nothing in it has no form in JSON.
    let command = format!("{BACKEND} {}", serde_json::to_string(&order).unwrap_or_default());
    match form.endpoint.ask::<BackendReply>(&command, ANSWER_TIMEOUT) {
        Ok((json, _)) if form.json => print(&json.to_string()),
        Ok((_, reply)) => print(&reply.message),
        Err(exit) => exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_named_with_its_group() {
        let parsed = |text: &str| text.parse::<BackendName>().map(|name| name.path()).ok();
        assert_eq!(parsed("app/[::1]:80").as_deref(), Some("server-groups/app/backends/%5B%3A%3A1%5D%3A80"));
        assert_eq!(
            parsed("app/unix:/run/a.sock").as_deref(),
            Some("server-groups/app/backends/unix%3A%2Frun%2Fa.sock")
        );
        assert_eq!(["app", "app/", "/a:1"].map(parsed), [None, None, None]);
        let weight = |text: &str| text.parse::<WantedWeight>().map(|weight| weight.0).ok();
        assert_eq!(
            [weight("0"), weight("100"), weight("configured")],
            [Some(Some(0)), Some(Some(100)), Some(None)]
        );
        assert_eq!([weight("101"), weight("-1"), weight("x")], [None; 3]);
    }
}
