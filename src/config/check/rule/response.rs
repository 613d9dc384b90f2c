//! Rules with `direction = "response"`: what they ask of a response, and what becomes of it.

use serde_json::Value as Json;

use crate::config::FixedResponse;
use crate::config::Listener;
use crate::config::ResponseRule;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Kind;
use crate::config::check::rule::actions;
use crate::config::check::rule::actions::Action;
use crate::config::check::rule::conditions;
use crate::config::check::rule::texts;
use crate::config::check::rule::written::Written;
use crate::config::check::rule::written::to_json;
use crate::config::check::section::Section;
use crate::config::check::statuses::OneOrMoreStatuses;
use crate::config::check::statuses::Statuses;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::header_edits::layers::MAX_EDITS;
use crate::policy::response_condition::ResponseCondition;
use crate::policy::router::NamedTest;

/// Rules for responses of one listener: what becomes of a request is kept as a bit for each.
const MAX_RESPONSE_RULES: usize = 64;

/// What a rule for responses has that one for requests has not.
pub(super) struct ParsedResponse {
    pub response: ResponseCondition,
    pub headers: Vec<HeaderEdit>,
    pub respond: Option<FixedResponse>,
    pub is_whole: bool,
}

/// Whether the rule is for responses; the keys of those are then read, else they must not be there.
pub(super) fn read(section: &mut Section<'_, '_>) -> Option<ParsedResponse> {
    let direction = section.read_present("direction", &DIRECTIONS);
    // What cannot be read is told already, and not once more by what only one direction has.
    let is_for_responses = direction.is_some_and(|(is, _)| is) || section.is_refused("direction");
    let statuses = section.read_present("status", &OneOrMoreStatuses(STATUSES));
    let headers = section.read_present("response_header", &HeaderCondition);
    if !is_for_responses {
        for key in ["status", "response_header"] {
            if let Some(location) = section.place_of(key) {
                let message = format!("`{key}` asks for something of the response");
                section.report().error(location, message, "add direction = \"response\" to the rule");
            }
        }
        return None;
    }
    let refused = ["status", "response_header"].iter().any(|key| section.is_refused(key));
    let response = ResponseCondition {
        statuses: statuses.map(|(statuses, _)| statuses.value).unwrap_or_default(),
        headers: headers.map(|(headers, _)| headers.value).unwrap_or_default(),
    };
    let (headers, respond) = actions(section).unwrap_or_default();
    Some(ParsedResponse { response, headers, respond, is_whole: !refused })
}

/// No listener may have too many.
pub(super) fn check_number(rules: &[ResponseRule], listeners: &[Listener], report: &mut Report) {
    for index in 0..listeners.len() {
        let mut own = rules.iter().filter(|rule| rule.listeners.contains(&index));
        if let Some(rule) = own.nth(MAX_RESPONSE_RULES) {
            let message = format!("a listener has more than {MAX_RESPONSE_RULES} rules for responses");
            report.error(rule.location, message, "join some of them, or spread them over several listeners");
        }
    }
}

const DIRECTIONS: Choice<bool> = Choice {
    words: &[("request", false), ("response", true)],
    aliases: &[("Request", false), ("Response", true)],
    later: &[],
};

fn actions(section: &mut Section<'_, '_>) -> Option<(Vec<HeaderEdit>, Option<FixedResponse>)> {
    let all = actions::collect(section)?;
    if all.is_empty() {
        section.missing("actions", "set_response_header = { … } or respond = { … }");
        return None;
    }
    let (mut headers, mut respond) = (Vec::new(), None);
    for placed in all {
        let report = section.report();
        match placed.action {
            Action::EditResponse(edit) => headers.push(edit),
            Action::Respond(response) if respond.is_none() => respond = Some(response),
            Action::Respond(_) => report.error(placed.location, "a rule responds once", "remove one of them"),
            Action::Edit(_) => {
                let help = "write insert_response_header, set_response_header, append_response_header or \
                            remove_response_header";
                report.error(placed.location, "the request has left when there is a response", help);
            }
            _ => {
                let help = "allowed are respond and edits such as set_response_header";
                report.error(placed.location, "this is no action for responses", help);
            }
        }
    }
    if headers.len() > MAX_EDITS {
        let location = section.location();
        let message = format!("the rule has more than {MAX_EDITS} edits of response headers");
        section.report().error(location, message, "remove some, or write some of them in the listener");
    }
    Some((headers, respond))
}

const STATUSES: Statuses = Statuses {
    default: 200..=599,
    allowed: 200..=599,
    help: "write 404, \"5xx\" or \"500-504\"; allowed are 200 to 599",
};

/// `{ name = "…", values = ["…"] }`, or a list of such tables that must all hold.
struct HeaderCondition;

impl Kind for HeaderCondition {
    type Value = Written<Vec<NamedTest>>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let value = texts::list(key, raw, report, conditions::named)?;
        Some(Written { value, json: to_json(raw) })
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.json.clone()
    }

    fn schema(&self) -> Json {
        schema::one_or_list(conditions::named_schema())
    }
}
