//! Commands over the socket as the audit has them: those that change something are written down, or not carried out.

use std::os::unix::net::UnixStream;

use serde_json::Value as Json;

use crate::control::admin::access::Actor;
use crate::control::admin::audit::Audit;
use crate::control::admin::audit::UnwritableAudit;
use crate::control::admin::command_server::BACKEND;
use crate::control::admin::command_server::CommandServer;
use crate::control::admin::command_server::MAINTENANCE;
use crate::control::admin::command_server::UPGRADE;
use crate::control::admin::reply::error;
use crate::net::packet_socket::peer_user;

/// Commands after which something is not as it was.
const CHANGES: [&str; 4] = ["reload", MAINTENANCE, BACKEND, UPGRADE];

pub(super) fn answer(server: &CommandServer, command: &str, stream: &UnixStream) -> Json {
    let (word, order) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    if !CHANGES.contains(&word) {
        return server.answer_whatever_happens(command);
    }
    let mut audit = match Audit::open(server.channels()) {
        Ok(audit) => audit,
        Err(UnwritableAudit { sentence, help }) => return error(format!("{sentence}; {help}")),
    };
    let answer = server.answer_whatever_happens(command);
    let is_refused = answer.get("error").is_some() || answer["outcome"] == "refused";
    let actor = Actor::of_socket(peer_user(stream).ok());
    audit.note_command(&actor, word, object(word, order), if is_refused { 409 } else { 200 });
    answer
}

/// The path of the object that an order is about; empty if it is about none.
fn object(word: &str, order: &str) -> String {
    let order: Json = serde_json::from_str(order).unwrap_or_default();
    let text = |key: &str| order[key].as_str().unwrap_or_default();
    match word {
        BACKEND => format!("server-groups/{}/backends/{}", text("group"), text("address")),
        MAINTENANCE if text("kind") == "rule" => format!("rules/{}", text("name")),
        MAINTENANCE if text("kind") == "server_group" => format!("server-groups/{}", text("name")),
        MAINTENANCE => text("name").to_owned(),
        _ => String::new(),
    }
}
