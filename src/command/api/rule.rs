//! `ringway rule`: the rules of a running Ringway.

use clap::Args;
use clap::Subcommand;
use serde_json::Value as Json;
use serde_json::json;

use crate::command::api::form::ApiChange;
use crate::command::api::form::WriteForm;
use crate::command::api::object::ListArguments;
use crate::command::api::object::NamedArguments;
use crate::command::api::object::RULES;
use crate::command::api::object::ShowArguments;
use crate::command::api::object::switch;
use crate::command::api::object::words;
use crate::command::api::settings::MoreSettings;
use crate::command::api::settings::given;
use crate::command::api::settings::one_or_list;
use crate::command::exit::Exit;
use crate::command::table::Column;
use crate::config::in_order;

#[derive(Subcommand)]
pub(crate) enum RuleVerb {
    /// List rules in the order in which they are asked, listener by listener.
    List(ListArguments),
    /// Print a rule as it is configured.
    Show(ShowArguments),
    /// Add a rule.
    Add(AddRule),
    /// Ask a rule before or after others.
    Move(MoveRule),
    /// Ask a disabled rule again.
    Enable(NamedArguments),
    /// Ask a rule no more, and leave it in the configuration.
    Disable(NamedArguments),
    /// Remove a rule.
    Delete(NamedArguments),
}

#[derive(Args)]
pub(crate) struct AddRule {
    /// What the rule is called.
    name: String,
    /// Whose requests, or connections, it takes; may be repeated.
    #[arg(long, required = true)]
    listener: Vec<String>,
    /// 1 to 10000; rules with lower numbers are asked first.
    #[arg(long)]
    priority: u32,
    /// A host, a pattern such as *.example.com, or ~ and a regular expression; may be repeated.
    #[arg(long)]
    host: Vec<String>,
    /// A path, a pattern such as /api/*, or ~ and a regular expression; may be repeated.
    #[arg(long)]
    path: Vec<String>,
    /// A path with all that is below it; may be repeated.
    #[arg(long)]
    path_prefix: Vec<String>,
    /// GET and so on; may be repeated.
    #[arg(long)]
    method: Vec<String>,
    /// A name that a TLS handshake asks for, or a pattern such as *.example.com, where TLS is relayed; may be repeated.
    #[arg(long)]
    sni: Vec<String>,
    /// A protocol that a TLS handshake offers, where TLS is relayed; may be repeated.
    #[arg(long, value_name = "PROTOCOL")]
    alpn: Vec<String>,
    /// An address or network of clients, or the name of an IP group; may be repeated.
    #[arg(long, value_name = "IP")]
    source_ip: Vec<String>,
    /// The server group that gets its requests or connections. Other actions are keys of their own: --set respond='{"code": 404}'.
    #[arg(long)]
    group: Option<String>,
    #[command(flatten)]
    more: MoreSettings,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
pub(crate) struct MoveRule {
    /// The rule.
    name: String,
    #[command(flatten)]
    to: NewPlace,
    #[command(flatten)]
    form: WriteForm,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct NewPlace {
    /// The rule that is asked next.
    #[arg(long, value_name = "RULE")]
    before: Option<String>,
    /// The rule that is asked first.
    #[arg(long, value_name = "RULE")]
    after: Option<String>,
    /// Its new priority.
    #[arg(long)]
    priority: Option<u32>,
}

pub(crate) fn run(verb: &RuleVerb) -> Exit {
    match verb {
        RuleVerb::List(arguments) => RULES.list_arranged(
            arguments,
            &[
                (Column::Left("STATE"), switch),
                (Column::Left("LISTENER"), |settings| words(settings, "listener")),
                (Column::Right("PRIORITY"), |settings| words(settings, "priority")),
                (Column::Left("HOST"), host),
                (Column::Left("PATH"), path),
                (Column::Left("ALPN"), |settings| words(settings, "alpn")),
                (Column::Left("SOURCE"), |settings| words(settings, "source_ip")),
                (Column::Left("ACTION"), action),
            ],
            |rules| {
                in_order::sort_by_key(rules, |rule| order_of_asking(&rule["settings"]));
                Ok(())
            },
        ),
        RuleVerb::Show(arguments) => RULES.show(arguments),
        RuleVerb::Add(arguments) => add(arguments),
        RuleVerb::Move(arguments) => change_place(arguments),
        RuleVerb::Enable(arguments) => RULES.enable(arguments, true),
        RuleVerb::Disable(arguments) => RULES.enable(arguments, false),
        RuleVerb::Delete(arguments) => RULES.delete(arguments),
    }
}

/// What rules are sorted by: those of a listener stand together, as they are asked.
fn order_of_asking(settings: &Json) -> (String, String, i64) {
    let direction = settings["direction"].as_str().unwrap_or("request");
    let priority = settings["priority"].as_i64().unwrap_or_default();
    (words(settings, "listener"), direction.to_owned(), priority)
}

/// Of a request, or of what a TLS client asks for.
fn host(settings: &Json) -> String {
    if settings["host"].is_null() { words(settings, "sni") } else { words(settings, "host") }
}

fn path(settings: &Json) -> String {
    if settings["path"].is_null() { words(settings, "path_prefix") } else { words(settings, "path") }
}

/// What becomes of a request, in a word or two.
fn action(settings: &Json) -> String {
    match settings["group"].as_str() {
        Some(group) => format!("group {group}"),
        None => {
            let known = ["forward", "redirect", "respond", "actions"];
            let found = known.into_iter().find(|key| !settings[*key].is_null());
            found.unwrap_or("edits").to_owned()
        }
    }
}

fn add(arguments: &AddRule) -> Exit {
    let AddRule {
        name,
        listener,
        priority,
        host,
        path,
        path_prefix,
        method,
        sni,
        alpn,
        source_ip,
        group,
        more,
        form,
    } = arguments;
    let mut settings = given([
        ("name", Some(Json::from(name.as_str()))),
        ("listener", one_or_list(listener)),
        ("priority", Some(Json::from(*priority))),
        ("host", one_or_list(host)),
        ("path", one_or_list(path)),
        ("path_prefix", one_or_list(path_prefix)),
        ("method", one_or_list(method)),
        ("sni", one_or_list(sni)),
        ("alpn", one_or_list(alpn)),
        ("source_ip", one_or_list(source_ip)),
        ("group", group.as_deref().map(Json::from)),
    ]);
    more.add_to(&mut settings);
    RULES.create(settings, form)
}

fn change_place(arguments: &MoveRule) -> Exit {
    let MoveRule { name, to, form } = arguments;
    let place = match (&to.before, &to.after, to.priority) {
        (Some(before), _, _) => json!({ "before": before }),
        (None, Some(after), _) => json!({ "after": after }),
        (None, None, priority) => json!({ "priority": priority }),
    };
    form.change(ApiChange {
        method: "POST",
        path: format!("{}/move", RULES.path_of(name)),
        content: Some(place),
        if_match: None,
    })
}
