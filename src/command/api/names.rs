//! `ringway names`: what shells complete names of a running Ringway by.

use clap::Args;
use clap::ValueEnum;

use crate::command::api::form::ReadForm;
use crate::command::api::form::text;
use crate::command::api::object::CERTIFICATES;
use crate::command::api::object::GROUPS;
use crate::command::api::object::IP_GROUPS;
use crate::command::api::object::LISTENERS;
use crate::command::api::object::RULES;
use crate::command::api::object::all_pages;
use crate::command::exit::Exit;
use crate::command::exit::print;
use crate::control::admin::http_client::percent_encoded;

#[derive(Args)]
pub(crate) struct NamesArguments {
    #[arg(value_enum)]
    kind: NamedKind,
    #[command(flatten)]
    form: ReadForm,
}

#[derive(Clone, Copy, ValueEnum)]
enum NamedKind {
    Listener,
    Group,
    /// GROUP/ADDRESS.
    Backend,
    Cert,
    Rule,
    IpGroup,
}

pub(crate) fn run(arguments: &NamesArguments) -> Exit {
    match names(arguments) {
        Ok(names) => print(&names.join("\n")),
        Err(exit) => exit,
    }
}

fn names(arguments: &NamesArguments) -> Result<Vec<String>, Exit> {
    let get = |path: &str| arguments.form.get(path);
    let of = |path: &str| -> Result<Vec<String>, Exit> {
        let items = all_pages(&format!("{path}?limit=1000"), get)?;
        Ok(items.iter().map(|item| text(item, "name").to_owned()).collect())
    };
    let kind = match arguments.kind {
        NamedKind::Listener => LISTENERS,
        NamedKind::Group | NamedKind::Backend => GROUPS,
        NamedKind::Cert => CERTIFICATES,
        NamedKind::Rule => RULES,
        NamedKind::IpGroup => IP_GROUPS,
    };
    let names = of(kind.path)?;
    if !matches!(arguments.kind, NamedKind::Backend) {
        return Ok(names);
    }
    let mut backends = Vec::new();
    for group in names {
        let addresses = of(&format!("{}/{}/backends", GROUPS.path, percent_encoded(&group)))?;
        backends.extend(addresses.into_iter().map(|address| format!("{group}/{address}")));
    }
    Ok(backends)
}
