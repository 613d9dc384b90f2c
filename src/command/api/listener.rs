//! `ringway listener`: the listeners of a running Ringway.

use clap::Args;
use clap::Subcommand;
use serde_json::Value as Json;

use crate::command::api::form::ApiChange;
use crate::command::api::form::WriteForm;
use crate::command::api::object::LISTENERS;
use crate::command::api::object::ListArguments;
use crate::command::api::object::NamedArguments;
use crate::command::api::object::ShowArguments;
use crate::command::api::object::switch;
use crate::command::api::object::words;
use crate::command::api::settings::MoreSettings;
use crate::command::api::settings::given;
use crate::command::api::settings::one_or_list;
use crate::command::exit::Exit;
use crate::command::table::Column;

#[derive(Subcommand)]
pub(crate) enum ListenerVerb {
    /// List listeners.
    List(ListArguments),
    /// Print a listener as it is configured.
    Show(ShowArguments),
    /// Add a listener.
    Create(CreateListener),
    /// Let a disabled listener listen again.
    Enable(NamedArguments),
    /// Close a listener and leave it in the configuration.
    Disable(NamedArguments),
    /// Remove a listener.
    Delete(NamedArguments),
    /// Add a listener like another one, with a name and addresses of its own.
    Copy(CopyListener),
}

#[derive(Args)]
pub(crate) struct CreateListener {
    /// With these options alone: all other keys have their defaults, and none is forgotten.
    #[arg(long, requires = "protocol", requires = "group")]
    quick: bool,
    /// What the listener is called.
    #[arg(long)]
    name: String,
    /// IP address and port, such as 0.0.0.0:443; may be repeated.
    #[arg(long, required = true)]
    address: Vec<String>,
    /// http, https, tcp, tls or udp.
    #[arg(long)]
    protocol: Option<String>,
    /// The server group of requests that no rule takes.
    #[arg(long)]
    group: Option<String>,
    /// The name of a certificate, for https; may be repeated.
    #[arg(long)]
    cert: Vec<String>,
    /// The name of a TLS policy, for https; without it, that of the defaults.
    #[arg(long, value_name = "NAME")]
    tls_policy: Option<String>,
    #[command(flatten)]
    more: MoreSettings,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
pub(crate) struct CopyListener {
    /// The listener that is copied.
    name: String,
    /// The name of the new listener.
    new_name: String,
    /// Where the new listener listens; may be repeated.
    #[arg(long, required = true)]
    address: Vec<String>,
    #[command(flatten)]
    more: MoreSettings,
    #[command(flatten)]
    form: WriteForm,
}

pub(crate) fn run(verb: &ListenerVerb) -> Exit {
    match verb {
        ListenerVerb::List(arguments) => LISTENERS.list(
            arguments,
            &[
                (Column::Left("STATE"), switch),
                (Column::Left("PROTOCOL"), protocol),
                (Column::Left("ADDRESS"), addresses),
                (Column::Left("DEFAULT GROUP"), |settings| words(settings, "default_group")),
                (Column::Left("CERTIFICATES"), |settings| words(settings, "certificates")),
            ],
        ),
        ListenerVerb::Show(arguments) => LISTENERS.show(arguments),
        ListenerVerb::Create(arguments) => create(arguments),
        ListenerVerb::Enable(arguments) => LISTENERS.enable(arguments, true),
        ListenerVerb::Disable(arguments) => LISTENERS.enable(arguments, false),
        ListenerVerb::Delete(arguments) => LISTENERS.delete(arguments),
        ListenerVerb::Copy(arguments) => copy(arguments),
    }
}

fn protocol(settings: &Json) -> String {
    settings["protocol"].as_str().unwrap_or("http").to_owned()
}

fn create(arguments: &CreateListener) -> Exit {
    let CreateListener { quick, name, address, protocol, group, cert, tls_policy, more, form } = arguments;
    if *quick && !more.is_empty() {
        crate::telemetry::operator::log_line(
            "error: --quick takes no --set\nhelp: leave one of the two away",
        );
        return Exit::Usage;
    }
    if protocol.as_deref() == Some("https") && cert.is_empty() && !more.has("certificates") {
        crate::telemetry::operator::log_line(
            "error: a listener for https needs a certificate\nhelp: add --cert NAME; ringway cert list tells the names, \
             and ringway cert add adds one",
        );
        return Exit::Usage;
    }
    let certificates = (!cert.is_empty()).then(|| Json::from(cert.as_slice()));
    let mut settings = given([
        ("name", Some(Json::from(name.as_str()))),
        ("address", one_or_list(address)),
        ("protocol", protocol.as_deref().map(Json::from)),
        ("default_group", group.as_deref().map(Json::from)),
        ("certificates", certificates),
        ("tls_policy", tls_policy.as_deref().map(Json::from)),
    ]);
    more.add_to(&mut settings);
    LISTENERS.create(settings, form)
}

fn copy(arguments: &CopyListener) -> Exit {
    let CopyListener { name, new_name, address, more, form } = arguments;
    let mut settings =
        given([("name", Some(Json::from(new_name.as_str()))), ("address", one_or_list(address))]);
    more.add_to(&mut settings);
    form.change(ApiChange {
        method: "POST",
        path: format!("{}/copy", LISTENERS.path_of(name)),
        content: Some(Json::Object(settings)),
        if_match: None,
    })
}

/// Where it listens, with its ports where they stand in a key of their own.
fn addresses(settings: &Json) -> String {
    let address = words(settings, "address");
    match &settings["ports"] {
        Json::Null => address,
        _ => format!("{address}:{}", words(settings, "ports").replace(' ', ",")),
    }
}
