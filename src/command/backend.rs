//! `ringway backend`: weights and drains of backends.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;

use crate::command::admin_client::AdminEndpoint;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::admin::BACKEND;
use crate::control::backend_order::BackendChange;
use crate::control::backend_order::BackendOrder;
use crate::control::backend_order::BackendReply;

/// A reload may be before it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(70);

#[derive(Subcommand)]
pub(super) enum BackendVerb {
    /// Give a backend another weight, at once and until the configuration says another one.
    Weight(WeightArguments),
    /// Send a backend no new requests but those of clients that stick to it, for the drain_timeout of its group.
    Drain(DrainArguments),
}

#[derive(Args)]
pub(super) struct WeightArguments {
    #[command(flatten)]
    target: BackendTarget,
    /// 0 to 100, or `configured` for that of the configuration.
    weight: WantedWeight,
    #[command(flatten)]
    answer: AnswerForm,
}

#[derive(Args)]
pub(super) struct DrainArguments {
    #[command(flatten)]
    target: BackendTarget,
    /// Whether the drain begins or ends.
    #[arg(value_enum, default_value = "on")]
    state: DrainState,
    #[command(flatten)]
    answer: AnswerForm,
}

#[derive(Args)]
struct BackendTarget {
    /// The server group and, as the configuration names it, the backend: app/10.0.0.11:9000.
    #[arg(value_name = "GROUP/ADDRESS")]
    backend: BackendName,
}

#[derive(Args)]
struct AnswerForm {
    #[command(flatten)]
    endpoint: AdminEndpoint,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// A backend and its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BackendName {
    pub(super) group: String,
    pub(super) address: String,
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

pub(super) fn run(verb: &BackendVerb) -> Exit {
    match verb {
        BackendVerb::Weight(arguments) => {
            order(&arguments.target, BackendChange::Weight(arguments.weight.0), &arguments.answer)
        }
        BackendVerb::Drain(arguments) => {
            let drain = arguments.state == DrainState::On;
            order(&arguments.target, BackendChange::Drain(drain), &arguments.answer)
        }
    }
}

fn order(target: &BackendTarget, change: BackendChange, answer: &AnswerForm) -> Exit {
    let BackendName { group, address } = target.backend.clone();
    let order = BackendOrder { group, address, change };
    // Nothing in it has no form in JSON.
    let command = format!("{BACKEND} {}", serde_json::to_string(&order).unwrap_or_default());
    match answer.endpoint.ask::<BackendReply>(&command, ANSWER_TIMEOUT) {
        Ok((json, _)) if answer.json => print(&json.to_string()),
        Ok((_, reply)) => print(&reply.message),
        Err(exit) => exit,
    }
}
