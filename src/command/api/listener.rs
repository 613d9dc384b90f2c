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
use crate::control::admin::status::protocol_label;

#[derive(Subcommand)]
pub(crate) enum ListenerVerb {
    /// List listeners.
    List(ListArguments),
    /// Print a listener as it is configured.
    Show(ShowArguments),
    /// Add a listener.
    Create(CreateListener),
    /// Change keys of a listener.
    Update(UpdateListener),
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
    /// http, https, quic, tcp, tls or udp; quic is HTTP/3 alone.
    #[arg(long)]
    protocol: Option<String>,
    /// Serve HTTP/3, too, at the same addresses over UDP; for https.
    #[arg(long, conflicts_with = "quic_listener")]
    http3: bool,
    /// The listener of protocol quic to which clients may change over; for https.
    #[arg(long, value_name = "NAME")]
    quic_listener: Option<String>,
    /// The server group of requests that no rule takes.
    #[arg(long)]
    group: Option<String>,
    /// The name of a certificate, for https, quic and tls; may be repeated.
    #[arg(long)]
    cert: Vec<String>,
    /// The name of a TLS policy, for https, quic and tls; without it, that of the defaults.
    #[arg(long, value_name = "NAME")]
    tls_policy: Option<String>,
    #[command(flatten)]
    more: MoreSettings,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
pub(crate) struct UpdateListener {
    /// What the listener is called.
    name: String,
    /// Serve HTTP/3, too, at the same addresses over UDP, or no more; for https.
    #[arg(long, value_name = "true|false", conflicts_with = "quic_listener")]
    http3: Option<bool>,
    /// The listener of protocol quic to which clients may change over; for https.
    #[arg(long, value_name = "NAME")]
    quic_listener: Option<String>,
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
                (Column::Left("QUIC LISTENER"), |settings| words(settings, "quic_listener")),
            ],
        ),
        ListenerVerb::Show(arguments) => LISTENERS.show(arguments),
        ListenerVerb::Create(arguments) => create(arguments),
        ListenerVerb::Update(arguments) => update(arguments),
        ListenerVerb::Enable(arguments) => LISTENERS.enable(arguments, true),
        ListenerVerb::Disable(arguments) => LISTENERS.enable(arguments, false),
        ListenerVerb::Delete(arguments) => LISTENERS.delete(arguments),
        ListenerVerb::Copy(arguments) => copy(arguments),
    }
}

fn protocol(settings: &Json) -> String {
    let is_beside = settings["http3"].as_bool().unwrap_or_default();
    protocol_label(settings["protocol"].as_str().unwrap_or("http"), is_beside)
}

fn create(arguments: &CreateListener) -> Exit {
    let CreateListener { quick, name, address, protocol, group, cert, tls_policy, more, form, .. } =
        arguments;
    if *quick && !more.is_empty() {
        crate::telemetry::operator::log_line(
            "error: --quick takes no --set\nhelp: leave one of the two away",
        );
        return Exit::Usage;
    }
    let secured = protocol.as_deref().filter(|protocol| matches!(*protocol, "https" | "quic"));
    if let (Some(protocol), true, false) = (secured, cert.is_empty(), more.has("certificates")) {
        crate::telemetry::operator::log_line(&format!(
            "error: a listener for {protocol} needs a certificate\nhelp: add --cert NAME; ringway cert list tells the names, \
             and ringway cert add adds one",
        ));
        return Exit::Usage;
    }
    let certificates = (!cert.is_empty()).then(|| Json::from(cert.as_slice()));
    let mut settings = given([
        ("name", Some(Json::from(name.as_str()))),
        ("address", one_or_list(address)),
        ("protocol", protocol.as_deref().map(Json::from)),
        ("http3", arguments.http3.then(|| Json::from(true))),
        ("quic_listener", arguments.quic_listener.as_deref().map(Json::from)),
        ("default_group", group.as_deref().map(Json::from)),
        ("certificates", certificates),
        ("tls_policy", tls_policy.as_deref().map(Json::from)),
    ]);
    more.add_to(&mut settings);
    LISTENERS.create(settings, form)
}

fn update(arguments: &UpdateListener) -> Exit {
    let UpdateListener { name, http3, quic_listener, more, form } = arguments;
    // null takes a key away (RFC 7396); a listener has one of the two at most.
    let (http3, quic_listener) = match (http3, quic_listener) {
        (Some(true), _) => (Some(Json::from(true)), Some(Json::Null)),
        (Some(false), _) => (Some(Json::Null), None),
        (None, Some(told)) => (Some(Json::Null), Some(Json::from(told.as_str()))),
        (None, None) => (None, None),
    };
    let mut changes = given([("http3", http3), ("quic_listener", quic_listener)]);
    more.add_to(&mut changes);
    if changes.is_empty() {
        crate::telemetry::operator::log_line(
            "error: nothing is to be changed\nhelp: add --set KEY=VALUE, --http3 true or --quic-listener NAME",
        );
        return Exit::Usage;
    }
    LISTENERS.patch(name, Json::Object(changes), form)
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
