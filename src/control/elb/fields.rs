//! What attributes the objects of the ELB API have, and how a document that a client has sent becomes an object.
//!
//! Attributes that nobody knows are refused, because a client that sends one expects something of it.

use std::net::IpAddr;

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;

/// Characters of a name, and of most other texts.
const MAX_TEXT: usize = 255;

/// Characters of a chain of certificates or a key.
const MAX_PEM: usize = 65_536;

/// Bytes of what is sent to clients.
const MAX_CONTENT: usize = 1_024;
/// Elements of a list, where nothing else is said.
const MAX_LIST: usize = 50;

/// An attribute.
pub(super) struct ElbField {
    pub name: &'static str,
    pub form: ElbForm,
    pub presence: ElbPresence,
    pub life: Life,
}

/// What values it takes.
#[derive(Clone, Copy)]
pub(super) enum ElbForm {
    /// One line.
    Text,
    /// Of as many lines as there are.
    Pem,
    /// The same, of something that is sent to clients.
    Content,
    Number(i64, i64),
    /// A number that clients may also write as a text.
    NumberText(i64, i64),
    /// A text that is a number.
    Digits(u16, u16),
    Truth,
    Word(&'static [&'static str]),
    /// An address of IPv4 or IPv6.
    Address,
    Texts,
    /// A list of these, at least one.
    Words(&'static [&'static str]),
    /// A table with these attributes, which is given out with all of them.
    Table(&'static [ElbField]),
    /// A list of tables with these attributes.
    Tables(&'static [ElbField]),
    /// The same, of up to so many.
    LongTables(&'static [ElbField], usize),
    /// Something that is not here: only what says so is taken, and the reason is told for everything else.
    Refused(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ElbPresence {
    Required,
    /// Null where nothing is said.
    Nullable,
    /// This JSON where nothing is said.
    Default(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Changeable,
    /// It is chosen when the object is made.
    Fixed,
}

/// A field that can be changed.
pub(super) const fn field(name: &'static str, form: ElbForm, presence: ElbPresence) -> ElbField {
    ElbField { name, form, presence, life: Life::Changeable }
}

/// One that cannot.
pub(super) const fn fixed(name: &'static str, form: ElbForm, presence: ElbPresence) -> ElbField {
    ElbField { name, form, presence, life: Life::Fixed }
}

/// What is not here and may be named only to say so.
pub(super) const fn refused(name: &'static str, why: &'static str) -> ElbField {
    ElbField { name, form: ElbForm::Refused(why), presence: ElbPresence::Nullable, life: Life::Changeable }
}

/// Name and description, which every kind has.
pub(super) const NAME: ElbField = field("name", ElbForm::Text, ElbPresence::Default("\"\""));
pub(super) const DESCRIPTION: ElbField = field("description", ElbForm::Text, ElbPresence::Default("\"\""));
pub(super) const ADMIN_STATE_UP: ElbField =
    field("admin_state_up", ElbForm::Truth, ElbPresence::Default("true"));
pub(super) const ENTERPRISE_PROJECT: ElbField =
    fixed("enterprise_project_id", ElbForm::Text, ElbPresence::Default("\"0\""));

pub(super) const TAGS: ElbField = field("tags", ElbForm::Tables(TAG), ElbPresence::Default("[]"));
const TAG: &[ElbField] = &[
    field("key", ElbForm::Text, ElbPresence::Required),
    field("value", ElbForm::Text, ElbPresence::Default("\"\"")),
];

/// The attributes of a new object, with the defaults of the API.
///
/// # Errors
/// It names the attribute.
pub(super) fn created(fields: &[ElbField], sent: &Map<String, Json>) -> Result<Map<String, Json>, ElbFault> {
    refuse_unknown(fields, sent, "")?;
    let mut made = Map::new();
    for field in fields {
        if let Some(value) = value(field, sent.get(field.name), "")? {
            made.insert(field.name.to_owned(), value);
        }
    }
    Ok(made)
}

/// Changes the attributes that are named. Null brings back what an attribute is without being named.
///
/// # Errors
/// It names the attribute.
pub(super) fn update(
    fields: &[ElbField],
    known: &mut Map<String, Json>,
    sent: &Map<String, Json>,
) -> Result<(), ElbFault> {
    refuse_unknown(fields, sent, "")?;
    for (field, named) in fields.iter().filter_map(|field| Some((field, sent.get(field.name)?))) {
        let Some(value) = value(field, Some(named), "")? else { continue };
        let before = known.get(field.name);
        if field.life == Life::Fixed && before != Some(&value) {
            return Err(ElbFault::attribute(field.name, "cannot be changed"));
        }
        known.insert(field.name.to_owned(), value);
    }
    Ok(())
}

fn refuse_unknown(fields: &[ElbField], sent: &Map<String, Json>, within: &str) -> Result<(), ElbFault> {
    let is_known = |name: &str| fields.iter().any(|field| field.name == name);
    match sent.keys().find(|name| !is_known(name)) {
        Some(unknown) => Err(ElbFault::attribute(&dotted(within, unknown), "is not known here")),
        None => Ok(()),
    }
}

fn dotted(within: &str, name: &str) -> String {
    if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") }
}

/// None: the attribute is not kept.
fn value(field: &ElbField, sent: Option<&Json>, within: &str) -> Result<Option<Json>, ElbFault> {
    let name = dotted(within, field.name);
    if let ElbForm::Refused(why) = field.form {
        return match sent {
            None | Some(Json::Null | Json::Bool(false)) => Ok(None),
            Some(_) => Err(ElbFault::attribute(&name, why)),
        };
    }
    match (sent.filter(|sent| !sent.is_null()), field.presence) {
        (Some(sent), _) => taken(field.form, sent, &name).map(Some),
        (None, ElbPresence::Required) => Err(ElbFault::attribute(&name, "is missing")),
        (None, ElbPresence::Nullable) => Ok(Some(Json::Null)),
        (None, ElbPresence::Default(json)) => {
            let json = serde_json::from_str(json).unwrap_or(Json::Null);
            // Tables have defaults of their own.
            taken(field.form, &json, &name).map(Some)
        }
    }
}

fn taken(form: ElbForm, sent: &Json, name: &str) -> Result<Json, ElbFault> {
    let refused = || ElbFault::attribute(name, wanted(form));
    let is_line = |text: &str| text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control);
    let is_within = |number: Option<i64>, least, most| {
        number.filter(|number| (least..=most).contains(number)).map(Json::from).ok_or_else(refused)
    };
    let is_taken = match (form, sent) {
        (ElbForm::Number(least, most), _) => return is_within(sent.as_i64(), least, most),
        (ElbForm::NumberText(least, most), Json::String(text)) => {
            return is_within(text.parse().ok(), least, most);
        }
        (ElbForm::NumberText(least, most), _) => return is_within(sent.as_i64(), least, most),
        (ElbForm::Table(fields), Json::Object(table)) => return whole(fields, table, name).map(Json::Object),
        (ElbForm::Tables(fields), Json::Array(tables)) => return all_whole((fields, MAX_LIST), tables, name),
        (ElbForm::LongTables(fields, most), Json::Array(tables)) => {
            return all_whole((fields, most), tables, name);
        }
        (ElbForm::Text, Json::String(text)) => is_line(text),
        (ElbForm::Pem, Json::String(text)) => text.len() <= MAX_PEM,
        (ElbForm::Content, Json::String(text)) => text.len() <= MAX_CONTENT,
        (ElbForm::Digits(least, most), Json::String(text)) => {
            text.len() == 3 && text.parse().is_ok_and(|number: u16| (least..=most).contains(&number))
        }
        (ElbForm::Truth, Json::Bool(_)) => true,
        (ElbForm::Word(words), Json::String(word)) => words.contains(&word.as_str()),
        (ElbForm::Address, Json::String(text)) => text.parse::<IpAddr>().is_ok(),
        (ElbForm::Texts, Json::Array(texts)) => {
            texts.len() <= MAX_LIST && texts.iter().all(|text| text.as_str().is_some_and(is_line))
        }
        (ElbForm::Words(words), Json::Array(texts)) => {
            let is_word = |text: &Json| text.as_str().is_some_and(|text| words.contains(&text));
            !texts.is_empty() && texts.len() <= MAX_LIST && texts.iter().all(is_word)
        }
        _ => false,
    };
    if is_taken { Ok(sent.clone()) } else { Err(refused()) }
}

/// What an attribute must be, for the client that has sent something else.
fn wanted(form: ElbForm) -> String {
    match form {
        ElbForm::Text => format!("must be a text of one line with up to {MAX_TEXT} characters"),
        ElbForm::Pem => format!("must be PEM with up to {MAX_PEM} characters"),
        ElbForm::Content => format!("must be a text of up to {MAX_CONTENT} bytes"),
        ElbForm::Number(least, most) | ElbForm::NumberText(least, most) => {
            format!("must be a number from {least} to {most}")
        }
        ElbForm::Digits(least, most) => format!("must be a text from \"{least}\" to \"{most}\""),
        ElbForm::Truth => "must be true or false".to_owned(),
        ElbForm::Word(words) => format!("must be one of {}", words.join(", ")),
        ElbForm::Address => "must be an IP address".to_owned(),
        ElbForm::Texts => format!("must be a list of up to {MAX_LIST} texts"),
        ElbForm::Words(words) => format!("must be a list of some of {}", words.join(", ")),
        ElbForm::Table(_) => "must be an object".to_owned(),
        ElbForm::Tables(_) => format!("must be a list of up to {MAX_LIST} objects"),
        ElbForm::LongTables(_, most) => format!("must be a list of up to {most} objects"),
        ElbForm::Refused(why) => why.to_owned(),
    }
}

fn all_whole((fields, most): (&[ElbField], usize), tables: &[Json], name: &str) -> Result<Json, ElbFault> {
    if tables.len() > most {
        return Err(ElbFault::attribute(name, format!("must be a list of up to {most} objects")));
    }
    let table = |table: &Json| match table {
        Json::Object(table) => whole(fields, table, name).map(Json::Object),
        _ => Err(ElbFault::attribute(name, "must be a list of objects")),
    };
    tables.iter().map(table).collect::<Result<Vec<_>, _>>().map(Json::Array)
}

/// A table within an object. What it leaves out is as if it had never been named.
fn whole(fields: &[ElbField], sent: &Map<String, Json>, name: &str) -> Result<Map<String, Json>, ElbFault> {
    refuse_unknown(fields, sent, name)?;
    let mut table = Map::new();
    for field in fields {
        let value = value(field, sent.get(field.name), name)?;
        // Attributes that are not there are not given out, either.
        if let Some(value) = value.filter(|value| !value.is_null()) {
            table.insert(field.name.to_owned(), value);
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INNER: &[ElbField] = &[
        field("enable", ElbForm::Truth, ElbPresence::Required),
        field("duration", ElbForm::Number(30, 1_200), ElbPresence::Default("30")),
    ];

    const FIELDS: &[ElbField] = &[
        NAME,
        fixed("protocol", ElbForm::Word(&["HTTP", "HTTPS"]), ElbPresence::Required),
        field("weight", ElbForm::Number(0, 100), ElbPresence::Default("1")),
        field("slow_start", ElbForm::Table(INNER), ElbPresence::Nullable),
        field("address", ElbForm::Address, ElbPresence::Nullable),
        TAGS,
        refused("quic_config", "is not taken here"),
    ];

    fn object(value: Json) -> Map<String, Json> {
        value.as_object().cloned().unwrap()
    }

    fn fault(sent: Json) -> String {
        created(FIELDS, &object(sent)).unwrap_err().message
    }

    #[test]
    fn what_is_not_named_has_the_default_of_the_api() {
        let made = created(FIELDS, &object(json!({ "protocol": "HTTP", "slow_start": { "enable": true } })));
        let expected = json!({
            "name": "", "protocol": "HTTP", "weight": 1, "slow_start": { "enable": true, "duration": 30 },
            "address": null, "tags": [],
        });
        assert_eq!(made, Ok(object(expected)));
        let nothing = json!({ "protocol": "HTTP", "quic_config": null, "weight": null });
        assert_eq!(created(FIELDS, &object(nothing)).unwrap()["weight"], 1);
    }

    #[test]
    fn faults_name_their_attribute() {
        for (sent, words) in [
            (json!({}), "`protocol` is missing"),
            (json!({ "protocol": "TCP" }), "`protocol` must be one of HTTP, HTTPS"),
            (json!({ "protocol": "HTTP", "waight": 1 }), "`waight` is not known here"),
            (json!({ "protocol": "HTTP", "weight": 101 }), "`weight` must be a number from 0 to 100"),
            (json!({ "protocol": "HTTP", "weight": "1" }), "`weight` must be a number"),
            (json!({ "protocol": "HTTP", "weight": 1.5 }), "`weight` must be a number"),
            (json!({ "protocol": "HTTP", "name": "a\nb" }), "`name` must be a text of one line"),
            (json!({ "protocol": "HTTP", "address": "a.example" }), "`address` must be an IP address"),
            (json!({ "protocol": "HTTP", "slow_start": {} }), "`slow_start.enable` is missing"),
            (json!({ "protocol": "HTTP", "slow_start": { "x": 1 } }), "`slow_start.x` is not known here"),
            (json!({ "protocol": "HTTP", "tags": [{}] }), "`tags.key` is missing"),
            (json!({ "protocol": "HTTP", "tags": [1] }), "`tags` must be a list of objects"),
            (json!({ "protocol": "HTTP", "quic_config": {} }), "`quic_config` is not taken here"),
        ] {
            assert!(fault(sent.clone()).contains(words), "{sent}: {}", fault(sent.clone()));
        }
    }

    #[test]
    fn a_change_touches_what_it_names() {
        let mut known =
            created(FIELDS, &object(json!({ "protocol": "HTTP", "weight": 7, "name": "a" }))).unwrap();
        let change = json!({ "weight": null, "address": "10.0.0.1", "protocol": "HTTP" });
        update(FIELDS, &mut known, &object(change)).unwrap();
        assert_eq!(
            (&known["weight"], &known["address"], &known["name"]),
            (&json!(1), &json!("10.0.0.1"), &json!("a"))
        );
        let refused = update(FIELDS, &mut known, &object(json!({ "protocol": "HTTPS" }))).unwrap_err();
        assert!(refused.message.contains("`protocol` cannot be changed"), "{}", refused.message);
        let refused = update(FIELDS, &mut known, &object(json!({ "id": "x" }))).unwrap_err();
        assert!(refused.message.contains("`id` is not known here"), "{}", refused.message);
    }
}
