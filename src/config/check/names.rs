//! The names that keys may refer to.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value as Json;

use crate::config::TlsPolicy;
use crate::config::check::kind::Kind;
use crate::config::check::kind::Name;
use crate::config::check::kind::refuse_kind;
use crate::config::check::nearest::nearest;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::schema;

/// Looking for the nearest of ten thousand names takes a while; a few of them are enough.
const MAX_SUGGESTIONS: u32 = 8;

/// What listeners and server groups may refer to.
pub(super) struct Known<'n> {
    pub certificates: Names<'n>,
    pub authorities: Names<'n>,
    pub tls_policies: Names<'n>,
    pub ip_groups: Names<'n>,
    /// Beside their names.
    pub defined_policies: &'n [TlsPolicy],
}

/// The names of one kind of table, found in constant time.
pub(super) struct Names<'n> {
    /// Such as `[[certificate]]`.
    table: &'static str,
    /// Each once, in the order of the tables.
    names: Vec<&'n str>,
    /// Each name with the index of its first table.
    indices: HashMap<&'n str, usize>,
    /// A name that is not there may only be out of sight.
    may_hide: bool,
    suggestions: Cell<u32>,
}

impl<'n> Names<'n> {
    /// In the order of the tables; an empty name was refused.
    pub(super) fn new(
        table: &'static str,
        names: impl Iterator<Item = &'n str>,
        report: &Report,
    ) -> Names<'n> {
        let mut indices = HashMap::new();
        let mut may_hide = report.is_broken_anywhere();
        let mut known = Vec::new();
        for (index, name) in names.enumerate() {
            may_hide |= name.is_empty();
            indices.entry(name).or_insert_with(|| {
                known.push(name);
                index
            });
        }
        Names { table, names: known, indices, may_hide, suggestions: Cell::new(MAX_SUGGESTIONS) }
    }

    /// The table that a key refers to; None after reporting that there is none.
    pub(super) fn find(
        &self,
        key: &str,
        (name, location): (&str, Location),
        report: &mut Report,
    ) -> Option<usize> {
        let found = self.indices.get(name).copied();
        if found.is_none() && !self.may_hide {
            report.error(location, format!("`{key}` \"{name}\" is not defined"), self.fix(name));
        }
        found
    }

    fn fix(&self, name: &str) -> String {
        let left = self.suggestions.get();
        self.suggestions.set(left.saturating_sub(1));
        if self.table == "[[ip_group]]" && name.parse::<IpAddr>().is_ok() {
            return ADDRESSES.to_owned();
        }
        let candidates = if left == 0 { &[] } else { self.names.as_slice() };
        match nearest(name, candidates) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add {} with name = \"{name}\"", self.table),
        }
    }
}

/// What to do about an address where names are wanted.
const ADDRESSES: &str = "list the address in the entries of an [[ip_group]], and write the name of that";

/// Whether it is a network, or an address that cannot be a name.
fn is_network(value: &raw::Value) -> bool {
    let raw::Kind::Text(text) = &value.kind else { return false };
    text.contains(['/', ':']) && text.split('/').next().is_some_and(|text| text.parse::<IpAddr>().is_ok())
}

/// A list of names, each with its place.
pub(super) struct NameList {
    /// A value as it could be.
    pub example: &'static str,
}

impl Kind for NameList {
    type Value = Vec<(String, Location)>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Self::Value> {
        let raw::Kind::Array(values) = &raw.kind else {
            return refuse_kind(key, raw, &format!("a list such as {}", self.example), report);
        };
        if values.is_empty() {
            report.error(
                raw.location,
                format!("`{key}` is an empty list"),
                format!("write {}", self.example),
            );
            return None;
        }
        let parsed: Vec<_> = values
            .iter()
            .filter_map(|value| {
                if is_network(value) {
                    report.error(value.location, format!("`{key}` takes names, not addresses"), ADDRESSES);
                    return None;
                }
                Some((Name.parse(key, value, report)?, value.location))
            })
            .collect();
        (parsed.len() == values.len()).then_some(parsed)
    }

    fn show(&self, value: &Self::Value) -> Json {
        value.iter().map(|(name, _)| Json::from(name.as_str())).collect()
    }

    fn schema(&self) -> Json {
        schema::list(Name.schema(), 1..=usize::MAX)
    }
}
