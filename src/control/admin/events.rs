//! The command that tells what happened last.
//!
//! A follower asks again and again, each time for what is behind the number that it knows: so it holds no thread and no
//! memory of the process, and there may be any number of followers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::config::in_order;
use crate::control::admin::status::Word;
use crate::telemetry::date;
use crate::telemetry::events;
use crate::telemetry::events::KeptEvent;

/// What is asked for, as JSON behind the word of the command; nothing: all that is kept.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct EventsQuestion {
    /// The number of the last event that the client knows.
    pub after: u64,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EventsReply {
    /// Whose numbers these are.
    pub pid: u32,
    pub started: String,
    /// The number to ask behind the next time.
    pub newest: u64,
    /// Events behind the number that was asked for, and before those that are told, which are kept no more.
    pub missed: u64,
    pub events: Vec<EventReply>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EventReply {
    pub number: u64,
    pub time: String,
    pub kind: Word,
    /// What it happened to, by noun.
    pub subject: BTreeMap<Word, String>,
    pub message: String,
}

pub(super) fn reply(question: &EventsQuestion, started: String) -> EventsReply {
    let recent = events::since(question.after);
    EventsReply {
        pid: std::process::id(),
        started,
        newest: recent.newest,
        missed: recent.missed,
        events: recent.events.iter().map(|event| told(event)).collect(),
    }
}

fn told(event: &KeptEvent) -> EventReply {
    let subject = event.news.subject.iter().map(|(noun, name)| ((*noun).into(), name.clone()));
    EventReply {
        number: event.number,
        time: date::stamp(event.at),
        kind: event.news.kind.as_str().into(),
        subject: in_order::map(subject),
        message: event.news.message.clone(),
    }
}
